//! The reference evaluator: every operator written plainly, sums in f64. Slow on purpose; it is the
//! oracle that the trainer, the exporter and both runtimes are tested against.

use crate::ir::arch::{Activation, NormEpsilon};
use crate::ir::graph::{Graph, Node, NodeOp, Shape, ValueId};
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
            let window = Window { kernel, stride, groups, before: node.op.padding(shape).map(|p| p.0) };
            conv(x, shape, tensor("weight")?, bias, node.shape, window)
        }
        NodeOp::BatchNorm { epsilon } => batch_norm(
            x,
            plane,
            epsilon,
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

fn batch_norm(
    x: &[f32],
    plane: usize,
    epsilon: NormEpsilon,
    [gamma, beta, mean, var]: [&[f32]; 4],
) -> Vec<f32> {
    let mut out = Vec::with_capacity(x.len());
    for (c, values) in x.chunks(plane).enumerate() {
        let scale = f64::from(gamma[c]) / (f64::from(var[c]) + epsilon.get()).sqrt();
        let shift = f64::from(beta[c]) - f64::from(mean[c]) * scale;
        out.extend(values.iter().map(|&v| (f64::from(v) * scale + shift) as f32));
    }
    out
}

/// How a convolution's window moves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) groups: usize,
    /// Rows of zeros above, columns of zeros on the left. How many are behind, the output's size says.
    pub(crate) before: [usize; 2],
}

