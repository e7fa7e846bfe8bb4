//! What a training run is (its data, its recipe), when it is finished, and when it has failed.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_tests::{command, run, small_fashion};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const STUDENT: &str = "--kd none --batch-size 32 --threads 1";
const ARCH: &str = "--arch pool:res-mini:d111-k333-e111";

/// Runs until the first losses are written, then asks it to stop: there is a checkpoint.
fn begin(args: &str, out: &Path) {
    let mut child = command("gtn-train", args).spawn().unwrap();
    while fs::metadata(out.join("loss.jsonl")).map_or(0, |m| m.len()) == 0 {
        std::thread::sleep(Duration::from_millis(20));
        assert!(child.try_wait().unwrap().is_none(), "ended early");
    }
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(out.join("ckpt/LATEST").is_file());
}

/// Swaps the first two labels that differ: the same names, sizes and images.
fn swap_labels(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let other = (9..bytes.len()).find(|&i| bytes[i] != bytes[8]).unwrap();
    bytes.swap(8, other);
    fs::write(file, bytes).unwrap();
}

#[test]
fn data_are_known_by_their_content() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, data) = (temp.path().display(), temp.path().join("data"));
    small_fashion(&data, 160, 40).unwrap();
    let spec = format!("fashion-mnist:{}", data.display());
    let args = format!("student --data {spec} {ARCH} {STUDENT} --epochs 60 --out {dir}/s");
    begin(&args, &temp.path().join("s"));
    let (train, test) = (data.join("train-labels-idx1-ubyte"), data.join("t10k-labels-idx1-ubyte"));
    for (file, part) in [(&train, "train"), (&test, "test")] {
        swap_labels(file);
        let done = run("gtn-train", &format!("{args} --resume"));
        let wanted = ["config.toml", &format!("other {part} images"), "SHA-256", "put the old data back"];
        assert_eq!(done.not_refused(2, &wanted), None);
        swap_labels(file); // as it was
    }
    run("gtn-train", &format!("{args} --resume")).ok();

    // Finished means that the last file is there; what a kill kept from being written is written now.
    let weights = fs::read(temp.path().join("s/weights.safetensors")).unwrap();
    fs::remove_file(temp.path().join("s/report.html")).unwrap();
    let out = run("gtn-train", &format!("{args} --resume")).ok();
    assert!(out.contains("top-1") && temp.path().join("s/report.html").is_file(), "{out}");
    assert!(weights == fs::read(temp.path().join("s/weights.safetensors")).unwrap(), "trained once");
    let again = run("gtn-train", &format!("{args} --resume"));
    assert!(again.stderr.contains("already finished"), "{}", again.stderr);
    again.ok();

    let how = format!("--target host --eval-set 40 {dir}/s --data {spec}");
    run("gtn-export", &format!("{how} --precision fp32 --out {dir}/b.gtn")).ok();
    swap_labels(&train);
    let done = run("gtn-export", &format!("{how} --precision int8 --out {dir}/c.gtn"));
    assert_eq!(done.not_refused(2, &["training images are not those of", "SHA-256"]), None);
    let next = format!("student --data {spec} {ARCH} --kd kd --teacher {dir}/s --out {dir}/next");
    assert_eq!(run("gtn-train", &next).not_refused(2, &["was trained on other images or labels"]), None);
    swap_labels(&train);
    swap_labels(&test);
    let done = run("gtn-export", &format!("{how} --precision fp32 --out {dir}/c.gtn"));
    assert_eq!(done.not_refused(2, &["test images are not those of"]), None);
    for (program, args) in [
        ("gtn-train", format!("eval {dir}/s --data {spec}")),
        ("gtn-run", format!("eval {dir}/b.gtn --data {spec}")),
    ] {
        let wanted = ["test images are not those of", "--other-data"];
        assert_eq!(run(program, &args).not_refused(2, &wanted), None);
        let out = run(program, &format!("{args} --other-data")).ok();
        assert!(out.contains("40"), "{out}");
        assert_eq!(
            out.contains("other images than the network was trained beside"),
            program == "gtn-run",
            "{out}"
        );
    }
}

#[test]
fn a_diverged_training_saves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    small_fashion(&temp.path().join("data"), 160, 40).unwrap();
    let few = format!("--data fashion-mnist:{dir}/data {STUDENT} --set max_steps=1 --set optimizer.lr=1e30");
    let done = run("gtn-train", &format!("student {few} {ARCH} --out {dir}/s"));
    assert_eq!(done.not_refused(1, &["training diverged", "step 1", "of class"]), None);
    for file in ["weights.safetensors", "train.json", "golden.safetensors", "report.html"] {
        assert!(!temp.path().join("s").join(file).exists(), "{file}");
    }
    let several = format!("student {few} {ARCH} --arch resnet8 --out {dir}/two");
    assert_eq!(run("gtn-train", &several).not_refused(1, &["training diverged", "of class"]), None);
}

