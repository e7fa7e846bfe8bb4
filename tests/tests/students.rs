//! Random students of every pool: reference evaluator, trainer, Python's ONNX checker and ONNX Runtime
//! agree.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::ir::arch::Input;
use gtn_core::nets::pool;
use gtn_tests::{random_student, root, run, small_fashion};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// (pool, students): 25 of each family.
const POOLS: [(&str, u64); 4] = [("mbv2-mini", 19), ("mbv2-cifar", 6), ("res-mini", 19), ("res-cifar", 6)];

#[test]
fn fifty_random_students_survive_the_chain() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let input = Input { channels: 1, height: 28, width: 28 };
    small_fashion(&dir.join("data"), 10, 400).unwrap();
    let mut jobs = Vec::new();
    for (name, count) in POOLS {
        let pool = pool::named(name).unwrap();
        for i in 0..count {
            let path = pool.sample(11, i);
            jobs.push((format!("{name}-{i}"), pool.arch(&path, input, 10).unwrap(), i));
        }
    }
    assert_eq!(jobs.len(), 50);
    let queue = Mutex::new(jobs);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((name, arch, seed)) = queue.lock().unwrap().pop() else { break };
                    random_student(&dir.join(&name), arch, "fashion-mnist", 8, seed).unwrap();
                    let failed = chain(dir, &name);
                    failures.lock().unwrap().extend(failed.map(|why| format!("{name}: {why}")));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of 50:\n{}", failures.len(), failures.join("\n"));
    check_onnx(dir);
}

/// Export compares ONNX Runtime with the golden answers, which are the reference evaluator's; `--against`
/// compares it with the trainer on 400 test images. Both at the one fp32 bound.
fn chain(dir: &Path, name: &str) -> Option<String> {
    let d = dir.display();
    let steps = [
        (
            "gtn-export",
            format!(
                "--target host --precision fp32 {d}/{name} --data fashion-mnist:{d}/data --out {d}/{name}.gtn"
            ),
        ),
        (
            "gtn-train",
            format!("eval --data fashion-mnist:{d}/data {d}/{name} --logits {d}/{name}.npy --threads 1"),
        ),
        ("gtn-run", format!("eval {d}/{name}.gtn --against {d}/{name}.npy --threads 1 --batch 20")),
        ("gtn-run", format!("verify {d}/{name}.gtn --threads 1")),
    ];
    let failed = |(program, args): &(&str, String)| {
        let done = run(program, args);
        (done.code != Some(0)).then(|| format!("{program} {args}\n{}{}", done.stdout, done.stderr))
    };
    steps.iter().find_map(failed)
}

/// onnx.checker with full_check (strict shape inference), by Python, on every model.
fn check_onnx(dir: &Path) {
    let python = root().join(".venv-oracles/bin/python");
    let script = "import glob, sys, onnx\nmodels = sorted(glob.glob(sys.argv[1] + '/*.gtn/model.onnx'))\n\
                  for m in models: onnx.checker.check_model(m, full_check=True)\nprint(len(models))";
    let out = Command::new(&python).args(["-c", script]).arg(dir).output();
    let done: gtn_tests::Done = out.unwrap().into(); // no .venv-oracles: scripts/setup.sh --oracles
    assert_eq!(done.ok().trim(), "50");
}
