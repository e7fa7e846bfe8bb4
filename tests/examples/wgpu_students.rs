//! 300 random students of both families, fp32 and int8, on backend wgpu beside ONNX Runtime:
//!
//! ```text
//! cargo run --release -p gtn-tests --example wgpu_students -- [--count N]
//! ```
//!
//! Needs the release programs. Kernels take turns. The bundles that differ by more than the bound stay in
//! target/wgpu-students.
#![allow(clippy::unwrap_used)] // a measurement that cannot be made has no result

use gtn_core::measure::parity::{Parity, Tolerance};
use gtn_core::nets::pool;
use gtn_core::text::table::Table;
use gtn_run::backend::Kernels;
use gtn_tests::root;
use gtn_tests::wgpu_students::{BOUND, apart, bundle};
use std::collections::BTreeMap;

#[derive(Default)]
struct StudentResult {
    students: usize,
    within_bound: usize,
    within_int8: usize,
    top_class_differs: usize,
    worst: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let at = args.iter().position(|a| a == "--count");
    let count: u64 = at.map_or(300, |i| args[i + 1].parse().unwrap());
    let dir = root().join("target/wgpu-students");
    let _ = std::fs::remove_dir_all(&dir); // of an earlier run
    std::fs::create_dir_all(&dir).unwrap();
    let pools = pool::names();
    let mut found: BTreeMap<(String, &str), StudentResult> = BTreeMap::new();
    for i in 0..count {
        let name = &pools[i as usize % pools.len()];
        let kernels = Kernels::ALL[(i as usize / pools.len()) % Kernels::ALL.len()];
        for precision in ["fp32", "int8"] {
            let bundle = bundle(&dir, name, i, precision).unwrap();
            let [strict, wide] = apart(&bundle, Some(kernels), [BOUND, Tolerance::INT8]).unwrap();
            note(found.entry((name.clone(), precision)).or_default(), &strict, &wide);
            match strict.pass {
                true => std::fs::remove_dir_all(bundle).unwrap(),
                false => eprintln!("{}: {strict:?}", bundle.display()),
            }
        }
        std::fs::remove_dir_all(dir.join(format!("{name}-{i}"))).unwrap();
    }
    let head = [
        "pool",
        "precision",
        "students",
        "within 1e-3",
        "within int8's bound",
        "top class differs (no near-tie)",
        "largest",
    ];
    let mut table = Table::new(head);
    for ((name, precision), f) in &found {
        table.row([
            name.clone(),
            (*precision).into(),
            f.students.to_string(),
            f.within_bound.to_string(),
            f.within_int8.to_string(),
            f.top_class_differs.to_string(),
            format!("{:.1e}", f.worst),
        ]);
    }
    println!("{}", table.render());
    let bad = found.iter().any(|((_, precision), f)| {
        f.within_int8 < f.students || (*precision == "fp32" && f.within_bound < f.students)
    });
    assert!(!bad, "beyond {BOUND:?} or, in int8, its own bound");
}

/// Differences relative to the largest logit.
fn note(f: &mut StudentResult, strict: &Parity, wide: &Parity) {
    f.students += 1;
    f.within_bound += usize::from(strict.pass);
    f.within_int8 += usize::from(wide.pass);
    f.top_class_differs += strict.argmax_mismatches;
    f.worst = f.worst.max(strict.max_abs / strict.bound * BOUND.relative);
}
