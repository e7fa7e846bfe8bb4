//! The pictures that a bundle carries: `verify` holds a machine to them from their files on, `classify` answers them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::image::{made_pictures, to_png};
use gtn_core::io::artifact;
use gtn_core::io::tensors::{Data, TensorMap};
use gtn_tests::mutants::repair::vouch;
use gtn_tests::{Done, run, small_bundle};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const FP32: &str = "--target host --precision fp32 --eval-set 40";

fn manifest(bundle: &str) -> Value {
    let path = Path::new(bundle).join("manifest.json");
    serde_json::from_str(&artifact::unseal(&artifact::read_text(&path).unwrap(), &path).unwrap()).unwrap()
}

fn seal(bundle: &str, manifest: &Value) {
    fs::write(Path::new(bundle).join("manifest.json"), artifact::seal(manifest).unwrap()).unwrap();
}

/// Puts another file where the manifest lists one, and makes the manifest list it.
fn exchange(bundle: &str, name: &str, bytes: &[u8]) {
    let dir = Path::new(bundle);
    vouch(dir, &fs::read(dir.join("manifest.json")).unwrap(), name, bytes).unwrap();
}

fn edit_golden(bundle: &str, edit: impl FnOnce(&mut TensorMap)) {
    let mut golden = TensorMap::read(&Path::new(bundle).join("golden.safetensors")).unwrap();
    edit(&mut golden);
    exchange(bundle, "golden.safetensors", &golden.to_bytes().unwrap());
}

fn verify(bundle: &str) -> Done {
    run("gtn-run", &format!("verify {bundle} --json -"))
}

/// The comparison with the samples in verify's report.
fn told(report: &str) -> Value {
    let report: Value = serde_json::from_str(report).unwrap();
    let checks = report["parity"].as_array().unwrap();
    let found = checks.iter().find(|c| c["against"] == "the shipped model's answers to its samples");
    json!({"parity": found.map(|c| c["parity"].clone()), "warnings": report["warnings"]})
}

/// Embedded data are free to pass on: six test pictures of six classes, answered by every backend as the evaluation answers
/// the same pixels.
#[test]
fn embedded_pictures_are_verified_and_classified() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    let listed = manifest(&bundle);
    assert_eq!(
        (&listed["schema"], listed["samples"].as_array().unwrap().len()),
        (&json!("gtn.bundle/1.1"), 6)
    );
    for backend in ["ort", "rust", "wgpu --allow-software"] {
        let args = format!("verify {bundle} --backend {backend} --json -");
        let found = told(&run("gtn-run", &args).ok());
        assert_eq!((&found["parity"]["n"], &found["parity"]["pass"]), (&json!(6), &json!(true)), "{backend}");
    }
    let answers = run("gtn-run", &format!("classify {bundle} --json -"));
    assert!(answers.stderr.contains("these are the bundle's own 6 samples"), "{}", answers.stderr);
    let answers: Value = serde_json::from_str(&answers.ok()).unwrap();
    for (answer, sample) in
        answers["images"].as_array().unwrap().iter().zip(listed["samples"].as_array().unwrap())
    {
        let file = answer["file"].as_str().unwrap();
        assert_eq!(file, format!("{bundle}/{}", sample["file"].as_str().unwrap()));
        assert_eq!(
            (&answer["top"][0]["class"], &answer["top"][0]["label"]),
            (&sample["class"], &answer["expected"])
        );
        // The file alone is answered alike.
        let alone = run("gtn-run", &format!("classify {bundle} {file} --json -")).ok();
        assert_eq!(serde_json::from_str::<Value>(&alone).unwrap()["images"][0]["top"], answer["top"]);
    }
    let table = run("gtn-run", &format!("classify {bundle}")).ok();
    assert!(table.contains("expected") && table.lines().count() == 8, "{table}");
    let card = fs::read_to_string(format!("{bundle}/MODEL_CARD.md")).unwrap();
    assert!(card.contains("## Samples") && card.contains("samples/6.png"), "{card}");
    assert!(run("gtn-run", &format!("info {bundle}")).ok().contains("samples"));
}

/// Made pictures are larger than the network's input, turned, and of every kind that is read; int8 too, and the same bytes
/// again.
#[test]
fn made_pictures_are_decoded_turned_and_resized() {
    let temp = tempfile::tempdir().unwrap();
    for precision in ["fp32", "int8"] {
        let quick = gtn_tests::QUICK;
        let how = format!("--target host --precision {precision} {quick} --samples made");
        let [one, two] =
            ["one", "two"].map(|name| small_bundle(temp.path(), &format!("{name}-{precision}"), &how));
        for (i, picture) in made_pictures(0).unwrap().iter().enumerate() {
            let kind = ["png", "png", "png", "jpg", "jpg", "webp"][i];
            for bundle in [&one, &two] {
                assert!(fs::read(format!("{bundle}/samples/{}.{kind}", i + 1)).unwrap() == *picture);
            }
        }
        let golden = |bundle: &str| fs::read(format!("{bundle}/golden.safetensors")).unwrap();
        assert!(golden(&one) == golden(&two));
        for backend in ["ort", "rust"] {
            let report = run("gtn-run", &format!("verify {one} --backend {backend} --json -")).ok();
            assert_eq!(told(&report)["parity"]["pass"], true, "{precision} {backend}");
        }
    }
}