/// One of two students has left the run: the other is saved, the exit status tells, and a resumed run says
/// the same.
#[test]
fn one_that_diverged_fails_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    small_fashion(&temp.path().join("data"), 160, 40).unwrap();
    let args = format!(
        "student --data fashion-mnist:{dir}/data {STUDENT} {ARCH} --arch resnet8 --epochs 30 --out {dir}/s"
    );
    begin(&args, &temp.path().join("s"));
    let ckpt = temp.path().join("s/ckpt");
    let state = ckpt.join(fs::read_to_string(ckpt.join("LATEST")).unwrap()).join("state.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    json["diverged"] = serde_json::json!({"1": "loss.1 is NaN at step 3"});
    fs::write(&state, json.to_string()).unwrap();
    for _ in 0..2 {
        let done = run("gtn-train", &format!("{args} --resume"));
        let wanted = ["1 of 2 networks diverged (resnet8: loss.1 is NaN at step 3)", "the others are in"];
        assert_eq!(done.not_refused(1, &wanted), None);
    }
    let folder = temp.path().join("s/res-mini_d111-k333-e111");
    assert!(folder.join("train.json").is_file() && folder.join("weights.safetensors").is_file());
    let gone = temp.path().join("s/resnet8");
    assert!(gone.join("diverged.json").is_file() && !gone.join("weights.safetensors").exists());
    let losses = fs::read_to_string(temp.path().join("s/loss.jsonl")).unwrap();
    let last: serde_json::Value =
        serde_json::from_str(losses.lines().rfind(|l| l.contains("\"lr\"")).unwrap()).unwrap();
    assert!(last["loss"] == last["loss.0"] && last.get("loss.1").is_none(), "{last}");
}

#[test]
fn one_class_says_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, data) = (temp.path().display(), temp.path().join("data"));
    small_fashion(&data, 160, 40).unwrap();
    for part in ["train", "t10k"] {
        let file = data.join(format!("{part}-labels-idx1-ubyte"));
        let mut bytes = fs::read(&file).unwrap();
        bytes[8..].fill(3);
        fs::write(&file, bytes).unwrap();
    }
    let args = format!("--data fashion-mnist:{dir}/data {STUDENT} {ARCH} --set max_steps=1 --out {dir}/s");
    let done = run("gtn-train", &format!("student {args}"));
    for part in ["160 training", "40 test"] {
        let wanted = format!("warning: all {part} images are of class `Dress`");
        assert!(done.stderr.contains(&wanted), "{}", done.stderr);
    }
    done.ok();
    let done = run("gtn-train", &format!("eval {dir}/s --data fashion-mnist:{dir}/data"));
    assert!(done.stderr.contains("all 40 test images are of class `Dress`"), "{}", done.stderr);
    let export =
        format!("--target host --precision fp32 --eval-set 40 {dir}/s --data fashion-mnist:{dir}/data");
    let out = run("gtn-export", &format!("{export} --out {dir}/b.gtn"));
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    let out = run("gtn-run", &format!("eval {dir}/b.gtn")).ok();
    assert!(out.contains("all 40 images are of class `Dress`"), "{out}");
}

fn study(dir: &Path, epochs: usize) -> String {
    let text = format!(
        r#"
data = "fashion-mnist:{0}/data"
teacher = "resnet8"
pool = "res-mini"
seeds = [0]
students = ["pool:res-mini:d111-k333-e111"]
[recipe]
epochs = {epochs}
batch_size = 32
[[arms]]
name = "alone"
method = "none"
"#,
        dir.display()
    );
    fs::write(dir.join("study.toml"), text).unwrap();
    format!("study --config {0}/study.toml --out {0}/out --threads 1", dir.display())
}

/// A cell of another recipe, of other data or of other numerics is named, and counts nowhere until it is
/// trained anew.
#[test]
fn a_study_keeps_no_cell_of_another_study() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, data) = (temp.path(), temp.path().join("data"));
    small_fashion(&data, 160, 40).unwrap();
    let args = study(dir, 1);
    run("gtn-train", &args).ok();
    let again = run("gtn-train", &args).ok();
    assert!(again.contains("1 cells of 1 finished"), "{again}");
    study(dir, 2);
    let changed = ["alone-seed0/students", "recipe: epochs was 1, is 2", "--retrain"];
    assert_eq!(run("gtn-train", &args).not_refused(2, &changed), None);
    let table = run("gtn-train", &format!("{args} --table")).ok();
    assert!(table.contains("0 cells of 1 finished") && table.contains("epochs was 1, is 2"), "{table}");
    assert!(run("gtn-train", &format!("{args} --list")).ok().contains("of another recipe"));
    let out = run("gtn-train", &format!("{args} --retrain")).ok();
    assert!(out.contains("1 cells of 1 finished"), "{out}");

    let config = dir.join("out/runs/alone-seed0/students/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("numerics = 1\n") && text.contains("[data_sha256]"), "{text}");
    fs::write(&config, text.replace("numerics = 1\n", "numerics = 0\n")).unwrap();
    assert_eq!(run("gtn-train", &args).not_refused(2, &["numerics was `0`, is `1`"]), None);
    fs::write(&config, text).unwrap();
    swap_labels(&data.join("train-labels-idx1-ubyte"));
    assert_eq!(run("gtn-train", &args).not_refused(2, &["data: train and test had SHA-256"]), None);
    let out = run("gtn-train", &format!("{args} --retrain")).ok();
    assert!(out.contains("1 cells of 1 finished"), "{out}");
}
