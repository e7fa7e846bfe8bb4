//! gtn-train: teachers, their baselines and distilled students, with libtorch.
//!
//! ```text
//! gtn-train teacher --method gtn --pool res-mini --teacher resnet14 --data fashion-mnist-mini --out runs/teacher
//! gtn-train student --teacher runs/teacher --arch pool:res-mini:d111-k333-e111 --data fashion-mnist-mini --out runs/student
//! gtn-train eval runs/student --data fashion-mnist-mini
//! ```
//!
//! The wings, ground floor first:
//!
//! - `recipe`: every number of a run
//! - `engine`: what trains anything: networks, batches, the optimiser, the loop, a run's folder
//! - `method`: the generic teacher, its baselines, the supernet, distillation
//! - `commands`: train, eval, search, cost, data and pool, from their arguments (`cli`)
//! - `study`: many runs and the table that compares them

mod cli;
mod commands;
mod engine;
mod method;
mod recipe;
mod study;

use clap::Parser;
use cli::{Cli, Command};
use commands::{cost, data, eval, pool, search, train};
use engine::device;
use gtn_core::Result;
use gtn_core::program::exit;
use std::io::IsTerminal;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit::run("gtn-train", || match parse()?.command {
        Command::Teacher(args) => train::teacher(&args, device::load_cuda()),
        Command::Student(args) => train::student(&args, device::load_cuda()),
        Command::Eval(args) => eval::eval(&args, device::load_cuda()),
        Command::Search(args) => search::run(&args, device::load_cuda()),
        Command::Study(args) => study::run(&args),
        Command::Cost(args) => cost::run(&args, device::load_cuda()),
        Command::Pool(args) => pool::run(&args.action),
        Command::Data(args) => data::run(&args),
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
