//! gtn-export: the bundle that fits a target device, proved before it exists.

mod bundle_writer;
mod calibration;
mod candidate;
mod choose;
mod cli;
mod contest;
mod export;
mod fallback;
mod half;
mod int8;
mod kit;
mod lanes;
mod model_card;
mod onnx_nodes;
mod onnx_proto;
mod onnx_writer;
mod qdq_writer;
mod selection;
mod sqnr;
mod students;
mod targets;
mod untrained;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    gtn_core::exit::run("gtn-export", move || match &cli.command {
        None if cli.export.selects() => selection::run(&cli.export),
        None => export::run(&cli.export),
        Some(Command::Kit(args)) => kit::run(args),
        Some(Command::Targets { name }) => targets::run(name.as_deref()),
    })
}
