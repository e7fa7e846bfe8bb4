//! The shape of each operator's results, by ONNX's operator pages. A rule that lacks something says nothing, which makes
//! the result unknown; it never guesses. Attributes that do not fit are the backends' to refuse.

use super::Known;
use super::moves::*;
use super::windows::*;
use crate::onnx::Numbers;
use crate::onnx::proto::NodeProto;
use gtn_core::io::wide;
use std::collections::HashMap;

/// A result is followed as integers if it has at most so many.
pub const FOLLOWED: usize = 64;

/// This is ONNX's number of the element type `float` (TensorProto.DataType).
pub const FLOAT: i32 = 1;
const UINT8: i32 = 2;
const INT32: i32 = 6;
pub const INT64: i32 = 7;
const BOOL: i32 = 9;

/// This is a node with what is known of its inputs.
pub struct Node<'a> {
    pub proto: &'a NodeProto,
    pub opset: i64,
    values: &'a HashMap<String, Known>,
}

const COMPARISONS: &str = "And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual IsNaN IsInf";

type Rule = fn(&Node) -> Option<Known>;

/// What a rule is for, and the rule for its first result (Split and Dropout have more).
const RULES: &[(&str, Rule)] = &[
    (
        "Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization BitwiseNot Ceil Celu Clip Cos Cosh CumSum Dropout Elu Erf \
         Exp Floor Gelu HardSigmoid HardSwish Hardmax Identity InstanceNormalization LRN LayerNormalization LeakyRelu Log \
         LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg Not PRelu Reciprocal Relu Round Selu Shrink Sigmoid \
         Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu Trilu GroupNormalization \
         RMSNormalization ReverseSequence ScatterElements ScatterND Scatter",
        same,
    ),
    ("Add Sub Mul Div Mod Pow BitwiseAnd BitwiseOr BitwiseXor BitShift Max Min Mean Sum", arithmetic),
    (COMPARISONS, comparison),
    ("Where", choice),
    ("Cast", cast),
    ("CastLike", cast_like),
    ("QuantizeLinear", quantize),
    ("DequantizeLinear", dequantize),
    ("Conv ConvInteger", conv),
    ("QLinearConv", qlinear_conv),
    ("ConvTranspose", conv_transpose),
    ("MaxPool AveragePool LpPool", pool),
    ("GlobalAveragePool GlobalMaxPool GlobalLpPool", global_pool),
    ("Gemm", gemm),
    ("MatMul MatMulInteger", mat_mul),
    ("Flatten", flatten),
    ("Reshape", reshape),
    ("Transpose", transpose),
    ("Concat", concat),
    ("Slice", slice),
    ("Pad", pad),
    ("Resize Upsample", resize),
    ("Squeeze", squeeze),
    ("Unsqueeze", unsqueeze),
    ("Gather", gather),
    (
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare",
        reduce,
    ),
    ("ArgMax ArgMin", arg_reduce),
    ("Shape", shape),
    ("Size", size),
    ("Constant", constant),
    ("ConstantOfShape", constant_of_shape),
    ("Expand", expand),
    ("Tile", tile),
    ("Range", range),
    ("DepthToSpace", depth_to_space),
    ("SpaceToDepth", space_to_depth),
];

/// Returns what is known of each of a node's results.
pub fn results(proto: &NodeProto, opset: i64, values: &HashMap<String, Known>) -> Vec<Known> {
    let node = Node { proto, opset, values };
    if !proto.is_onnx() {
        return vec![Known::default(); proto.output.len()];
    }
    let unknown = Known { elem_type: result_type(&node), ..Known::default() };
    if proto.op_type == "Split" {
        return split(&node).unwrap_or_else(|| vec![unknown; proto.output.len()]);
    }
    let rule = RULES.iter().find(|(names, _)| names.split_ascii_whitespace().any(|n| n == proto.op_type));
    let first = rule.and_then(|(_, rule)| rule(&node)).unwrap_or(unknown);
    // A second result (indices, a mask) is at most as large as the first.
    let other = Known { dims: first.dims.clone(), elem_type: 0, numbers: None };
    let mut all = vec![first];
    all.resize(proto.output.len().max(1), other);
    all
}

