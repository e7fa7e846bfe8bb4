//! BN folding: a BatchNorm that follows a convolution becomes that convolution's scale and bias, so
//! that inference runs one operator instead of two.

use crate::ir::graph::{Graph, Node, NodeOp, ValueId};
use crate::ir::weights::Weights;
use crate::{Error, Result};

/// Which BatchNorm nodes fold: those whose input is a convolution that nothing else reads.
fn foldable(graph: &Graph) -> Vec<bool> {
    let mut readers = vec![0usize; graph.nodes.len() + 1];
    for v in graph.nodes.iter().flat_map(|n| &n.inputs).chain([&graph.output]) {
        if let Some(count) = readers.get_mut(v.0) {
            *count += 1;
        }
    }
    let folds = |node: &Node| {
        let Some(&input) = node.inputs.first() else { return false };
        let producer = input.0.checked_sub(1).and_then(|i| graph.nodes.get(i));
        matches!(node.op, NodeOp::BatchNorm { .. })
            && readers.get(input.0) == Some(&1)
            && producer.is_some_and(|p| matches!(p.op, NodeOp::Conv { .. }))
    };
    graph.nodes.iter().map(folds).collect()
}

/// Returns the graph with foldable BatchNorms gone and their convolutions biased. Stage outputs keep their
/// meaning.
pub fn fold_graph(graph: &Graph) -> Graph {
    let folds = foldable(graph);
    let mut renumbered = vec![ValueId(0)];
    let mut nodes: Vec<Node> = Vec::new();
    let map = |ids: &[ValueId], v: ValueId| ids[v.0];
    for (node, &fold) in graph.nodes.iter().zip(&folds) {
        if fold {
            let producer = map(&renumbered, node.inputs[0]);
            if let Some(NodeOp::Conv { bias, .. }) =
                producer.0.checked_sub(1).and_then(|i| nodes.get_mut(i)).map(|n| &mut n.op)
            {
                *bias = true;
            }
            renumbered.push(producer);
        } else {
            let inputs = node.inputs.iter().map(|&v| map(&renumbered, v)).collect();
            nodes.push(Node { inputs, ..node.clone() });
            renumbered.push(ValueId(nodes.len()));
        }
    }
    let mut stages = graph.stages.clone();
    for stage in &mut stages {
        stage.value = map(&renumbered, stage.value);
    }
    Graph { input: graph.input, nodes, stages, output: map(&renumbered, graph.output) }
}

/// Folds graph and weights. With s = gamma / sqrt(var + eps): w' = w s, b' = beta + (b - mean) s, computed in
/// f64. It is an error if a channel's s is not finite.
pub fn fold_batch_norm(graph: &Graph, weights: &Weights) -> Result<(Graph, Weights)> {
    let folds = foldable(graph);
    let mut folded = weights.clone();
    for (node, _) in graph.nodes.iter().zip(&folds).filter(|(_, fold)| **fold) {
        let NodeOp::BatchNorm { epsilon } = node.op else { continue };
        let conv = &graph.nodes[node.inputs[0].0 - 1];
        let norm = |suffix: &str| weights.get(&format!("{}.{suffix}", node.name));
        let (gamma, beta) = (norm("weight")?, norm("bias")?);
        let (mean, var) = (norm("running_mean")?, norm("running_var")?);
        let mut weight = weights.get(&format!("{}.weight", conv.name))?.to_vec();
        let bias_name = format!("{}.bias", conv.name);
        let mut bias = weights.0.get(&bias_name).cloned().unwrap_or_else(|| vec![0.0; gamma.len()]);
        let per_channel = weight.len() / gamma.len();
        for (c, chunk) in weight.chunks_mut(per_channel).enumerate() {
            let scale = f64::from(gamma[c]) / (f64::from(var[c]) + epsilon.get()).sqrt();
            if !scale.is_finite() {
                let what = format!("`{}` channel {c}: variance {} cannot be folded", node.name, var[c]);
                return Err(Error::Failed(what));
            }
            for w in chunk {
                *w = (f64::from(*w) * scale) as f32;
            }
            bias[c] = (f64::from(beta[c]) + (f64::from(bias[c]) - f64::from(mean[c])) * scale) as f32;
        }
        folded.0.insert(format!("{}.weight", conv.name), weight);
        folded.0.insert(bias_name, bias);
        for suffix in ["weight", "bias", "running_mean", "running_var"] {
            folded.0.remove(&format!("{}.{suffix}", node.name));
        }
    }
    Ok((fold_graph(graph), folded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::arch::Input;
    use crate::ir::eval;
    use crate::ir::random_weights;
    use crate::nets::zoo;

    /// Folding must not change what the network computes: f64 arithmetic inside, so only the f32
    /// rounding of the new weights remains (1e-5 relative is ten times what was seen).
    #[test]
    fn folding_preserves_the_function() {
        let input = Input { channels: 3, height: 8, width: 8 };
        let mut worst = 0.0f32;
        for name in [
            "resnet8",
            "resnet8x2",
            "wrn-10-1",
            "mobilenetv2",
            "resnet50",
            "mobilenetv3-small",
            "efficientnet-lite0",
        ] {
            let spec = zoo::named(name, input, 7).unwrap().unwrap();
            let graph = Graph::lower(&spec).unwrap();
            let weights = random_weights::random_weights(&graph, 1);
            let image = random_weights::random_image(&graph, 2);
            let (folded, folded_weights) = fold_batch_norm(&graph, &weights).unwrap();
            let left = folded.nodes.iter().filter(|n| matches!(n.op, NodeOp::BatchNorm { .. })).count();
            let bare = graph.nodes.iter().filter(|n| matches!(n.op, NodeOp::BatchNorm { .. })).count();
            assert!(left < bare, "{name}: nothing folded");
            let want = eval::run(&graph, &weights, &image).unwrap();
            let got = eval::run(&folded, &folded_weights, &image).unwrap();
            let scale = want.iter().fold(1.0f32, |m, x| m.max(x.abs()));
            worst = want.iter().zip(&got).fold(worst, |m, (a, b)| m.max((a - b).abs() / scale));
        }
        assert!(worst < 1e-5, "worst relative difference {worst}");
    }
}
