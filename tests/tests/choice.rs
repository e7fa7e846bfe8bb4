//! Choices: what cannot be judged ends nothing for the others, what is broken is never chosen, flags are judged
//! before any work, and what is predicted for a target stands beside what was measured here.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::artifacts::model_dir::ModelDir;
use gtn_core::ir::arch::{ArchSpec, Input};
use gtn_core::nets::pool;
use gtn_tests::{Done, QUICK, random_student, run, small_bundle, small_student};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const GREY: Input = Input { channels: 1, height: 28, width: 28 };

fn arch(id: &str) -> ArchSpec {
    pool::student(&format!("res-mini:{id}"), GREY, 10).unwrap()
}

/// A student with random weights whose train.json claims that val top-1.
fn student(dir: &Path, id: &str, top1: f64) {
    random_student(dir, arch(id), "fashion-mnist-mini", 16, 1).unwrap();
    edit_train(dir, |t| t["accuracy"]["val"] = json!({"n": 1000, "top1": top1, "top5": 1.0}));
}

fn edit_train(dir: &Path, edit: impl Fn(&mut Value)) {
    let path = dir.join("train.json");
    let mut train: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut train);
    fs::write(path, train.to_string()).unwrap();
}

/// One weight is NaN, as in a training that diverged.
fn diverge(dir: &Path) {
    let student = ModelDir::read(dir).unwrap();
    let mut weights = student.weights;
    *weights.0.values_mut().next().unwrap().first_mut().unwrap() = f32::NAN;
    weights.write(&dir.join("weights.safetensors"), &student.graph).unwrap();
}

/// A diverged one that claims the most, an unfinished, a damaged, one judged on other images: the best of the
/// rest is chosen, each other one is listed with its reason. Without the rest: exit status 1 and the list.
#[test]
fn what_cannot_be_judged_is_listed_and_left_out() {
    let temp = tempfile::tempdir().unwrap();
    let (d, runs) = (temp.path().display(), temp.path().join("runs"));
    student(&runs.join("good"), "d111-k333-e111", 0.8);
    student(&runs.join("fair"), "d111-k333-e111", 0.7);
    student(&runs.join("nan"), "d111-k333-e111", 1.0);
    student(&runs.join("other"), "d111-k333-e111", 0.9);
    edit_train(&runs.join("other"), |t| t["accuracy"]["val"]["n"] = json!(7));
    student(&runs.join("wild"), "d111-k333-e111", 7.5);
    student(&runs.join("torn"), "d111-k333-e111", 0.9);
    fs::write(runs.join("torn/arch.json"), "{").unwrap();
    student(&runs.join("open"), "d111-k333-e111", 0.9);
    fs::remove_file(runs.join("open/train.json")).unwrap();
    let choose = || run("gtn-export", &format!("--target rpi5 --from {d}/runs --latency-ms 100 --json"));
    diverge(&runs.join("nan"));
    let found: Value = serde_json::from_str(&choose().ok()).unwrap();
    assert!(found["chosen"].as_str().unwrap().ends_with("runs/good"), "{found}");
    let skipped = found["skipped"].as_array().unwrap();
    let mut wrong = Vec::new();
    for (name, wanted) in [
        ("nan", "holds NaN"),
        ("other", "on 7 val images"),
        ("wild", "accuracy.val.top1 is 7.5"),
        ("torn", "arch.json"),
        ("open", "its training is not finished"),
    ] {
        let one = skipped.iter().find(|s| s["dir"].as_str().unwrap().ends_with(name));
        if !one.is_some_and(|s| s["why"].as_str().unwrap().contains(wanted)) {
            wrong.push(format!("{name}: {one:?}, wanted {wanted}"));
        }
    }
    assert!(wrong.is_empty() && skipped.len() == 5, "{}\n{skipped:?}", wrong.join("\n"));

    for name in ["good", "fair", "other", "wild", "torn", "open"] {
        fs::remove_dir_all(runs.join(name)).unwrap();
    }
    assert_eq!(choose().not_refused(1, &["no student to choose from", "runs/nan", "holds NaN"]), None);
    let alone = run("gtn-export", &format!("--target rpi5 --precision fp32 {d}/runs/nan --out {d}/b.gtn"));
    assert_eq!(alone.not_refused(2, &["weights.safetensors", "holds NaN"]), None);
    assert!(!temp.path().join("b.gtn").exists());
}

