//! Relu, Clip, HardSwish, HardSigmoid, Sigmoid: by themselves, or at the end of the step before.

use super::Node;
use crate::gpu::ir::graph::{Form, Fuse, Shader};
use crate::onnx::Numbers;

/// Floats.
pub const FLOAT: Shader = shader!("activation": "float", "step", "nan", "activate", "activation");
/// float16; two operands as well (binary.rs).
pub const HALVES: Shader =
    shader!("elementwise_halves": "halves", "step", "nan", "activate", "elementwise_halves");
/// Integers.
pub const INTEGER: Shader = shader!("activation_integer": "integer", "step", "activation_integer");

/// As `act`, `act_a`, `act_b` in activate.wgsl.
type Activation = (u32, f32, f32);

/// ONNX Relu.
pub fn relu(n: &mut Node) -> Result<(), String> {
    float(n, (1, 0.0, 0.0))
}

/// ONNX HardSwish: x * max(0, min(1, x/6 + 1/2)).
pub fn hard_swish(n: &mut Node) -> Result<(), String> {
    float(n, (3, 0.0, 0.0))
}

/// ONNX HardSigmoid: max(0, min(1, alpha x + beta)).
pub fn hard_sigmoid(n: &mut Node) -> Result<(), String> {
    let (alpha, beta) = (n.float("alpha", 0.2)?, n.float("beta", 0.5)?);
    float(n, (4, alpha, beta))
}

/// ONNX Sigmoid.
pub fn sigmoid(n: &mut Node) -> Result<(), String> {
    float(n, (5, 0.0, 0.0))
}

/// ONNX Clip: bounds are attributes up to opset 10, then inputs. min(max(x, lo), hi): where lo > hi, hi.
pub fn clip(n: &mut Node) -> Result<(), String> {
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    if value.dtype.is_float() {
        let (lo, hi) = if n.opset < 11 {
            (n.float("min", f32::MIN)?, n.float("max", f32::MAX)?)
        } else {
            (float_bound(n, 1, f32::MIN)?, float_bound(n, 2, f32::MAX)?)
        };
        return float(n, (2, lo, hi));
    }
    let (least, most) = value.dtype.range().ok_or("clips uint32 or int64: not supported")?;
    let (lo, hi) = (integer_bound(n, 1, least)?, integer_bound(n, 2, most)?);
    let y = n.output(0, value.dtype, &value.shape)?;
    let constants = vec![("lo", lo.into()), ("hi", hi.into())];
    n.push_form((&INTEGER, None), "main", &[Some(x)], y, constants, Form::Elementwise)
}

fn float_bound(n: &Node, i: usize, default: f32) -> Result<f32, String> {
    let found = n.constant_floats(i)?.and_then(|v| v.first().copied()).unwrap_or(default);
    if found.is_nan() {
        Err(format!("bound {i} is not a number"))
    } else {
        Ok(found.clamp(f32::MIN, f32::MAX))
    }
}

fn integer_bound(n: &Node, i: usize, default: i32) -> Result<i32, String> {
    let Some(id) = n.optional(i)? else { return Ok(default) };
    match n.value(id)?.constant.as_deref() {
        Some(Numbers::I32(v)) => v.first().copied().ok_or_else(|| format!("bound {i} is empty")),
        _ => Err(format!("bound {i} is not a constant of the input's type")),
    }
}

fn float(n: &mut Node, (act, a, b): Activation) -> Result<(), String> {
    let x = n.input(0)?;
    let dtype = n.float_type(&[Some(x)])?;
    let shape = n.shape(x)?;
    let y = n.output(0, dtype, &shape)?;
    let constants = vec![("act", f64::from(act)), ("act_a", a.into()), ("act_b", b.into())];
    if let Some((at, step)) =
        n.graph.sole_step(x).filter(|(_, s)| matches!(s.fuse, Fuse::Float | Fuse::Activation))
    {
        constants.into_iter().for_each(|(name, value)| step.set(name, value));
        step.fuse = Fuse::No;
        n.graph.retarget(at, n.op(), y);
        return Ok(());
    }
    n.push_form((&FLOAT, Some(&HALVES)), "main", &[Some(x)], y, constants, Form::Elementwise)
}