/// The type of a result whose shape is not known.
fn result_type(n: &Node) -> i32 {
    let of = |i: usize| n.value(i).map_or(0, |v| v.elem_type);
    match n.proto.op_type.as_str() {
        "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => INT64,
        "Cast" => n.proto.int("to").and_then(|t| i32::try_from(t).ok()).unwrap_or(0),
        "CastLike" | "DequantizeLinear" | "Where" => of(1),
        "QuantizeLinear" => n.value(2).map_or(UINT8, |z| z.elem_type),
        "ConstantOfShape" => {
            n.proto.attribute("value").and_then(|a| a.t.as_ref()).map_or(FLOAT, |t| t.data_type)
        }
        op if COMPARISONS.split(' ').any(|c| c == op) => BOOL,
        op if op.ends_with("Integer") => INT32,
        _ => of(0),
    }
}

impl Node<'_> {
    pub fn value(&self, i: usize) -> Option<&Known> {
        self.values.get(self.proto.given(i)?)
    }

    pub fn dims(&self, i: usize) -> Option<&[u64]> {
        self.value(i)?.dims.as_deref()
    }

    pub fn elem_type(&self) -> i32 {
        self.value(0).map_or(0, |v| v.elem_type)
    }

    /// Returns the integers that are input `i`, or the attribute `name` in older operator sets.
    pub fn list(&self, i: usize, name: &str) -> Option<Vec<i64>> {
        match self.proto.ints(name) {
            Some(v) => Some(v.to_vec()),
            None => self.value(i)?.ints().map(<[i64]>::to_vec),
        }
    }

    pub fn like(&self, dims: Vec<u64>) -> Option<Known> {
        Some(Known::of(dims, self.elem_type()))
    }
}

pub fn signed(d: u64) -> i64 {
    i64::try_from(d).unwrap_or(i64::MAX)
}

pub fn axis(a: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    usize::try_from(if a < 0 { a.checked_add(rank)? } else { a })
        .ok()
        .filter(|&a| signed(wide(a)) < rank.max(1))
}

pub fn product(dims: &[u64]) -> u64 {
    dims.iter().fold(1, |n, &d| n.saturating_mul(d))
}

/// Broadcasts two shapes by ONNX's multidirectional rule. Returns `None` where they do not fit.
pub fn broadcast(a: &[u64], b: &[u64]) -> Option<Vec<u64>> {
    let rank = a.len().max(b.len());
    let at =
        |d: &[u64], i: usize| (i + d.len()).checked_sub(rank).and_then(|i| d.get(i)).copied().unwrap_or(1);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y || y == 1 => Some(x),
            (1, y) => Some(y),
            _ => None,
        })
        .collect()
}

fn broadcast_all(n: &Node, inputs: std::ops::Range<usize>) -> Option<Vec<u64>> {
    let mut dims = Vec::new();
    for i in inputs {
        dims = broadcast(&dims, n.dims(i)?)?;
    }
    Some(dims)
}

fn same(n: &Node) -> Option<Known> {
    match n.proto.op_type.as_str() {
        "Identity" => n.value(0).cloned(),
        "PRelu" => n.like(broadcast_all(n, 0..2)?),
        _ => n.like(n.dims(0)?.to_vec()),
    }
}

fn arithmetic(n: &Node) -> Option<Known> {
    let dims = broadcast_all(n, 0..n.proto.input.len())?;
    let numbers = follow(n, product(&dims)).map(Numbers::I64);
    Some(Known { numbers, ..n.like(dims)? })
}

/// Two lists of integers, or a list and a number.
fn follow(n: &Node, len: u64) -> Option<Vec<i64>> {
    let len = usize::try_from(len).ok().filter(|&l| l <= FOLLOWED)?;
    let (a, b) = (n.value(0)?.ints()?, n.value(1)?.ints()?);
    let op: fn(i64, i64) -> Option<i64> = match n.proto.op_type.as_str() {
        "Add" => |a, b| Some(a.saturating_add(b)),
        "Sub" => |a, b| Some(a.saturating_sub(b)),
        "Mul" => |a, b| Some(a.saturating_mul(b)),
        "Div" => i64::checked_div,
        _ => return None,
    };
    let fits = |v: &[i64]| v.len() == 1 || v.len() == len;
    let at = |v: &[i64], i: usize| if v.len() == 1 { v.first() } else { v.get(i) }.copied();
    if !fits(a) || !fits(b) {
        return None;
    }
    (0..len).map(|i| op(at(a, i)?, at(b, i)?)).collect()
}

