//! Cross-layer equalisation (Nagel et al. 2019, section 4.1), on measured activations: one scale serves
//! all channels of a value, so a channel that is much smaller than the largest has few integers left.
//! Multiplying it on one side of a Relu and dividing on the other changes nothing else.
//!
//! Where the reader is depthwise, its weights have a scale per channel anyway and every channel is
//! brought to the largest one's range. Where it mixes channels, the factor is the square root that also
//! evens out its weights. Relu6 saturates: there a channel is only ever enlarged, and never beyond 6.

use super::histogram::ValueStats;
use super::placement::{Placement, producer};
use crate::Result;
use crate::ir::arch::Activation;
use crate::ir::graph::{Graph, Node, NodeOp, ValueId};
use crate::ir::weights::Weights;

/// Bounds of one factor: beyond, a channel is dead rather than small.
const LARGEST: f64 = 4096.0;
/// A factor this near to 1 is left out.
const WORTH_IT: f64 = 1e-3;

/// These are the factors applied to one value's channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Equalised {
    /// The value's name.
    pub value: String,
    /// By channel.
    pub factors: Vec<f64>,
}

/// Scales the weights around every value that one convolution makes and one convolution reads. `stats`
/// are by [`ValueId`]. Without Relu6 the network computes what it did; with it, as long as no activation
/// exceeds the largest that calibration saw.
pub fn equalise(
    graph: &Graph,
    weights: &mut Weights,
    stats: &[Option<ValueStats>],
) -> Result<Vec<Equalised>> {
    let placement = Placement::of(graph);
    let mut done = Vec::new();
    for value in placement.sites() {
        let Some((from, to)) = neighbours(graph, &placement, value) else { continue };
        let Some(stats) = stats.get(value.0).and_then(Option::as_ref) else { continue };
        let seen: Vec<f64> = stats.channels.iter().map(|c| f64::from(c.lo.abs().max(c.hi.abs()))).collect();
        let read = column_maxima(weights.get(&format!("{}.weight", to.name))?, to, seen.len());
        let factors = factors(&seen, &read, activation_behind(graph, value));
        if factors.iter().all(|f| (f - 1.0).abs() < WORTH_IT) {
            continue;
        }
        scale_rows(weights, &from.name, &factors)?;
        scale_columns(weights, to, &factors)?;
        done.push(Equalised {
            value: producer(graph, value).map(|n| n.name.clone()).unwrap_or_default(),
            factors,
        });
    }
    Ok(done)
}

/// The convolution that makes a value (through a joined Relu) and the only node, a convolution, that
/// reads it.
fn neighbours<'a>(graph: &'a Graph, placement: &Placement, value: ValueId) -> Option<(&'a Node, &'a Node)> {
    let from = graph.nodes.get(placement.unit(graph, value)?)?;
    let mut readers = graph.nodes.iter().filter(|n| n.inputs.contains(&value));
    let to = readers.next()?;
    let conv = |n: &Node| matches!(n.op, NodeOp::Conv { bias: true, .. });
    (readers.next().is_none() && conv(from) && conv(to) && value != graph.output).then_some((from, to))
}

fn activation_behind(graph: &Graph, value: ValueId) -> Option<Activation> {
    match producer(graph, value).map(|n| &n.op) {
        Some(NodeOp::Activation(a)) => Some(*a),
        _ => None,
    }
}

/// Largest |weight| that multiplies each input channel; all 1 for a depthwise reader.
fn column_maxima(weight: &[f32], to: &Node, channels: usize) -> Vec<f64> {
    let NodeOp::Conv { out, groups, kernel, .. } = to.op else { return vec![1.0; channels] };
    if groups > 1 {
        return vec![1.0; channels];
    }
    let taps = kernel * kernel;
    let mut maxima = vec![0.0f64; channels];
    for row in weight.chunks(weight.len() / out.max(1)) {
        for (m, taps) in maxima.iter_mut().zip(row.chunks(taps)) {
            *m = taps.iter().fold(*m, |m, w| m.max(f64::from(w.abs())));
        }
    }
    maxima
}

fn factors(seen: &[f64], read: &[f64], activation: Option<Activation>) -> Vec<f64> {
    let largest = seen.iter().copied().fold(0.0, f64::max);
    let depthwise = read.iter().all(|r| *r == 1.0);
    let raw: Vec<f64> = seen
        .iter()
        .zip(read)
        .map(|(&x, &w)| match (x > 0.0, depthwise) {
            (true, true) => largest / x,
            (true, false) if w > 0.0 => (w / x).sqrt(),
            _ => 1.0,
        })
        .collect();
    // Normalised so that the largest channel's range stays what it was.
    let top = seen.iter().zip(&raw).map(|(x, f)| x * f).fold(0.0, f64::max);
    let norm = if top > 0.0 { largest / top } else { 1.0 };
    let bounded = |(&x, &f): (&f64, &f64)| {
        if x <= 0.0 {
            return 1.0;
        }
        match activation {
            Some(Activation::Relu6) => (f * norm).clamp(1.0, (6.0 / x).clamp(1.0, LARGEST)),
            _ => (f * norm).clamp(1.0 / LARGEST, LARGEST),
        }
    };
    seen.iter().zip(&raw).map(bounded).collect()
}

