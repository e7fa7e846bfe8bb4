//! int8 bundles, `check`, and what is refused.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::artifacts::model_dir::ModelDir;
use gtn_core::data::DataSource;
use gtn_core::io::artifact;
use gtn_core::ir::arch::{Activation, Input};
use gtn_core::nets::pool;
use gtn_tests::random_students::{self, Trial};
use gtn_tests::{command, random_student, run, small_fashion};
use serde_json::Value;
use std::fs;
use std::path::Path;

const INPUT: Input = Input { channels: 1, height: 28, width: 28 };

/// Each of 40 random students in fp32 and int8 for one of three targets.
#[test]
fn forty_random_students_in_both_precisions() {
    let temp = tempfile::tempdir().unwrap();
    let found = random_students::survive(temp.path(), &Trial::every_pool(40, 1)).unwrap();
    assert!(found.failures.is_empty(), "{}", found.failures.join("\n"));
    assert_eq!(found.bundles, 80);
}

/// Trains for a few seconds: a depthwise student with Relu, which passes factors on exactly.
fn trained(dir: &Path) -> std::path::PathBuf {
    let mut arch = pool::student("mbv2-mini:d111-k333-e333", INPUT, 10).unwrap();
    arch.stem.activation = Some(Activation::Relu);
    for block in arch.stages.iter_mut().flat_map(|s| &mut s.blocks) {
        block.activation = Activation::Relu;
    }
    for head in arch.head.conv.iter_mut() {
        head.activation = Activation::Relu;
    }
    artifact::write_json(&dir.join("arch.json"), &arch).unwrap();
    let d = dir.display();
    let args = format!(
        "student --data fashion-mnist-mini --arch {d}/arch.json --kd none --batch-size 64 --set max_steps=140 --out {d}/plain"
    );
    run("gtn-train", &args).ok();
    dir.join("plain")
}

/// Multiplies the channels that the depthwise convolution of `block` reads by powers of two from 1/64 to 64,
/// and divides its weights by them: the same function, in weights and activations that no single scale
/// fits. The exporter itself compares the network with its trainer's golden answers.
fn rescale(from: &Path, to: &Path, block: &str) {
    let student = ModelDir::read(from).unwrap();
    let mut weights = student.weights.clone();
    let factor = |c: usize| 2f32.powi((c * 5 % 13) as i32 - 6);
    let mut put = |name: &str, change: &dyn Fn(usize) -> f32| {
        let key = format!("{block}.{name}");
        let values = weights.0.get_mut(&key).unwrap();
        values.iter_mut().enumerate().for_each(|(i, v)| *v *= change(i));
    };
    put("expand.bn.weight", &factor);
    put("expand.bn.bias", &factor);
    put("depthwise.conv.weight", &|i| 1.0 / factor(i / 9));
    fs::create_dir(to).unwrap();
    for file in ["arch.json", "golden.safetensors", "train.json"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    weights.write(&to.join("weights.safetensors"), &student.graph).unwrap();
}

fn report(bundle: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(bundle.join("export-report.json")).unwrap()).unwrap()
}

/// The hard case: one scale per tensor and the ranges as seen lose more than five points, the default at
/// most one; and the report of what each layer loses names the block.
#[test]
fn unequal_channels_are_rescued_and_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let d = dir.display();
    let block = "stages.1.0";
    rescale(&trained(dir), &dir.join("hard"), block);
    let common = format!("--target x86-vnni --precision int8 --eval-set 100 {d}/hard --out");
    let plain = "--per-tensor --calibration minmax --equalise off --bias-correction off --keep-fp32 none";
    run("gtn-export", &format!("{common} {d}/plain.gtn {plain} --max-drop 100")).ok();
    run("gtn-export", &format!("{common} {d}/ours.gtn --max-drop 1 --keep-fp32 none")).ok();
    let (plain, ours) = (report(&dir.join("plain.gtn")), report(&dir.join("ours.gtn")));
    let drop = |r: &Value| r["candidates"][0]["judged"]["drop"].as_f64().unwrap();
    println!("points lost: {:.2} plain, {:.2} by default", drop(&plain), drop(&ours));
    assert!(drop(&plain) > 5.0 && drop(&ours) <= 1.0, "{} {}", drop(&plain), drop(&ours));
    let layers = plain["int8"]["layers"].as_array().unwrap();
    let own = |l: &Value| l["own_db"].as_f64().unwrap_or(f64::INFINITY);
    let worst = layers.iter().min_by(|a, b| own(a).total_cmp(&own(b))).unwrap();
    let name = worst["name"].as_str().unwrap();
    assert!(name.starts_with(block) && worst["op"] == "depthwise", "{worst}");
    assert!(run("gtn-run", &format!("verify {d}/ours.gtn")).ok().contains("pass"));
}

