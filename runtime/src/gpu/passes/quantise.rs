//! Operators between DequantizeLinear and QuantizeLinear become operators of the integers, as ONNX Runtime's fused operators
//! on the CPU (MLAS, x86-64 with AVX2) compute them: products first, each by itself ([`products`]); then, with the
//! QuantizeLinear behind them ([`take_in`]), sums, products of two values, means of planes and largest values.

use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::graph::{Affine, Graph, Node, Reads, ValueId};
use crate::gpu::ir::op::{
    BinaryOp, IntegerConv, Op, QuantisedMean, QuantisedProduct, QuantisedSum, Requantise, Scales,
};
use crate::gpu::ir::quantised::Quantised;
use crate::gpu::ir::window::{Groups, Window};
use crate::gpu::passes::told;

/// Of a plane whose sum is exact in 32 bits.
const MOST_PLACES: usize = 1 << 22;

/// Makes every Conv and Gemm of dequantised bytes one of the bytes: input per tensor, constant weights per tensor or output
/// channel, and a bias of integers of scale input * weight, or none.
pub fn products(graph: &mut Graph) -> Result<(), String> {
    for mut node in graph.take_nodes() {
        if let Some((op, reads)) = product(graph, &node).map_err(told(&node))? {
            (node.op, node.reads) = (Op::IntegerConv(op), reads);
        }
        graph.push(node)?;
    }
    Ok(())
}

/// A product's operator and what it reads, where it is one of integers.
fn product(graph: &Graph, node: &Node) -> Result<Option<(IntegerConv, Reads)>, String> {
    let (window, groups) = match &node.op {
        Op::Conv(conv) => (conv.window.clone(), conv.groups),
        // A 1x1 convolution of 1x1 images.
        Op::Gemm(g) if !g.trans_a && g.trans_b && g.alpha == 1.0 && g.beta == 1.0 => {
            if g.c_strides.is_some_and(|[row, _]| row != 0) {
                return Ok(None);
            }
            (Window::POINT, Groups { groups: 1, cg: g.size.depth, mg: g.size.columns })
        }
        _ => return Ok(None),
    };
    let m = groups.outputs();
    let affine = |id: ValueId| graph.value(id).map(|v| v.affine.as_ref());
    let (Some(xa), Some(wa)) = (affine(node.read(0)?)?, affine(node.read(1)?)?) else { return Ok(None) };
    let (&[x_scale], &[x_zero]) = (&xa.scales[..], &xa.zero_points[..]) else { return Ok(None) };
    let per_channel = wa.scales.len() == 1 || (wa.axis == 0 && wa.scales.len() == m);
    let (x, w) = (graph.value(xa.integers)?, graph.value(wa.integers)?);
    let bytes = [x, w].iter().all(|v| matches!(v.dtype, DType::U8 | DType::I8));
    if !per_channel || !bytes || w.constant.is_none() {
        return Ok(None);
    }
    let scales: Vec<f32> = spread(&wa.scales, m).into_iter().map(|s| s * x_scale).collect();
    let bias = match node.reads.get(2).copied().flatten() {
        None => None,
        Some(id) => match affine(id)?.filter(|b| integer_bias(b, &scales)) {
            Some(b) => Some(b.integers),
            None => return Ok(None),
        },
    };
    let zero_points = spread(&wa.zero_points, m);
    let op = IntegerConv { window, groups, x_zero, scales, zero_points, requantise: None };
    Ok(Some((op, vec![Some(xa.integers), Some(wa.integers), bias])))
}

fn spread<T: Copy>(values: &[T], m: usize) -> Vec<T> {
    values.iter().copied().cycle().take(m).collect()
}

/// Its scale is the products', as ONNX Runtime wants it (it does not look closer than this either).
fn integer_bias(b: &Affine, scales: &[f32]) -> bool {
    let close = |(a, b): (&f32, f32)| (a - b).abs() <= 1e-5 * a.abs();
    b.zero_points.iter().all(|&z| z == 0) && scales.iter().zip(spread(&b.scales, scales.len())).all(close)
}

