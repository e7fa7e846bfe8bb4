//! Random convolutions, every kernel against plain loops.

use super::WgpuBackend;
use crate::backend::{Backend, Kernels, Named, Options};
use crate::onnx::proto::{
    AttributeProto, DimProto, GraphProto, ModelProto, NodeProto, OperatorSetId, ShapeProto, TensorProto,
    TensorType, TypeProto, ValueInfo,
};
use gtn_core::rng::Rng;
use gtn_core::tensors::{Data, Tensor};
use prost::Message;
use std::path::Path;

const CASES: usize = 1000;
/// Of the largest answer: sums of at most a few thousand products, in f32 and in another order.
const BOUND: f64 = 1e-5;

/// A convolution of `[n, groups * cg, size...]`, perhaps a residual, perhaps an activation.
#[derive(Debug, Clone)]
struct Case {
    images: usize,
    groups: usize,
    cg: usize,
    mg: usize,
    size: Vec<usize>,
    kernel: Vec<usize>,
    stride: Vec<usize>,
    dilation: Vec<usize>,
    begin: Vec<usize>,
    end: Vec<usize>,
    bias: bool,
    residual: bool,
    act: Option<&'static str>,
}

impl Case {
    fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed, "conv", 0);
        let mut among = |choices: &[usize]| choices[rng.below(choices.len() as u64) as usize];
        let rank = among(&[2, 2, 2, 2, 2, 2, 2, 1, 3]);
        // Dense, depthwise, grouped, one input channel for several outputs.
        let (groups, cg, mg) = match among(&[0, 0, 0, 1, 1, 2, 3]) {
            0 => (1, among(&[1, 2, 3, 4, 8, 12, 17, 33]), among(&[1, 3, 4, 6, 8, 12, 20, 65])),
            1 => (among(&[1, 3, 4, 8, 10, 21]), 1, 1),
            2 => (among(&[2, 3, 4]), among(&[2, 4, 5]), among(&[2, 4, 5])),
            _ => (among(&[2, 4, 6]), 1, among(&[2, 4])),
        };
        let mut case = Self {
            images: among(&[1, 1, 2, 3]),
            groups,
            cg,
            mg,
            size: Vec::new(),
            kernel: Vec::new(),
            stride: Vec::new(),
            dilation: Vec::new(),
            begin: Vec::new(),
            end: Vec::new(),
            bias: among(&[0, 1, 1]) == 1,
            residual: among(&[0, 0, 1]) == 1,
            act: [None, Some("Relu"), Some("HardSwish"), Some("Sigmoid")][among(&[0, 1, 2, 3])],
        };
        let pointwise = among(&[0, 0, 1]) == 1;
        for _ in 0..rank {
            let k = if pointwise { 1 } else { among(&[1, 2, 3, 3, 5, 7]) };
            let l = among(&[1, 1, 1, 2, 3]);
            let (begin, end) = (among(&[0, 0, 1, 2, 3]).min(k), among(&[0, 0, 1, 2, 3]).min(k));
            let reach = (k - 1) * l + 1;
            case.size.push((reach + among(&[0, 1, 3, 4, 6, 9, 14])).saturating_sub(begin + end).max(1));
            case.kernel.push(k);
            case.stride.push(among(&[1, 1, 2, 2, 3]));
            case.dilation.push(l);
            case.begin.push(begin);
            case.end.push(end);
        }
        case
    }

    /// Output size, where the window fits.
    fn output(&self) -> Option<Vec<usize>> {
        let one = |i: usize| {
            let padded = self.size[i] + self.begin[i] + self.end[i];
            let room = padded.checked_sub((self.kernel[i] - 1) * self.dilation[i] + 1)?;
            Some(room / self.stride[i] + 1)
        };
        (0..self.size.len()).map(one).collect()
    }

    fn model(&self, output: &[usize], weights: &[f32], bias: &[f32]) -> Vec<u8> {
        let ints = |name: &str, v: Vec<usize>| AttributeProto {
            name: name.into(),
            r#type: 7,
            ints: v.into_iter().map(|x| x as i64).collect(),
            ..Default::default()
        };
        let node = |op: &str, input: &[&str], output: &str| NodeProto {
            op_type: op.into(),
            input: input.iter().map(|s| s.to_string()).collect(),
            output: vec![output.into()],
            ..Default::default()
        };
        let tensor = |name: &str, dims: Vec<usize>, v: &[f32]| TensorProto {
            name: name.into(),
            dims: dims.into_iter().map(|d| d as i64).collect(),
            data_type: 1,
            raw_data: v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into(),
            ..Default::default()
        };
        let value = |name: &str, shape: &[usize]| {
            let dim = |&d: &usize| DimProto { dim_value: Some(d as i64), dim_param: None };
            let shape = Some(ShapeProto { dim: shape.iter().map(dim).collect() });
            let tensor_type = Some(TensorType { elem_type: 1, shape });
            ValueInfo { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
        };
        let m = self.groups * self.mg;
        let conv_inputs: &[&str] = if self.bias { &["x", "w", "b"] } else { &["x", "w"] };
        let mut conv = node("Conv", conv_inputs, "c");
        conv.attribute = vec![
            ints("kernel_shape", self.kernel.clone()),
            ints("strides", self.stride.clone()),
            ints("dilations", self.dilation.clone()),
            ints("pads", [&self.begin[..], &self.end].concat()),
            AttributeProto { name: "group".into(), r#type: 2, i: self.groups as i64, ..Default::default() },
        ];
        let mut nodes = vec![conv];
        let mut last = "c";
        let mut inputs = vec![value("x", &self.input_shape())];
        if self.residual {
            nodes.push(node("Add", &["c", "r"], "s"));
            inputs.push(value("r", &self.output_shape(output)));
            last = "s";
        }
        if let Some(act) = self.act {
            nodes.push(node(act, &[last], "a"));
            last = "a";
        }
        let mut initializer = vec![
            tensor("w", [&[m, self.cg], &self.kernel[..]].concat(), weights),
            tensor("b", vec![m], bias),
        ];
        initializer.truncate(if self.bias { 2 } else { 1 });
        let graph = GraphProto {
            node: nodes,
            initializer,
            input: inputs,
            output: vec![value(last, &self.output_shape(output))],
            ..Default::default()
        };
        let opset = OperatorSetId { domain: String::new(), version: 17 };
        ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() }
            .encode_to_vec()
    }

    fn input_shape(&self) -> Vec<usize> {
        [&[self.images, self.groups * self.cg], &self.size[..]].concat()
    }

    fn output_shape(&self, output: &[usize]) -> Vec<usize> {
        [&[self.images, self.groups * self.mg], output].concat()
    }

    /// By the definition, in f64.
    fn reference(&self, output: &[usize], x: &[f32], w: &[f32], b: &[f32], r: &[f32]) -> Vec<f64> {
        let index = |i: usize, dims: &[usize]| -> Vec<usize> {
            let mut rest = i;
            let mut all: Vec<usize> = dims.iter().rev().map(|&d| (rest % d, rest /= d).0).collect();
            all.reverse();
            all
        };
        let (places, taps): (usize, usize) = (output.iter().product(), self.kernel.iter().product());
        let plane: usize = self.size.iter().product();
        let m = self.groups * self.mg;
        let one = |i: usize| {
            let (image, channel, place) = (i / (m * places), i / places % m, i % places);
            let o = index(place, output);
            let mut sum = if self.bias { f64::from(b[channel]) } else { 0.0 };
            for (c, t) in (0..self.cg).flat_map(|c| (0..taps).map(move |t| (c, t))) {
                let k = index(t, &self.kernel);
                let at =
                    |d: usize| (o[d] * self.stride[d] + k[d] * self.dilation[d]).checked_sub(self.begin[d]);
                let at = (0..o.len()).map(at).collect::<Option<Vec<usize>>>();
                let Some(at) = at.filter(|at| at.iter().zip(&self.size).all(|(a, s)| a < s)) else {
                    continue;
                };
                let place = at.iter().zip(&self.size).fold(0, |p, (a, s)| p * s + a);
                let row = (image * self.groups + channel / self.mg) * self.cg + c;
                sum += f64::from(x[row * plane + place]) * f64::from(w[(channel * self.cg + c) * taps + t]);
            }
            sum += if self.residual { f64::from(r[i]) } else { 0.0 };
            match self.act {
                Some("Relu") => sum.max(0.0),
                Some("HardSwish") => sum * (sum / 6.0 + 0.5).clamp(0.0, 1.0),
                Some("Sigmoid") => 1.0 / (1.0 + (-sum).exp()),
                _ => sum,
            }
        };
        (0..self.images * m * places).map(one).collect()
    }
}

