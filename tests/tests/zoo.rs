//! Networks known by name go the whole way: reference evaluator, export in fp32 and int8, Python's ONNX checker and ONNX
//! Runtime, and gtn-run on each of its backends.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::host::Host;
use gtn_core::ir::arch::Input;
use gtn_core::nets::zoo;
use gtn_tests::random_students::{BACKENDS, by_python, chain};
use gtn_tests::{random_student, small_fashion};

/// One of each kind: squeeze-and-excitation, HardSwish and a hidden layer; uneven SAME padding; another width; the
/// shortcuts and the pooling of ResNets.
const NAMES: [&str; 4] = ["mobilenetv3-small", "efficientnet-lite0", "mobilenetv2-0.35", "resnet18"];

/// Int8 where this processor computes it in integers (ARM64, x86 with VNNI: run on Zen 5). On x86 without VNNI ONNX Runtime
/// computes rpi5's 8 bit weights in floats, since sums would saturate, and floats round elsewhere: networks of fifty random
/// layers, which have no margins, make of that more than the bound allows (seen on an AMD EPYC with AVX2).
fn precisions() -> &'static [&'static str] {
    let host = Host::read();
    let has_vnni = host.isa.iter().any(|flag| flag.ends_with("_vnni"));
    if host.arch == "x86_64" && !has_vnni { &["fp32"] } else { &["fp32", "int8"] }
}

#[test]
fn named_networks_survive_on_every_backend() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    small_fashion(&dir.join("data"), 200, 20).unwrap();
    let input = Input { channels: 1, height: 28, width: 28 };
    let mut failures = Vec::new();
    let backends = BACKENDS.map(|(name, _)| name.to_owned());
    for (seed, name) in (0..).zip(NAMES) {
        let arch = zoo::named(name, input, 10).unwrap().unwrap();
        random_student(&dir.join(name), arch, "fashion-mnist", 4, seed).unwrap();
        for precision in precisions() {
            failures.extend(chain(dir, name, "rpi5", precision, &backends));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(by_python(dir, &mut failures).unwrap(), precisions().len() * NAMES.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
