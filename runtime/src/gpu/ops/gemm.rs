//! Gemm.

use super::activation;
use super::file_node::FileNode;
use super::shape::broadcast;
use crate::backend::Kernels;
use crate::gpu::ir::op::{Gemm, Op, Product};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// This shader is gemm.wgsl.
pub const SHADER: Shader = shader!("gemm": "float", "step", "nan", "activate", "gemm");
/// gemv.wgsl, its sums in shared memory.
const GEMV: Shader = shader!("gemv": "float", "step", "nan", "activate", "gemv", "gemv_shared");
/// gemv.wgsl, its sums by subgroups.
const GEMV_SUBGROUPS: Shader =
    shader!("gemv_subgroups": "float", "step", "nan", "activate", "gemv", "gemv_subgroups");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&SHADER, &GEMV, &GEMV_SUBGROUPS];

/// More rows give gemm.wgsl enough to do.
const GEMV_ROWS: usize = 8;

/// Lowers ONNX Gemm: alpha A' B' + beta C.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
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
    let c_strides = match bias {
        None => None,
        Some(b) => {
            let bs = n.shape(b)?;
            if broadcast(&bs, &[rows, columns])? != [rows, columns] {
                return Err(format!("C is {bs:?}, the product [{rows}, {columns}]"));
            }
            let repeated = |d: usize, stride: usize| if d > 1 { stride } else { 0 };
            Some(match bs[..] {
                [row, column] => [repeated(row, column), repeated(column, 1)],
                [column] => [0, repeated(column, 1)],
                _ => [0, 0],
            })
        }
    };
    let dtype = n.float_type(&[Some(x), Some(w), bias])?;
    let y = n.output(0, dtype, &[rows, columns])?;
    let size = Product { rows, columns, depth };
    let gemm = Gemm { size, trans_a, trans_b, alpha, beta, c_strides, activation: None };
    n.add(Op::Gemm(gemm), &[Some(x), Some(w), bias], y)
}

/// Returns the kernel, with a workgroup for each result where a large GPU has few of them to compute, else an
/// invocation.
pub fn kernel(gemm: &Gemm, at: &Setting) -> Result<Kernel, String> {
    let Product { rows, columns, depth } = gemm.size;
    let (x_row, x_depth) = if gemm.trans_a { (1, rows) } else { (depth, 1) };
    let (w_column, w_depth) = if gemm.trans_b { (depth, 1) } else { (1, columns) };
    let [b_row, b_column] = gemm.c_strides.unwrap_or([0, 0]);
    let bias = usize::from(gemm.c_strides.is_some());
    let mut constants = vec![("alpha", f64::from(gemm.alpha)), ("beta", f64::from(gemm.beta))];
    constants.extend(activation::constants(gemm.activation));
    let both = [
        ("columns", columns),
        ("depth", depth),
        ("x_row", x_row),
        ("w_column", w_column),
        ("bias", bias),
        ("b_row", b_row),
        ("b_column", b_column),
    ];
    constants.extend(both.map(|(name, v)| (name, v as f64)));
    let results = at.total()?;
    if at.kernels == Kernels::Tile && x_depth == 1 && w_depth == 1 && rows <= GEMV_ROWS {
        let shader = if at.abilities.subgroups { &GEMV_SUBGROUPS } else { &GEMV };
        let kernel = Kernel::new(shader, "main", constants, results);
        return Ok(Kernel { invocations: results * kernel.group, ..kernel });
    }
    let general = [("rows", rows), ("x_depth", x_depth), ("w_depth", w_depth)];
    constants.extend(general.map(|(name, v)| (name, v as f64)));
    Ok(Kernel::new(&SHADER, "main", constants, results))
}

#[cfg(test)]
mod tests {
    use crate::backend::{Backend, Kernels, Named, Options, WgpuOptions};
    use crate::gpu::WgpuBackend;
    use crate::gpu::kernel::Abilities;
    use crate::gpu::ops::test_model::{encode, int, node, tensor, value};
    use crate::onnx::OnnxFile;
    use crate::onnx::proto::{GraphProto, NodeProto};
    use gtn_core::io::tensors::{Data, Tensor};
    use gtn_core::rng::Rng;
    use std::path::Path;

    #[test]
    fn products_of_few_rows_are_those_of_the_definition_however_they_are_added() {
        let options = Options {
            wgpu: WgpuOptions { kernels: Some(Kernels::Tile), ..WgpuOptions::any_adapter() },
            ..Options::default()
        };
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
                    &OnnxFile::parse(&model, Path::new("m.onnx")).unwrap(),
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
