//! The command line.

use crate::passed::Passed;
use clap::{Args, Parser, Subcommand};
use gtn_run::backend::sizes::InputShape;
use gtn_run::remote::Address;
use std::path::PathBuf;

/// Proves a bundle's accuracy and latency on this machine.
#[derive(Debug, Parser)]
#[command(name = "gtn-run", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do; a bundle alone: verify, eval and bench in one report
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub all: AllArgs,
    /// Run there: ssh:[USER@]HOST[:PORT] or adb:SERIAL; copies what is missing, brings the results here
    #[arg(long, global = true, value_name = "WHERE", help_heading = "Another machine")]
    pub on: Option<Address>,
    /// What to run there, as `make dist` made it (default: this program where machines are alike, else dist/)
    #[arg(long, global = true, value_name = "DIR|TAR.GZ", help_heading = "Another machine")]
    pub dist: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Does this machine answer the golden images and the sample pictures as the bundle says?
    Verify(ModelArgs),
    /// Top-1 and top-5 on the bundle's evaluation images or on --data
    Eval(EvalArgs),
    /// Latency of one inference, or of a sweep over threads and batch sizes
    Bench(BenchCommand),
    /// Latency over minutes under load: when is it steady, and how much slower than at first?
    Soak(SoakArgs),
    /// Where the time goes: each node's time, work and rate
    Profile(ProfileArgs),
    /// Find the best threads, spinning and cores for a model here, for --settings
    Tune(TuneArgs),
    /// Which of two models is faster: measured in turn, or from reports of several runs each
    Compare(CompareArgs),
    /// Tables and a page about saved reports, of one or many devices
    Report(ReportArgs),
    /// Resident memory of a model alone, and whether it grows
    Memory(MemoryArgs),
    /// What is on these pictures?
    Classify(ClassifyArgs),
    /// Run a model on arrays from .npy files
    Infer(InferArgs),
    /// Answer pictures on stdin until it ends: how gtn-train asks a teacher that is an ONNX file
    Answer(AnswerArgs),
    /// Measure a kit's operators on this device: its latency table
    Table(TableArgs),
    /// This machine, the backend found, and what a bundle or model says about itself
    Info(InfoArgs),
}

