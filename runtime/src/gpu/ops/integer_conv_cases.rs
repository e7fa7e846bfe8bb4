//! Random convolutions of int8 and uint8, every kernel against plain loops: to the bit.

use crate::backend::{Backend, Kernels, Named, Options, WgpuOptions};
use crate::gpu::WgpuBackend;
use crate::gpu::ops::conv_cases::Case;
use crate::gpu::ops::test_model::{encode, int, node, raw, value};
use crate::onnx::OnnxFile;
use crate::onnx::proto::{GraphProto, NodeProto};
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::rng::Rng;
use std::path::Path;

const CASES: usize = 210;

/// Integers of 8 bits and what one of them is worth.
struct Bytes {
    signed: bool,
    zero: i32,
    scale: f32,
}

impl Bytes {
    fn range(&self) -> (i32, i32) {
        if self.signed { (-128, 127) } else { (0, 255) }
    }

    fn random(rng: &mut Rng, scale: f32) -> Self {
        let signed = rng.below(2) == 0;
        let zero = rng.below(256) as i32 - if signed { 128 } else { 0 };
        Self { signed, zero, scale }
    }

    fn any(&self, rng: &mut Rng) -> i32 {
        rng.below(256) as i32 + self.range().0
    }

    fn elem_type(&self) -> i32 {
        if self.signed { 3 } else { 2 }
    }
}

/// A case's integers; scales are powers of two, so that dequantising gives back what was quantised.
struct Numbers {
    x: Bytes,
    y: Bytes,
    /// Signed or not; their zero point leaves them bytes, or (for the general kernel alone) does not.
    w_signed: bool,
    w_zero: i32,
    w_scales: Vec<f32>,
    xs: Vec<i32>,
    ws: Vec<i32>,
    bias: Vec<i32>,
}

impl Numbers {
    fn random(case: &Case, seed: u64) -> Self {
        let mut rng = Rng::new(seed, "integers", 0);
        let m = case.groups * case.mg;
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let taps = case.cg * count(&case.kernel);
        let x = Bytes::random(&mut rng, 0.125);
        // About as large as the sums are.
        let y = Bytes::random(&mut rng, 2f32.powi((taps as f32 * 500.0).log2() as i32 - 9));
        let w_signed = rng.below(3) > 0;
        let w_zero = if w_signed { 0 } else { [128, 128, 7][rng.below(3) as usize] };
        let xs = (0..count(&case.input_shape())).map(|_| x.any(&mut rng)).collect();
        let least = if w_signed { -128 } else { 0 };
        let ws = (0..m * taps).map(|_| rng.below(256) as i32 + least).collect();
        let w_scales = (0..m).map(|_| 0.01 + rng.unit_f64() as f32 * 0.1).collect();
        let bias = (0..m).map(|_| rng.below(20_001) as i32 - 10_000).collect();
        Self { x, y, w_signed, w_zero, w_scales, xs, ws, bias }
    }

    fn model(&self, case: &Case, output: &[usize]) -> Vec<u8> {
        let m = case.groups * case.mg;
        let floats = |v: &[f32]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let bytes = |v: &[i32]| v.iter().map(|&x| x.to_le_bytes()[0]).collect::<Vec<u8>>();
        let w_type = if self.w_signed { 3 } else { 2 };
        let b_scales: Vec<f32> = self.w_scales.iter().map(|s| s * self.x.scale).collect();
        let mut initializers = vec![
            raw("w", &[&[m, case.cg], &case.kernel[..]].concat(), w_type, bytes(&self.ws)),
            raw("w.s", &[m], 1, floats(&self.w_scales)),
            raw("w.z", &[m], w_type, bytes(&vec![self.w_zero; m])),
        ];
        for (name, of) in [("x", &self.x), ("y", &self.y)] {
            initializers.push(raw(&format!("{name}.s"), &[], 1, floats(&[of.scale])));
            initializers.push(raw(&format!("{name}.z"), &[], of.elem_type(), bytes(&[of.zero])));
        }
        let per_channel = |inputs: &[&str], output: &str| NodeProto {
            attribute: vec![int("axis", 0)],
            ..node("DequantizeLinear", inputs, output)
        };
        let mut nodes = vec![
            node("QuantizeLinear", &["x", "x.s", "x.z"], "x.q"),
            node("DequantizeLinear", &["x.q", "x.s", "x.z"], "x.dq"),
            per_channel(&["w", "w.s", "w.z"], "w.dq"),
        ];
        let mut inputs = vec!["x.dq", "w.dq"];
        if case.bias {
            let bytes = self.bias.iter().flat_map(|x| x.to_le_bytes()).collect();
            initializers.push(raw("b", &[m], 6, bytes));
            initializers.push(raw("b.s", &[m], 1, floats(&b_scales)));
            nodes.push(per_channel(&["b", "b.s"], "b.dq"));
            inputs.push("b.dq");
        }
        nodes.push(case.conv(&inputs, "c"));
        nodes.push(node("QuantizeLinear", &["c", "y.s", "y.z"], "y.q"));
        nodes.push(node("DequantizeLinear", &["y.q", "y.s", "y.z"], "y"));
        encode(GraphProto {
            node: nodes,
            initializer: initializers,
            input: vec![value("x", &case.input_shape())],
            output: vec![value("y", &case.output_shape(output))],
            ..Default::default()
        })
    }

