//! The reference evaluator: every operator written plainly, sums in f64. Slow on purpose; it is the
//! oracle that the trainer, the exporter and both runtimes are tested against.

use crate::ir::arch::Activation;
use crate::ir::graph::{BN_EPSILON, Graph, Node, NodeOp, Shape, ValueId};
use crate::ir::weights::Weights;
use crate::{Error, Result};

/// Returns the logits of one image `[C, H, W]`, already normalised. It is an error if the image has another
/// size or a weight is missing.
pub fn run(graph: &Graph, weights: &Weights, image: &[f32]) -> Result<Vec<f32>> {
    let mut values = run_all(graph, weights, image)?;
    Ok(values.swap_remove(graph.output.0))
}

/// Returns every value of the graph, indexed by [`ValueId`]. Fails as [`run`] does.
pub fn run_all(graph: &Graph, weights: &Weights, image: &[f32]) -> Result<Vec<Vec<f32>>> {
    let want: usize = graph.shape(ValueId(0)).iter().product();
    if image.len() != want {
        return Err(Error::Failed(format!("image has {} values, wanted {want}", image.len())));
    }
    let mut values = vec![image.to_vec()];
    for node in &graph.nodes {
        let x = &values[node.inputs[0].0];
        let shape = graph.shape(node.inputs[0]);
        let other = node.inputs.get(1).map(|v| values[v.0].as_slice());
        values.push(node_value(node, x, shape, other, weights)?);
    }
    Ok(values)
}

/// Returns one node's value from its inputs' values.
pub(crate) fn node_value(
    node: &Node,
    x: &[f32],
    shape: Shape,
    other: Option<&[f32]>,
    w: &Weights,
) -> Result<Vec<f32>> {
    let tensor = |suffix: &str| w.get(&format!("{}.{suffix}", node.name));
    let other =
        || other.ok_or_else(|| Error::Failed(format!("node `{}` has one input, wanted 2", node.name)));
    let plane = shape[1] * shape[2];
    Ok(match node.op {
        NodeOp::Conv { kernel, stride, groups, bias, .. } => {
            let bias = if bias { Some(tensor("bias")?) } else { None };
            conv(x, shape, tensor("weight")?, bias, node.shape, kernel, stride, groups)
        }
        NodeOp::BatchNorm => batch_norm(
            x,
            plane,
            [tensor("weight")?, tensor("bias")?, tensor("running_mean")?, tensor("running_var")?],
        ),
        NodeOp::Activation(activation) => x.iter().map(|&v| activate(activation, v)).collect(),
        NodeOp::HardSigmoid => x.iter().map(|&v| hard_sigmoid(v)).collect(),
        NodeOp::Add => x.iter().zip(other()?).map(|(a, b)| a + b).collect(),
        NodeOp::Scale => {
            x.chunks(plane).zip(other()?).flat_map(|(c, &s)| c.iter().map(move |v| v * s)).collect()
        }
        NodeOp::MaxPool => max_pool(x, shape, node.shape),
        NodeOp::GlobalAvgPool => x.chunks(plane).map(|c| (sum(c) / plane as f64) as f32).collect(),
        NodeOp::Flatten => x.to_vec(),
        NodeOp::Linear { .. } => {
            let rows = tensor("weight")?.chunks(x.len()).zip(tensor("bias")?);
            rows.map(|(row, &b)| (dot(row, x) + f64::from(b)) as f32).collect()
        }
    })
}

fn sum(x: &[f32]) -> f64 {
    x.iter().map(|&v| f64::from(v)).sum()
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn hard_sigmoid(x: f32) -> f32 {
    (x / 6.0 + 0.5).clamp(0.0, 1.0)
}

fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Relu if x < 0.0 => 0.0,
        Activation::Relu => x, // NaN too, which max() would lose
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::HardSwish => x * hard_sigmoid(x),
    }
}

fn batch_norm(x: &[f32], plane: usize, [gamma, beta, mean, var]: [&[f32]; 4]) -> Vec<f32> {
    let mut out = Vec::with_capacity(x.len());
    for (c, values) in x.chunks(plane).enumerate() {
        let scale = f64::from(gamma[c]) / (f64::from(var[c]) + BN_EPSILON).sqrt();
        let shift = f64::from(beta[c]) - f64::from(mean[c]) * scale;
        out.extend(values.iter().map(|&v| (f64::from(v) * scale + shift) as f32));
    }
    out
}

#[allow(clippy::too_many_arguments)] // a convolution has this many numbers
fn conv(
    x: &[f32],
    shape: Shape,
    weight: &[f32],
    bias: Option<&[f32]>,
    out: Shape,
    k: usize,
    stride: usize,
    groups: usize,
) -> Vec<f32> {
    let mut sums = conv_sums(x, shape, weight, out, k, stride, groups);
    for (channel, &b) in sums.chunks_mut(out[1] * out[2]).zip(bias.unwrap_or_default()) {
        channel.iter_mut().for_each(|s| *s += f64::from(b));
    }
    sums.into_iter().map(|s| s as f32).collect()
}

