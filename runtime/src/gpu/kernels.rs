//! The last stage: of each operator, with its values laid out, the kernel that computes it on an adapter.

use crate::gpu::ir::op::Op;
use crate::gpu::kernel::{Kernel, Setting};
use crate::gpu::ops;

/// Returns the kernel of an operator where it stands.
pub fn kernel(at: &Setting) -> Result<Kernel, String> {
    match &at.laid.node.op {
        Op::Activation(op) => ops::activation::kernel(*op, at),
        Op::AveragePool(op) => ops::average_pool::kernel(op, at),
        Op::BatchNorm(op) => ops::batch_norm::kernel(op, at),
        Op::Binary(op) => ops::binary::kernel(op, at),
        Op::Cast(op) => ops::cast::kernel(*op, at),
        Op::ClipIntegers(op) => ops::clip::kernel(op, at),
        Op::Concat(op) => ops::concat::kernel(op, at),
        Op::Conv(op) => ops::conv::kernel(op, at),
        Op::ConvTranspose(op) => ops::conv_transpose::kernel(op, at),
        Op::Dequantize(op) => ops::dequantize::kernel(op, at),
        Op::Gemm(op) => ops::gemm::kernel(op, at),
        Op::IntegerConv(op) => ops::integer_conv::kernel(op, at),
        Op::MatMul(op) => ops::mat_mul::kernel(op, at),
        Op::MaxPool(op) => ops::max_pool::kernel(op, at),
        Op::Pad(op) => ops::pad::kernel(op, at),
        Op::QuantisedMean(op) => ops::quantised_mean::kernel(op, at),
        Op::QuantisedProduct(op) => ops::quantised_product::kernel(op, at),
        Op::QuantisedSum(op) => ops::quantised_sum::kernel(op, at),
        Op::Quantize(op) => ops::quantize::kernel(op, at),
        Op::ReduceMean(op) => ops::reduce_mean::kernel(op, at),
        Op::Relayout(op) => ops::relayout::kernel(*op, at),
        Op::Resize(op) => ops::resize::kernel(op, at),
        Op::Softmax(op) => ops::softmax::kernel(op, at),
        Op::Strided(op) => ops::strided::kernel(op, at),
    }
}
