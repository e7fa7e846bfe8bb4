//! Backend rust (rten): random students answer as on ONNX Runtime, damaged models neither abort nor panic, and
//! `auto` takes it where ONNX Runtime is not to be had, and says so.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::io::tensors::Tensor;
use gtn_core::ir::arch::Input;
use gtn_core::measure::parity::{Tolerance, compare};
use gtn_core::nets::pool;
use gtn_core::rng::Rng;
use gtn_run::backend::rten::RtenBackend;
use gtn_run::backend::{Backend, Kind, Named, Options};
use gtn_run::onnx::OnnxFile;
use gtn_run::subject::Subject;
use gtn_tests::damage::mutate;
use gtn_tests::{Done, QUICK, command, program, random_student, run, small_bundle};
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

/// Sums in another order, a hundred layers deep; the top class must agree where it is no near-tie.
const BOUND: Tolerance = Tolerance { relative: 1e-3, margin: 1e-2 };
const POOLS: [(&str, u64); 4] = [("mbv2-mini", 3), ("mbv2-cifar", 2), ("res-mini", 3), ("res-cifar", 2)];
const MUTATIONS: u64 = 2000;

fn export(dir: &Path, id: &str, seed: u64, precision: &str) -> String {
    let input = Input { channels: 1, height: 28, width: 28 };
    let student = dir.join(format!("s{seed}"));
    if !student.exists() {
        let arch = pool::student(id, input, 10).unwrap();
        random_student(&student, arch, "fashion-mnist-mini", 16, seed).unwrap();
    }
    let out = format!("{}/{seed}-{precision}.gtn", dir.display());
    let student = student.display();
    run("gtn-export", &format!("--target host {student} --precision {precision} {QUICK} --out {out}")).ok();
    out
}

#[test]
fn random_students_agree_with_onnx_runtime() {
    let temp = tempfile::tempdir().unwrap();
    let (mut failures, mut seed) = (Vec::new(), 0);
    for (name, count) in POOLS {
        let pool = pool::named(name).unwrap();
        for i in 0..count {
            seed += 1;
            let id = pool.id(&pool.sample(31, i));
            // Sums of quantised values may land one step apart where they are near the middle of two integers.
            for (precision, bound) in [("fp32", BOUND), ("int8", Tolerance::INT8)] {
                let bundle = export(temp.path(), &id, seed, precision);
                let answers = [Kind::Ort, Kind::Rust].map(|kind| {
                    let options = Options {
                        kind: Some(kind),
                        threads: Some(1),
                        batch: NonZeroUsize::new(4),
                        ..Options::default()
                    };
                    let mut subject = Subject::open(Path::new(&bundle), &options).unwrap();
                    let golden = subject.bundle.as_ref().unwrap().golden.images.clone();
                    subject.logits(&golden, |_| ()).unwrap()
                });
                let found = compare(&answers[0], &answers[1], 10, bound);
                if !found.pass {
                    failures.push(format!("{id} {precision}: {found:?}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn damaged_models_are_refused_or_run() {
    let temp = tempfile::tempdir().unwrap();
    let path = Path::new("m.onnx");
    let options = Options::single();
    let (mut refused, mut failed, mut done) = (0, 0, 0);
    for precision in ["fp32", "int8"] {
        let bundle = export(temp.path(), "res-mini:d111-k333-e111", 1, precision);
        let model = fs::read(format!("{bundle}/model.onnx")).unwrap();
        for i in 0..MUTATIONS / 2 {
            let bytes = mutate(&model, &mut Rng::new(i, "mutate", 0));
            let loaded = OnnxFile::parse(&bytes, path).and_then(|f| RtenBackend::load(&f, &options, "test"));
            match loaded {
                Err(e) => {
                    refused += 1;
                    assert_eq!(e.exit_code(), 2, "{e}");
                    assert!(e.to_string().starts_with("m.onnx: "), "{e}");
                }
                Ok(mut backend) => {
                    let image = Tensor::f32(&[1, 1, 28, 28], vec![0.5; 784]);
                    let image = Named { name: "image".into(), tensor: image };
                    match backend.run(&[image]) {
                        Ok(_) => done += 1,
                        Err(_) => failed += 1,
                    }
                }
            }
        }
    }
    assert!(refused > 100 && done > 10, "{refused} refused, {failed} failed, {done} run");
}

#[test]
fn auto_takes_it_where_onnx_runtime_is_not_and_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = export(temp.path(), "res-mini:d111-k333-e111", 1, "fp32");
    // Beside this copy there is no library.
    let alone = temp.path().join("gtn-run");
    fs::copy(program("gtn-run"), &alone).unwrap();
    let gtn_run = |args: &str| -> Done {
        let mut command = Command::new(&alone);
        let command = command.args(args.split(' ')).current_dir(temp.path()).env_remove("ORT_DYLIB_PATH");
        command.output().unwrap().into()
    };
    let report: serde_json::Value =
        serde_json::from_str(&gtn_run(&format!("verify {bundle} --json -")).ok()).unwrap();
    assert_eq!(report["backend"]["name"], "rust");
    let why = report["backend"]["why"].as_str().unwrap();
    assert!(why.starts_with("auto: ONNX Runtime 1.24 or newer was not found"), "{why}");
    assert_eq!(report["parity"][0]["parity"]["pass"], true);
    let asked = gtn_run(&format!("verify {bundle} --backend ort"));
    assert_eq!(asked.not_refused(3, &["was not found"]), None);
    // Here the library is there.
    let here = run("gtn-run", &format!("verify {bundle} --json -")).ok();
    let here: serde_json::Value = serde_json::from_str(&here).unwrap();
    assert_eq!(here["backend"]["name"], "ort");
    assert_eq!(here["backend"]["why"], "auto: the profile's first choice");
    for flag in ["--ep cuda", "--spin off", "--ort-lib x.so"] {
        let done = command("gtn-run", &format!("verify {bundle} --backend rust {flag}")).output().unwrap();
        assert_eq!(Done::from(done).not_refused(2, &["not with --backend rust"]), None);
    }
}

#[test]
fn auto_goes_on_where_a_profile_s_gpu_is_not_and_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path().display();
    let profile = fs::read_to_string(gtn_tests::root().join("devices/rpi5.toml")).unwrap();
    let profile =
        profile.replace("backends = [\"ort\", \"rust\"]", "backends = [\"wgpu\", \"rust\", \"ort\"]");
    fs::write(temp.path().join("board.toml"), profile.replace("\"rpi5\"", "\"board\"")).unwrap();
    small_bundle(temp.path(), "b", &format!("--target {at}/board.toml --precision fp32 {QUICK}"));
    let mut without = command("gtn-run", &format!("verify {at}/b.gtn --json -"));
    without.env("VK_DRIVER_FILES", "/nowhere").env("VK_ICD_FILENAMES", "/nowhere");
    let without = without.env("WGPU_BACKEND", "vulkan");
    let report = Done::from(without.output().unwrap()).ok();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["backend"]["name"], "rust");
    let why = report["backend"]["why"].as_str().unwrap();
    assert!(why.starts_with("auto: backend wgpu: no GPU found"), "{why}");
    // The tests' adapter will do where software is allowed.
    let there = run("gtn-run", &format!("verify {at}/b.gtn --allow-software --json -")).ok();
    let there: serde_json::Value = serde_json::from_str(&there).unwrap();
    assert_eq!(there["backend"]["name"], "wgpu");
    assert_eq!(there["backend"]["why"], "auto: the profile's first choice");
}
