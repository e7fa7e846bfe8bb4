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
mod lanes;
mod model_card;
mod onnx_nodes;
mod onnx_proto;
mod onnx_writer;
mod qdq_writer;
mod sqnr;
mod targets;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    gtn_core::exit::run("gtn-export", move || match &cli.command {
        None => export::run(&cli.export),
        Some(Command::Targets { name }) => targets::run(name.as_deref()),
    })
}
