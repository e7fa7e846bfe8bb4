//! The last column and row of a JPEG's colours, and colours to RGB, as libjpeg (so PIL) makes them.
//!
//! Where colours are stored at half the width or height, each pixel blends two samples, 3 : 1 (ITU-T T.81 leaves it
//! open; libjpeg's "fancy upsampling"). At the border libjpeg takes the last sample of the picture alone. The decoder
//! blends it with what fills up the file's last block, which belongs to no pixel: up to 48 levels away, in one column
//! and one row. The sample that should stand there follows from the two pixels before it, so it is put back.

/// How often a pixel's colours are stored: 1 or 2 is the side of the picture over the side of its colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Columns of the picture for one of the colours'.
    pub across: usize,
    /// Rows of the picture for one of the colours'.
    pub down: usize,
}

/// Widest picture of halved colours that libjpeg does not blend but repeats: two samples across.
const REPEATED: usize = 4;

/// Corrects upsampled colours at the border: `ycc` is `[height, width, 3]` of Y, Cb, Cr.
pub fn mend(ycc: &mut [u8], width: usize, height: usize, sampling: Sampling) {
    let Sampling { across, down } = sampling;
    let repeated = across == 2 && width <= REPEATED;
    for y in 0..height {
        for c in [1, 2] {
            let start = 3 * y * width + c;
            match (across, repeated) {
                (2, true) => repeat(ycc, start, 3, width),
                (2, false) => end(ycc, start, 3, width),
                _ => {}
            }
        }
    }
    for start in (0..width).flat_map(|x| [3 * x + 1, 3 * x + 2]) {
        match (down, repeated) {
            (2, true) => repeat(ycc, start, 3 * width, height),
            (2, false) => end(ycc, start, 3 * width, height),
            _ => {}
        }
    }
}

/// The last of `n` pixels in a line (from `start`, every `step`-th byte) becomes its sample alone. Of an odd number
/// it has no part of a next sample.
fn end(bytes: &mut [u8], start: usize, step: usize, n: usize) {
    if n.is_multiple_of(2) {
        let sample = sample(bytes, start, step, n / 2 - 1);
        if let Some(last) = bytes.get_mut(start + (n - 1) * step) {
            *last = sample;
        }
    }
}

/// Every pixel of a line becomes its sample alone.
fn repeat(bytes: &mut [u8], start: usize, step: usize, n: usize) {
    // From the end: a sample is read off pixels before it.
    for k in (0..n.div_ceil(2)).rev() {
        let sample = sample(bytes, start, step, k);
        for i in (2 * k..n).take(2) {
            if let Some(pixel) = bytes.get_mut(start + i * step) {
                *pixel = sample;
            }
        }
    }
}

/// The `k`-th sample of a line of blends: pixel 2k is (3 s + before) / 4, the one before it (3 before + s) / 4.
/// To a level and a half, since both are rounded.
fn sample(bytes: &[u8], start: usize, step: usize, k: usize) -> u8 {
    let at = |i: usize| bytes.get(start + i * step).map_or(0, |&b| i32::from(b));
    let first = at(2 * k);
    let sample = if k == 0 { first } else { (3 * first - at(2 * k - 1) + 1) / 2 };
    sample.clamp(0, 255) as u8
}

/// Y, Cb, Cr to R, G, B in place, with libjpeg's weights of 16 bits and its rounding.
pub fn to_rgb(pixels: &mut [u8]) {
    const HALF: i32 = 1 << 15;
    for pixel in pixels.chunks_exact_mut(3) {
        if let [a, b, c] = pixel {
            let (y, cb, cr) = (i32::from(*a), i32::from(*b) - 128, i32::from(*c) - 128);
            let level = |sum: i32| (y + (sum >> 16)).clamp(0, 255) as u8;
            *a = level(91_881 * cr + HALF);
            *b = level(-22_554 * cb - 46_802 * cr + HALF);
            *c = level(116_130 * cb + HALF);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// libjpeg's blend of a line of samples, and the decoder's, which goes on into `beyond`.
    fn blended(samples: &[u8], beyond: Option<u8>, n: usize) -> Vec<u8> {
        let at =
            |k: usize| i32::from(samples.get(k).copied().or(beyond).unwrap_or(samples[samples.len() - 1]));
        let pixel = |i: usize| {
            let (own, k) = (at(i / 2), i / 2);
            let other = if i % 2 == 1 { at(k + 1) } else { at(k.saturating_sub(1)) };
            ((3 * own + other + 2) >> 2) as u8
        };
        (0..n).map(pixel).collect()
    }

    #[test]
    fn the_last_sample_stands_alone() {
        let samples = [10, 200, 30, 90, 255, 0, 255];
        for n in 5..=14usize {
            let samples = &samples[..n.div_ceil(2)];
            let wanted = blended(samples, None, n);
            let mut found: Vec<u8> = blended(samples, Some(77), n);
            end(&mut found, 0, 1, n);
            let apart = wanted.iter().zip(&found).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(apart <= 2, "{n}: {found:?}, wanted {wanted:?}");
            assert_eq!(found[..n - 1], wanted[..n - 1]);
        }
    }

    #[test]
    fn a_narrow_picture_is_repeated() {
        for (n, wanted) in [(1usize, &[10][..]), (2, &[10, 10]), (3, &[10, 10, 90]), (4, &[10, 10, 90, 90])] {
            let mut found = blended(&[10, 90][..n.div_ceil(2)], Some(77), n);
            repeat(&mut found, 0, 1, n);
            assert_eq!(found, wanted);
        }
    }

    /// Both directions at once, and never a byte of Y.
    #[test]
    fn a_picture_is_mended_in_its_last_column_and_row() {
        let (width, height) = (6, 4);
        let line = |x: usize| blended(&[40, 80, 120], Some(255), width)[x];
        let mut ycc: Vec<u8> = (0..height).flat_map(|_| (0..width).flat_map(|x| [7, line(x), 128])).collect();
        mend(&mut ycc, width, height, Sampling { across: 2, down: 2 });
        let (mut pixels, wanted) = (ycc.chunks_exact(3), blended(&[40, 80, 120], None, width));
        assert!(pixels.all(|p| p[0] == 7 && p[2] == 128));
        let bottom: Vec<u8> = ycc.chunks_exact(3).skip(3 * width).map(|p| p[1]).collect();
        assert_eq!(bottom, wanted);
        for (width, height) in [(1, 1), (2, 1), (1, 2), (3, 2), (5, 1), (6, 2)] {
            mend(&mut vec![9; 3 * width * height], width, height, Sampling { across: 2, down: 2 });
        }
    }

    /// libjpeg's corners: its tables round -0.71414 * 127 and the like.
    #[test]
    fn colours_are_libjpegs() {
        let mut pixels = [128, 128, 128, 76, 85, 255, 150, 44, 21, 29, 255, 107, 255, 255, 255, 0, 0, 0];
        to_rgb(&mut pixels);
        assert_eq!(pixels, [128, 128, 128, 254, 0, 0, 0, 255, 1, 0, 0, 254, 255, 121, 255, 0, 135, 0]);
    }
}
