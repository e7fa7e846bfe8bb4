//! Networks that nobody trained, as ONNX of any precision: what is timed does not depend on the weights.

use crate::onnx::nodes::Describe;
use crate::onnx::{float, qdq};
use gtn_core::device::Device;
use gtn_core::ir::arch::Activation;
use gtn_core::ir::fold::fold_batch_norm;
use gtn_core::ir::graph::{Graph, NodeOp};
use gtn_core::ir::random_weights;
use gtn_core::quant::network::Ranges;
use gtn_core::quant::{Int8Network, Range};
use gtn_core::{Error, Precision, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Draws the weights.
const SEED: u64 = 0;

/// Writes a network or tiny model with random weights, in the device's recipe. For int8 a profile without a
/// recipe is a usage error.
pub fn write(graph: &Graph, name: &str, precision: Precision, device: &Device) -> Result<Vec<u8>> {
    let (graph, weights) = fold_batch_norm(graph, &random_weights::random_weights(graph, SEED))?;
    let describe = Describe { name, opset: device.opset, metadata: &BTreeMap::new() };
    match precision {
        Precision::Fp32 => float::write(&graph, &weights, &describe),
        Precision::Fp16 => float::write_fp16(&graph, &weights, &describe),
        Precision::Int8 => {
            let int8 = device.int8.as_ref().ok_or_else(|| no_recipe(device))?;
            let net =
                Int8Network::build(&graph, &weights, &int8.scheme(), &ranges(&graph), &BTreeSet::new())?;
            qdq::write(&net, &describe)
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::device;
    use gtn_core::ir::arch::Input;
    use gtn_core::nets::zoo;
    use gtn_run::gpu::{Needs, needs};
    use gtn_run::onnx::OnnxFile;
    use std::path::Path;

    /// Backend wgpu: int8 activations and weights take about a quarter of fp32's. What is more are the image (in f32,
    /// then as integers that are not packed: ResNet-18's peak), biases with their scales, fours that are not full.
    #[test]
    fn an_int8_network_takes_about_a_quarter_of_a_gpu() {
        let input = Input { channels: 3, height: 224, width: 224 };
        for name in ["mobilenetv2", "resnet18"] {
            let graph = Graph::lower(&zoo::named(name, input, 1000).unwrap().unwrap()).unwrap();
            let of = |precision| -> Needs {
                let model = write(&graph, name, precision, &device::resolve("host").unwrap()).unwrap();
                needs(&OnnxFile::parse(&model, Path::new("m.onnx")).unwrap(), &Default::default()).unwrap()
            };
            let (fp32, int8) = (of(Precision::Fp32), of(Precision::Int8));
            println!("{name}: fp32 {fp32:?}, int8 {int8:?}");
            assert_eq!(int8.activation_bytes, int8.least_activation_bytes, "{name}");
            assert!(int8.activation_bytes * 10 <= fp32.activation_bytes * 3, "{name}: {int8:?} of {fp32:?}");
            assert!(int8.constant_bytes * 10 <= fp32.constant_bytes * 3, "{name}: {int8:?} of {fp32:?}");
        }
    }
}
