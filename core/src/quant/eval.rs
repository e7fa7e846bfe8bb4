//! An int8 network computed as its definition says: integer sums without error, everything else in f64,
//! rounded half to even where a QuantizeLinear stands. Slow on purpose; ONNX Runtime's fused kernels
//! are tested against it. They scale in f32, so that a value that falls on the middle between two
//! integers may land on either.

use super::{Affine, Int8Network};
use crate::ir::eval;
use crate::ir::graph::{Node, NodeOp, ValueId};
use crate::{Error, Result};

/// A value of one image.
struct Value {
    /// Real values, after the Q/DQ pair where one stands.
    real: Vec<f32>,
    /// The integers, where one stands.
    integers: Option<(Vec<i32>, Affine)>,
}

/// Returns the logits of one normalised image `[C, H, W]`. It is an error if the image has another size.
pub fn run(net: &Int8Network, image: &[f32]) -> Result<Vec<f32>> {
    Ok(run_all(net, image)?.swap_remove(net.graph.output.0))
}

/// Returns every value of the graph (dequantised), indexed by [`ValueId`]. Fails as [`run`] does.
pub fn run_all(net: &Int8Network, image: &[f32]) -> Result<Vec<Vec<f32>>> {
    let want: usize = net.graph.shape(ValueId(0)).iter().product();
    if image.len() != want {
        return Err(Error::Failed(format!("image has {} values, wanted {want}", image.len())));
    }
    let exact: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
    let mut values = vec![quantised(&exact, net.affine(ValueId(0)))];
    for (i, node) in net.graph.nodes.iter().enumerate() {
        let exact = node_value(net, i, node, &values)?;
        values.push(quantised(&exact, net.affine(ValueId(i + 1))));
    }
    Ok(values.into_iter().map(|v| v.real).collect())
}

fn quantised(exact: &[f64], affine: Option<&Affine>) -> Value {
    match affine {
        None => Value { real: exact.iter().map(|&x| x as f32).collect(), integers: None },
        Some(a) => {
            let q: Vec<i32> = exact.iter().map(|&x| a.quantise(x)).collect();
            let real = q.iter().map(|&q| a.dequantise(q) as f32).collect();
            Value { real, integers: Some((q, *a)) }
        }
    }
}

fn node_value(net: &Int8Network, i: usize, node: &Node, values: &[Value]) -> Result<Vec<f64>> {
    let input = |k: usize| {
        let value = node.inputs.get(k).and_then(|v| values.get(v.0));
        value.ok_or_else(|| Error::Failed(format!("node `{}` lacks input {k}", node.name)))
    };
    let x = input(0)?;
    let shape = net.graph.shape(node.inputs[0]); // it has an input, as was just seen
    if net.absorbed.get(i) == Some(&true) {
        return Ok(x.real.iter().map(|&v| f64::from(v)).collect());
    }
    if let (Some(layer), Some((q, affine))) = (net.layers.get(&i), &x.integers) {
        let centred: Vec<f32> = q.iter().map(|q| (q - affine.zero_point) as f32).collect();
        // Integers below 2^24 are exact in f32, their products and sums in f64.
        let weight: Vec<f32> = layer.weight.iter().map(|&w| f32::from(w)).collect();
        let sums = match node.op {
            NodeOp::Conv { kernel, stride, groups, .. } => {
                // What is padded is 0, which the zero point stands for: 0 when centred.
                let before = node.op.padding(shape).map(|p| p.0);
                let window = eval::Window { kernel, stride, groups, before };
                eval::conv_sums(&centred, shape, &weight, node.shape, window)
            }
            _ => weight.chunks(centred.len().max(1)).map(|row| eval::dot(row, &centred)).collect(),
        };
        let plane = sums.len() / layer.bias.len().max(1);
        let scaled = sums.chunks(plane.max(1)).zip(&layer.bias).enumerate().flat_map(|(c, (sums, &bias))| {
            let scale = f64::from(affine.scale) * f64::from(layer.scale(c));
            sums.iter().map(move |s| (s + f64::from(bias)) * scale)
        });
        return Ok(scaled.collect());
    }
    let other = node.inputs.get(1).and_then(|v| values.get(v.0));
    let wide = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    match (&node.op, other) {
        (NodeOp::Add, Some(y)) => Ok(wide(&x.real).iter().zip(wide(&y.real)).map(|(a, b)| a + b).collect()),
        (NodeOp::GlobalAvgPool, _) => {
            let [_, h, w] = shape;
            Ok(wide(&x.real).chunks(h * w).map(|c| c.iter().sum::<f64>() / (h * w) as f64).collect())
        }
        _ => {
            let other = other.map(|v| v.real.as_slice());
            Ok(wide(&eval::node_value(node, &x.real, shape, other, &net.weights)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Range;
    use super::*;
    use crate::device::int8::{ActivationType, Scheme};
    use crate::ir::arch::Input;
    use crate::ir::fold;
    use crate::ir::graph::Graph;
    use crate::ir::random_weights;
    use crate::nets::zoo;
    use std::collections::BTreeSet;

    /// With ranges that fit, int8 is near fp32 (12 dB is a quarter of the signal: fifty random layers
    /// amplify what each loses), and finer weights are nearer.
    #[test]
    fn near_fp32_and_nearer_with_more_bits() {
        let input = Input { channels: 3, height: 8, width: 8 };
        for name in ["resnet8", "mobilenetv2", "mobilenetv3-small", "efficientnet-lite0"] {
            let graph = Graph::lower(&zoo::named(name, input, 10).unwrap().unwrap()).unwrap();
            let (graph, weights) =
                fold::fold_batch_norm(&graph, &random_weights::random_weights(&graph, 5)).unwrap();
            let image = random_weights::random_image(&graph, 6);
            let fp32 = eval::run_all(&graph, &weights, &image).unwrap();
            let ranges = fp32.iter().map(|v| {
                let fold = v.iter().fold((0.0f32, 0.0f32), |(lo, hi), &x| (lo.min(x), hi.max(x)));
                Some(Range { lo: fold.0, hi: fold.1 })
            });
            let ranges: Vec<_> = ranges.collect();
            let noise = |bits: u32, fp32_layers: &BTreeSet<String>| {
                let scheme =
                    Scheme { activations: ActivationType::Uint8, weight_bits: bits, per_channel: true };
                let net = Int8Network::build(&graph, &weights, &scheme, &ranges, fp32_layers).unwrap();
                let got = run(&net, &image).unwrap();
                let want = &fp32[graph.output.0];
                let square = |it: &mut dyn Iterator<Item = f32>| it.map(|x| f64::from(x * x)).sum::<f64>();
                let e = square(&mut want.iter().zip(&got).map(|(a, b)| a - b));
                10.0 * (square(&mut want.iter().copied()) / e).log10()
            };
            let none = BTreeSet::new();
            let (eight, seven, four) = (noise(8, &none), noise(7, &none), noise(4, &none));
            assert!(eight > 12.0 && eight > four && seven > four, "{name}: {eight} {seven} {four} dB");
            let all: BTreeSet<String> = graph.nodes.iter().map(|n| n.name.clone()).collect();
            assert!(noise(8, &all) > 100.0, "{name}: all in fp32 is fp32");
        }
    }
}
