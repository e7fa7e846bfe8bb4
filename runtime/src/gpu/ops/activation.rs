//! Relu, HardSwish, HardSigmoid, Sigmoid (and Clip of floats: clip.rs), by themselves or at the end of another operator.

use super::file_node::FileNode;
use crate::gpu::ir::op::{Activation, Op};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// Floats.
const FLOAT: Shader = shader!("activation": "float", "step", "nan", "activate", "activation");
/// This is the shader of float16, of two operands as well (binary.rs).
pub const HALVES: Shader =
    shader!("elementwise_halves": "halves", "step", "nan", "activate", "elementwise_halves");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&FLOAT, &HALVES];

/// Lowers ONNX Relu.
pub fn relu(n: &mut FileNode) -> Result<(), String> {
    lower(n, Activation::Relu)
}

/// Lowers ONNX HardSwish: x * max(0, min(1, x/6 + 1/2)).
pub fn hard_swish(n: &mut FileNode) -> Result<(), String> {
    lower(n, Activation::HardSwish)
}

/// Lowers ONNX HardSigmoid: max(0, min(1, alpha x + beta)).
pub fn hard_sigmoid(n: &mut FileNode) -> Result<(), String> {
    let (alpha, beta) = (n.float("alpha", 0.2)?, n.float("beta", 0.5)?);
    lower(n, Activation::HardSigmoid { alpha, beta })
}

/// Lowers ONNX Sigmoid.
pub fn sigmoid(n: &mut FileNode) -> Result<(), String> {
    lower(n, Activation::Sigmoid)
}

/// Adds an activation of input 0, which must be float or float16.
pub fn lower(n: &mut FileNode, activation: Activation) -> Result<(), String> {
    let x = n.input(0)?;
    let dtype = n.float_type(&[Some(x)])?;
    let shape = n.shape(x)?;
    let y = n.output(0, dtype, &shape)?;
    n.add(Op::Activation(activation), &[Some(x)], y)
}

/// Returns the kernel, which works element by element, in either layout.
pub fn kernel(activation: Activation, at: &Setting) -> Result<Kernel, String> {
    at.kernel([Some(&FLOAT), None, Some(&HALVES)], constants(Some(activation)))
}

/// Returns an activation as `act`, `act_a`, `act_b` in activate.wgsl; without one their defaults hold.
pub fn constants(activation: Option<Activation>) -> Vec<(&'static str, f64)> {
    let (act, a, b) = match activation {
        None => return Vec::new(),
        Some(Activation::Relu) => (1, 0.0, 0.0),
        Some(Activation::Clip { lo, hi }) => (2, lo, hi),
        Some(Activation::HardSwish) => (3, 0.0, 0.0),
        Some(Activation::HardSigmoid { alpha, beta }) => (4, alpha, beta),
        Some(Activation::Sigmoid) => (5, 0.0, 0.0),
    };
    vec![("act", f64::from(act)), ("act_a", a.into()), ("act_b", b.into())]
}
