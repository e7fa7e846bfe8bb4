//! What the end-to-end tests share: the built programs, small data sets, students with random weights.

pub mod damage;
pub mod kills;
pub mod measured;
pub mod mutants;
pub mod pictures;
pub mod random_students;
pub mod sshd;
pub mod stand_in;
pub mod wgpu_students;

use gtn_core::Result;
use gtn_core::artifacts::model_dir::{ARCH_SCHEMA, ArchFile, Golden, SplitAccuracy, TRAIN_SCHEMA, TrainFile};
use gtn_core::data::DataSource;
use gtn_core::data::preprocess::{Preprocess, Resize};
use gtn_core::data::split::SplitRule;
use gtn_core::io::artifact;
use gtn_core::ir::arch::{ArchSpec, Input};
use gtn_core::ir::eval;
use gtn_core::ir::graph::Graph;
use gtn_core::ir::random_weights;
use gtn_core::nets::pool;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A built program, of the profile the tests run in.
pub fn program(name: &str) -> PathBuf {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join(profile).join(name)
}

/// What a program did.
#[derive(Debug)]
pub struct Done {
    /// Exit status; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Results.
    pub stdout: String,
    /// Progress, logs, errors.
    pub stderr: String,
}

impl From<Output> for Done {
    fn from(out: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: out.status.code(), stdout: text(&out.stdout), stderr: text(&out.stderr) }
    }
}

/// A program with arguments (split at spaces), ready to run; two threads, no inherited settings.
pub fn command(name: &str, args: &str) -> Command {
    let mut command = Command::new(program(name));
    command.args(args.split_whitespace());
    command.env("OMP_WAIT_POLICY", "passive").env_remove("ORT_DYLIB_PATH").current_dir(root());
    command
}

/// Runs it to the end.
#[allow(clippy::panic)] // a test helper: a program that cannot start is the test's failure
pub fn run(name: &str, args: &str) -> Done {
    match command(name, args).output() {
        Ok(out) => out.into(),
        Err(e) => panic!("{}: {e} (cargo build --workspace makes it)", program(name).display()),
    }
}

impl Done {
    /// Asserts exit status 0; returns stdout.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Why this is not a clean refusal with `code` and a message that holds every one of `wanted`.
    pub fn not_refused(&self, code: i32, wanted: &[&str]) -> Option<String> {
        let errors: Vec<&str> = self.stderr.lines().filter(|l| l.contains("error: ")).collect();
        let bad = |what: &str| Some(format!("{what}; exit status {:?}, stderr:\n{}", self.code, self.stderr));
        if self.code != Some(code) {
            return bad(&format!("wanted exit status {code}"));
        }
        if self.stderr.contains("panicked") || self.stderr.contains("internal error") {
            return bad("panicked");
        }
        // clap's own usage errors span lines and start with `error: `.
        if errors.is_empty() {
            return bad("no error message");
        }
        let missing = wanted.iter().find(|w| !self.stderr.contains(**w))?;
        bad(&format!("the message lacks `{missing}`"))
    }
}

/// Writes an idx data set of the embedded images: `train` and `test` of each class in turn.
pub fn small_fashion(dir: &Path, train: usize, test: usize) -> Result<()> {
    artifact::create_dir(dir)?;
    let source: DataSource = "fashion-mnist-mini".parse()?;
    for (part, count, set) in [("train", train, source.train()?), ("t10k", test, source.test()?)] {
        let indices = gtn_core::data::split::stratified(&set.labels, set.classes, count, 0);
        let set = set.subset(&indices);
        let n = u32::try_from(set.len()).unwrap_or(0).to_be_bytes();
        let side = 28u32.to_be_bytes();
        let images = [&0x0803u32.to_be_bytes()[..], &n, &side, &side, &set.all_pixels()?[..]].concat();
        let bytes: Vec<u8> = set.labels.iter().map(|&l| l as u8).collect();
        let labels = [&0x0801u32.to_be_bytes()[..], &n, &bytes].concat();
        artifact::write_atomic(&dir.join(format!("{part}-images-idx3-ubyte")), &images)?;
        artifact::write_atomic(&dir.join(format!("{part}-labels-idx1-ubyte")), &labels)?;
    }
    Ok(())
}

/// What gtn-export need not take its time for where weights are random.
pub const QUICK: &str = "--calib-images 64 --calibration minmax --equalise off --bias-correction off --keep-fp32 none \
                         --max-drop 100 --eval-set 50";

/// For where any student will do: a small one for grey 28 x 28 images, with random weights, at `dir/s`.
#[allow(clippy::expect_used)] // as `run`: it is the test that fails
pub fn small_student(dir: &Path) -> PathBuf {
    let path = dir.join("s");
    if !path.exists() {
        let input = Input { channels: 1, height: 28, width: 28 };
        let arch = pool::student("res-mini:d111-k333-e111", input, 10).expect("the pool has it");
        random_student(&path, arch, "fashion-mnist-mini", 16, 1).expect("the folder is ours");
    }
    path
}

/// Its bundle `dir/name.gtn` by `gtn-export how`.
pub fn small_bundle(dir: &Path, name: &str, how: &str) -> String {
    let out = dir.join(format!("{name}.gtn")).display().to_string();
    run("gtn-export", &format!("{how} {} --out {out}", small_student(dir).display())).ok();
    out
}

/// Writes a folder as gtn-train would, with random weights: golden answers from the reference
/// evaluator; `data` is the name of what it says it was trained on (any kin of Fashion-MNIST).
pub fn random_student(dir: &Path, arch: ArchSpec, data: &str, golden_images: usize, seed: u64) -> Result<()> {
    artifact::create_dir(dir)?;
    let source: DataSource = "fashion-mnist-mini".parse()?;
    let test = source.test()?;
    let preprocess = Preprocess {
        channels: 1,
        height: 28,
        width: 28,
        resize_short: None,
        resize: Some(Resize::PIL),
        mean: vec![0.2867],
        std: vec![0.354],
    };
    let graph = Graph::lower(&arch)?;
    let weights = random_weights::random_weights(&graph, seed);
    let set = test.subset(&gtn_core::data::split::stratified(&test.labels, 10, golden_images, seed));
    let mut logits = Vec::new();
    for i in 0..set.len() {
        logits.extend(eval::run(&graph, &weights, &preprocess.normalise(&set.image(i)?)?)?);
    }
    weights.write(&dir.join("weights.safetensors"), &graph)?;
    Golden { images: set.all_pixels()?.into_owned(), labels: set.labels, logits }
        .to_map(&arch)
        .write(&dir.join("golden.safetensors"))?;
    let file = ArchFile {
        schema: ARCH_SCHEMA.into(),
        arch,
        preprocess,
        labels: source.label_names()?,
        pool_id: None,
        ext: BTreeMap::new(),
    };
    artifact::write_json(&dir.join("arch.json"), &file)?;
    let train = TrainFile {
        schema: TRAIN_SCHEMA.into(),
        method: "none".into(),
        data: data.into(),
        data_sha256: None,
        max_bad: None,
        seed,
        epochs: 0,
        accuracy: BTreeMap::from([(
            "test".to_owned(),
            SplitAccuracy { n: 1, top1: 0.0, top5: 0.0, entropy: None },
        )]),
        best_val_top1: None,
        teacher_sha256: None,
        teacher_arch: None,
        seconds: 0.0,
        recipe: serde_json::to_value(SplitRule::default())
            .map_err(|e| gtn_core::Error::Failed(e.to_string()))?,
        ext: BTreeMap::new(),
    };
    artifact::write_json(&dir.join("train.json"), &train)
}
