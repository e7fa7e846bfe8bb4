//! Add of two dequantised values and the QuantizeLinear behind it: ONNX Runtime's QLinearAdd.

use crate::gpu::ir::op::QuantisedSum;
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// A word for each element.
const WORDS: Shader = shader!("quantised_sum": "integer", "step", "scalars", "quantised_sum");
/// Of bytes.
const BYTES: Shader = shader!("quantised_sum_bytes": "integer", "step", "bytes", "quantised_sum");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&WORDS, &BYTES];

/// Returns the kernel, which works element by element. Its numbers are read from memory: what a compiler does
/// not know it does not add up beforehand.
pub fn kernel(sum: &QuantisedSum, at: &Setting) -> Result<Kernel, String> {
    let constants = vec![("lo", sum.lo.into()), ("hi", sum.hi.into())];
    at.kernel([Some(&WORDS), Some(&BYTES), None], constants)
}

/// Returns the numbers as quantised_sum.wgsl reads them: each ratio in two halves, whose products with a byte
/// are exact in f32.
pub fn table(sum: &QuantisedSum) -> Vec<f32> {
    let [x, w] = [sum.x, sum.w].map(halves);
    vec![x[0], x[1], w[0], w[1], sum.fixed, 0.0]
}

/// Twelve bits of a float each.
fn halves(v: f32) -> [f32; 2] {
    let high = f32::from_bits(v.to_bits() & !0xfff);
    [high, v - high]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, Named, Options, WgpuOptions};
    use crate::gpu::WgpuBackend;
    use crate::gpu::ir::dtype::DType;
    use crate::gpu::ir::quantised::Quantised;
    use crate::gpu::ops::test_model::{encode, node, raw, value};
    use crate::onnx::OnnxFile;
    use crate::onnx::proto::GraphProto;
    use gtn_core::io::tensors::{Data, Tensor};
    use gtn_core::rng::Rng;
    use std::path::Path;

    fn random(rng: &mut Rng, dtype: DType) -> Quantised {
        let (lo, _) = dtype.range().unwrap();
        let zero = rng.below(256) as i32 + lo;
        Quantised::new(dtype, 0.01 + rng.unit_f64() as f32 * 0.3, zero).unwrap()
    }

    /// What MLAS computes.
    fn fused(sum: &QuantisedSum, x: i32, w: i32) -> f32 {
        (x as f32).mul_add(sum.x, (w as f32).mul_add(sum.w, sum.fixed))
    }

    /// quantised_sum.wgsl's multiply_add, every operation rounded.
    fn multiply_add(x: f32, high: f32, low: f32, c: f32) -> f32 {
        let p = x * high;
        let s = c + p;
        let q = s - c;
        s + (((c - (s - q)) + (p - q)) + x * low)
    }

    /// Students' sums among them whose middles depend on it: 188 and 98 are 163.49999 or 163.5 in the first.
    fn sums(count: u64) -> Vec<[Quantised; 3]> {
        let hard = [(0.048_902_24, 134), (0.023_529_412, 0), (0.070_164_59, 93)];
        let hard = hard.map(|(scale, zero)| Quantised::new(DType::U8, scale, zero).unwrap());
        let mut rng = Rng::new(1, "sums", 0);
        let mut any = |i: u64| {
            let dtype = if i.is_multiple_of(2) { DType::U8 } else { DType::I8 };
            [(); 3].map(|()| random(&mut rng, dtype))
        };
        std::iter::once(hard).chain((1..count).map(&mut any)).collect()
    }

    #[test]
    fn a_multiply_add_of_bytes_rounds_once_without_being_fused() {
        let mut differ = 0;
        for [a, b, to] in sums(200) {
            let sum = QuantisedSum::of([a, b], to);
            let table = table(&sum);
            let [xh, xl, wh, wl, fixed, _] = table[..] else { panic!("{table:?}") };
            assert_eq!((xh + xl, wh + wl), (sum.x, sum.w));
            for (x, w) in (to.lo..=to.hi).flat_map(|x| (to.lo..=to.hi).map(move |w| (x as f32, w as f32))) {
                let found = multiply_add(x, xh, xl, multiply_add(w, wh, wl, fixed));
                assert_eq!(found.to_bits(), fused(&sum, x as i32, w as i32).to_bits(), "{sum:?} {x} {w}");
                differ += usize::from(found != x * sum.x + (w * sum.w + fixed));
            }
        }
        assert!(differ > 1_000_000, "{differ} of 13,107,200 differ where each product is rounded");
    }

    /// QuantizeLinear, DequantizeLinear of both, Add, QuantizeLinear, DequantizeLinear.
    fn add([a, b, to]: [Quantised; 3], shape: &[usize]) -> Vec<u8> {
        let mut initializers = Vec::new();
        let mut nodes = Vec::new();
        let mut pair = |name: &str, q: Quantised| {
            let [scale, zero, of] = ["s", "z", "q"].map(|part| format!("{name}.{part}"));
            let (elem_type, byte) = (if q.lo == 0 { 2 } else { 3 }, q.zero.to_le_bytes()[0]);
            initializers.push(raw(&scale, &[], 1, q.scale.to_le_bytes().to_vec()));
            initializers.push(raw(&zero, &[], elem_type, vec![byte]));
            nodes.push(node("QuantizeLinear", &[name, &scale, &zero], &of));
            nodes.push(node("DequantizeLinear", &[&of, &scale, &zero], &format!("{name}.dq")));
        };
        pair("a", a);
        pair("b", b);
        pair("y", to);
        nodes.insert(4, node("Add", &["a.dq", "b.dq"], "y"));
        encode(GraphProto {
            node: nodes,
            initializer: initializers,
            input: vec![value("a", shape), value("b", shape)],
            output: vec![value("y.dq", shape)],
            ..Default::default()
        })
    }

    /// All pairs of bytes.
    #[test]
    fn a_sum_is_what_onnx_runtime_computes() {
        let shape = [1, 1, 256, 256];
        let options = Options { wgpu: WgpuOptions::any_adapter(), ..Options::default() };
        for [a, b, to] in sums(60) {
            let sum = QuantisedSum::of([a, b], to);
            let pairs: Vec<[i32; 2]> = (0..65_536).map(|i| [i % 256 + to.lo, i / 256 + to.lo]).collect();
            let real = |q: Quantised, v: i32| (v - q.zero) as f32 * q.scale;
            let inputs = [("a", a, 0), ("b", b, 1)].map(|(name, q, i)| Named {
                name: name.into(),
                tensor: Tensor::f32(&shape, pairs.iter().map(|p| real(q, p[i])).collect()),
            });
            let mut backend = WgpuBackend::load(
                &OnnxFile::parse(&add([a, b, to], &shape), Path::new("m.onnx")).unwrap(),
                &options,
                "test",
            )
            .unwrap();
            let found = backend.run(&inputs).unwrap();
            let Data::F32(found) = &found[0].tensor.data else { panic!("no floats") };
            let of =
                |&[x, w]: &[i32; 2]| fused(&sum, x, w).clamp(to.lo as f32, to.hi as f32).round_ties_even();
            let wanted: Vec<f32> = pairs.iter().map(|p| real(to, of(p) as i32)).collect();
            let bad = found.iter().zip(&wanted).filter(|(f, w)| f != w).count();
            assert!(found.len() == wanted.len() && bad == 0, "{bad} differ: {a:?} {b:?} {to:?}");
        }
    }
}
