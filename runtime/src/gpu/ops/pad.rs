//! Pad.

use super::file_node::FileNode;
use super::shape::axis;
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::graph::MAX_RANK;
use crate::gpu::ir::op::{Fill, Op, Pad, PadMode};
use crate::gpu::kernel::{Kernel, Setting, Shader};
use crate::onnx::Numbers;

/// pad.wgsl
const SHADER: Shader = shader!("pad": "integer", "step", "pad");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&SHADER];

/// Lowers ONNX Pad: pads and value are attributes up to opset 10, then inputs; negative pads cut off.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    let rank = value.shape.len();
    let mode = match n.text("mode", "constant")? {
        "constant" => PadMode::Constant,
        "edge" => PadMode::Edge,
        "reflect" => PadMode::Reflect,
        "wrap" => PadMode::Wrap,
        other => return Err(format!("mode `{other}` is not known")),
    };
    let given = if n.opset < 11 { n.ints("pads")?.map(<[i64]>::to_vec) } else { n.constant_ints(1)? };
    let given = given.ok_or("has no pads")?;
    let axes = match n.constant_ints(3)? {
        Some(axes) => axes.into_iter().map(|a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if given.len() != 2 * axes.len() {
        return Err(format!("pads {given:?} are not two for each of {} dimensions", axes.len()));
    }
    let (begins, ends) = given.split_at(axes.len());
    let mut shape = value.shape.clone();
    let mut begin = vec![0i64; rank];
    for ((&a, &b), &e) in axes.iter().zip(begins).zip(ends) {
        let d = *shape.get(a).ok_or("has no such axis")?;
        let d = i64::try_from(d).map_err(|_| "has a dimension that is too large")?;
        let small = |p: &i64| p.unsigned_abs() < 1 << 30;
        let size = Some(d + b + e).filter(|&s| s > 0 && small(&b) && small(&e));
        let size = size.ok_or_else(|| format!("pads {b} and {e} do not fit a dimension of {d}"))?;
        let size = usize::try_from(size).map_err(|_| "makes a dimension that is too large")?;
        *shape.get_mut(a).ok_or("has no such axis")? = size;
        *begin.get_mut(a).ok_or("has no such axis")? = b;
    }
    let fill = fill(n, value.dtype)?;
    let y = n.output(0, value.dtype, &shape)?;
    n.add(Op::Pad(Pad { mode, fill, begin }), &[Some(x)], y)
}

/// Returns the kernel, with an invocation for each element of the result.
pub fn kernel(pad: &Pad, at: &Setting) -> Result<Kernel, String> {
    const NAMES: [[&str; MAX_RANK]; 3] = [
        ["d0", "d1", "d2", "d3", "d4", "d5"],
        ["e0", "e1", "e2", "e3", "e4", "e5"],
        ["p0", "p1", "p2", "p3", "p4", "p5"],
    ];
    let (x, y) = (at.read(0)?, at.write()?);
    let mode = match pad.mode {
        PadMode::Constant => 0.0,
        PadMode::Edge => 1.0,
        PadMode::Reflect => 2.0,
        PadMode::Wrap => 3.0,
    };
    let mut constants = vec![("mode", mode)];
    match pad.fill {
        Fill::Float(v) => constants.push(("fill", v.into())),
        Fill::Integer(v) => {
            constants.push(("integer", 1.0));
            constants.extend(v.map(|v| ("fill_integer", v.into())));
        }
    }
    let float = |v: &[usize]| v.iter().map(|&d| d as f64).collect::<Vec<_>>();
    let begin = pad.begin.iter().map(|&b| b as f64).collect();
    for (names, values) in NAMES.into_iter().zip([float(&y.shape), float(&x.shape), begin]) {
        constants.extend(names.into_iter().skip(MAX_RANK - y.shape.len()).zip(values));
    }
    Ok(Kernel::new(&SHADER, "main", constants, y.len()))
}

fn fill(n: &FileNode, dtype: DType) -> Result<Fill, String> {
    let given = match n.optional(2)? {
        Some(id) => Some(n.value(id)?.constant.clone().ok_or("the value to pad with is not constant")?),
        None => None,
    };
    let finite = |v: f32| {
        if v.is_finite() { Ok(Fill::Float(v)) } else { Err(format!("pads with {v}: not supported")) }
    };
    match (dtype, given.as_deref()) {
        (DType::I64, _) => Err("of int64: not supported".into()),
        (DType::F32 | DType::F16, None) => finite(n.float("value", 0.0)?),
        (_, None) => Ok(Fill::Integer(None)),
        (DType::F32 | DType::F16, Some(Numbers::F32(v))) => finite(v.first().copied().unwrap_or(0.0)),
        (_, Some(Numbers::I32(v))) => Ok(Fill::Integer(Some(v.first().copied().unwrap_or(0)))),
        _ => Err("the value to pad with is of another type".into()),
    }
}
