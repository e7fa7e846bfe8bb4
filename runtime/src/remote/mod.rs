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
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use store::Store;

/// This says where the gtn-run comes from that a machine runs.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The gtn-run of this machine: for machines that are alike.
    pub ours: PathBuf,
    /// A folder or archive of `make dist`: for any other; none: looked for beside `ours`.
    pub dist: Option<PathBuf>,
}

/// This is who hears of a run while it goes on.
pub struct Hearer<'a> {
    /// A line of words, for people.
    pub line: &'a mut dyn FnMut(&str),
    /// Bytes copied there, of how many.
    pub copied: &'a mut dyn FnMut(u64, u64),
}

/// This is another machine, or this one as any other: a connection, over which commands run in turn.
pub struct Machine {
    address: Address,
    link: Link,
    program: Program,
    /// The program and its library, hashed once.
    base: session::Base,
    /// Hashes of files that are there: found, or copied, over this connection.
    there: BTreeSet<String>,
    boot_id: Option<String>,
}

impl Machine {
    /// Connects, and finds the program for it. `launcher` is put before the program there (`taskset -c 0`); with one,
    /// the program may be of another processor, which the launcher emulates. Fails where the machine cannot be
    /// reached or there is no program for it.
    pub fn reach(address: &Address, programs: &Programs, launcher: &[String]) -> Result<Self> {
        let mut link = Link::open(address)?;
        let told =
            link.ask("uname -sm; cat /proc/sys/kernel/random/boot_id 2>/dev/null; true", Vec::new())?;
        let mut lines = told.lines().map(str::trim);
        let machine = lines.next().unwrap_or_default();
        let program = Program::choose(machine, address, programs, !launcher.is_empty())?;
        let boot_id = lines.next().filter(|id| !id.is_empty()).map(str::to_owned);
        let base = session::Base::new(&program, launcher)?;
        let (address, there) = (address.clone(), BTreeSet::new());
        Ok(Self { address, link, program, base, there, boot_id })
    }

    /// Tells one start of one machine from all others, also where several addresses lead to it; none: it does not say.
    pub fn boot_id(&self) -> Option<&str> {
        self.boot_id.as_deref()
    }

    /// Copies what is missing there, runs the command, and returns what came back; its exit status is one of the
    /// program's own. What came is the caller's to check. Fails where the connection does, where the program does not
    /// start or is ended there, and where what came back is not what was asked for.
    pub fn run(&mut self, line: &mut Line, hear: &mut Hearer<'_>) -> Result<Came> {
        let store = gathered(line)?;
        self.run_with(store, line, hear)
    }

    fn run_with(&mut self, mut store: Store, line: &Line, hear: &mut Hearer<'_>) -> Result<Came> {
        let wanted = session::Wanted::new(&mut store, &self.base, line);
        store.copy(&mut self.link, &mut self.there, hear)?;
        session::run(&mut self.link, &wanted, line, hear)
    }

    /// Returns a run's exit status if it is one of the program's own, else the error that it stands for.
    pub fn status(&self, code: u8) -> Result<u8> {
        let to = &self.address;
        match code {
            failed @ (126 | 127) => Err(Error::Unavailable(format!(
                "{to}: {} does not start there (exit status {failed}): --dist names another one",
                self.program.path.display()
            ))),
            ended @ 129.. => {
                Err(Error::Failed(format!("{to}: gtn-run was ended there by signal {}", ended - 128)))
            }
            code => Ok(code),
        }
    }
}

/// Runs `line` there, has `tell` check, write and print what came back, and returns its exit status. Fails where the
/// machine cannot be reached or has no program of ours that starts there, where what came back is not what was asked for,
/// and where `tell` fails.
pub fn run(
    line: &mut Line,
    to: &Address,
    dist: Option<&Path>,
    hear: &mut Hearer<'_>,
    tell: impl FnOnce(&Line, Came) -> Result<u8>,
) -> Result<u8> {
    let store = gathered(line)?; // what cannot be read here is told before anybody is called
    let ours = std::env::current_exe();
    let ours = ours.map_err(|e| Error::Failed(format!("this program's own file: {e}")))?;
    let programs = Programs { ours, dist: dist.map(Path::to_owned) };
    let mut machine = Machine::reach(to, &programs, &[])?;
    let came = machine.run_with(store, line, hear)?;
    machine.status(tell(line, came)?)
}

/// The files that the command reads.
fn gathered(line: &mut Line) -> Result<Store> {
    let mut store = Store::default();
    for input in &line.inputs {
        store.add(input, &mut line.names)?;
    }
    Ok(store)
}
