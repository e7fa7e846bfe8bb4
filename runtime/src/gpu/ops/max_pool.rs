//! MaxPool.

use super::file_node::FileNode;
use super::window;
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::form::Form;
use crate::gpu::ir::op::{MaxPool, Op};
use crate::gpu::ir::window::Window;
use crate::gpu::kernel::{Kernel, Lanes, Setting, Shader};

/// Of floats.
const FLOAT: Shader =
    shader!("max_pool": "float", "step", "scalars", "window", "pool", "nan", "larger_float", "max_pool");
/// Of integers.
const INTEGER: Shader =
    shader!("max_pool_integer": "integer", "step", "scalars", "window", "pool", "larger_integer", "max_pool");
/// Of bytes.
const BYTES: Shader =
    shader!("max_pool_bytes": "integer", "step", "bytes", "window", "pool", "larger_integer", "max_pool");
/// Of float16.
const HALVES: Shader =
    shader!("max_pool_halves": "halves", "step", "window", "pool", "nan", "larger_floats", "max_pool");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&FLOAT, &INTEGER, &BYTES, &HALVES];

/// Lowers ONNX MaxPool with one output; `storage_order` is about the other.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    n.int("storage_order", 0)?;
    if n.output_count() != 1 {
        return Err("the indices of the largest values are not supported".into());
    }
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    let window = window::window(n, &value.shape, None)?;
    if !value.dtype.is_float() && !matches!(value.dtype, DType::U8 | DType::I8) {
        return Err(format!("of {}: not supported", value.dtype.name()));
    }
    let y = n.output(0, value.dtype, &output(&window, &value.shape)?)?;
    n.add(Op::MaxPool(MaxPool { window }), &[Some(x)], y)
}

/// Returns the kernel, with an invocation for each place of the result and channel, or four channels.
pub fn kernel(pool: &MaxPool, at: &Setting) -> Result<Kernel, String> {
    let word = if at.write()?.dtype.is_float() { &FLOAT } else { &INTEGER };
    at.kernel([Some(word), Some(&BYTES), Some(&HALVES)], constants(&pool.window, at)?)
}

/// Returns the window as constants, and how many channels of a place lie together (pool.wgsl).
pub fn constants(window: &Window, at: &Setting) -> Result<Vec<(&'static str, f64)>, String> {
    let mut constants = window::constants(window);
    if at.laid.form != Form::Plain {
        let inner = if at.lanes()? == Lanes::Word { 4.0 } else { 1.0 };
        constants.push(("inner", inner));
    }
    Ok(constants)
}

/// Returns the result's shape.
pub fn output(window: &Window, shape: &[usize]) -> Result<Vec<usize>, String> {
    match shape {
        &[n, c, ..] => Ok(window.output_shape(n, c)),
        _ => Err(format!("input is {shape:?}, wanted images and channels")),
    }
}
