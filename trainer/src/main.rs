//! gtn-train: teachers, their baselines and distilled students, with libtorch.

mod branch;
mod checkpoint;
mod classifiers;
mod cli;
mod commands;
mod cost_command;
mod data_command;
mod device;
mod distill;
mod evaluate;
mod generic;
mod learner;
mod loader;
mod net;
mod params;
mod pool_command;
mod recipe;
mod run_dir;
mod sampling;
mod save;
mod schedule;
mod search;
mod sgd;
mod study;
mod study_cell;
mod study_table;
mod supernet;
mod tensorboard;
mod train;
mod train_loop;

use clap::Parser;
use cli::{Cli, Command};
use gtn_core::Result;
use gtn_core::program::exit;
use std::io::IsTerminal;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit::run("gtn-train", || match parse()?.command {
        Command::Teacher(args) => train::teacher(&args, device::load_cuda()),
        Command::Student(args) => train::student(&args, device::load_cuda()),
        Command::Eval(args) => commands::eval(&args, device::load_cuda()),
        Command::Search(args) => search::run(&args, device::load_cuda()),
        Command::Study(args) => study::run(&args),
        Command::Cost(args) => cost_command::run(&args, device::load_cuda()),
        Command::Pool(args) => pool_command::run(&args.action),
        Command::Data { data } => data_command::run(&data),
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