/// Lets the operator before a QuantizeLinear write its integers, where it can, and returns whether it does.
pub fn take_in(graph: &mut Graph, quantize: &Node, scales: &Scales) -> Result<bool, String> {
    let Some((scale, zero)) = scales.one() else { return Ok(false) };
    let dtype = graph.value(quantize.write)?.dtype;
    let Some((lo, hi)) = dtype.range().filter(|_| matches!(dtype, DType::U8 | DType::I8)) else {
        return Ok(false);
    };
    let Some((at, before)) = graph.sole_node(quantize.read(0)?)? else { return Ok(false) };
    if let Op::IntegerConv(IntegerConv { requantise: None, .. }) = before.op {
        if let Op::IntegerConv(conv) = &mut graph.node_mut(at)?.op {
            conv.requantise = Some(Requantise { zero, lo, hi });
            conv.scales.iter_mut().for_each(|s| *s /= scale);
        }
        graph.absorb(at, quantize)?;
        return Ok(true);
    }
    let Some(to) = Quantised::new(dtype, scale, zero) else { return Ok(false) };
    let Some((op, reads)) = of_integers(graph, before, to)? else { return Ok(false) };
    let node = graph.node_mut(at)?;
    (node.op, node.reads) = (op, reads);
    // What the operator reads from memory is made of both.
    node.origin = quantize.origin;
    graph.absorb(at, quantize)?;
    Ok(true)
}

