//! Softmax.

use super::node::{Node, axis};
use crate::gpu::ir::graph::Shader;

/// softmax.wgsl
pub const SHADER: Shader = shader!("softmax": "float", "step", "nan", "larger_float", "softmax");

/// ONNX Softmax: along one axis; up to opset 12 over everything from the axis on.
pub fn lower(n: &mut Node) -> Result<(), String> {
    let x = n.input(0)?;
    let dtype = n.float_type(&[Some(x)])?;
    let shape = n.shape(x)?;
    let old = n.opset < 13;
    let axis = axis(n.int("axis", if old { 1 } else { -1 })?, shape.len())?;
    let behind: usize = shape.iter().skip(axis + 1).product();
    let own = shape.get(axis).copied().unwrap_or(1);
    let (len, inner) = if old { (own * behind, 1) } else { (own, behind) };
    let y = n.output(0, dtype, &shape)?;
    let constants = vec![("len", len as f64), ("inner", inner as f64)];
    let mut step = n.step(&SHADER, "main", &[Some(x)], y, constants)?;
    let rows = shape.iter().product::<usize>() / len;
    step.set("total", rows as f64);
    step.invocations = rows;
    n.graph.push(step);
    Ok(())
}
