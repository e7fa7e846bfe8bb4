//! What a model computes in: its floating-point type, and how it is quantised.

use gtn_run::onnx::{Initializer, Node, OnnxModel};
use std::collections::BTreeSet;

/// Operators that find their ranges at run time.
const DYNAMIC: [&str; 4] = ["DynamicQuantizeLinear", "DynamicQuantizeMatMul", "ConvInteger", "MatMulInteger"];

/// A model's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arithmetic {
    /// `fp32`, `fp16`, `bf16`, `fp64`, or `int8` where anything is quantised.
    pub precision: &'static str,
    /// Types of quantised activations.
    pub activations: BTreeSet<&'static str>,
    /// Whether a quantised activation has a zero point other than 0, or one that is computed.
    pub asymmetric: bool,
    /// Largest |integer| of the quantised weights.
    pub largest_weight: Option<u32>,
    /// Whether ranges are found at run time.
    pub dynamic: bool,
}

impl Arithmetic {
    /// Of a model, by its operators and the types of its constants.
    pub fn of(model: &OnnxModel) -> Self {
        let mut found = Self::default();
        let mut quantised = false;
        for node in &model.nodes {
            let op = node.op_type.as_str();
            found.dynamic |= DYNAMIC.contains(&op);
            quantised |= found.dynamic || op.starts_with("QLinear") || op == "QGemm";
            match op {
                "QuantizeLinear" => {
                    quantised = true;
                    found.activation(model, node, 2);
                }
                // A quantised weight; one in front of a product has two dimensions or more.
                "DequantizeLinear" => found.weight(model, node, 0),
                "QLinearConv" | "QLinearMatMul" | "QGemm" => {
                    found.activation(model, node, 2);
                    found.weight(model, node, 3);
                }
                "ConvInteger" | "MatMulInteger" => found.weight(model, node, 1),
                _ => {}
            }
        }
        found.precision = if quantised { "int8" } else { float(model) };
        found
    }

    /// Notes the activation whose zero point is input `i`; left out it is a uint8 0 (ONNX,
    /// QuantizeLinear).
    fn activation(&mut self, model: &OnnxModel, node: &Node, i: usize) {
        let name = node.inputs.get(i).filter(|n| !n.is_empty());
        let constant = name.and_then(|n| model.initializers.get(n));
        self.activations.insert(constant.map_or("uint8", |z| type_name(z.elem_type)));
        self.asymmetric |= name.is_some() && constant.is_none_or(|z| z.largest != Some(0));
    }

    fn weight(&mut self, model: &OnnxModel, node: &Node, i: usize) {
        let constant: Option<&Initializer> = node.inputs.get(i).and_then(|n| model.initializers.get(n));
        let largest = constant.filter(|c| c.dims.len() > 1).and_then(|c| c.largest);
        self.largest_weight = self.largest_weight.max(largest);
    }
}

/// The floating-point type that most constants have.
fn float(model: &OnnxModel) -> &'static str {
    let count = |elem_type: i32| model.initializers.values().filter(|c| c.elem_type == elem_type).count();
    let types = [(1, "fp32"), (10, "fp16"), (16, "bf16"), (11, "fp64")];
    // The first of equally many: a model without constants is taken to be fp32.
    let most = types.into_iter().rev().max_by_key(|(elem_type, _)| count(*elem_type));
    most.map_or("fp32", |(_, name)| name)
}

/// ONNX's TensorProto.DataType, for those that quantised values have.
fn type_name(elem_type: i32) -> &'static str {
    match elem_type {
        2 => "uint8",
        3 => "int8",
        4 => "uint16",
        5 => "int16",
        21 => "uint4",
        22 => "int4",
        _ => "another type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx_nodes::Describe;
    use crate::{onnx_writer, untrained};
    use gtn_core::arch::Input;
    use gtn_core::device;
    use gtn_core::graph::Graph;
    use gtn_core::{fold, pool, testing};
    use std::collections::BTreeMap;
    use std::path::Path;

    #[test]
    fn what_we_write_is_recognised() {
        let input = Input { channels: 1, height: 28, width: 28 };
        let graph = Graph::lower(&pool::student("mbv2-mini:d111-k333-e333", input, 10).unwrap()).unwrap();
        let of = |bytes: &[u8]| Arithmetic::of(&OnnxModel::parse(bytes, Path::new("m.onnx")).unwrap());
        let int8 = |target: &str| {
            of(&untrained::write(&graph, "net", "int8", &device::resolve(target).unwrap()).unwrap())
        };
        let vnni = int8("x86-vnni");
        assert_eq!((vnni.precision, vnni.largest_weight, vnni.dynamic), ("int8", Some(127), false));
        assert_eq!(vnni.activations, BTreeSet::from(["uint8"]));
        assert_eq!(int8("x86-avx2").largest_weight, Some(63));
        let arm = int8("rpi5");
        assert_eq!((arm.activations, arm.asymmetric), (BTreeSet::from(["int8"]), true));
        let symmetric = int8("jetson-orin-nano");
        assert_eq!((symmetric.activations, symmetric.asymmetric), (BTreeSet::from(["int8"]), false));

        let (graph, weights) = fold::fold_batch_norm(&graph, &testing::random_weights(&graph, 1)).unwrap();
        let describe = Describe { name: "net", opset: 17, metadata: &BTreeMap::new() };
        let fp32 = of(&onnx_writer::write(&graph, &weights, &describe).unwrap());
        assert_eq!((fp32.precision, fp32.activations.len(), fp32.largest_weight), ("fp32", 0, None));
        assert_eq!(of(&onnx_writer::write_fp16(&graph, &weights, &describe).unwrap()).precision, "fp16");
    }
}
