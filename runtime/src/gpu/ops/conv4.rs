//! Convolutions with channels in fours and packed weights (conv4_weights.rs): in registers, in shared memory, depthwise.

use super::activation;
use super::integer_conv::requantise_constants;
use crate::backend::Kernels;
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::op::{Conv, IntegerConv};
use crate::gpu::ir::window::{Groups, Window};
use crate::gpu::kernel::{GROUP, Kernel, Setting, Shader};

/// conv_block.wgsl, of floats, of integers and of float16.
static BLOCK: [Shader; 3] = [
    shader!("conv_block": "nan", "activate", "float4", "floats4", "conv4", "conv_block"),
    shader!("conv_block_integer": "integer4", "conv4", "conv_block"),
    shader!("conv_block_halves": "nan", "activate", "halves", "halves4", "floats4", "conv4", "conv_block"),
];
/// conv_tile.wgsl
static TILE: [Shader; 3] = [
    shader!("conv_tile": "nan", "activate", "float4", "floats4", "conv4", "conv_tile"),
    shader!("conv_tile_integer": "integer4", "conv4", "conv_tile"),
    shader!("conv_tile_halves": "nan", "activate", "halves", "halves4", "floats4", "conv4", "conv_tile"),
];
/// depthwise.wgsl
static DEPTHWISE: [Shader; 3] = [
    shader!("depthwise": "nan", "activate", "float4", "floats4", "conv4", "depthwise"),
    shader!("depthwise_integer": "integer4", "conv4", "depthwise"),
    shader!("depthwise_halves": "nan", "activate", "halves", "halves4", "floats4", "conv4", "depthwise"),
];

/// Columns of the widest kernel that depthwise.wgsl takes.
const WIDEST: usize = 7;
/// conv_tile.wgsl: places and fours of output channels of a workgroup, and its invocations.
const TILE_PLACES: usize = 64;
const TILE_FOURS: usize = 16;
const TILE_GROUP: usize = 256;

/// These are all shaders of convolutions with channels in fours.
pub const SHADERS: &[&Shader] = &[
    &BLOCK[0],
    &BLOCK[1],
    &BLOCK[2],
    &DEPTHWISE[0],
    &DEPTHWISE[1],
    &DEPTHWISE[2],
    &TILE[0],
    &TILE[1],
    &TILE[2],
];

/// This says what computes a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Dense, in registers.
    Block,
    /// Dense, in shared memory.
    Tile,
    /// A group for each channel.
    Depthwise,
}

impl Kind {
    /// Returns which of `kernels` computes it, if any: it has two spatial dimensions at most, and one group or
    /// as many as channels.
    pub fn of(w: &Window, groups: &Groups, kernels: Kernels) -> Option<Self> {
        let flat = w.input[0] == 1 && w.kernel[0] == 1 && w.begin[0] == 0 && w.end[0] == 0;
        if !flat || kernels == Kernels::General {
            return None;
        }
        if groups.groups == 1 {
            return Some(if kernels == Kernels::Tile { Self::Tile } else { Self::Block });
        }
        let depthwise = groups.cg == 1 && groups.mg == 1;
        let narrow = w.kernel[2] <= WIDEST && w.stride[2] <= 2 && w.dilation[2] == 1;
        (depthwise && narrow).then_some(Self::Depthwise)
    }
}

/// Returns what is taken off a byte to make it i8: 128 of u8, else 0.
pub fn byte_offset(dtype: DType) -> i32 {
    if dtype == DType::U8 { 128 } else { 0 }
}

/// Returns the kernel of floats or float16.
pub fn float_kernel(conv: &Conv, at: &Setting) -> Result<Kernel, String> {
    let which = if at.read(0)?.dtype == DType::F16 { Numbers::Halves } else { Numbers::Floats };
    let mut constants = activation::constants(conv.activation);
    constants.push(("residual", f64::from(u8::from(conv.residual))));
    kernel(&conv.window, &conv.groups, at, which, constants)
}

/// Returns the kernel of bytes. It is an error if x's zero point is no byte.
pub fn integer_kernel(conv: &IntegerConv, at: &Setting) -> Result<Kernel, String> {
    let dtype = at.read(0)?.dtype;
    let zero = i8::try_from(conv.x_zero.wrapping_sub(byte_offset(dtype)))
        .map_err(|_| "has a zero point that is no byte")?;
    // Less 128 is, in bits, the highest one turned over.
    let flip = if dtype == DType::U8 { 0x8080_8080u32 } else { 0 };
    let mut constants = requantise_constants(conv);
    constants.push(("requantise", f64::from(u8::from(conv.requantise.is_some()))));
    constants.push(("x_flip", flip.into()));
    constants.push(("x_outside", u32::from_ne_bytes([zero.to_ne_bytes()[0]; 4]).into()));
    kernel(&conv.window, &conv.groups, at, Numbers::Bytes, constants)
}

/// What is multiplied: the index among a kind's shaders.
#[derive(Clone, Copy)]
enum Numbers {
    Floats,
    Bytes,
    Halves,
}

/// With the window's part of constants and parameters.
fn kernel(
    window: &Window,
    groups: &Groups,
    at: &Setting,
    numbers: Numbers,
    mut constants: Vec<(&'static str, f64)>,
) -> Result<Kernel, String> {
    let kind = Kind::of(window, groups, at.kernels).ok_or("has no kernel with channels in fours")?;
    let [images, ..] = at.write()?.planes()?;
    let (c4, m4) = (groups.inputs().div_ceil(4), groups.outputs().div_ceil(4));
    let padded = window.begin.iter().chain(&window.end).any(|&p| p > 0);
    // Without taps beside it a plane is one row.
    let pointwise = !padded && window.kernel == [1; 3] && window.stride == [1; 3];
    let as_row = |[_, h, w]: [usize; 3]| if pointwise { [1, h * w] } else { [h, w] };
    let ([in_h, in_w], [out_h, out_w]) = (as_row(window.input), as_row(window.output));
    let ([floats, bytes, halves], total, group) = match kind {
        Kind::Block => (BLOCK.each_ref(), images * m4.div_ceil(2) * out_h * out_w.div_ceil(4), GROUP),
        Kind::Depthwise => (DEPTHWISE.each_ref(), images * c4 * out_h * out_w.div_ceil(4), GROUP),
        Kind::Tile => {
            let tiles = (out_h * out_w).div_ceil(TILE_PLACES);
            (TILE.each_ref(), images * m4.div_ceil(TILE_FOURS) * tiles, TILE_GROUP)
        }
    };
    let shader = match numbers {
        Numbers::Floats => floats,
        Numbers::Bytes => bytes,
        Numbers::Halves => halves,
    };
    let [_, pad_h, pad_w] = window.begin;
    let params = [total, c4, m4, in_h, in_w, out_h, out_w, pad_h, pad_w];
    let params = params.into_iter().map(u32::try_from).collect::<Result<Vec<u32>, _>>();
    let ([_, kh, kw], [_, sh, sw], [_, lh, lw]) = (window.kernel, window.stride, window.dilation);
    let sizes = [("kh", kh), ("kw", kw), ("sh", sh), ("sw", sw), ("lh", lh), ("lw", lw)];
    constants.extend(sizes.map(|(name, v)| (name, v as f64)));
    constants.push(("padded", f64::from(u8::from(padded))));
    Ok(Kernel {
        shader,
        entry: "main",
        constants,
        invocations: if kind == Kind::Tile { total * TILE_GROUP } else { total },
        group,
        params: params.map_err(|_| "is too large")?,
    })
}
