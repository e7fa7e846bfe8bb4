//! Arithmetic of shapes: axes, strides, broadcasting.

use crate::gpu::ir::graph::MAX_RANK;

/// Returns an axis that is counted from either end. It is an error if there is no such axis.
pub fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let r = i64::try_from(rank).map_err(|_| "has too many dimensions")?;
    let found = if axis < 0 { axis.checked_add(r) } else { Some(axis) };
    let found = found.filter(|&a| a < r).and_then(|a| usize::try_from(a).ok());
    found.ok_or_else(|| format!("axis {axis} is not one of {rank}"))
}

/// Returns row-major strides.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    let mut step = 1;
    for (stride, &d) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        step *= d.max(1);
    }
    strides
}

/// Broadcasts two shapes by NumPy's rule. It is an error if they do not go together.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let dim =
        |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).and_then(|i| s.get(i)).copied().unwrap_or(1);
    let one = |i| match (dim(a, i), dim(b, i)) {
        (x, y) if x == y || y == 1 => Ok(x),
        (1, y) => Ok(y),
        _ => Err(format!("shapes {a:?} and {b:?} do not go together")),
    };
    (0..rank).map(one).collect()
}

/// Returns a shape at the right end of [`MAX_RANK`] numbers, the others being `fill`.
pub fn padded(shape: &[usize], fill: usize) -> Vec<usize> {
    let mut all = vec![fill; MAX_RANK.saturating_sub(shape.len())];
    all.extend(shape);
    all
}
