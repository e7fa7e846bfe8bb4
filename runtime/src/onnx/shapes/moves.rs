//! Rules of what only moves, repeats or makes values, among them the shapes that are computed from other shapes.

use super::Known;
use super::rules::{FLOAT, FOLLOWED, INT64, Node, axis, broadcast, product, signed};
use crate::onnx::{Constant, Numbers};
use gtn_core::io::wide;

pub fn flatten(n: &Node) -> Option<Known> {
    let dims = n.dims(0)?;
    let at = n.proto.int("axis").unwrap_or(1);
    let at = if at == signed(wide(dims.len())) { dims.len() } else { axis(at, dims.len())? };
    let (before, behind) = dims.split_at_checked(at)?;
    n.like(vec![product(before), product(behind)])
}

pub fn reshape(n: &Node) -> Option<Known> {
    let dims = n.dims(0)?;
    let asked = n.list(1, "shape")?;
    let zero_is_zero = n.proto.int("allowzero").unwrap_or(0) != 0;
    let size = |(i, &d): (usize, &i64)| match d {
        -1 => Some(1),
        0 if !zero_is_zero => dims.get(i).copied(),
        d => u64::try_from(d).ok(),
    };
    let mut shape = asked.iter().enumerate().map(size).collect::<Option<Vec<u64>>>()?;
    if let Some(open) = asked.iter().position(|&d| d == -1) {
        *shape.get_mut(open)? = product(dims).checked_div(product(&shape))?;
    }
    Some(Known { numbers: n.value(0)?.numbers.clone(), ..n.like(shape)? })
}

pub fn transpose(n: &Node) -> Option<Known> {
    let dims = n.dims(0)?;
    match n.proto.ints("perm") {
        Some(perm) => {
            n.like(perm.iter().map(|&p| dims.get(usize::try_from(p).ok()?).copied()).collect::<Option<_>>()?)
        }
        None => n.like(dims.iter().rev().copied().collect()),
    }
}

pub fn concat(n: &Node) -> Option<Known> {
    let mut dims = n.dims(0)?.to_vec();
    let at = axis(n.proto.int("axis").unwrap_or(0), dims.len())?;
    let mut numbers = n.value(0)?.ints().map(<[i64]>::to_vec).filter(|_| dims.len() == 1);
    for i in 1..n.proto.input.len() {
        let size = dims.get_mut(at)?;
        *size = size.saturating_add(*n.dims(i)?.get(at)?);
        numbers = numbers.zip(n.value(i)?.ints()).map(|(mut all, more)| {
            all.extend(more);
            all
        });
    }
    let numbers = numbers.filter(|v| v.len() <= FOLLOWED).map(Numbers::I64);
    Some(Known { numbers, ..n.like(dims)? })
}

pub fn slice(n: &Node) -> Option<Known> {
    let mut dims = n.dims(0)?.to_vec();
    let (starts, ends) = (n.list(1, "starts")?, n.list(2, "ends")?);
    let axes = n.list(3, "axes");
    if n.proto.given(3).is_some() && axes.is_none()
        || n.proto.given(4).is_some() && n.list(4, "steps").is_none()
    {
        return None;
    }
    let steps = n.list(4, "steps");
    let numbers = n.value(0)?.ints().filter(|_| dims.len() == 1);
    let mut kept = None;
    for (i, (&start, &end)) in starts.iter().zip(&ends).enumerate() {
        let at = match &axes {
            Some(axes) => axis(*axes.get(i)?, dims.len())?,
            None => i,
        };
        let step = steps.as_ref().map_or(Some(1), |s| s.get(i).copied()).filter(|&s| s != 0)?;
        let size = dims.get_mut(at)?;
        let d = signed(*size);
        let wrapped = |v: i64| if v < 0 { v.saturating_add(d) } else { v };
        let (low, high) = if step > 0 { (0, d) } else { (-1, d - 1) };
        let from = wrapped(start).clamp(low.max(0), high);
        let to = if step < 0 && end < -d { -1 } else { wrapped(end).clamp(low, high) };
        let span = if step > 0 { to - from } else { from - to };
        let count = u64::try_from(span).unwrap_or(0).div_ceil(step.unsigned_abs());
        *size = count;
        kept = numbers.and_then(|v| {
            let place = |k: u64| {
                v.get(usize::try_from(from.checked_add(step.checked_mul(signed(k))?)?).ok()?).copied()
            };
            (0..count).map(place).collect::<Option<Vec<i64>>>()
        });
    }
    Some(Known { numbers: kept.map(Numbers::I64), ..n.like(dims)? })
}

pub fn squeeze(n: &Node) -> Option<Known> {
    let dims = n.dims(0)?;
    let keep: Vec<u64> = match n.proto.attribute("axes").is_some() || n.proto.given(1).is_some() {
        true => {
            let axes = n.list(1, "axes")?.iter().map(|&a| axis(a, dims.len())).collect::<Option<Vec<_>>>()?;
            dims.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &d)| d).collect()
        }
        false => dims.iter().copied().filter(|&d| d != 1).collect(),
    };
    Some(Known { numbers: n.value(0)?.numbers.clone(), ..n.like(keep)? })
}

