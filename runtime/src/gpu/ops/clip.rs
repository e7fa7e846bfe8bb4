//! Clip: of floats an activation, of integers an operator of its own.

use super::activation;
use super::file_node::FileNode;
use crate::gpu::ir::op::{Activation, ClipIntegers, Op};
use crate::gpu::kernel::{Kernel, Setting, Shader};
use crate::onnx::Numbers;

/// activation_integer.wgsl
const INTEGER: Shader = shader!("activation_integer": "integer", "step", "activation_integer");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&INTEGER];

/// Lowers ONNX Clip: min(max(x, lo), hi), which is hi where lo > hi. Bounds are attributes up to opset 10, then
/// inputs.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    if value.dtype.is_float() {
        let (lo, hi) = if n.opset < 11 {
            (n.float("min", f32::MIN)?, n.float("max", f32::MAX)?)
        } else {
            (float_bound(n, 1, f32::MIN)?, float_bound(n, 2, f32::MAX)?)
        };
        return activation::lower(n, Activation::Clip { lo, hi });
    }
    let (least, most) = value.dtype.range().ok_or("clips uint32 or int64: not supported")?;
    let (lo, hi) = (integer_bound(n, 1, least)?, integer_bound(n, 2, most)?);
    let y = n.output(0, value.dtype, &value.shape)?;
    n.add(Op::ClipIntegers(ClipIntegers { lo, hi }), &[Some(x)], y)
}

/// Returns the kernel of integers, which works element by element, a word each.
pub fn kernel(clip: &ClipIntegers, at: &Setting) -> Result<Kernel, String> {
    let constants = vec![("lo", clip.lo.into()), ("hi", clip.hi.into())];
    at.kernel([Some(&INTEGER), None, None], constants)
}

fn float_bound(n: &FileNode, i: usize, default: f32) -> Result<f32, String> {
    let found = n.constant_floats(i)?.and_then(|v| v.first().copied()).unwrap_or(default);
    if found.is_nan() {
        Err(format!("bound {i} is not a number"))
    } else {
        Ok(found.clamp(f32::MIN, f32::MAX))
    }
}

fn integer_bound(n: &FileNode, i: usize, default: i32) -> Result<i32, String> {
    let Some(id) = n.optional(i)? else { return Ok(default) };
    match n.value(id)?.constant.as_deref() {
        Some(Numbers::I32(v)) => v.first().copied().ok_or_else(|| format!("bound {i} is empty")),
        _ => Err(format!("bound {i} is not a constant of the input's type")),
    }
}
