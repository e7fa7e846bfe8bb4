//! Random students of both families, fp32 and int8, as gtn-export writes them: our executor answers as ONNX
//! Runtime does. (The example of the same name does it with 300.)
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::Error;
use gtn_core::measure::parity::Tolerance;
use gtn_run::backend::{Kernels, Kind};
use gtn_tests::wgpu_students::{BOUND, apart, bundle, logits};

/// (pool, students).
const POOLS: [(&str, u64); 4] = [("mbv2-mini", 6), ("mbv2-cifar", 4), ("res-mini", 6), ("res-cifar", 4)];

#[test]
fn twenty_random_students_of_each_precision_agree_with_onnx_runtime() {
    let temp = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    let mut done = 0;
    for (pool, i) in POOLS.iter().flat_map(|&(pool, count)| (0..count).map(move |i| (pool, i))) {
        done += 1;
        let of = |precision| {
            let bundle = bundle(temp.path(), pool, i, precision)?;
            let [found] =
                apart(&bundle, None, [BOUND]).map_err(|e| Error::Failed(format!("{precision}: {e}")))?;
            Ok::<_, Error>(found)
        };
        match of("fp32").and_then(|fp32| Ok((fp32, of("int8")?))) {
            Err(e) => failures.push(format!("{pool}-{i}: {e}")),
            Ok((fp32, int8)) if !fp32.pass || !int8.pass => {
                failures.push(format!("{pool}-{i}: fp32 {fp32:?}, int8 {int8:?}"));
            }
            Ok(_) => {}
        }
    }
    assert_eq!(done, 20);
    assert!(failures.is_empty(), "{} of {done} beyond {BOUND:?}:\n{}", failures.len(), failures.join("\n"));
}

/// Sums of integers have no order.
#[test]
fn int8_is_the_same_to_the_bit_on_all_kernels() {
    let temp = tempfile::tempdir().unwrap();
    for pool in ["mbv2-mini", "res-cifar"] {
        let bundle = bundle(temp.path(), pool, 1, "int8").unwrap();
        let [general, block, tile] = Kernels::ALL.map(|k| logits(&bundle, Kind::Wgpu, Some(k)).unwrap());
        assert!(general.iter().any(|&v| v != 0.0));
        assert_eq!(general, block, "{pool}");
        assert_eq!(general, tile, "{pool}");
    }
}

/// Where channels are in fours, values and weights take two bytes each.
#[test]
fn fp16_agrees_with_onnx_runtime_on_all_kernels() {
    let temp = tempfile::tempdir().unwrap();
    for (pool, i) in ["mbv2-mini", "mbv2-cifar", "res-mini", "res-cifar"].iter().zip(50..) {
        let bundle = bundle(temp.path(), pool, i, "fp16").unwrap();
        for kernels in Kernels::ALL {
            let [found] = apart(&bundle, Some(kernels), [Tolerance::FP16]).unwrap();
            assert!(found.pass, "{pool}-{i} {}: {found:?}", kernels.name());
            assert!(found.max_abs > 0.0, "{pool}-{i} {}: no fp16", kernels.name());
        }
    }
}
