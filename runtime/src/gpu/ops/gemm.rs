//! Gemm and MatMul.

use super::binary::broadcast;
use super::conv::Groups;
use super::integer_conv;
use super::node::{Node, strides};
use super::window::Window;
use crate::gpu::ir::graph::{Form, Fuse, Shader, Step};

/// gemm.wgsl
pub const SHADER: Shader = shader!("gemm": "float", "step", "nan", "activate", "gemm");
/// gemv.wgsl, its sums in shared memory.
pub const GEMV: Shader = shader!("gemv": "float", "step", "nan", "activate", "gemv", "gemv_shared");
/// gemv.wgsl, its sums by subgroups.
pub const GEMV_SUBGROUPS: Shader =
    shader!("gemv_subgroups": "float", "step", "nan", "activate", "gemv", "gemv_subgroups");

/// More rows give gemm.wgsl enough to do.
const GEMV_ROWS: usize = 8;
/// Of the constants of gemm.wgsl those that gemv.wgsl has.
const GEMV_CONSTANTS: [&str; 12] = [
    "columns", "depth", "x_row", "w_column", "bias", "b_row", "b_column", "alpha", "beta", "act", "act_a",
    "act_b",
];

/// The step with a workgroup for each result.
pub fn gemv(step: &Step, subgroups: bool) -> Step {
    let results = step.invocations;
    let mut new = step.clone();
    new.shader = if subgroups { &GEMV_SUBGROUPS } else { &GEMV };
    new.constants.retain(|(name, _)| GEMV_CONSTANTS.contains(name));
    new.set_total(results);
    new.invocations = results * new.group;
    new
}

/// ONNX Gemm: alpha A' B' + beta C.
pub fn gemm(n: &mut Node) -> Result<(), String> {
    let (x, w, bias) = (n.input(0)?, n.input(1)?, n.optional(2)?);
    let (alpha, beta) = (n.float("alpha", 1.0)?, n.float("beta", 1.0)?);
    let (trans_a, trans_b) = (n.int("transA", 0)? != 0, n.int("transB", 0)? != 0);
    let (xs, ws) = (n.shape(x)?, n.shape(w)?);
    let (&[x0, x1], &[w0, w1]) = (&xs[..], &ws[..]) else {
        return Err(format!("inputs are {xs:?} and {ws:?}, wanted two dimensions each"));
    };
    let (rows, depth) = if trans_a { (x1, x0) } else { (x0, x1) };
    let (columns, w_depth) = if trans_b { (w0, w1) } else { (w1, w0) };
    if depth != w_depth {
        return Err(format!("inputs {xs:?} and {ws:?} do not go together"));
    }
    let b_strides = match bias {
        None => [0, 0],
        Some(b) => {
            let bs = n.shape(b)?;
            if broadcast(&bs, &[rows, columns])? != [rows, columns] {
                return Err(format!("C is {bs:?}, the product [{rows}, {columns}]"));
            }
            let column = usize::from(bs.last().is_some_and(|&d| d > 1));
            let row =
                if bs.len() == 2 && bs.first().is_some_and(|&d| d > 1) { bs.last().copied() } else { None };
            [row.unwrap_or(0), column]
        }
    };
    let dtype = n.float_type(&[Some(x), Some(w), bias])?;
    let y = n.output(0, dtype, &[rows, columns])?;
    // A 1x1 convolution of 1x1 images, where it is one of integers.
    if !trans_a && trans_b && alpha == 1.0 && beta == 1.0 && b_strides[0] == 0 {
        let ones = [1; 3];
        let window = Window {
            rank: 0,
            input: ones,
            kernel: ones,
            stride: ones,
            dilation: ones,
            begin: [0; 3],
            end: [0; 3],
            output: ones,
        };
        let groups = Groups { groups: 1, cg: depth, mg: columns };
        if integer_conv::push(n, [Some(x), Some(w), bias], y, &window, &groups)? {
            return Ok(());
        }
    }
    let (x_row, x_depth) = if trans_a { (1, x1) } else { (x1, 1) };
    let (w_column, w_depth) = if trans_b { (w1, 1) } else { (1, w1) };
    let sizes = [
        ("rows", rows),
        ("columns", columns),
        ("depth", depth),
        ("x_row", x_row),
        ("x_depth", x_depth),
        ("w_column", w_column),
        ("w_depth", w_depth),
        ("bias", usize::from(bias.is_some())),
        ("b_row", b_strides[0]),
        ("b_column", b_strides[1]),
    ];
    let mut constants: Vec<_> = sizes.into_iter().map(|(name, v)| (name, v as f64)).collect();
    constants.extend([("alpha", f64::from(alpha)), ("beta", f64::from(beta))]);
    let mut step = n.step(&SHADER, "main", &[Some(x), Some(w), bias], y, constants)?;
    step.fuse = Fuse::Activation;
    if x_depth == 1 && w_depth == 1 && rows <= GEMV_ROWS {
        step.form = Form::Gemv;
    }
    n.graph.push(step);
    Ok(())
}

