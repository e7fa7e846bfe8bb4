//! ONNX Runtime computes int8 models as `core::quant::eval` says, which follows the operators'
//! definitions: integers exactly, one rounding a value. On x86 without VNNI it does so in the exact mode alone, which is
//! our default there; that it is in force, and only where it is wanted, is tested too.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::device::int8::this_processor_saturates;
use gtn_core::device::int8::{ActivationType, Scheme};
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::ir::arch::Input;
use gtn_core::ir::eval;
use gtn_core::ir::fold;
use gtn_core::ir::graph::Graph;
use gtn_core::ir::random_weights;
use gtn_core::measure::parity::top_and_margin;
use gtn_core::measure::report::INT8_OPTION;
use gtn_core::nets::pool;
use gtn_core::quant::{Int8Network, Range, eval as int8_eval};
use gtn_export::onnx::nodes::Describe;
use gtn_export::onnx::qdq;
use gtn_run::backend::ort::OrtBackend;
use gtn_run::backend::{Backend, Int8, Named, Options, OrtOptions};
use gtn_run::onnx::OnnxFile;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Images per network.
const IMAGES: u64 = 8;

/// The network with ranges of two images, and its file.
fn quantised(id: &str, activations: ActivationType, weight_bits: u32, seed: u64) -> (Int8Network, Vec<u8>) {
    let input = Input { channels: 3, height: 16, width: 16 };
    let graph = Graph::lower(&pool::student(id, input, 10).unwrap()).unwrap();
    let (graph, weights) =
        fold::fold_batch_norm(&graph, &random_weights::random_weights(&graph, seed)).unwrap();
    let mut ranges = vec![Range { lo: 0.0, hi: 0.0 }; graph.nodes.len() + 1];
    for image in 0..2 {
        let values =
            eval::run_all(&graph, &weights, &random_weights::random_image(&graph, 100 + image)).unwrap();
        for (range, values) in ranges.iter_mut().zip(&values) {
            range.lo = values.iter().copied().fold(range.lo, f32::min);
            range.hi = values.iter().copied().fold(range.hi, f32::max);
        }
    }
    let ranges = ranges.into_iter().map(Some).collect();
    let scheme = Scheme { activations, weight_bits, per_channel: true };
    let net = Int8Network::build(&graph, &weights, &scheme, &ranges, &BTreeSet::new()).unwrap();
    let describe = Describe { name: id, opset: 17, metadata: &BTreeMap::new() };
    let model = qdq::write(&net, &describe).unwrap();
    (net, model)
}

/// The top class is the same wherever the best two logits are further apart than two steps of an 8-bit
/// logit (the logits' range over 255). Where they are nearer, one value that ONNX Runtime rounds up in f32
/// and we round down in f64 may decide. That no network of ours is so flat that nothing is left to check
/// is asserted too.
#[test]
fn the_top_class_is_the_same_beyond_two_steps() {
    let ids = ["mbv2-mini:d111-k333-e333", "mbv2-mini:d121-k3535-e6363", "res-mini:d111-k333-e111"];
    let (mut checked, mut largest) = (0, 0.0f64);
    let mut failures = Vec::new();
    for (seed, id) in ids.into_iter().enumerate() {
        for kind in [ActivationType::Uint8, ActivationType::Int8, ActivationType::Int8Symmetric] {
            let (net, model) = quantised(id, kind, 8, seed as u64);
            let options = Options::single();
            let mut ort =
                OrtBackend::load(&OnnxFile::parse(&model, Path::new("m.onnx")).unwrap(), &options, "test")
                    .unwrap();
            for image in 0..IMAGES {
                let image = random_weights::random_image(&net.graph, image);
                let exact = int8_eval::run(&net, &image).unwrap();
                let input = Tensor::f32(&[1, 3, 16, 16], image);
                let output = ort.run(&[Named { name: "image".into(), tensor: input }]).unwrap();
                let Data::F32(found) = &output[0].tensor.data else { panic!("logits are not f32") };
                let span = exact.iter().copied().fold(f32::NEG_INFINITY, f32::max)
                    - exact.iter().copied().fold(f32::INFINITY, f32::min);
                let step = f64::from(span) / 255.0;
                let far = exact.iter().zip(found).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
                largest = largest.max(far / step);
                let (top, margin) = top_and_margin(&exact);
                if margin > 2.0 * step {
                    checked += 1;
                    if top_and_margin(found).0 != top {
                        failures.push(format!("{id} {kind:?}: margin {:.1} steps", margin / step));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} of {checked}:\n{}", failures.len(), failures.join("\n"));
    assert!(checked >= 60, "only {checked} of 72 images have a margin");
    // One value in the middle between two integers moves everything behind it by a step or so.
    assert!(largest < 12.0, "a logit is {largest:.1} steps off");
}

/// What the report says of int8 is what ran: exact where 8-bit weights would saturate, unless speed was asked for, and
/// nothing where they cannot.
#[test]
fn the_exact_mode_is_taken_where_sums_saturate_and_told() {
    let told = |weight_bits: u32, int8: Int8| {
        let (_, model) = quantised("res-mini:d111-k333-e111", ActivationType::Uint8, weight_bits, 1);
        let ort = OrtOptions { int8, ..OrtOptions::default() };
        let options = Options { threads: Some(1), ort, ..Options::default() };
        let ort = OrtBackend::load(&OnnxFile::parse(&model, Path::new("m.onnx")).unwrap(), &options, "test")
            .unwrap();
        let warned = ort.info().warnings().len();
        (ort.info().options.get(INT8_OPTION).cloned(), warned)
    };
    let here = |mode: &str| {
        if this_processor_saturates() { (Some(mode.to_owned()), 1) } else { (None, 0) }
    };
    assert_eq!(told(8, Int8::Exact), here("exact"));
    assert_eq!(told(8, Int8::Fast), here("saturating"));
    assert_eq!(told(7, Int8::Exact), (None, 0));
}
