//! Random convolutions, every kernel against plain loops.

use crate::backend::{Backend, Kernels, Named, Options, WgpuOptions};
use crate::gpu::WgpuBackend;
use crate::gpu::kernel::Abilities;
use crate::gpu::ops::test_model::{cast, encode, int, ints, node, tensor, value};
use crate::onnx::OnnxFile;
use crate::onnx::proto::{GraphProto, NodeProto};
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::rng::Rng;
use half::f16;
use std::path::Path;

const CASES: usize = 1000;
/// Of the largest answer: sums of at most a few thousand products, in f32 and in another order.
const BOUND: f64 = 1e-5;
const HALF_CASES: usize = 300;
/// The answer rounded to float16: half a unit of its last place is 2^-11 of it at most.
const HALF_BOUND: f64 = 1.0 / 2048.0 + 1e-5;

/// A convolution of `[n, groups * cg, size...]`, perhaps a residual, perhaps an activation.
#[derive(Debug, Clone)]
pub struct Case {
    pub images: usize,
    pub groups: usize,
    pub cg: usize,
    pub mg: usize,
    pub size: Vec<usize>,
    pub kernel: Vec<usize>,
    pub stride: Vec<usize>,
    pub dilation: Vec<usize>,
    pub begin: Vec<usize>,
    pub end: Vec<usize>,
    pub bias: bool,
    pub residual: bool,
    pub act: Option<&'static str>,
}

impl Case {
    pub fn random(seed: u64) -> Self {
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
    pub fn output(&self) -> Option<Vec<usize>> {
        let one = |i: usize| {
            let padded = self.size[i] + self.begin[i] + self.end[i];
            let room = padded.checked_sub((self.kernel[i] - 1) * self.dilation[i] + 1)?;
            Some(room / self.stride[i] + 1)
        };
        (0..self.size.len()).map(one).collect()
    }

    /// With `half` everything but the model's ends is float16.
    fn model(&self, output: &[usize], weights: &[f32], bias: &[f32], half: bool) -> Vec<u8> {
        let m = self.groups * self.mg;
        let end = |name: &str| if half { format!("{name}16") } else { name.to_owned() };
        let (x, r) = (end("x"), end("r"));
        let conv_inputs: &[&str] = if self.bias { &[&x, "w", "b"] } else { &[&x, "w"] };
        let conv = self.conv(conv_inputs, "c");
        let mut nodes = Vec::new();
        let mut inputs = vec![value("x", &self.input_shape())];
        if half {
            nodes.push(cast("x", &x, 10));
            if self.residual {
                nodes.push(cast("r", &r, 10)); // before the convolution, so that the sum can be its end
            }
        }
        nodes.push(conv);
        let mut last = "c";
        if self.residual {
            nodes.push(node("Add", &["c", &r], "s"));
            inputs.push(value("r", &self.output_shape(output)));
            last = "s";
        }
        if let Some(act) = self.act {
            nodes.push(node(act, &[last], "a"));
            last = "a";
        }
        if half {
            nodes.push(cast(last, "y", 1));
            last = "y";
        }
        let mut initializer = vec![
            tensor("w", &[&[m, self.cg], &self.kernel[..]].concat(), weights, half),
            tensor("b", &[m], bias, half),
        ];
        initializer.truncate(if self.bias { 2 } else { 1 });
        let output = vec![value(last, &self.output_shape(output))];
        encode(GraphProto { node: nodes, initializer, input: inputs, output, ..Default::default() })
    }

    /// The Conv node.
    pub fn conv(&self, inputs: &[&str], output: &str) -> NodeProto {
        let attribute = vec![
            ints("kernel_shape", &self.kernel),
            ints("strides", &self.stride),
            ints("dilations", &self.dilation),
            ints("pads", &[&self.begin[..], &self.end].concat()),
            int("group", self.groups as i64),
        ];
        NodeProto { attribute, ..node("Conv", inputs, output) }
    }

    pub fn input_shape(&self) -> Vec<usize> {
        [&[self.images, self.groups * self.cg], &self.size[..]].concat()
    }

    pub fn output_shape(&self, output: &[usize]) -> Vec<usize> {
        [&[self.images, self.groups * self.mg], output].concat()
    }

    /// By the definition, in f64.
    pub fn reference(&self, output: &[usize], x: &[f32], w: &[f32], b: &[f32], r: &[f32]) -> Vec<f64> {
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
                _ if sum.is_nan() => sum,
                Some("Relu") => sum.max(0.0),
                Some("HardSwish") => sum * (sum / 6.0 + 0.5).clamp(0.0, 1.0),
                Some("Sigmoid") => 1.0 / (1.0 + (-sum).exp()),
                _ => sum,
            }
        };
        (0..self.images * m * places).map(one).collect()
    }
}

/// What computes.
#[derive(Clone, Copy)]
enum By {
    Wgpu(Kernels),
    #[cfg(feature = "rust")]
    Rust,
}

/// What a case is given.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    Numbers,
    Halves,
    /// Numbers, and NaN in one place of each input.
    Nan,
}

