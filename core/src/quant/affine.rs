//! One tensor's quantisation: real = (q - zero_point) * scale (ONNX QuantizeLinear, DequantizeLinear).

use crate::device::int8::ActivationType;
use serde::{Deserialize, Serialize};

/// This is the smallest and largest real value that is to be represented.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Smallest.
    pub lo: f32,
    /// Largest.
    pub hi: f32,
}

/// This is a scale and zero point, and the integers they map to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// Of one step; positive.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i32,
    /// Smallest and largest integer.
    pub bounds: (i32, i32),
}

impl Affine {
    /// Makes one that covers `range`, widened to hold 0 (padding and Relu need it exactly).
    pub fn covering(range: Range, kind: ActivationType) -> Self {
        let bounds = kind.bounds();
        let (lo, hi) = (f64::from(range.lo).min(0.0), f64::from(range.hi).max(0.0));
        if kind == ActivationType::Int8Symmetric {
            let scale = positive(lo.abs().max(hi) / 127.0);
            return Self { scale, zero_point: 0, bounds };
        }
        let scale = positive((hi - lo) / f64::from(bounds.1 - bounds.0));
        let zero = f64::from(bounds.0) - lo / f64::from(scale);
        let zero_point = (zero.round_ties_even() as i32).clamp(bounds.0, bounds.1);
        Self { scale, zero_point, bounds }
    }

    /// Rounds half to even, then saturates, as QuantizeLinear.
    pub fn quantise(&self, real: f64) -> i32 {
        let q = (real / f64::from(self.scale)).round_ties_even() + f64::from(self.zero_point);
        q.clamp(f64::from(self.bounds.0), f64::from(self.bounds.1)) as i32
    }

    /// Returns the real value that `q` stands for.
    pub fn dequantise(&self, q: i32) -> f64 {
        f64::from(q - self.zero_point) * f64::from(self.scale)
    }

    /// Returns what a real value becomes.
    pub fn round_trip(&self, real: f64) -> f64 {
        self.dequantise(self.quantise(real))
    }

    /// Returns the smallest and largest real value that survives.
    pub fn range(&self) -> (f64, f64) {
        (self.dequantise(self.bounds.0), self.dequantise(self.bounds.1))
    }
}

/// As f32; 1 for a tensor that is always 0 (any scale represents it) or whose scale f32 cannot hold.
fn positive(scale: f64) -> f32 {
    let scale = scale as f32;
    if scale.is_normal() { scale } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_exact_and_the_range_is_kept() {
        for kind in [ActivationType::Uint8, ActivationType::Int8, ActivationType::Int8Symmetric] {
            for (lo, hi) in [(0.0, 6.0), (-1.0, 3.0), (2.0, 5.0), (-7.0, -2.0), (-1e-3, 1e3), (0.0, 0.0)] {
                let a = Affine::covering(Range { lo, hi }, kind);
                assert_eq!(a.round_trip(0.0), 0.0, "{kind:?} {lo} {hi}");
                // Half a step is lost where the zero point is rounded.
                let (low, high) = a.range();
                let half = f64::from(a.scale) * 0.5 + 1e-6;
                assert!(low <= f64::from(lo.min(0.0)) + half, "{kind:?} {lo} {hi}: {low}");
                assert!(high >= f64::from(hi.max(0.0)) - half, "{kind:?} {lo} {hi}: {high}");
            }
        }
    }

    #[test]
    fn rounds_to_even_and_saturates() {
        let a = Affine { scale: 1.0, zero_point: 10, bounds: (0, 255) };
        assert_eq!([0.5, 1.5, 2.5, -0.5].map(|x| a.quantise(x)), [10, 12, 12, 10]);
        assert_eq!([-1e9, 1e9].map(|x| a.quantise(x)), [0, 255]);
    }

    #[test]
    fn what_relu_cuts_off_needs_no_code() {
        let a = Affine::covering(Range { lo: 0.0, hi: 6.0 }, ActivationType::Uint8);
        assert_eq!((a.zero_point, a.quantise(-3.0), a.quantise(9.0)), (0, 0, 255));
        let a = Affine::covering(Range { lo: 0.0, hi: 6.0 }, ActivationType::Int8);
        assert_eq!(a.zero_point, -128);
    }
}
