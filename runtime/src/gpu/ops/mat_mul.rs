//! MatMul.

use super::activation;
use super::file_node::FileNode;
use super::gemm;
use super::shape::{broadcast, strides};
use crate::gpu::ir::op::{MatMul, Op, Product};
use crate::gpu::kernel::{Kernel, Setting};

/// Lowers ONNX MatMul by NumPy's rules, with up to four batch dimensions.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
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
    let size = Product { rows: rows.unwrap_or(1), columns: columns.unwrap_or(1), depth };
    let along = |own: &[usize], matrix: usize| -> Vec<usize> {
        own.iter().zip(strides(own)).map(|(&d, s)| if d == 1 { 0 } else { s * matrix }).collect()
    };
    let strides = [along(x_batch, size.rows * depth), along(w_batch, depth * size.columns)];
    n.add(Op::MatMul(MatMul { size, batch, strides, activation: None }), &[Some(x), Some(w)], y)
}

/// Returns the kernel, with an invocation for each result.
pub fn kernel(product: &MatMul, at: &Setting) -> Result<Kernel, String> {
    let Product { rows, columns, depth } = product.size;
    let sizes = [
        ("rows", rows),
        ("columns", columns),
        ("depth", depth),
        ("x_row", depth),
        ("x_depth", 1),
        ("w_column", 1),
        ("w_depth", columns),
    ];
    let last = |names: &[&'static str], values: &[usize]| -> Vec<(&'static str, f64)> {
        names.iter().rev().zip(values.iter().rev()).map(|(&name, &v)| (name, v as f64)).collect()
    };
    let [x, w] = &product.strides;
    let mut constants: Vec<_> = sizes.into_iter().map(|(name, v)| (name, v as f64)).collect();
    constants.extend(last(&["x0", "x1", "x2", "x3"], x));
    constants.extend(last(&["w0", "w1", "w2", "w3"], w));
    constants.extend(last(&["d1", "d2", "d3"], &product.batch));
    constants.extend(activation::constants(product.activation));
    Ok(Kernel::new(&gemm::SHADER, "main", constants, at.total()?))
}
