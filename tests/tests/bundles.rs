//! A bundle is what its manifest lists, and does not set its own gate; nothing of an export that was killed stays.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::io::artifact;
use gtn_tests::sshd::files;
use gtn_tests::{command, run, small_bundle, small_student};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FP32: &str = "--target host --precision fp32 --eval-set 40";

/// Edits a bundle's manifest and seals it again, as a stranger could.
fn edit(bundle: &str, edit: impl FnOnce(&mut Value)) {
    let path = Path::new(bundle).join("manifest.json");
    let text = artifact::unseal(&artifact::read_text(&path).unwrap(), &path).unwrap();
    let mut manifest = serde_json::from_str(&text).unwrap();
    edit(&mut manifest);
    fs::write(path, artifact::seal(&manifest).unwrap()).unwrap();
}

#[test]
fn a_bundle_does_not_set_its_own_gate() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    for (precision, relative, margin, wanted) in [
        ("int8", 1e300, 0.1, "tolerance is 1e300 (margin 1e-1), wanted 0 to 5e-2 (margin 0 to 1e-1) in int8"),
        ("fp32", 1e-4, 0.1, "tolerance is 1e-4 (margin 1e-1), wanted 0 to 1e-4 (margin 0 to 1e-3) in fp32"),
        ("fp32", -1.0, 0.0, "tolerance is -1e0"),
        ("fp8", 0.0, 0.0, "precision is `fp8`, wanted fp32, fp16 or int8"),
    ] {
        edit(&bundle, |m| {
            m["precision"] = precision.into();
            m["tolerance"] = json!({"relative": relative, "margin": margin});
        });
        for args in [format!("verify {bundle}"), format!("info {bundle}")] {
            assert_eq!(run("gtn-run", &args).not_refused(2, &["manifest.json", wanted]), None);
        }
    }
    edit(&bundle, |m| {
        m["precision"] = "fp32".into();
        m["tolerance"] = json!({"relative": 1e-5, "margin": 0.0});
    });
    run("gtn-run", &format!("verify {bundle}")).ok(); // stricter is its own affair
}

/// One bad bundle of several: the others' reports come all the same, and the exit status tells.
#[test]
fn a_bad_bundle_costs_its_own_report_only() {
    let temp = tempfile::tempdir().unwrap();
    let (first, last) = (small_bundle(temp.path(), "a", FP32), small_bundle(temp.path(), "c", FP32));
    let json = temp.path().join("r.json");
    let quick = "--seconds 0 --runs 8 --warmup 0 --threads 1";
    let args = format!("{first} {}/no.gtn {last} {quick} --json {}", temp.path().display(), json.display());
    assert_eq!(run("gtn-run", &args).not_refused(2, &["no.gtn"]), None);
    let reports: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let names: Vec<&str> =
        reports.as_array().unwrap().iter().map(|r| r["model"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn what_the_manifest_does_not_list_is_named_and_not_read() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    let at = |name: &str| Path::new(&bundle).join(name);
    let verify = format!("verify {bundle} --json -");
    let warnings = || {
        let report: Value = serde_json::from_str(&run("gtn-run", &verify).ok()).unwrap();
        report["warnings"].clone()
    };
    assert_eq!(warnings(), json!([]));
    fs::write(at("a\x1b[31m.bin"), "stray").unwrap();
    symlink("/dev/zero", at("LICENSE")).unwrap();
    assert_eq!(warnings(), json!([{"kind": "unlisted", "files": ["LICENSE", "a\\x1b[31m.bin"]}]));
    let text = run("gtn-run", &format!("verify {bundle}")).ok();
    assert!(text.contains("not of the bundle, and not read: LICENSE, a\\x1b[31m.bin"), "{text}");
    fs::remove_file(at("LICENSE")).unwrap();
    fs::remove_file(at("a\x1b[31m.bin")).unwrap();
    fs::write(at("samples/7.png"), "stray").unwrap();
    assert_eq!(warnings(), json!([{"kind": "unlisted", "files": ["samples/7.png"]}]));
    fs::remove_file(at("samples/7.png")).unwrap();

    // What it does list is a file, whatever size it says.
    for (name, place) in
        [("eval.safetensors", "/dev/zero"), ("export-report.json", "/dev/zero"), ("device.toml", ".")]
    {
        let kept = fs::read(at(name)).unwrap();
        fs::remove_file(at(name)).unwrap();
        symlink(place, at(name)).unwrap();
        assert_eq!(run("gtn-run", &verify).not_refused(2, &[name, "wanted a file"]), None);
        fs::remove_file(at(name)).unwrap();
        fs::write(at(name), kept).unwrap();
    }
    run("gtn-run", &verify).ok();
}

/// A killed export's draft is removed by the next, which publishes nothing of it.
#[test]
fn a_killed_export_leaves_nothing_for_the_next() {
    let temp = tempfile::tempdir().unwrap();
    small_student(temp.path());
    let out = temp.path().join("out");
    let export = format!("{FP32} {}/s --out {}/b.gtn", temp.path().display(), out.display());
    let drafts = || {
        let entries = fs::read_dir(&out).into_iter().flatten().flatten().map(|e| e.file_name());
        entries.filter(|n| n.to_string_lossy().ends_with(".draft")).count()
    };
    let mut killed = 0;
    for _ in 0..20 {
        let mut child = command("gtn-export", &export).spawn().unwrap();
        while drafts() == 0 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill(); // SIGKILL; it may be done already
        child.wait().unwrap();
        killed += drafts();
        if killed > 0 {
            break;
        }
    }
    assert!(killed > 0, "an export was never caught at work");
    run("gtn-export", &export).ok();
    assert_eq!(drafts(), 0);
    let bundle = out.join("b.gtn");
    let name = |path: &PathBuf| path.strip_prefix(&bundle).unwrap().display().to_string();
    let mut names: Vec<String> = files(&bundle).iter().map(name).collect();
    names.sort();
    let wanted = [
        "MODEL_CARD.md",
        "device.toml",
        "eval.safetensors",
        "export-report.json",
        "golden.safetensors",
        "manifest.json",
        "model.onnx",
        "samples/1.png",
        "samples/2.png",
        "samples/3.png",
        "samples/4.png",
        "samples/5.png",
        "samples/6.png",
    ];
    assert_eq!(names, wanted);
}

/// Labels are a stranger's text: in the card each has a row of its own, and is no markup.
#[test]
fn the_card_shows_labels_as_they_are() {
    let temp = tempfile::tempdir().unwrap();
    let student = small_student(temp.path());
    let path = student.join("arch.json");
    let text = fs::read_to_string(&path).unwrap();
    let edited = text.replace("\"T-shirt/top\"", "\"a, b|<i>\\n# `c`\"");
    assert_ne!(edited, text);
    fs::write(&path, edited).unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    let card = fs::read_to_string(Path::new(&bundle).join("MODEL_CARD.md")).unwrap();
    let classes: Vec<Vec<&str>> = card
        .lines()
        .skip_while(|l| *l != "## Classes")
        .skip(4)
        .map(|l| l.trim_matches('|').splitn(2, '|').map(str::trim).collect())
        .collect();
    assert_eq!(classes.len(), 10, "{card}");
    assert_eq!(classes[0], ["0", "a, b\\|\\<i\\>\\\\n# \\`c\\`"], "{card}");
    assert_eq!(classes[1], ["1", "Trouser"]);
    assert!(!card.contains("<i>") && !card.contains("\n# `c`"), "{card}");
}