/// What an operator of dequantised bytes becomes where its result is quantised, and what it reads then.
fn of_integers(graph: &Graph, node: &Node, to: Quantised) -> Result<Option<(Op, Reads)>, String> {
    let mut from = Vec::new();
    for &id in node.reads.iter().flatten() {
        let Some(affine) = &graph.value(id)?.affine else { return Ok(None) };
        match Quantised::of(graph, affine)?.filter(|q| q.dtype == to.dtype) {
            Some(q) => from.push((affine.integers, q)),
            None => return Ok(None),
        }
    }
    let shape = |id: ValueId| graph.value(id).map(|v| &v.shape[..]);
    let op = match (&node.op, &from[..]) {
        (Op::Binary(sum), &[(a, qa), (b, qb)]) if sum.op == BinaryOp::Add => {
            let whole = shape(node.write)?;
            if shape(a)? != whole || shape(b)? != whole || !to.spares(sum.activation) {
                return Ok(None);
            }
            Op::QuantisedSum(QuantisedSum::of([qa, qb], to))
        }
        (Op::Binary(product), &[(_, qa), (_, qb)]) if product.op == BinaryOp::Mul => {
            if !to.spares(product.activation) {
                return Ok(None);
            }
            Op::QuantisedProduct(QuantisedProduct::of([qa, qb], to))
        }
        (Op::ReduceMean(mean), &[(a, q)]) if mean.of_planes(shape(node.read(0)?)?) => {
            let count: usize = shape(a)?.iter().skip(2).product();
            if count > MOST_PLACES {
                return Ok(None);
            }
            let scale = q.scale / (to.scale * count as f32);
            Op::QuantisedMean(QuantisedMean { count, x_zero: q.zero, scale, to: to.requantise() })
        }
        (Op::MaxPool(pool), &[(_, q)]) if q == to => Op::MaxPool(pool.clone()),
        _ => return Ok(None),
    };
    Ok(Some((op, from.into_iter().map(|(id, _)| Some(id)).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::ops::test_model::{encode, graph, ints, node, raw, value};
    use crate::onnx::proto::{GraphProto, NodeProto};

    /// x and z of images [1, 4, 2, 2], quantised to uint8 of scale 0.5 and zero point 0 and back (`x.dq`, `z.dq`), then
    /// `nodes`, then QuantizeLinear and DequantizeLinear of `r`, of the scale `y.s`; `w.dq` are dequantised weights.
    fn model(nodes: &[NodeProto], shape: &[usize]) -> Vec<u8> {
        let scale = |name: &str, v: f32| raw(name, &[], 1, v.to_le_bytes().to_vec());
        let mut all = vec![node("DequantizeLinear", &["w", "s", "wz"], "w.dq")];
        for name in ["x", "z"] {
            let [q, dq] = ["q", "dq"].map(|part| format!("{name}.{part}"));
            all.push(node("QuantizeLinear", &[name, "s", "zero"], &q));
            all.push(node("DequantizeLinear", &[&q, "s", "zero"], &dq));
        }
        all.extend_from_slice(nodes);
        all.push(node("QuantizeLinear", &["r", "y.s", "zero"], "r.q"));
        all.push(node("DequantizeLinear", &["r.q", "y.s", "zero"], "y"));
        encode(GraphProto {
            node: all,
            initializer: vec![
                scale("s", 0.5),
                scale("y.s", 2.0),
                raw("zero", &[], 2, vec![0]),
                raw("wz", &[], 3, vec![0]),
                raw("w", &[4, 4, 1, 1], 3, vec![1; 16]),
            ],
            input: vec![value("x", &[1, 4, 2, 2]), value("z", &[1, 4, 2, 2])],
            output: vec![value("y", shape)],
            ..Default::default()
        })
    }

    /// The node before the last, which dequantises.
    fn made(nodes: &[NodeProto], shape: &[usize]) -> Node {
        let mut nodes = graph(&model(nodes, shape)).nodes;
        assert!(matches!(nodes.pop().unwrap().op, Op::Dequantize(_)));
        nodes.pop().unwrap()
    }

    #[test]
    fn a_product_of_bytes_is_computed_on_them_and_quantised() {
        let found = made(&[node("Conv", &["x.dq", "w.dq"], "r")], &[1, 4, 2, 2]);
        assert_eq!(found.label, "Conv+QuantizeLinear");
        let Op::IntegerConv(conv) = found.op else { panic!("{:?}", found.op) };
        assert_eq!(conv.requantise, Some(Requantise { zero: 0, lo: 0, hi: 255 }));
        assert_eq!((conv.scales, conv.zero_points), (vec![0.5 * 0.5 / 2.0; 4], vec![0; 4]));
        assert_eq!(found.reads.len(), 5, "x, weights, no bias, scales, zero points");
    }

    #[test]
    fn weights_that_are_not_constant_are_multiplied_as_floats() {
        let kernel = vec![ints("kernel_shape", &[2, 2])];
        let pool = NodeProto { attribute: kernel, ..node("MaxPool", &["z.dq"], "p") };
        let found = made(&[pool, node("Conv", &["x.dq", "p"], "r")], &[1, 1, 2, 2]);
        assert!(matches!(found.op, Op::Quantize(_)), "{:?}", found.op);
    }

    #[test]
    fn a_sum_with_an_activation_that_the_bytes_do_already_is_one_of_bytes() {
        let sum = node("Add", &["x.dq", "z.dq"], "a");
        let found = made(&[sum.clone(), node("Relu", &["a"], "r")], &[1, 4, 2, 2]);
        assert_eq!(found.label, "Add+Relu+QuantizeLinear");
        let Op::QuantisedSum(of) = found.op else { panic!("{:?}", found.op) };
        assert_eq!((of.x, of.w, of.fixed, of.lo, of.hi), (0.25, 0.25, 0.0, 0, 255));
        let found = made(&[sum, node("HardSwish", &["a"], "r")], &[1, 4, 2, 2]);
        assert!(matches!(found.op, Op::Quantize(_)), "{:?}", found.op);
    }

    #[test]
    fn a_product_of_two_values_is_one_of_bytes() {
        let mean = node("GlobalAveragePool", &["z.dq"], "m");
        let nodes = [
            mean,
            node("QuantizeLinear", &["m", "s", "zero"], "m.q"),
            node("DequantizeLinear", &["m.q", "s", "zero"], "m.dq"),
            node("Mul", &["x.dq", "m.dq"], "r"),
        ];
        let found = made(&nodes, &[1, 4, 2, 2]);
        assert_eq!(found.label, "Mul+QuantizeLinear");
        let to = Requantise { zero: 0, lo: 0, hi: 255 };
        let wanted = QuantisedProduct { x_zero: 0, w_zero: 0, ratio: 0.5 * 0.5 / 2.0, to };
        assert_eq!(found.op, Op::QuantisedProduct(wanted));
        let found = made(&[node("Div", &["x.dq", "z.dq"], "r")], &[1, 4, 2, 2]);
        assert!(matches!(found.op, Op::Quantize(_)), "{:?}", found.op);
    }

    #[test]
    fn a_mean_of_planes_is_one_of_bytes() {
        let found = made(&[node("GlobalAveragePool", &["x.dq"], "r")], &[1, 4, 1, 1]);
        let to = Requantise { zero: 0, lo: 0, hi: 255 };
        let wanted = QuantisedMean { count: 4, x_zero: 0, scale: 0.5 / (2.0 * 4.0), to };
        assert_eq!(found.op, Op::QuantisedMean(wanted));
    }

    #[test]
    fn the_largest_of_bytes_is_one_of_them_where_the_scale_stays() {
        let nodes = [
            NodeProto { attribute: vec![ints("kernel_shape", &[1, 1])], ..node("MaxPool", &["x.dq"], "p") },
            node("QuantizeLinear", &["p", "s", "zero"], "p.q"),
            node("DequantizeLinear", &["p.q", "s", "zero"], "r"),
        ];
        let graph = graph(&model(&nodes, &[1, 4, 2, 2]));
        let pool = graph.nodes.iter().find(|n| matches!(n.op, Op::MaxPool(_))).unwrap();
        assert_eq!(pool.label, "MaxPool+QuantizeLinear");
        assert_eq!(graph.value(pool.write).unwrap().dtype, DType::U8);
    }
}
