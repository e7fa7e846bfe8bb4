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
    /// The fastest of the profile's that keeps its accuracy
    Auto,
    /// 32-bit floats
    Fp32,
    /// 16-bit floats inside, 32-bit ones at both ends
    Fp16,
    /// 8-bit integers, statically quantised
    Int8,
}

/// A step that can be left to measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// What measures better
    Auto,
    /// Done
    On,
    /// Left out
    Off,
}

impl Switch {
    /// None: to be found.
    pub fn decided(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::On => Some(true),
            Self::Off => Some(false),
        }
    }
}

/// How int8 (and fp16) are made and judged.
#[derive(Debug, Args)]
pub struct Int8Args {
    /// Training images whose val part calibrates and judges: cifar10:DIR, ... (default: those the student
    /// was trained on)
    #[arg(long, value_name = "DATA")]
    pub calib: Option<String>,
    /// Calibration images
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub calib_images: usize,
    /// How ranges are chosen: auto, minmax, percentile, entropy, mse
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    pub calibration: String,
    /// Top-1 that may be lost on val, in points
    #[arg(long, value_name = "POINTS", default_value_t = 0.5)]
    pub max_drop: f64,
    /// Cross-layer equalisation
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub equalise: Switch,
    /// Bias correction
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub bias_correction: Switch,
    /// Layers in fp32: auto (the fewest that --max-drop needs), none, or NAME,NAME,...
    #[arg(long, value_name = "LAYERS", default_value = "auto")]
    pub keep_fp32: String,
    /// One weight scale per tensor instead of per output channel: for comparison
    #[arg(long)]
    pub per_tensor: bool,
}

/// `gtn-export --target T STUDENT_DIR --out DIR`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Trained student (or teacher), as gtn-train wrote it
    #[arg(value_name = "STUDENT_DIR", required = true)]
    pub student: Option<PathBuf>,
    /// Device profile (gtn-export targets), or a path to a .toml
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
    #[command(flatten)]
    #[allow(missing_docs)]
    pub int8: Int8Args,
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
