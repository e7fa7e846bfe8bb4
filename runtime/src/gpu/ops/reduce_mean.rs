//! ReduceMean and GlobalAveragePool.

use super::file_node::FileNode;
use super::shape::{axis, padded, strides};
use crate::gpu::ir::form::Form;
use crate::gpu::ir::graph::MAX_RANK;
use crate::gpu::ir::op::{Op, ReduceMean};
use crate::gpu::kernel::{Kernel, Lanes, Setting, Shader};

/// reduce_mean.wgsl
const SHADER: Shader = shader!("reduce_mean": "float", "step", "reduce_mean");
/// mean_halves.wgsl
const HALVES: Shader = shader!("mean_halves": "halves", "step", "mean_halves");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&SHADER, &HALVES];

/// Lowers ONNX GlobalAveragePool: the mean over everything but image and channel.
pub fn global_average_pool(n: &mut FileNode) -> Result<(), String> {
    let rank = n.shape(n.input(0)?)?.len();
    mean(n, (2..rank).collect(), true)
}

/// Lowers ONNX ReduceMean: axes are an attribute up to opset 17, then an input.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let shape = n.shape(x)?;
    let given = match n.ints("axes")? {
        Some(axes) => Some(axes.to_vec()),
        None => n.constant_ints(1)?,
    };
    let given = given.filter(|a| !a.is_empty());
    if given.is_none() && n.int("noop_with_empty_axes", 0)? != 0 {
        return n.alias(x, &shape);
    }
    let axes = match given {
        Some(axes) => axes.into_iter().map(|a| axis(a, shape.len())).collect::<Result<Vec<_>, _>>()?,
        None => (0..shape.len()).collect(),
    };
    let keep = n.int("keepdims", 1)? != 0;
    mean(n, axes, keep)
}

fn mean(n: &mut FileNode, axes: Vec<usize>, keep: bool) -> Result<(), String> {
    let x = n.input(0)?;
    let dtype = n.float_type(&[Some(x)])?;
    let size = |(i, d)| match (axes.contains(&i), keep) {
        (true, true) => Some(1),
        (true, false) => None,
        (false, _) => Some(d),
    };
    let shape: Vec<usize> = n.shape(x)?.into_iter().enumerate().filter_map(size).collect();
    let y = n.output(0, dtype, &shape)?;
    n.add(Op::ReduceMean(ReduceMean { axes }), &[Some(x)], y)
}

/// Names of sizes and strides, as reduce_mean.wgsl has them.
type Names = [[&'static str; MAX_RANK]; 2];
const KEPT: Names = [["", "k1", "k2", "k3", "k4", "k5"], ["ks0", "ks1", "ks2", "ks3", "ks4", "ks5"]];
const REDUCED: Names = [["", "r1", "r2", "r3", "r4", "r5"], ["rs0", "rs1", "rs2", "rs3", "rs4", "rs5"]];

/// Returns the kernel, with an invocation for each element of the result, or of means of planes of float16 in
/// fours for each four of them. The result lies as ONNX has it.
pub fn kernel(mean: &ReduceMean, at: &Setting) -> Result<Kernel, String> {
    let x = at.read(0)?;
    let dims = || x.shape.iter().copied().zip(strides(&x.shape)).enumerate();
    let part = |reduced: bool| -> Vec<(usize, usize)> {
        dims().filter(|(i, _)| mean.axes.contains(i) == reduced).map(|(_, d)| d).collect()
    };
    let count: usize = part(true).iter().map(|d| d.0).product();
    let total = at.write()?.len();
    let mut constants = vec![("count", count as f64)];
    if at.laid.form == Form::Plain {
        for ([sizes, steps], reduced) in [(KEPT, false), (REDUCED, true)] {
            let (own_sizes, own_steps): (Vec<_>, Vec<_>) = part(reduced).into_iter().unzip();
            constants
                .extend(padded(&own_sizes, 1).into_iter().zip(sizes).skip(1).map(|(v, k)| (k, v as f64)));
            constants.extend(padded(&own_steps, 0).into_iter().zip(steps).map(|(v, k)| (k, v as f64)));
        }
    } else if at.lanes()? != Lanes::Word {
        return Ok(Kernel::new(&HALVES, "main", constants, total / 4));
    } else {
        let fours = [("k4", total / 4), ("k5", 4), ("ks4", 4 * count), ("ks5", 1), ("r5", count), ("rs5", 4)];
        constants.extend(fours.map(|(name, v)| (name, v as f64)));
    }
    Ok(Kernel::new(&SHADER, "main", constants, total))
}
