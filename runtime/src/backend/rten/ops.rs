//! What rten computes as ONNX says, so far as it is proved (tests/onnx-node-tests-rust.txt, tests/backends.rs): an
//! operator, an attribute or a type that is not listed here is refused when a model is loaded, with the reason.
//!
//! rten fills in few of ONNX's defaults, takes some values for others without a word (Resize `cubic` for `linear`,
//! `SAME_LOWER` for `SAME_UPPER`; Sign of 0 is 1, ArgMax takes the last of equals) and loses NaN in Relu, Clip and what finds the largest value; a node is therefore written
//! anew where that is needed ([`Rewrite`]).

use super::rewrite::{
    F, FLOAT, Rewrite, cast, clip, conv, dropout, extreme, largest, mat_mul, pad, plain, pool, pow, quantize,
    relu, resize, softmax,
};
use crate::onnx::proto::NodeProto;

/// ONNX's element types.
const INT64: i32 = 7;
const FI: &[i32] = &[FLOAT, 10, 6, INT64];
const ANY: &[i32] = &[FLOAT, 10, 2, 3, 6, INT64, 9];
const BOOL: &[i32] = &[9];
const INTEGERS: &[i32] = &[2, 3, 6];

/// This is an operator that is proved.
pub struct Op {
    /// ONNX's name.
    pub name: &'static str,
    /// Types of its first input (of its second, where the first is a condition or missing).
    pub types: &'static [i32],
    /// Attributes that are heeded; any other is refused.
    pub attributes: &'static [&'static str],
    /// Checks the node and writes what rten is given in its place.
    pub lower: fn(&mut Rewrite, NodeProto) -> Result<(), String>,
}

const fn op(
    name: &'static str,
    types: &'static [i32],
    attributes: &'static [&'static str],
    lower: fn(&mut Rewrite, NodeProto) -> Result<(), String>,
) -> Op {
    Op { name, types, attributes, lower }
}

const CONV: &[&str] = &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
const CONV_TRANSPOSE: &[&str] =
    &["auto_pad", "dilations", "group", "kernel_shape", "output_padding", "pads", "strides"];
const POOL: &[&str] =
    &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"];
const MAX_POOL: &[&str] =
    &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"];
const REDUCE: &[&str] = &["axes", "keepdims", "noop_with_empty_axes"];
const RESIZE: &[&str] = &[
    "antialias",
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "extrapolation_value",
    "keep_aspect_ratio_policy",
    "mode",
    "nearest_mode",
];

