//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use gtn_core::Precision;
use gtn_core::device;
use gtn_core::latency::Predictor;
use std::path::PathBuf;

/// Trains teachers and distilled students.
#[derive(Debug, Parser)]
#[command(name = "gtn-train", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a teacher
    Teacher(TeacherArgs),
    /// Train a student, with or without a teacher
    Student(StudentArgs),
    /// Top-1 and top-5 of a trained folder on the test images
    Eval(EvalArgs),
    /// Find good students of a generic teacher's pool within limits (on val)
    Search(SearchArgs),
    /// Arms x students x seeds: trains what is missing, then the table with intervals
    Study(StudyArgs),
    /// Time a step of each method: what a generic teacher costs
    Cost(CostArgs),
    /// List student pools, or show the students of one
    Pool(PoolArgs),
    /// What a data set holds and what is wrong with it: balance, broken files, duplicates
    Data(DataArgs),
}

/// `data`
#[derive(Debug, Args)]
pub struct DataArgs {
    /// A published set (fashion-mnist-mini, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR), or pictures of yours:
    /// imagefolder@SIDE:DIR, tiny-imagenet@SIDE:DIR, tar@SIDE:FILES
    pub data: String,
    /// Share of the pictures that may be unreadable, 0 to 1 (default: 0.01)
    #[arg(long, value_name = "SHARE")]
    pub max_bad: Option<f64>,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
    /// Write a page with a contact sheet
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// How a teacher is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TeacherMethod {
    /// Cross-entropy alone
    Vanilla,
    /// With branches of one student (--student) on its stages (Park et al. 2021)
    Sftn,
    /// With branches of a whole pool (--pool): the generic teacher (Binici et al. 2024)
    Gtn,
}

impl TeacherMethod {
    /// As in train.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vanilla => "vanilla",
            Self::Sftn => "sftn",
            Self::Gtn => "gtn",
        }
    }
}

/// What a student learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KdMethod {
    /// Labels alone
    None,
    /// Labels and the teacher's softened answers (Hinton et al. 2015)
    Kd,
    /// The same, decoupled into target and other classes (Zhao et al. 2022)
    Dkd,
}

impl KdMethod {
    /// As in train.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kd => "kd",
            Self::Dkd => "dkd",
        }
    }
}

/// `gtn-train teacher`
#[derive(Debug, Args)]
pub struct TeacherArgs {
    /// Architecture: resnet20, wrn-40-2, resnet18, mobilenetv2, mobilenetv3-small, efficientnet-lite0, ... or an arch file
    #[arg(long, value_name = "ARCH")]
    pub teacher: String,
    /// How it is trained
    #[arg(long, value_enum, default_value = "vanilla")]
    pub method: TeacherMethod,
    /// Student pool (gtn): mbv2-cifar, mbv2-mini, mbv2-photo, mbv2-photo-lite, res-cifar, res-mini, res-photo,
    /// res-tiny, or a FILE.toml (docs/pools.md); with sftn, the file of the student's pool
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
    /// The one student it is specialised for (sftn): pool:ID
    #[arg(long, value_name = "pool:ID")]
    pub student: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub run: RunArgs,
}

/// `gtn-train student`
#[derive(Debug, Args)]
pub struct StudentArgs {
    /// Architecture: pool:ID, a name, or an arch file; several share one teacher pass
    #[arg(long, value_name = "ARCH", required_unless_present = "fleet")]
    pub arch: Vec<String>,
    /// Instead: the students that `search --fleet` chose (its --out); they share one teacher pass
    #[arg(long, value_name = "FILE", conflicts_with = "arch")]
    pub fleet: Option<PathBuf>,
    /// Pool of your own that --arch pool:ID may be of: its FILE.toml, or the folder of a generic teacher trained
    /// with it; may be repeated (the --teacher's own is known)
    #[arg(long, value_name = "POOL")]
    pub pool: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub teacher: TeacherSource,
    /// What it learns from
    #[arg(long, value_enum, default_value = "kd")]
    pub kd: KdMethod,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub run: RunArgs,
}

/// Who teaches.
#[derive(Debug, Default, Args)]
pub struct TeacherSource {
    /// Folder of a trained teacher, or any ONNX classifier (needed for --kd kd and dkd)
    #[arg(long, value_name = "DIR|MODEL.onnx")]
    pub teacher: Option<PathBuf>,
    /// Keep the teacher's answers here, and take those that are there: runs that share augment.seed ask it once
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// What an ONNX teacher makes of pixels, where its metadata do not tell: JSON or TOML with channels, height,
    /// width, mean, std
    #[arg(long, value_name = "FILE")]
    pub teacher_preprocess: Option<PathBuf>,
    /// An ONNX teacher's classes, a line each, where its metadata do not tell
    #[arg(long, value_name = "FILE")]
    pub teacher_labels: Option<PathBuf>,
    /// The program that answers for an ONNX teacher (default: gtn-run beside this one, else on the path)
    #[arg(long, value_name = "FILE")]
    pub gtn_run: Option<PathBuf>,
}

