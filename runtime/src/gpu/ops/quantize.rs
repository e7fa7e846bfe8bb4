//! QuantizeLinear, and the scales that it and DequantizeLinear read.

use super::integer_conv;
use super::node::{Node, axis};
use super::quantised;
use crate::gpu::ir::graph::{DType, Form, Shader};
use crate::onnx::Numbers;

/// quantize.wgsl
pub const SHADER: Shader = shader!("quantize": "integer", "step", "nan", "quantize");
/// quantize_bytes.wgsl
pub const BYTES: Shader = shader!("quantize_bytes": "integer", "step", "bytes", "nan", "quantize_bytes");

/// Constant scales and zero points: one, or one for each index of `axis`.
pub struct Scales {
    /// Positive and finite.
    pub values: Vec<f32>,
    /// As many.
    pub zero_points: Vec<i32>,
    /// What they run along.
    pub axis: usize,
    /// Elements between two indices of `axis`.
    pub plane: usize,
}

/// Inputs 1 and 2 of a node whose input 0 has this shape.
pub fn scales(n: &Node, shape: &[usize]) -> Result<Scales, String> {
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

/// ONNX QuantizeLinear, per tensor or per axis; `saturate` is for 8-bit floats, which are not supported.
pub fn lower(n: &mut Node) -> Result<(), String> {
    n.int("saturate", 1)?;
    let x = n.input(0)?;
    n.want(x, DType::F32)?;
    let shape = n.shape(x)?;
    let s = scales(n, &shape)?;
    let dtype = n.optional(2)?.map_or(Ok(DType::U8), |id| Ok::<_, String>(n.value(id)?.dtype))?;
    let (lo, hi) = match dtype {
        DType::U8 | DType::I8 | DType::U16 | DType::I16 => dtype.range().unwrap_or_default(),
        other => return Err(format!("to {}: not supported", other.name())),
    };
    let one = match (&s.values[..], &s.zero_points[..]) {
        (&[scale], &[zero]) => Some((scale, zero)),
        _ => None,
    };
    if let Some((scale, zero)) = one
        && let Some(integers) = quantised::same(n, x, dtype, scale, zero)?
    {
        return n.alias(integers, &shape);
    }
    let y = n.output(0, dtype, &shape)?;
    if let Some((scale, zero)) = one
        && (integer_conv::fuse(n, x, y, scale, zero)? || quantised::fuse(n, x, y, scale, zero)?)
    {
        return Ok(());
    }
    let (plane, channels) = (s.plane as f64, s.values.len() as f64);
    let w = n.table(1, Numbers::F32(s.values))?;
    let b = n.table(6, Numbers::I32(s.zero_points))?;
    let constants = vec![("plane", plane), ("channels", channels), ("lo", lo.into()), ("hi", hi.into())];
    let form = if channels == 1.0 { Form::PerTensor } else { Form::Plain };
    n.push_form((&SHADER, Some(&BYTES)), "main", &[Some(x), Some(w), Some(b)], y, constants, form)
}
