//! Resize by nearest neighbour or linear interpolation.

use super::file_node::FileNode;
use super::shape::{axis, padded, strides};
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::graph::MAX_RANK;
use crate::gpu::ir::op::{Op, Resize};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// resize.wgsl
const SHADER: Shader = shader!("resize": "integer", "step", "resize");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&SHADER];

/// One dimension's old and new size and scale.
#[derive(Debug, Clone, Copy)]
struct Along {
    old: usize,
    new: usize,
    scale: f64,
}

/// Lowers ONNX Resize since opset 11 (opset 10 has scales only, asymmetric and rounding down).
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    let mode = n.text("mode", "nearest")?;
    for (name, default) in [("antialias", 0), ("exclude_outside", 0)] {
        if n.int(name, default)? != default {
            return Err(format!("attribute `{name}` is not supported"));
        }
    }
    n.float("cubic_coeff_a", -0.75)?;
    n.float("extrapolation_value", 0.0)?;
    if !["nearest", "linear"].contains(&mode) || value.dtype == DType::I64 {
        return Err(format!("mode `{mode}` of {}: not supported", value.dtype.name()));
    }
    if mode == "linear" && !value.dtype.is_float() {
        return Err(format!("mode `linear` of {}: not supported", value.dtype.name()));
    }
    let along = sizes(n, &value.shape)?;
    let shape: Vec<usize> = along.iter().map(|a| a.new).collect();
    let y = n.output(0, value.dtype, &shape)?;
    let linear = mode == "linear";
    let neighbours = neighbours(n, &along, &strides(&value.shape), linear)?;
    n.add(Op::Resize(Resize { linear, neighbours }), &[Some(x)], y)
}

/// Returns the kernel, with an invocation for each element of the result.
pub fn kernel(resize: &Resize, at: &Setting) -> Result<Kernel, String> {
    const D: [&str; MAX_RANK] = ["d0", "d1", "d2", "d3", "d4", "d5"];
    let y = at.write()?;
    let constants = D.into_iter().zip(padded(&y.shape, 1)).map(|(name, d)| (name, d as f64)).collect();
    let entry = if resize.linear { "main_linear" } else { "main_nearest" };
    Ok(Kernel::new(&SHADER, entry, constants, y.len()))
}

fn sizes(n: &FileNode, shape: &[usize]) -> Result<Vec<Along>, String> {
    let (scales_at, sizes_at) = if n.opset < 11 { (1, usize::MAX) } else { (2, 3) };
    let axes = match n.ints("axes")? {
        Some(axes) => axes.iter().map(|&a| axis(a, shape.len())).collect::<Result<Vec<_>, _>>()?,
        None => (0..shape.len()).collect(),
    };
    let mut all: Vec<Along> = shape.iter().map(|&d| Along { old: d, new: d, scale: 1.0 }).collect();
    let scales = n.constant_floats(scales_at)?.filter(|s| !s.is_empty());
    let sizes =
        if sizes_at == usize::MAX { None } else { n.constant_ints(sizes_at)?.filter(|s| !s.is_empty()) };
    let given: Vec<(Option<f64>, usize)> = match (scales, sizes) {
        (Some(s), None) => s.iter().map(|&s| (Some(f64::from(s)), 0)).collect(),
        (None, Some(s)) => {
            let size = |&s: &i64| usize::try_from(s).map_err(|_| format!("size {s} is out of range"));
            s.iter().map(|s| Ok((None, size(s)?))).collect::<Result<_, String>>()?
        }
        _ => return Err("wants either scales or sizes".into()),
    };
    if given.len() != axes.len() {
        return Err(format!("has {} scales or sizes for {} axes", given.len(), axes.len()));
    }
    for (&a, &(scale, size)) in axes.iter().zip(&given) {
        let d = all.get_mut(a).ok_or("has no such axis")?;
        *d = match scale {
            Some(s) if s > 0.0 && s < 1e6 => {
                Along { old: d.old, new: (d.old as f64 * s).floor() as usize, scale: s }
            }
            Some(s) => return Err(format!("scale {s} is out of range")),
            None => Along { old: d.old, new: size, scale: size as f64 / d.old as f64 },
        };
    }
    match n.text("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => Ok(all),
        policy if given.iter().all(|g| g.0.is_none()) => {
            let scales = axes.iter().map(|&a| all.get(a).map(|d| d.scale).ok_or("has no such axis"));
            let scales = scales.collect::<Result<Vec<_>, _>>()?.into_iter();
            let scale = match policy {
                "not_larger" => scales.fold(f64::INFINITY, f64::min),
                "not_smaller" => scales.fold(0.0, f64::max),
                other => return Err(format!("keep_aspect_ratio_policy `{other}` is not known")),
            };
            for &a in &axes {
                let d = all.get_mut(a).ok_or("has no such axis")?;
                *d = Along { old: d.old, new: (d.old as f64 * scale + 0.5).floor() as usize, scale };
            }
            Ok(all)
        }
        other => Err(format!("keep_aspect_ratio_policy `{other}` wants sizes")),
    }
}

