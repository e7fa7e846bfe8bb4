//! An operator that reads what only it reads may become the end of the one before: an activation, the sum with a residual, a
//! QuantizeLinear (`quantise`).

use crate::gpu::ir::graph::{Graph, Node};
use crate::gpu::ir::op::{Activation, BinaryOp, Op};
use crate::gpu::passes::{quantise, told};

/// Fuses operators in one walk in the order of execution: what an operator has taken in decides what it may
/// take in next.
pub fn apply(graph: &mut Graph) -> Result<(), String> {
    for node in graph.take_nodes() {
        if !taken_in(graph, &node).map_err(told(&node))? {
            graph.push(node)?;
        }
    }
    Ok(())
}

fn taken_in(graph: &mut Graph, node: &Node) -> Result<bool, String> {
    match &node.op {
        Op::Activation(activation) => take_in_activation(graph, node, *activation),
        Op::Binary(sum) if sum.op == BinaryOp::Add => take_in_residual(graph, node),
        Op::Quantize(scales) => quantise::take_in(graph, node, scales),
        _ => Ok(false),
    }
}

/// Where an operator's own activation stands, if it can have one.
fn activation_of(op: &mut Op) -> Option<&mut Option<Activation>> {
    match op {
        Op::Binary(op) => Some(&mut op.activation),
        Op::Conv(op) => Some(&mut op.activation),
        Op::ConvTranspose(op) => Some(&mut op.activation),
        Op::Gemm(op) => Some(&mut op.activation),
        Op::MatMul(op) => Some(&mut op.activation),
        _ => None,
    }
}

/// An activation behind products or a sum of floats that has none yet.
fn take_in_activation(graph: &mut Graph, node: &Node, activation: Activation) -> Result<bool, String> {
    let Some((at, _)) = graph.sole_node(node.read(0)?)? else { return Ok(false) };
    match activation_of(&mut graph.node_mut(at)?.op) {
        Some(own) if own.is_none() => *own = Some(activation),
        _ => return Ok(false),
    }
    graph.absorb(at, node)?;
    Ok(true)
}

/// A sum of a convolution and an older value of the same shape becomes the convolution's end: of two convolutions that of
/// the later one.
fn take_in_residual(graph: &mut Graph, node: &Node) -> Result<bool, String> {
    let (x, w) = (node.read(0)?, node.read(1)?);
    let (xv, wv) = (graph.value(x)?, graph.value(w)?);
    if xv.shape != wv.shape || !xv.dtype.is_float() || x == w {
        return Ok(false);
    }
    for (mine, other) in [(x, w), (w, x)] {
        let born = graph.value(graph.root(other)?)?.node;
        let Some((at, _)) = graph.sole_node(mine)? else { continue };
        if born.is_some_and(|born| born >= at) {
            continue;
        }
        let before = graph.node_mut(at)?;
        match &mut before.op {
            Op::Conv(conv) if !conv.residual && conv.activation.is_none() => conv.residual = true,
            _ => continue,
        }
        before.reads.push(Some(other));
        graph.absorb(at, node)?;
        return Ok(true);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::ops::test_model::{encode, graph, node, tensor, value};
    use crate::onnx::proto::{GraphProto, NodeProto};

    /// Of images [1, 4, 2, 2]: `c` is a 1x1 convolution of x, `e` one of z.
    fn model(nodes: &[NodeProto], output: &str) -> Vec<u8> {
        let mut all = vec![node("Conv", &["x", "w"], "c"), node("Conv", &["z", "w"], "e")];
        all.extend_from_slice(nodes);
        encode(GraphProto {
            node: all,
            initializer: vec![tensor("w", &[4, 4, 1, 1], &[1.0; 16], false)],
            input: vec![value("x", &[1, 4, 2, 2]), value("z", &[1, 4, 2, 2])],
            output: vec![value(output, &[1, 4, 2, 2])],
            ..Default::default()
        })
    }

    /// Labels, and what the last node computes.
    fn fused(nodes: &[NodeProto]) -> (Vec<String>, Op) {
        let nodes = graph(&model(nodes, "y")).nodes;
        let last = nodes.last().unwrap().op.clone();
        (nodes.into_iter().map(|n| n.label).collect(), last)
    }

    fn end(op: &Op) -> (bool, Option<Activation>) {
        let Op::Conv(conv) = op else { panic!("{op:?}") };
        (conv.residual, conv.activation)
    }

    #[test]
    fn a_residual_and_an_activation_become_the_end_of_the_later_convolution() {
        let (labels, op) = fused(&[node("Add", &["c", "e"], "s"), node("Relu", &["s"], "y")]);
        assert_eq!(labels, ["Conv", "Conv+Add+Relu"]);
        assert_eq!(end(&op), (true, Some(Activation::Relu)));
        let (labels, op) = fused(&[node("HardSwish", &["c"], "y")]);
        assert_eq!(labels, ["Conv+HardSwish"]);
        assert_eq!(end(&op), (false, Some(Activation::HardSwish)));
    }

    #[test]
    fn a_residual_behind_an_activation_is_a_sum_of_its_own() {
        let nodes = [node("Relu", &["e"], "a"), node("Add", &["x", "a"], "s"), node("Relu", &["s"], "y")];
        let (labels, op) = fused(&nodes);
        assert_eq!(labels, ["Conv+Relu", "Add+Relu"]);
        let Op::Binary(sum) = op else { panic!("{op:?}") };
        assert_eq!((sum.op, sum.activation), (BinaryOp::Add, Some(Activation::Relu)));
    }

    #[test]
    fn what_another_reads_too_is_not_taken_in() {
        let (labels, op) = fused(&[node("Relu", &["c"], "a"), node("Mul", &["a", "c"], "y")]);
        assert_eq!(labels, ["Conv", "Relu", "Mul"]);
        assert!(matches!(op, Op::Binary(_)), "{op:?}");
    }

    /// Two activations, one behind the other.
    #[test]
    fn an_operator_takes_in_one_activation() {
        let (labels, _) = fused(&[node("Relu", &["c"], "a"), node("Sigmoid", &["a"], "y")]);
        assert_eq!(labels, ["Conv+Relu", "Sigmoid"]);
    }
}
