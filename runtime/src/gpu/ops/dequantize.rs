//! DequantizeLinear.

use super::node::Node;
use super::quantize::{Scales, scales};
use crate::gpu::ir::graph::{Affine, DType, Form, Shader};
use crate::onnx::{Constant, Numbers};

/// dequantize.wgsl
pub const SHADER: Shader = shader!("dequantize": "integer", "step", "dequantize");
/// dequantize_bytes.wgsl
pub const BYTES: Shader = shader!("dequantize_bytes": "integer", "step", "bytes", "dequantize_bytes");

/// ONNX DequantizeLinear, per tensor or per axis. What reads the result may go back to the integers, and
/// then nothing is computed here.
pub fn lower(n: &mut Node) -> Result<(), String> {
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    let s: Scales = scales(n, &value.shape)?;
    if value.dtype.range().is_none() {
        return Err(format!("input is {}: not supported", value.dtype.name()));
    }
    if n.optional(2)?.is_some() {
        n.want(n.input(2)?, value.dtype)?;
    }
    let axis = s.axis;
    let (plane, channels) = (s.plane, s.values.len());
    let affine = Affine { integers: x, scales: s.values, zero_points: s.zero_points, axis };
    let y = match value.constant.as_deref() {
        Some(Numbers::I32(integers)) => {
            let of = |(i, &q): (usize, &i32)| {
                let c = i / plane % channels;
                let (scale, zero) = (affine.scales.get(c), affine.zero_points.get(c));
                (q.wrapping_sub(zero.copied().unwrap_or(0))) as f32 * scale.copied().unwrap_or(1.0)
            };
            let floats = integers.iter().enumerate().map(of).collect();
            n.constant(0, Constant { elem_type: 1, shape: value.shape, numbers: Numbers::F32(floats) })?
        }
        _ => {
            let y = n.output(0, DType::F32, &value.shape)?;
            let w = n.table(1, Numbers::F32(affine.scales.clone()))?;
            let b = n.table(6, Numbers::I32(affine.zero_points.clone()))?;
            let constants = vec![("plane", plane as f64), ("channels", channels as f64)];
            let form = if channels == 1 { Form::PerTensor } else { Form::Plain };
            n.push_form((&SHADER, Some(&BYTES)), "main", &[Some(x), Some(w), Some(b)], y, constants, form)?;
            y
        }
    };
    // Whoever reads the result may read the constant.
    let more = n.value(y)?.uses.saturating_sub(1);
    n.graph.values.get_mut(x.0).filter(|v| v.constant.is_some()).into_iter().for_each(|v| v.uses += more);
    n.graph.values.get_mut(y.0).into_iter().for_each(|v| v.affine = Some(affine.clone()));
    Ok(())
}
