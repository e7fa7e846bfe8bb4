//! Windows as nodes' attributes have them, and as constants of a shader (window.wgsl, conv_sums.wgsl).

use super::file_node::FileNode;
use crate::gpu::ir::window::{Groups, Window};

/// Beyond this no kernel, stride or padding makes sense, and products stay small.
const MOST: i64 = 1 << 20;

/// Returns one value for each spatial dimension; it is an error if one is not within 0 (or 1) and 2^20.
pub fn per_dimension(
    given: Option<&[i64]>,
    rank: usize,
    default: usize,
    least: i64,
) -> Result<[usize; 3], String> {
    let mut all = [default; 3];
    let Some(given) = given else { return Ok(all) };
    if given.len() != rank || rank > 3 {
        return Err(format!("{given:?} does not have {rank} values"));
    }
    for (slot, &v) in all.iter_mut().skip(3 - rank).zip(given) {
        let fits = (least..=MOST).contains(&v);
        *slot = usize::try_from(v).ok().filter(|_| fits).ok_or_else(|| format!("{v} is out of range"))?;
    }
    Ok(all)
}

/// Returns the spatial sizes of `[N, C, ...]`, with ones in front. It is an error if there are none, or more
/// than three.
pub fn spatial(shape: &[usize]) -> Result<[usize; 3], String> {
    let Some(own) = shape.get(2..).filter(|s| (1..=3).contains(&s.len())) else {
        return Err(format!("input is {shape:?}, wanted [N, C, and one to three dimensions]"));
    };
    let mut all = [1; 3];
    all.iter_mut().skip(3 - own.len()).zip(own).for_each(|(a, &d)| *a = d);
    Ok(all)
}

/// Reads a window from a node's attributes; `kernel` is given where the weights say it.
pub fn window(n: &FileNode, shape: &[usize], kernel: Option<[usize; 3]>) -> Result<Window, String> {
    let input = spatial(shape)?;
    let rank = shape.len() - 2;
    let asked = n.ints("kernel_shape")?.map(|k| per_dimension(Some(k), rank, 1, 1)).transpose()?;
    let kernel = match (kernel, asked) {
        (Some(a), Some(b)) if a != b => {
            return Err(format!("kernel_shape {b:?} is not the weights' {a:?}"));
        }
        (Some(k), _) | (None, Some(k)) => k,
        (None, None) => return Err("attribute `kernel_shape` is missing".into()),
    };
    let stride = per_dimension(n.ints("strides")?, rank, 1, 1)?;
    let dilation = per_dimension(n.ints("dilations")?, rank, 1, 1)?;
    let mut w = Window { rank, input, kernel, stride, dilation, begin: [0; 3], end: [0; 3], output: [1; 3] };
    match n.text("auto_pad", "NOTSET")? {
        "NOTSET" => (w.begin, w.end) = pads(n, rank)?,
        "VALID" => {}
        same @ ("SAME_UPPER" | "SAME_LOWER") => w.same(same == "SAME_UPPER"),
        other => return Err(format!("auto_pad `{other}` is not known")),
    }
    let ceil = n.int("ceil_mode", 0)? != 0;
    for i in 0..3 {
        w.output[i] = w.positions(i, ceil)?;
    }
    Ok(w)
}

/// Returns a window as a shader's constants: `in_*`, `k*`, `s*`, `l*` (dilation), `p*`, `out_*`.
pub fn constants(w: &Window) -> Vec<(&'static str, f64)> {
    const NAMES: [[&str; 3]; 6] = [
        ["in_d", "in_h", "in_w"],
        ["kd", "kh", "kw"],
        ["sd", "sh", "sw"],
        ["ld", "lh", "lw"],
        ["pd", "ph", "pw"],
        ["out_d", "out_h", "out_w"],
    ];
    let all = [w.input, w.kernel, w.stride, w.dilation, w.begin, w.output];
    let pair = |(names, values): ([&'static str; 3], [usize; 3])| names.into_iter().zip(values);
    NAMES.into_iter().zip(all).flat_map(pair).map(|(name, v)| (name, v as f64)).collect()
}

/// Returns the groups as a shader's constants: `groups`, `cg`, `mg`.
pub fn group_constants(g: &Groups) -> [(&'static str, f64); 3] {
    [("groups", g.groups as f64), ("cg", g.cg as f64), ("mg", g.mg as f64)]
}

/// Reads `pads`: all begins, then all ends.
pub fn pads(n: &FileNode, rank: usize) -> Result<([usize; 3], [usize; 3]), String> {
    let Some(all) = n.ints("pads")? else { return Ok(([0; 3], [0; 3])) };
    if all.len() != 2 * rank {
        return Err(format!("pads {all:?} are not two for each of {rank} dimensions"));
    }
    let (begin, end) = all.split_at(rank);
    Ok((per_dimension(Some(begin), rank, 0, 0)?, per_dimension(Some(end), rank, 0, 0)?))
}
