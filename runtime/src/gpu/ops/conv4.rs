//! Convolutions with channels in fours and packed weights: in registers, in shared memory, depthwise.

use super::conv::Groups;
use crate::backend::Kernels;
use crate::gpu::ir::graph::{Conv, DType, Form, Fuse, GROUP, Graph, Shader, Step, ValueId};
use crate::onnx::{Constant, Numbers};
use half::f16;
use std::rc::Rc;

/// conv_block.wgsl, of floats, of integers and of float16.
pub const BLOCK: [Shader; 3] = [
    shader!("conv_block": "nan", "activate", "float4", "floats4", "conv4", "conv_block"),
    shader!("conv_block_integer": "integer4", "conv4", "conv_block"),
    shader!("conv_block_halves": "nan", "activate", "halves", "halves4", "floats4", "conv4", "conv_block"),
];
/// conv_tile.wgsl
pub const TILE: [Shader; 3] = [
    shader!("conv_tile": "nan", "activate", "float4", "floats4", "conv4", "conv_tile"),
    shader!("conv_tile_integer": "integer4", "conv4", "conv_tile"),
    shader!("conv_tile_halves": "nan", "activate", "halves", "halves4", "floats4", "conv4", "conv_tile"),
];
/// depthwise.wgsl
pub const DEPTHWISE: [Shader; 3] = [
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

/// What computes a convolution.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Block,
    Tile,
    Depthwise,
}

/// Which kernel of `kernels` computes it, if any: two spatial dimensions at most, and one group or as many as
/// channels.
fn kernel(conv: &Conv, kernels: Kernels) -> Option<Kernel> {
    let (w, groups) = (&conv.window, &conv.groups);
    let flat = w.input[0] == 1 && w.kernel[0] == 1 && w.begin[0] == 0 && w.end[0] == 0;
    if !flat || kernels == Kernels::General {
        return None;
    }
    if groups.groups == 1 {
        return Some(if kernels == Kernels::Tile { Kernel::Tile } else { Kernel::Block });
    }
    let depthwise = groups.cg == 1 && groups.mg == 1;
    let narrow = w.kernel[2] <= WIDEST && w.stride[2] <= 2 && w.dilation[2] == 1;
    (depthwise && narrow).then_some(Kernel::Depthwise)
}

/// Whether [`tuned`] makes anything of it.
pub fn tunable(conv: &Conv, kernels: Kernels) -> bool {
    kernel(conv, kernels).is_some()
}