/// Offsets of two neighbours and the second's weight (its bits), for each index along each dimension.
fn neighbours(n: &FileNode, along: &[Along], strides: &[usize], linear: bool) -> Result<Vec<i32>, String> {
    let transform =
        n.text("coordinate_transformation_mode", if n.opset < 11 { "asymmetric" } else { "half_pixel" })?;
    let round = n.text("nearest_mode", if n.opset < 11 { "floor" } else { "round_prefer_floor" })?;
    let mut table = vec![0; 3 * (MAX_RANK - along.len())];
    for (a, &stride) in along.iter().zip(strides) {
        if a.new > 1 << 20 {
            return Err(format!("makes a dimension of {}: too large", a.new));
        }
        for i in 0..a.new {
            let at = coordinate(transform, i as f64, a)?;
            let last = (a.old - 1) as f64;
            let (first, second, share) = if !linear {
                let at = if a.old == a.new && a.scale == 1.0 {
                    i as f64
                } else {
                    rounded(round, at)?.clamp(0.0, last)
                };
                (at, at, 0.0)
            } else {
                let at = at.clamp(0.0, last);
                (at.floor(), (at.floor() + 1.0).min(last), (at - at.floor()) as f32)
            };
            let offset = |v: f64| i32::try_from(v as usize * stride).map_err(|_| "is too large".to_owned());
            table.extend([offset(first)?, offset(second)?, i32::from_ne_bytes(share.to_ne_bytes())]);
        }
    }
    Ok(table)
}

/// Where the centre of output pixel `i` lies in the input (ONNX Resize's page).
fn coordinate(transform: &str, i: f64, a: &Along) -> Result<f64, String> {
    let (old, new) = (a.old as f64, a.new as f64);
    Ok(match transform {
        "asymmetric" => i / a.scale,
        "half_pixel" => (i + 0.5) / a.scale - 0.5,
        "pytorch_half_pixel" if a.new > 1 => (i + 0.5) / a.scale - 0.5,
        "pytorch_half_pixel" => 0.0,
        "align_corners" if a.new > 1 => i * (old - 1.0) / (new - 1.0),
        "align_corners" => 0.0,
        "half_pixel_symmetric" => {
            let exact = a.scale * old;
            old / 2.0 * (1.0 - new / exact) + (i + 0.5) / a.scale - 0.5
        }
        other => return Err(format!("coordinate_transformation_mode `{other}` is not supported")),
    })
}

fn rounded(mode: &str, at: f64) -> Result<f64, String> {
    Ok(match mode {
        "round_prefer_floor" => (at - 0.5).ceil(),
        "round_prefer_ceil" => (at + 0.5).floor(),
        "floor" => at.floor(),
        "ceil" => at.ceil(),
        other => return Err(format!("nearest_mode `{other}` is not known")),
    })
}
