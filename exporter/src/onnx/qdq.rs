//! An int8 network as ONNX bytes: QuantizeLinear/DequantizeLinear pairs placed as ONNX Runtime fuses
//! them. Every convolution reads and writes dequantised integers (QLinearConv), so does every residual
//! sum (QLinearAdd) and global pooling (QLinearGlobalAveragePool); the classifier gives f32 logits from
//! its 32-bit sums (QGemm without output scale), which loses nothing.
//!
//! Sizes matter here (a depthwise channel has 9 weights): zero points that default are left out where
//! ONNX Runtime fuses without them, equal ones are shared, inner shapes are not declared.

use crate::onnx::nodes::{Describe, Emitter, value_name};
use crate::onnx::proto::{DataType, f32_bytes, initializer, int};
use gtn_core::Result;
use gtn_core::device::int8::ActivationType;
use gtn_core::ir::graph::{Graph, Node, NodeOp, ValueId};
use gtn_core::quant::layer::Int8Layer;
use gtn_core::quant::placement::Placement;
use gtn_core::quant::{Affine, Int8Network};
use std::collections::BTreeSet;

/// Writes an int8 network: input `image` f32 `[N, C, H, W]`, output `logits` f32 `[N, classes]`.
pub fn write(net: &Int8Network, describe: &Describe) -> Result<Vec<u8>> {
    write_exposing(net, describe, &[])
}

/// Does what [`write`] does, with these inner values, dequantised, as further outputs.
pub fn write_exposing(net: &Int8Network, describe: &Describe, expose: &[ValueId]) -> Result<Vec<u8>> {
    let mut w = Writer { net, e: Emitter::new(&net.graph, describe.opset, DataType::Float) };
    w.pair(ValueId(0));
    for (i, node) in net.graph.nodes.iter().enumerate() {
        if net.absorbed.get(i) != Some(&true) {
            w.node(i, node)?;
        }
        w.pair(ValueId(i + 1));
    }
    let outputs = std::iter::once(&net.graph.output).chain(expose).map(|&v| (v, w.read(v)));
    let outputs: Vec<_> = outputs.collect();
    w.e.finish(describe, &outputs)
}

/// Writes the fp32 network, and beside it each of `units` (nodes) by itself: its fp32 inputs through their Q/DQ
/// pairs, the layer as in `net`, its output through its pair. The outputs are the logits, then for each unit
/// its fp32 and its own int8 value.
pub fn write_isolated(net: &Int8Network, describe: &Describe, units: &[usize]) -> Result<Vec<u8>> {
    let graph = &net.graph;
    let placement = Placement::of(graph);
    let mut w = Writer { net, e: Emitter::new(graph, describe.opset, DataType::Float) };
    let fp32 = |v: ValueId| value_name(graph, v);
    let mut outputs = vec![(graph.output, fp32(graph.output))];
    let mut paired = BTreeSet::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        let mut inputs: Vec<String> = node.inputs.iter().map(|&v| fp32(v)).collect();
        inputs.extend(w.e.float_params(node, &net.weights)?);
        w.e.emit(node, inputs, fp32(ValueId(i + 1)));
    }
    for (&i, node) in units.iter().filter_map(|i| Some((i, graph.nodes.get(*i)?))) {
        let mut inputs = Vec::new();
        for &v in &node.inputs {
            if paired.insert(v) {
                w.pair_of(v, &fp32(v));
            }
            inputs.push(dequantised(net, v, &fp32(v)));
        }
        match net.layers.get(&i) {
            Some(layer) => inputs.extend(w.int8_params(node, layer, ".int8")),
            None => inputs.extend(w.e.param_names(node)),
        }
        let renamed = |n: &Node| Node { name: format!("{}.own", n.name), ..n.clone() };
        let mut at = format!("{}.own", node.name);
        w.e.emit(&renamed(node), inputs, at.clone());
        let site = placement.output(i);
        if let Some((j, act)) = site.0.checked_sub(1).and_then(|j| Some((j, graph.nodes.get(j)?)))
            && j != i
            && net.absorbed.get(j) != Some(&true)
        {
            let after = format!("{}.own", act.name);
            w.e.emit(&renamed(act), vec![at], after.clone());
            at = after;
        }
        w.pair_of(site, &at);
        outputs.push((site, fp32(site)));
        outputs.push((site, dequantised(net, site, &at)));
    }
    w.e.finish(describe, &outputs)
}

struct Writer<'a> {
    net: &'a Int8Network,
    e: Emitter<'a>,
}

/// Where a reader finds a value whose float form is `name`.
fn dequantised(net: &Int8Network, value: ValueId, name: &str) -> String {
    if net.affine(value).is_some() { format!("{name}.dq") } else { name.to_owned() }
}

