//! gtn-export: the bundle that fits a target device, proved before it exists.

mod bundle_writer;
mod cli;
mod export;
mod half;
mod model_card;
mod onnx_nodes;
#[allow(dead_code)] // serves the two writers below
mod onnx_proto;
#[allow(dead_code)] // fp16: reached once --precision fp16 is
mod onnx_writer;
#[allow(dead_code)] // reached by kits and once --precision int8 is
mod qdq_writer;
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
