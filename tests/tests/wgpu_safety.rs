//! Backend wgpu and what may go wrong: damaged models, no GPU, a software adapter nobody asked for.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::host::peak_rss_bytes;
use gtn_core::rng::Rng;
use gtn_run::backend::{Backend, Named, Options, WgpuOptions};
use gtn_run::gpu::{WgpuBackend, needs};
use gtn_run::onnx::OnnxFile;
use gtn_tests::damage::mutate;
use gtn_tests::{QUICK, command, run, small_bundle};
use std::fs;
use std::path::Path;

const MUTATIONS: usize = 5000;

/// CPU time and memory that a file may take: the libraries, lavapipe among them, and four times its size.
const MUTANT_SECONDS: f64 = 1.0;
const MUTANT_BYTES: u64 = 256 << 20;

/// CPU time of this thread so far, from /proc.
fn thread_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// A bundle of each precision.
fn bundle(dir: &Path, precision: &str) -> String {
    small_bundle(dir, precision, &format!("--target host --precision {precision} {QUICK}"))
}

#[test]
fn damaged_models_are_refused_or_run() {
    let temp = tempfile::tempdir().unwrap();
    let options = Options { wgpu: WgpuOptions::any_adapter(), ..Options::default() };
    let path = Path::new("m.onnx");
    let (mut refused, mut taken, mut longest) = (0, 0, 0.0f64);
    for precision in ["fp32", "int8"] {
        let model = fs::read(format!("{}/model.onnx", bundle(temp.path(), precision))).unwrap();
        needs(&OnnxFile::parse(&model, path).unwrap(), &options).unwrap();
        for i in 0..MUTATIONS / 2 {
            let bytes = mutate(&model, &mut Rng::new(i as u64, "mutate", 0));
            let start = thread_seconds();
            match OnnxFile::parse(&bytes, path).and_then(|file| needs(&file, &options)) {
                Ok(_) => taken += 1,
                Err(e) => {
                    refused += 1;
                    assert_eq!(e.exit_code(), 2, "{e}");
                    assert!(e.to_string().starts_with("m.onnx: "), "{e}");
                }
            }
            let took = thread_seconds() - start;
            longest = longest.max(took);
            assert!(took < MUTANT_SECONDS, "{precision} {i}: {took} s");
            assert!(peak_rss_bytes().unwrap() < MUTANT_BYTES + 4 * bytes.len() as u64, "{precision} {i}");
            if i % 500 == 0
                && let Ok(file) = OnnxFile::parse(&bytes, path)
                && let Ok(mut backend) = WgpuBackend::load(&file, &options, "test")
            {
                let inputs: Vec<Named> = Vec::new();
                assert_eq!(backend.run(&inputs).unwrap_err().exit_code(), 2);
                backend.info();
            }
        }
    }
    println!(
        "{refused} refused, {taken} taken; at most {longest:.4} s and {} MiB",
        peak_rss_bytes().unwrap() >> 20
    );
    assert!(refused > 100 && taken > 10, "{refused} refused, {taken} taken");
}

#[test]
fn a_bundle_is_proved_and_the_adapter_named() {
    let temp = tempfile::tempdir().unwrap();
    for precision in ["fp32", "int8"] {
        let bundle = bundle(temp.path(), precision);
        let flags =
            "--backend wgpu --allow-software --seconds 0.1 --warmup 0.05 --runs 3 --warmup-runs 1 --json -";
        let report: serde_json::Value =
            serde_json::from_str(&run("gtn-run", &format!("{bundle} {flags}")).ok()).unwrap();
        let report = report.get(0).unwrap_or(&report);
        assert_eq!(report["backend"]["name"], "wgpu");
        let adapter = report["backend"]["providers"][0].as_str().unwrap();
        assert!(adapter.contains("Vulkan"), "{adapter}");
        assert_eq!(report["parity"][0]["parity"]["pass"], true, "{report}");
        assert_eq!(report["accuracy"][0]["n"], 50);
    }
}

