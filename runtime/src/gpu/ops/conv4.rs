//! Convolutions with channels in fours and packed weights: in registers, in shared memory, depthwise.

use super::conv::Groups;
use super::window::Window;
use crate::backend::Kernels;
use crate::gpu::graph::{Form, Fuse, GROUP, Graph, Shader, Step, ValueId};
use crate::onnx::{Constant, Numbers};

/// conv_block.wgsl
pub const BLOCK: Shader = shader!("conv_block": "activate", "conv4", "conv_block");
/// conv_tile.wgsl
pub const TILE: Shader = shader!("conv_tile": "activate", "conv4", "conv_tile");
/// depthwise.wgsl
pub const DEPTHWISE: Shader = shader!("depthwise": "activate", "conv4", "depthwise");

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
fn kernel(window: &Window, groups: &Groups, kernels: Kernels) -> Option<Kernel> {
    let w = window;
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
pub fn tunable(window: &Window, groups: &Groups, kernels: Kernels) -> bool {
    kernel(window, groups, kernels).is_some()
}

/// The step with channels in fours, of `images` images: `x`, the residual and `y` are so. None where none of the
/// `kernels` computes it.
pub fn tuned(
    graph: &mut Graph,
    step: &Step,
    (window, groups): &(Window, Groups),
    kernels: Kernels,
    images: usize,
    [x, r, y]: [Option<ValueId>; 3],
) -> Result<Option<Step>, String> {
    let (Some(kernel), Some(y)) = (kernel(window, groups, kernels), y) else { return Ok(None) };
    let c4 = (groups.groups * groups.cg).div_ceil(4);
    let m4 = (groups.groups * groups.mg).div_ceil(4);
    let weights = floats(graph, step.reads.get(1))?.ok_or("has no weights")?;
    let bias = floats(graph, step.reads.get(2))?;
    let taps = window.kernel[1] * window.kernel[2];
    let packed = match kernel {
        Kernel::Depthwise => pack_depthwise(&weights, bias.as_deref(), taps),
        Kernel::Block | Kernel::Tile => pack(&weights, bias.as_deref(), groups, taps),
    };
    let w = graph.add_packed(packed)?;
    let padded = window.begin.iter().chain(&window.end).any(|&p| p > 0);
    // Without taps beside it a plane is one row.
    let pointwise = !padded && window.kernel == [1; 3] && window.stride == [1; 3];
    let as_row = |[_, h, w]: [usize; 3]| if pointwise { [1, h * w] } else { [h, w] };
    let ([in_h, in_w], [out_h, out_w]) = (as_row(window.input), as_row(window.output));
    let (shader, total, group) = match kernel {
        Kernel::Block => (&BLOCK, images * m4.div_ceil(2) * out_h * out_w.div_ceil(4), GROUP),
        Kernel::Depthwise => (&DEPTHWISE, images * c4 * out_h * out_w.div_ceil(4), GROUP),
        Kernel::Tile => {
            let tiles = (out_h * out_w).div_ceil(TILE_PLACES);
            (&TILE, images * m4.div_ceil(TILE_FOURS) * tiles, TILE_GROUP)
        }
    };
    let invocations = if kernel == Kernel::Tile { total * TILE_GROUP } else { total };
    let [_, pad_h, pad_w] = window.begin;
    let params = [total, c4, m4, in_h, in_w, out_h, out_w, pad_h, pad_w];
    let params = params.into_iter().map(u32::try_from).collect::<Result<Vec<u32>, _>>();
    let mut constants: Vec<(&'static str, f64)> =
        step.constants.iter().filter(|(name, _)| name.starts_with("act")).copied().collect();
    let named = [("residual", usize::from(r.is_some())), ("padded", usize::from(padded))];
    let [_, kh, kw] = window.kernel;
    let [_, sh, sw] = window.stride;
    let [_, lh, lw] = window.dilation;
    let sizes = [("kh", kh), ("kw", kw), ("sh", sh), ("sw", sw), ("lh", lh), ("lw", lw)];
    constants.extend(named.into_iter().chain(sizes).map(|(name, v)| (name, v as f64)));
    Ok(Some(Step {
        node: step.node.clone(),
        op: step.op.clone(),
        shader,
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

fn floats(graph: &Graph, id: Option<&Option<ValueId>>) -> Result<Option<Vec<f32>>, String> {
    let Some(&Some(id)) = id else { return Ok(None) };
    match graph.value(id)?.constant.as_deref() {
        Some(Numbers::F32(v)) => Ok(Some(v.clone())),
        _ => Err("has weights that are not constant floats".into()),
    }
}

/// `[M, C, taps]` as conv4.wgsl reads it; what is missing to whole fours is 0.
fn pack(weights: &[f32], bias: Option<&[f32]>, groups: &Groups, taps: usize) -> Constant {
    let (c, m) = (groups.cg, groups.mg);
    let c4 = c.div_ceil(4);
    let mut all = Vec::with_capacity(m.div_ceil(8) * (8 + c4 * taps * 32));
    let at = |v: Option<&[f32]>, i: usize| v.and_then(|v| v.get(i)).copied().unwrap_or(0.0);
    for first in (0..m).step_by(8) {
        all.extend((first..first + 8).map(|row| at(bias, row)));
        for (four, tap) in (0..c4).flat_map(|four| (0..taps).map(move |tap| (four, tap))) {
            for (half, column) in (0..2).flat_map(|half| (0..4).map(move |k| (half, 4 * four + k))) {
                let rows = first + 4 * half..first + 4 * half + 4;
                let weight = |row: usize| match row < m && column < c {
                    true => at(Some(weights), (row * c + column) * taps + tap),
                    false => 0.0,
                };
                all.extend(rows.map(weight));
            }
        }
    }
    constant(all)
}

/// `[C, 1, taps]`.
fn pack_depthwise(weights: &[f32], bias: Option<&[f32]>, taps: usize) -> Constant {
    let c = weights.len() / taps.max(1);
    let at = |v: Option<&[f32]>, i: usize| v.and_then(|v| v.get(i)).copied().unwrap_or(0.0);
    let mut all = Vec::with_capacity(c.next_multiple_of(4) * (taps + 1));
    for first in (0..c).step_by(4) {
        all.extend((first..first + 4).map(|row| at(bias, row)));
        let tap = |t: usize| (first..first + 4).map(move |row| at(Some(weights), row * taps + t));
        all.extend((0..taps).flat_map(tap));
    }
    constant(all)
}

fn constant(all: Vec<f32>) -> Constant {
    Constant { elem_type: 1, shape: vec![all.len()], numbers: Numbers::F32(all) }
}
