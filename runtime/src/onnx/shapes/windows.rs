//! Rules of what slides a window or changes spatial sizes.

use super::Known;
use super::rules::{Node, axis, product_type, signed};
use crate::onnx::Numbers;
use gtn_core::io::wide;

/// Sizes behind batch and channels of a window that slides.
fn windowed(n: &Node, kernel: &[u64]) -> Option<Vec<u64>> {
    let input = n.dims(0)?.get(2..)?;
    if kernel.len() != input.len() {
        return None;
    }
    let list = |name: &str, i: usize, default: u64| match n.proto.ints(name) {
        Some(v) => v.get(i).and_then(|&v| u64::try_from(v).ok()),
        None => Some(default),
    };
    let ceil = n.proto.int("ceil_mode").unwrap_or(0) != 0;
    let same = n.proto.text("auto_pad").is_some_and(|t| t.starts_with("SAME"));
    let along = |(i, (&d, &k)): (usize, (&u64, &u64))| {
        let stride = list("strides", i, 1).filter(|&s| s > 0)?;
        if same {
            return Some(d.div_ceil(stride));
        }
        let reach = k.checked_sub(1)?.checked_mul(list("dilations", i, 1)?)?.checked_add(1)?;
        let before = list("pads", i, 0)?;
        let padded = d.checked_add(before)?.checked_add(list("pads", i + input.len(), 0)?)?;
        let room = padded.checked_sub(reach)?;
        let positions = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
        let beyond = ceil && (positions - 1).saturating_mul(stride) >= d.saturating_add(before);
        Some(positions - u64::from(beyond))
    };
    input.iter().zip(kernel).enumerate().map(along).collect()
}

fn with_window(n: &Node, channels: u64, kernel: &[u64]) -> Option<Vec<u64>> {
    let batch = *n.dims(0)?.first()?;
    Some([vec![batch, channels], windowed(n, kernel)?].concat())
}

pub fn conv(n: &Node) -> Option<Known> {
    let w = n.dims(1)?.to_vec();
    Some(Known::of(with_window(n, *w.first()?, w.get(2..)?)?, product_type(n)))
}

pub fn qlinear_conv(n: &Node) -> Option<Known> {
    let w = n.dims(3)?.to_vec();
    n.like(with_window(n, *w.first()?, w.get(2..)?)?)
}

pub fn pool(n: &Node) -> Option<Known> {
    let kernel: Option<Vec<u64>> =
        n.proto.ints("kernel_shape")?.iter().map(|&k| u64::try_from(k).ok()).collect();
    n.like(with_window(n, *n.dims(0)?.get(1)?, &kernel?)?)
}

pub fn conv_transpose(n: &Node) -> Option<Known> {
    let (x, w) = (n.dims(0)?, n.dims(1)?);
    let group = u64::try_from(n.proto.int("group").unwrap_or(1)).ok()?;
    let mut dims = vec![*x.first()?, w.get(1)?.checked_mul(group)?];
    let rank = x.len().checked_sub(2)?;
    let list = |name: &str, i: usize, default: u64| match n.proto.ints(name) {
        Some(v) => v.get(i).and_then(|&v| u64::try_from(v).ok()),
        None => Some(default),
    };
    let shape = n.proto.ints("output_shape");
    for i in 0..rank {
        let (d, k) = (*x.get(i + 2)?, *w.get(i + 2)?);
        let stride = list("strides", i, 1)?;
        let asked =
            shape.and_then(|s| s.get((i + s.len()).checked_sub(rank)?)).and_then(|&s| u64::try_from(s).ok());
        dims.push(match asked {
            Some(size) => size,
            None if n.proto.text("auto_pad").is_some_and(|t| t.starts_with("SAME")) => {
                d.checked_mul(stride)?
            }
            None => {
                let reach = k.checked_sub(1)?.checked_mul(list("dilations", i, 1)?)?.checked_add(1)?;
                let whole = stride.checked_mul(d.checked_sub(1)?)?.checked_add(reach)?;
                let whole = whole.checked_add(list("output_padding", i, 0)?)?;
                whole.checked_sub(list("pads", i, 0)?)?.checked_sub(list("pads", i + rank, 0)?)?
            }
        });
    }
    n.like(dims)
}

pub fn global_pool(n: &Node) -> Option<Known> {
    n.like(n.dims(0)?.iter().enumerate().map(|(i, &d)| if i < 2 { d } else { 1 }).collect())
}

pub fn pad(n: &Node) -> Option<Known> {
    let mut dims = n.dims(0)?.to_vec();
    let pads = n.list(1, "pads")?;
    let axes = match n.proto.given(3) {
        Some(_) => n.list(3, "axes")?,
        None => (0..signed(wide(dims.len()))).collect(),
    };
    let (before, behind) = pads.split_at_checked(axes.len())?;
    for ((&a, &b), &e) in axes.iter().zip(before).zip(behind) {
        let at = axis(a, dims.len())?;
        let size = dims.get_mut(at)?;
        *size = u64::try_from(signed(*size).saturating_add(b).saturating_add(e)).ok()?;
    }
    n.like(dims)
}

pub fn resize(n: &Node) -> Option<Known> {
    let mut dims = n.dims(0)?.to_vec();
    let upsample = n.proto.op_type == "Upsample";
    let scales_at = if upsample || n.opset < 11 { 1 } else { 2 };
    let axes = match n.proto.ints("axes") {
        Some(axes) => axes.iter().map(|&a| axis(a, dims.len())).collect::<Option<Vec<_>>>()?,
        None => (0..dims.len()).collect(),
    };
    let scales = match (n.proto.attribute("scales"), n.value(scales_at).map(|v| &v.numbers)) {
        (Some(a), _) => a.floats.clone(),
        (None, Some(Some(Numbers::F32(v)))) => v.clone(),
        (None, Some(_)) if n.proto.given(3).is_none() => return None,
        _ => Vec::new(),
    };
    if !scales.is_empty() {
        for (&a, &s) in axes.iter().zip(&scales) {
            let size = dims.get_mut(a)?;
            // Beyond 2^63 the cast saturates, which is too large in any case.
            #[allow(clippy::as_conversions)]
            {
                *size = (*size as f64 * f64::from(s)).floor() as u64;
            }
        }
        return n.like(dims);
    }
    let sizes = n.value(3)?.ints()?.to_vec();
    for (&a, &s) in axes.iter().zip(&sizes) {
        *dims.get_mut(a)? = u64::try_from(s).ok()?;
    }
    n.like(dims)
}

pub fn depth_to_space(n: &Node) -> Option<Known> {
    let &[batch, c, h, w] = n.dims(0)? else { return None };
    let block = u64::try_from(n.proto.int("blocksize")?).ok()?;
    n.like(vec![
        batch,
        c.checked_div(block.checked_mul(block)?)?,
        h.checked_mul(block)?,
        w.checked_mul(block)?,
    ])
}

pub fn space_to_depth(n: &Node) -> Option<Known> {
    let &[batch, c, h, w] = n.dims(0)? else { return None };
    let block = u64::try_from(n.proto.int("blocksize")?).ok()?;
    n.like(vec![
        batch,
        c.checked_mul(block.checked_mul(block)?)?,
        h.checked_div(block)?,
        w.checked_div(block)?,
    ])
}
