//! The good files that mutants are made of, each format's in a folder with what its reader wants beside it.

use super::fleets::{brought_about, found, ledger};
use crate::{command, root, run, small_bundle, small_fashion};
use gtn_core::host::{Conditions, Host};
use gtn_core::io::artifact;
use gtn_core::io::npy;
use gtn_core::io::tensors::Tensor;
use gtn_core::ir::arch::Input;
use gtn_core::latency::{self, LatencyTable, NetworkRow, OpRow, Runtime, Time};
use gtn_core::nets::pool;
use gtn_core::{Error, Precision, Result, device};
use gtn_run::settings::{self, Threading, TriedThreading, TunedSettings};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Made once for all formats.
pub fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("loose")).map_err(failed)?;
    small_bundle(dir, "b", "--target host --precision fp32 --eval-set 20");
    let how =
        format!("--target host --precision int8 {} --eval-set 20", crate::QUICK.replace("--eval-set 50", ""));
    small_bundle(dir, "q", &how);
    let d = dir.display();
    for (from, to) in [
        ("b.gtn/model.onnx", "model.onnx"),
        ("q.gtn/model.onnx", "int8.onnx"),
        ("s/weights.safetensors", "init.safetensors"),
    ] {
        fs::copy(dir.join(from), dir.join("loose").join(to)).map(drop).map_err(failed)?;
    }
    let quick = "--seconds 0 --runs 8 --warmup 0 --warmup-runs 1 --threads 1";
    for name in ["report.json", "report2.json"] {
        run("gtn-run", &format!("bench {d}/loose/model.onnx {quick} --json {d}/loose/{name}")).ok();
    }
    let profile = device::resolve("host")?.to_toml()?;
    artifact::write_atomic(&dir.join("loose/device.toml"), profile.as_bytes())?;
    npy::write(&dir.join("loose/x.npy"), &Tensor::f32(&[1, 1, 28, 28], vec![0.5; 784]))?;
    loose_json(dir)?;
    pictures(&dir.join("loose"))?;
    texts(dir)?;
    small_fashion(&dir.join("idx"), 640, 20)?;
    zipped(&dir.join("idx"), &dir.join("idx-gz"))?;
    kit(dir)?;
    unfinished(dir)
}

fn failed(error: std::io::Error) -> Error {
    Error::Failed(format!("the ground: {error}"))
}

/// A settings file for this machine, and a latency table.
fn loose_json(dir: &Path) -> Result<()> {
    let host = Host::read();
    let choice = Threading { threads: 1, spin: true, pin: None };
    let tried =
        vec![TriedThreading { choice: choice.clone(), p50_ms: 1.5, ratio: 1.0, ratio_ci95: [1.0, 1.0] }];
    let settings = TunedSettings {
        schema: settings::SCHEMA.into(),
        program: "gtn-run 0.1.0".into(),
        host: host.kind(),
        model: "model.onnx".into(),
        model_sha256: artifact::sha256_file(&dir.join("loose/model.onnx"))?,
        batch: 1,
        choice,
        why: "fastest".into(),
        tried,
    };
    artifact::write_json(&dir.join("loose/settings.json"), &settings)?;
    let time = Time { p50_us: 12.0, rest_us: 10.0, spread_us: 1.0, n: 4 };
    let input = Input { channels: 1, height: 28, width: 28 };
    let arch = pool::student("res-mini:d111-k333-e111", input, 10)?;
    let table = LatencyTable {
        schema: latency::SCHEMA.into(),
        program: "gtn-run 0.1.0".into(),
        unix_time: 1_700_000_000,
        kit_sha256: "00".repeat(32),
        target: "host".into(),
        host,
        backend: Runtime { name: "ort".into(), version: "1.32.0".into(), threads: 1 },
        seconds: 2.5,
        rounds: 4,
        ops: ["conv a", "conv b"].map(|op| OpRow { op: op.into(), time }).into(),
        networks: vec![NetworkRow { arch, precision: Precision::Fp32, time, drift: 1.0 }],
        conditions: vec![Conditions::read()],
        warnings: Vec::new(),
        ext: BTreeMap::new(),
    };
    artifact::write_json(&dir.join("loose/table.json"), &table)
}

fn pictures(dir: &Path) -> Result<()> {
    let fixtures = root().join("core/src/image/fixtures");
    for (from, to) in [
        ("baseline-420-exif6.jpg", "a.jpg"),
        ("progressive-444.jpg", "b.jpg"),
        ("baseline-420-exif6.png", "a.png"),
        ("grey.png", "b.png"),
    ] {
        fs::copy(fixtures.join(from), dir.join(to)).map(drop).map_err(failed)?;
    }
    Ok(())
}