/// The same shaders by another way to the driver, where there is one (Mesa's, with the tests' Vulkan).
#[test]
fn opengl_es_answers_as_vulkan_does() {
    let temp = tempfile::tempdir().unwrap();
    let egl = ["/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let egl = egl.iter().any(|dir| Path::new(dir).join("libEGL.so.1").exists());
    // Where Vulkan has no adapter, and where it was asked for.
    for (precision, variable, value) in
        [("fp32", "VK_DRIVER_FILES", "/nowhere"), ("int8", "WGPU_BACKEND", "gl")]
    {
        let bundle = bundle(temp.path(), precision);
        let mut verify =
            command("gtn-run", &format!("verify {bundle} --backend wgpu --allow-software --json -"));
        let done = gtn_tests::Done::from(
            verify.env(variable, value).env("VK_ICD_FILENAMES", "/nowhere").output().unwrap(),
        );
        if !egl {
            assert_eq!(done.not_refused(3, &["no GPU found"]), None);
            continue;
        }
        let report: serde_json::Value = serde_json::from_str(&done.ok()).unwrap();
        let adapter = report["backend"]["providers"][0].as_str().unwrap();
        assert!(adapter.contains("(Gl,"), "{adapter}");
        assert_eq!(report["parity"][0]["parity"]["pass"], true, "{report}");
    }
}

#[test]
fn without_a_gpu_the_reason_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = bundle(temp.path(), "fp32");
    let software = run("gtn-run", &format!("verify {bundle} --backend wgpu"));
    // On a machine with a real GPU it works.
    if software.code != Some(0) {
        assert_eq!(software.not_refused(3, &["--allow-software"]), None);
    }
    let mut none = command("gtn-run", &format!("verify {bundle} --backend wgpu --allow-software"));
    none.env("VK_DRIVER_FILES", "/nowhere").env("VK_ICD_FILENAMES", "/nowhere");
    let none = none.env("WGPU_BACKEND", "vulkan").output().unwrap();
    assert_eq!(gtn_tests::Done::from(none).not_refused(3, &["no GPU found", "mesa-vulkan-drivers"]), None);
    for flag in ["--ep cuda", "--threads 2", "--spin off", "--ort-lib x.so"] {
        let done = run("gtn-run", &format!("verify {bundle} --backend wgpu {flag}"));
        assert_eq!(done.not_refused(2, &["not with --backend wgpu"]), None);
    }
    let odd = run("gtn-run", &format!("verify {bundle} --backend vulkan"));
    assert_eq!(odd.not_refused(2, &["wanted auto, ort, wgpu or rust"]), None);
}

#[test]
fn tuning_is_kept_and_a_damaged_cache_does_no_harm() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = bundle(temp.path(), "fp32");
    let flags = "--backend wgpu --allow-software";
    let within = |cache: &Path, args: &str| {
        let done = command("gtn-run", args).env("XDG_CACHE_HOME", cache).output().unwrap();
        gtn_tests::Done::from(done).ok()
    };
    let options = |cache: &Path| {
        let report = within(cache, &format!("verify {bundle} {flags} --json -"));
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let report = report.get(0).unwrap_or(&report).clone();
        assert_eq!(report["parity"][0]["parity"]["pass"], true, "{report}");
        report["backend"]["options"].clone()
    };
    let cache = temp.path().join("cache");
    let text = within(&cache, &format!("tune {bundle} {flags} --seconds 0.3"));
    let chosen = ["general", "block", "tile"].into_iter().find(|k| text.contains(&format!(": {k}\n")));
    assert_eq!(options(&cache)["kernels"], chosen.unwrap());
    let files: Vec<_> = fs::read_dir(cache.join("gtn-run")).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.iter().any(|f| f.extension().is_some_and(|e| e == "json")), "{files:?}");
    for file in files {
        let mut bytes = fs::read(&file).unwrap();
        let last = bytes.len() - 2;
        bytes[last] ^= 0x55;
        fs::write(&file, bytes).unwrap();
    }
    options(&cache);
    // Nothing can be written below a file.
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    options(&file);
}

#[test]
fn every_step_is_timed() {
    let temp = tempfile::tempdir().unwrap();
    let flags = "--backend wgpu --allow-software --runs 3 --json -";
    let text = run("gtn-run", &format!("profile {} {flags}", bundle(temp.path(), "fp32"))).ok();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let report = report.get(0).unwrap_or(&report);
    let ops = report["profile"]["ops"].as_array().unwrap().clone();
    let macs: u64 = ops.iter().map(|o| o["macs"].as_u64().unwrap()).sum();
    assert_eq!(Some(macs), report["model"]["macs"].as_u64());
    assert!(ops.iter().all(|o| o["us"].as_f64().unwrap() > 0.0), "{ops:?}");
    assert!(ops.iter().all(|o| o["provider"] == "wgpu"));
}
