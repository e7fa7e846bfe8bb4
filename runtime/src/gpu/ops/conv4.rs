//! Convolutions with channels in fours and packed weights: in registers, in shared memory, depthwise.

use super::conv::Groups;
use crate::backend::Kernels;
use crate::gpu::graph::{Conv, DType, Form, Fuse, GROUP, Graph, Shader, Step, ValueId};
use crate::onnx::{Constant, Numbers};
use std::rc::Rc;

/// conv_block.wgsl, of floats and of integers.
pub const BLOCK: [Shader; 2] = [
    shader!("conv_block": "activate", "float4", "conv4", "conv_block"),
    shader!("conv_block_integer": "integer4", "conv4", "conv_block"),
];
/// conv_tile.wgsl
pub const TILE: [Shader; 2] = [
    shader!("conv_tile": "activate", "float4", "conv4", "conv_tile"),
    shader!("conv_tile_integer": "integer4", "conv4", "conv_tile"),
];
/// depthwise.wgsl
pub const DEPTHWISE: [Shader; 2] = [
    shader!("depthwise": "activate", "float4", "conv4", "depthwise"),
    shader!("depthwise_integer": "integer4", "conv4", "depthwise"),
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
    let unsigned = x.map(|x| graph.value(x)).transpose()?.is_some_and(|x| x.dtype == DType::U8);
    let c4 = (groups.groups * groups.cg).div_ceil(4);
    let m4 = (groups.groups * groups.mg).div_ceil(4);
    let taps = window.kernel[1] * window.kernel[2];
    let rows = groups.groups * groups.mg;
    let depthwise = kernel == Kernel::Depthwise;
    let packed = if *integer {
        let (weights, heads) = integers(graph, step, rows)?;
        let all = if depthwise {
            pack_depthwise(&weights, &heads, taps)
        } else {
            pack(&weights, &heads, groups, taps)
        };
        Constant { elem_type: 6, shape: vec![all.len()], numbers: Numbers::I32(all) }
    } else {
        let weights = floats(graph, step, 1)?.ok_or("has no weights")?;
        let heads = [floats(graph, step, 2)?.unwrap_or_default()];
        let all = if depthwise {
            pack_depthwise(&weights, &heads, taps)
        } else {
            pack(&weights, &heads, groups, taps)
        };
        Constant { elem_type: 1, shape: vec![all.len()], numbers: Numbers::F32(all) }
    };
    let w = graph.add_packed(packed)?;
    let padded = window.begin.iter().chain(&window.end).any(|&p| p > 0);
    // Without taps beside it a plane is one row.
    let pointwise = !padded && window.kernel == [1; 3] && window.stride == [1; 3];
    let as_row = |[_, h, w]: [usize; 3]| if pointwise { [1, h * w] } else { [h, w] };
    let ([in_h, in_w], [out_h, out_w]) = (as_row(window.input), as_row(window.output));
    let ([float, of_integers], total, group) = match kernel {
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
    let own: &[&str] = if *integer { &["x_zero", "y_zero", "lo", "hi"] } else { &["act", "act_a", "act_b"] };
    let mut constants: Vec<(&'static str, f64)> =
        step.constants.iter().filter(|(name, _)| own.contains(name)).copied().collect();
    let ends = if *integer {
        vec![("requantise", usize::from(step.entry == "main_integer")), ("x_unsigned", usize::from(unsigned))]
    } else {
        vec![("residual", usize::from(r.is_some()))]
    };
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
    constants.extend(ends.into_iter().chain(sizes).map(|(name, v)| (name, v as f64)));
    Ok(Some(Step {
        node: step.node.clone(),
        op: step.op.clone(),
        shader: if *integer { of_integers } else { float },
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

/// Weights without their zero points, and for each output channel bias and scale (its bits).
fn integers(graph: &mut Graph, step: &Step, rows: usize) -> Result<(Vec<i32>, [Vec<i32>; 2]), String> {
    let mut read = |i: usize| -> Result<Option<Vec<i32>>, String> {
        let Some(&Some(id)) = step.reads.get(i) else { return Ok(None) };
        match graph.take_numbers(id)?.map(Rc::unwrap_or_clone) {
            Some(Numbers::I32(v)) => Ok(Some(v)),
            _ => Err("has weights that are not constant integers".into()),
        }
    };
    let mut weights = read(1)?.ok_or("has no weights")?;
    let zeros = read(4)?.ok_or("has no zero points")?;
    let bias = read(2)?.unwrap_or_default();
    let each = (weights.len() / rows.max(1)).max(1);
    for (row, zero) in weights.chunks_mut(each).zip(zeros) {
        row.iter_mut().for_each(|w| *w = w.wrapping_sub(zero));
    }
    let scales = floats(graph, step, 3)?.ok_or("has no scales")?;
    let bits = scales.iter().map(|s| i32::from_ne_bytes(s.to_ne_bytes())).collect();
    Ok((weights, [bias, bits]))
}

/// `[M, C, taps]` as conv4.wgsl reads it, each pair of fours behind its rows of `heads`; what is missing is 0.
fn pack<T: Copy + Default>(weights: &[T], heads: &[Vec<T>], groups: &Groups, taps: usize) -> Vec<T> {
    let (c, m) = (groups.cg, groups.mg);
    let c4 = c.div_ceil(4);
    let mut all = Vec::with_capacity(m.div_ceil(8) * (8 * heads.len() + c4 * taps * 32));
    let at = |v: &[T], i: usize| v.get(i).copied().unwrap_or_default();
    for first in (0..m).step_by(8) {
        all.extend(heads.iter().flat_map(|head| (first..first + 8).map(|row| at(head, row))));
        for (four, tap) in (0..c4).flat_map(|four| (0..taps).map(move |tap| (four, tap))) {
            for (half, column) in (0..2).flat_map(|half| (0..4).map(move |k| (half, 4 * four + k))) {
                let rows = first + 4 * half..first + 4 * half + 4;
                let weight = |row: usize| match row < m && column < c {
                    true => at(weights, (row * c + column) * taps + tap),
                    false => T::default(),
                };
                all.extend(rows.map(weight));
            }
        }
    }
    all
}

/// `[C, 1, taps]`, each four behind its rows of `heads`.
fn pack_depthwise<T: Copy + Default>(weights: &[T], heads: &[Vec<T>], taps: usize) -> Vec<T> {
    let c = weights.len() / taps.max(1);
    let at = |v: &[T], i: usize| v.get(i).copied().unwrap_or_default();
    let mut all = Vec::with_capacity(c.next_multiple_of(4) * (taps + heads.len()));
    for first in (0..c).step_by(4) {
        let rows = first..first + 4;
        all.extend(heads.iter().flat_map(|head| rows.clone().map(|row| at(head, row))));
        all.extend((0..taps).flat_map(|t| rows.clone().map(move |row| at(weights, row * taps + t))));
    }
    all
}
