//! The command line.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use gtn_core::Precision;
use gtn_run::backend::sizes::InputShape;
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
    #[command(flatten)]
    #[allow(missing_docs)]
    pub fleet: FleetArgs,
}

/// `gtn-export --fleet F --from RUNS --out DIR`
#[derive(Debug, Args)]
pub struct FleetArgs {
    /// Serve every device of this fleet.toml from the students below --from; --out is the result's folder
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["from", "out"],
        conflicts_with_all = ["target", "student", "latency_ms", "memory_mb", "table", "precision"]
    )]
    pub fleet: Option<PathBuf>,
    /// An earlier fleet.json: what became slower since is told, and misses a limit
    #[arg(long, value_name = "FILE", requires = "fleet")]
    pub against: Option<PathBuf>,
    /// Programs for devices that are unlike this machine (make dist)
    #[arg(long, value_name = "DIR", requires = "fleet")]
    pub dist: Option<PathBuf>,
    /// Time for a device's latency table
    #[arg(long, value_name = "S", requires = "fleet", default_value_t = 150.0)]
    pub table_seconds: f64,
    /// Time for each of the five runs that prove a bundle on its device
    #[arg(long, value_name = "S", requires = "fleet", default_value_t = 2.0)]
    pub run_seconds: f64,
}

/// What else to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A student pool's operators as tiny models, for gtn-run table to measure on the device
    Kit(KitArgs),
    /// List device profiles, or show one with who says so
    Targets(TargetsArgs),
    /// Whether a target can run an ONNX model, whoever wrote it: operators, precision, size, memory
    Check(CheckArgs),
}

/// Arithmetic of the shipped model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// The fastest of the profile's that keeps its accuracy
    Auto,
    /// 32-bit floats
    Fp32,
    /// 16-bit floats inside, 32-bit ones at both ends
    Fp16,
    /// 8-bit integers, statically quantised
    Int8,
}

impl PrecisionArg {
    /// Returns what was decided; `None` where it is to be found.
    pub fn decided(self) -> Option<Precision> {
        match self {
            Self::Auto => None,
            Self::Fp32 => Some(Precision::Fp32),
            Self::Fp16 => Some(Precision::Fp16),
            Self::Int8 => Some(Precision::Int8),
        }
    }
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
    /// Returns what was decided; `None` where it is to be found.
    pub fn decided(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::On => Some(true),
            Self::Off => Some(false),
        }
    }
}

/// The pictures that the bundle carries, with the classes that the shipped model gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SamplesArg {
    /// Six of the test images: a photograph's file as it is, with all that stands in it (EXIF's place, too)
    Own,
    /// Six that the program makes: PNG, JPEG and WebP of unlike sizes
    Made,
    /// No pictures
    None,
}

impl std::fmt::Display for SamplesArg {
    /// As `--samples` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Own => "own",
            Self::Made => "made",
            Self::None => "none",
        })
    }
}

/// How int8 (and fp16) are made and judged.
#[derive(Debug, Clone, Args)]
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
    /// What one class may lose, in points, beyond doubt (default: 5 or more are a warning)
    #[arg(long, value_name = "POINTS")]
    pub max_class_drop: Option<f64>,
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
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Trained student (or teacher), as gtn-train wrote it
    #[arg(value_name = "STUDENT_DIR", required_unless_present = "from", conflicts_with = "from")]
    pub student: Option<PathBuf>,
    /// Choose the most accurate student (on val) below this folder that is within --latency-ms and
    /// --memory-mb; without --out, only say which
    #[arg(long, value_name = "RUNS_DIR")]
    pub from: Option<PathBuf>,
    /// One inference at batch 1 may take so long on the target
    #[arg(long, value_name = "X")]
    pub latency_ms: Option<f64>,
    /// Weights and live activations may need so much, MiB (the runtime itself is not counted)
    #[arg(long, value_name = "Y")]
    pub memory_mb: Option<f64>,
    /// Predict latency from this table (gtn-run table); else it is measured where the target is this
    /// machine, and predicted from the device profile where it is not
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,
    /// Device profile (gtn-export targets), or a path to a .toml
    #[arg(long, value_name = "TARGET", required_unless_present = "fleet")]
    pub target: Option<String>,
    /// NAME.gtn to write, or a folder that STUDENT-TARGET.gtn is written to
    #[arg(long, value_name = "DIR", required_unless_present = "from")]
    pub out: Option<PathBuf>,
    /// Arithmetic of the shipped model
    #[arg(long, value_enum, default_value = "auto")]
    pub precision: PrecisionArg,
    /// Where the test images are: cifar10:DIR, ... (embedded data needs none)
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Share of the pictures of --data and --calib that may be unreadable, 0 to 1 (default: as the student's
    /// training had it, of other pictures 0.01)
    #[arg(long, value_name = "SHARE", requires = "data")]
    pub max_bad: Option<f64>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub int8: Int8Args,
    /// Test images in the bundle, equally many of each class
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub eval_set: usize,
    /// Pictures in the bundle, for verify and classify (default: own of embedded data, made of any other)
    #[arg(long, value_enum, value_name = "WHICH")]
    pub samples: Option<SamplesArg>,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE")]
    pub ort_lib: Option<PathBuf>,
    /// Print the export report as JSON
    #[arg(long)]
    pub json: bool,
}

impl ExportArgs {
    /// Returns whether there is something to choose, or a limit to keep.
    pub fn selects(&self) -> bool {
        self.from.is_some() || self.latency_ms.is_some() || self.memory_mb.is_some()
    }
}

/// `gtn-export kit`
#[derive(Debug, Args)]
pub struct KitArgs {
    /// Device profile: a name (gtn-export targets lists them), or a path to a .toml
    #[arg(long, value_name = "TARGET")]
    pub target: String,
    /// Student pool: its name, its FILE.toml, or the folder of a generic teacher; several make one kit
    #[arg(long, value_name = "POOL", required_unless_present = "arch")]
    pub pool: Vec<String>,
    /// A network of no pool: a name (mobilenetv2), an arch file, or a trained network's folder; several make
    /// one kit
    #[arg(long, value_name = "NETWORK")]
    pub arch: Vec<String>,
    /// The students' input as CxHxW
    #[arg(long, value_name = "CxHxW", default_value = "3x32x32")]
    pub input: String,
    /// The students' classes
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub classes: usize,
    /// fp32, fp16 or int8; several make one kit (default: all that the profile names)
    #[arg(long, value_name = "PRECISION", value_parser = PossibleValuesParser::new(["fp32", "fp16", "int8"]).try_map(|p| p.parse::<Precision>()))]
    pub precision: Vec<Precision>,
    /// Whole students of each pool, at random: they show what operators do not, and how far off a
    /// prediction may be
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(9..))]
    pub networks: u8,
    /// Draws them
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// NAME.gtnkit to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `gtn-export targets`
#[derive(Debug, Args)]
pub struct TargetsArgs {
    /// Profile's name, or a path to a .toml
    pub name: Option<String>,
    /// The profile as TOML: what a profile of your own starts from
    #[arg(long, requires = "name")]
    pub toml: bool,
}

/// `gtn-export check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A .onnx file, or a bundle
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Device profile: a name (gtn-export targets lists them), or a path to a .toml
    #[arg(long, value_name = "TARGET")]
    pub target: String,
    /// An input's shape, where the model leaves more than the batch open: image=1x3x224x224
    #[arg(long, value_name = "[NAME=]DIMS")]
    pub shape: Vec<InputShape>,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE")]
    pub ort_lib: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
