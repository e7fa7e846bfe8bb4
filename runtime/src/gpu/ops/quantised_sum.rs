//! Add of two dequantised values and the QuantizeLinear behind it: ONNX Runtime's QLinearAdd.

use super::quantised::Quantised;
use crate::gpu::graph::{Form, Fuse, Shader, Step, ValueId};

/// quantised_sum.wgsl
pub const SHADER: Shader = shader!("quantised_sum": "integer", "step", "scalars", "quantised_sum");
/// Of bytes.
pub const BYTES: Shader = shader!("quantised_sum_bytes": "integer", "step", "bytes", "quantised_sum");

/// Of [`Sum::ways`], the likeliest first: all, those that keep the order of the additions, those that fuse all
/// multiply-adds or none.
const WAYS: [usize; 3] = [6, 4, 2];
/// How far constants may move, in units in their last place.
const FIXED_MOVES: i32 = 32;
const RATIO_MOVES: i32 = 8;
/// Where more pairs depend on it, scales are such that all sums are exact, or nothing helps.
const MOST_CRITICAL: usize = 4096;

/// y = x * `x` + (w * `w` + `fixed`), before it is rounded.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sum {
    x: f32,
    w: f32,
    fixed: f32,
}

/// The step of these integers, in the place of an Add's.
pub fn step(add: &Step, [(a, qa), (b, qb)]: [(ValueId, Quantised); 2], to: Quantised) -> Step {
    let sum = Sum::of([qa, qb], to).robust(to);
    let mut new = Step {
        shader: &SHADER,
        narrow: Some(&BYTES),
        constants: vec![("lo", to.lo.into()), ("hi", to.hi.into())],
        reads: vec![Some(a), Some(b)],
        form: Form::Elementwise,
        fuse: Fuse::No,
        ..add.clone()
    };
    new.constants.extend([("x_ratio", sum.x.into()), ("w_ratio", sum.w.into()), ("fixed", sum.fixed.into())]);
    new.set_total(add.invocations);
    new
}

impl Sum {
    /// With the roundings of MLAS (qladd_avx2.cpp, as compiled with fused multiply-adds).
    fn of([a, b]: [Quantised; 2], to: Quantised) -> Self {
        let (x, w) = (a.scale / to.scale, b.scale / to.scale);
        let fixed = to.zero as f32 - x.mul_add(a.zero as f32, w * b.zero as f32);
        Self { x, w, fixed }
    }

    /// What MLAS computes.
    fn fused(&self, x: i32, w: i32) -> f32 {
        (x as f32).mul_add(self.x, (w as f32).mul_add(self.w, self.fixed))
    }

    /// What drivers may make of the shader: WGSL leaves open whether a multiply-add is one rounding or two, and some
    /// compilers move constants to the end.
    fn ways(&self, x: i32, w: i32) -> [f32; 6] {
        let (x, w) = (x as f32, w as f32);
        let (fused, apart) = (w.mul_add(self.w, self.fixed), w * self.w + self.fixed);
        [
            x.mul_add(self.x, fused),
            x * self.x + apart,
            x.mul_add(self.x, apart),
            x * self.x + fused,
            x.mul_add(self.x, w * self.w) + self.fixed,
            (x * self.x + w * self.w) + self.fixed,
        ]
    }

    /// Constants that give what MLAS computes for every pair of bytes in as many of [`Self::ways`] as any do: these, or
    /// the nearest ones. Few pairs are so near the middle of two integers that it depends on the last place. Where
    /// nothing near does, these: right where multiply-adds are fused, as they are on GPUs.
    fn robust(self, to: Quantised) -> Self {
        let critical = self.critical(to);
        if critical.len() > MOST_CRITICAL {
            return self;
        }
        let right = |sum: &Self, ways: usize| {
            let all = |&(x, w, y): &(i32, i32, f32)| {
                sum.ways(x, w).iter().take(ways).all(|v| v.round_ties_even() == y)
            };
            critical.iter().all(all)
        };
        let moves = |most: i32| (0..=most).flat_map(|m| if m == 0 { vec![0] } else { vec![m, -m] });
        let ratios = moves(RATIO_MOVES).flat_map(|x| moves(RATIO_MOVES).map(move |w| (x, w)));
        let near = ratios.flat_map(|(x, w)| moves(FIXED_MOVES).map(move |fixed| (x, w, fixed)));
        let moved = |(x, w, fixed)| Self {
            x: moved(self.x, x),
            w: moved(self.w, w),
            fixed: moved(self.fixed, fixed),
        };
        let near: Vec<Self> = near.map(moved).collect();
        let find = |ways: usize| near.iter().find(|sum| right(sum, ways)).copied();
        WAYS.into_iter().find_map(find).unwrap_or(self)
    }

