//! gtn-run: proves a bundle's accuracy and latency on the device.

mod cli;
mod commands;
mod output;
mod passed;
mod prepare;
mod remote_answer;
mod remote_arguments;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use cli::{Cli, Command};
use commands::{answer, classify, compare, infer, info, inspect, prove, soak, table, tune};
use gtn_core::program::exit;
use gtn_core::program::progress::Progress;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use gtn_run::remote::{self, Address, Hearer};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: the first thing in this program.
    unsafe { gtn_run::backend::ort::library::disable_telemetry() };
    #[cfg(feature = "wgpu")]
    // SAFETY: the same.
    unsafe {
        gtn_run::gpu::quiet();
    };
    exit::run("gtn-run", || {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(std::env::args_os()).or_else(told)?;
        let cli = Cli::from_arg_matches(&matches).or_else(told)?;
        one_of_both(&matches)?;
        let Some(address) = &cli.on else {
            return if cli.dist.is_some() { Err(Error::usage("--dist: only with --on")) } else { here(&cli) };
        };
        match there(&command, &matches, address, cli.dist.as_deref())? {
            0 => Ok(()),
            code => std::process::exit(code.into()), // the program there has said why
        }
    })
}

/// Ends the program where its command line does. Help and version are answers, which a full disk may keep from being
/// told.
fn told<T>(e: clap::Error) -> Result<T> {
    if e.use_stderr() || std::io::stdout().is_terminal() {
        e.exit()
    }
    exit::print(&e.render().to_string())?;
    std::process::exit(0)
}

/// On another machine; the exit status there. What it printed has been printed.
fn there(program: &clap::Command, matches: &ArgMatches, to: &Address, dist: Option<&Path>) -> Result<u8> {
    let (mut line, output) = remote_arguments::read(program, matches)?;
    remote_arguments::check_writable(&line, &output)?;
    let mut bar: Option<Progress> = None;
    let mut copied = |done: u64, of: u64| {
        let bar = bar.get_or_insert_with(|| Progress::new("copy", of));
        match done == of {
            true => bar.finish(&format!("{} copied", format::bytes(of))),
            false => bar.tick(done, &format::bytes(of)),
        }
    };
    let mut hear = Hearer { line: &mut |text| exit::note(text), copied: &mut copied };
    remote::run(&mut line, to, dist, &mut hear, |line, came| remote_answer::tell(line, &output, came, to))
}

fn here(cli: &Cli) -> Result<()> {
    match &cli.command {
        None => prove::all(&cli.all),
        Some(Command::Verify(args)) => prove::verify(args),
        Some(Command::Eval(args)) => prove::eval(args),
        Some(Command::Bench(args)) => prove::bench(args),
        Some(Command::Soak(args)) => soak::run(args),
        Some(Command::Profile(args)) => inspect::profile(args),
        Some(Command::Tune(args)) => tune::run(args),
        Some(Command::Compare(args)) => compare::compare(args),
        Some(Command::Report(args)) => compare::report(args),
        Some(Command::Memory(args)) => inspect::memory(args),
        Some(Command::Classify(args)) => classify::run(args),
        Some(Command::Infer(args)) => infer::run(args),
        Some(Command::Answer(args)) => answer::run(args),
        Some(Command::Table(args)) => table::run(args),
        Some(Command::Info(args)) => info::run(args),
    }
}

/// What stands before a command is for a bundle alone, and would be without effect: only where to run may be there.
fn one_of_both(matches: &ArgMatches) -> Result<()> {
    let Some((command, _)) = matches.subcommand() else { return Ok(()) };
    let given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let stray = matches.ids().map(|id| id.as_str()).filter(given).find(|id| !["on", "dist"].contains(id));
    match stray {
        Some(id) => Err(Error::usage(format!("`{id}` before {command}: put it after the command"))),
        None => Ok(()),
    }
}