    /// What the model computes, its sums being exact.
    fn reference(&self, case: &Case, output: &[usize]) -> Vec<f32> {
        let less = |v: &[i32], zero: i32| v.iter().map(|x| (x - zero) as f32).collect::<Vec<f32>>();
        let bias = less(&self.bias, 0);
        let sums =
            case.reference(output, &less(&self.xs, self.x.zero), &less(&self.ws, self.w_zero), &bias, &[]);
        let m = case.groups * case.mg;
        let places: usize = output.iter().product();
        let (lo, hi) = self.y.range();
        let one = |(i, sum): (usize, &f64)| {
            let scale = self.w_scales[i / places % m] * self.x.scale / self.y.scale;
            let within = (*sum as f32 * scale).clamp((lo - self.y.zero) as f32, (hi - self.y.zero) as f32);
            within.round_ties_even() * self.y.scale
        };
        sums.iter().enumerate().map(one).collect()
    }
}

fn check(case: &Case, kernels: Kernels, seed: u64) -> Result<usize, String> {
    let output = case.output().ok_or("no output")?;
    let numbers = Numbers::random(case, seed);
    let options = Options {
        wgpu: WgpuOptions { kernels: Some(kernels), ..WgpuOptions::any_adapter() },
        ..Options::default()
    };
    let model = numbers.model(case, &output);
    let mut backend =
        WgpuBackend::load(&OnnxFile::parse(&model, Path::new("m.onnx")).unwrap(), &options, "test")
            .map_err(|e| e.to_string())?;
    let x = numbers.xs.iter().map(|q| (q - numbers.x.zero) as f32 * numbers.x.scale).collect();
    let input = Named { name: "x".into(), tensor: Tensor::f32(&case.input_shape(), x) };
    let found = backend.run(&[input]).map_err(|e| e.to_string())?;
    let Data::F32(found) = &found[0].tensor.data else { return Err("no floats".into()) };
    let wanted = numbers.reference(case, &output);
    let other = found.iter().zip(&wanted).filter(|(f, w)| f != w).count();
    if found.len() != wanted.len() || other > 0 {
        return Err(format!("{other} of {} values differ, wanted {}", found.len(), wanted.len()));
    }
    let (least, most) = wanted.iter().fold((f32::MAX, f32::MIN), |(l, m), &v| (l.min(v), m.max(v)));
    Ok(wanted.iter().filter(|&&v| v != least && v != most).count())
}

#[test]
fn random_convolutions_of_bytes_are_exact_on_every_kernel() {
    let fits = |seed: &u64| Case::random(*seed).output().is_some();
    let cases: Vec<(usize, u64)> = (0..).filter(fits).take(CASES).enumerate().collect();
    let judge = |&(i, seed): &(usize, u64)| {
        let case = Case { residual: false, act: None, ..Case::random(seed) };
        let kernels = Kernels::ALL[i % Kernels::ALL.len()];
        check(&case, kernels, seed).map_err(|why| format!("{seed} {}: {why}\n  {case:?}", kernels.name()))
    };
    let done: Vec<Result<usize, String>> = std::thread::scope(|scope| {
        let halves: Vec<_> = cases
            .chunks(CASES.div_ceil(2))
            .map(|half| scope.spawn(move || half.iter().map(judge).collect::<Vec<_>>()))
            .collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    let within: usize = done.iter().flatten().sum();
    let failures: Vec<String> = done.into_iter().filter_map(Result::err).collect();
    assert!(within > 10_000, "{within} values that are neither the least nor the largest");
    let shown = failures.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {CASES}:\n{shown}", failures.len());
}