/// These are all operators that are proved, in order of their names.
pub const OPS: &[Op] = &[
    op("Abs", FI, &[], plain),
    op("Add", FI, &[], plain),
    op("And", BOOL, &[], plain),
    op("AveragePool", F, POOL, pool),
    op("BatchNormalization", F, &["epsilon", "momentum", "spatial", "training_mode"], plain),
    op("Cast", ANY, &["to", "saturate"], cast),
    op("Ceil", F, &[], plain),
    op("Clip", FI, &["max", "min"], clip),
    op("Concat", ANY, &["axis"], plain),
    op("Constant", ANY, &["value", "value_float", "value_floats", "value_int", "value_ints"], plain),
    op("ConstantOfShape", &[INT64], &["value"], plain),
    op("Conv", F, CONV, conv),
    op("ConvTranspose", F, CONV_TRANSPOSE, conv),
    op("Cos", F, &[], plain),
    op("DepthToSpace", F, &["blocksize", "mode"], plain),
    op("DequantizeLinear", INTEGERS, &["axis"], plain),
    op("Div", FI, &[], plain),
    op("Dropout", F, &["ratio", "seed"], dropout),
    op("Elu", F, &["alpha"], plain),
    op("Equal", FI, &[], plain),
    op("Erf", F, &[], plain),
    op("Exp", F, &[], plain),
    op("Expand", ANY, &[], plain),
    op("Flatten", ANY, &["axis"], plain),
    op("Floor", F, &[], plain),
    op("Gather", ANY, &["axis"], plain),
    op("Gelu", F, &["approximate"], plain),
    op("Gemm", F, &["alpha", "beta", "transA", "transB"], plain),
    op("GlobalAveragePool", F, &[], plain),
    op("GlobalMaxPool", F, &[], largest),
    op("Greater", FI, &[], plain),
    op("GreaterOrEqual", FI, &[], plain),
    op("HardSigmoid", F, &["alpha", "beta"], plain),
    op("HardSwish", F, &[], plain),
    op("Identity", ANY, &[], plain),
    op("InstanceNormalization", F, &["epsilon"], plain),
    op("LayerNormalization", F, &["axis", "epsilon", "stash_type"], plain),
    op("LeakyRelu", F, &["alpha"], plain),
    op("Less", FI, &[], plain),
    op("LessOrEqual", FI, &[], plain),
    op("Log", F, &[], plain),
    op("LogSoftmax", F, &["axis"], softmax),
    op("MatMul", F, &[], mat_mul),
    op("Max", FI, &[], plain),
    op("MaxPool", F, MAX_POOL, largest),
    op("Mean", F, &[], plain),
    op("Min", FI, &[], plain),
    op("Mul", FI, &[], plain),
    op("Neg", FI, &[], plain),
    op("Not", BOOL, &[], plain),
    op("Or", BOOL, &[], plain),
    op("PRelu", F, &[], plain),
    op("Pad", ANY, &["mode", "pads", "value"], pad),
    op("Pow", F, &[], pow),
    op("QuantizeLinear", F, &["axis", "saturate"], quantize),
    op("Range", FI, &[], plain),
    op("Reciprocal", F, &[], plain),
    op("ReduceL1", F, REDUCE, plain),
    op("ReduceL2", F, REDUCE, plain),
    op("ReduceLogSum", F, REDUCE, plain),
    op("ReduceLogSumExp", F, REDUCE, plain),
    op("ReduceMax", FI, REDUCE, extreme),
    op("ReduceMean", F, REDUCE, plain),
    op("ReduceMin", FI, REDUCE, extreme),
    op("ReduceProd", FI, REDUCE, plain),
    op("ReduceSum", FI, REDUCE, plain),
    op("ReduceSumSquare", FI, REDUCE, plain),
    op("Relu", F, &[], relu),
    op("Reshape", ANY, &["allowzero", "shape"], plain),
    op("Resize", F, RESIZE, resize),
    op("Round", F, &[], plain),
    op("Shape", ANY, &["end", "start"], plain),
    op("Sigmoid", F, &[], plain),
    op("Sin", F, &[], plain),
    op("Slice", ANY, &["axes", "ends", "starts"], plain),
    op("Softmax", F, &["axis"], softmax),
    op("Softplus", F, &[], plain),
    op("Softsign", F, &[], plain),
    op("Split", ANY, &["axis", "num_outputs", "split"], plain),
    op("Sqrt", F, &[], plain),
    op("Squeeze", ANY, &["axes"], plain),
    op("Sub", FI, &[], plain),
    op("Sum", F, &[], plain),
    op("Tanh", F, &[], plain),
    op("Tile", ANY, &[], plain),
    op("Transpose", ANY, &["perm"], plain),
    op("Unsqueeze", ANY, &["axes"], plain),
    op("Where", BOOL, &[], plain),
];

/// Checks a node and writes what stands for it. Fails where the operator, one of its attributes or its type is
/// not listed in [`OPS`].
pub fn add(rewrite: &mut Rewrite, node: NodeProto) -> Result<(), String> {
    if !node.is_onnx() {
        return Err(format!("operator set `{}` is not ONNX's own: not supported", node.domain));
    }
    let op = OPS.iter().find(|o| o.name == node.op_type).ok_or("the operator is not supported")?;
    if let Some(odd) = node.attribute.iter().find(|a| !op.attributes.contains(&a.name.as_str())) {
        return Err(format!("attribute `{}` is not supported", odd.name));
    }
    let elem_type = node.given(0).and_then(|name| rewrite.values.get(name)).map_or(0, |v| v.elem_type);
    if node.given(0).is_some() && !op.types.contains(&elem_type) {
        return Err(format!("of element type {elem_type} is not supported"));
    }
    (op.lower)(rewrite, node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_in_order_and_once() {
        assert!(OPS.is_sorted_by_key(|o| o.name));
        assert!(OPS.windows(2).all(|w| w[0].name != w[1].name));
    }
}
