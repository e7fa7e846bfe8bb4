//! Conv and Gemm of dequantised bytes, computed on the integers: what DequantizeLinear -> Conv or Gemm -> QuantizeLinear
//! means, without rounding in between.

use super::conv::{blocks, general_constants};
use super::conv4;
use crate::gpu::ir::form::Form;
use crate::gpu::ir::op::{IntegerConv, Requantise};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// Of any layout of channels and weights.
const GENERAL: Shader = shader!("integer_conv": "integer", "step", "window", "conv_sums", "integer_conv");
/// These are all shaders of the operator but those of conv4.rs.
pub const SHADERS: &[&Shader] = &[&GENERAL];

/// Returns the kernel: in fours one of conv4.rs, else the general one.
pub fn kernel(conv: &IntegerConv, at: &Setting) -> Result<Kernel, String> {
    if at.laid.form != Form::Plain {
        return conv4::integer_kernel(conv, at);
    }
    let mut constants = general_constants(&conv.window, &conv.groups, at);
    constants.push(("x_zero", conv.x_zero.into()));
    constants.extend(requantise_constants(conv));
    let entry = if conv.requantise.is_some() { "main_integer" } else { "main_float" };
    Ok(Kernel::new(&GENERAL, entry, constants, blocks(&conv.groups, at)?))
}

/// Returns `y_zero`, `lo`, `hi` where the result is quantised.
pub fn requantise_constants(conv: &IntegerConv) -> Vec<(&'static str, f64)> {
    let of = |to: Requantise| [("y_zero", to.zero), ("lo", to.lo), ("hi", to.hi)];
    conv.requantise.map(of).into_iter().flatten().map(|(name, v)| (name, v.into())).collect()
}