impl Writer<'_> {
    fn node(&mut self, i: usize, node: &Node) -> Result<()> {
        let mut inputs: Vec<String> = node.inputs.iter().map(|&v| self.read(v)).collect();
        match self.net.layers.get(&i) {
            Some(layer) => inputs.extend(self.int8_params(node, layer, "")),
            None => inputs.extend(self.e.float_params(node, &self.net.weights)?),
        }
        self.e.emit(node, inputs, wire(self.net, ValueId(i + 1)));
        Ok(())
    }

    /// Where a reader finds a value.
    fn read(&self, value: ValueId) -> String {
        dequantised(self.net, value, &wire(self.net, value))
    }

    /// The Q/DQ pair behind a value, if one stands there.
    fn pair(&mut self, value: ValueId) {
        self.pair_of(value, &wire(self.net, value));
    }

    /// The same for a value that goes by another name.
    fn pair_of(&mut self, value: ValueId, name: &str) {
        let Some(affine) = self.net.affine(value) else { return };
        let (quantised, dequantised) = (format!("{name}.q"), format!("{name}.dq"));
        let scale = self.scale(affine);
        let zero = self.zero_point(affine);
        let with = |input: String| vec![input, scale.clone(), zero.clone()];
        self.e.push("QuantizeLinear", "", with(name.to_owned()), quantised.clone(), vec![]);
        self.e.push("DequantizeLinear", "", with(quantised), dequantised, vec![]);
    }

    /// Equal scales are one constant, named for their bits.
    fn scale(&mut self, affine: &Affine) -> String {
        let name = format!("s{:x}", affine.scale.to_bits());
        self.e.shared(initializer(&name, DataType::Float, &[], f32_bytes(&[affine.scale])));
        name
    }

    fn zero_point(&mut self, affine: &Affine) -> String {
        let name = format!("z{}", affine.zero_point);
        let kind = match self.net.scheme.activations {
            ActivationType::Uint8 => DataType::Uint8,
            ActivationType::Int8 | ActivationType::Int8Symmetric => DataType::Int8,
        };
        // Two's complement: the low byte is right for both types.
        let byte = affine.zero_point.to_le_bytes().into_iter().take(1).collect();
        self.e.shared(initializer(&name, kind, &[], byte));
        name
    }

    /// Dequantised weight and bias; `suffix` keeps their names apart from fp32 ones.
    fn int8_params(&mut self, node: &Node, layer: &Int8Layer, suffix: &str) -> [String; 2] {
        let graph = &self.net.graph;
        let shape = graph.node_params(node).into_iter().next().map(|p| p.shape).unwrap_or_default();
        let per_channel = self.net.scheme.per_channel;
        let scales: Vec<usize> = if per_channel { vec![layer.scales.len()] } else { vec![] };
        let axis = if per_channel { vec![int("axis", 0)] } else { vec![] };
        let name = |what: &str| format!("{}.{what}{suffix}", node.name);
        let weight = layer.weight.iter().map(|&q| q as u8).collect();
        let bias = layer.bias.iter().flat_map(|q| q.to_le_bytes()).collect();
        let e = &mut self.e;
        e.constant(initializer(&name("weight"), DataType::Int8, &shape, weight));
        e.constant(initializer(&name("w"), DataType::Float, &scales, f32_bytes(&layer.scales)));
        e.constant(initializer(&name("bias"), DataType::Int32, &[layer.bias.len()], bias));
        e.constant(initializer(&name("b"), DataType::Float, &scales, f32_bytes(&layer.bias_scales)));
        let mut inputs = vec![name("weight"), name("w")];
        // ONNX Runtime makes a QGemm only of a Gemm whose weights have a zero point.
        if matches!(node.op, NodeOp::Linear { .. }) {
            let zeros = format!("z.{}", layer.scales.len());
            e.shared(initializer(&zeros, DataType::Int8, &scales, vec![0; layer.scales.len()]));
            inputs.push(zeros);
        }
        e.push("DequantizeLinear", "", inputs, name("weight.dq"), axis.clone());
        e.push("DequantizeLinear", "", vec![name("bias"), name("b")], name("bias.dq"), axis);
        [name("weight.dq"), name("bias.dq")]
    }
}

