//! Transpose and Slice: a copy from elsewhere.

use super::file_node::FileNode;
use super::shape::{axis, padded, strides};
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::graph::MAX_RANK;
use crate::gpu::ir::op::{Op, Strided};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// strided.wgsl
const SHADER: Shader = shader!("strided": "integer", "step", "strided");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&SHADER];

/// Lowers ONNX Transpose.
pub fn transpose(n: &mut FileNode) -> Result<(), String> {
    let shape = n.shape(n.input(0)?)?;
    let order = match n.ints("perm")? {
        Some(perm) => perm.iter().map(|&p| axis(p, shape.len())).collect::<Result<Vec<_>, _>>()?,
        None => (0..shape.len()).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..shape.len()) {
        return Err(format!("perm {order:?} is not a permutation"));
    }
    let pick = |from: &[usize]| order.iter().map(|&p| from.get(p).copied()).collect::<Option<Vec<_>>>();
    let own = strides(&shape);
    let (new, steps) = pick(&shape).zip(pick(&own)).ok_or("has no such axis")?;
    copy(n, &new, 0, steps)
}

/// Lowers ONNX Slice: starts, ends, axes, steps are attributes up to opset 9 (no steps), then inputs.
pub fn slice(n: &mut FileNode) -> Result<(), String> {
    let shape = n.shape(n.input(0)?)?;
    let attribute = |name| Ok::<_, String>(n.ints(name)?.map(<[i64]>::to_vec));
    let (starts, ends, axes, by) = if n.opset < 10 {
        (attribute("starts")?, attribute("ends")?, attribute("axes")?, None)
    } else {
        (n.constant_ints(1)?, n.constant_ints(2)?, n.constant_ints(3)?, n.constant_ints(4)?)
    };
    let (starts, ends) = (starts.ok_or("has no starts")?, ends.ok_or("has no ends")?);
    let axes = match axes {
        Some(axes) => axes,
        None => (0..).take(starts.len()).collect(),
    };
    let by = by.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), by.len()].iter().any(|&l| l != starts.len()) {
        return Err("starts, ends, axes and steps differ in number".into());
    }
    let own = strides(&shape);
    let (mut new, mut steps, mut start) = (shape.clone(), own.clone(), 0usize);
    for (((&from, &to), &a), &step) in starts.iter().zip(&ends).zip(&axes).zip(&by) {
        let a = axis(a, shape.len())?;
        let (Some(&d @ 1..), Some(&stride)) = (shape.get(a), own.get(a)) else {
            return Err(format!("has nothing along axis {a}"));
        };
        let large = |_| "has a dimension that is too large";
        let (d, signed) = (i64::try_from(d).map_err(large)?, i64::try_from(stride).map_err(large)?);
        if step == 0 || step.unsigned_abs() > 1 << 30 {
            return Err(format!("step {step} is out of range"));
        }
        let within = |v: i64, lo, hi| if v < 0 { v.saturating_add(d).clamp(lo, hi) } else { v.clamp(lo, hi) };
        let (from, to) = if step > 0 {
            (within(from, 0, d), within(to, 0, d))
        } else {
            (within(from, 0, d - 1), within(to, -1, d - 1))
        };
        let count = if step > 0 { (to - from).max(0) } else { (from - to).max(0) };
        let count = count.unsigned_abs().div_ceil(step.unsigned_abs());
        let from = usize::try_from(from).map_err(|_| "starts before the first element")?;
        start += from * stride;
        let count = usize::try_from(count).map_err(|_| "has a dimension that is too large")?;
        *new.get_mut(a).ok_or("has no such axis")? = count;
        // Two's complement in 32 bits.
        let wrapped = signed.wrapping_mul(step).rem_euclid(1 << 32);
        *steps.get_mut(a).ok_or("has no such axis")? =
            usize::try_from(wrapped).map_err(|_| "is too large")?;
    }
    copy(n, &new, start, steps)
}

fn copy(n: &mut FileNode, new: &[usize], start: usize, steps: Vec<usize>) -> Result<(), String> {
    let x = n.input(0)?;
    let dtype = n.value(x)?.dtype;
    if dtype == DType::I64 {
        return Err("of int64: not supported".into());
    }
    let y = n.output(0, dtype, new)?;
    n.add(Op::Strided(Strided { start, steps }), &[Some(x)], y)
}

/// Returns the kernel, with an invocation for each element of the result.
pub fn kernel(strided: &Strided, at: &Setting) -> Result<Kernel, String> {
    const D: [&str; MAX_RANK] = ["", "d1", "d2", "d3", "d4", "d5"];
    const X: [&str; MAX_RANK] = ["x0", "x1", "x2", "x3", "x4", "x5"];
    let y = at.write()?;
    let mut constants = vec![("start", strided.start as f64)];
    constants.extend(padded(&y.shape, 1).into_iter().zip(D).skip(1).map(|(v, k)| (k, v as f64)));
    constants.extend(padded(&strided.steps, 0).into_iter().zip(X).map(|(v, k)| (k, v as f64)));
    Ok(Kernel::new(&SHADER, "main", constants, y.len()))
}
