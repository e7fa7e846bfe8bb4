//! Weights of convolutions with channels in fours, as conv4.wgsl says that they lie.

use super::conv4::{Kind, byte_offset};
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::graph::{Graph, Node, ValueId};
use crate::gpu::ir::op::{Conv, IntegerConv};
use crate::gpu::ir::window::Groups;
use crate::onnx::{Constant, Numbers};
use half::f16;
use std::rc::Rc;

/// Packs a convolution's weights and bias; where nothing else reads them, they are given up. It is an error if
/// they are not constant floats.
pub fn pack_floats(graph: &mut Graph, node: &Node, conv: &Conv, kind: Kind) -> Result<ValueId, String> {
    let halves = graph.value(node.read(0)?)?.dtype == DType::F16;
    let weights = floats(graph, node.read(1)?)?;
    let bias =
        node.reads.get(2).copied().flatten().map(|b| floats(graph, b)).transpose()?.unwrap_or_default();
    let (kernel, groups) = (conv.window.kernel, &conv.groups);
    let width = if halves { 2 } else { 1 };
    // Of each block the head, in words, and their number.
    let (all, head, blocks) = match kind {
        Kind::Depthwise => (depthwise_floats(&weights, &bias, kernel, width), 4, groups.inputs().div_ceil(4)),
        Kind::Block | Kind::Tile => {
            let taps = kernel[1] * kernel[2];
            (dense_floats(&weights, &bias, groups, taps), 8, groups.outputs().div_ceil(4).div_ceil(2))
        }
    };
    let numbers = match halves {
        true => Numbers::I32(half_weights(&all, head, blocks)),
        false => Numbers::F32(all),
    };
    packed(graph, node, numbers)
}

/// Packs a convolution's integer weights, and with them their scales, bias and zero points. It is an error if
/// they are not constant integers.
pub fn pack_integers(
    graph: &mut Graph,
    node: &Node,
    conv: &IntegerConv,
    kind: Kind,
) -> Result<ValueId, String> {
    let zero = conv.x_zero.wrapping_sub(byte_offset(graph.value(node.read(0)?)?.dtype));
    let (weights, heads) = bytes_and_heads(graph, node, conv, zero)?;
    let kernel = conv.window.kernel;
    let all = match kind {
        Kind::Depthwise => depthwise_bytes(&weights, &heads, kernel),
        Kind::Block | Kind::Tile => dense_bytes(&weights, &heads, &conv.groups, kernel[1] * kernel[2]),
    };
    packed(graph, node, Numbers::I32(all))
}

fn packed(graph: &mut Graph, node: &Node, numbers: Numbers) -> Result<ValueId, String> {
    let elem_type = if matches!(numbers, Numbers::F32(_)) { 1 } else { 6 };
    let shape = vec![numbers.len()];
    graph.add_packed(Constant { elem_type, shape, numbers }, node.origin)
}

fn floats(graph: &mut Graph, id: ValueId) -> Result<Vec<f32>, String> {
    match graph.take_numbers(id)?.map(Rc::unwrap_or_clone) {
        Some(Numbers::F32(v)) => Ok(v),
        _ => Err("has weights that are not constant floats".into()),
    }
}

fn integers(graph: &mut Graph, id: ValueId) -> Result<Vec<i32>, String> {
    match graph.take_numbers(id)?.map(Rc::unwrap_or_clone) {
        Some(Numbers::I32(v)) => Ok(v),
        _ => Err("has weights that are not constant integers".into()),
    }
}

/// Weights without their zero points, which are bytes, and for each output channel bias and scale (its bits). What
/// `zero`, the input's zero point as i8, times a channel's weights adds up to is taken off its bias: modulo 2^32, as
/// the kernels add, so the sum is the same.
fn bytes_and_heads(
    graph: &mut Graph,
    node: &Node,
    conv: &IntegerConv,
    zero: i32,
) -> Result<(Vec<i8>, [Vec<i32>; 2]), String> {
    let rows = conv.groups.outputs();
    let weights = integers(graph, node.read(1)?)?;
    let bias = node.reads.get(2).copied().flatten().map(|b| integers(graph, b)).transpose()?;
    let mut bias = bias.unwrap_or_default();
    bias.resize(rows, 0);
    let each = (weights.len() / rows.max(1)).max(1);
    let mut bytes = Vec::with_capacity(weights.len());
    for ((row, w_zero), bias) in weights.chunks(each).zip(&conv.zero_points).zip(&mut bias) {
        let mut sum = 0i32;
        for w in row {
            let w = i8::try_from(w.wrapping_sub(*w_zero)).map_err(|_| "has weights that are not bytes")?;
            sum = sum.wrapping_add(w.into());
            bytes.push(w);
        }
        *bias = bias.wrapping_sub(zero.wrapping_mul(sum));
    }
    let bits = conv.scales.iter().map(|s| i32::from_ne_bytes(s.to_ne_bytes())).collect();
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
fn dense_floats(weights: &[f32], bias: &[f32], groups: &Groups, taps: usize) -> Vec<f32> {
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
fn dense_bytes(weights: &[i8], heads: &[Vec<i32>; 2], groups: &Groups, taps: usize) -> Vec<i32> {
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
fn depthwise_floats(weights: &[f32], bias: &[f32], [_, kh, kw]: [usize; 3], width: usize) -> Vec<f32> {
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
fn depthwise_bytes(weights: &[i8], heads: &[Vec<i32>; 2], [_, kh, kw]: [usize; 3]) -> Vec<i32> {
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
