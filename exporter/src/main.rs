//! gtn-export: the bundle that fits a target device, proved before it exists.

use clap::Parser;
use gtn_core::Result;
use gtn_core::program::exit;
use gtn_export::cli::{Cli, Command};
use gtn_export::commands::{check, export, fleet, kit, select, targets};
use std::io::IsTerminal;
use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: the first thing in this program.
    unsafe { gtn_run::backend::ort::library::disable_telemetry() };
    // SAFETY: the same.
    unsafe { gtn_run::gpu::quiet() };
    exit::run("gtn-export", || {
        let cli = parse()?;
        match &cli.command {
            None if cli.fleet.fleet.is_some() => fleet::run(&cli.export, &cli.fleet),
            None if cli.export.selects() => select::run(&cli.export),
            None => export::run(&cli.export),
            Some(Command::Check(args)) => check::run(args),
            Some(Command::Kit(args)) => kit::run(args),
            Some(Command::Targets(args)) => targets::run(args),
        }
    })
}

/// The command line. Help and version are answers, which a full disk may keep from being told.
fn parse() -> Result<Cli> {
    Cli::try_parse().or_else(|e| {
        if e.use_stderr() || std::io::stdout().is_terminal() {
            e.exit()
        }
        exit::print(&e.render().to_string())?;
        std::process::exit(0)
    })
}
