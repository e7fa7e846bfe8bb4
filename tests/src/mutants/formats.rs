//! Every format that the programs read, what reads it in the libraries, and the commands that do.

use super::ground::RESUME;
use super::repair::Repair;
use gtn_core::artifacts::bundle::Bundle;
use gtn_core::artifacts::kit::Kit;
use gtn_core::artifacts::model_dir::{ArchFile, Golden, ModelDir};
use gtn_core::data::DataSource;
use gtn_core::fleet::Fleet;
use gtn_core::fleet::record::FleetSearch;
use gtn_core::fleet::result::FleetResult;
use gtn_core::host::Host;
use gtn_core::image::Image;
use gtn_core::io::artifact;
use gtn_core::io::npy;
use gtn_core::ir::arch::Input;
use gtn_core::ir::cost::Cost;
use gtn_core::ir::graph::Graph;
use gtn_core::latency::LatencyTable;
use gtn_core::measure::soak::Soak;
use gtn_core::{Error, Result, device};
use gtn_run::backend::{Kind, Options, WgpuOptions};
use gtn_run::judge::bench;
use gtn_run::onnx::{OnnxFile, OnnxModel};
use gtn_run::settings::TunedSettings;
use gtn_run::subject::Subject;
use gtn_run::{gpu, reports};
use std::num::NonZeroUsize;
use std::path::Path;

/// What vouches for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    /// Nothing does.
    Nothing,
    /// It ends with its own seal.
    Sealed,
    /// A manifest beside it lists its hash.
    Listed,
}

/// One format.
pub struct Format {
    /// For tables and streams of randomness.
    pub name: &'static str,
    /// The folder in the ground that holds it.
    pub base: &'static str,
    /// The file that is mutated.
    pub file: &'static str,
    /// A file in the ground that pieces are taken from.
    pub other: &'static str,
    /// Mostly changed by tokens.
    pub is_text: bool,
    /// Put right after most changes.
    pub repair: Repair,
    /// Made anew for each mutant.
    pub vouched: Vouched,
    /// Reads it, given the folder and its path; none: only a program can.
    pub read: Option<fn(&Path, &Path) -> Result<()>>,
    /// Mutants, of a thousand, that `read` is called for: loading on a GPU that is a CPU takes its time.
    pub of_thousand: u64,
    /// Commands that read it, in turn; `@` is the folder, `%` the file.
    pub programs: &'static [&'static str],
    /// Of the mutants that go through the programs, every so many-th: the files of a training run are one format, and going
    /// on with it takes seconds.
    pub every: usize,
    /// Exit statuses that a command may have beside 0 and 2: 1 where an answer that a mutant changed misses a gate.
    pub codes: &'static [i32],
    /// Other names that a message may tell the file by.
    pub names: &'static [&'static str],
}

const PLAIN: Format = Format {
    name: "",
    base: "loose",
    file: "",
    other: "loose/a.png",
    is_text: false,
    repair: Repair::Nothing,
    vouched: Vouched::Nothing,
    read: None,
    of_thousand: 1000,
    programs: &[],
    every: 1,
    codes: &[],
    names: &[],
};
const TEXT: Format = Format { is_text: true, other: "loose/settings.json", ..PLAIN };
const TENSORS: Format = Format { repair: Repair::HeaderLength, other: "b.gtn/golden.safetensors", ..PLAIN };
const LISTED: Format = Format { base: "b.gtn", vouched: Vouched::Listed, names: &["/b.gtn/"], ..PLAIN };

const RUN: Format = Format { base: "run", programs: &[RESUME], every: 5, codes: &[1], ..PLAIN };
/// One step of training.
const TRAIN_WITH_CONFIG: &str = "gtn-train student --arch pool:res-mini:d111-k333-e111 --kd none --data fashion-mnist-mini \
                                 --config % --set max_steps=1 --set train_images=64 --threads 1 --out @/o";
const TRAIN_FLEET: &str = "gtn-train student --fleet % --kd none --data fashion-mnist-mini --batch-size 32 \
                           --set max_steps=1 --set train_images=64 --threads 1 --out @/o";
const TRAIN_WITH_INIT: &str = "gtn-train student --arch pool:res-mini:d111-k333-e111 --kd none --data fashion-mnist-mini \
                               --init % --batch-size 32 --set max_steps=1 --set train_images=64 --threads 1 --out @/o";
const TRAIN_ARCH: &str = "gtn-train student --arch % --kd none --data fashion-mnist-mini --set max_steps=1 \
                          --set train_images=64 --threads 1 --out @/o";

