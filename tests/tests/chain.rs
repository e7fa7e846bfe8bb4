//! The main job end to end: teacher, distilled student, bundle, proof.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_tests::sshd::files;
use gtn_tests::{program, root, run, small_fashion};
use std::fs;
use std::process::Command;

/// Few steps of training; every artifact checked by the next program, and against the trainer's logits
/// on all 2,000 test images.
#[test]
fn train_distil_export_run() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    let few = "--data fashion-mnist-mini --set max_steps=40 --batch-size 64";
    let out = run("gtn-train", &format!("teacher {few} --teacher resnet8 --out {dir}/teacher")).ok();
    assert!(out.contains("77.8 k") && out.contains("test"), "{out}");
    let student =
        format!("student {few} --arch pool:mbv2-mini:d111-k333-e333 --kd kd --teacher {dir}/teacher");
    run("gtn-train", &format!("{student} --out {dir}/kd")).ok();
    for file in
        ["arch.json", "train.json", "config.toml", "report.html", "weights.safetensors", "golden.safetensors"]
    {
        assert!(temp.path().join("kd").join(file).is_file(), "{file}");
    }
    let train: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(temp.path().join("kd/train.json")).unwrap()).unwrap();
    assert_eq!((&train["method"], &train["teacher_arch"]), (&"kd".into(), &"resnet8".into()));

    run("gtn-export", &format!("--target host --precision fp32 {dir}/kd --out {dir}/a.gtn")).ok();
    run("gtn-train", &format!("eval --data fashion-mnist-mini {dir}/kd --logits {dir}/trainer.npy")).ok();
    let out = run("gtn-run", &format!("eval {dir}/a.gtn --against {dir}/trainer.npy --json -")).ok();
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["accuracy"][0]["n"], 2000);
    assert_eq!(report["accuracy"][0]["top1"], train["accuracy"]["test"]["top1"]);
    assert_eq!(report["parity"][0]["parity"]["pass"], true, "{}", report["parity"]);

    let files = format!("--json {dir}/report.json --html {dir}/report.html");
    let out = run("gtn-run", &format!("{dir}/a.gtn --seconds 0.3 --warmup 0.1 {files}")).ok();
    assert!(out.contains("pass: max |difference|") && out.contains("latency p50"), "{out}");
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(temp.path().join("report.json")).unwrap()).unwrap();
    let samples = report["latency"]["samples_ms"].as_array().unwrap().len();
    assert!(samples >= 100 && report["latency"]["summary"]["n"] == samples);
    assert!(fs::read_to_string(temp.path().join("report.html")).unwrap().contains("<svg"));

    // The model alone is enough to evaluate, measure and infer.
    let model = format!("{dir}/a.gtn/model.onnx");
    run("gtn-run", &format!("eval {model} --data fashion-mnist-mini --batch 50 --against {dir}/trainer.npy"))
        .ok();
    run("gtn-run", &format!("bench {model} --seconds 0.1 --warmup 0 --batch 2")).ok();
    let image = gtn_core::io::tensors::Tensor::f32(&[3, 1, 28, 28], vec![0.5; 3 * 784]);
    gtn_core::io::npy::write(&temp.path().join("x.npy"), &image).unwrap();
    run("gtn-run", &format!("infer {model} --input image={dir}/x.npy --out {dir}/out")).ok();
    assert_eq!(gtn_core::io::npy::read(&temp.path().join("out/logits.npy")).unwrap().shape, [3, 10]);
}

/// The same inputs and choices give the same bytes; only what was measured may differ.
#[test]
fn the_same_export_is_byte_identical() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    let arch = gtn_core::nets::pool::student(
        "res-mini:d111-k333-e111",
        gtn_core::ir::arch::Input { channels: 1, height: 28, width: 28 },
        10,
    );
    gtn_tests::random_student(&temp.path().join("s"), arch.unwrap(), "fashion-mnist-mini", 16, 1).unwrap();
    for (target, precision) in [("host", "int8"), ("host", "fp32"), ("rpi5", "auto")] {
        for out in ["one", "two"] {
            let choices = format!("--precision {precision} --max-drop 100 --eval-set 100");
            run("gtn-export", &format!("--target {target} {choices} {dir}/s --out {dir}/{out}")).ok();
        }
        let bundle = format!("s-{target}.gtn");
        let one = temp.path().join("one").join(&bundle);
        let names: Vec<_> =
            files(&one).iter().map(|path| path.strip_prefix(&one).unwrap().to_owned()).collect();
        assert_eq!(names.len(), 13, "{names:?}");
        for name in names.iter().filter(|n| !n.ends_with("export-report.json")) {
            let read = |out: &str| fs::read(temp.path().join(out).join(&bundle).join(name)).unwrap();
            assert!(read("one") == read("two"), "{bundle}/{name:?} differs");
        }
    }
    // Again into the same place: replaced, and still whole.
    run("gtn-export", &format!("--target host --precision fp32 {dir}/s --out {dir}/one --eval-set 50")).ok();
    let info = run("gtn-run", &format!("info {dir}/one/s-host.gtn")).ok();
    assert!(info.contains("evaluation images") && info.contains("50"), "{info}");
}

/// Another data set than the embedded one; SIGTERM saves and `--resume` finishes.
#[test]
fn own_data_and_a_polite_stop() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    small_fashion(&temp.path().join("data"), 400, 100).unwrap();
    let args = format!(
        "teacher --data fashion-mnist:{dir}/data --teacher resnet8 --epochs 30 --batch-size 32 --out {dir}/t"
    );
    let mut child = gtn_tests::command("gtn-train", &args).spawn().unwrap();
    let log = temp.path().join("t/loss.jsonl");
    while fs::metadata(&log).map_or(0, |m| m.len()) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(child.try_wait().unwrap().is_none(), "ended early");
    }
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(temp.path().join("t/ckpt/LATEST").is_file());
    let other = run("gtn-train", &format!("{args} --resume --seed 5"));
    assert_eq!(other.not_refused(2, &["config.toml", "seed = 0", "seed = 5"]), None);
    run("gtn-train", &format!("{args} --resume")).ok();
    let refused = run("gtn-export", &format!("--target host {dir}/t --out {dir}/b"));
    assert_eq!(refused.not_refused(2, &["trained on `fashion-mnist`", "--data fashion-mnist:DIR"]), None);
    run("gtn-export", &format!("--target rpi5 {dir}/t --data fashion-mnist:{dir}/data --out {dir}/b")).ok();
    run("gtn-run", &format!("verify {dir}/b/t-rpi5.gtn")).ok();
}

/// The device program and the exporter must never link libtorch.
#[test]
fn only_the_trainer_depends_on_torch() {
    for package in ["gtn-run", "gtn-export"] {
        let out = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "-p", package, "-e", "all"])
            .current_dir(root())
            .output();
        let tree: gtn_tests::Done = out.unwrap().into();
        let tree = tree.ok();
        assert!(tree.contains("gtn-core") && !tree.contains("tch ") && !tree.contains("torch-sys"), "{tree}");
    }
    for name in ["gtn-run", "gtn-export"] {
        let out = Command::new("ldd").arg(program(name)).output().unwrap();
        let libraries: gtn_tests::Done = out.into();
        assert!(!libraries.ok().contains("torch"), "{name} links libtorch");
    }
}
