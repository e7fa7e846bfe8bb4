//! What stands between DequantizeLinear and QuantizeLinear, computed from integers to integers in one step, as ONNX
//! Runtime's fused operators on the CPU (MLAS, x86-64 with AVX2) compute it: sums, means of planes, largest values.

use super::binary;
use super::node::Node;
use super::pool;
use super::quantised_sum;
use super::reduce_mean;
use crate::gpu::ir::graph::{Affine, DType, Form, Fuse, Shader, Step, ValueId};

/// quantised_mean.wgsl
pub const MEAN: Shader = shader!("quantised_mean": "integer", "step", "scalars", "quantised_mean");
/// quantised_mean.wgsl, of bytes
pub const MEAN_BYTES: Shader = shader!("quantised_mean_bytes": "integer", "step", "bytes", "quantised_mean");

/// Of a plane whose sum is exact in 32 bits.
const MOST_PLACES: usize = 1 << 22;

/// Bytes that stand for `(q - zero) * scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantised {
    dtype: DType,
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
    /// None but for int8 and uint8 with an ordinary scale, which may be multiplied and divided by.
    pub fn new(dtype: DType, scale: f32, zero: i32) -> Option<Self> {
        let (lo, hi) = dtype.range().filter(|_| matches!(dtype, DType::U8 | DType::I8))?;
        let ordinary = (1e-15..1e15).contains(&scale) && (lo..=hi).contains(&zero);
        ordinary.then_some(Self { dtype, scale, zero, lo, hi })
    }

    fn of(n: &Node, affine: &Affine) -> Result<Option<Self>, String> {
        let (&[scale], &[zero]) = (&affine.scales[..], &affine.zero_points[..]) else { return Ok(None) };
        Ok(Self::new(n.value(affine.integers)?.dtype, scale, zero))
    }

    /// Whether an activation (as in activate.wgsl) leaves all that these can stand for as it is.
    fn spares(&self, step: &Step) -> bool {
        let constant = |name| step.constants.iter().find(|(n, _)| *n == name).map_or(0.0, |(_, v)| *v);
        let real = |q: i32| f64::from(q - self.zero) * f64::from(self.scale);
        match constant("act") {
            0.0 => true,
            1.0 => self.zero == self.lo,
            2.0 => constant("act_a") <= real(self.lo) && real(self.hi) <= constant("act_b"),
            _ => false,
        }
    }
}

/// Whether `x` was dequantised from bytes of this type, scale and zero point, which are what its QuantizeLinear gives.
pub fn same(n: &Node, x: ValueId, dtype: DType, scale: f32, zero: i32) -> Result<Option<ValueId>, String> {
    let Some(affine) = &n.value(x)?.affine else { return Ok(None) };
    let same = Quantised::of(n, affine)?.is_some_and(|q| Quantised::new(dtype, scale, zero) == Some(q));
    Ok(same.then_some(affine.integers))
}

/// Lets the step behind `x` write `y`, the integers of its result, where it can; says whether it does.
pub fn fuse(n: &mut Node, x: ValueId, y: ValueId, scale: f32, zero: i32) -> Result<bool, String> {
    let Some(to) = Quantised::new(n.value(y)?.dtype, scale, zero) else { return Ok(false) };
    let Some((at, step)) = n.graph.sole_step(x).map(|(at, step)| (at, step.clone())) else {
        return Ok(false);
    };
    let mut from = Vec::new();
    for id in step.reads.iter().flatten() {
        let Some(affine) = n.value(*id)?.affine.clone() else { return Ok(false) };
        match Quantised::of(n, &affine)?.filter(|q| q.dtype == to.dtype) {
            Some(q) => from.push((affine.integers, q)),
            None => return Ok(false),
        }
    }
    let whole = |id: ValueId| n.value(id).map(|v| v.shape.clone());
    let changed = match (step.shader.name, &from[..]) {
        (name, &[(a, qa), (b, qb)]) if name == binary::FLOAT.name => {
            let shape = whole(x)?;
            let sum =
                step.constants.contains(&("op", binary::ADD)) && whole(a)? == shape && whole(b)? == shape;
            if !sum || !to.spares(&step) {
                return Ok(false);
            }
            quantised_sum::step(n, &step, [(a, qa), (b, qb)], to)?
        }
        (name, &[(a, q)]) if name == reduce_mean::SHADER.name && step.form == Form::Mean => {
            let plane: usize = whole(a)?.iter().skip(2).product();
            if plane > MOST_PLACES {
                return Ok(false);
            }
            mean_of(&step, (a, q), to, plane)
        }
        (name, &[(a, q)]) if name == pool::MAX.name && q == to => Step {
            shader: &pool::MAX_INTEGER,
            narrow: Some(&pool::MAX_BYTES),
            reads: vec![Some(a)],
            ..step.clone()
        },
        _ => return Ok(false),
    };
    n.graph.steps.get_mut(at).into_iter().for_each(|s| *s = changed.clone());
    n.graph.retarget(at, n.op(), y);
    Ok(true)
}

fn mean_of(step: &Step, (a, q): (ValueId, Quantised), to: Quantised, plane: usize) -> Step {
    let mut new = Step {
        shader: &MEAN,
        narrow: Some(&MEAN_BYTES),
        constants: vec![("count", plane as f64), ("x_zero", q.zero.into()), ("y_zero", to.zero.into())],
        reads: vec![Some(a)],
        form: Form::PerTensor,
        fuse: Fuse::No,
        ..step.clone()
    };
    new.set("scale", (q.scale / (to.scale * plane as f32)).into());
    new.set("lo", to.lo.into());
    new.set("hi", to.hi.into());
    new.set_total(step.invocations);
    new
}