/// A value's name; an operator whose activation is absorbed writes the activation's.
fn wire(net: &Int8Network, value: ValueId) -> String {
    let graph: &Graph = &net.graph;
    let takes =
        |(i, n): (usize, &Node)| net.absorbed.get(i) == Some(&true) && n.inputs.first() == Some(&value);
    let after = graph.nodes.iter().enumerate().skip(value.0).find(|&(i, n)| takes((i, n)));
    value_name(graph, after.map_or(value, |(i, _)| ValueId(i + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::device::int8::Scheme;
    use gtn_core::ir::arch::{Activation, ArchSpec, Input};
    use gtn_core::ir::fold;
    use gtn_core::ir::random_weights;
    use gtn_core::nets::pool;
    use gtn_core::nets::zoo;
    use gtn_core::quant::Range;
    use gtn_run::onnx::OnnxModel;
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    const SCHEME: Scheme = Scheme { activations: ActivationType::Uint8, weight_bits: 8, per_channel: true };

    fn net(spec: &ArchSpec, scheme: &Scheme, range: Range, fp32: &[&str]) -> Int8Network {
        let graph = Graph::lower(spec).unwrap();
        let (graph, weights) =
            fold::fold_batch_norm(&graph, &random_weights::random_weights(&graph, 1)).unwrap();
        let ranges = vec![Some(range); graph.nodes.len() + 1];
        let fp32: BTreeSet<String> = fp32.iter().map(|n| (*n).to_owned()).collect();
        Int8Network::build(&graph, &weights, scheme, &ranges, &fp32).unwrap()
    }

    fn read(net: &Int8Network) -> (usize, OnnxModel) {
        let metadata = BTreeMap::new();
        let describe = Describe { name: "net", opset: 17, metadata: &metadata };
        let bytes = write(net, &describe).unwrap();
        assert_eq!(bytes, write(net, &describe).unwrap(), "the same input gives the same bytes");
        (bytes.len(), OnnxModel::parse(&bytes, Path::new("m.onnx")).unwrap())
    }

    #[test]
    fn relus_go_where_saturation_does_their_work() {
        let input = Input { channels: 3, height: 32, width: 32 };
        let spec = zoo::named("mobilenetv2", input, 100).unwrap().unwrap();
        let (bytes, m) = read(&net(&spec, &SCHEME, Range { lo: 0.0, hi: 6.0 }, &[]));
        let counts = m.op_counts();
        assert_eq!((counts["Conv"], counts["Add"], counts["Gemm"]), (52, 10, 1));
        assert_eq!((counts.get("Clip"), counts.get("Relu")), (None, None));
        // A weight and a bias each, and a pair behind the image and every operator but the classifier.
        assert_eq!(counts["DequantizeLinear"] - counts["QuantizeLinear"], 2 * 53);
        assert_eq!(counts["QuantizeLinear"], 1 + 52 + 10 + 2);
        let fp32 = fold::fold_graph(&Graph::lower(&spec).unwrap());
        let fp32: usize = fp32.params().iter().map(|p| 4 * p.shape.iter().product::<usize>()).sum();
        assert!(bytes < fp32 * 30 / 100, "{bytes} of {fp32}");

        // Beyond 6, or with zero in the middle of the integers, the Clip has work to do.
        let (_, m) = read(&net(&spec, &SCHEME, Range { lo: 0.0, hi: 8.0 }, &[]));
        assert_eq!(m.op_counts()["Clip"], 35);
        let symmetric = Scheme { activations: ActivationType::Int8Symmetric, ..SCHEME };
        let (_, m) = read(&net(&spec, &symmetric, Range { lo: 0.0, hi: 6.0 }, &[]));
        assert_eq!(m.op_counts()["Clip"], 35);
    }

    #[test]
    fn what_is_kept_in_fp32_has_fp32_weights() {
        let input = Input { channels: 1, height: 28, width: 28 };
        let mut spec = pool::student("mbv2-mini:d111-k333-e333", input, 10).unwrap();
        let range = Range { lo: 0.0, hi: 6.0 };
        let (_, all) = read(&net(&spec, &SCHEME, range, &[]));
        let (_, m) = read(&net(&spec, &SCHEME, range, &["stages.0.0.project.conv"]));
        let dequantised = |m: &OnnxModel| m.op_counts()["DequantizeLinear"];
        assert_eq!(dequantised(&all) - dequantised(&m), 2);
        let reads = m.nodes.iter().find(|n| n.name == "stages.0.0.project.conv").unwrap();
        assert_eq!(
            reads.inputs,
            ["stages.0.0.depthwise.act.dq", "stages.0.0.project.conv.weight", "stages.0.0.project.conv.bias"]
        );
        // An activation without an int8 form stands between two pairs.
        for block in spec.stages.iter_mut().flat_map(|s| &mut s.blocks) {
            (block.activation, block.se) = (Activation::HardSwish, Some(4));
        }
        let (_, m) = read(&net(&spec, &SCHEME, range, &[]));
        let swish = m.nodes.iter().find(|n| n.op_type == "HardSwish").unwrap();
        assert!(swish.inputs[0].ends_with("conv.dq"), "{swish:?}");
    }
}