/// `gtn-run BUNDLE...`
#[derive(Debug, Args)]
pub struct AllArgs {
    /// Bundles; several make one table and one page
    #[arg(value_name = "BUNDLE")]
    pub bundles: Vec<PathBuf>,
    /// Time each node as well
    #[arg(long)]
    pub profile: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub settings: BenchSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: Passed<BackendArgs>,
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
    /// Test images: fashion-mnist-mini, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, imagefolder@SIDE:DIR,
    /// tiny-imagenet@SIDE:DIR, tar@SIDE:FILES
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Share of the pictures of --data that may be unreadable, 0 to 1 (default: 0.01)
    #[arg(long, value_name = "SHARE", requires = "data")]
    pub max_bad: Option<f64>,
    /// Take --data of other content than the bundle's network was trained with
    #[arg(long, requires = "data")]
    pub other_data: bool,
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
    /// Measure with each of these thread counts
    #[arg(long, value_name = "N,...", value_delimiter = ',', conflicts_with = "threads")]
    pub sweep_threads: Vec<usize>,
    /// Measure with each of these batch sizes
    #[arg(long, value_name = "N,...", value_delimiter = ',', conflicts_with = "batch")]
    pub sweep_batches: Vec<usize>,
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

/// `gtn-run soak`
#[derive(Debug, Args)]
pub struct SoakArgs {
    /// Bundle or model
    #[arg(value_name = "BUNDLE|MODEL.onnx")]
    pub model: PathBuf,
    /// Keep the load up so long, 0.1 to 720
    #[arg(long, value_name = "M", default_value_t = 30.0)]
    pub minutes: f64,
    /// Begin an inference every so often, as a camera does, instead of back to back
    #[arg(long, value_name = "MS")]
    pub interval_ms: Option<f64>,
    /// Copy inputs and outputs each time instead of binding them once
    #[arg(long)]
    pub copy_io: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: BackendArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// `gtn-run profile`
#[derive(Debug, Args)]
pub struct ProfileArgs {
    /// Bundle or model
    #[arg(value_name = "BUNDLE|MODEL.onnx")]
    pub model: PathBuf,
    /// Inferences to average over
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub runs: usize,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: BackendArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// `gtn-run tune`
#[derive(Debug, Args)]
pub struct TuneArgs {
    /// Bundle or model
    #[arg(value_name = "BUNDLE|MODEL.onnx")]
    pub model: PathBuf,
    /// Write the settings here
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Measure about this long in all
    #[arg(long, value_name = "S", default_value_t = 6.0)]
    pub seconds: f64,
    /// Images per inference (default: the model's own where it is fixed, else 1)
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// An input's shape, where the model leaves more than the batch open: image=1x3x224x224
    #[arg(long, value_name = "[NAME=]DIMS")]
    pub shape: Vec<InputShape>,
    /// ort: threads, spinning and cores; wgpu: kernels, kept for the next time
    #[arg(long, default_value = "ort")]
    pub backend: String,
    /// Let backend wgpu use a software adapter
    #[arg(long)]
    pub allow_software: bool,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE")]
    pub ort_lib: Option<PathBuf>,
}

/// `gtn-run compare`
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Bundle or model; or reports: a .json file with one or a list, or a folder of such files
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// The same, judged against A
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// Rounds; each loads both models anew
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub rounds: usize,
    /// Measure about this long in all
    #[arg(long, value_name = "S", default_value_t = 6.0)]
    pub seconds: f64,
    /// Differences below this are no difference
    #[arg(long, value_name = "%", default_value_t = 1.0)]
    pub min_effect: f64,
    /// Of the random order of turns
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Compare reports of unlike hosts or settings
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: BackendArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// `gtn-run report`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Files as --json wrote them, or folders of such files
    #[arg(value_name = "REPORT.json", required = true)]
    pub reports: Vec<PathBuf>,
    /// Write one self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `gtn-run memory`
#[derive(Debug, Args)]
pub struct MemoryArgs {
    /// Bundle or model
    #[arg(value_name = "BUNDLE|MODEL.onnx")]
    pub model: PathBuf,
    /// Inferences after the warm-up
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub runs: usize,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: BackendArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArgs,
}

/// `gtn-run classify`
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// Bundle, or a model.onnx that tells its preprocessing and labels
    #[arg(value_name = "BUNDLE|MODEL.onnx")]
    pub model: PathBuf,
    /// PNG, JPEG or WebP files, or folders of them (default: the bundle's own samples)
    #[arg(value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// Tell the K most probable classes of each
    #[arg(long, value_name = "K", default_value_t = 3)]
    pub top: usize,
    /// Write the answers as JSON; `-` prints it instead of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: BackendArgs,
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

/// `gtn-run answer`
#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// Bundle or model
    #[arg(value_name = "BUNDLE|MODEL.onnx")]
    pub model: PathBuf,
    /// What is done to pixels, where the model does not tell it: JSON or TOML with channels, height, width, mean, std
    #[arg(long, value_name = "FILE")]
    pub preprocess: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backend: BackendArgs,
}

/// `gtn-run table`
#[derive(Debug, Args)]
pub struct TableArgs {
    /// Kit, as gtn-export kit wrote it
    #[arg(value_name = "KIT.gtnkit")]
    pub kit: PathBuf,
    /// Table to write (JSON); what is measured so far is beside it as FILE.part
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Time to spend (four rounds over all models are made in any case)
    #[arg(long, value_name = "S", default_value_t = 150.0)]
    pub seconds: f64,
    /// What the network will run with: ort, wgpu or rust
    #[arg(long, default_value = "ort")]
    pub backend: String,
    /// Let backend wgpu use a software adapter
    #[arg(long)]
    pub allow_software: bool,
    /// Compute threads (default: all cores)
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Go on with FILE.part
    #[arg(long, conflicts_with = "fresh")]
    pub resume: bool,
    /// Start anew, whatever FILE.part holds
    #[arg(long)]
    pub fresh: bool,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE")]
    pub ort_lib: Option<PathBuf>,
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
    /// Warm up at least so many inferences
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub warmup_runs: usize,
    /// Begin an inference every so often, as a camera does, instead of back to back
    #[arg(long, value_name = "MS")]
    pub interval_ms: Option<f64>,
    /// MLPerf's single stream: at least 1024 inferences and 60 s
    #[arg(long, conflicts_with_all = ["interval_ms", "seconds", "runs"])]
    pub mlperf: bool,
    /// Copy inputs and outputs each time instead of binding them once
    #[arg(long)]
    pub copy_io: bool,
}

/// What computes.
#[derive(Debug, Args)]
pub struct BackendArgs {
    /// auto (the first of the profile's that is here), ort (ONNX Runtime), wgpu (any GPU with Vulkan, Metal,
    /// DX12 or OpenGL ES), rust (no library needed)
    #[arg(long, default_value = "auto")]
    pub backend: String,
    /// Let backend wgpu use a software adapter
    #[arg(long)]
    pub allow_software: bool,
    /// How backend wgpu computes convolutions: general, block or tile (default: as suits the adapter)
    #[arg(long, value_name = "NAME")]
    pub kernels: Option<String>,
    /// ONNX Runtime's execution providers, best first (default: as the bundle's profile says); cpu: none
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub ep: Vec<String>,
    /// Compute threads (default: all cores)
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Images per inference (default: the model's own where it is fixed, else 1)
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// An input's shape, where the model leaves more than the batch open: image=1x3x224x224; NAME may be left out
    /// where the model has one input
    #[arg(long, value_name = "[NAME=]DIMS")]
    pub shape: Vec<InputShape>,
    /// Refuse a model whose values (weights aside) take more than this at once, or whose inputs do (default: 2048)
    #[arg(long, value_name = "MIB")]
    pub max_memory_mb: Option<u64>,
    /// Run on these CPUs only: big, little, all, or a list like 0-3,7
    #[arg(long, value_name = "CPUS")]
    pub pin: Option<String>,
    /// Let idle compute threads wait busily (the default), or not
    #[arg(long, value_name = "on|off")]
    pub spin: Option<Switch>,
    /// Threads, spinning and cores as gtn-run tune chose them
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Where sums of int8 products saturate (x86 without VNNI): compute them exactly, or as fast as ONNX Runtime does
    #[arg(long, value_name = "exact|fast", default_value = "exact")]
    pub int8: Int8Switch,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE")]
    pub ort_lib: Option<PathBuf>,
}

/// How int8 is computed where its sums would saturate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Int8Switch {
    /// As the operators are defined.
    Exact,
    /// As ONNX Runtime does unless told otherwise.
    Fast,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Where results go beside the terminal.
#[derive(Debug, Default, Args)]
pub struct OutputArgs {
    /// Write the report as JSON; `-` prints it instead of the tables
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}