/// The backend's answer against [`Case::reference`].
fn check(case: &Case, kernels: Kernels, seed: u64) -> Result<(), String> {
    let Some(output) = case.output() else { return Ok(()) };
    let mut rng = Rng::new(seed, "values", 0);
    let mut some = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.unit_f64() as f32 * 2.0 - 1.0).collect() };
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let m = case.groups * case.mg;
    let x = some(count(&case.input_shape()));
    let w = some(m * case.cg * count(&case.kernel));
    let b = some(m);
    let r = some(count(&case.output_shape(&output)));
    let options = Options { batch: 1, allow_software: true, kernels: Some(kernels), ..Options::default() };
    let mut backend = WgpuBackend::load(&case.model(&output, &w, &b), Path::new("m.onnx"), &options, "test")
        .map_err(|e| e.to_string())?;
    let mut inputs = vec![Named { name: "x".into(), tensor: Tensor::f32(&case.input_shape(), x.clone()) }];
    if case.residual {
        inputs.push(Named { name: "r".into(), tensor: Tensor::f32(&case.output_shape(&output), r.clone()) });
    }
    let found = backend.run(&inputs).map_err(|e| e.to_string())?;
    let Data::F32(found) = &found[0].tensor.data else { return Err("no floats".into()) };
    let wanted = case.reference(&output, &x, &w, &b, &r);
    let most = wanted.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    let worst = found.iter().zip(&wanted).map(|(f, w)| (f64::from(*f) - w).abs()).fold(0.0, f64::max);
    if found.len() != wanted.len() || worst.is_nan() || worst > BOUND * most {
        return Err(format!("{} of {} values, off by {worst:e} of {most}", found.len(), wanted.len()));
    }
    Ok(())
}

#[test]
fn a_thousand_random_convolutions_follow_the_definition() {
    let cases: Vec<(u64, Case)> = (0..)
        .map(|seed| (seed, Case::random(seed)))
        .filter(|(_, case)| case.output().is_some())
        .take(CASES)
        .collect();
    // The kernels take turns; the general one also meets what the others leave to it.
    let kernels = |seed: u64| Kernels::ALL[(seed % 3) as usize];
    let judge = |(seed, case): &(u64, Case)| {
        let why = check(case, kernels(*seed), *seed).err()?;
        Some(format!("{seed} {}: {why}\n  {case:?}", kernels(*seed).name()))
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let halves: Vec<_> = cases
            .chunks(CASES.div_ceil(2))
            .map(|half| scope.spawn(move || half.iter().filter_map(judge).collect::<Vec<_>>()))
            .collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    let of = |k: Kernels| cases.iter().filter(|(seed, _)| kernels(*seed) == k).count();
    assert!(Kernels::ALL.into_iter().all(|k| of(k) > CASES / 4), "every kernel has its share");
    let shown = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {CASES}:\n{shown}", failures.len());
}
