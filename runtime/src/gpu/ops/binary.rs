//! Add, Sub, Mul, Div with broadcasting.

use super::activation::{self, HALVES};
use super::file_node::FileNode;
use super::shape::{broadcast, padded, strides};
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::form::{Form, Operand};
use crate::gpu::ir::graph::MAX_RANK;
use crate::gpu::ir::op::{Binary, BinaryOp, Op};
use crate::gpu::kernel::{Kernel, Lanes, Setting, Shader};

/// Floats.
const FLOAT: Shader = shader!("binary": "float", "step", "nan", "activate", "broadcast", "binary");
/// Integers.
const INTEGER: Shader = shader!("binary_integer": "integer", "step", "broadcast", "binary_integer");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&FLOAT, &INTEGER, &HALVES];

const D: [&str; MAX_RANK] = ["", "d1", "d2", "d3", "d4", "d5"];
const X: [&str; MAX_RANK] = ["x0", "x1", "x2", "x3", "x4", "x5"];
const W: [&str; MAX_RANK] = ["w0", "w1", "w2", "w3", "w4", "w5"];

/// Lowers ONNX Add.
pub fn add(n: &mut FileNode) -> Result<(), String> {
    lower(n, BinaryOp::Add)
}

/// Lowers ONNX Sub.
pub fn sub(n: &mut FileNode) -> Result<(), String> {
    lower(n, BinaryOp::Sub)
}

/// Lowers ONNX Mul.
pub fn mul(n: &mut FileNode) -> Result<(), String> {
    lower(n, BinaryOp::Mul)
}

/// Lowers ONNX Div.
pub fn div(n: &mut FileNode) -> Result<(), String> {
    lower(n, BinaryOp::Div)
}

fn lower(n: &mut FileNode, op: BinaryOp) -> Result<(), String> {
    let (x, w) = (n.input(0)?, n.input(1)?);
    let dtype = n.value(x)?.dtype;
    n.want(w, dtype)?;
    let shape = broadcast(&n.shape(x)?, &n.shape(w)?)?;
    let y = n.output(0, dtype, &shape)?;
    if dtype == DType::I64 {
        return Err("works on int64: not supported".into());
    }
    n.add(Op::Binary(Binary { op, activation: None }), &[Some(x), Some(w)], y)
}

/// Returns the kernel: of floats in either layout, of integers as ONNX has them. It is an error on int64.
pub fn kernel(binary: &Binary, at: &Setting) -> Result<Kernel, String> {
    let y = at.write()?;
    let op = match binary.op {
        BinaryOp::Add => 0.0,
        BinaryOp::Sub => 1.0,
        BinaryOp::Mul => 2.0,
        BinaryOp::Div => 3.0,
    };
    let mut constants = vec![("op", op)];
    let (bits, unsigned) = match y.dtype {
        DType::F32 | DType::F16 => {
            constants.extend(activation::constants(binary.activation));
            constants.extend(places(at)?);
            return at.kernel([Some(&FLOAT), None, Some(&HALVES)], constants);
        }
        DType::U8 => (8, 1),
        DType::I8 => (8, 0),
        DType::U16 => (16, 1),
        DType::I16 => (16, 0),
        DType::I32 => (32, 0),
        DType::U32 => (32, 1),
        DType::I64 => return Err("works on int64: not supported".into()),
    };
    constants.extend(broadcast_places(at)?);
    constants.extend([("bits", f64::from(bits)), ("unsigned", f64::from(unsigned))]);
    at.kernel([Some(&INTEGER), None, None], constants)
}

/// Where an element's operands lie.
fn places(at: &Setting) -> Result<Vec<(&'static str, f64)>, String> {
    let words = at.lanes()? == Lanes::Word;
    let scale = match at.laid.form {
        Form::Plain => return broadcast_places(at),
        Form::Fours if words => return Ok(addressing(&[at.total()?], [&[1], &[1]])),
        Form::Fours => return Ok(Vec::new()),
        Form::Scaled(operand) => operand,
    };
    let [n, c, plane] = at.write()?.planes()?;
    if !words {
        let name = if scale == Operand::First { "x_places" } else { "w_places" };
        return Ok(vec![(name, plane as f64)]);
    }
    let (whole, each) = ([4 * plane, 4, 1], [4, 0, 1]);
    let operands = if scale == Operand::First { [&each[..], &whole] } else { [&whole[..], &each] };
    Ok(addressing(&[n * c / 4, plane, 4], operands))
}

/// Returns the result's dimensions and the operands' strides, as broadcast.wgsl has them.
pub fn broadcast_places(at: &Setting) -> Result<Vec<(&'static str, f64)>, String> {
    let repeated = |own: &[usize]| -> Vec<usize> {
        own.iter().zip(strides(own)).map(|(&d, s)| if d == 1 { 0 } else { s }).collect()
    };
    let (x, w) = (&at.read(0)?.shape, &at.read(1)?.shape);
    Ok(addressing(&at.write()?.shape, [&repeated(x), &repeated(w)]))
}

/// The result's dimensions and the operands' strides, as broadcast.wgsl has them.
fn addressing(dims: &[usize], operands: [&[usize]; 2]) -> Vec<(&'static str, f64)> {
    let sizes = padded(dims, 1).into_iter().zip(D).skip(1);
    let steps = |(names, own): ([&'static str; MAX_RANK], &[usize])| padded(own, 0).into_iter().zip(names);
    let steps = [X, W].into_iter().zip(operands).flat_map(steps);
    sizes.chain(steps).map(|(v, name)| (name, v as f64)).collect()
}

#[cfg(test)]
mod tests {
    use crate::backend::{Backend, Named, Options, WgpuOptions};
    use crate::gpu::WgpuBackend;
    use crate::gpu::ops::test_model::{encode, node, tensor, value};
    use crate::onnx::OnnxFile;
    use crate::onnx::proto::GraphProto;
    use gtn_core::io::tensors::Tensor;
    use std::path::Path;

    /// Without images and channels.
    #[test]
    fn a_vector_times_a_number_is_broadcast() {
        let model = encode(GraphProto {
            node: vec![node("Mul", &["x", "two"], "y")],
            initializer: vec![tensor("two", &[1], &[2.0], false)],
            input: vec![value("x", &[3])],
            output: vec![value("y", &[3])],
            ..Default::default()
        });
        let options = Options { wgpu: WgpuOptions::any_adapter(), ..Options::default() };
        let mut backend =
            WgpuBackend::load(&OnnxFile::parse(&model, Path::new("m.onnx")).unwrap(), &options, "test")
                .unwrap();
        let of = |name: &str, v: &[f32]| Named { name: name.into(), tensor: Tensor::f32(&[3], v.to_vec()) };
        let found = backend.run(&[of("x", &[1.0, -2.0, 0.5])]).unwrap();
        assert_eq!(found[0].tensor, of("y", &[2.0, -4.0, 1.0]).tensor);
    }
}
