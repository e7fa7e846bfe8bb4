//! Execution providers: what ONNX Runtime's library does not have is said, and never runs on the CPU unseen.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_tests::{run, small_bundle};
use serde_json::Value;
use std::path::Path;

fn bundle(dir: &Path, target: &str) -> String {
    small_bundle(dir, target, &format!("--target {target} --precision fp32 --eval-set 100"))
}

/// The library that scripts/setup.sh fetches has the CPU only.
#[test]
fn a_provider_that_is_not_there_is_status_3() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path(), "host");
    let model = format!("{b}/model.onnx");
    for args in [
        format!("verify {b} --ep xnnpack"),
        format!("bench {model} --ep openvino,xnnpack"),
        format!("profile {b} --ep cuda"),
        format!("compare {b} {b} --ep nnapi"),
        format!("classify {b} x.png --ep qnn"),
    ] {
        let refused = run("gtn-run", &args);
        assert_eq!(refused.not_refused(3, &["this ONNX Runtime has no", "(it has: cpu)"]), None, "{args}");
    }
    for (ep, wanted) in [("gpu", "--ep gpu: unknown, wanted some of tensorrt"), ("cpu,cuda", "stands alone")]
    {
        assert_eq!(run("gtn-run", &format!("verify {b} --ep {ep}")).not_refused(2, &[wanted]), None);
    }
    let report: Value =
        serde_json::from_str(&run("gtn-run", &format!("verify {b} --ep cpu --json -")).ok()).unwrap();
    let providers = report["backend"]["providers"].as_array().unwrap();
    assert_eq!(providers, &["CPUExecutionProvider"]);
    let info: Value = serde_json::from_str(&run("gtn-run", "info --json").ok()).unwrap();
    assert_eq!(info["onnxruntime"]["providers"], serde_json::json!(["cpu"]));
}

/// A latency on the CPU is not what a bundle for a Jetson is for: it must be asked for.
#[test]
fn the_profiles_providers_are_wanted_too() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path(), "jetson-orin-nano");
    let wanted = ["jetson-orin-nano.gtn", "wants tensorrt or cuda", "has cpu only", "--ep cpu"];
    assert_eq!(run("gtn-run", &format!("verify {b}")).not_refused(3, &wanted), None);
    let report: Value =
        serde_json::from_str(&run("gtn-run", &format!("verify {b} --ep cpu --json -")).ok()).unwrap();
    assert_eq!(report["backend"]["why"], "--ep cpu");
}
