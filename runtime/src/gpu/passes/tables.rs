//! Numbers of an operator that its kernel reads from memory become constants, behind what it reads already.

use crate::gpu::ir::graph::Graph;
use crate::gpu::ir::op::Op;
use crate::gpu::ops::{quantised_product, quantised_sum};
use crate::gpu::passes::told;
use crate::onnx::{Constant, Numbers};

/// Adds every operator's tables to the graph as constants.
pub fn add(graph: &mut Graph) -> Result<(), String> {
    for mut node in graph.take_nodes() {
        for numbers in tables(&node.op) {
            let elem_type = if matches!(numbers, Numbers::F32(_)) { 1 } else { 6 };
            let table = Constant { elem_type, shape: vec![numbers.len()], numbers };
            let id = graph.add_constant(table, 1, node.origin).map_err(told(&node))?;
            node.reads.push(Some(id));
        }
        graph.push(node)?;
    }
    Ok(())
}

fn tables(op: &Op) -> Vec<Numbers> {
    match op {
        Op::Quantize(s) | Op::Dequantize(s) => {
            vec![Numbers::F32(s.values.clone()), Numbers::I32(s.zero_points.clone())]
        }
        Op::IntegerConv(c) => vec![Numbers::F32(c.scales.clone()), Numbers::I32(c.zero_points.clone())],
        Op::QuantisedProduct(product) => vec![Numbers::F32(quantised_product::table(product))],
        Op::QuantisedSum(sum) => vec![Numbers::F32(quantised_sum::table(sum))],
        Op::Resize(resize) => vec![Numbers::I32(resize.neighbours.clone())],
        _ => Vec::new(),
    }
}