fn conv(
    x: &[f32],
    shape: Shape,
    weight: &[f32],
    bias: Option<&[f32]>,
    out: Shape,
    window: Window,
) -> Vec<f32> {
    let mut sums = conv_sums(x, shape, weight, out, window);
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
    Window { kernel: k, stride, groups, before: [top, left] }: Window,
) -> Vec<f64> {
    let (per_group, out_per_group) = (cin / groups, cout / groups);
    let mut out = Vec::with_capacity(cout * oh * ow);
    for o in 0..cout {
        let first = o / out_per_group * per_group;
        let mut acc = vec![0.0; oh * ow];
        for i in 0..per_group {
            let channel = &x[(first + i) * h * w..][..h * w];
            for (ky, kx) in (0..k).flat_map(|y| (0..k).map(move |x| (y, x))) {
                let weight = f64::from(weight[((o * per_group + i) * k + ky) * k + kx]);
                for y in 0..oh {
                    let Some(row) = (y * stride + ky).checked_sub(top).filter(|&r| r < h) else { continue };
                    for x in 0..ow {
                        let Some(col) = (x * stride + kx).checked_sub(left).filter(|&c| c < w) else {
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
    use crate::ir::arch::Padding;
    use crate::ir::fold::fold_batch_norm;
    use crate::ir::graph::{IMAGE, Part, Role};
    use std::collections::BTreeMap;

    fn window(kernel: usize, stride: usize, groups: usize) -> Window {
        Window { kernel, stride, groups, before: [kernel / 2; 2] }
    }

    /// A 3x3 convolution, stride 2, on 3x3 ones: corner windows see 4 pixels.
    #[test]
    fn conv_padding_and_stride_by_hand() {
        let x = [1.0; 9];
        let out = conv(&x, [1, 3, 3], &[1.0; 9], Some(&[0.5]), [1, 2, 2], window(3, 2, 1));
        assert_eq!(out, [4.5, 4.5, 4.5, 4.5]);
        let centre = conv(&x, [1, 3, 3], &[1.0; 9], None, [1, 3, 3], window(3, 1, 1));
        assert_eq!(centre, [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
    }

    /// TensorFlow's SAME, 3x3, stride 2, rows 0, 3, 6, 9 of three equal columns: four rows have one of zeros behind
    /// them and none before, three columns have one on each side.
    #[test]
    fn uneven_padding_by_hand() {
        let op = |padding| NodeOp::Conv { out: 1, kernel: 3, stride: 2, groups: 1, bias: false, padding };
        let x: Vec<f32> = (0..12u8).map(|i| f32::from(i / 3 * 3)).collect();
        let weights = Weights(BTreeMap::from([("c.weight".to_owned(), vec![1.0; 9])]));
        let out = [Padding::Same, Padding::Symmetric].map(|padding| {
            let (name, inputs, part) = ("c".into(), vec![IMAGE], Part::Stem);
            let node = Node { name, op: op(padding), inputs, shape: [1, 2, 2], part };
            node_value(&node, &x, [1, 4, 3], None, &weights).unwrap()
        });
        // 2 columns in each window; rows 0 + 3 + 6 and 6 + 9, else 0 + 3 and 3 + 6 + 9.
        assert_eq!(out, [[18.0, 18.0, 30.0, 30.0], [6.0, 6.0, 36.0, 36.0]]);
    }

    /// A network like EfficientNet-Lite with MobileNetV3's head: the logits are those of PyTorch in f64, made of
    /// efficientnet_lite_pytorch's blocks (MBConvBlock, Conv2dDynamicSamePadding, BatchNorm2d of eps 1e-3).
    /// Sides 12 x 14 become 6 x 7 and 3 x 4: SAME is uneven in three of four halvings.
    #[test]
    fn same_padding_and_a_large_epsilon_as_pytorch() {
        let json = r#"{"name": "tiny", "input": {"channels": 3, "height": 12, "width": 14}, "classes": 3,
            "padding": "same", "norm_epsilon": 0.001,
            "stem": {"width": 4, "kernel": 3, "stride": 2, "activation": "relu6"},
            "stages": [{"blocks": [
                {"op": "inverted_residual", "kernel": 5, "hidden": 8, "width": 6, "stride": 2, "activation": "relu6"},
                {"op": "inverted_residual", "kernel": 3, "hidden": 12, "width": 6, "stride": 1, "activation": "relu6"}
            ]}],
            "head": {"conv": {"width": 8, "activation": "relu6"}, "hidden": {"width": 5, "activation": "hard_swish"}}}"#;
        let graph = Graph::lower(&serde_json::from_str(json).unwrap()).unwrap();
        let mut weights = Weights::default();
        for (k, spec) in graph.params().into_iter().enumerate() {
            let value = |j: usize| {
                let v = ((7 * j + 5 * k + j * j / 3) % 17) as f32 / 16.0 - 0.5;
                match spec.role {
                    Role::NormScale => v / 4.0 + 0.25,
                    Role::RunningVar => (1 + j % 3) as f32 / 64.0,
                    _ => v,
                }
            };
            weights.0.insert(spec.name.clone(), (0..spec.shape.iter().product()).map(value).collect());
        }
        let image: Vec<f32> =
            (0..3 * 12 * 14).map(|j| ((11 * j + j / 5) % 23) as f32 / 16.0 - 0.6875).collect();
        let (folded, folded_weights) = fold_batch_norm(&graph, &weights).unwrap();
        for (graph, weights) in [(graph, weights), (folded, folded_weights)] {
            let got = run(&graph, &weights, &image).unwrap();
            let worst =
                [0.3461772, -0.1238068, -0.8447368].iter().zip(&got).map(|(a, b): (&f32, _)| (a - b).abs());
            // f32's rounding of every value; an epsilon of 1e-5 would give 5e-3 to 1.4e-2.
            assert!(worst.fold(0.0, f32::max) < 1e-5, "{got:?}");
        }
    }

    #[test]
    fn groups_see_their_own_channels() {
        let x = [1.0, 10.0];
        let depthwise = conv(&x, [2, 1, 1], &[2.0, 3.0], None, [2, 1, 1], window(1, 1, 2));
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
        let out = batch_norm(&[3.0, 5.0], 2, NormEpsilon::default(), [&[2.0], &[1.0], &[3.0], &[4.0]]);
        assert!((out[0] - 1.0).abs() < 1e-6 && (out[1] - 3.0).abs() < 1e-5, "{out:?}");
    }
}
