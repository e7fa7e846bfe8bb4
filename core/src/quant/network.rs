//! A whole network in int8: the folded graph, what is quantised in it, and with which numbers.

use super::affine::{Affine, Range};
use super::bias_correction;
use super::layer::Int8Layer;
use super::placement::{Placement, passes_through, producer};
use crate::device::int8::{ActivationType, Scheme};
use crate::ir::arch::Activation;
use crate::ir::graph::{Graph, NodeOp, ValueId};
use crate::ir::weights::Weights;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// These are the ranges of a graph's values, by [`ValueId`]; one is `None` where calibration did not look.
pub type Ranges = Vec<Option<Range>>;

/// This is what the exporter writes as Q/DQ and [`super::eval`] computes.
#[derive(Debug, Clone)]
pub struct Int8Network {
    /// Folded.
    pub graph: Graph,
    /// fp32, for what is not in `layers`.
    pub weights: Weights,
    /// How it was quantised.
    pub scheme: Scheme,
    /// By value: the Q/DQ pair that stands after it.
    pub values: Vec<Option<Affine>>,
    /// By node: convolutions and classifiers in int8.
    pub layers: BTreeMap<usize, Int8Layer>,
    /// By node: activations that do nothing here, because the Q/DQ pair behind them saturates where
    /// they would.
    pub absorbed: Vec<bool>,
}

impl Int8Network {
    /// Quantises a folded network. `fp32` names nodes that stay in fp32; one that is not there is a usage
    /// error. A needed range that is missing is an error naming the value.
    pub fn build(
        graph: &Graph,
        weights: &Weights,
        scheme: &Scheme,
        ranges: &Ranges,
        fp32: &BTreeSet<String>,
    ) -> Result<Self> {
        if let Some(odd) = fp32.iter().find(|name| !graph.nodes.iter().any(|n| n.name == **name)) {
            return Err(Error::usage(format!("there is no layer `{odd}` to keep in fp32")));
        }
        let placement = Placement::of(graph);
        let wanted = placement.quantised(graph, fp32);
        let mut values: Vec<Option<Affine>> = vec![None; wanted.len()];
        for v in (0..wanted.len()).filter(|&v| wanted.get(v) == Some(&true)) {
            let shared = producer(graph, ValueId(v)).filter(|n| passes_through(&n.op));
            let shared = shared.and_then(|n| values.get(n.inputs.first()?.0).copied().flatten());
            let affine = match shared {
                Some(affine) => affine,
                None => cover(graph, ranges, ValueId(v), scheme.activations)?,
            };
            if let Some(slot) = values.get_mut(v) {
                *slot = Some(affine);
            }
        }
        let mut layers = BTreeMap::new();
        for (i, node) in graph.nodes.iter().enumerate().filter(|(_, n)| !fp32.contains(&n.name)) {
            let out = match node.op {
                NodeOp::Conv { out, .. } | NodeOp::Linear { out } => out,
                _ => continue,
            };
            let input = node.inputs.first().and_then(|v| values.get(v.0).copied().flatten());
            let Some(input) = input else { continue };
            let weight = weights.get(&format!("{}.weight", node.name))?;
            let bias = weights.0.get(&format!("{}.bias", node.name)).map_or(&[][..], Vec::as_slice);
            layers.insert(i, Int8Layer::quantise(weight, bias, out, input.scale, scheme));
        }
        let absorbed = absorbed(graph, &placement, &values);
        let (graph, weights) = (graph.clone(), weights.clone());
        Ok(Self { graph, weights, scheme: *scheme, values, layers, absorbed })
    }

    /// Corrects every quantised layer's bias for the rounding of its weights; `means` are by [`ValueId`],
    /// one per channel. A layer whose input's means are not known keeps its bias.
    pub fn correct_biases(&mut self, means: &[Option<Vec<f64>>]) -> Result<()> {
        for (&i, layer) in &mut self.layers {
            let Some(node) = self.graph.nodes.get(i) else { continue };
            let Some(&input) = node.inputs.first() else { continue };
            let (Some(Some(means)), Some(Some(affine))) = (means.get(input.0), self.values.get(input.0))
            else {
                continue;
            };
            let groups = if let NodeOp::Conv { groups, .. } = node.op { groups } else { 1 };
            let weight = self.weights.get(&format!("{}.weight", node.name))?;
            let bias = self.weights.0.get(&format!("{}.bias", node.name)).map_or(&[][..], Vec::as_slice);
            let corrected = bias_correction::corrected(layer, weight, bias, means, groups);
            *layer = Int8Layer::quantise(weight, &corrected, layer.bias.len(), affine.scale, &self.scheme);
        }
        Ok(())
    }