/// ONNX MatMul: NumPy's rules, with up to four batch dimensions.
pub fn mat_mul(n: &mut Node) -> Result<(), String> {
    let (x, w) = (n.input(0)?, n.input(1)?);
    let dtype = n.float_type(&[Some(x), Some(w)])?;
    let (xs, ws) = (n.shape(x)?, n.shape(w)?);
    let bad = || format!("inputs {xs:?} and {ws:?} do not go together");
    let (x_batch, rows, depth) = match &xs[..] {
        [k] => (&[][..], None, *k),
        [batch @ .., m, k] => (batch, Some(*m), *k),
        [] => return Err(bad()),
    };
    let (w_batch, w_depth, columns) = match &ws[..] {
        [k] => (&[][..], *k, None),
        [batch @ .., k, m] => (batch, *k, Some(*m)),
        [] => return Err(bad()),
    };
    let batch = broadcast(x_batch, w_batch)?;
    if depth != w_depth || batch.len() > 4 {
        return Err(bad());
    }
    let shape: Vec<usize> = batch.iter().copied().chain(rows).chain(columns).collect();
    let y = n.output(0, dtype, &shape)?;
    let m = columns.unwrap_or(1);
    let sizes = [
        ("rows", rows.unwrap_or(1)),
        ("columns", m),
        ("depth", depth),
        ("x_row", depth),
        ("x_depth", 1),
        ("w_column", 1),
        ("w_depth", m),
    ];
    let mut constants: Vec<(&'static str, f64)> =
        sizes.into_iter().map(|(name, v)| (name, v as f64)).collect();
    let sides = [
        (["x0", "x1", "x2", "x3"], x_batch, rows.unwrap_or(1) * depth),
        (["w0", "w1", "w2", "w3"], w_batch, depth * m),
    ];
    for (names, own, matrix) in sides {
        let steps = own.iter().zip(strides(own)).map(|(&d, s)| if d == 1 { 0 } else { s * matrix });
        let steps: Vec<usize> = steps.collect();
        constants
            .extend(names.into_iter().rev().zip(steps.into_iter().rev()).map(|(name, s)| (name, s as f64)));
    }
    let names = ["d1", "d2", "d3"];
    constants.extend(names.into_iter().rev().zip(batch.iter().rev()).map(|(name, &d)| (name, d as f64)));
    let mut step = n.step(&SHADER, "main", &[Some(x), Some(w)], y, constants)?;
    step.fuse = Fuse::Activation;
    n.graph.push(step);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::backend::{Backend, Kernels, Named, Options};
    use crate::gpu::WgpuBackend;
    use crate::gpu::exec::adapter::Abilities;
    use crate::gpu::ops::test_model::{encode, int, node, tensor, value};
    use crate::onnx::proto::{GraphProto, NodeProto};
    use gtn_core::io::tensors::{Data, Tensor};
    use gtn_core::rng::Rng;
    use std::path::Path;

    #[test]
    fn products_of_few_rows_are_those_of_the_definition_however_they_are_added() {
        let options = Options { allow_software: true, kernels: Some(Kernels::Tile), ..Options::default() };
        let sizes =
            [(1, 1, 1), (1, 63, 10), (1, 64, 3), (1, 65, 1), (2, 129, 7), (8, 320, 5), (1, 1280, 1000)];
        for (case, (rows, depth, columns)) in sizes.into_iter().enumerate() {
            let mut rng = Rng::new(case as u64, "gemv", 0);
            let mut some = |n| (0..n).map(|_| rng.unit_f64() as f32 * 2.0 - 1.0).collect::<Vec<f32>>();
            let (x, w, b) = (some(rows * depth), some(columns * depth), some(columns));
            let gemm = node("Gemm", &["x", "w", "b"], "g");
            let graph = GraphProto {
                node: vec![
                    NodeProto { attribute: vec![int("transB", 1)], ..gemm },
                    node("Relu", &["g"], "y"),
                ],
                initializer: vec![
                    tensor("w", &[columns, depth], &w, false),
                    tensor("b", &[columns], &b, false),
                ],
                input: vec![value("x", &[rows, depth])],
                output: vec![value("y", &[rows, columns])],
                ..Default::default()
            };
            let model = encode(graph);
            for subgroups in [false, true] {
                let able = Some(Abilities { halves: true, subgroups });
                let backend = WgpuBackend::load_with_abilities(
                    &model,
                    Path::new("m.onnx"),
                    &options,
                    "test",
                    &[],
                    able,
                );
                let input = Named { name: "x".into(), tensor: Tensor::f32(&[rows, depth], x.clone()) };
                let found = backend.unwrap().run(&[input]).unwrap();
                let Data::F32(found) = &found[0].tensor.data else { panic!("no floats") };
                assert_eq!(found.len(), rows * columns);
                for (i, y) in found.iter().enumerate() {
                    let (row, column) = (i / columns, i % columns);
                    let of = |k| f64::from(x[row * depth + k]) * f64::from(w[column * depth + k]);
                    let wanted = ((0..depth).map(of).sum::<f64>() + f64::from(b[column])).max(0.0);
                    let off = (f64::from(*y) - wanted).abs();
                    assert!(
                        off < 1e-5 * (depth as f64).sqrt(),
                        "{rows} {depth} {columns}, {i}: {y}, {wanted}"
                    );
                }
            }
        }
    }
}
