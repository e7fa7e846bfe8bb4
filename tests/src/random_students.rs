//! Random students of every pool through export, Python's ONNX checker and ONNX Runtime, and gtn-run.

use crate::{Done, random_student, root, run, small_fashion};
use gtn_core::artifacts::bundle::Bundle;
use gtn_core::io::npy;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::ir::arch::Input;
use gtn_core::measure::parity::compare;
use gtn_core::nets::pool;
use gtn_core::{Error, Result};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// One per family, activations of three kinds.
pub const TARGETS: [&str; 3] = ["x86-vnni", "rpi5", "jetson-orin-nano"];
/// Calibration images of an int8 export.
const CALIBRATION: usize = 16;

/// How `gtn-run verify` is asked for each backend.
pub const BACKENDS: [(&str, &str); 3] = [
    ("ort", "--backend ort --threads 1 --ep cpu"), // the Jetson's own providers are not here
    ("rust", "--backend rust --threads 1"),
    ("wgpu", "--backend wgpu --allow-software"),
];

/// Which students go where.
pub struct Trial {
    /// How many students, of the pools in turn.
    pub count: u64,
    /// For how many of [`TARGETS`] each is exported; with fewer than three they take turns.
    pub targets: usize,
    /// Names of built-in pools.
    pub pools: Vec<String>,
    /// Of [`BACKENDS`], those that verify each bundle.
    pub backends: Vec<String>,
}

impl Trial {
    /// Students of every pool, verified by ONNX Runtime.
    pub fn every_pool(count: u64, targets: usize) -> Self {
        Self { count, targets, pools: pool::names(), backends: vec!["ort".into()] }
    }
}

/// What came of it.
pub struct Outcome {
    /// Bundles that were made and judged.
    pub bundles: usize,
    /// One message each.
    pub failures: Vec<String>,
}

/// Exports the students in fp32 and int8, two at a time. gtn-run verifies every bundle on each backend;
/// `onnx.checker` and Python's ONNX Runtime then look at all of them.
pub fn survive(dir: &Path, trial: &Trial) -> Result<Outcome> {
    let input = Input { channels: 1, height: 28, width: 28 };
    small_fashion(&dir.join("data"), 200, 20)?;
    let (pools, targets) = (&trial.pools, trial.targets);
    let mut jobs = Vec::new();
    for i in 0..trial.count {
        let name = &pools[i as usize % pools.len()];
        let pool = pool::named(name)?;
        jobs.push((format!("{name}-{i}"), pool.arch(&pool.sample(12, i), input, 10)?, i));
    }
    let (queue, failures) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    let failed = |why: String| failures.lock().map(|mut f| f.push(why)).unwrap_or_default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let job = queue.lock().ok().and_then(|mut q| q.pop());
                    let Some((name, arch, i)) = job else { break };
                    if let Err(e) = random_student(&dir.join(&name), arch, "fashion-mnist", 8, i) {
                        failed(format!("{name}: {e}"));
                        continue;
                    }
                    for k in 0..targets {
                        // Divided by the pools too, so that every pool meets every target.
                        let turn = i as usize + i as usize / pools.len() + k;
                        let target = TARGETS[turn % TARGETS.len()];
                        for precision in ["fp32", "int8"] {
                            chain(dir, &name, target, precision, &trial.backends)
                                .into_iter()
                                .for_each(&failed);
                        }
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_default();
    let bundles = by_python(dir, &mut failures)?;
    Ok(Outcome { bundles, failures })
}

/// Export, which compares ONNX Runtime with the reference evaluator's answers, and verify on each of `backends`:
/// what failed. Random labels: accuracy is no gate here. No samples: an untrained int8 network's answers turn on single
/// roundings (a residual's sum, which ONNX Runtime fuses and backend rust does not), and each image more is a chance more;
/// tests/samples.rs holds samples on every backend.
pub fn chain(dir: &Path, name: &str, target: &str, precision: &str, backends: &[String]) -> Vec<String> {
    let d = dir.display();
    let bundle = format!("{d}/{name}.{target}.{precision}.gtn");
    let export = format!(
        "--target {target} --precision {precision} --calib-images {CALIBRATION} --max-drop 100 --eval-set 20 \
         --samples none --data fashion-mnist:{d}/data {d}/{name} --out {bundle}"
    );
    let failed = |program: &str, args: String| {
        let done = run(program, &args);
        (done.code != Some(0)).then(|| format!("{program} {args}\n{}{}", done.stdout, done.stderr))
    };
    if let Some(why) = failed("gtn-export", export) {
        return vec![why];
    }
    if let Err(e) = inputs(Path::new(&bundle)) {
        return vec![format!("{bundle}: {e}")];
    }
    let asked = |name: &String| match BACKENDS.iter().find(|(known, _)| known == name) {
        Some((_, flags)) => failed("gtn-run", format!("verify {bundle} {flags}")),
        None => Some(format!("{bundle}: there is no backend `{name}`")),
    };
    backends.iter().filter_map(asked).collect()
}

/// The golden images as the model takes them, for Python.
fn inputs(bundle: &Path) -> Result<()> {
    let b = Bundle::open(bundle)?;
    let p = &b.manifest.preprocess;
    let n = b.golden.labels.len();
    let tensor = Tensor::f32(&[n, p.channels, p.height, p.width], p.normalise(&b.golden.images)?);
    npy::write(&bundle.with_extension("npy"), &tensor)
}

/// Checks and runs every bundle of the folder in Python, and returns how many there are; answers are held to the bundle's own bound.
pub fn by_python(dir: &Path, failures: &mut Vec<String>) -> Result<usize> {
    let python = root().join(".venv-oracles/bin/python"); // scripts/setup.sh --oracles
    let out = Command::new(&python).arg(root().join("scripts/onnx-oracle.py")).arg(dir).output();
    let done: Done = out.map_err(|e| Error::io(&python, "run", e))?.into();
    if done.code != Some(0) {
        failures.push(format!("onnx-oracle.py: {}", done.stderr));
        return Ok(0);
    }
    let mut judged = 0;
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io(dir, "read", e))?.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "gtn") {
            continue;
        }
        let bundle = Bundle::open(&path)?;
        let python = npy::read(&path.with_extension("logits.npy"))?;
        let Data::F32(found) = &python.data else {
            failures.push(format!("{}: Python's logits are not f32", path.display()));
            continue;
        };
        let m = &bundle.manifest;
        let parity = compare(&bundle.logits_shipped, found, m.classes, m.tolerance);
        if !parity.pass {
            failures.push(format!("{}: Python differs: {parity:?}", path.display()));
        }
        judged += 1;
    }
    if done.stdout.trim() != judged.to_string() {
        failures.push(format!("Python saw {} bundles, there are {judged}", done.stdout.trim()));
    }
    Ok(judged)
}
