//! Softmax.

use super::file_node::FileNode;
use super::shape::axis;
use crate::gpu::ir::op::{Op, Softmax};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// softmax.wgsl
const SHADER: Shader = shader!("softmax": "float", "step", "nan", "larger_float", "softmax");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&SHADER];

/// Lowers ONNX Softmax: it is along one axis; up to opset 12 over everything from the axis on.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let dtype = n.float_type(&[Some(x)])?;
    let shape = n.shape(x)?;
    let old = n.opset < 13;
    let axis = axis(n.int("axis", if old { 1 } else { -1 })?, shape.len())?;
    let behind: usize = shape.iter().skip(axis + 1).product();
    let own = *shape.get(axis).ok_or("has no axis")?;
    let (len, inner) = if old { (own * behind, 1) } else { (own, behind) };
    let y = n.output(0, dtype, &shape)?;
    n.add(Op::Softmax(Softmax { len, inner }), &[Some(x)], y)
}

/// Returns the kernel, with an invocation for each row.
pub fn kernel(softmax: &Softmax, at: &Setting) -> Result<Kernel, String> {
    let constants = vec![("len", softmax.len as f64), ("inner", softmax.inner as f64)];
    Ok(Kernel::new(&SHADER, "main", constants, at.write()?.len() / softmax.len))
}