/// A damaged sample is refused by its hash. One that was exchanged, hash and all, is another picture, and named; one that is no
/// picture is refused.
#[test]
fn a_sample_that_is_not_what_it_was_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    let path = Path::new(&bundle).join("samples/3.png");
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 4;
    fs::write(&path, &bad).unwrap();
    for command in ["verify", "classify", "info"] {
        let done = run("gtn-run", &format!("{command} {bundle}"));
        assert_eq!(done.not_refused(2, &["samples/3.png: has SHA-256", "damaged or edited"]), None);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(verify(&bundle).not_refused(2, &["samples/3.png"]), None);

    exchange(&bundle, "samples/3.png", &to_png(&[90; 784], 28, 28).unwrap());
    let done = verify(&bundle);
    assert_eq!(done.not_refused(1, &["parity failed"]), None);
    let found = told(&done.stdout);
    assert_eq!(found["parity"]["pass"], false);
    assert_eq!(found["warnings"], json!([{"kind": "samples_differ", "files": ["samples/3.png"]}]));
    let words = run("gtn-run", &format!("verify {bundle}")).stdout;
    assert!(words.contains("not the shipped model's on the samples samples/3.png"), "{words}");

    for (bytes, wanted) in [
        (&b"a poem"[..], "samples/3.png: is neither a PNG, a JPEG nor a WebP file"),
        (&good[..good.len() / 2], "samples/3.png: is not a readable PNG"),
        (b"", "samples/3.png: is neither a PNG"),
    ] {
        exchange(&bundle, "samples/3.png", bytes);
        for command in ["verify", "classify"] {
            let done = run("gtn-run", &format!("{command} {bundle}"));
            assert_eq!(done.not_refused(2, &[wanted]), None, "{command}");
        }
    }
    exchange(&bundle, "samples/3.png", &good);
    verify(&bundle).ok();
}

/// A bundle of gtn.bundle/1, as it was before there were samples.
#[test]
fn an_older_bundle_is_verified_and_has_none() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    edit_golden(&bundle, |golden| drop(golden.0.remove("logits_samples").unwrap()));
    let mut old = manifest(&bundle);
    old["schema"] = "gtn.bundle/1".into();
    old.as_object_mut().unwrap().remove("samples");
    old["files"].as_object_mut().unwrap().retain(|name, _| !name.starts_with("samples/"));
    seal(&bundle, &old);
    fs::remove_dir_all(Path::new(&bundle).join("samples")).unwrap();
    let report: Value = serde_json::from_str(&verify(&bundle).ok()).unwrap();
    assert_eq!((report["parity"].as_array().unwrap().len(), &report["warnings"]), (2, &json!([])));
    let done = run("gtn-run", &format!("classify {bundle}"));
    assert_eq!(done.not_refused(2, &["the bundle has no samples: name pictures"]), None);
    // So is one that wants none.
    let none = small_bundle(temp.path(), "none", &format!("{FP32} --samples none"));
    assert!(!Path::new(&none).join("samples").exists());
    verify(&none).ok();
}

/// What a stranger's manifest may say of samples.
#[test]
fn hostile_samples_are_refused_in_a_line() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    let good = manifest(&bundle);
    let many: Vec<Value> = (0..65).map(|i| json!({"file": format!("samples/{i}.png"), "class": 0})).collect();
    let entry = json!({"size": 1, "sha256": "00"});
    let huge = json!({"size": 1u64 << 40, "sha256": "00"});
    type Edit<'a> = (&'a str, &'a dyn Fn(&mut Value));
    let edits: [Edit; 13] = [
        ("samples has 65 pictures, wanted at most 64", &|m| m["samples"] = many.clone().into()),
        ("`../key` is not one of the files in samples/", &|m| m["samples"][0]["file"] = "../key".into()),
        ("`samples/../key` is not a plain", &|m| m["files"]["samples/../key"] = entry.clone()),
        ("`samples/a/b` is not a plain", &|m| m["files"]["samples/a/b"] = entry.clone()),
        ("`samples/` is not a plain", &|m| m["files"]["samples/"] = entry.clone()),
        ("`other/b` is not a plain", &|m| m["files"]["other/b"] = entry.clone()),
        ("`samples/9.png` is none of the samples", &|m| m["files"]["samples/9.png"] = entry.clone()),
        ("`model.onnx` is not one of the files in samples/", &|m| {
            m["samples"][0]["file"] = "model.onnx".into()
        }),
        ("`samples/2.png` is there twice", &|m| m["samples"][0]["file"] = "samples/2.png".into()),
        ("`samples/1.png` is of class 10, wanted 0 to 9", &|m| m["samples"][0]["class"] = 10.into()),
        ("samples[0].class", &|m| m["samples"][0]["class"] = json!(-1)),
        ("wanted at most 33554432", &|m| m["files"]["samples/1.png"] = huge.clone()),
        ("logits_samples`: of samples/1.png class", &|m| {
            let class = m["samples"][0]["class"].as_u64().unwrap();
            m["samples"][0]["class"] = ((class + 1) % 10).into();
        }),
    ];
    let mut failures = Vec::new();
    for (wanted, edit) in edits {
        let mut edited = good.clone();
        edit(&mut edited);
        seal(&bundle, &edited);
        for command in ["verify", "classify"] {
            let done = run("gtn-run", &format!("{command} {bundle}"));
            failures.extend(done.not_refused(2, &["b.gtn/", wanted]).map(|why| format!("{command}: {why}")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    seal(&bundle, &good);
    edit_golden(&bundle, |golden| {
        let Data::F32(logits) = &mut golden.0.get_mut("logits_samples").unwrap().data else { unreachable!() };
        logits[13] = f32::NAN;
    });
    let wanted = "golden.safetensors: tensor `logits_samples`: the logit of class 3 for image 1 is NaN";
    assert_eq!(verify(&bundle).not_refused(2, &[wanted]), None);
    edit_golden(&bundle, |golden| drop(golden.0.remove("logits_samples")));
    assert_eq!(verify(&bundle).not_refused(2, &["golden.safetensors", "logits_samples"]), None);
}