/// A backend's answer against [`Case::reference`]: NaN exactly where that has it.
fn check(case: &Case, by: By, seed: u64, given: Given) -> Result<(), String> {
    let half = given == Given::Halves;
    let Some(output) = case.output() else { return Ok(()) };
    let mut rng = Rng::new(seed, "values", 0);
    let mut one = || {
        let v = rng.unit_f64() as f32 * 2.0 - 1.0;
        if half { f16::from_f32(v).to_f32() } else { v }
    };
    let mut some = |n: usize| -> Vec<f32> { (0..n).map(|_| one()).collect() };
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let m = case.groups * case.mg;
    let mut x = some(count(&case.input_shape()));
    let w = some(m * case.cg * count(&case.kernel));
    let b = some(m);
    let mut r = some(count(&case.output_shape(&output)));
    if given == Given::Nan {
        let (at_x, at_r) = (seed as usize % x.len(), seed as usize % r.len());
        (x[at_x], r[at_r]) = (f32::NAN, f32::NAN);
    }
    // Every fourth as on an adapter that cannot pack float16.
    let abilities = Abilities { halves: !seed.is_multiple_of(4), ..Abilities::ALL };
    let model = case.model(&output, &w, &b, half);
    let mut backend = load(&model, by, abilities).map_err(|e| e.to_string())?;
    let mut inputs = vec![Named { name: "x".into(), tensor: Tensor::f32(&case.input_shape(), x.clone()) }];
    if case.residual {
        inputs.push(Named { name: "r".into(), tensor: Tensor::f32(&case.output_shape(&output), r.clone()) });
    }
    let found = backend.run(&inputs).map_err(|e| e.to_string())?;
    let Data::F32(found) = &found[0].tensor.data else { return Err("no floats".into()) };
    let wanted = case.reference(&output, &x, &w, &b, &r);
    let most = wanted.iter().filter(|v| !v.is_nan()).fold(1.0f64, |m, v| m.max(v.abs()));
    let bound = most * if half && abilities.halves { HALF_BOUND } else { BOUND };
    let off = |(f, w): &(&f32, &f64)| f.is_nan() != w.is_nan() || (f64::from(**f) - **w).abs() > bound;
    match found.iter().zip(&wanted).position(|pair| off(&pair)) {
        _ if found.len() != wanted.len() => Err(format!("{} of {} values", found.len(), wanted.len())),
        Some(i) => Err(format!("value {i} of {} is {}, wanted {}", wanted.len(), found[i], wanted[i])),
        None => Ok(()),
    }
}

fn load(model: &[u8], by: By, abilities: Abilities) -> gtn_core::Result<Box<dyn Backend>> {
    let path = Path::new("m.onnx");
    let options = Options { wgpu: WgpuOptions::any_adapter(), threads: Some(1), ..Options::default() };
    Ok(match by {
        By::Wgpu(kernels) => {
            let options = Options {
                wgpu: WgpuOptions { kernels: Some(kernels), ..WgpuOptions::any_adapter() },
                ..options
            };
            Box::new(WgpuBackend::load_with_abilities(
                &OnnxFile::parse(model, path)?,
                &options,
                "test",
                &[],
                Some(abilities),
            )?)
        }
        #[cfg(feature = "rust")]
        By::Rust => Box::new(crate::backend::rten::RtenBackend::load(
            &OnnxFile::parse(model, path)?,
            &options,
            "test",
        )?),
    })
}

/// So many cases from `first` on, on each of the kernels by turns.
fn check_all(first: u64, count: usize, given: Given) {
    let cases: Vec<(u64, Case)> = (first..)
        .map(|seed| (seed, Case::random(seed)))
        .filter(|(_, case)| case.output().is_some())
        .take(count)
        .collect();
    // The general kernels also meet what the others leave to them.
    let kernels = |seed: u64| Kernels::ALL[(seed % 3) as usize];
    let judge = |(seed, case): &(u64, Case)| {
        let why = check(case, By::Wgpu(kernels(*seed)), *seed, given).err()?;
        Some(format!("{seed} {}: {why}\n  {case:?}", kernels(*seed).name()))
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let halves: Vec<_> = cases
            .chunks(count.div_ceil(2))
            .map(|half| scope.spawn(move || half.iter().filter_map(judge).collect::<Vec<_>>()))
            .collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    let of = |k: Kernels| cases.iter().filter(|(seed, _)| kernels(*seed) == k).count();
    assert!(Kernels::ALL.into_iter().all(|k| of(k) > count / 4), "every kernel has its share");
    let shown = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {count}:\n{shown}", failures.len());
}

#[test]
fn a_thousand_random_convolutions_follow_the_definition() {
    check_all(0, CASES, Given::Numbers);
}

#[test]
fn three_hundred_random_convolutions_of_float16_follow_the_definition() {
    check_all(1_000_000, HALF_CASES, Given::Halves);
}

#[test]
fn nan_goes_through_convolutions_and_their_activations() {
    check_all(2_000_000, 200, Given::Nan);
}

#[test]
#[cfg(feature = "rust")]
fn random_convolutions_on_rust_follow_the_definition_or_are_refused() {
    let (mut done, mut refused) = (0, 0);
    for seed in 3_000_000..3_000_400 {
        let case = Case::random(seed);
        if case.output().is_none() {
            continue;
        }
        let given = [Given::Numbers, Given::Nan, Given::Halves][(seed % 3) as usize];
        match check(&case, By::Rust, seed, given) {
            Ok(()) => done += 1,
            Err(why) if case.size.len() == 3 => {
                assert!(why.contains("over 3 dimensions is not supported (backend rust)"), "{why}");
                refused += 1;
            }
            Err(why) => panic!("{seed}: {why}\n  {case:?}"),
        }
    }
    assert!(done > 150 && refused > 10, "{done} done, {refused} refused");
}
