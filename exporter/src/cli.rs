//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Writes the ONNX bundle that fits a target device, and verifies it before it exists.
#[derive(Debug, Parser)]
#[command(
    name = "gtn-export",
    version,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// What else to do
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub export: ExportArgs,
}

/// What else to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List device profiles, or show one
    Targets {
        /// Profile's name, or a path to a .toml
        name: Option<String>,
    },
}

/// Arithmetic of the shipped model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// The best that the profile names and this version writes
    Auto,
    /// 32-bit floats
    Fp32,
}

/// `gtn-export --target T STUDENT_DIR --out DIR`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Trained student (or teacher), as gtn-train wrote it
    #[arg(value_name = "STUDENT_DIR", required = true)]
    pub student: Option<PathBuf>,
    /// Device profile: host, rpi5, or a path to a .toml
    #[arg(long, value_name = "TARGET", required = true)]
    pub target: Option<String>,
    /// NAME.gtn to write, or a folder that STUDENT-TARGET.gtn is written to
    #[arg(long, value_name = "DIR", required = true)]
    pub out: Option<PathBuf>,
    /// Arithmetic of the shipped model
    #[arg(long, value_enum, default_value = "auto")]
    pub precision: Precision,
    /// Where the test images are: cifar10:DIR, ... (embedded data needs none)
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Test images in the bundle, equally many of each class
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub eval_set: usize,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE")]
    pub ort_lib: Option<PathBuf>,
    /// Print the export report as JSON
    #[arg(long)]
    pub json: bool,
}