    /// Pairs whose sum is so near the middle of two integers that moving the constants could change its rounding, and
    /// what it is rounded to; those alone that stay in the result's range.
    fn critical(&self, to: Quantised) -> Vec<(i32, i32, f32)> {
        let largest = 256.0 * (self.x.abs() + self.w.abs()) + self.fixed.abs();
        let near = f64::from(largest) / f64::from(1 << 17);
        let exact = |x: i32, w: i32| {
            f64::from(x) * f64::from(self.x) + f64::from(w) * f64::from(self.w) + f64::from(self.fixed)
        };
        let within = |v: f64| v > f64::from(to.lo) && v < f64::from(to.hi);
        let all = (to.lo..=to.hi).flat_map(|x| (to.lo..=to.hi).map(move |w| (x, w)));
        let middle = |&(x, w): &(i32, i32)| {
            let v = exact(x, w);
            within(v) && (v - v.floor() - 0.5).abs() < near
        };
        all.filter(middle).map(|(x, w)| (x, w, self.fused(x, w).round_ties_even())).collect()
    }
}

/// So many units in the last place away from zero, or towards it.
fn moved(v: f32, units: i32) -> f32 {
    f32::from_bits(v.to_bits().wrapping_add_signed(units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, Named, Options};
    use crate::gpu::WgpuBackend;
    use crate::gpu::graph::DType;
    use crate::gpu::test_model::{encode, node, raw, value};
    use crate::onnx::proto::GraphProto;
    use gtn_core::rng::Rng;
    use gtn_core::tensors::{Data, Tensor};
    use std::path::Path;

    fn random(rng: &mut Rng, dtype: DType) -> Quantised {
        let (lo, _) = dtype.range().unwrap();
        let zero = rng.below(256) as i32 + lo;
        Quantised::new(dtype, 0.01 + rng.unit_f64() as f32 * 0.3, zero).unwrap()
    }

    /// All pairs, not the critical ones alone; for most scales such constants are found.
    #[test]
    fn a_sum_does_not_depend_on_how_a_driver_rounds() {
        let mut rng = Rng::new(1, "sums", 0);
        let (mut open, mut moved) = ([0; 3], 0);
        for i in 0..200 {
            let dtype = if i % 2 == 0 { DType::U8 } else { DType::I8 };
            let [a, b, to] = [(); 3].map(|()| random(&mut rng, dtype));
            let sum = Sum::of([a, b], to);
            let robust = sum.robust(to);
            let (lo, hi) = (to.lo as f32, to.hi as f32);
            let pairs = || (to.lo..=to.hi).flat_map(|x| (to.lo..=to.hi).map(move |w| (x, w)));
            let rounded = |v: f32| v.clamp(lo, hi).round_ties_even();
            let differ = |ways: usize| {
                let wrong = |(x, w)| {
                    let y = rounded(sum.fused(x, w));
                    robust.ways(x, w).iter().take(ways).any(|&v| rounded(v) != y)
                };
                pairs().any(wrong)
            };
            open.iter_mut().zip(WAYS).for_each(|(n, ways)| *n += usize::from(differ(ways)));
            moved += usize::from(robust != sum);
            assert!(!differ(1), "wrong where multiply-adds are fused: {a:?} {b:?} {to:?}");
        }
        println!("{moved} of 200 moved, {open:?} depend on the driver");
        assert!(moved > 5 && open[0] < 10 && open[2] < 2, "{moved} moved, {open:?} open");
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
        let mut rng = Rng::new(2, "sums", 0);
        let shape = [1, 1, 256, 256];
        let options = Options { batch: 1, allow_software: true, ..Options::default() };
        for i in 0..20 {
            let dtype = if i % 2 == 0 { DType::U8 } else { DType::I8 };
            let [a, b, to] = [(); 3].map(|()| random(&mut rng, dtype));
            let sum = Sum::of([a, b], to);
            let pairs: Vec<[i32; 2]> = (0..65_536).map(|i| [i % 256 + to.lo, i / 256 + to.lo]).collect();
            let real = |q: Quantised, v: i32| (v - q.zero) as f32 * q.scale;
            let inputs = [("a", a, 0), ("b", b, 1)].map(|(name, q, i)| Named {
                name: name.into(),
                tensor: Tensor::f32(&shape, pairs.iter().map(|p| real(q, p[i])).collect()),
            });
            let mut backend =
                WgpuBackend::load(&add([a, b, to], &shape), Path::new("m.onnx"), &options, "test").unwrap();
            let found = backend.run(&inputs).unwrap();
            let Data::F32(found) = &found[0].tensor.data else { panic!("no floats") };
            let of = |&[x, w]: &[i32; 2]| sum.fused(x, w).clamp(to.lo as f32, to.hi as f32).round_ties_even();
            let wanted: Vec<f32> = pairs.iter().map(|p| real(to, of(p) as i32)).collect();
            let bad = found.iter().zip(&wanted).filter(|(f, w)| f != w).count();
            assert!(found.len() == wanted.len() && bad == 0, "{bad} differ: {a:?} {b:?} {to:?}");
        }
    }
}