/// All of them.
pub static FORMATS: &[Format] = &[
    Format {
        name: "onnx",
        file: "model.onnx",
        other: "loose/int8.onnx",
        read: Some(|_, path| OnnxModel::parse(&artifact::read(path)?, path).map(drop)),
        programs: &["gtn-run info %", "gtn-export check % --target host"],
        ..PLAIN
    },
    Format {
        name: "onnx, int8",
        file: "int8.onnx",
        other: "loose/model.onnx",
        read: Some(|_, path| OnnxModel::parse(&artifact::read(path)?, path).map(drop)),
        programs: &["gtn-export check % --target host"],
        ..PLAIN
    },
    Format {
        name: "onnx by ort",
        file: "model.onnx",
        other: "loose/int8.onnx",
        read: Some(|_, path| run(path, Kind::Ort)),
        programs: &["gtn-run bench % --backend ort --seconds 0 --runs 1 --warmup 0 --warmup-runs 0"],
        ..PLAIN
    },
    Format {
        name: "onnx, int8 by ort",
        file: "int8.onnx",
        other: "loose/model.onnx",
        read: Some(|_, path| run(path, Kind::Ort)),
        programs: &["gtn-run bench % --backend ort --seconds 0 --runs 1 --warmup 0 --warmup-runs 0"],
        ..PLAIN
    },
    Format {
        name: "onnx by rust",
        file: "model.onnx",
        other: "loose/int8.onnx",
        read: Some(|_, path| run(path, Kind::Rust)),
        programs: &["gtn-run bench % --backend rust --seconds 0 --runs 1 --warmup 0 --warmup-runs 0"],
        ..PLAIN
    },
    Format {
        name: "onnx by wgpu: plans",
        file: "model.onnx",
        other: "loose/int8.onnx",
        read: Some(|_, path| gpu::needs(&OnnxFile::read(path)?, &options(Kind::Wgpu)).map(drop)),
        ..PLAIN
    },
    Format {
        name: "onnx by wgpu",
        file: "model.onnx",
        other: "loose/int8.onnx",
        read: Some(|_, path| run(path, Kind::Wgpu)),
        of_thousand: 40,
        programs: &[
            "gtn-run bench % --backend wgpu --allow-software --seconds 0 --runs 1 --warmup 0 --warmup-runs 0",
        ],
        ..PLAIN
    },
    Format {
        name: "bundle: manifest.json",
        names: &["/b.gtn"],
        base: "b.gtn",
        file: "manifest.json",
        is_text: true,
        vouched: Vouched::Sealed,
        read: Some(|dir, _| Bundle::open(dir).map(drop)),
        programs: &["gtn-run verify @", "gtn-run info @"],
        codes: &[1],
        ..TEXT
    },
    Format {
        name: "bundle: model.onnx",
        file: "model.onnx",
        read: Some(|dir, path| OnnxModel::parse(&Bundle::open(dir)?.model, path).map(drop)),
        programs: &["gtn-run verify @"],
        codes: &[1],
        ..LISTED
    },
    Format {
        name: "bundle: device.toml",
        file: "device.toml",
        is_text: true,
        read: Some(|dir, _| Bundle::open(dir)?.device().map(drop)),
        programs: &["gtn-run verify @"],
        codes: &[3], // a backend that is not here
        ..LISTED
    },
    Format {
        name: "bundle: golden.safetensors",
        file: "golden.safetensors",
        repair: Repair::HeaderLength,
        read: Some(|dir, _| Bundle::open(dir).map(drop)),
        programs: &["gtn-run verify @"],
        codes: &[1],
        ..LISTED
    },
    Format {
        name: "bundle: a sample",
        file: "samples/1.png",
        other: "loose/b.png",
        repair: Repair::ChunkSums,
        read: Some(|dir, path| {
            Bundle::open(dir)?;
            picture(path)
        }),
        programs: &["gtn-run verify @", "gtn-run classify @"],
        codes: &[1],
        ..LISTED
    },
    Format {
        name: "bundle: eval.safetensors",
        file: "eval.safetensors",
        repair: Repair::HeaderLength,
        read: Some(|dir, _| Bundle::open(dir)?.eval_set().map(drop)),
        programs: &["gtn-run eval @"],
        ..LISTED
    },
    Format {
        name: "bundle: export-report.json",
        names: &["/b.gtn"],
        base: "b.gtn",
        file: "export-report.json",
        vouched: Vouched::Sealed,
        read: Some(|dir, _| Bundle::open(dir).map(drop)),
        programs: &["gtn-run info @"],
        ..TEXT
    },
    Format {
        name: "device profile",
        file: "device.toml",
        read: Some(|_, path| device::resolve(&path.to_string_lossy()).map(drop)),
        programs: &["gtn-export targets %", "gtn-train pool sample res-mini --target %"],
        ..TEXT
    },
    Format {
        name: "student: arch.json",
        base: "s",
        file: "arch.json",
        read: Some(|_, path| {
            let file = ArchFile::read(path)?;
            Cost::of(&Graph::lower(&file.arch)?);
            Ok(())
        }),
        programs: &["gtn-export --target host --precision fp32 @ --out @.gtn --eval-set 10", TRAIN_ARCH],
        codes: &[1],
        names: &["/s"],
        ..TEXT
    },
    Format {
        name: "arch file",
        file: "arch.toml",
        read: Some(|_, path| {
            let input = Input { channels: 1, height: 28, width: 28 };
            Cost::of(&Graph::lower(&gtn_core::nets::resolve(&path.to_string_lossy(), input, 10)?)?);
            Ok(())
        }),
        programs: &[TRAIN_ARCH],
        codes: &[1],
        ..TEXT
    },
    Format {
        name: "student: weights.safetensors",
        base: "s",
        file: "weights.safetensors",
        read: Some(|dir, _| ModelDir::read(dir).map(drop)),
        programs: &["gtn-export --target host --precision fp32 @ --out @.gtn --eval-set 10"],
        codes: &[1],
        names: &["/s"],
        ..TENSORS
    },
    Format {
        name: "student: golden.safetensors",
        base: "s",
        file: "golden.safetensors",
        read: Some(|_, path| {
            let arch = ArchFile::read(&path.with_file_name("arch.json"))?.arch;
            Golden::read(path, &arch).map(drop)
        }),
        programs: &["gtn-export --target host --precision fp32 @ --out @.gtn --eval-set 10"],
        codes: &[1],
        names: &["/s"],
        ..TENSORS
    },
    Format {
        name: "student: train.json",
        base: "s",
        file: "train.json",
        read: Some(|dir, _| ModelDir::read(dir).map(drop)),
        programs: &["gtn-export --target host --precision fp32 @ --out @.gtn --eval-set 10"],
        names: &["/s"],
        ..TEXT
    },
    Format {
        name: "npy",
        file: "x.npy",
        repair: Repair::Npy,
        other: "b.gtn/golden.safetensors",
        read: Some(|_, path| npy::read(path).map(drop)),
        programs: &["gtn-run infer @/model.onnx --input % --out @/out"],
        names: &["`image`"],
        ..PLAIN
    },
    Format {
        name: "report.json",
        file: "report.json",
        read: Some(|_, path| reports::read(path).map(drop)),
        programs: &["gtn-run report % --html @/r.html", "gtn-run compare % @/report2.json"],
        names: &["reports"],
        ..TEXT
    },
    Format {
        name: "table.json",
        file: "table.json",
        read: Some(|_, path| LatencyTable::read(path).map(drop)),
        programs: &["gtn-export --target host --table % --latency-ms 1 --from @ --out @/x.gtn"],
        codes: &[1],
        names: &["holds no"],
        ..TEXT
    },
    Format {
        name: "settings.json",
        file: "settings.json",
        read: Some(|_, path| TunedSettings::read(path, &Host::read()).map(drop)),
        programs: &["gtn-run verify @/../b.gtn --settings %"],
        ..TEXT
    },
    Format {
        name: "kit: manifest.json",
        // Of one that is taken, the device that is not there.
        names: &["/k.gtnkit", "error: adb: "],
        base: "k.gtnkit",
        file: "manifest.json",
        vouched: Vouched::Sealed,
        read: Some(|dir, _| Kit::open(dir).map(drop)),
        programs: &["gtn-run --on adb:nobody table @ --out @.json"],
        codes: &[3], // taken, and there is no such device
        ..TEXT
    },
    Format {
        name: "PNG",
        file: "a.png",
        other: "loose/b.png",
        repair: Repair::ChunkSums,
        read: Some(|_, path| picture(path)),
        programs: &["gtn-run classify @/model.onnx %"],
        ..PLAIN
    },
    Format {
        name: "JPEG",
        file: "a.jpg",
        other: "loose/b.jpg",
        read: Some(|_, path| picture(path)),
        programs: &["gtn-run classify @/model.onnx %"],
        ..PLAIN
    },
    Format {
        name: "idx images",
        base: "idx",
        file: "t10k-images-idx3-ubyte",
        read: Some(|dir, _| data("fashion-mnist", dir)),
        programs: &["gtn-run eval @/../b.gtn --data fashion-mnist:@", "gtn-train data fashion-mnist:@"],
        names: &["t10k-labels-idx1-ubyte"],
        ..PLAIN
    },
    Format {
        name: "idx labels",
        base: "idx",
        file: "t10k-labels-idx1-ubyte",
        read: Some(|dir, _| data("fashion-mnist", dir)),
        programs: &["gtn-run eval @/../b.gtn --data fashion-mnist:@"],
        ..PLAIN
    },
    Format {
        name: "idx, gzip",
        base: "idx-gz",
        file: "t10k-images-idx3-ubyte.gz",
        read: Some(|dir, _| data("fashion-mnist", dir)),
        programs: &["gtn-run eval @/../b.gtn --data fashion-mnist:@"],
        names: &["t10k-labels-idx1-ubyte"],
        ..PLAIN
    },
    Format {
        name: "CIFAR-100 labels",
        base: "cifar",
        file: "fine_label_names.txt",
        is_text: true,
        read: Some(|dir, _| {
            format!("cifar100:{}", dir.display()).parse::<DataSource>()?.label_names().map(drop)
        }),
        ..PLAIN
    },
    Format { name: "recipe.toml", file: "recipe.toml", programs: &[TRAIN_WITH_CONFIG], codes: &[1], ..TEXT },
    Format {
        name: "fleet.toml",
        file: "fleet.toml",
        read: Some(|_, path| Fleet::read(path).map(drop)),
        programs: &["gtn-train search --fleet % --teacher @/none --data fashion-mnist-mini --out @/f.json"],
        // Of one that is taken, the teacher that is not there.
        names: &["/none/"],
        ..TEXT
    },
    Format {
        name: "fleet search",
        file: "found.json",
        read: Some(|_, path| FleetSearch::read(path).map(drop)),
        programs: &[TRAIN_FLEET],
        ..TEXT
    },
    Format {
        name: "fleet result",
        file: "fleet.json",
        read: Some(|_, path| FleetResult::read(path).map(drop)),
        programs: &[
            "gtn-export --fleet @/fleet.toml --from @/none --out @/fleet-out --data fashion-mnist-mini --against %",
        ],
        // Of one that is taken, the students that are not there.
        names: &["/none"],
        ..TEXT
    },
    Format {
        name: "soak.json",
        file: "soak.json",
        read: Some(|_, path| Soak::read(path).map(drop)),
        programs: &["gtn-run report %"],
        ..TEXT
    },
    Format {
        name: "fleet ledger",
        file: "ledger.json",
        read: Some(|_, path| gtn_export::commands::fleet::Done::read(path).map(drop)),
        ..TEXT
    },
    Format {
        name: "study.toml",
        file: "study.toml",
        programs: &["gtn-train study --config % --out @/study --list"],
        ..TEXT
    },
    Format {
        name: "weights of --init",
        file: "init.safetensors",
        programs: &[TRAIN_WITH_INIT],
        codes: &[1],
        // Weights are what training starts from: of enormous ones nothing comes.
        names: &["training diverged"],
        ..TENSORS
    },
    Format { name: "run: LATEST", file: "r/ckpt/LATEST", is_text: true, ..RUN },
    Format { name: "run: state.json", file: "r/ckpt/step-1/state.json", is_text: true, ..RUN },
    Format {
        name: "run: weights.safetensors",
        file: "r/ckpt/step-1/weights.safetensors",
        repair: Repair::HeaderLength,
        ..RUN
    },
    Format {
        name: "run: velocity.safetensors",
        file: "r/ckpt/step-1/velocity.safetensors",
        repair: Repair::HeaderLength,
        ..RUN
    },
    Format { name: "run: config.toml", file: "r/config.toml", is_text: true, ..RUN },
    Format { name: "run: loss.jsonl", file: "r/loss.jsonl", is_text: true, ..RUN },
];

fn options(kind: Kind) -> Options {
    Options {
        kind: Some(kind),
        wgpu: WgpuOptions::any_adapter(),
        threads: (kind != Kind::Wgpu).then_some(1),
        batch: Some(NonZeroUsize::MIN),
        ..Options::default()
    }
}

/// Loads it and runs it once, on made-up inputs.
fn run(path: &Path, kind: Kind) -> Result<()> {
    let mut subject = Subject::open(path, &options(kind))?;
    let inputs = bench::inputs(&subject)?;
    // What fails while running has no file in a backend's words; a program that runs it knows which it was.
    subject.backend.run(&inputs).map(drop).map_err(|e| Error::input(path, e.to_string()))
}

fn picture(path: &Path) -> Result<()> {
    Image::open(path)?.planar(3).map(drop)
}

fn data(kind: &str, dir: &Path) -> Result<()> {
    format!("{kind}:{}", dir.display()).parse::<DataSource>()?.test().map(drop)
}
