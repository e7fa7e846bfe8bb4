//! gtn-run's measuring, on a student with random weights: what a report holds, and what is refused.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_tests::{Done, command, run, small_bundle};
use serde_json::Value;
use std::path::Path;

/// A bundle for this machine of a small student.
fn bundle(dir: &Path) -> String {
    bundle_in(dir, "fp32")
}

fn bundle_in(dir: &Path, precision: &str) -> String {
    let how = format!("--target host --precision {precision} --max-drop 100 --eval-set 100");
    small_bundle(dir, precision, &how)
}

fn json(args: &str) -> Value {
    serde_json::from_str(&run("gtn-run", &format!("{args} --json -")).ok()).unwrap()
}

#[test]
fn every_way_of_measuring_tells_what_it_did() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path());
    let r = json(&format!(
        "bench {b} --seconds 0.3 --runs 150 --warmup 0 --warmup-runs 7 --threads 1 --spin off"
    ));
    let l = &r["latency"];
    assert_eq!(
        (&l["warmup_runs"], &l["io"], &l["pace"]["kind"]),
        (&7.into(), &"bound".into(), &"back_to_back".into())
    );
    let n = l["samples_ms"].as_array().unwrap().len();
    assert!(n >= 150 && l["inferences"] == n && l["kept_every"] == 1);
    let ci = l["robust"]["p50_ci95"].as_array().unwrap();
    let p50 = l["summary"]["p50"].as_f64().unwrap();
    assert!(ci[0].as_f64().unwrap() <= p50 && p50 <= ci[1].as_f64().unwrap(), "{ci:?} around {p50}");
    assert_eq!(r["backend"]["options"]["spin"], "off");
    assert!(l["disturbance"]["others_cores"].is_number());

    let r = json(&format!("bench {b} --seconds 0 --runs 20 --warmup 0 --interval-ms 5 --copy-io"));
    let pace = &r["latency"]["pace"];
    assert_eq!(
        (&pace["kind"], &pace["interval_ms"], &r["latency"]["io"]),
        (&"paced".into(), &5.0.into(), &"copied".into())
    );

    let sweep =
        json(&format!("bench {b} --seconds 0 --runs 10 --warmup 0 --sweep-threads 1,2 --sweep-batches 1,4"));
    let ran =
        |r: &Value| (r["backend"]["threads"].as_u64().unwrap(), r["latency"]["batch"].as_u64().unwrap());
    let ran: Vec<_> = sweep.as_array().unwrap().iter().map(ran).collect();
    assert_eq!(ran, [(1, 1), (1, 4), (2, 1), (2, 4)]);

    if cfg!(target_os = "linux") {
        let r = json(&format!("bench {b} --seconds 0 --runs 10 --warmup 0 --pin 0"));
        assert_eq!((&r["latency"]["cpus"], &r["backend"]["threads"]), (&"0".into(), &1.into()));
        let refused = run("gtn-run", &format!("bench {b} --pin 1000"));
        assert_eq!(refused.not_refused(2, &["--pin 1000"]), None);
    }
}