fn scale_rows(weights: &mut Weights, node: &str, factors: &[f64]) -> Result<()> {
    for suffix in ["weight", "bias"] {
        let name = format!("{node}.{suffix}");
        let mut values = weights.get(&name)?.to_vec();
        let per_channel = (values.len() / factors.len().max(1)).max(1);
        for (channel, f) in values.chunks_mut(per_channel).zip(factors) {
            channel.iter_mut().for_each(|w| *w = (f64::from(*w) * f) as f32);
        }
        weights.0.insert(name, values);
    }
    Ok(())
}

fn scale_columns(weights: &mut Weights, to: &Node, factors: &[f64]) -> Result<()> {
    let NodeOp::Conv { groups, kernel, out, .. } = to.op else { return Ok(()) };
    let name = format!("{}.weight", to.name);
    let mut values = weights.get(&name)?.to_vec();
    let taps = kernel * kernel;
    let per_group = factors.len() / groups.max(1);
    let out_per_group = (out / groups.max(1)).max(1);
    for (i, column) in values.chunks_mut(taps).enumerate() {
        let (o, c) = (i / per_group.max(1), i % per_group.max(1));
        let f = factors[o / out_per_group * per_group + c];
        column.iter_mut().for_each(|w| *w = (f64::from(*w) / f) as f32);
    }
    weights.0.insert(name, values);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::arch::Input;
    use crate::ir::eval;
    use crate::ir::fold;
    use crate::ir::random_weights;
    use crate::nets::pool;

    fn stats(graph: &Graph, weights: &Weights, images: &[Vec<f32>]) -> Vec<Option<ValueStats>> {
        let mut stats = vec![None; graph.nodes.len() + 1];
        for image in images {
            for (v, values) in eval::run_all(graph, weights, image).unwrap().iter().enumerate() {
                let [c, h, w] = graph.shape(ValueId(v));
                assert!(stats[v].get_or_insert_with(ValueStats::default).add(values, c, h * w));
            }
        }
        stats
    }

    /// The function is kept (f64 inside: only the f32 rounding of new weights remains; 1e-5 relative is
    /// ten times what was seen), and channel ranges come together.
    #[test]
    fn values_are_kept_and_ranges_come_together() {
        let input = Input { channels: 1, height: 12, width: 12 };
        for (activation, id) in [
            (Activation::Relu6, "mbv2-mini:d111-k333-e333"),
            (Activation::Relu, "mbv2-mini:d111-k335-e363"),
            (Activation::Relu, "res-mini:d111-k333-e111"),
        ] {
            let mut spec = pool::student(id, input, 10).unwrap();
            spec.stem.activation = Some(activation);
            for block in spec.stages.iter_mut().flat_map(|s| &mut s.blocks) {
                block.activation = activation;
            }
            let graph = Graph::lower(&spec).unwrap();
            let (graph, before) =
                fold::fold_batch_norm(&graph, &random_weights::random_weights(&graph, 3)).unwrap();
            let images: Vec<Vec<f32>> = (0..4).map(|i| random_weights::random_image(&graph, i)).collect();
            let stats_before = stats(&graph, &before, &images);
            let mut after = before.clone();
            let done = equalise(&graph, &mut after, &stats_before).unwrap();
            assert!(!done.is_empty(), "{id}");
            for image in &images {
                let want = eval::run(&graph, &before, image).unwrap();
                let got = eval::run(&graph, &after, image).unwrap();
                let scale = want.iter().fold(1.0f32, |m, x| m.max(x.abs()));
                let worst = want.iter().zip(&got).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(worst / scale < 1e-5, "{id} {activation:?}: {worst} of {scale}");
            }
            let unequal = |all: &[Option<ValueStats>]| {
                let one = |e: &Equalised| {
                    let v = graph.nodes.iter().position(|n| n.name == e.value).unwrap() + 1;
                    let tops: Vec<f64> = all[v]
                        .as_ref()
                        .unwrap()
                        .channels
                        .iter()
                        .map(|c| f64::from(c.hi.abs().max(c.lo.abs())))
                        .collect();
                    let top = tops.iter().copied().fold(0.0, f64::max);
                    tops.iter().filter(|t| **t > 0.0).map(|t| (top / t).ln()).sum::<f64>() / tops.len() as f64
                };
                done.iter().map(one).sum::<f64>()
            };
            let (was, is) = (unequal(&stats_before), unequal(&stats(&graph, &after, &images)));
            assert!(is < 0.7 * was, "{id} {activation:?}: {was} to {is}");
        }
    }
}
