//! `gtn-run --on ssh:pi@raspberrypi BUNDLE`: any measuring command, on another machine.
//!
//! `address` says where, `link` (over `ssh` or `adb`) runs a shell script there; `program` finds the gtn-run for that
//! machine, `arguments` tells the paths among a command's arguments from the rest, `store` copies what is missing there,
//! by SHA-256 (as a `tar` stream), and `session` runs the program and brings back what it wrote.
//!
//! What stays on the device is the store, of whose files those that were not used for 30 days go at the next run. A
//! file has its name there only when all of it is there and hashes to that name; a file here is written when the run is
//! over, all of it came back, and then atomically.

mod adb;
mod address;
mod arguments;
mod link;
mod program;
mod session;
mod ssh;
mod store;
mod tar;

pub use address::Address;

use arguments::Line;
use clap::ArgMatches;
use gtn_core::{Error, Result, artifact};
use link::Link;
use program::Program;
use std::path::Path;
use store::Store;

/// Runs the command whose arguments are `matches` there; its exit status. What it printed has been printed.
pub fn run(command: &clap::Command, matches: &ArgMatches, to: &Address, dist: Option<&Path>) -> Result<u8> {
    let line = Line::read(command, matches)?;
    line.outputs.iter().try_for_each(|p| artifact::check_writable(&p.here))?;
    let mut store = Store::default();
    for place in &line.inputs {
        store.add(place)?;
    }
    let mut link = Link::open(to)?;
    let machine = link.ask("uname -sm", Vec::new())?;
    let program = Program::choose(machine.trim(), to, dist)?;
    let wanted = session::Wanted::new(&mut store, &program, &line)?;
    store.copy(&mut link)?;
    let code = session::run(&mut link, &wanted, &line)?;
    match code {
        126 | 127 => Err(Error::Unavailable(format!(
            "{to}: {} does not start there (exit status {code}): --dist names another one",
            program.path.display()
        ))),
        129.. => Err(Error::Failed(format!("{to}: gtn-run was ended there by signal {}", code - 128))),
        code => Ok(code),
    }
}