/// The step with channels in fours, of `images` images: `x`, the residual and `y` are so. None where none of the
/// `kernels` computes it.
pub fn tuned(
    graph: &mut Graph,
    step: &Step,
    conv: &Conv,
    kernels: Kernels,
    images: usize,
    [x, r, y]: [Option<ValueId>; 3],
) -> Result<Option<Step>, String> {
    let (Some(kernel), Some(y)) = (kernel(conv, kernels), y) else { return Ok(None) };
    let Conv { window, groups, integer } = conv;
    let x_type = x.map(|x| graph.value(x)).transpose()?.map(|x| x.dtype);
    // u8 less 128 is i8, and in bits the highest one turned over.
    let (offset, flip) = if x_type == Some(DType::U8) { (128, 0x8080_8080u32) } else { (0, 0) };
    let halves = x_type == Some(DType::F16);
    let c4 = (groups.groups * groups.cg).div_ceil(4);
    let m4 = (groups.groups * groups.mg).div_ceil(4);
    let taps = window.kernel[1] * window.kernel[2];
    let rows = groups.groups * groups.mg;
    let depthwise = kernel == Kernel::Depthwise;
    let packed = match integer {
        Some(x_zero) => {
            let (weights, heads) = integers(graph, step, rows, x_zero.wrapping_sub(offset))?;
            let all = if depthwise {
                pack_depthwise_bytes(&weights, &heads, window.kernel)
            } else {
                pack_bytes(&weights, &heads, groups, taps)
            };
            Constant { elem_type: 6, shape: vec![all.len()], numbers: Numbers::I32(all) }
        }
        None => {
            let weights = floats(graph, step, 1)?.ok_or("has no weights")?;
            let bias = floats(graph, step, 2)?.unwrap_or_default();
            let width = if halves { 2 } else { 1 };
            let all = if depthwise {
                pack_depthwise(&weights, &bias, window.kernel, width)
            } else {
                pack(&weights, &bias, groups, taps)
            };
            if halves {
                let head = if depthwise { 4 } else { 8 };
                let blocks = if depthwise { c4 } else { m4.div_ceil(2) };
                let all = half_weights(&all, head, blocks);
                Constant { elem_type: 6, shape: vec![all.len()], numbers: Numbers::I32(all) }
            } else {
                Constant { elem_type: 1, shape: vec![all.len()], numbers: Numbers::F32(all) }
            }
        }
    };
    let w = graph.add_packed(packed)?;
    let padded = window.begin.iter().chain(&window.end).any(|&p| p > 0);
    // Without taps beside it a plane is one row.
    let pointwise = !padded && window.kernel == [1; 3] && window.stride == [1; 3];
    let as_row = |[_, h, w]: [usize; 3]| if pointwise { [1, h * w] } else { [h, w] };
    let ([in_h, in_w], [out_h, out_w]) = (as_row(window.input), as_row(window.output));
    let ([float, of_integers, of_halves], total, group) = match kernel {
        Kernel::Block => (BLOCK.each_ref(), images * m4.div_ceil(2) * out_h * out_w.div_ceil(4), GROUP),
        Kernel::Depthwise => (DEPTHWISE.each_ref(), images * c4 * out_h * out_w.div_ceil(4), GROUP),
        Kernel::Tile => {
            let tiles = (out_h * out_w).div_ceil(TILE_PLACES);
            (TILE.each_ref(), images * m4.div_ceil(TILE_FOURS) * tiles, TILE_GROUP)
        }
    };
    let invocations = if kernel == Kernel::Tile { total * TILE_GROUP } else { total };
    let [_, pad_h, pad_w] = window.begin;
    let params = [total, c4, m4, in_h, in_w, out_h, out_w, pad_h, pad_w];
    let params = params.into_iter().map(u32::try_from).collect::<Result<Vec<u32>, _>>();
    let own: &[&str] = if integer.is_some() { &["y_zero", "lo", "hi"] } else { &["act", "act_a", "act_b"] };
    let mut constants: Vec<(&'static str, f64)> =
        step.constants.iter().filter(|(name, _)| own.contains(name)).copied().collect();
    if let Some(x_zero) = integer {
        let zero =
            i8::try_from(x_zero.wrapping_sub(offset)).map_err(|_| "has a zero point that is no byte")?;
        let requantise = f64::from(u8::from(step.entry == "main_integer"));
        constants.extend([("requantise", requantise), ("x_flip", flip.into())]);
        constants.push(("x_outside", u32::from_ne_bytes([zero.to_ne_bytes()[0]; 4]).into()));
    } else {
        constants.push(("residual", f64::from(u8::from(r.is_some()))));
    }
    let [_, kh, kw] = window.kernel;
    let [_, sh, sw] = window.stride;
    let [_, lh, lw] = window.dilation;
    let sizes = [
        ("kh", kh),
        ("kw", kw),
        ("sh", sh),
        ("sw", sw),
        ("lh", lh),
        ("lw", lw),
        ("padded", usize::from(padded)),
    ];
    constants.extend(sizes.map(|(name, v)| (name, v as f64)));
    Ok(Some(Step {
        node: step.node.clone(),
        op: step.op.clone(),
        shader: match integer {
            Some(_) => of_integers,
            None if halves => of_halves,
            None => float,
        },
        narrow: None,
        entry: "main",
        constants,
        reads: vec![x, Some(w), None, r],
        write: y,
        of: step.of,
        of_reads: step.of_reads.clone(),
        invocations,
        group,
        params: params.map_err(|_| "is too large")?,
        form: Form::Plain,
        fuse: Fuse::No,
    }))
}

fn floats(graph: &mut Graph, step: &Step, i: usize) -> Result<Option<Vec<f32>>, String> {
    let Some(&Some(id)) = step.reads.get(i) else { return Ok(None) };
    match graph.take_numbers(id)?.map(Rc::unwrap_or_clone) {
        Some(Numbers::F32(v)) => Ok(Some(v)),
        _ => Err("has weights that are not constant floats".into()),
    }
}

/// Weights without their zero points, which are bytes, and for each output channel bias and scale (its bits). What
/// `zero`, the input's zero point as i8, times a channel's weights adds up to is taken off its bias: modulo 2^32, as
/// the kernels add, so the sum is the same.
fn integers(
    graph: &mut Graph,
    step: &Step,
    rows: usize,
    zero: i32,
) -> Result<(Vec<i8>, [Vec<i32>; 2]), String> {
    let mut read = |i: usize| -> Result<Option<Vec<i32>>, String> {
        let Some(&Some(id)) = step.reads.get(i) else { return Ok(None) };
        match graph.take_numbers(id)?.map(Rc::unwrap_or_clone) {
            Some(Numbers::I32(v)) => Ok(Some(v)),
            _ => Err("has weights that are not constant integers".into()),
        }
    };
    let weights = read(1)?.ok_or("has no weights")?;
    let zeros = read(4)?.ok_or("has no zero points")?;
    let mut bias = read(2)?.unwrap_or_default();
    bias.resize(rows, 0);
    let each = (weights.len() / rows.max(1)).max(1);
    let mut bytes = Vec::with_capacity(weights.len());
    for ((row, w_zero), bias) in weights.chunks(each).zip(zeros).zip(&mut bias) {
        let mut sum = 0i32;
        for w in row {
            let w = i8::try_from(w.wrapping_sub(w_zero)).map_err(|_| "has weights that are not bytes")?;
            sum = sum.wrapping_add(w.into());
            bytes.push(w);
        }
        *bias = bias.wrapping_sub(zero.wrapping_mul(sum));
    }
    let scales = floats(graph, step, 3)?.ok_or("has no scales")?;
    let bits = scales.iter().map(|s| i32::from_ne_bytes(s.to_ne_bytes())).collect();
    Ok((bytes, [bias, bits]))
}

/// Four bytes as a word, the first the lowest.
fn word(bytes: [i8; 4]) -> i32 {
    i32::from_le_bytes(bytes.map(|b| b.to_le_bytes()[0]))
}

/// The value, or 0 behind the last one.
fn at<T: Copy + Default>(values: &[T], i: usize) -> T {
    values.get(i).copied().unwrap_or_default()
}

/// `[M, C, taps]` as conv4.wgsl reads it, each pair of fours behind its biases; what is missing is 0.
fn pack(weights: &[f32], bias: &[f32], groups: &Groups, taps: usize) -> Vec<f32> {
    let (c, m) = (groups.cg, groups.mg);
    let c4 = c.div_ceil(4);
    let mut all = Vec::with_capacity(m.div_ceil(8) * (8 + c4 * taps * 32));
    for first in (0..m).step_by(8) {
        all.extend((first..first + 8).map(|row| at(bias, row)));
        for (four, tap) in (0..c4).flat_map(|four| (0..taps).map(move |tap| (four, tap))) {
            for (half, column) in (0..2).flat_map(|half| (0..4).map(move |k| (half, 4 * four + k))) {
                let rows = first + 4 * half..first + 4 * half + 4;
                all.extend(rows.map(|row| weight(weights, [m, c, taps], [row, column, tap])));
            }
        }
    }
    all
}

/// The same of bytes: a word of four input channels for each of eight output channels.
fn pack_bytes(weights: &[i8], heads: &[Vec<i32>; 2], groups: &Groups, taps: usize) -> Vec<i32> {
    let (c, m) = (groups.cg, groups.mg);
    let c4 = c.div_ceil(4);
    let mut all = Vec::with_capacity(m.div_ceil(8) * (16 + c4 * taps * 8));
    for first in (0..m).step_by(8) {
        all.extend(heads.iter().flat_map(|head| (first..first + 8).map(|row| at(head, row))));
        for (four, tap) in (0..c4).flat_map(|four| (0..taps).map(move |tap| (four, tap))) {
            let channels =
                |row| [0, 1, 2, 3].map(|k| weight(weights, [m, c, taps], [row, 4 * four + k, tap]));
            all.extend((first..first + 8).map(|row| word(channels(row))));
        }
    }
    all
}

/// Of `[M, C, taps]`; 0 beyond its channels.
fn weight<T: Copy + Default>(weights: &[T], [m, c, taps]: [usize; 3], [row, column, tap]: [usize; 3]) -> T {
    if row < m && column < c { at(weights, (row * c + column) * taps + tap) } else { T::default() }
}

/// `[C, 1, KH, KW]`, each four behind its biases; rows are filled up to a multiple of `width` taps.
fn pack_depthwise(weights: &[f32], bias: &[f32], [_, kh, kw]: [usize; 3], width: usize) -> Vec<f32> {
    let c = weights.len() / (kh * kw).max(1);
    let full = kw.next_multiple_of(width);
    let mut all = Vec::with_capacity(c.next_multiple_of(4) * (1 + kh * full));
    for first in (0..c).step_by(4) {
        let rows = first..first + 4;
        all.extend(rows.clone().map(|row| at(bias, row)));
        for (zh, zw) in (0..kh).flat_map(|zh| (0..full).map(move |zw| (zh, zw))) {
            let tap = |row| if zw < kw { at(weights, (row * kh + zh) * kw + zw) } else { 0.0 };
            all.extend(rows.clone().map(tap));
        }
    }
    all
}

/// Packed floats in `blocks` equal parts: of each its `head` in the bits of f32, then two float16 in a word.
fn half_weights(packed: &[f32], head: usize, blocks: usize) -> Vec<i32> {
    let word = |pair: [f32; 2]| {
        let [a, b] = pair.map(|v| f16::from_f32(v).to_le_bytes());
        i32::from_le_bytes([a[0], a[1], b[0], b[1]])
    };
    let mut all = Vec::with_capacity(packed.len() / 2 + blocks * head);
    for block in packed.chunks((packed.len() / blocks.max(1)).max(1)) {
        let (heads, body) = block.split_at(head.min(block.len()));
        all.extend(heads.iter().map(|v| i32::from_ne_bytes(v.to_ne_bytes())));
        all.extend(body.as_chunks().0.iter().copied().map(word));
    }
    all
}

/// The same of bytes: rows of taps, each of as many words, rounded up to fours of them.
fn pack_depthwise_bytes(weights: &[i8], heads: &[Vec<i32>; 2], [_, kh, kw]: [usize; 3]) -> Vec<i32> {
    let c = weights.len() / (kh * kw).max(1);
    let mut all = Vec::with_capacity(c.div_ceil(4) * (8 + kh * kw.next_multiple_of(4)));
    for first in (0..c).step_by(4) {
        all.extend(heads.iter().flat_map(|head| (first..first + 4).map(|row| at(head, row))));
        for (zh, zw) in (0..kh).flat_map(|zh| (0..kw.next_multiple_of(4)).map(move |zw| (zh, zw))) {
            let tap = |k| if zw < kw { at(weights, ((first + k) * kh + zh) * kw + zw) } else { 0 };
            all.push(word([0, 1, 2, 3].map(tap)));
        }
    }
    all
}
