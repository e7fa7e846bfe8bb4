//! Concat.

use super::Node;
use super::node::axis;
use crate::gpu::ir::graph::Shader;

/// concat.wgsl
pub const SHADER: Shader = shader!("concat": "integer", "step", "concat");

/// ONNX Concat: one step for each input.
pub fn lower(n: &mut Node) -> Result<(), String> {
    let first = n.value(n.input(0)?)?.clone();
    let axis = axis(n.int("axis", 1)?, first.shape.len())?;
    let mut shape = first.shape.clone();
    let mut parts = Vec::new();
    for i in 0..n.input_count() {
        let id = n.input(i)?;
        n.want(id, first.dtype)?;
        let own = n.shape(id)?;
        let fits = own.len() == shape.len()
            && own.iter().zip(&first.shape).enumerate().all(|(k, (a, b))| k == axis || a == b);
        if !fits {
            return Err(format!("input {i} is {own:?}, which does not go with {:?}", first.shape));
        }
        parts.push((id, own.iter().skip(axis).product::<usize>(), own.get(axis).copied().unwrap_or(0)));
    }
    let along: usize = parts.iter().map(|p| p.2).sum();
    shape.get_mut(axis).into_iter().for_each(|d| *d = along);
    let stride: usize = shape.iter().skip(axis).product();
    let y = n.output(0, first.dtype, &shape)?;
    let mut start = 0;
    for (id, width, _) in parts {
        let constants = vec![("width", width as f64), ("stride", stride as f64), ("start", start as f64)];
        let mut step = n.step(&SHADER, "main", &[Some(id)], y, constants)?;
        let total = n.value(id)?.len();
        step.set("total", total as f64);
        step.invocations = total;
        n.graph.push(step);
        start += width;
    }
    Ok(())
}