/// What gtn-train is told by.
fn texts(dir: &Path) -> Result<()> {
    let input = Input { channels: 1, height: 28, width: 28 };
    let arch = pool::student("res-mini:d111-k333-e111", input, 10)?;
    let arch = toml::to_string(&arch).map_err(|e| Error::Failed(format!("arch.toml: {e}")))?;
    let recipe = "epochs = 1\nbatch_size = 32\ntrain_images = 64\nmax_steps = 1\n\n[optimizer]\nlr = 0.05\nmomentum = 0.9\n";
    let study = "data = \"fashion-mnist-mini\"\nteacher = \"resnet8\"\npool = \"res-mini\"\nseeds = [0, 1]\n\
                 students = [\"pool:res-mini:d111-k333-e111\"]\n\n[recipe]\nepochs = 4\nbatch_size = 24\n\n[[arms]]\n\
                 name = \"vanilla\"\nmethod = \"vanilla\"\n\n[[arms]]\nname = \"gtn\"\nmethod = \"gtn\"\n\
                 teacher_recipe = { gtn = { w_kl = 1.0, w_0 = 0.0 } }\n";
    let fleet = "schema = \"gtn.fleet/1\"\n\n[[device]]\nname = \"pi\"\ntarget = \"rpi5\"\ncount = 3\nprecisions = [\"int8\"]\n\
                 [device.budget]\nlatency_ms = 0.9\nmemory_mib = 1.5\nmodel_mib = 0.1\ntop1 = 0.5\n";
    let texts =
        [("arch.toml", arch.as_str()), ("recipe.toml", recipe), ("study.toml", study), ("fleet.toml", fleet)];
    artifact::write_json(&dir.join("loose/found.json"), &found())?;
    artifact::write_json(&dir.join("loose/fleet.json"), &brought_about())?;
    artifact::write_json(&dir.join("loose/ledger.json"), &ledger())?;
    let soak = format!("soak {0}/b.gtn --minutes 0.1 --threads 1 --json {0}/loose/soak.json", dir.display());
    run("gtn-run", &soak).ok();
    for (name, text) in texts {
        artifact::write_atomic(&dir.join("loose").join(name), text.as_bytes())?;
    }
    let names: Vec<String> = (0..100).map(|i| format!("class {i}\n")).collect();
    fs::create_dir_all(dir.join("cifar")).map_err(failed)?;
    artifact::write_atomic(&dir.join("cifar/fine_label_names.txt"), names.concat().as_bytes())
}

fn zipped(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(failed)?;
    for name in ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let bytes = artifact::read(&from.join(name))?;
        let zipped = zip.write_all(&bytes).and_then(|()| zip.finish()).map_err(failed)?;
        artifact::write_atomic(&to.join(format!("{name}.gz")), &zipped)?;
    }
    Ok(())
}

/// Of a pool of few operators.
fn kit(dir: &Path) -> Result<()> {
    let args = format!("kit --target host --pool res-tiny --input 1x8x8 --out {}/k.gtnkit", dir.display());
    run("gtn-export", &args).ok();
    Ok(())
}

/// How the run of [`unfinished`] in the folder `@` goes on.
pub const RESUME: &str = "gtn-train student --arch pool:res-mini:d111-k333-e111 --kd none --data fashion-mnist-mini --set \
                          train_images=640 --epochs 2 --batch-size 64 --threads 1 --out @/r --resume";

/// A training run that was killed after its first checkpoint, in `run/`; the checkpoint is called `step-1`.
fn unfinished(dir: &Path) -> Result<()> {
    let out = dir.join("run/r");
    let line = RESUME.replace('@', &dir.join("run").display().to_string());
    let args = line.trim_start_matches("gtn-train ").trim_end_matches(" --resume");
    let quiet = Stdio::null;
    let mut child = command("gtn-train", args).stdout(quiet()).stderr(quiet()).spawn().map_err(failed)?;
    let begun = Instant::now();
    while !out.join("ckpt/LATEST").exists() && begun.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill(); // it may have ended, which the next lines tell
    child.wait().map_err(failed)?;
    let latest = artifact::read_text(&out.join("ckpt/LATEST"))?;
    fs::rename(out.join("ckpt").join(&latest), out.join("ckpt/step-1")).map_err(failed)?;
    artifact::write_atomic(&out.join("ckpt/LATEST"), b"step-1")
}