/// In all of the output: rpi5's latency is a prediction, this machine's is its own.
#[test]
fn predicted_for_the_target_and_measured_here_are_two_columns() {
    let temp = tempfile::tempdir().unwrap();
    let d = temp.path().display();
    let s = small_student(temp.path()).display().to_string();
    let export = |target: &str, name: &str| -> Done {
        let flags = "--precision fp32 --eval-set 50";
        run("gtn-export", &format!("--target {target} {flags} {s} --out {d}/{name}.gtn"))
    };
    let report = |name: &str| -> Value {
        let path = temp.path().join(name).join("export-report.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let shown = export("rpi5", "a").ok();
    let heading = shown.lines().find(|l| l.starts_with("latency ")).unwrap();
    assert!(
        heading.contains("predicted for rpi5") && heading.contains("measured on this machine"),
        "{shown}"
    );
    assert_eq!(shown.matches("p50").count(), 1, "no other p50 that might be taken for the target's\n{shown}");
    let latency = &report("a.gtn")["latency"];
    assert_eq!(latency["predicted_for_target"]["target"], "rpi5");
    assert_eq!(latency["predicted_for_target"]["threads"], 4);
    let here = latency["measured_on_this_machine"]["p50_ms"].as_f64().unwrap();
    assert!(here > 0.0 && latency["predicted_for_target"]["p50_ms"].as_f64().unwrap() != here);
    // A profile without figures says so; the machine itself has one column.
    let shown = export("rpi4", "b").ok();
    assert!(shown.contains("no figures: gtn-run table"), "{shown}");
    assert_eq!(report("b.gtn")["latency"]["predicted_for_target"], Value::Null);
    let shown = export("host", "c").ok();
    assert!(shown.contains("measured on this machine") && !shown.contains("predicted for"), "{shown}");
}

/// On this machine the profile's order decides unless the interval is clear; what was measured is in the report,
/// once for each pair; the drop is stated on images that chose nothing.
#[test]
fn a_choice_says_what_was_measured_and_what_decided() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "auto", &format!("--target host {QUICK}"));
    let path = Path::new(&bundle).join("export-report.json");
    let report: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let duels = report["measured_in_turn"].as_array().unwrap();
    assert_eq!(duels.len(), 1, "{report}");
    let (result, chosen) = (&duels[0]["result"], report["chosen"]["precision"].as_str().unwrap());
    let [low, high] = [0, 1].map(|i| result["ci95"][i].as_f64().unwrap());
    let wanted = match result["verdict"].as_str().unwrap() {
        // Of fp32's time over int8's.
        "faster" => "fp32",
        _ => "int8",
    };
    assert_eq!((duels[0]["first"].as_str(), duels[0]["second"].as_str()), (Some("int8"), Some("fp32")));
    assert!(chosen == wanted && low <= high && !(chosen == "fp32" && high >= 1.0), "{report}");
    let why = report["chosen"]["why"].as_str().unwrap();
    assert!(why.starts_with("measured in turn on this machine, "), "{why}");
    let int8 = report["candidates"].as_array().unwrap().iter().find(|c| c["precision"] == "int8").unwrap();
    let (stated, judged) = (&int8["stated"], &int8["judged"]);
    let drop = stated["drop"].as_f64().unwrap();
    assert!(
        stated["drop_ci95"][0].as_f64().unwrap() <= drop && drop <= stated["drop_ci95"][1].as_f64().unwrap()
    );
    assert!(stated["images"].as_u64() > Some(100) && judged["images"].as_u64() > Some(100), "{int8}");
}

/// A flag that nothing can come of ends the export before data are read: the student's folder does not exist.
#[test]
fn flags_are_judged_before_any_work() {
    let mut failures = Vec::new();
    for (flags, wanted) in [
        ("--max-drop nan --precision fp16", "--max-drop NaN"),
        ("--max-drop inf", "--max-drop inf"),
        ("--max-class-drop 101", "--max-class-drop 101"),
        ("--max-class-drop nan", "--max-class-drop NaN"),
        ("--calibration best", "--calibration best"),
        ("--calib-images 0", "--calib-images is 0"),
        ("--calib nothing", "unknown data `nothing`"),
        ("--table /no/t.json", "/no/t.json"),
        ("--latency-ms nan", "--latency-ms NaN"),
        ("--memory-mb inf", "--memory-mb inf"),
    ] {
        let done =
            run("gtn-export", &format!("--target jetson-orin-nano /no/such/student --out /no/b.gtn {flags}"));
        failures.extend(done.not_refused(2, &[wanted]).map(|why| format!("{flags}: {why}")));
    }
    let temp = tempfile::tempdir().unwrap();
    let s = small_student(temp.path()).display().to_string();
    let done = run("gtn-export", &format!("--target host {s} --out {s}/b.gtn --keep-fp32 stem,no.such"));
    failures.extend(done.not_refused(2, &["--keep-fp32 no.such", "no such layer"]));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
