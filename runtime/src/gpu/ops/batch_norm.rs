//! BatchNormalization in inference.

use super::Node;
use crate::gpu::ir::graph::Shader;

/// batch_norm.wgsl
pub const SHADER: Shader = shader!("batch_norm": "float", "step", "batch_norm");

/// ONNX BatchNormalization with one output; `momentum` is for training.
pub fn lower(n: &mut Node) -> Result<(), String> {
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
    let plane: usize = shape.iter().skip(2).product();
    let y = n.output(0, dtype, &shape)?;
    let constants = vec![("channels", channels as f64), ("plane", plane as f64), ("epsilon", epsilon.into())];
    n.push(&SHADER, "main", &reads, y, constants)
}
