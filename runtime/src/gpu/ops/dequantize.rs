//! DequantizeLinear.

use super::file_node::FileNode;
use super::quantize::{scale_constants, scales};
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::graph::Affine;
use crate::gpu::ir::op::{Op, Scales};
use crate::gpu::kernel::{Kernel, Setting, Shader};
use crate::onnx::{Constant, Numbers};

/// A word for each element.
const WORDS: Shader = shader!("dequantize": "integer", "step", "dequantize");
/// With one scale, of channels in fours.
const BYTES: Shader = shader!("dequantize_bytes": "integer", "step", "bytes", "dequantize_bytes");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&WORDS, &BYTES];

/// Lowers ONNX DequantizeLinear, per tensor or per axis. What reads the result may go back to the integers, and
/// then nothing is computed here.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    let scales = scales(n, &value.shape)?;
    if value.dtype.range().is_none() {
        return Err(format!("input is {}: not supported", value.dtype.name()));
    }
    if n.optional(2)?.is_some() {
        n.want(n.input(2)?, value.dtype)?;
    }
    let affine = Affine {
        integers: x,
        scales: scales.values.clone(),
        zero_points: scales.zero_points.clone(),
        axis: scales.axis,
    };
    let y = match value.constant.as_deref() {
        Some(Numbers::I32(integers)) => {
            let numbers = Numbers::F32(floats(integers, &scales));
            n.constant(0, Constant { elem_type: 1, shape: value.shape, numbers })?
        }
        _ => {
            let y = n.output(0, DType::F32, &value.shape)?;
            n.add(Op::Dequantize(scales), &[Some(x)], y)?;
            y
        }
    };
    // Whoever reads the result may read the constant.
    let more = n.value(y)?.uses.saturating_sub(1);
    let integers = n.graph.value_mut(x)?;
    if integers.constant.is_some() {
        integers.uses += more;
    }
    n.graph.value_mut(y)?.affine = Some(affine);
    Ok(())
}

/// (q - zero) * scale
fn floats(integers: &[i32], s: &Scales) -> Vec<f32> {
    let each = s.values.iter().zip(&s.zero_points).flat_map(|pair| std::iter::repeat_n(pair, s.plane));
    let real = |(q, (scale, zero)): (&i32, (&f32, &i32))| q.wrapping_sub(*zero) as f32 * scale;
    integers.iter().zip(each.cycle()).map(real).collect()
}

/// Returns the kernel, which works element by element; in fours with one scale only.
pub fn kernel(scales: &Scales, at: &Setting) -> Result<Kernel, String> {
    at.kernel([Some(&WORDS), Some(&BYTES), None], scale_constants(scales, at)?)
}
