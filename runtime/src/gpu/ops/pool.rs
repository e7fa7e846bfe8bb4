//! MaxPool and AveragePool.

use super::node::Node;
use super::window::Window;
use crate::gpu::graph::{DType, Shader};

/// Floats.
pub const FLOAT: Shader = Shader { name: "pool", source: include_str!("pool.wgsl") };
/// Integers.
pub const INTEGER: Shader = Shader { name: "pool_integer", source: include_str!("pool_integer.wgsl") };

/// ONNX MaxPool with one output; `storage_order` is about the other.
pub fn max(n: &mut Node) -> Result<(), String> {
    n.int("storage_order", 0)?;
    if n.output_count() != 1 {
        return Err("the indices of the largest values are not supported".into());
    }
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    let window = Window::read(n, &value.shape, None)?;
    let (shader, dtype) = match value.dtype {
        DType::F32 => (&FLOAT, DType::F32),
        DType::U8 | DType::I8 => (&INTEGER, value.dtype),
        other => return Err(format!("of {}: not supported", other.name())),
    };
    let y = n.output(0, dtype, &output(&window, &value.shape))?;
    n.push(shader, "main_max", &[Some(x)], y, window.constants())
}

/// ONNX AveragePool.
pub fn average(n: &mut Node) -> Result<(), String> {
    let x = n.input(0)?;
    n.want(x, DType::F32)?;
    let shape = n.shape(x)?;
    let window = Window::read(n, &shape, None)?;
    let y = n.output(0, DType::F32, &output(&window, &shape))?;
    let mut constants = window.constants();
    constants.extend(["ed", "eh", "ew"].into_iter().zip(window.end).map(|(name, e)| (name, e as f64)));
    let include = n.int("count_include_pad", 0)? != 0;
    constants.push(("include_pad", f64::from(u8::from(include))));
    n.push(&FLOAT, "main_average", &[Some(x)], y, constants)
}

fn output(window: &Window, shape: &[usize]) -> Vec<usize> {
    let size = |i| shape.get(i).copied().unwrap_or(1);
    window.output_shape(size(0), size(1))
}