    /// Returns the Q/DQ pair behind a value, if one stands there.
    pub fn affine(&self, value: ValueId) -> Option<&Affine> {
        self.values.get(value.0).and_then(Option::as_ref)
    }
}

fn cover(graph: &Graph, ranges: &Ranges, value: ValueId, kind: ActivationType) -> Result<Affine> {
    let name = || producer(graph, value).map_or("image", |n| &n.name).to_owned();
    match ranges.get(value.0).copied().flatten() {
        Some(range) if range.lo.is_finite() && range.hi.is_finite() && range.lo <= range.hi => {
            Ok(Affine::covering(range, kind))
        }
        Some(range) => Err(Error::Failed(format!(
            "the range of `{}` is {} to {}: calibration images that a network cannot take?",
            name(),
            range.lo,
            range.hi
        ))),
        None => Err(Error::Failed(format!("no range of `{}` is known: it cannot be quantised", name()))),
    }
}

/// A joined Relu is done by saturation where 0 is the smallest integer; Relu6 where the largest is 6 or
/// less besides (a millionth more is f32's rounding of 6 / 255).
fn absorbed(graph: &Graph, placement: &Placement, values: &[Option<Affine>]) -> Vec<bool> {
    let done = |(i, joined): (usize, &bool)| {
        let Some(affine) = values.get(i + 1).copied().flatten().filter(|_| *joined) else { return false };
        let (lo, hi) = affine.range();
        match graph.nodes.get(i).map(|n| &n.op) {
            Some(NodeOp::Activation(Activation::Relu)) => lo >= 0.0,
            Some(NodeOp::Activation(Activation::Relu6)) => lo >= 0.0 && hi <= 6.0 * (1.0 + 1e-6),
            _ => false,
        }
    };
    placement.joined.iter().enumerate().map(done).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::arch::Input;
    use crate::ir::fold;
    use crate::ir::random_weights;
    use crate::nets::pool;

    #[test]
    fn a_missing_or_impossible_range_names_its_value() {
        let input = Input { channels: 1, height: 28, width: 28 };
        let spec = pool::student("mbv2-mini:d111-k333-e333", input, 10).unwrap();
        let graph = Graph::lower(&spec).unwrap();
        let (graph, weights) =
            fold::fold_batch_norm(&graph, &random_weights::random_weights(&graph, 1)).unwrap();
        let scheme = Scheme { activations: ActivationType::Uint8, weight_bits: 8, per_channel: true };
        let mut ranges = vec![Some(Range { lo: 0.0, hi: 6.0 }); graph.nodes.len() + 1];
        let build = |ranges: &Ranges, fp32: &[&str]| {
            let fp32 = fp32.iter().map(|n| (*n).to_owned()).collect();
            Int8Network::build(&graph, &weights, &scheme, ranges, &fp32)
        };
        let net = build(&ranges, &[]).unwrap();
        let relus = graph.nodes.iter().filter(|n| matches!(n.op, NodeOp::Activation(_))).count();
        assert_eq!(net.absorbed.iter().filter(|a| **a).count(), relus, "[0, 6] absorbs every Relu6");
        assert_eq!(
            net.layers.len(),
            graph
                .nodes
                .iter()
                .filter(|n| matches!(n.op, NodeOp::Conv { .. } | NodeOp::Linear { .. }))
                .count()
        );
        assert!(build(&ranges, &["ghost"]).unwrap_err().to_string().contains("no layer `ghost`"));
        ranges[0] = None;
        assert!(build(&ranges, &[]).unwrap_err().to_string().contains("no range of `image`"));
        ranges[0] = Some(Range { lo: 0.0, hi: f32::INFINITY });
        assert!(build(&ranges, &[]).unwrap_err().to_string().contains("range of `image` is 0 to inf"));
    }
}
