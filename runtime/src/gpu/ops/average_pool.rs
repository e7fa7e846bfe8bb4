//! AveragePool.

use super::file_node::FileNode;
use super::max_pool::{constants, output};
use super::window;
use crate::gpu::ir::op::{AveragePool, Op};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// Of floats.
const FLOAT: Shader = shader!("average_pool": "float", "step", "scalars", "window", "pool", "average_pool");
/// Of float16.
const HALVES: Shader = shader!("average_pool_halves": "halves", "step", "window", "pool", "average_pool");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&FLOAT, &HALVES];

/// Lowers ONNX AveragePool.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let dtype = n.float_type(&[Some(x)])?;
    let shape = n.shape(x)?;
    let window = window::window(n, &shape, None)?;
    let include_pad = n.int("count_include_pad", 0)? != 0;
    let y = n.output(0, dtype, &output(&window, &shape)?)?;
    n.add(Op::AveragePool(AveragePool { window, include_pad }), &[Some(x)], y)
}

/// Returns the kernel, with an invocation for each place of the result and channel, or four channels.
pub fn kernel(pool: &AveragePool, at: &Setting) -> Result<Kernel, String> {
    let mut constants = constants(&pool.window, at)?;
    constants.extend(["ed", "eh", "ew"].into_iter().zip(pool.window.end).map(|(name, e)| (name, e as f64)));
    constants.push(("include_pad", f64::from(u8::from(pool.include_pad))));
    at.kernel([Some(&FLOAT), None, Some(&HALVES)], constants)
}
