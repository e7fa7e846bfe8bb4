//! MaxPool and AveragePool.

use super::node::Node;
use super::window::Window;
use crate::gpu::ir::graph::{DType, Form, Shader};

/// Largest of floats.
pub const MAX: Shader =
    shader!("max_pool": "float", "step", "scalars", "window", "pool", "nan", "larger_float", "max_pool");
/// Largest of integers.
pub const MAX_INTEGER: Shader =
    shader!("max_pool_integer": "integer", "step", "scalars", "window", "pool", "larger_integer", "max_pool");
/// Largest of bytes.
pub const MAX_BYTES: Shader =
    shader!("max_pool_bytes": "integer", "step", "bytes", "window", "pool", "larger_integer", "max_pool");
/// Largest of float16.
pub const MAX_HALVES: Shader =
    shader!("max_pool_halves": "halves", "step", "window", "pool", "nan", "larger_floats", "max_pool");
/// Mean of floats.
pub const AVERAGE: Shader =
    shader!("average_pool": "float", "step", "scalars", "window", "pool", "average_pool");
/// Mean of float16.
pub const AVERAGE_HALVES: Shader =
    shader!("average_pool_halves": "halves", "step", "window", "pool", "average_pool");

/// ONNX MaxPool with one output; `storage_order` is about the other.
pub fn max(n: &mut Node) -> Result<(), String> {
    n.int("storage_order", 0)?;
    if n.output_count() != 1 {
        return Err("the indices of the largest values are not supported".into());
    }
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    let window = Window::read(n, &value.shape, None)?;
    let shaders = match value.dtype {
        DType::F32 | DType::F16 => (&MAX, Some(&MAX_HALVES)),
        DType::U8 | DType::I8 => (&MAX_INTEGER, Some(&MAX_BYTES)),
        other => return Err(format!("of {}: not supported", other.name())),
    };
    let y = n.output(0, value.dtype, &output(&window, &value.shape))?;
    n.push_form(shaders, "main", &[Some(x)], y, window.constants(), Form::Pool)
}

/// ONNX AveragePool.
pub fn average(n: &mut Node) -> Result<(), String> {
    let x = n.input(0)?;
    let dtype = n.float_type(&[Some(x)])?;
    let shape = n.shape(x)?;
    let window = Window::read(n, &shape, None)?;
    let y = n.output(0, dtype, &output(&window, &shape))?;
    let mut constants = window.constants();
    constants.extend(["ed", "eh", "ew"].into_iter().zip(window.end).map(|(name, e)| (name, e as f64)));
    let include = n.int("count_include_pad", 0)? != 0;
    constants.push(("include_pad", f64::from(u8::from(include))));
    n.push_form((&AVERAGE, Some(&AVERAGE_HALVES)), "main", &[Some(x)], y, constants, Form::Pool)
}

fn output(window: &Window, shape: &[usize]) -> Vec<usize> {
    let size = |i| shape.get(i).copied().unwrap_or(1);
    window.output_shape(size(0), size(1))
}
