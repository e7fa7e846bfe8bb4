//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Proves a bundle's accuracy and latency on this machine.
#[derive(Debug, Parser)]
#[command(name = "gtn-run", version, arg_required_else_help = true, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; a bundle alone: verify, eval and bench in one report
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub all: AllArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Does this machine answer the golden images as the bundle says?
    Verify(ModelArgs),
    /// Top-1 and top-5 on the bundle's evaluation images or on --data
    Eval(EvalArgs),
    /// Latency of one inference
    Bench(BenchCommand),
    /// Run a model on arrays from .npy files
    Infer(InferArgs),
    /// This machine, the backend found, and what a bundle or model says about itself
    Info(InfoArgs),
}

/// `gtn-run BUNDLE...`
#[derive(Debug, Args)]
pub struct AllArgs {
    /// Bundles; several make one table and one page
    #[arg(value_name = "BUNDLE")]
    pub bundles: Vec<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub settings: BenchSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: BackendArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// `gtn-run verify`
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Bundle
    #[arg(value_name = "BUNDLE")]
    pub model: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: BackendArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// `gtn-run eval`
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Bundle, or a model.onnx that tells its preprocessing and labels
    #[arg(value_name = "BUNDLE|MODEL.onnx")]
    pub model: PathBuf,
    /// Test images: fashion-mnist-mini, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Compare the logits with these (.npy, as gtn-train eval --logits writes)
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Write the logits (.npy, f32 [n, classes])
    #[arg(long, value_name = "FILE")]
    pub logits: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: BackendArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// `gtn-run bench`
#[derive(Debug, Args)]
pub struct BenchCommand {
    /// Bundle or model
    #[arg(value_name = "BUNDLE|MODEL.onnx")]
    pub model: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub settings: BenchSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: BackendArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// `gtn-run infer`
#[derive(Debug, Args)]
pub struct InferArgs {
    /// Bundle or model
    #[arg(value_name = "BUNDLE|MODEL.onnx")]
    pub model: PathBuf,
    /// An input's values; NAME may be left out where the model has one input
    #[arg(long, value_name = "[NAME=]X.npy", required = true)]
    pub input: Vec<String>,
    /// Folder for the outputs, one NAME.npy each
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: BackendArgs,
}

/// `gtn-run info`
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Bundle or model
    #[arg(value_name = "BUNDLE|MODEL.onnx")]
    pub model: Option<PathBuf>,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE")]
    pub ort_lib: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How long to measure.
#[derive(Debug, Args)]
pub struct BenchSettings {
    /// Measure at least this long
    #[arg(long, value_name = "S", default_value_t = 3.0)]
    pub seconds: f64,
    /// Measure at least so many inferences
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub runs: usize,
    /// Warm up at least this long
    #[arg(long, value_name = "S", default_value_t = 0.5)]
    pub warmup: f64,
}

/// What computes.
#[derive(Debug, Args)]
pub struct BackendArgs {
    /// auto or ort
    #[arg(long, default_value = "auto")]
    pub backend: String,
    /// Compute threads (default: all cores)
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Images per inference
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub batch: usize,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE")]
    pub ort_lib: Option<PathBuf>,
}

/// Where results go beside the terminal.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Write the report as JSON; `-` prints it instead of the tables
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}