pub fn unsqueeze(n: &Node) -> Option<Known> {
    let dims = n.dims(0)?;
    let axes = n.list(1, "axes")?;
    let rank = dims.len() + axes.len();
    let axes = axes.iter().map(|&a| axis(a, rank)).collect::<Option<Vec<_>>>()?;
    let mut own = dims.iter().copied();
    let all = (0..rank)
        .map(|i| if axes.contains(&i) { Some(1) } else { own.next() })
        .collect::<Option<Vec<_>>>()?;
    Some(Known { numbers: n.value(0)?.numbers.clone(), ..n.like(all)? })
}

pub fn gather(n: &Node) -> Option<Known> {
    let dims = n.dims(0)?;
    let at = axis(n.proto.int("axis").unwrap_or(0), dims.len())?;
    let (before, behind) = (dims.get(..at)?, dims.get(at + 1..)?);
    let numbers = || -> Option<Vec<i64>> {
        let own = n.value(0)?.ints().filter(|_| dims.len() == 1)?;
        n.value(1)?.ints()?.iter().map(|&i| own.get(axis(i, own.len())?).copied()).collect()
    };
    Some(Known { numbers: numbers().map(Numbers::I64), ..n.like([before, n.dims(1)?, behind].concat())? })
}

pub fn shape(n: &Node) -> Option<Known> {
    let dims = n.dims(0)?;
    let rank = signed(wide(dims.len()));
    let bound = |name: &str, default: i64| {
        let at = n.proto.int(name).unwrap_or(default);
        usize::try_from((if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank)).ok()
    };
    let kept = dims.get(bound("start", 0)?..bound("end", rank)?).unwrap_or_default();
    let numbers = Numbers::I64(kept.iter().map(|&d| signed(d)).collect());
    Some(Known { numbers: Some(numbers), ..Known::of(vec![wide(kept.len())], INT64) })
}

pub fn size(n: &Node) -> Option<Known> {
    let all = signed(product(n.dims(0)?));
    Some(Known { numbers: Some(Numbers::I64(vec![all])), ..Known::of(vec![], INT64) })
}

pub fn constant(n: &Node) -> Option<Known> {
    if let Some(tensor) = n.proto.attribute("value").and_then(|a| a.t.as_ref()) {
        return Some(Known::constant(tensor));
    }
    let list =
        |v: Vec<i64>, dims: Vec<u64>| Known { numbers: Some(Numbers::I64(v)), ..Known::of(dims, INT64) };
    if let Some(v) = n.proto.ints("value_ints") {
        return Some(list(v.to_vec(), vec![wide(v.len())]));
    }
    if let Some(v) = n.proto.int("value_int") {
        return Some(list(vec![v], vec![]));
    }
    if let Some(a) = n.proto.attribute("value_floats") {
        let numbers = Some(Numbers::F32(a.floats.clone()));
        return Some(Known { numbers, ..Known::of(vec![wide(a.floats.len())], FLOAT) });
    }
    n.proto.attribute("value_float").map(|_| Known::of(vec![], FLOAT))
}

pub fn constant_of_shape(n: &Node) -> Option<Known> {
    let dims = n.value(0)?.ints()?.iter().map(|&d| u64::try_from(d).ok()).collect::<Option<Vec<_>>>()?;
    let value = n.proto.attribute("value").and_then(|a| a.t.as_ref());
    let numbers = value.and_then(|t| Constant::read(t).ok()).and_then(|c| match c.numbers {
        Numbers::I64(v) => v.first().copied(),
        _ => None,
    });
    let few = usize::try_from(product(&dims)).ok().filter(|&len| len <= FOLLOWED);
    let numbers = numbers.zip(few).map(|(v, len)| Numbers::I64(vec![v; len]));
    Some(Known { numbers, ..Known::of(dims, value.map_or(FLOAT, |t| t.data_type)) })
}

pub fn expand(n: &Node) -> Option<Known> {
    let asked = n.value(1)?.ints()?.iter().map(|&d| u64::try_from(d).ok()).collect::<Option<Vec<_>>>()?;
    n.like(broadcast(n.dims(0)?, &asked)?)
}

pub fn tile(n: &Node) -> Option<Known> {
    let times = n.value(1)?.ints()?;
    let one = |(&d, &t): (&u64, &i64)| u64::try_from(t).ok().map(|t| d.saturating_mul(t));
    n.like(n.dims(0)?.iter().zip(times).map(one).collect::<Option<_>>()?)
}

pub fn range(n: &Node) -> Option<Known> {
    let one = |i: usize| n.value(i)?.ints()?.first().copied();
    let (start, limit, step) = (one(0)?, one(1)?, one(2)?);
    let span = if step > 0 { limit.saturating_sub(start) } else { start.saturating_sub(limit) };
    let count = u64::try_from(span).unwrap_or(0).checked_next_multiple_of(step.unsigned_abs())?;
    Some(Known::of(vec![count.checked_div(step.unsigned_abs())?], INT64))
}

pub fn split(n: &Node) -> Option<Vec<Known>> {
    let dims = n.dims(0)?.to_vec();
    let at = axis(n.proto.int("axis").unwrap_or(0), dims.len())?;
    let parts = n.proto.output.len();
    let given = n.proto.attribute("split").is_some() || n.proto.given(1).is_some();
    let sizes: Vec<u64> = if given {
        n.list(1, "split")?.iter().map(|&s| u64::try_from(s).ok()).collect::<Option<_>>()?
    } else {
        vec![dims.get(at)?.div_ceil(wide(parts)); parts]
    };
    let one = |i: usize| {
        let mut part = dims.clone();
        *part.get_mut(at)? = *sizes.get(i)?;
        n.like(part)
    };
    (0..parts).map(one).collect()
}
