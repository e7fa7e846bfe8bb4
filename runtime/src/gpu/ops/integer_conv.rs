//! Products of dequantised integers, computed on the integers: what DequantizeLinear -> Conv or Gemm ->
//! QuantizeLinear means, without rounding in between.

use super::conv::Groups;
use super::node::Node;
use super::window::Window;
use crate::gpu::ir::graph::{Affine, Conv, DType, Form, Fuse, Shader, Value, ValueId};
use crate::onnx::Numbers;
use std::rc::Rc;

/// integer_conv.wgsl
pub const SHADER: Shader = shader!("integer_conv": "integer", "step", "window", "conv_sums", "integer_conv");

/// Where the scales are among the step's reads.
const SCALES: usize = 3;

/// Adds the step if input (per tensor), weights (constant, per tensor or output channel) and bias (integers
/// of scale input * weight, or none) allow it; says whether they did.
pub fn push(
    n: &mut Node,
    [x, w, bias]: [Option<ValueId>; 3],
    y: ValueId,
    window: &Window,
    groups: &Groups,
) -> Result<bool, String> {
    let affine = |n: &Node, id: Option<ValueId>| id.and_then(|id| n.value(id).ok()?.affine.clone());
    let (Some(xa), Some(wa)) = (affine(n, x), affine(n, w)) else { return Ok(false) };
    let m = groups.groups * groups.mg;
    let (Some(&x_scale), Some(&x_zero)) = (xa.scales.first(), xa.zero_points.first()) else {
        return Ok(false);
    };
    let per_channel = wa.scales.len() == 1 || (wa.axis == 0 && wa.scales.len() == m);
    if xa.scales.len() != 1 || !per_channel || n.value(wa.integers)?.constant.is_none() {
        return Ok(false);
    }
    let narrow =
        |n: &Node, a: &Affine| Ok::<_, String>(matches!(n.value(a.integers)?.dtype, DType::U8 | DType::I8));
    if !narrow(n, &xa)? || !narrow(n, &wa)? {
        return Ok(false);
    }
    let scales: Vec<f32> = spread(&wa.scales, m).into_iter().map(|s| s * x_scale).collect();
    let bias = match bias {
        None => None,
        Some(id) => match affine(n, Some(id)).filter(|b| integer_bias(b, &scales)) {
            Some(b) => Some(b.integers),
            None => return Ok(false),
        },
    };
    let scales = n.table(1, Numbers::F32(scales))?;
    let zeros = n.table(6, Numbers::I32(spread(&wa.zero_points, m)))?;
    let mut constants = window.constants();
    constants.extend(groups.constants());
    constants.extend([("bias", f64::from(u8::from(bias.is_some()))), ("x_zero", f64::from(x_zero))]);
    let reads = [Some(xa.integers), Some(wa.integers), bias, Some(scales), Some(zeros)];
    let mut step = n.step(&SHADER, "main_float", &reads, y, constants)?;
    groups.four_channels_each(&mut step, &n.shape(y)?);
    step.fuse = Fuse::Integer;
    if bytes(n.value(wa.integers)?, &wa, m) {
        step.form =
            Form::Conv(Box::new(Conv { window: window.clone(), groups: *groups, integer: Some(x_zero) }));
    }
    n.graph.push(step);
    Ok(true)
}

/// Whether weights less their zero points are bytes, as packed kernels want them.
fn bytes(weights: &Value, affine: &Affine, m: usize) -> bool {
    let Some(Numbers::I32(all)) = weights.constant.as_deref() else { return false };
    let zeros = spread(&affine.zero_points, m);
    let mut rows = all.chunks((all.len() / m.max(1)).max(1)).zip(zeros);
    rows.all(|(row, zero)| row.iter().all(|w| i8::try_from(w.wrapping_sub(zero)).is_ok()))
}

fn spread<T: Copy>(values: &[T], m: usize) -> Vec<T> {
    values.iter().copied().cycle().take(m).collect()
}

/// Its scale is the products', as ONNX Runtime wants it (it does not look closer than this either).
fn integer_bias(b: &Affine, scales: &[f32]) -> bool {
    let close = |(a, b): (&f32, f32)| (a - b).abs() <= 1e-5 * a.abs();
    b.zero_points.iter().all(|&z| z == 0) && scales.iter().zip(spread(&b.scales, scales.len())).all(close)
}

/// Lets the step behind `x` quantise its result into `y`; says whether there is such a step.
pub fn fuse(n: &mut Node, x: ValueId, y: ValueId, scale: f32, zero: i32) -> Result<bool, String> {
    let dtype = n.value(y)?.dtype;
    let Some((lo, hi)) = dtype.range().filter(|_| matches!(dtype, DType::U8 | DType::I8)) else {
        return Ok(false);
    };
    let Some((at, step)) = n.graph.sole_step(x).filter(|(_, s)| s.fuse == Fuse::Integer) else {
        return Ok(false);
    };
    let Some(table) = step.reads.get(SCALES).copied().flatten() else { return Ok(false) };
    step.entry = "main_integer";
    step.fuse = Fuse::No;
    for (name, v) in [("y_zero", zero), ("lo", lo), ("hi", hi)] {
        step.set(name, f64::from(v));
    }
    let table = n.graph.values.get_mut(table.0).and_then(|v| v.constant.as_mut()).map(Rc::make_mut);
    if let Some(Numbers::F32(scales)) = table {
        scales.iter_mut().for_each(|s| *s /= scale);
    }
    n.graph.retarget(at, n.op(), y);
    Ok(true)
}