/// A missed gate: exit status 1, the reason, nothing written.
#[test]
fn a_missed_gate_leaves_no_bundle() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let d = dir.display();
    let arch = || pool::student("mbv2-mini:d111-k333-e333", INPUT, 10).unwrap();
    random_student(&dir.join("s"), arch(), "fashion-mnist-mini", 16, 9).unwrap();
    let toml = run("gtn-export", "targets x86-vnni --toml").ok();
    let small = toml.replace("[limits.model_mib]\nvalue = 2047", "[limits.model_mib]\nvalue = 0");
    assert_ne!(small, toml);
    fs::write(dir.join("small.toml"), small).unwrap();
    let coarse = "--precision int8 --calib-images 32 --per-tensor --keep-fp32 none --calibration minmax";
    let mut failures = Vec::new();
    for (args, wanted) in [
        (format!("--target {d}/small.toml --precision fp32 {d}/s"), "allows 0 MiB"),
        // Random weights answer at random: of these int8 loses three of the 603 images that judge.
        (format!("--target x86-vnni {coarse} --max-drop 0 {d}/s"), "--max-drop allows 0"),
    ] {
        let done = run("gtn-export", &format!("{args} --out {d}/out/b.gtn --eval-set 50"));
        failures.extend(done.not_refused(1, &[wanted]).map(|why| format!("{args}: {why}")));
        let left: Vec<_> = fs::read_dir(dir.join("out")).map(|r| r.flatten().collect()).unwrap_or_default();
        failures.extend((!left.is_empty()).then(|| format!("{args} left {left:?}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Calibration data that cannot be: exit status 2.
#[test]
fn calibration_data_are_checked() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let d = dir.display();
    let arch = pool::student("res-mini:d111-k333-e111", INPUT, 10).unwrap();
    random_student(&dir.join("s"), arch, "fashion-mnist", 16, 1).unwrap();
    small_fashion(&dir.join("data"), 200, 50).unwrap();
    small_fashion(&dir.join("few"), 2, 20).unwrap();
    small_fashion(&dir.join("empty"), 200, 20).unwrap();
    fs::write(dir.join("empty/train-images-idx3-ubyte"), "").unwrap();
    // A label beyond the last class.
    small_fashion(&dir.join("labels"), 200, 20).unwrap();
    let labels = dir.join("labels/train-labels-idx1-ubyte");
    let mut bytes = fs::read(&labels).unwrap();
    *bytes.last_mut().unwrap() = 77;
    fs::write(&labels, bytes).unwrap();
    // Every label the next one: the network's accuracy on val is not what train.json says.
    small_fashion(&dir.join("shifted"), 200, 20).unwrap();
    let labels = dir.join("shifted/train-labels-idx1-ubyte");
    let mut bytes = fs::read(&labels).unwrap();
    bytes.iter_mut().skip(8).for_each(|l| *l = (*l + 1) % 10);
    fs::write(&labels, bytes).unwrap();
    let train = fs::read_to_string(dir.join("s/train.json")).unwrap();
    let accurate =
        train.replace("\"test\": {", "\"val\": {\"n\": 20, \"top1\": 1.0, \"top5\": 1.0}, \"test\": {");
    assert_ne!(train, accurate);
    fs::create_dir(dir.join("trained")).unwrap();
    for file in ["arch.json", "weights.safetensors", "golden.safetensors"] {
        fs::copy(dir.join("s").join(file), dir.join("trained").join(file)).unwrap();
    }
    fs::write(dir.join("trained/train.json"), accurate).unwrap();
    let mut failures = Vec::new();
    for (student, calib, wanted) in [
        ("s", "fashion-mnist:DIR/few", "no images to calibrate on"),
        ("s", "fashion-mnist:DIR/empty", "train-images-idx3-ubyte"),
        ("s", "fashion-mnist:DIR/labels", "77"),
        ("s", "fashion-mnist:DIR/none", "no such folder"),
        ("s", "fashion-mnist@14:DIR/data", "1x14x14"),
        ("trained", "fashion-mnist:DIR/shifted", "train.json says 100.00 %"),
        ("s", "mnist", "unknown data `mnist`"),
    ] {
        let calib = calib.replace("DIR", &d.to_string());
        let args = format!(
            "--target x86-vnni --precision int8 --data fashion-mnist:{d}/data --calib {calib} --eval-set 20 \
             {d}/{student} --out {d}/out/b.gtn"
        );
        let done = run("gtn-export", &args);
        failures.extend(done.not_refused(2, &[wanted]).map(|why| format!("{args}: {why}")));
        assert!(!dir.join("out/b.gtn").exists());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // Another folder of the same kind is fine, and the replay says so.
    let args = format!(
        "--target x86-vnni --precision int8 --data fashion-mnist:{d}/data --calib fashion-mnist:{d}/data --max-drop 100 \
         --calib-images 16 --eval-set 20 {d}/s --out {d}/out/b.gtn"
    );
    run("gtn-export", &args).ok();
    let replay = report(&dir.join("out/b.gtn"))["chosen"]["replay"].as_str().unwrap().to_owned();
    let again = format!(
        "--target x86-vnni --data fashion-mnist:{d}/data {replay} --eval-set 20 {d}/s --out {d}/again.gtn"
    );
    run("gtn-export", &again).ok();
    let model = |b: &str| fs::read(dir.join(b).join("model.onnx")).unwrap();
    assert!(model("out/b.gtn") == model("again.gtn"), "a replay makes the same file");
}

/// `check`: 0 and a table where it fits, 1 and every reason where not, 2 where it is no model.
#[test]
fn check_judges_any_model() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let d = dir.display();
    let arch = pool::student("mbv2-mini:d111-k333-e333", INPUT, 10).unwrap();
    random_student(&dir.join("s"), arch, "fashion-mnist-mini", 16, 1).unwrap();
    run("gtn-export", &format!("--target rpi5 --precision fp32 {d}/s --out {d}/b.gtn --eval-set 50")).ok();
    let int8 = "--precision int8 --max-drop 100 --calib-images 16 --eval-set 50";
    run("gtn-export", &format!("--target x86-vnni {int8} {d}/s --out {d}/vnni.gtn")).ok();
    let model = fs::read(dir.join("b.gtn/model.onnx")).unwrap();
    let write = |name: &str, from: &[u8], to: &[u8]| {
        assert_eq!(from.len(), to.len());
        let mut bytes = model.clone();
        let mut found = 0;
        for i in 0..bytes.len() - from.len() {
            if bytes[i..].starts_with(from) {
                bytes[i..i + to.len()].copy_from_slice(to);
                found += 1;
            }
        }
        assert!(found > 0, "{name}");
        fs::write(dir.join(name), bytes).unwrap();
    };
    write("unknown-op.onnx", b"GlobalAveragePool", b"GlobalAverageFool");
    fs::write(dir.join("cut.onnx"), &model[..model.len() / 2]).unwrap();
    fs::write(dir.join("text.onnx"), "not a model").unwrap();
    let toml = run("gtn-export", "targets rpi5 --toml").ok();
    let tiny = toml.replace("[memory.ram_mib]\nvalue = 2048", "[memory.ram_mib]\nvalue = 1");
    assert_ne!(tiny, toml);
    fs::write(dir.join("tiny.toml"), tiny.replace("value = 512", "value = 0")).unwrap();

    for model in ["b.gtn", "b.gtn/model.onnx"] {
        let out = run("gtn-export", &format!("check {d}/{model} --target rpi5")).ok();
        assert!(out.contains("operators") && out.contains("memory") && !out.contains(" no\n"), "{out}");
    }
    let out = run("gtn-export", &format!("check {d}/vnni.gtn --target rpi5")).ok();
    assert!(out.contains("yes, but") && out.contains("the profile's recipe is int8"), "{out}");
    let data = dir.join("data");
    small_fashion(&data, 20, 20).unwrap();
    let not_onnx = data.join("t10k-images-idx3-ubyte");
    let not_onnx = format!("check {} --target host", not_onnx.display());
    let mut failures = Vec::new();
    for (args, code, wanted) in [
        (format!("check {d}/vnni.gtn --target x86-avx2"), 1, &["more than 7 bits", "saturate"][..]),
        (format!("check {d}/b.gtn --target {d}/tiny.toml"), 1, &["allows 0 MiB", "it needs"]),
        (format!("check {d}/unknown-op.onnx --target rpi5"), 1, &["GlobalAverageFool"]),
        (format!("check {d}/cut.onnx --target rpi5"), 2, &["cut.onnx"]),
        (format!("check {d}/text.onnx --target rpi5"), 2, &["text.onnx"]),
        (format!("check {d}/none.onnx --target rpi5"), 2, &["none.onnx"]),
        (format!("check {d}/b.gtn --target toaster"), 2, &["toaster"]),
        (not_onnx, 2, &["not a valid ONNX file"]),
    ] {
        let done = run("gtn-export", &args);
        failures.extend(done.not_refused(code, wanted).map(|why| format!("{args}: {why}")));
    }
    let out =
        command("gtn-export", &format!("check {d}/vnni.gtn --target x86-avx2 --json")).output().unwrap();
    let json: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((json["fits"].as_bool(), out.status.code()), (Some(false), Some(1)));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Ten classes are not enough: they must be the student's.
#[test]
fn labels_of_another_data_set_are_refused() {
    let source: DataSource = "fashion-mnist-mini".parse().unwrap();
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let arch = pool::student("res-mini:d111-k333-e111", INPUT, 10).unwrap();
    random_student(&dir.join("s"), arch, "fashion-mnist-mini", 16, 1).unwrap();
    let text = fs::read_to_string(dir.join("s/arch.json")).unwrap();
    let first = &source.label_names().unwrap()[0];
    fs::write(dir.join("s/arch.json"), text.replacen(first.as_str(), "airplane", 1)).unwrap();
    let args = format!("--target host --precision int8 {0}/s --out {0}/b.gtn", dir.display());
    assert_eq!(run("gtn-export", &args).not_refused(2, &["where the student has `airplane`"]), None);
}