/// Every multiply-accumulate of the network is found in some node, whatever the runtime fused.
#[test]
fn a_profile_accounts_for_all_the_work() {
    let temp = tempfile::tempdir().unwrap();
    for precision in ["int8", "fp32"] {
        let b = bundle_in(temp.path(), precision);
        let r = json(&format!("profile {b} --runs 20 --threads 1 --batch 2"));
        let ops = r["profile"]["ops"].as_array().unwrap();
        let macs: u64 = ops.iter().map(|o| o["macs"].as_u64().unwrap()).sum();
        assert_eq!(macs, 2 * r["model"]["macs"].as_u64().unwrap(), "{precision}");
        assert!(
            ops.iter().all(|o| o["us"].as_f64().unwrap() >= 0.0 && o["provider"] == "CPUExecutionProvider")
        );
    }
    let b = temp.path().join("fp32.gtn").display().to_string();
    let page = temp.path().join("p.html");
    // A folder for temporary files of its own: in the system's, others' lie too.
    let own = temp.path().join("tmp");
    std::fs::create_dir(&own).unwrap();
    let args = format!("profile {b} --runs 5 --html {}", page.display());
    let done = command("gtn-run", &args).env("TMPDIR", &own).output().unwrap();
    let text = Done::from(done).ok();
    assert!(text.contains("GMAC/s") && text.contains(" nodes "), "{text}");
    assert!(std::fs::read_to_string(page).unwrap().contains("GMAC/s"));
    let left: Vec<_> = std::fs::read_dir(&own).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn tuned_settings_are_taken_and_checked() {
    let temp = tempfile::tempdir().unwrap();
    let (b, dir) = (bundle(temp.path()), temp.path().display());
    let out = run("gtn-run", &format!("tune {b} --seconds 0.5 --out {dir}/s.json")).ok();
    assert!(out.contains("chosen: ") && out.contains("over the fastest"), "{out}");
    let file = temp.path().join("s.json");
    let settings: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let quick = "--seconds 0 --runs 10 --warmup 0";
    let r = json(&format!("bench {b} {quick} --settings {dir}/s.json"));
    assert_eq!(r["backend"]["threads"], settings["choice"]["threads"]);
    assert_eq!(
        json(&format!("bench {b} {quick} --settings {dir}/s.json --threads 1"))["backend"]["threads"],
        1
    );
    // Another model: allowed, and said.
    std::fs::copy(format!("{b}/model.onnx"), temp.path().join("m.onnx")).unwrap();
    let mut other = settings.clone();
    other["model_sha256"] = "00".into();
    std::fs::write(&file, other.to_string()).unwrap();
    let text = run("gtn-run", &format!("bench {b} {quick} --settings {dir}/s.json")).ok();
    assert!(text.contains("tuned for another model"), "{text}");
    // Another machine: refused.
    other["host"] = "a toaster".into();
    std::fs::write(&file, other.to_string()).unwrap();
    let refused = run("gtn-run", &format!("bench {b} --settings {dir}/s.json"));
    assert_eq!(refused.not_refused(2, &["s.json", "was tuned on `a toaster`"]), None);
}

/// Ten thousand inferences in one process: no more than 1 MB of growth after the warm-up.
#[test]
fn memory_does_not_grow() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path());
    let r = json(&format!("memory {b} --runs 10000"));
    let m = |key: &str| r["memory"][key].as_u64().unwrap();
    assert!(m("start") < m("loaded") && m("loaded") <= m("peak"));
    assert!(m("end") < m("warm") + 1_000_000, "{}", r["memory"]);
    let all = json(&format!("{b} --seconds 0.1 --warmup 0"));
    assert!(all["memory"]["peak"].as_u64().unwrap() > 1_000_000, "the report's own pass");
}

#[test]
fn wrong_values_are_named() {
    let cases = [
        ("bench x.onnx --interval-ms 0", "--interval-ms 0"),
        ("bench x.onnx --interval-ms nan", "--interval-ms"),
        ("bench x.onnx --warmup-runs 99999999", "--warmup-runs"),
        ("bench x.onnx --sweep-threads 1,0", "--sweep-threads 0"),
        ("bench x.onnx --sweep-batches 9999", "--sweep-batches 9999"),
        ("bench x.onnx --mlperf --seconds 5", "--mlperf"),
        ("bench x.onnx --pin fast", "--pin fast"),
        ("bench x.onnx --pin 3-1", "--pin 3-1"),
        ("bench x.onnx --spin maybe", "maybe"),
        ("bench x.onnx --settings no.json", "no.json"),
        ("profile x.onnx --runs 0", "--runs 0"),
        ("tune x.onnx --seconds=-1", "seconds"),
        ("memory no.onnx", "no.onnx"),
    ];
    let failures: Vec<String> =
        cases.iter().filter_map(|(args, wanted)| run("gtn-run", args).not_refused(2, &[wanted])).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