/// Computes a convolution without bias, in f64: it is exact where inputs and weights are integers.
pub(crate) fn conv_sums(
    x: &[f32],
    [cin, h, w]: Shape,
    weight: &[f32],
    [cout, oh, ow]: Shape,
    k: usize,
    stride: usize,
    groups: usize,
) -> Vec<f64> {
    let (pad, per_group, out_per_group) = (k / 2, cin / groups, cout / groups);
    let mut out = Vec::with_capacity(cout * oh * ow);
    for o in 0..cout {
        let first = o / out_per_group * per_group;
        let mut acc = vec![0.0; oh * ow];
        for i in 0..per_group {
            let channel = &x[(first + i) * h * w..][..h * w];
            for (ky, kx) in (0..k).flat_map(|y| (0..k).map(move |x| (y, x))) {
                let weight = f64::from(weight[((o * per_group + i) * k + ky) * k + kx]);
                for y in 0..oh {
                    let Some(row) = (y * stride + ky).checked_sub(pad).filter(|&r| r < h) else { continue };
                    for x in 0..ow {
                        let Some(col) = (x * stride + kx).checked_sub(pad).filter(|&c| c < w) else {
                            continue;
                        };
                        acc[y * ow + x] += weight * f64::from(channel[row * w + col]);
                    }
                }
            }
        }
        out.extend(acc);
    }
    out
}

/// 3x3, stride 2, padding 1; padding never wins.
fn max_pool(x: &[f32], [c, h, w]: Shape, [_, oh, ow]: Shape) -> Vec<f32> {
    let mut out = Vec::with_capacity(c * oh * ow);
    for channel in x.chunks(h * w) {
        for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            let rows = (2 * oy).saturating_sub(1)..(2 * oy + 2).min(h);
            let cols = (2 * ox).saturating_sub(1)..(2 * ox + 2).min(w);
            let window = rows.flat_map(|r| channel[r * w..][cols.clone()].iter().copied());
            let larger = |most: f32, x: f32| if x > most || x.is_nan() { x } else { most };
            out.push(window.fold(f32::NEG_INFINITY, larger));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 3x3 convolution, stride 2, on 3x3 ones: corner windows see 4 pixels.
    #[test]
    fn conv_padding_and_stride_by_hand() {
        let x = [1.0; 9];
        let out = conv(&x, [1, 3, 3], &[1.0; 9], Some(&[0.5]), [1, 2, 2], 3, 2, 1);
        assert_eq!(out, [4.5, 4.5, 4.5, 4.5]);
        let centre = conv(&x, [1, 3, 3], &[1.0; 9], None, [1, 3, 3], 3, 1, 1);
        assert_eq!(centre, [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
    }

    #[test]
    fn groups_see_their_own_channels() {
        let x = [1.0, 10.0];
        let depthwise = conv(&x, [2, 1, 1], &[2.0, 3.0], None, [2, 1, 1], 1, 1, 2);
        assert_eq!(depthwise, [2.0, 30.0]);
    }

    #[test]
    fn activations_by_hand() {
        let at = |a, xs: [f32; 4]| xs.map(|x| activate(a, x));
        assert_eq!(at(Activation::Relu, [-1.0, 0.0, 1.0, 9.0]), [0.0, 0.0, 1.0, 9.0]);
        assert_eq!(at(Activation::Relu6, [-1.0, 0.0, 1.0, 9.0]), [0.0, 0.0, 1.0, 6.0]);
        for activation in [Activation::Relu, Activation::Relu6, Activation::HardSwish] {
            assert!(activate(activation, f32::NAN).is_nan(), "{activation:?}");
        }
        assert_eq!(at(Activation::HardSwish, [-4.0, 0.0, 3.0, 9.0]), [0.0, 0.0, 3.0, 9.0]);
    }

    #[test]
    fn max_pool_and_batch_norm_by_hand() {
        assert_eq!(max_pool(&[-1.0, -2.0, -3.0, -4.0], [1, 2, 2], [1, 1, 1]), [-1.0]);
        for at in 0..4 {
            let mut x = [-1.0, 2.0, -3.0, 4.0];
            x[at] = f32::NAN;
            assert!(max_pool(&x, [1, 2, 2], [1, 1, 1])[0].is_nan(), "{at}");
        }
        let out = batch_norm(&[3.0, 5.0], 2, [&[2.0], &[1.0], &[3.0], &[4.0]]);
        assert!((out[0] - 1.0).abs() < 1e-6 && (out[1] - 3.0).abs() < 1e-5, "{out:?}");
    }
}
