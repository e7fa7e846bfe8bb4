//! ReduceMean and GlobalAveragePool.

use super::binary::padded;
use super::node::{Node, axis, strides};
use crate::gpu::ir::graph::{Form, MAX_RANK, Shader};

/// reduce_mean.wgsl
pub const SHADER: Shader = shader!("reduce_mean": "float", "step", "reduce_mean");
/// mean_halves.wgsl
pub const HALVES: Shader = shader!("mean_halves": "halves", "step", "mean_halves");

/// ONNX GlobalAveragePool: the mean over everything but image and channel.
pub fn global_average_pool(n: &mut Node) -> Result<(), String> {
    let rank = n.shape(n.input(0)?)?.len();
    mean(n, &(2..rank).collect::<Vec<_>>(), true)
}

/// ONNX ReduceMean: axes are an attribute up to opset 17, then an input.
pub fn lower(n: &mut Node) -> Result<(), String> {
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
    mean(n, &axes, keep)
}

fn mean(n: &mut Node, axes: &[usize], keep: bool) -> Result<(), String> {
    const KEPT: [[&str; MAX_RANK]; 2] =
        [["", "k1", "k2", "k3", "k4", "k5"], ["ks0", "ks1", "ks2", "ks3", "ks4", "ks5"]];
    const REDUCED: [[&str; MAX_RANK]; 2] =
        [["", "r1", "r2", "r3", "r4", "r5"], ["rs0", "rs1", "rs2", "rs3", "rs4", "rs5"]];
    let x = n.input(0)?;
    let dtype = n.float_type(&[Some(x)])?;
    let shape = n.shape(x)?;
    let dims = || shape.iter().copied().zip(strides(&shape)).enumerate();
    let part = |reduced: bool| -> Vec<(usize, usize)> {
        dims().filter(|(i, _)| axes.contains(i) == reduced).map(|(_, d)| d).collect()
    };
    let size = |(i, (d, _)): (usize, (usize, usize))| match (axes.contains(&i), keep) {
        (true, true) => Some(1),
        (true, false) => None,
        (false, _) => Some(d),
    };
    let y_shape: Vec<usize> = dims().filter_map(size).collect();
    let y = n.output(0, dtype, &y_shape)?;
    let mut constants = Vec::new();
    for (names, reduced) in [(KEPT, false), (REDUCED, true)] {
        let own = part(reduced);
        let sizes: Vec<usize> = own.iter().map(|d| d.0).collect();
        let steps: Vec<usize> = own.iter().map(|d| d.1).collect();
        let [size_names, step_names] = names;
        constants.extend(padded(&sizes, 1).into_iter().zip(size_names).skip(1).map(|(v, k)| (k, v as f64)));
        constants.extend(padded(&steps, 0).into_iter().zip(step_names).map(|(v, k)| (k, v as f64)));
    }
    let count: usize = part(true).iter().map(|d| d.0).product();
    constants.push(("count", count as f64));
    let planes = shape.len() == 4 && axes == [2, 3];
    let form = if planes { Form::Mean } else { Form::Plain };
    n.push_form((&SHADER, Some(&HALVES)), "main", &[Some(x)], y, constants, form)
}
