//! Operators between DequantizeLinear and QuantizeLinear, written for rten so that they round as ONNX Runtime's fused ones
//! do (MLAS: QLinearConv, QGemm, QLinearMul, QLinearGlobalAveragePool).
//!
//! rten multiplies and adds dequantised floats, each rounded, and a result in the middle between two integers lands on
//! either; behind a mean of small planes whose scale stays, which is often right there, it does so as a rule. Here the
//! operators are given the integers themselves as floats, of scale 1: their products and sums are exact (below 2^24).
//! What comes out is multiplied by one number, the scales of what went in by the result's, and quantised with scale 1.

use super::rewrite::{FLOAT, ints};
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto};
use crate::onnx::shapes::Known;
use crate::onnx::{Constant, Numbers};
use prost::bytes::Bytes;
use std::collections::{HashMap, HashSet};

/// ONNX's element types.
const BYTES: [i32; 2] = [2, 3];
const INT32: i32 = 6;
/// Of a plane whose sum of bytes is exact in f32.
const MOST_PLACES: u64 = 1 << 16;

/// Writes the nodes anew; returns them and the constants that they read beside the graph's. `values` are those of
/// the graph, whose operators rten computes as `nodes`.
pub fn apply(
    nodes: Vec<NodeProto>,
    graph: &GraphProto,
    values: &HashMap<String, Known>,
) -> (Vec<NodeProto>, Vec<TensorProto>) {
    let mut readers: HashMap<&str, usize> = HashMap::new();
    let outputs = graph.output.iter().map(|o| &o.name);
    for name in nodes.iter().flat_map(|n| &n.input).chain(outputs.clone()) {
        *readers.entry(name).or_default() += 1;
    }
    let of = |op: &str, name: fn(&NodeProto) -> Option<&String>| -> HashMap<&str, &NodeProto> {
        let all = nodes.iter().filter(|n| n.op_type == op);
        all.filter_map(|n| Some((name(n)?.as_str(), n))).collect()
    };
    let mut integers = Integers {
        values,
        initializers: graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect(),
        dequantisers: of("DequantizeLinear", |n| n.output.first()),
        quantisers: of("QuantizeLinear", |n| n.input.first()),
        readers,
        done: HashMap::new(),
        written: Vec::new(),
        known: HashSet::new(),
        constants: Vec::new(),
    };
    for node in &nodes {
        let taken = match node.op_type.as_str() {
            "Conv" | "Gemm" => integers.product(node),
            "GlobalAveragePool" => integers.mean(node),
            "Mul" => integers.multiply(node),
            "QuantizeLinear" => integers.quantise(node),
            _ => None,
        };
        if taken.is_none() {
            integers.written.push(node.clone());
        }
    }
    let (mut written, constants) = (integers.written, integers.constants);
    // What was dequantised for these operators only.
    let read: HashSet<String> = written.iter().flat_map(|n| &n.input).chain(outputs).cloned().collect();
    written.retain(|n| n.op_type != "DequantizeLinear" || n.output.iter().any(|o| read.contains(o)));
    (written, constants)
}

struct Integers<'a> {
    values: &'a HashMap<String, Known>,
    initializers: HashMap<&'a str, &'a TensorProto>,
    /// By what they write.
    dequantisers: HashMap<&'a str, &'a NodeProto>,
    /// By what they read.
    quantisers: HashMap<&'a str, &'a NodeProto>,
    /// How many read a value, outputs among them.
    readers: HashMap<&'a str, usize>,
    /// Values that are in units of their QuantizeLinear, and the zero point that it has left to add.
    done: HashMap<String, Option<String>>,
    written: Vec<NodeProto>,
    /// Names that were given out.
    known: HashSet<String>,
    constants: Vec<TensorProto>,
}

/// A QuantizeLinear of one scale.
struct To<'a> {
    scale: f32,
    zero: i32,
    zero_name: Option<&'a str>,
    elem_type: i32,
}

