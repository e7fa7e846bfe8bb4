//! Concat.

use super::file_node::FileNode;
use super::shape::axis;
use crate::gpu::ir::op::{Concat, Op};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// concat.wgsl
const SHADER: Shader = shader!("concat": "integer", "step", "concat");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&SHADER];

/// Lowers ONNX Concat: it becomes one node for each input.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
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
        let along = *own.get(axis).ok_or("has no axis")?;
        parts.push((id, own.iter().skip(axis).product::<usize>(), along));
    }
    *shape.get_mut(axis).ok_or("has no axis")? = parts.iter().map(|p| p.2).sum();
    let stride: usize = shape.iter().skip(axis).product();
    let y = n.output(0, first.dtype, &shape)?;
    let mut start = 0;
    for (id, width, _) in parts {
        n.add(Op::Concat(Concat { width, stride, start }), &[Some(id)], y)?;
        start += width;
    }
    Ok(())
}

/// Returns the kernel, with an invocation for each element of the input.
pub fn kernel(part: &Concat, at: &Setting) -> Result<Kernel, String> {
    let sizes = [("width", part.width), ("stride", part.stride), ("start", part.start)];
    let constants = sizes.map(|(name, v)| (name, v as f64)).to_vec();
    Ok(Kernel::new(&SHADER, "main", constants, at.read(0)?.len()))
}
