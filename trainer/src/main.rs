//! gtn-train: teachers, their baselines and distilled students, with libtorch.

mod checkpoint;
mod cli;
mod commands;
mod data_command;
mod device;
mod distill;
mod evaluate;
mod loader;
mod net;
mod pool_command;
mod recipe;
mod run_dir;
mod save;
mod schedule;
mod sgd;
mod signals;
mod train_loop;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    gtn_core::exit::run("gtn-train", || match Cli::parse().command {
        Command::Teacher(args) => commands::teacher(&args, device::load_cuda()),
        Command::Student(args) => commands::student(&args, device::load_cuda()),
        Command::Eval(args) => commands::eval(&args, device::load_cuda()),
        Command::Pool(args) => pool_command::run(&args.action),
        Command::Data { data } => data_command::run(&data),
    })
}
