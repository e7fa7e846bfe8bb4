//! What a model computes in: its floating-point type, and how it is quantised.

use crate::onnx::{Initializer, Node, OnnxModel};
use gtn_core::Precision;
use gtn_core::device::int8;
use std::collections::BTreeSet;

/// Operators that find their ranges at run time.
const DYNAMIC: [&str; 4] = ["DynamicQuantizeLinear", "DynamicQuantizeMatMul", "ConvInteger", "MatMulInteger"];

/// ONNX's TensorProto.DataType of signed bytes.
const INT8: i32 = 3;

/// This says what any model may compute in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// What a bundle can be of, too; `int8` where anything is quantised.
    Of(Precision),
    /// bfloat16.
    Bf16,
    /// 64-bit floats.
    Fp64,
}

impl Numbers {
    /// Returns its short name: `fp32`, `bf16`, ...
    pub fn name(self) -> &'static str {
        match self {
            Self::Of(precision) => precision.name(),
            Self::Bf16 => "bf16",
            Self::Fp64 => "fp64",
        }
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Of(Precision::Fp32)
    }
}

/// This says what a model's numbers are: their type, and how they are quantised.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arithmetic {
    /// Its weights and activations.
    pub numbers: Numbers,
    /// Types of quantised activations.
    pub activations: BTreeSet<&'static str>,
    /// Whether a quantised activation has a zero point other than 0, or one that is computed.
    pub asymmetric: bool,
    /// Largest |integer| of the quantised weights.
    pub largest_weight: Option<u32>,
    /// The same of those that are signed: what sums can saturate by ([`int8`]).
    pub largest_signed_weight: Option<u32>,
    /// Whether it has operators on integers (QLinearConv, MatMulInteger, ...), which no Q/DQ pair stands for.
    pub integer_operators: bool,
    /// Whether ranges are found at run time.
    pub dynamic: bool,
}

impl Arithmetic {
    /// Finds what a model computes in, by its operators and the types of its constants.
    pub fn of(model: &OnnxModel) -> Self {
        let mut found = Self::default();
        let mut quantised = false;
        for node in &model.nodes {
            let op = node.op_type.as_str();
            found.dynamic |= DYNAMIC.contains(&op);
            found.integer_operators |=
                op.starts_with("QLinear") || ["QGemm", "ConvInteger", "MatMulInteger"].contains(&op);
            quantised |= found.dynamic || found.integer_operators;
            match op {
                "QuantizeLinear" if folds_to_weight(model, node) => {
                    quantised = true;
                    // A constant that is quantised in the graph: what its integers will be is not in the file.
                    found.largest_weight = found.largest_weight.max(Some(ANY_INT8));
                    found.largest_signed_weight = found.largest_signed_weight.max(Some(ANY_INT8));
                }
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
        found.numbers = if quantised { Numbers::Of(Precision::Int8) } else { float(model) };
        found
    }

    /// Returns whether its sums would saturate on the processor that runs this, computed as ONNX Runtime does
    /// unless told otherwise.
    pub fn saturates_here(&self) -> bool {
        self.saturates() && int8::this_processor_saturates()
    }

    /// Returns whether its sums would saturate on x86 without VNNI.
    pub fn saturates(&self) -> bool {
        self.numbers == Numbers::Of(Precision::Int8)
            && self.largest_signed_weight.is_some_and(|w| w > int8::SAFE_WEIGHT)
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
        let Some(constant) = constant.filter(|c| c.dims.len() > 1) else { return };
        self.largest_weight = self.largest_weight.max(constant.largest);
        if constant.elem_type == INT8 {
            self.largest_signed_weight = self.largest_signed_weight.max(constant.largest);
        }
    }
}

/// Largest |value| of a signed byte.
const ANY_INT8: u32 = 128;

/// Whether it quantises a constant of two dimensions or more to signed bytes.
fn folds_to_weight(model: &OnnxModel, node: &Node) -> bool {
    let constant = |i: usize| node.inputs.get(i).and_then(|n| model.initializers.get(n));
    constant(0).is_some_and(|c| c.dims.len() > 1) && constant(2).is_some_and(|z| z.elem_type == INT8)
}

/// The floating-point type that most constants have.
fn float(model: &OnnxModel) -> Numbers {
    let count = |elem_type: i32| model.initializers.values().filter(|c| c.elem_type == elem_type).count();
    let types = [
        (1, Numbers::Of(Precision::Fp32)),
        (10, Numbers::Of(Precision::Fp16)),
        (16, Numbers::Bf16),
        (11, Numbers::Fp64),
    ];
    // The first of equally many: a model without constants is taken to be fp32.
    let most = types.into_iter().rev().max_by_key(|(elem_type, _)| count(*elem_type));
    most.map_or_else(Numbers::default, |(_, numbers)| numbers)
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