impl TeacherSource {
    /// What says something of an ONNX file is a mistake with a folder.
    pub fn only_onnx(&self) -> gtn_core::Result<()> {
        let given = [
            ("--teacher-preprocess", &self.teacher_preprocess),
            ("--teacher-labels", &self.teacher_labels),
            ("--gtn-run", &self.gtn_run),
        ];
        match given.into_iter().find(|(_, value)| value.is_some()) {
            Some((flag, _)) => Err(gtn_core::Error::usage(format!("{flag}: only with an ONNX --teacher"))),
            None => Ok(()),
        }
    }
}

/// What every training run takes.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Data: fashion-mnist-mini, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, imagefolder@SIDE:DIR, ...
    /// (gtn-train data --help)
    #[arg(long, value_name = "DATA")]
    pub data: String,
    /// Share of the pictures that may be unreadable, 0 to 1 (default: 0.01); train.json holds it
    #[arg(long, value_name = "SHARE")]
    pub max_bad: Option<f64>,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// A recipe of the program's own: finetune (from pretrained weights), photos (photographs, fresh weights)
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<String>,
    /// Recipe file (TOML), over --recipe
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one recipe key: optimizer.lr=0.1
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Seed of everything random
    #[arg(long)]
    pub seed: Option<u64>,
    /// Passes over the training images
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Images a step
    #[arg(long)]
    pub batch_size: Option<usize>,
    /// End after so many evaluations on val without a better one, and keep the best one's weights
    #[arg(long, value_name = "N")]
    pub patience: Option<usize>,
    /// Go on from the latest checkpoint in --out
    #[arg(long)]
    pub resume: bool,
    /// Start from these weights: safetensors, a PyTorch state dict (.pth; names of torchvision, timm or
    /// EfficientNet-PyTorch), or a trained folder. Other classes: the classifier is drawn anew
    #[arg(long, value_name = "FILE|DIR")]
    pub init: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub device: DeviceArgs,
}

/// Where to compute.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// CPU threads (default: all cores)
    #[arg(long)]
    pub threads: Option<usize>,
}

/// `gtn-train eval`
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Folder of a trained teacher or student
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Data: fashion-mnist-mini, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, imagefolder@SIDE:DIR, ...
    /// (gtn-train data --help)
    #[arg(long, value_name = "DATA")]
    pub data: String,
    /// Share of the pictures that may be unreadable, 0 to 1 (default: as its training had it)
    #[arg(long, value_name = "SHARE")]
    pub max_bad: Option<f64>,
    /// Take --data of other content than the network was trained with
    #[arg(long)]
    pub other_data: bool,
    /// Write the test logits here (.npy, f32 [n, classes])
    #[arg(long, value_name = "FILE")]
    pub logits: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub device: DeviceArgs,
}

/// `gtn-train pool`
#[derive(Debug, Args)]
pub struct PoolArgs {
    /// What about it
    #[command(subcommand)]
    pub action: PoolAction,
}

/// What about a pool.
#[derive(Debug, Subcommand)]
pub enum PoolAction {
    /// All pools with their sizes
    List,
    /// Parameters and MACs of one student, or how far a pool reaches: its smallest student, those at 5, 50 and
    /// 95 % of 1000 drawn, its largest
    Show {
        /// Student id (mbv2-mini:d212-k35333-e63366), or a pool: its name, its FILE.toml, or a generic teacher's
        /// folder
        id: String,
        /// Pool of your own that the id is of: its FILE.toml, or a generic teacher's folder; may be repeated
        #[arg(long, value_name = "POOL")]
        pool: Vec<String>,
        /// The pool as TOML: what a pool of your own starts from
        #[arg(long)]
        toml: bool,
        /// Input as CxHxW
        #[arg(long, default_value = "3x32x32")]
        input: String,
        /// Classes
        #[arg(long, default_value_t = 10)]
        classes: usize,
    },
    /// Random students
    Sample {
        /// Pool: its name, its FILE.toml, or a generic teacher's folder
        pool: String,
        /// How many
        #[arg(short, default_value_t = 10)]
        n: u64,
        /// Seed
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Input as CxHxW
        #[arg(long, default_value = "3x32x32")]
        input: String,
        /// Classes
        #[arg(long, default_value_t = 10)]
        classes: usize,
        #[command(flatten)]
        #[allow(missing_docs)]
        latency: LatencyArgs,
    },
}

