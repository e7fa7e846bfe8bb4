//! Networks that nobody trained, as ONNX of any precision: what is timed does not depend on the weights.

use crate::onnx_nodes::Describe;
use crate::{onnx_writer, qdq_writer};
use gtn_core::arch::Activation;
use gtn_core::device::Device;
use gtn_core::fold::fold_batch_norm;
use gtn_core::graph::{Graph, NodeOp};
use gtn_core::quant::network::Ranges;
use gtn_core::quant::{Int8Network, Range};
use gtn_core::{Error, Result, testing};
use std::collections::{BTreeMap, BTreeSet};

/// Draws the weights.
const SEED: u64 = 0;

/// A network or tiny model with random weights, in the device's recipe.
pub fn write(graph: &Graph, name: &str, precision: &str, device: &Device) -> Result<Vec<u8>> {
    let (graph, weights) = fold_batch_norm(graph, &testing::random_weights(graph, SEED))?;
    let describe = Describe { name, opset: device.opset, metadata: &BTreeMap::new() };
    match precision {
        "fp32" => onnx_writer::write(&graph, &weights, &describe),
        "fp16" => onnx_writer::write_fp16(&graph, &weights, &describe),
        "int8" => {
            let int8 = device.int8.as_ref().ok_or_else(|| no_recipe(device))?;
            let net =
                Int8Network::build(&graph, &weights, &int8.scheme(), &ranges(&graph), &BTreeSet::new())?;
            qdq_writer::write(&net, &describe)
        }
        other => Err(Error::usage(format!("precision `{other}`: wanted fp32, fp16 or int8"))),
    }
}

fn no_recipe(device: &Device) -> Error {
    Error::usage(format!("device profile {} has no [int8]: its kits hold no int8 models", device.name))
}

/// Plausible ranges: what counts is that an activation which calibration would let saturation do is done
/// by it here too.
fn ranges(graph: &Graph) -> Ranges {
    let range = |lo, hi| Some(Range { lo, hi });
    let of = |op: &NodeOp| match op {
        NodeOp::Activation(Activation::Relu) => range(0.0, 4.0),
        NodeOp::Activation(Activation::Relu6) => range(0.0, 6.0),
        NodeOp::HardSigmoid => range(0.0, 1.0),
        _ => range(-4.0, 4.0),
    };
    [range(-4.0, 4.0)].into_iter().chain(graph.nodes.iter().map(|n| of(&n.op))).collect()
}
