//! The runtime reads out of our own files what the exporter put into them.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::Precision;
use gtn_core::device;
use gtn_core::ir::arch::Input;
use gtn_core::ir::fold;
use gtn_core::ir::graph::Graph;
use gtn_core::ir::random_weights;
use gtn_core::nets::pool;
use gtn_export::onnx::float;
use gtn_export::onnx::float::Describe;
use gtn_export::untrained;
use gtn_run::onnx::OnnxModel;
use gtn_run::onnx::arithmetic::{Arithmetic, Numbers};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[test]
fn what_we_write_is_recognised() {
    let input = Input { channels: 1, height: 28, width: 28 };
    let graph = Graph::lower(&pool::student("mbv2-mini:d111-k333-e333", input, 10).unwrap()).unwrap();
    let of = |bytes: &[u8]| Arithmetic::of(&OnnxModel::parse(bytes, Path::new("m.onnx")).unwrap());
    let int8 = |target: &str| {
        of(&untrained::write(&graph, "net", Precision::Int8, &device::resolve(target).unwrap()).unwrap())
    };
    let vnni = int8("x86-vnni");
    assert_eq!(
        (vnni.numbers, vnni.largest_weight, vnni.dynamic),
        (Numbers::Of(Precision::Int8), Some(127), false)
    );
    assert_eq!(vnni.largest_signed_weight, Some(127));
    assert!(vnni.saturates() && !vnni.integer_operators);
    assert_eq!(vnni.activations, BTreeSet::from(["uint8"]));
    let avx2 = int8("x86-avx2");
    assert_eq!(avx2.largest_weight, Some(63));
    assert!(!avx2.saturates());
    let arm = int8("rpi5");
    assert!(arm.saturates(), "on x86 without VNNI, not on its device");
    assert_eq!((arm.activations, arm.asymmetric), (BTreeSet::from(["int8"]), true));
    let symmetric = int8("jetson-orin-nano");
    assert_eq!((symmetric.activations, symmetric.asymmetric), (BTreeSet::from(["int8"]), false));

    let (graph, weights) = fold::fold_batch_norm(&graph, &random_weights::random_weights(&graph, 1)).unwrap();
    let describe = Describe { name: "net", opset: 17, metadata: &BTreeMap::new() };
    let fp32 = of(&float::write(&graph, &weights, &describe).unwrap());
    assert_eq!(
        (fp32.numbers, fp32.activations.len(), fp32.largest_weight),
        (Numbers::Of(Precision::Fp32), 0, None)
    );
    assert!(!fp32.saturates());
    assert_eq!(
        of(&float::write_fp16(&graph, &weights, &describe).unwrap()).numbers,
        Numbers::Of(Precision::Fp16)
    );
}
