//! Shears, shifts and turns by the nearest pixel, as Pillow's `Image.transform(.., AFFINE, NEAREST)` and `rotate`
//! compute them: in 1/65536 of a pixel. Pictures are planar `[C, H, W]`; what comes from outside takes `fill`, one byte
//! for each channel.

use crate::ir::arch::Input;

/// 1/65536, to the nearest.
fn fixed(x: f64) -> i64 {
    (x * 65_536.0 + 0.5).floor() as i64
}

/// The pixel at (x, y) comes from column `a x + b y + c`, row `d x + e y + f`, for pixels' centres.
pub fn affine(image: &mut [u8], input: Input, [a, b, c, d, e, f]: [f64; 6], fill: &[u8]) {
    let (h, w) = (input.height, input.width);
    let (dx, dy) = ((fixed(a), fixed(d)), (fixed(b), fixed(e)));
    let start = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
    let inside = |at: i64, length: usize| usize::try_from(at >> 16).ok().filter(|i| *i < length);
    for (plane, &fill) in image.chunks_exact_mut((h * w).max(1)).zip(fill) {
        let source = plane.to_vec();
        for (y, row) in (0i64..).zip(plane.chunks_exact_mut(w.max(1))) {
            for (x, out) in (0i64..).zip(row) {
                let column = inside(start.0 + x * dx.0 + y * dy.0, w);
                let line = inside(start.1 + x * dx.1 + y * dy.1, h);
                let from = column.zip(line).and_then(|(column, line)| source.get(line * w + column));
                *out = from.copied().unwrap_or(fill);
            }
        }
    }
}

/// Rows move sideways by `by` pixels for each row down, the top row stays.
pub fn shear_x(image: &mut [u8], input: Input, by: f64, fill: &[u8]) {
    affine(image, input, [1.0, by, 0.0, 0.0, 1.0, 0.0], fill);
}

/// Columns move by `by` pixels for each column to the right, the first column stays.
pub fn shear_y(image: &mut [u8], input: Input, by: f64, fill: &[u8]) {
    affine(image, input, [1.0, 0.0, 0.0, by, 1.0, 0.0], fill);
}

/// To the right, whole pixels.
pub fn translate_x(image: &mut [u8], input: Input, by: f64, fill: &[u8]) {
    affine(image, input, [1.0, 0.0, -by.trunc(), 0.0, 1.0, 0.0], fill);
}

/// Down, whole pixels.
pub fn translate_y(image: &mut [u8], input: Input, by: f64, fill: &[u8]) {
    affine(image, input, [1.0, 0.0, 0.0, 0.0, 1.0, -by.trunc()], fill);
}

/// Counter-clockwise about the centre, degrees.
pub fn rotate(image: &mut [u8], input: Input, degrees: f64, fill: &[u8]) {
    let angle = -degrees.to_radians();
    // 15 digits, so that right angles are exact.
    let digits = |x: f64| (x * 1e15).round() / 1e15;
    let (cos, sin) = (digits(angle.cos()), digits(angle.sin()));
    let (cx, cy) = (input.width as f64 / 2.0, input.height as f64 / 2.0);
    let (c, f) = (cx - cos * cx - sin * cy, cy + sin * cx - cos * cy);
    affine(image, input, [cos, sin, c, -sin, cos, f], fill);
}
