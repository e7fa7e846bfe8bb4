//! BatchNormalization in inference.

use super::file_node::FileNode;
use crate::gpu::ir::op::{BatchNorm, Op};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// batch_norm.wgsl
const SHADER: Shader = shader!("batch_norm": "float", "step", "batch_norm");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&SHADER];

/// Lowers ONNX BatchNormalization with one output; `momentum` is for training.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    if n.int("training_mode", 0)? != 0 || n.output_count() != 1 || n.int("spatial", 1)? != 1 {
        return Err("training mode and per-element statistics are not supported".into());
    }
    n.float("momentum", 0.9)?;
    let epsilon = n.float("epsilon", 1e-5)?;
    let mut reads = Vec::new();
    for i in 0..5 {
        reads.push(Some(n.input(i)?));
    }
    let dtype = n.float_type(&reads)?;
    let shape = n.shape(n.input(0)?)?;
    let channels = *shape.get(1).ok_or("input has no channels")?;
    for i in 1..5 {
        let found = n.shape(n.input(i)?)?;
        if found != [channels] {
            return Err(format!("input {i} is {found:?}, wanted [{channels}]"));
        }
    }
    let y = n.output(0, dtype, &shape)?;
    n.add(Op::BatchNorm(BatchNorm { epsilon }), &reads, y)
}

/// Returns the kernel, which works element by element.
pub fn kernel(norm: &BatchNorm, at: &Setting) -> Result<Kernel, String> {
    let [_, channels, plane] = at.read(0)?.planes()?;
    let epsilon = norm.epsilon.into();
    let constants = vec![("channels", channels as f64), ("plane", plane as f64), ("epsilon", epsilon)];
    at.kernel([Some(&SHADER), None, None], constants)
}
