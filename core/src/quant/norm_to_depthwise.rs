//! A BatchNorm that no convolution can take in (pre-activation networks normalise a sum) is a depthwise
//! 1x1 convolution with a bias. Int8 runtimes have a kernel for that and none for BatchNorm.

use crate::ir::arch::Padding;
use crate::ir::graph::{Graph, NodeOp};
use crate::ir::weights::Weights;
use crate::{Error, Result};

/// Replaces every BatchNorm left after [`crate::ir::fold`] by a depthwise 1x1 convolution, in f64:
/// `w = gamma / sqrt(var + eps)`, `b = beta - mean w`. Names stay. It is an error if a channel's w is not
/// finite.
pub fn norm_to_depthwise(graph: &Graph, weights: &Weights) -> Result<(Graph, Weights)> {
    let (mut graph, mut weights) = (graph.clone(), weights.clone());
    for node in &mut graph.nodes {
        let NodeOp::BatchNorm { epsilon } = node.op else { continue };
        let channels = node.shape[0];
        let mut take = |suffix: &str| {
            let name = format!("{}.{suffix}", node.name);
            weights.0.remove(&name).ok_or_else(|| Error::Failed(format!("weight `{name}` is missing")))
        };
        let (gamma, beta) = (take("weight")?, take("bias")?);
        let (mean, var) = (take("running_mean")?, take("running_var")?);
        let scales: Vec<f64> = gamma
            .iter()
            .zip(&var)
            .map(|(g, v)| f64::from(*g) / (f64::from(*v) + epsilon.get()).sqrt())
            .collect();
        if let Some(c) = scales.iter().position(|s| !s.is_finite()) {
            return Err(Error::Failed(format!("`{}` channel {c}: its variance cannot be folded", node.name)));
        }
        let shifts =
            beta.iter().zip(&mean).zip(&scales).map(|((b, m), s)| (f64::from(*b) - f64::from(*m) * s) as f32);
        weights.0.insert(format!("{}.bias", node.name), shifts.collect());
        weights.0.insert(format!("{}.weight", node.name), scales.iter().map(|s| *s as f32).collect());
        let padding = Padding::Symmetric; // of a 1x1 kernel: none
        node.op = NodeOp::Conv { out: channels, kernel: 1, stride: 1, groups: channels, bias: true, padding };
    }
    Ok((graph, weights))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::arch::{Input, NormEpsilon};
    use crate::ir::eval;
    use crate::ir::fold;
    use crate::ir::random_weights;
    use crate::nets::zoo;

    /// The same function, with f32's rounding of new weights (1e-5 is ten times what was seen).
    #[test]
    fn a_pre_activation_network_keeps_its_function() {
        let input = Input { channels: 3, height: 8, width: 8 };
        let mut spec = zoo::named("wrn-10-1", input, 7).unwrap().unwrap();
        spec.norm_epsilon = NormEpsilon::LARGE; // not what would be taken for it
        let graph = Graph::lower(&spec).unwrap();
        let (graph, weights) =
            fold::fold_batch_norm(&graph, &random_weights::random_weights(&graph, 1)).unwrap();
        let (after, after_weights) = norm_to_depthwise(&graph, &weights).unwrap();
        let norms = |g: &Graph| g.nodes.iter().filter(|n| matches!(n.op, NodeOp::BatchNorm { .. })).count();
        assert!(norms(&graph) > 0 && norms(&after) == 0);
        let image = random_weights::random_image(&graph, 2);
        let want = eval::run(&graph, &weights, &image).unwrap();
        let got = eval::run(&after, &after_weights, &image).unwrap();
        let scale = want.iter().fold(1.0f32, |m, x| m.max(x.abs()));
        let worst = want.iter().zip(&got).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(worst / scale < 1e-5, "{worst} of {scale}");
        assert_eq!(after_weights.to_map(&after).unwrap().0.len(), after.params().len());
    }
}
