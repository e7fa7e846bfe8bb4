//! `gtn-run --on ssh:pi@raspberrypi BUNDLE`: any measuring command, on another machine.
//!
//! `address` says where, `link` (over `ssh` or `adb`) runs a shell script there and `hear` bounds what it answers; `program`
//! finds the gtn-run for that machine, `line` is the command and what comes back of it, `names` gives paths names there,
//! `store` copies what is missing there, by SHA-256 (as a `tar` stream), and `session` runs the program. What came back is the
//! caller's to check.
//!
//! What stays on the device is the store, of whose files those that were not used for 30 days go at the next run. A
//! file has its name there only when all of it is there and hashes to that name; a file here is written when the run is
//! over, all of it came back, and then atomically.

mod adb;
mod address;
mod hear;
mod line;
mod link;
mod names;
mod process;
mod program;
mod session;
mod ssh;
mod store;
mod tar;

pub use address::Address;
pub use line::{Came, Holds, Input, Line, Made, Output, Telling};
pub use names::Names;

use gtn_core::{Error, Result};
use link::Link;
use program::Program;
use std::path::Path;
use store::Store;

/// Runs `line` there, has `tell` check, write and print what came back, and returns its exit status. `dist` is
/// a folder of programs for other machines. Fails where the machine cannot be reached or has no program of ours
/// that starts there, where what came back is not what was asked for, and where `tell` fails.
pub fn run(
    line: &mut Line,
    to: &Address,
    dist: Option<&Path>,
    tell: impl FnOnce(&Line, Came) -> Result<u8>,
) -> Result<u8> {
    let mut store = Store::default();
    for input in &line.inputs {
        store.add(input, &mut line.names)?;
    }
    let mut link = Link::open(to)?;
    let machine = link.ask("uname -sm", Vec::new())?;
    let program = Program::choose(machine.trim(), to, dist)?;
    let wanted = session::Wanted::new(&mut store, &program, line)?;
    store.copy(&mut link)?;
    let came = session::run(&mut link, &wanted, line)?;
    match tell(line, came)? {
        failed @ (126 | 127) => Err(Error::Unavailable(format!(
            "{to}: {} does not start there (exit status {failed}): --dist names another one",
            program.path.display()
        ))),
        ended @ 129.. => {
            Err(Error::Failed(format!("{to}: gtn-run was ended there by signal {}", ended - 128)))
        }
        code => Ok(code),
    }
}
