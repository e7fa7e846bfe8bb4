//! QuantizeLinear, and the scales that it and DequantizeLinear read.

use super::file_node::FileNode;
use super::shape::axis;
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::graph::ValueId;
use crate::gpu::ir::op::{Op, Scales};
use crate::gpu::ir::quantised::Quantised;
use crate::gpu::kernel::{Kernel, Lanes, Setting, Shader};
use crate::onnx::Numbers;

/// A word for each element.
const WORDS: Shader = shader!("quantize": "integer", "step", "nan", "quantize");
/// With one scale, of channels in fours.
const BYTES: Shader = shader!("quantize_bytes": "integer", "step", "bytes", "nan", "quantize_bytes");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&WORDS, &BYTES];

/// Reads inputs 1 and 2 of a node whose input 0 has this shape: scales and zero points. It is an error if they
/// are not constant, or do not fit the shape.
pub fn scales(n: &FileNode, shape: &[usize]) -> Result<Scales, String> {
    n.want(n.input(1)?, DType::F32)?;
    let values = n.constant_floats(1)?.ok_or("has no scale")?;
    if values.is_empty() || !values.iter().all(|s| s.is_finite() && *s > 0.0) {
        return Err("a scale is not a positive number".into());
    }
    let zero_points = match n.optional(2)? {
        None => vec![0; values.len()],
        Some(id) => match n.value(id)?.constant.as_deref() {
            Some(Numbers::I32(v)) if v.len() == values.len() => v.clone(),
            _ => return Err("zero points are not as many constants as scales".into()),
        },
    };
    if values.len() == 1 {
        return Ok(Scales { values, zero_points, axis: 0, plane: 1 });
    }
    let axis = axis(n.int("axis", 1)?, shape.len())?;
    if shape.get(axis) != Some(&values.len()) {
        return Err(format!("{} scales for axis {axis} of {shape:?}", values.len()));
    }
    Ok(Scales { values, zero_points, axis, plane: shape.iter().skip(axis + 1).product() })
}

/// Lowers ONNX QuantizeLinear, per tensor or per axis; `saturate` is for 8-bit floats, which are not supported.
/// Of what was dequantised from the same type and scale it gives the integers themselves.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    n.int("saturate", 1)?;
    let x = n.input(0)?;
    n.want(x, DType::F32)?;
    let shape = n.shape(x)?;
    let scales = scales(n, &shape)?;
    let dtype = n.optional(2)?.map_or(Ok(DType::U8), |id| Ok::<_, String>(n.value(id)?.dtype))?;
    if !matches!(dtype, DType::U8 | DType::I8 | DType::U16 | DType::I16) {
        return Err(format!("to {}: not supported", dtype.name()));
    }
    if let Some(integers) = same(n, x, dtype, &scales)? {
        return n.alias(integers, &shape);
    }
    let y = n.output(0, dtype, &shape)?;
    n.add(Op::Quantize(scales), &[Some(x)], y)
}

/// The integers that `x` was dequantised from, if quantising it gives these again.
fn same(n: &FileNode, x: ValueId, dtype: DType, to: &Scales) -> Result<Option<ValueId>, String> {
    let (Some((scale, zero)), Some(affine)) = (to.one(), &n.value(x)?.affine) else { return Ok(None) };
    let from = Quantised::of(n.graph, affine)?;
    let same = from.is_some_and(|from| Quantised::new(dtype, scale, zero) == Some(from));
    Ok(same.then_some(affine.integers))
}

/// Returns the kernel, which works element by element; in fours with one scale only.
pub fn kernel(scales: &Scales, at: &Setting) -> Result<Kernel, String> {
    let (lo, hi) = at.write()?.dtype.range().ok_or("quantises to no integers")?;
    let mut constants = scale_constants(scales, at)?;
    constants.extend([("lo", lo.into()), ("hi", hi.into())]);
    at.kernel([Some(&WORDS), Some(&BYTES), None], constants)
}

/// Returns `plane` and `channels`, where a word is read at once.
pub fn scale_constants(scales: &Scales, at: &Setting) -> Result<Vec<(&'static str, f64)>, String> {
    if at.lanes()? != Lanes::Word {
        return Ok(Vec::new());
    }
    Ok(vec![("plane", scales.plane as f64), ("channels", scales.values.len() as f64)])
}
