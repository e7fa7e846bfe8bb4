//! Add, Sub, Mul, Div with broadcasting.

use super::Node;
use super::activation::HALVES;
use super::node::strides;
use crate::gpu::ir::graph::{DType, Form, Fuse, MAX_RANK, Shader, ValueId};

/// Floats.
pub const FLOAT: Shader = shader!("binary": "float", "step", "nan", "activate", "broadcast", "binary");
/// Integers.
pub const INTEGER: Shader = shader!("binary_integer": "integer", "step", "broadcast", "binary_integer");

/// `op` in broadcast.wgsl.
pub const ADD: f64 = 0.0;

const D: [&str; MAX_RANK] = ["", "d1", "d2", "d3", "d4", "d5"];
const X: [&str; MAX_RANK] = ["x0", "x1", "x2", "x3", "x4", "x5"];
const W: [&str; MAX_RANK] = ["w0", "w1", "w2", "w3", "w4", "w5"];

/// ONNX Add, Sub, Mul, Div. A sum of a convolution and an older value becomes that convolution's end.
pub fn lower(n: &mut Node) -> Result<(), String> {
    let (x, w) = (n.input(0)?, n.input(1)?);
    let dtype = n.value(x)?.dtype;
    n.want(w, dtype)?;
    let (xs, ws) = (n.shape(x)?, n.shape(w)?);
    let shape = broadcast(&xs, &ws)?;
    let y = n.output(0, dtype, &shape)?;
    if n.op() == "Add" && xs == ws && dtype.is_float() && fuse(n, x, w, y)? {
        return Ok(());
    }
    let op = match n.op() {
        "Add" => ADD,
        "Sub" => 1.0,
        "Mul" => 2.0,
        _ => 3.0,
    };
    let repeated = |own: &[usize]| -> Vec<usize> {
        own.iter().zip(strides(own)).map(|(&d, s)| if d == 1 { 0 } else { s }).collect()
    };
    let mut constants = addressing(&shape, [&repeated(&xs), &repeated(&ws)]);
    constants.push(("op", op));
    if dtype.is_float() {
        let mut step = n.step(&FLOAT, "main", &[Some(x), Some(w)], y, constants)?;
        step.fuse = Fuse::Activation;
        step.form = Form::Elementwise;
        step.narrow = Some(&HALVES);
        n.graph.push(step);
        return Ok(());
    }
    let (bits, unsigned) = match dtype {
        DType::U8 => (8, 1),
        DType::I8 => (8, 0),
        DType::U16 => (16, 1),
        DType::I16 => (16, 0),
        DType::I32 => (32, 0),
        DType::U32 => (32, 1),
        DType::F32 | DType::F16 | DType::I64 => return Err("works on int64: not supported".into()),
    };
    constants.extend([("bits", f64::from(bits)), ("unsigned", f64::from(unsigned))]);
    n.push(&INTEGER, "main", &[Some(x), Some(w)], y, constants)
}

/// The result's dimensions and the operands' strides, as broadcast.wgsl has them.
pub fn addressing(dims: &[usize], operands: [&[usize]; 2]) -> Vec<(&'static str, f64)> {
    let sizes = padded(dims, 1).into_iter().zip(D).skip(1);
    let steps = |(names, own): ([&'static str; MAX_RANK], &[usize])| padded(own, 0).into_iter().zip(names);
    let steps = [X, W].into_iter().zip(operands).flat_map(steps);
    sizes.chain(steps).map(|(v, name)| (name, v as f64)).collect()
}

/// A residual: the later of two convolutions reads the other value. One of them may be no convolution.
fn fuse(n: &mut Node, x: ValueId, w: ValueId, y: ValueId) -> Result<bool, String> {
    let born = |n: &Node, id: ValueId| -> Result<Option<usize>, String> {
        let v = n.value(n.value(id)?.root)?;
        Ok(v.step)
    };
    for (mine, other) in [(x, w), (w, x)] {
        let other_born = born(n, other)?;
        let Some((at, step)) = n.graph.sole_step(mine).filter(|(_, s)| s.fuse == Fuse::Float) else {
            continue;
        };
        if mine != other && other_born.is_none_or(|b| b < at) && step.reads.len() == 3 {
            step.reads.push(Some(other));
            step.set("residual", 1.0);
            step.fuse = Fuse::Activation;
            n.graph.retarget(at, "Add", y);
            return Ok(true);
        }
    }
    Ok(false)
}

/// NumPy's rule.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let dim =
        |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).and_then(|i| s.get(i)).copied().unwrap_or(1);
    let one = |i| match (dim(a, i), dim(b, i)) {
        (x, y) if x == y || y == 1 => Ok(x),
        (1, y) => Ok(y),
        _ => Err(format!("shapes {a:?} and {b:?} do not go together")),
    };
    (0..rank).map(one).collect()
}

/// To the right end of [`MAX_RANK`] numbers.
pub fn padded(shape: &[usize], fill: usize) -> Vec<usize> {
    let mut all = vec![fill; MAX_RANK.saturating_sub(shape.len())];
    all.extend(shape);
    all
}
