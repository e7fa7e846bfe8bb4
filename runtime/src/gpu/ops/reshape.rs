//! Reshape, Flatten, Squeeze, Unsqueeze, Identity: the same memory, other dimensions.

use super::file_node::FileNode;
use super::shape::axis;

/// Lowers ONNX Identity.
pub fn identity(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let shape = n.shape(x)?;
    n.alias(x, &shape)
}

/// Lowers ONNX Flatten: a dimension for everything before `axis`, and one for everything from it on.
pub fn flatten(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let shape = n.shape(x)?;
    let given = n.int("axis", 1)?;
    let at = if usize::try_from(given) == Ok(shape.len()) { shape.len() } else { axis(given, shape.len())? };
    let (before, behind) = shape.split_at_checked(at).ok_or("has no such axis")?;
    n.alias(x, &[before.iter().product(), behind.iter().product()])
}

/// Lowers ONNX Reshape: 0 keeps a dimension, -1 takes what is left.
pub fn reshape(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let shape = n.shape(x)?;
    let wanted = n.constant_ints(1)?.ok_or("has no shape")?;
    let zero_is_zero = n.int("allowzero", 0)? != 0;
    let bad = || format!("{shape:?} cannot become {wanted:?}");
    let mut new = Vec::new();
    let mut open = None;
    for (i, &d) in wanted.iter().enumerate() {
        new.push(match d {
            0 if !zero_is_zero => *shape.get(i).ok_or_else(bad)?,
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            d => usize::try_from(d).map_err(|_| bad())?,
        });
    }
    if let Some(i) = open {
        let rest =
            new.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&r| r > 0).ok_or_else(bad)?;
        let all: usize = shape.iter().product();
        *new.get_mut(i).ok_or_else(bad)? = all / rest;
    }
    if new.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(shape.iter().product()) {
        return Err(bad());
    }
    n.alias(x, &new)
}

/// Lowers ONNX Squeeze: axes are an attribute up to opset 12, then an input. Without them every dimension of 1
/// goes.
pub fn squeeze(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let shape = n.shape(x)?;
    let axes = match axes(n, shape.len())? {
        Some(axes) => axes,
        None => (0..shape.len()).filter(|&i| shape.get(i) == Some(&1)).collect(),
    };
    if let Some(odd) = axes.iter().find(|&&a| shape.get(a) != Some(&1)) {
        return Err(format!("dimension {odd} of {shape:?} is not 1"));
    }
    let new: Vec<usize> =
        shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &d)| d).collect();
    n.alias(x, &new)
}

/// Lowers ONNX Unsqueeze: axes are those of the result.
pub fn unsqueeze(n: &mut FileNode) -> Result<(), String> {
    let x = n.input(0)?;
    let mut new = n.shape(x)?;
    let more = n.ints("axes")?.map_or_else(|| n.constant_ints(1), |a| Ok(Some(a.to_vec())))?;
    let rank = new.len() + more.map_or(0, |m| m.len());
    let mut axes = axes(n, rank)?.ok_or("has no axes")?;
    axes.sort_unstable();
    let before = axes.len();
    axes.dedup();
    if axes.len() != before {
        return Err("an axis is there twice".into());
    }
    for a in axes {
        if a > new.len() {
            return Err(format!("axis {a} is beyond the dimensions"));
        }
        new.insert(a, 1);
    }
    n.alias(x, &new)
}

fn axes(n: &FileNode, rank: usize) -> Result<Option<Vec<usize>>, String> {
    let given = match n.ints("axes")? {
        Some(axes) => Some(axes.to_vec()),
        None => n.constant_ints(1)?,
    };
    given.map(|axes| axes.into_iter().map(|a| axis(a, rank)).collect()).transpose()
}
