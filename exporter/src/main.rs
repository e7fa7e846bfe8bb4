//! gtn-export: the bundle that fits a target device, proved before it exists.

use clap::Parser;
use gtn_export::cli::{Cli, Command};
use gtn_export::{check, export, kit, selection, targets};
use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: the first thing in this program.
    unsafe { gtn_run::ort_library::disable_telemetry() };
    let cli = Cli::parse();
    gtn_core::exit::run("gtn-export", move || match &cli.command {
        None if cli.export.selects() => selection::run(&cli.export),
        None => export::run(&cli.export),
        Some(Command::Check(args)) => check::run(args),
        Some(Command::Kit(args)) => kit::run(args),
        Some(Command::Targets(args)) => targets::run(args),
    })
}
