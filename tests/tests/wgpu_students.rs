//! Random students of both families, fp32 and int8, as gtn-export writes them: our executor answers as ONNX
//! Runtime does.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::arch::Input;
use gtn_core::parity::{Tolerance, compare};
use gtn_core::pool;
use gtn_run::backend::{Kind, Options};
use gtn_run::subject::Subject;
use gtn_tests::{random_student, run};
use std::path::Path;

/// Sums in another order, a hundred layers deep; the top class must agree where it is no near-tie.
const BOUND: Tolerance = Tolerance { relative: 1e-3, margin: 1e-2 };

/// Of the 20 int8 students so many must keep [`BOUND`] too, the rest [`Tolerance::INT8`]: convolutions are exact on
/// both sides; sums of quantised values may land one step apart where they are near the middle of two integers.
const INT8_WITHIN_BOUND: usize = 12;

/// (pool, students of each precision).
const POOLS: [(&str, u64); 4] = [("mbv2-mini", 6), ("mbv2-cifar", 4), ("res-mini", 6), ("res-cifar", 4)];

#[test]
fn forty_random_students_agree_with_onnx_runtime() {
    let temp = tempfile::tempdir().unwrap();
    let input = Input { channels: 1, height: 28, width: 28 };
    let mut failures = Vec::new();
    let (mut done, mut close) = (0, 0);
    for (name, count) in POOLS {
        let pool = pool::named(name).unwrap();
        for i in 0..count {
            let arch = pool.arch(&pool.sample(23, i), input, 10).unwrap();
            let dir = temp.path().join(format!("{name}-{i}"));
            random_student(&dir, arch, "fashion-mnist-mini", 16, i).unwrap();
            for precision in ["fp32", "int8"] {
                done += 1;
                match agree(&dir, precision) {
                    Ok(within) => close += usize::from(within && precision == "int8"),
                    Err(why) => failures.push(format!("{name}-{i} {precision}: {why}")),
                }
            }
        }
    }
    assert_eq!(done, 40);
    assert!(close >= INT8_WITHIN_BOUND, "{close} of 20 int8 students within {BOUND:?}");
    assert!(failures.is_empty(), "{} of {done}:\n{}", failures.len(), failures.join("\n"));
}

/// Whether the answers are within [`BOUND`]; an error if they are beyond what their precision allows.
fn agree(dir: &Path, precision: &str) -> Result<bool, String> {
    let out = format!("{}-{precision}.gtn", dir.display());
    // How accurate random weights are does not matter here.
    let quick = "--calib-images 64 --calibration minmax --equalise off --bias-correction off --keep-fp32 none \
                 --max-drop 100 --eval-set 50";
    let done = run(
        "gtn-export",
        &format!("--target host {} --precision {precision} {quick} --out {out}", dir.display()),
    );
    if done.code != Some(0) {
        return Err(done.stderr);
    }
    let mut answers = Vec::new();
    for kind in [Kind::Ort, Kind::Wgpu] {
        let options =
            Options { kind, allow_software: true, threads: Some(1), batch: 4, ..Options::default() };
        let mut subject = Subject::open(Path::new(&out), &options).map_err(|e| e.to_string())?;
        let golden = subject.bundle.as_ref().unwrap().golden.images.clone();
        answers.push(subject.logits(&golden, |_| ()).map_err(|e| e.to_string())?);
    }
    let within = |tolerance| compare(&answers[0], &answers[1], 10, tolerance);
    let (strict, wide) = (within(BOUND), within(Tolerance::INT8));
    if strict.pass || (precision == "int8" && wide.pass) {
        Ok(strict.pass)
    } else {
        Err(format!("{strict:?}"))
    }
}