/// Where latency is predicted for, and from what.
#[derive(Debug, Args)]
pub struct LatencyArgs {
    /// Predict latency on this device: a profile's name (gtn-export targets), or a path to a .toml
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// From the table that gtn-run measured there; else from the profile
    #[arg(long, value_name = "FILE", requires = "target")]
    pub table: Option<PathBuf>,
}

impl LatencyArgs {
    /// The predictor of fp32 networks, where a target is named.
    pub fn predictor(&self) -> gtn_core::Result<Option<Predictor>> {
        let Some(target) = &self.target else { return Ok(None) };
        Ok(Some(Predictor::new(&device::resolve(target)?, self.table.as_deref(), Precision::Fp32)?))
    }
}

/// `gtn-train search`
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Folder of a generic teacher (it holds the supernet)
    #[arg(long, value_name = "DIR")]
    pub teacher: PathBuf,
    /// The data it was trained on
    #[arg(long, value_name = "DATA")]
    pub data: String,
    /// Share of the pictures that may be unreadable, 0 to 1 (default: as its training had it)
    #[arg(long, value_name = "SHARE")]
    pub max_bad: Option<f64>,
    /// JSON to write; the plot goes beside it as .html
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Multiply-accumulates that a student may need
    #[arg(long, value_name = "N")]
    pub macs: Option<u64>,
    /// Parameters that a student may have
    #[arg(long, value_name = "N")]
    pub params: Option<u64>,
    /// Milliseconds that one inference at batch 1 may take on --target
    #[arg(long, value_name = "X", requires = "target")]
    pub latency_ms: Option<f64>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub latency: LatencyArgs,
    /// Serve a whole fleet (fleet.toml): for each device its own student within its budget, from one search
    #[arg(long, value_name = "FILE", conflicts_with_all = ["macs", "params", "latency_ms", "target", "table"])]
    pub fleet: Option<PathBuf>,
    /// Serve the fleet with as few students as can be
    #[arg(long, requires = "fleet")]
    pub fewest: bool,
    /// Students at the start, half of which survive each generation
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u16).range(4..))]
    population: u16,
    /// Rounds of crossover and mutation
    #[arg(long, value_name = "N", default_value_t = 8)]
    generations: u16,
    /// Seed of the search
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub device: DeviceArgs,
}

impl SearchArgs {
    /// As a count.
    pub fn population(&self) -> usize {
        usize::from(self.population)
    }

    /// As a count.
    pub fn generations(&self) -> usize {
        usize::from(self.generations)
    }
}

/// `gtn-train study`
#[derive(Debug, Args)]
pub struct StudyArgs {
    /// The study (TOML): data, teacher, pool, students, seeds, recipes, arms
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Folder of all its runs and results
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Cells trained at once on this machine
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: usize,
    /// Train this cell alone (a task of a Slurm array or an indexed Job); no table
    #[arg(long, value_name = "I")]
    pub cell: Option<usize>,
    /// Print the cells and what is done of each
    #[arg(long)]
    pub list: bool,
    /// Make the table of what is there; train nothing
    #[arg(long)]
    pub table: bool,
    /// Train anew the cells that another recipe, other data or another version of gtn-train made (what
    /// they hold is removed)
    #[arg(long, conflicts_with_all = ["table", "list"])]
    pub retrain: bool,
    /// Give every run this recipe key too (trials: --set max_steps=3)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub device: DeviceArgs,
}

/// `gtn-train cost`
#[derive(Debug, Args)]
pub struct CostArgs {
    /// Teacher's architecture
    #[arg(long, value_name = "ARCH")]
    pub teacher: String,
    /// Student pool: its name, or its FILE.toml
    #[arg(long, value_name = "POOL")]
    pub pool: String,
    /// Input as CxHxW
    #[arg(long, default_value = "3x32x32")]
    pub input: String,
    /// Classes
    #[arg(long, default_value_t = 100)]
    pub classes: usize,
    /// Images a step
    #[arg(long, default_value_t = 64)]
    pub batch_size: usize,
    /// Steps of each method in a round
    #[arg(long, default_value_t = 5)]
    pub steps: usize,
    /// Rounds
    #[arg(long, default_value_t = 15)]
    pub rounds: usize,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub device: DeviceArgs,
}
