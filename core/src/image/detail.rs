//! How many pixels a picture's detail needs. A picture that was enlarged once has many pixels and shows little.

use super::resize::whole;

/// Sides that are tried, ascending.
const SIDES: [usize; 10] = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384];
/// Mean square of what may change: a peak signal-to-noise ratio of 40 dB, 2.55 levels of 255.
const CHANGE: f64 = 2.55 * 2.55;

/// Returns the smallest of some sides that the picture's short side can be shrunk to, and enlarged again (bilinear,
/// antialiased), with a peak signal-to-noise ratio of 40 dB or more; its own short side if none is small enough.
/// A picture that was enlarged needs far less than it has. `pixels` are planar, `[channels, height, width]`. None if they are
/// not so many, or none.
pub fn detail_side(pixels: &[u8], height: usize, width: usize) -> Option<usize> {
    let plane = height.checked_mul(width).filter(|&plane| plane > 0)?;
    let channels = pixels.len() / plane;
    if channels == 0 || channels * plane != pixels.len() {
        return None;
    }
    let short = height.min(width);
    let is_enough = |&side: &usize| {
        let scaled = |long: usize| (long * side / short).max(1);
        let small = whole(pixels, channels, [height, width], [scaled(height), scaled(width)]);
        let back = whole(&small, channels, [scaled(height), scaled(width)], [height, width]);
        let square = |(&a, &b): (&u8, &u8)| f64::from(a.abs_diff(b)).powi(2);
        pixels.iter().zip(&back).map(square).sum::<f64>() <= CHANGE * pixels.len() as f64
    };
    Some(SIDES.into_iter().take_while(|&side| side < short).find(is_enough).unwrap_or(short))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn an_enlarged_picture_needs_no_more_than_it_was_enlarged_from() {
        let mut rng = Rng::new(0, "detail", 0);
        let noise = |n: usize, rng: &mut Rng| (0..n).map(|_| rng.below(256) as u8).collect::<Vec<u8>>();
        let sharp = noise(3 * 90 * 120, &mut rng);
        assert_eq!(detail_side(&sharp, 90, 120), Some(90));
        // Twelve pixels wide, enlarged eight times: 40 dB want somewhat more than it came from.
        let small = noise(3 * 12 * 16, &mut rng);
        let large = whole(&small, 3, [12, 16], [96, 128]);
        let found = detail_side(&large, 96, 128);
        assert!(found.is_some_and(|side| (24..=64).contains(&side)), "{found:?}");
        assert_eq!(detail_side(&[7; 3 * 50 * 40], 50, 40), Some(16), "of one colour");
        for (pixels, height, width) in [(&[][..], 4, 4), (&[1; 15][..], 4, 4), (&[1; 3][..], 0, 3)] {
            assert_eq!(detail_side(pixels, height, width), None);
        }
        assert_eq!(detail_side(&[1, 2, 3], 1, 1), Some(1));
    }
}
