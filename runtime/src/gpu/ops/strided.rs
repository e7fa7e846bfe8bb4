//! Transpose and Slice: a copy from elsewhere.

use super::binary::padded;
use super::node::{Node, axis, strides};
use crate::gpu::ir::graph::{MAX_RANK, Shader};

/// strided.wgsl
pub const SHADER: Shader = shader!("strided": "integer", "step", "strided");

/// ONNX Transpose.
pub fn transpose(n: &mut Node) -> Result<(), String> {
    let shape = n.shape(n.input(0)?)?;
    let reversed: Vec<i64> = (0..shape.len()).rev().filter_map(|i| i64::try_from(i).ok()).collect();
    let perm = n.ints("perm")?.unwrap_or(&reversed);
    let mut order = perm.iter().map(|&p| axis(p, shape.len())).collect::<Result<Vec<_>, _>>()?;
    let own = strides(&shape);
    let pick =
        |from: &[usize]| -> Vec<usize> { order.iter().filter_map(|&p| from.get(p).copied()).collect() };
    let (new, steps) = (pick(&shape), pick(&own));
    order.sort_unstable();
    if !order.iter().copied().eq(0..shape.len()) {
        return Err(format!("perm {perm:?} is not a permutation"));
    }
    copy(n, &new, 0, &steps)
}

/// ONNX Slice: starts, ends, axes, steps are attributes up to opset 9 (no steps), then inputs.
pub fn slice(n: &mut Node) -> Result<(), String> {
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
        None => (0..starts.len()).filter_map(|i| i64::try_from(i).ok()).collect(),
    };
    let by = by.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), by.len()].iter().any(|&l| l != starts.len()) {
        return Err("starts, ends, axes and steps differ in number".into());
    }
    let own = strides(&shape);
    let (mut new, mut steps, mut start) = (shape.clone(), own.clone(), 0usize);
    for (((&from, &to), &a), &step) in starts.iter().zip(&ends).zip(&axes).zip(&by) {
        let a = axis(a, shape.len())?;
        let d = i64::try_from(shape.get(a).copied().unwrap_or(1)).unwrap_or(1);
        let stride = own.get(a).copied().unwrap_or(1);
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
        start += usize::try_from(from).unwrap_or(0) * stride;
        let signed = i64::try_from(stride).unwrap_or(0).wrapping_mul(step);
        new.get_mut(a).into_iter().for_each(|d| *d = usize::try_from(count).unwrap_or(0));
        // Two's complement in 32 bits.
        let wrapped = usize::try_from(signed.rem_euclid(1 << 32)).unwrap_or(0);
        steps.get_mut(a).into_iter().for_each(|s| *s = wrapped);
    }
    copy(n, &new, start, &steps)
}

fn copy(n: &mut Node, new: &[usize], start: usize, steps: &[usize]) -> Result<(), String> {
    const D: [&str; MAX_RANK] = ["", "d1", "d2", "d3", "d4", "d5"];
    const X: [&str; MAX_RANK] = ["x0", "x1", "x2", "x3", "x4", "x5"];
    let x = n.input(0)?;
    let dtype = n.value(x)?.dtype;
    if n.value(x)?.dtype == crate::gpu::ir::graph::DType::I64 {
        return Err("of int64: not supported".into());
    }
    let y = n.output(0, dtype, new)?;
    let mut constants = vec![("start", start as f64)];
    constants.extend(padded(new, 1).into_iter().zip(D).skip(1).map(|(v, k)| (k, v as f64)));
    constants.extend(padded(steps, 0).into_iter().zip(X).map(|(v, k)| (k, v as f64)));
    n.push(&SHADER, "main", &[Some(x)], y, constants)
}
