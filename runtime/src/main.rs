//! gtn-run: proves a bundle's accuracy and latency on the device.

mod classify_command;
mod cli;
mod commands;
mod compare_command;
mod infer;
mod info;
mod inside;
mod prepare;
mod table;
mod tune_command;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    gtn_core::exit::run("gtn-run", move || match &cli.command {
        None => commands::all(&cli.all),
        Some(Command::Verify(args)) => commands::verify(args),
        Some(Command::Eval(args)) => commands::eval(args),
        Some(Command::Bench(args)) => commands::bench(args),
        Some(Command::Profile(args)) => inside::profile(args),
        Some(Command::Tune(args)) => tune_command::run(args),
        Some(Command::Compare(args)) => compare_command::compare(args),
        Some(Command::Report(args)) => compare_command::report(args),
        Some(Command::Memory(args)) => inside::memory(args),
        Some(Command::Classify(args)) => classify_command::run(args),
        Some(Command::Infer(args)) => infer::run(args),
        Some(Command::Table(args)) => table::run(args),
        Some(Command::Info(args)) => info::run(args),
    })
}