impl<'a> Integers<'a> {
    /// Numbers of an initializer.
    fn numbers(&self, name: &str) -> Option<Numbers> {
        Constant::read(self.initializers.get(name)?).ok().map(|c| c.numbers)
    }

    /// Positive scales of the ordinary kind, of an initializer.
    fn scales(&self, node: &NodeProto) -> Option<Vec<f32>> {
        match self.numbers(node.given(1)?)? {
            Numbers::F32(v) if v.iter().all(|s| (1e-15..1e15).contains(s)) => Some(v),
            _ => None,
        }
    }

    fn one_scale(&self, node: &NodeProto) -> Option<f32> {
        match self.scales(node)?[..] {
            [scale] => Some(scale),
            _ => None,
        }
    }

    fn element(&self, name: &str) -> Option<i32> {
        self.values.get(name).map(|v| v.elem_type)
    }

    /// The DequantizeLinear behind an input, of bytes.
    fn bytes(&self, node: &NodeProto, i: usize) -> Option<&'a NodeProto> {
        let dequantiser = *self.dequantisers.get(node.given(i)?)?;
        BYTES.contains(&self.element(dequantiser.given(0)?)?).then_some(dequantiser)
    }

    /// The QuantizeLinear that alone reads what a node writes, to bytes.
    fn to(&self, node: &NodeProto) -> Option<To<'a>> {
        let y = node.output.first()?;
        let quantiser = *self.quantisers.get(y.as_str())?;
        let scale = self.one_scale(quantiser).filter(|_| self.readers.get(y.as_str()) == Some(&1))?;
        let zero_name = quantiser.given(2);
        let zero = match zero_name.map(|name| self.numbers(name)) {
            None => 0,
            Some(Some(Numbers::I32(v))) if v.len() == 1 => v.first().copied()?,
            Some(_) => return None,
        };
        let elem_type = self.element(quantiser.output.first()?).filter(|t| BYTES.contains(t))?;
        Some(To { scale, zero, zero_name, elem_type })
    }

    fn name(&mut self, of: &str, what: &str) -> String {
        let mut name = format!("{of}:{what}");
        while self.values.contains_key(&name) || self.known.contains(&name) {
            name.push(':');
        }
        self.known.insert(name.clone());
        name
    }

    fn constant(&mut self, of: &str, what: &str, dims: Vec<i64>, values: &[f32]) -> String {
        let name = self.name(of, what);
        let raw_data = Bytes::from_iter(values.iter().flat_map(|v| v.to_le_bytes()));
        let (data_type, own) = (FLOAT, name.clone());
        self.constants.push(TensorProto { name: own, dims, data_type, raw_data, ..Default::default() });
        name
    }

    fn node(&mut self, op: &str, input: &[&str], output: &str) -> Option<&mut NodeProto> {
        let input = input.iter().map(|&name| name.to_owned()).collect();
        let (op_type, output, name) = (op.to_owned(), vec![output.to_owned()], output.to_owned());
        self.written.push(NodeProto { op_type, input, output, name, ..Default::default() });
        self.written.last_mut()
    }

    /// What a DequantizeLinear reads, less its zero point: written once.
    fn centred(&mut self, dequantiser: &NodeProto) -> Option<String> {
        let (of, scale) = (dequantiser.output.first()?, dequantiser.given(1)?);
        let name = format!("{of}:integers");
        if self.known.contains(&name) {
            return Some(name);
        }
        let dims = self.initializers.get(scale)?.dims.clone();
        let ones = vec![1.0; self.scales(dequantiser)?.len()];
        let ones = self.constant(of, "ones", dims, &ones);
        let name = self.name(of, "integers");
        let mut node = dequantiser.clone();
        *node.input.get_mut(1)? = ones;
        (node.output, node.name) = (vec![name.clone()], name.clone());
        self.written.push(node);
        Some(name)
    }

    /// Conv, or Gemm of a weight for each result.
    fn product(&mut self, node: &NodeProto) -> Option<()> {
        let (x, w, to) = (self.bytes(node, 0)?, self.bytes(node, 1)?, self.to(node)?);
        let is = |name: &str, wanted: f32, other: f32| {
            node.attribute(name).map_or(other, |a| if a.r#type == 1 { a.f } else { a.i as f32 }) == wanted
        };
        let row_by_row = is("transA", 0.0, 0.0) && is("transB", 1.0, 0.0) && is("alpha", 1.0, 1.0);
        if node.op_type == "Gemm" && !(row_by_row && is("beta", 1.0, 1.0)) {
            return None;
        }
        let weights = &self.initializers.get(w.given(0)?)?.dims;
        let (channels, rank) = (usize::try_from(*weights.first()?).ok()?, weights.len());
        let (x_scale, w_scales) = (self.one_scale(x)?, self.scales(w)?);
        if w_scales.len() != 1 && (w_scales.len() != channels || w.int("axis") != Some(0)) {
            return None;
        }
        let of_sums: Vec<f32> = w_scales.iter().map(|s| s * x_scale).collect();
        let bias = match node.given(2) {
            None => None,
            Some(_) => Some(self.bias(node, &of_sums)?),
        };
        let y = node.output.first()?;
        let ratios: Vec<f32> = of_sums.iter().map(|s| s / to.scale).collect();
        let mut dims = vec![1; rank.saturating_sub(1)];
        *dims.first_mut()? = i64::try_from(ratios.len()).ok()?;
        let mut whole = node.clone();
        whole.input = vec![self.centred(x)?, self.centred(w)?];
        whole.input.extend(bias.and_then(|b| self.centred(b)));
        let sums = self.name(y, "sums");
        whole.output = vec![sums.clone()];
        self.written.push(whole);
        let ratio = self.constant(y, "ratio", dims, &ratios);
        self.node("Mul", &[&sums, &ratio], y)?;
        self.done.insert(y.clone(), to.zero_name.map(str::to_owned));
        Some(())
    }

    /// Integers whose scale is the products', as ONNX Runtime wants it.
    fn bias(&self, node: &NodeProto, of_sums: &[f32]) -> Option<&'a NodeProto> {
        let bias = *self.dequantisers.get(node.given(2)?)?;
        let zeros = bias.given(2).map(|name| self.numbers(name));
        let centred = match zeros {
            None => true,
            Some(Some(Numbers::I32(v))) => v.iter().all(|&z| z == 0),
            Some(_) => false,
        };
        let scales = self.scales(bias)?;
        let close = scales.len() == of_sums.len()
            && scales.iter().zip(of_sums).all(|(a, b)| (a - b).abs() <= 1e-5 * a.abs());
        (centred && close && self.element(bias.given(0)?)? == INT32).then_some(bias)
    }

    /// GlobalAveragePool: the sum of each plane.
    fn mean(&mut self, node: &NodeProto) -> Option<()> {
        let (x, to) = (self.bytes(node, 0)?, self.to(node)?);
        let dims = self.values.get(node.given(0)?)?.dims.as_ref()?;
        let places = dims.get(2..)?.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        let places = places.filter(|n| (1..=MOST_PLACES).contains(n))?;
        let axes = (2..i64::try_from(dims.len()).ok()?).collect();
        let ratio = self.one_scale(x)? / (to.scale * places as f32);
        let y = node.output.first()?;
        let (centred, sums) = (self.centred(x)?, self.name(y, "sums"));
        let sum = self.node("ReduceSum", &[&centred], &sums)?;
        sum.attribute = vec![ints("axes", axes)];
        let ratio = self.constant(y, "ratio", vec![], &[ratio]);
        self.node("Mul", &[&sums, &ratio], y)?;
        self.done.insert(y.clone(), to.zero_name.map(str::to_owned));
        Some(())
    }

    /// Mul of two dequantised values. MLAS adds the result's zero point before it rounds.
    fn multiply(&mut self, node: &NodeProto) -> Option<()> {
        let (a, b, to) = (self.bytes(node, 0)?, self.bytes(node, 1)?, self.to(node)?);
        let ratio = self.one_scale(a)? * self.one_scale(b)? / to.scale;
        let y = node.output.first()?;
        let (a, b, products) = (self.centred(a)?, self.centred(b)?, self.name(y, "products"));
        self.node("Mul", &[&a, &b], &products)?;
        let ratio = self.constant(y, "ratio", vec![], &[ratio]);
        if to.zero == 0 {
            self.node("Mul", &[&products, &ratio], y)?;
            self.done.insert(y.clone(), to.zero_name.map(str::to_owned));
            return Some(());
        }
        let scaled = self.name(y, "scaled");
        self.node("Mul", &[&products, &ratio], &scaled)?;
        let zero = self.constant(y, "zero", vec![], &[to.zero as f32]);
        self.node("Add", &[&scaled, &zero], y)?;
        let name = self.name(y, "none");
        let (data_type, raw_data) = (to.elem_type, Bytes::from_static(&[0]));
        self.constants.push(TensorProto { name: name.clone(), data_type, raw_data, ..Default::default() });
        self.done.insert(y.clone(), Some(name));
        Some(())
    }

    /// QuantizeLinear of what is in its units already.
    fn quantise(&mut self, node: &NodeProto) -> Option<()> {
        let x = node.given(0)?;
        let zero = self.done.get(x)?.clone();
        let one = self.constant(x, "one", vec![], &[1.0]);
        let mut node = node.clone();
        node.input = [x.to_owned(), one].into_iter().chain(zero).collect();
        self.written.push(node);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use crate::backend::rten::RtenBackend;
    use crate::backend::{Backend, Named, Options};
    use crate::onnx::OnnxFile;
    use crate::onnx::proto::{
        AttributeProto, DimProto, GraphProto, ModelProto, NodeProto, OperatorSetId, ShapeProto, TensorProto,
        TensorType, TypeProto, ValueInfo,
    };
    use gtn_core::io::tensors::{Data, Tensor};
    use gtn_core::rng::Rng;
    use prost::Message;
    use std::path::Path;

    /// Scale, zero point, least value.
    #[derive(Debug, Clone, Copy)]
    struct Q(f32, i32, i32);

    impl Q {
        fn real(self, v: i32) -> f32 {
            (v - self.1) as f32 * self.0
        }

        /// Of a result before it is rounded.
        fn round(self, v: f32) -> i32 {
            (v.round_ties_even() as i32).clamp(self.2, self.2 + 255)
        }
    }

    fn raw(name: &str, dims: &[i64], data_type: i32, bytes: Vec<u8>) -> TensorProto {
        let (name, dims, raw_data) = (name.to_owned(), dims.to_vec(), bytes.into());
        TensorProto { name, dims, data_type, raw_data, ..Default::default() }
    }

    fn floats(name: &str, dims: &[i64], v: &[f32]) -> TensorProto {
        raw(name, dims, 1, v.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn node(op: &str, input: &[&str], output: &str) -> NodeProto {
        let input = input.iter().map(|s| s.to_string()).collect();
        NodeProto { op_type: op.into(), input, output: vec![output.into()], ..Default::default() }
    }

    fn value(name: &str, shape: &[i64]) -> ValueInfo {
        let dim = shape.iter().map(|&d| DimProto { dim_value: Some(d), dim_param: None }).collect();
        let tensor_type = Some(TensorType { elem_type: 1, shape: Some(ShapeProto { dim }) });
        ValueInfo { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
    }

    /// What `middle` makes of the dequantised values (`x0.dq`, ...) in `r`, quantised: inputs are integers, and so is what
    /// comes back.
    fn run(
        inputs: &[(Q, &[i64], &[i32])],
        middle: Vec<NodeProto>,
        mut initializer: Vec<TensorProto>,
        to: Q,
        shape: &[i64],
    ) -> Vec<i32> {
        let mut nodes = Vec::new();
        let mut pair = |name: &str, q: Q, nodes: &mut Vec<NodeProto>| {
            let [s, z, of, back] = ["s", "z", "q", "dq"].map(|part| format!("{name}.{part}"));
            initializer.push(floats(&s, &[], &[q.0]));
            initializer.push(raw(&z, &[], if q.2 == 0 { 2 } else { 3 }, vec![q.1.to_le_bytes()[0]]));
            nodes.push(node("QuantizeLinear", &[name, &s, &z], &of));
            nodes.push(node("DequantizeLinear", &[&of, &s, &z], &back));
        };
        let (mut declared, mut named) = (Vec::new(), Vec::new());
        for (i, (q, shape, values)) in inputs.iter().enumerate() {
            let name = format!("x{i}");
            pair(&name, *q, &mut nodes);
            declared.push(value(&name, shape));
            let shape: Vec<usize> = shape.iter().map(|&d| d as usize).collect();
            let tensor = Tensor::f32(&shape, values.iter().map(|&v| q.real(v)).collect());
            named.push(Named { name, tensor });
        }
        nodes.extend(middle);
        pair("r", to, &mut nodes);
        let output = vec![value("r.dq", shape)];
        let graph = GraphProto { node: nodes, initializer, input: declared, output, ..Default::default() };
        let opset = OperatorSetId { domain: String::new(), version: 17 };
        let model =
            ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() };
        let file = OnnxFile::parse(&model.encode_to_vec(), Path::new("m.onnx")).unwrap();
        let found = RtenBackend::load(&file, &Options::single(), "test").unwrap().run(&named).unwrap();
        let Data::F32(found) = &found[0].tensor.data else { panic!("no floats") };
        found.iter().map(|v| (v / to.0).round() as i32 + to.1).collect()
    }

    fn bytes(rng: &mut Rng, lo: i32, n: usize) -> Vec<i32> {
        (0..n).map(|_| rng.below(256) as i32 + lo).collect()
    }

    fn any(rng: &mut Rng, lo: i32, scale: f32) -> Q {
        Q((0.2 + 0.8 * rng.unit_f64() as f32) * scale, rng.below(256) as i32 + lo, lo)
    }

    /// Planes of four bytes whose scale stays: a quarter of the sums is half an integer, whichever the scale.
    #[test]
    fn a_mean_s_middle_goes_to_the_even_integer() {
        let mut rng = Rng::new(1, "means", 0);
        for i in 0..20 {
            let lo = if i % 2 == 0 { 0 } else { -128 };
            let q = any(&mut rng, lo, 0.1);
            let x = bytes(&mut rng, lo, 4 * 1024);
            let mean = node("GlobalAveragePool", &["x0.dq"], "r");
            let found = run(&[(q, &[1, 1024, 2, 2], &x)], vec![mean], vec![], q, &[1, 1024, 1, 1]);
            let of = |plane: &[i32]| {
                let sum: i32 = plane.iter().map(|v| v - q.1).sum();
                (sum as f32 * 0.25).round_ties_even() as i32 + q.1
            };
            assert_eq!(found, x.chunks(4).map(of).collect::<Vec<_>>(), "{q:?}");
        }
    }

    /// All pairs of bytes, one factor for each channel.
    #[test]
    fn a_product_of_two_values_rounds_as_mlas_does() {
        let mut rng = Rng::new(2, "products", 0);
        for i in 0..40 {
            let lo = if i % 2 == 0 { 0 } else { -128 };
            let (a, b) = (any(&mut rng, lo, 0.1), any(&mut rng, lo, 0.004));
            let to = any(&mut rng, lo, a.0 * b.0 * 255.0);
            let to = if i % 4 < 2 { Q(to.0, 0, lo) } else { to };
            let w: Vec<i32> = (lo..=lo + 255).collect();
            let x = w.repeat(256);
            let (large, small) = ([1, 256, 16, 16], [1, 256, 1, 1]);
            let middle = vec![node("Mul", &["x0.dq", "x1.dq"], "r")];
            let found = run(&[(a, &large, &x), (b, &small, &w)], middle, vec![], to, &large);
            let ratio = a.0 * b.0 / to.0;
            let one = |x: i32, w: i32| to.round(((x - a.1) * (w - b.1)) as f32 * ratio + to.1 as f32);
            let wanted: Vec<i32> = x.iter().enumerate().map(|(i, &x)| one(x, w[i / 256])).collect();
            let bad = found.iter().zip(&wanted).filter(|(f, w)| f != w).count();
            assert_eq!(bad, 0, "{a:?} {b:?} {to:?}");
        }
    }

    /// A convolution with padding and a bias, of scales for each channel: the sum is exact, and one float scales it.
    #[test]
    fn a_convolution_s_sum_is_scaled_once() {
        let mut rng = Rng::new(3, "convolutions", 0);
        let (c, m, side) = (16usize, 8usize, 24usize);
        for i in 0..12 {
            let lo = if i % 2 == 0 { 0 } else { -128 };
            let q = any(&mut rng, lo, 0.1);
            // Every third: a thousandth of the sums is right in the middle, whatever a float of x's scale rounds to.
            let middles = i % 3 == 0;
            let to = any(&mut rng, lo, 2.0);
            let to = if middles { Q(q.0 * 4.0, to.1, lo) } else { to };
            let x = bytes(&mut rng, lo, c * side * side);
            let w = bytes(&mut rng, -128, m * c * 9);
            let bias: Vec<i32> = (0..m).map(|_| rng.below(200_000) as i32 - 100_000).collect();
            let mut scale = || if middles { 1.0 / 256.0 } else { 0.001 + rng.unit_f64() as f32 * 0.01 };
            let scales: Vec<f32> = (0..m).map(|_| scale()).collect();
            let of_sums: Vec<f32> = scales.iter().map(|s| s * q.0).collect();
            let axis = AttributeProto { name: "axis".into(), r#type: 2, i: 0, ..Default::default() };
            let pads =
                AttributeProto { name: "pads".into(), r#type: 7, ints: vec![1; 4], ..Default::default() };
            let along = |n: NodeProto| NodeProto { attribute: vec![axis.clone()], ..n };
            let conv = node("Conv", &["x0.dq", "w.dq", "b.dq"], "r");
            let middle = vec![
                along(node("DequantizeLinear", &["w", "w.s"], "w.dq")),
                along(node("DequantizeLinear", &["b", "b.s"], "b.dq")),
                NodeProto { attribute: vec![pads], ..conv },
            ];
            let constants = vec![
                raw("w", &[m as i64, c as i64, 3, 3], 3, w.iter().map(|&v| v as u8).collect()),
                floats("w.s", &[m as i64], &scales),
                raw("b", &[m as i64], 6, bias.iter().flat_map(|v| v.to_le_bytes()).collect()),
                floats("b.s", &[m as i64], &of_sums),
            ];
            let (d, plane) = (side as i64, side * side);
            let found = run(&[(q, &[1, c as i64, d, d], &x)], middle, constants, to, &[1, m as i64, d, d]);
            let tap = |channel: usize, row: usize, column: usize| {
                let inside = (1..=side).contains(&row) && (1..=side).contains(&column);
                if inside { x[channel * plane + (row - 1) * side + column - 1] - q.1 } else { 0 }
            };
            let one = |at: usize| {
                let (channel, row, column) = (at / plane, at % plane / side, at % side);
                let weights = w[channel * c * 9..].iter().take(c * 9).enumerate();
                let sum: i32 = weights.map(|(j, w)| w * tap(j / 9, row + j % 9 / 3, column + j % 3)).sum();
                let scaled = (sum + bias[channel]) as f32 * (of_sums[channel] / to.0);
                (scaled.round_ties_even() as i32 + to.1).clamp(lo, lo + 255)
            };
            let bad = found.iter().enumerate().filter(|&(at, &v)| v != one(at)).count();
            assert_eq!(bad, 0, "of {}: {q:?} {to:?}", found.len());
        }
    }
}
