//! Colours of u8 pictures, to the level as Pillow computes them (ImageEnhance, ImageOps, `convert("HSV")`), which
//! torchvision and timm call. Pictures are planar `[C, H, W]` with 1 or 3 channels; what only colours have (saturation,
//! hue) leaves grey as it is.

use crate::image::luma;
use crate::ir::arch::Input;

/// Pillow's `Image.blend`: from `from` to `to`, and beyond; what is between is cut off, not rounded.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let value = f32::from(from) + factor * (f32::from(to) - f32::from(from));
    value.clamp(0.0, 255.0) as u8
}

/// Towards black (0) and away from it (above 1); 1 changes nothing.
pub fn brightness(image: &mut [u8], factor: f64) {
    let table: [u8; 256] =
        std::array::from_fn(|i| if factor == 1.0 { i as u8 } else { blend(0, i as u8, factor as f32) });
    map(image, &table);
}

/// Towards the mean grey (0) and away from it (above 1).
pub fn contrast(image: &mut [u8], input: Input, factor: f64) {
    if factor == 1.0 {
        return;
    }
    let plane = (input.height * input.width).max(1);
    let sum: u64 = (0..plane).map(|i| u64::from(grey(image, input, i))).sum();
    let mean = (sum as f64 / plane as f64 + 0.5) as u8;
    let table: [u8; 256] = std::array::from_fn(|i| blend(mean, i as u8, factor as f32));
    map(image, &table);
}

/// Towards grey (0) and away from it (above 1).
pub fn saturation(image: &mut [u8], input: Input, factor: f64) {
    if factor == 1.0 {
        return;
    }
    pixels(image, input, |[r, g, b]| {
        let grey = luma(r, g, b);
        [r, g, b].map(|to| blend(grey, to, factor as f32))
    });
}

/// Turns the colours by a share of the circle, -0.5 to 0.5.
pub fn hue(image: &mut [u8], input: Input, turn: f64) {
    let shift = (turn * 255.0) as i32 as u8;
    pixels(image, input, |rgb| {
        let [h, s, v] = to_hsv(rgb);
        to_rgb([h.wrapping_add(shift), s, v])
    });
}

/// Towards smooth (0) and away from it (above 1): Pillow's SMOOTH filter, the border as it is.
pub fn sharpness(image: &mut [u8], input: Input, factor: f64) {
    let (h, w) = (input.height, input.width);
    if factor == 1.0 || h < 3 || w < 3 {
        return;
    }
    for plane in image.chunks_exact_mut(h * w) {
        let source = plane.to_vec();
        for (y, row) in plane.chunks_exact_mut(w).enumerate().skip(1).take(h - 2) {
            let lines = [y - 1, y, y + 1].map(|y| source.get(y * w..(y + 1) * w).unwrap_or_default());
            let [above, here, below] = lines.map(|line| line.windows(3));
            let windows = above.zip(here).zip(below);
            for (out, ((a, b), c)) in row.iter_mut().skip(1).zip(windows) {
                let sum: u32 =
                    a.iter().chain(b).chain(c).map(|p| u32::from(*p)).sum::<u32>() + 4 * u32::from(*out);
                // 13ths, to the nearest: there are no halves.
                *out = blend(((2 * sum + 13) / 26) as u8, *out, factor as f32);
            }
        }
    }
}

/// Keeps the first `bits` of 8.
pub fn posterize(image: &mut [u8], bits: u32) {
    let mask = !(255u32 >> bits.min(8)) as u8;
    image.iter_mut().for_each(|b| *b &= mask);
}

/// Inverts levels that are not below `threshold`.
pub fn solarize(image: &mut [u8], threshold: f64) {
    image.iter_mut().filter(|b| f64::from(**b) >= threshold).for_each(|b| *b = 255 - *b);
}

/// Each channel's darkest level becomes 0, its lightest 255.
pub fn autocontrast(image: &mut [u8], input: Input) {
    for plane in image.chunks_exact_mut((input.height * input.width).max(1)) {
        let (low, high) = plane.iter().fold((255, 0), |(low, high): (u8, u8), b| (low.min(*b), high.max(*b)));
        if high > low {
            let scale = 255.0 / f64::from(high - low);
            let offset = -f64::from(low) * scale;
            let table = std::array::from_fn(|i| (i as f64 * scale + offset).clamp(0.0, 255.0) as u8);
            map(plane, &table);
        }
    }
}

/// Each channel's levels become about equally frequent.
pub fn equalize(image: &mut [u8], input: Input) {
    for plane in image.chunks_exact_mut((input.height * input.width).max(1)) {
        let mut counts = [0usize; 256];
        plane.iter().for_each(|b| counts[usize::from(*b)] += 1);
        let last = counts.iter().rev().find(|c| **c > 0).copied().unwrap_or(0);
        let step = (plane.len() - last) / 255;
        if step > 0 {
            let mut n = step / 2;
            let table = counts.map(|count| {
                let level = (n / step).min(255) as u8;
                n += count;
                level
            });
            map(plane, &table);
        }
    }
}

fn map(image: &mut [u8], table: &[u8; 256]) {
    image.iter_mut().for_each(|b| *b = table[usize::from(*b)]);
}

fn grey(image: &[u8], input: Input, i: usize) -> u8 {
    let plane = input.height * input.width;
    let at = |c: usize| image.get(c * plane + i).copied().unwrap_or(0);
    if input.channels == 3 { luma(at(0), at(1), at(2)) } else { at(0) }
}

/// Every pixel of a picture of three planes.
fn pixels(image: &mut [u8], input: Input, change: impl Fn([u8; 3]) -> [u8; 3]) {
    let plane = input.height * input.width;
    if input.channels != 3 || image.len() != 3 * plane {
        return;
    }
    let (red, rest) = image.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        [*r, *g, *b] = change([*r, *g, *b]);
    }
}

/// Pillow's `rgb2hsv`: hue, saturation and value of 255.
fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let from = |c: u8| f32::from(most - c) / range;
    let (rc, gc, bc) = (from(r), from(g), from(b));
    let sixths = if r == most {
        f64::from(bc - gc)
    } else if g == most {
        2.0 + f64::from(rc) - f64::from(bc)
    } else {
        4.0 + f64::from(gc) - f64::from(rc)
    } as f32;
    let hue = ((f64::from(sixths) / 6.0 + 1.0) % 1.0) as f32;
    let byte = |x: f32| (f64::from(x) * 255.0) as u8;
    [byte(hue), byte(range / f32::from(most)), most]
}

/// Pillow's `hsv2rgb`.
fn to_rgb([h, s, v]: [u8; 3]) -> [u8; 3] {
    if s == 0 {
        return [v; 3];
    }
    let sixths = f64::from(f32::from(h)) * 6.0 / 255.0;
    let sector = sixths.floor();
    let f = (sixths - sector) as f32;
    let s = (f64::from(s) / 255.0) as f32;
    let (s, f, value) = (f64::from(s), f64::from(f), f64::from(v));
    let level = |x: f64| (value * x).round().clamp(0.0, 255.0) as u8;
    let (p, q, t) = (level(1.0 - s), level(1.0 - s * f), level(1.0 - s * (1.0 - f)));
    match sector as u8 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}
