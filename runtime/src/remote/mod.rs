//! `gtn-run --on ssh:pi@raspberrypi BUNDLE`: any measuring command, on another machine.
//!
//! `address` says where, `link` (over `ssh` or `adb`) runs a shell script there and `hear` bounds what it answers; `program`
//! finds the gtn-run for that machine, `arguments` tells the paths among a command's arguments from the rest and `names`
//! gives them names there, `store` copies what is missing there, by SHA-256 (as a `tar` stream), `session` runs the program,
//! and `telling` checks what it wrote, writes it here and tells it.
//!
//! What stays on the device is the store, of whose files those that were not used for 30 days go at the next run. A
//! file has its name there only when all of it is there and hashes to that name; a file here is written when the run is
//! over, all of it came back, and then atomically.

mod adb;
mod address;
mod arguments;
mod hear;
mod link;
mod names;
mod program;
mod session;
mod ssh;
mod store;
mod tar;
mod telling;

pub use address::Address;

use arguments::Line;
use clap::ArgMatches;
use gtn_core::{Error, Result};
use link::Link;
use program::Program;
use std::path::Path;
use store::Store;

/// Runs the command whose arguments are `matches` there; its exit status. What it printed has been printed.
pub fn run(command: &clap::Command, matches: &ArgMatches, to: &Address, dist: Option<&Path>) -> Result<u8> {
    let mut line = Line::read(command, matches)?;
    line.check_writable()?;
    let mut store = Store::default();
    for input in &line.inputs {
        store.add(input, &mut line.names)?;
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
