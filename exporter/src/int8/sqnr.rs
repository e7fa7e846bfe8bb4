//! Signal-to-quantisation-noise ratio, layer by layer: what each loses by itself, with fp32 inputs, and
//! what has gathered behind it. The first names the culprit, the second shows whether it matters.

use crate::int8::calibration::Calibration;
use crate::lanes::{Feed, values};
use crate::onnx::nodes::Describe;
use crate::onnx::qdq;
use gtn_core::data::ImageSet;
use gtn_core::data::split::stratified;
use gtn_core::ir::graph::{NodeOp, ValueId};
use gtn_core::quant::Int8Network;
use gtn_core::quant::placement::{Placement, quantisable};
use gtn_core::{Precision, Result};
use serde::Serialize;

/// Images the ratios are taken over.
const IMAGES: usize = 64;

/// This is one layer's loss.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerNoise {
    /// Node.
    pub name: String,
    /// `conv`, `depthwise`, `linear`, `add`, ...
    pub op: &'static str,
    /// `int8` or `fp32`.
    pub precision: Precision,
    /// Of the layer alone, dB; none for a layer in fp32.
    pub own_db: Option<f64>,
    /// Of all up to and with it, dB; none where its output is exact.
    pub total_db: Option<f64>,
}

#[derive(Default, Clone, Copy)]
struct Noise {
    signal: f64,
    own: f64,
    total: f64,
}

/// Measures every layer's loss on some calibration images, and returns it in network order.
pub fn by_layer(
    net: &Int8Network,
    calibration: &Calibration,
    describe: &Describe,
) -> Result<Vec<LayerNoise>> {
    let placement = Placement::of(&net.graph);
    let units: Vec<usize> = (0..net.graph.nodes.len())
        .filter(|&i| net.graph.nodes.get(i).is_some_and(|n| quantisable(&n.op)))
        .collect();
    let sites: Vec<ValueId> = units.iter().map(|&i| placement.output(i)).collect();
    let alone = qdq::write_isolated(net, describe, &units)?;
    let together = qdq::write_exposing(net, describe, &sites)?;
    let few: ImageSet = calibration.images.subset(&stratified(
        &calibration.images.labels,
        calibration.images.classes,
        IMAGES,
        0,
    ));
    let feed = Feed { batch: 4, ..calibration.feed(&few) };
    let lanes = feed.run(&[&alone, &together], |noise: &mut Vec<Noise>, _, n, outputs| {
        noise.resize(units.len(), Noise::default());
        // The isolated model's outputs: logits, then (fp32, by itself) of each unit; the other's:
        // logits, then each unit.
        let [alone, together] = outputs else { return Ok(()) };
        let alone = alone.iter().skip(1).collect::<Vec<_>>();
        let together = together.iter().skip(1);
        for (k, ((noise, &site), total)) in noise.iter_mut().zip(&sites).zip(together).enumerate() {
            let (Some(fp32), Some(own)) = (alone.get(2 * k), alone.get(2 * k + 1)) else { continue };
            let len = n * net.graph.shape(site).iter().product::<usize>();
            let (fp32, own, total) = (values(fp32)?, values(own)?, values(total)?);
            for ((x, o), t) in fp32.iter().zip(own).zip(total).take(len) {
                let square = |e: f32| f64::from(e) * f64::from(e);
                noise.signal += square(*x);
                noise.own += square(o - x);
                noise.total += square(t - x);
            }
        }
        Ok(())
    })?;
    let mut sums = vec![Noise::default(); units.len()];
    for lane in &lanes {
        for (sum, part) in sums.iter_mut().zip(lane) {
            sum.signal += part.signal;
            sum.own += part.own;
            sum.total += part.total;
        }
    }
    let layer = |(&i, noise): (&usize, &Noise)| {
        let node = net.graph.nodes.get(i)?;
        let db = |noise_power: f64| {
            (noise_power > 0.0 && noise.signal > 0.0).then(|| 10.0 * (noise.signal / noise_power).log10())
        };
        let int8 = net.affine(placement.output(i)).is_some() || net.layers.contains_key(&i);
        let kept =
            matches!(node.op, NodeOp::Conv { .. } | NodeOp::Linear { .. }) && !net.layers.contains_key(&i);
        Some(LayerNoise {
            name: node.name.clone(),
            op: kind(&node.op),
            precision: if int8 && !kept { Precision::Int8 } else { Precision::Fp32 },
            own_db: db(noise.own),
            total_db: db(noise.total),
        })
    };
    Ok(units.iter().zip(&sums).filter_map(layer).collect())
}

/// Names the layer that loses most by itself: `NAME (depthwise, 21.3 dB)`.
pub fn worst(layers: &[LayerNoise]) -> Option<String> {
    let noisy = layers.iter().filter_map(|l| Some((l, l.own_db?)));
    let (layer, db) = noisy.min_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(format!("{} ({}, {db:.1} dB)", layer.name, layer.op))
}

fn kind(op: &NodeOp) -> &'static str {
    match op {
        NodeOp::Conv { groups, .. } if *groups > 1 => "depthwise",
        NodeOp::Conv { .. } => "conv",
        NodeOp::Linear { .. } => "linear",
        NodeOp::Add => "add",
        NodeOp::Scale => "scale",
        NodeOp::GlobalAvgPool => "pool",
        _ => "other",
    }
}