fn comparison(n: &Node) -> Option<Known> {
    Some(Known::of(broadcast_all(n, 0..n.proto.input.len())?, BOOL))
}

fn choice(n: &Node) -> Option<Known> {
    Some(Known::of(broadcast_all(n, 0..3)?, n.value(1)?.elem_type))
}

fn cast(n: &Node) -> Option<Known> {
    let to = i32::try_from(n.proto.int("to")?).ok()?;
    let numbers = n.value(0)?.ints().filter(|_| to == INT64).map(|v| Numbers::I64(v.to_vec()));
    Some(Known { numbers, ..Known::of(n.dims(0)?.to_vec(), to) })
}

fn cast_like(n: &Node) -> Option<Known> {
    Some(Known::of(n.dims(0)?.to_vec(), n.value(1)?.elem_type))
}

fn quantize(n: &Node) -> Option<Known> {
    Some(Known::of(n.dims(0)?.to_vec(), n.value(2).map_or(UINT8, |z| z.elem_type)))
}

fn dequantize(n: &Node) -> Option<Known> {
    Some(Known::of(n.dims(0)?.to_vec(), n.value(1)?.elem_type))
}

fn gemm(n: &Node) -> Option<Known> {
    let (&[a0, a1], &[b0, b1]) = (n.dims(0)?, n.dims(1)?) else { return None };
    let flag = |name: &str| n.proto.int(name).unwrap_or(0) != 0;
    n.like(vec![if flag("transA") { a1 } else { a0 }, if flag("transB") { b0 } else { b1 }])
}

/// Returns the type of a product: those of bytes are summed as int32.
pub fn product_type(n: &Node) -> i32 {
    if n.proto.op_type.ends_with("Integer") { INT32 } else { n.elem_type() }
}

fn mat_mul(n: &Node) -> Option<Known> {
    let elem_type = product_type(n);
    let (a, b) = (n.dims(0)?, n.dims(1)?);
    let (rows, batch_a) = match a {
        [_] => (None, &a[..0]),
        [batch @ .., rows, _] => (Some(*rows), batch),
        [] => return None,
    };
    let (columns, batch_b) = match b {
        [_] => (None, &b[..0]),
        [batch @ .., _, columns] => (Some(*columns), batch),
        [] => return None,
    };
    let mut dims = broadcast(batch_a, batch_b)?;
    dims.extend(rows);
    dims.extend(columns);
    Some(Known::of(dims, elem_type))
}

fn reduced(n: &Node, axes: Option<Vec<i64>>) -> Option<Vec<u64>> {
    let dims = n.dims(0)?;
    let axes = match axes {
        Some(axes) => axes.iter().map(|&a| axis(a, dims.len())).collect::<Option<Vec<_>>>()?,
        None => (0..dims.len()).collect(),
    };
    let keep = n.proto.int("keepdims").unwrap_or(1) != 0;
    let one = |(i, &d): (usize, &u64)| if axes.contains(&i) { keep.then_some(1) } else { Some(d) };
    Some(dims.iter().enumerate().filter_map(one).collect())
}

fn reduce(n: &Node) -> Option<Known> {
    let given = n.proto.attribute("axes").is_some() || n.proto.given(1).is_some();
    let axes = if given { Some(n.list(1, "axes")?).filter(|a| !a.is_empty()) } else { None };
    if axes.is_none() && n.proto.int("noop_with_empty_axes").unwrap_or(0) != 0 {
        return n.like(n.dims(0)?.to_vec());
    }
    n.like(reduced(n, axes)?)
}

fn arg_reduce(n: &Node) -> Option<Known> {
    Some(Known::of(reduced(n, Some(vec![n.proto.int("axis").unwrap_or(0)]))?, INT64))
}
