//! The mean of each plane of dequantised values and the QuantizeLinear behind it: ONNX Runtime's QLinearGlobalAveragePool.

use crate::gpu::ir::op::QuantisedMean;
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// A plane of words.
const WORDS: Shader = shader!("quantised_mean": "integer", "step", "scalars", "quantised_mean");
/// Four planes of bytes.
const BYTES: Shader = shader!("quantised_mean_bytes": "integer", "step", "bytes", "quantised_mean");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&WORDS, &BYTES];

/// Returns the kernel, with an invocation for each plane, or four of them.
pub fn kernel(mean: &QuantisedMean, at: &Setting) -> Result<Kernel, String> {
    let constants = vec![
        ("count", mean.count as f64),
        ("scale", mean.scale.into()),
        ("x_zero", mean.x_zero.into()),
        ("y_zero", mean.to.zero.into()),
        ("lo", mean.to.lo.into()),
        ("hi", mean.to.hi.into()),
    ];
    at.kernel([Some(&WORDS), Some(&BYTES), None], constants)
}
