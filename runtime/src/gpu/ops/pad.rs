//! Pad.

use super::node::{Node, axis};
use crate::gpu::ir::graph::{DType, MAX_RANK, Shader};
use crate::onnx::Numbers;

/// pad.wgsl
pub const SHADER: Shader = shader!("pad": "integer", "step", "pad");

/// ONNX Pad: pads and value are attributes up to opset 10, then inputs; negative pads cut off.
pub fn lower(n: &mut Node) -> Result<(), String> {
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    let rank = value.shape.len();
    let mode = match n.text("mode", "constant")? {
        "constant" => 0,
        "edge" => 1,
        "reflect" => 2,
        "wrap" => 3,
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
    let mut constants = vec![("mode", f64::from(mode))];
    let mut shape = value.shape.clone();
    let mut begin = vec![0i64; rank];
    for ((&a, &b), &e) in axes.iter().zip(begins).zip(ends) {
        let d = shape.get(a).and_then(|&d| i64::try_from(d).ok()).unwrap_or(1);
        let small = |p: &i64| p.unsigned_abs() < 1 << 30;
        let size = Some(d + b + e).filter(|&s| s > 0 && small(&b) && small(&e));
        let size = size.ok_or_else(|| format!("pads {b} and {e} do not fit a dimension of {d}"))?;
        shape.get_mut(a).into_iter().for_each(|s| *s = usize::try_from(size).unwrap_or(0));
        begin.get_mut(a).into_iter().for_each(|s| *s = b);
    }
    constants.extend(fill(n, value.dtype)?);
    let y = n.output(0, value.dtype, &shape)?;
    const NAMES: [[&str; MAX_RANK]; 3] = [
        ["d0", "d1", "d2", "d3", "d4", "d5"],
        ["e0", "e1", "e2", "e3", "e4", "e5"],
        ["p0", "p1", "p2", "p3", "p4", "p5"],
    ];
    let float = |v: &[usize]| v.iter().map(|&d| d as f64).collect::<Vec<_>>();
    let begin = begin.iter().map(|&b| b as f64).collect();
    for (names, values) in NAMES.into_iter().zip([float(&shape), float(&value.shape), begin]) {
        constants.extend(names.into_iter().skip(MAX_RANK - rank).zip(values));
    }
    n.push(&SHADER, "main", &[Some(x)], y, constants)
}

fn fill(n: &Node, dtype: DType) -> Result<Vec<(&'static str, f64)>, String> {
    let given = match n.optional(2)? {
        Some(id) => Some(n.value(id)?.constant.clone().ok_or("the value to pad with is not constant")?),
        None => None,
    };
    let finite =
        |v: f32| if v.is_finite() { Ok(f64::from(v)) } else { Err(format!("pads with {v}: not supported")) };
    match (dtype, given.as_deref()) {
        (DType::I64, _) => Err("of int64: not supported".into()),
        (DType::F32 | DType::F16, None) => Ok(vec![("fill", finite(n.float("value", 0.0)?)?)]),
        (_, None) => Ok(vec![("integer", 1.0)]),
        (DType::F32 | DType::F16, Some(Numbers::F32(v))) => {
            Ok(vec![("fill", finite(v.first().copied().unwrap_or(0.0))?)])
        }
        (_, Some(Numbers::I32(v))) => {
            Ok(vec![("integer", 1.0), ("fill_integer", f64::from(v.first().copied().unwrap_or(0)))])
        }
        _ => Err("the value to pad with is of another type".into()),
    }
}
