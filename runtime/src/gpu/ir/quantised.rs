//! Bytes and what they stand for, per tensor; and what operators of them become.

use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::graph::{Affine, Graph};
use crate::gpu::ir::op::{Activation, QuantisedProduct, QuantisedSum, Requantise};

/// These are bytes that stand for `(q - zero) * scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantised {
    /// int8 or uint8.
    pub dtype: DType,
    /// Positive.
    pub scale: f32,
    /// Within the type's range.
    pub zero: i32,
    /// The type's least value.
    pub lo: i32,
    /// And its largest.
    pub hi: i32,
}

impl Quantised {
    /// Makes one of int8 or uint8 with an ordinary scale, which may be multiplied and divided by; `None` for
    /// any other.
    pub fn new(dtype: DType, scale: f32, zero: i32) -> Option<Self> {
        let (lo, hi) = dtype.range().filter(|_| matches!(dtype, DType::U8 | DType::I8))?;
        let ordinary = (1e-15..1e15).contains(&scale) && (lo..=hi).contains(&zero);
        ordinary.then_some(Self { dtype, scale, zero, lo, hi })
    }

    /// Makes one of what was dequantised; `None` where it has several scales.
    pub fn of(graph: &Graph, affine: &Affine) -> Result<Option<Self>, String> {
        let (&[scale], &[zero]) = (&affine.scales[..], &affine.zero_points[..]) else { return Ok(None) };
        Ok(Self::new(graph.value(affine.integers)?.dtype, scale, zero))
    }

    /// Returns whether an activation leaves all that these can stand for as it is.
    pub fn spares(&self, activation: Option<Activation>) -> bool {
        let real = |q: i32| f64::from(q - self.zero) * f64::from(self.scale);
        match activation {
            None => true,
            Some(Activation::Relu) => self.zero == self.lo,
            Some(Activation::Clip { lo, hi }) => {
                f64::from(lo) <= real(self.lo) && real(self.hi) <= f64::from(hi)
            }
            Some(_) => false,
        }
    }

    /// Returns these as the end of an operator.
    pub fn requantise(&self) -> Requantise {
        Requantise { zero: self.zero, lo: self.lo, hi: self.hi }
    }
}

impl QuantisedProduct {
    /// Makes the product with the roundings of MLAS (qlmul.cpp): of both scales by the result's one float.
    pub fn of([a, b]: [Quantised; 2], to: Quantised) -> Self {
        let ratio = a.scale * b.scale / to.scale;
        Self { x_zero: a.zero, w_zero: b.zero, ratio, to: to.requantise() }
    }
}

impl QuantisedSum {
    /// Makes the sum with the roundings of MLAS (qladd_avx2.cpp, as compiled with fused multiply-adds).
    pub fn of([a, b]: [Quantised; 2], to: Quantised) -> Self {
        let (x, w) = (a.scale / to.scale, b.scale / to.scale);
        let fixed = to.zero as f32 - x.mul_add(a.zero as f32, w * b.zero as f32);
        Self { x, w, fixed, lo: to.lo, hi: to.hi }
    }
}
