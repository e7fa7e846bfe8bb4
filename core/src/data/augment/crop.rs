//! Crops of pictures of any size: a random one to train on, the centre to check on.
//!
//! A crop is a rectangle of the picture as it is kept, so that a teacher and a student that see different sizes see the
//! same part of it.

use crate::image::resize::{self, Side};
use crate::rng::Rng;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Rectangles that are drawn before the centre is taken.
const TRIES: usize = 10;

/// A part of a picture, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// torchvision's `RandomResizedCrop` (Szegedy et al. 2015): a rectangle of a random share of the area and a random
/// shape, which is resized to what the network sees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomResizedCrop {
    /// Least and greatest share of the picture's area.
    pub scale: (f64, f64),
    /// Least and greatest width / height; its logarithm is drawn evenly.
    pub ratio: (f64, f64),
}

impl Default for RandomResizedCrop {
    fn default() -> Self {
        Self { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) }
    }
}

impl RandomResizedCrop {
    /// Errors name the key that is no range of positive numbers, or a share above 1.
    pub fn validate(&self) -> Result<()> {
        check_range("crop scale", self.scale, 1.0)?;
        check_range("crop ratio", self.ratio, 100.0)
    }

    /// The rectangle for image `index` in `epoch`, of a picture of this height and width (at least 1).
    pub fn draw(&self, seed: u64, epoch: u64, index: u32, height: usize, width: usize) -> Rect {
        let mut rng = stream(seed, "random_resized_crop", epoch, index);
        let found = (0..TRIES).find_map(|_| draw_rect(&mut rng, self.scale, self.ratio, height, width));
        found.map_or_else(|| self.fallback(height, width), |(rect, ..)| rect)
    }

    /// The whole picture, cut to the nearest shape in range, from the centre.
    fn fallback(&self, height: usize, width: usize) -> Rect {
        let shape = width as f64 / height as f64;
        let (h, w) = if shape < self.ratio.0 {
            (round(width as f64 / self.ratio.0), width)
        } else if shape > self.ratio.1 {
            (height, round(height as f64 * self.ratio.1))
        } else {
            (height, width)
        };
        let (h, w) = (h.clamp(1, height), w.clamp(1, width));
        Rect { top: (height - h) / 2, left: (width - w) / 2, height: h, width: w }
    }
}

/// One try of torchvision's `RandomResizedCrop` and, with `ratio` as height / width, of its `RandomErasing`: none if
/// it does not fit.
fn draw_rect(
    rng: &mut Rng,
    scale: (f64, f64),
    ratio: (f64, f64),
    height: usize,
    width: usize,
) -> Option<(Rect, f64)> {
    let share = between(rng, scale);
    let shape = between(rng, (ratio.0.ln(), ratio.1.ln())).exp();
    let area = (height * width) as f64 * share;
    let (w, h) = (round((area * shape).sqrt()), round((area / shape).sqrt()));
    if w == 0 || h == 0 || w > width || h > height {
        return None;
    }
    let top = rng.below((height - h) as u64 + 1) as usize;
    let left = rng.below((width - w) as u64 + 1) as usize;
    Some((Rect { top, left, height: h, width: w }, share))
}

/// Python's `round`: halves go to the even number.
fn round(x: f64) -> usize {
    x.round_ties_even() as usize
}

/// Evenly in a range.
pub(super) fn between(rng: &mut Rng, (low, high): (f64, f64)) -> f64 {
    low + (high - low) * rng.unit_f64()
}

/// The generator of image `index` in `epoch`, of one kind of augmentation.
pub(super) fn stream(seed: u64, name: &str, epoch: u64, index: u32) -> Rng {
    Rng::new(seed, name, (epoch << 32) | u64::from(index))
}

/// An error unless `0 < low <= high <= most`.
pub(super) fn check_range(key: &str, (low, high): (f64, f64), most: f64) -> Result<()> {
    if low > 0.0 && low <= high && high <= most {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{key} is {low} to {high}, wanted two numbers above 0, ascending, at most {most}"
    )))
}

/// Whether image `index` is mirrored in `epoch`: half of them are.
pub fn flip(seed: u64, epoch: u64, index: u32) -> bool {
    stream(seed, "flip", epoch, index).below(2) == 1
}

/// The part `rect` of a planar picture `[channels, h, w]`, resized to `[channels, to.0, to.1]` as Pillow's BILINEAR does
/// it, then mirrored if `flip`. Nothing outside the rectangle is looked at. An error if the rectangle, or the bytes, do
/// not fit the picture.
pub fn resize(
    picture: &[u8],
    channels: usize,
    (h, w): (usize, usize),
    rect: Rect,
    flip: bool,
    to: (usize, usize),
) -> Result<Vec<u8>> {
    let inside =
        rect.height > 0 && rect.width > 0 && rect.top + rect.height <= h && rect.left + rect.width <= w;
    if !inside || picture.len() != channels * h * w || to.0 == 0 || to.1 == 0 {
        let bytes = picture.len();
        return Err(Error::Failed(format!(
            "a crop {rect:?} to {to:?} of a picture of {channels} x {h} x {w} with {bytes} bytes"
        )));
    }
    let side = |from, to| Side { from, to, first: 0, count: to };
    let sides = (side(rect.height, to.0), side(rect.width, to.1));
    let mut out = resize::bilinear(channels, sides, |y, line| {
        for (c, line) in line.chunks_exact_mut(rect.width).enumerate() {
            let start = (c * h + rect.top + y) * w + rect.left;
            if let Some(row) = picture.get(start..start + rect.width) {
                line.copy_from_slice(row);
            }
        }
    });
    if flip {
        out.chunks_exact_mut(to.1).for_each(<[u8]>::reverse);
    }
    Ok(out)
}

/// 8/7 of `size`, rounded up: the short side that a picture is resized to before the centre is cut out. 256 for 224.
pub fn short_side(size: usize) -> usize {
    size.saturating_mul(8).div_ceil(7)
}

/// [`draw_rect`] for [`super::erase`].
pub(super) fn draw_part(
    rng: &mut Rng,
    scale: (f64, f64),
    ratio: (f64, f64),
    height: usize,
    width: usize,
) -> Option<Rect> {
    // torchvision draws height / width here.
    let turned = (1.0 / ratio.1, 1.0 / ratio.0);
    let found = (0..TRIES).find_map(|_| {
        draw_rect(rng, scale, turned, height, width).filter(|(r, _)| r.height < height && r.width < width)
    });
    found.map(|(rect, _)| rect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::preprocess::Preprocess;

    #[test]
    fn rectangles_are_inside_and_as_large_and_shaped_as_asked() {
        let crop = RandomResizedCrop { scale: (0.2, 0.6), ratio: (0.5, 2.0) };
        let mut shares = Vec::new();
        for i in 0..2000 {
            let r = crop.draw(1, 2, i, 300, 400);
            assert!(r.top + r.height <= 300 && r.left + r.width <= 400);
            let shape = r.width as f64 / r.height as f64;
            let share = (r.width * r.height) as f64 / 120_000.0;
            assert!((0.49..2.02).contains(&shape) && (0.199..0.603).contains(&share), "{r:?}");
            shares.push(share);
        }
        let mean = shares.iter().sum::<f64>() / 2000.0;
        // Evenly from 0.2 to 0.6, a little less where the largest do not fit; standard error 0.0026.
        assert!((0.385..0.41).contains(&mean), "{mean}");
        assert_eq!(crop.draw(1, 2, 3, 300, 400), crop.draw(1, 2, 3, 300, 400));
        assert_ne!(crop.draw(1, 2, 3, 300, 400), crop.draw(1, 3, 3, 300, 400));
        assert!((0..200).filter(|&i| flip(1, 2, i)).count().abs_diff(100) < 40);
    }

    /// Frozen: results depend on these draws.
    #[test]
    fn draws_never_change() {
        let crop = RandomResizedCrop::default();
        let draws: Vec<[usize; 4]> = (0..3)
            .map(|i| crop.draw(1, 2, i, 100, 150))
            .map(|r| [r.top, r.left, r.height, r.width])
            .collect();
        assert_eq!(draws, FROZEN);
        assert_eq!((0..8).map(|i| flip(1, 2, i)).collect::<Vec<_>>(), FLIPS);
    }
    const FROZEN: [[usize; 4]; 3] = [[16, 0, 84, 81], [5, 18, 94, 72], [7, 37, 89, 86]];
    const FLIPS: [bool; 8] = [true, true, true, false, false, true, false, true];

    /// Where no rectangle fits, torchvision's centre: the longest strip of the nearest shape.
    #[test]
    fn a_strip_falls_back_to_its_centre() {
        let crop = RandomResizedCrop { scale: (0.9, 1.0), ..Default::default() };
        assert_eq!(crop.draw(0, 0, 0, 10, 1000), Rect { top: 0, left: 493, height: 10, width: 13 });
        assert_eq!(crop.draw(0, 0, 0, 1000, 10), Rect { top: 493, left: 0, height: 13, width: 10 });
        assert_eq!(crop.draw(0, 0, 0, 1, 1), Rect { top: 0, left: 0, height: 1, width: 1 });
        assert!(
            RandomResizedCrop { scale: (0.5, 1.5), ..crop }.validate().is_err() && crop.validate().is_ok()
        );
    }

    /// One rectangle at two sizes; the same as cutting it out first; mirrored last.
    #[test]
    fn a_crop_is_cut_then_resized_then_mirrored() {
        let (h, w) = (20, 30);
        let picture: Vec<u8> = (0..3 * h * w).map(|i| (i * 37 % 251) as u8).collect();
        let rect = Rect { top: 3, left: 5, height: 12, width: 18 };
        let cut: Vec<u8> = (0..3)
            .flat_map(|c| (3..15).flat_map(move |y| (5..23).map(move |x| (c, y, x))))
            .map(|(c, y, x)| picture[(c * h + y) * w + x])
            .collect();
        let whole = Rect { top: 0, left: 0, height: 12, width: 18 };
        for to in [(6, 9), (12, 18), (17, 5)] {
            let found = resize(&picture, 3, (h, w), rect, false, to).unwrap();
            assert_eq!(found, resize(&cut, 3, (12, 18), whole, false, to).unwrap());
            let mut mirrored = resize(&picture, 3, (h, w), rect, true, to).unwrap();
            mirrored.chunks_exact_mut(to.1).for_each(<[u8]>::reverse);
            assert_eq!(found, mirrored);
        }
        assert_eq!(resize(&picture, 3, (h, w), rect, false, (12, 18)).unwrap(), cut);
        assert!(resize(&picture, 3, (h, w), Rect { left: 13, ..rect }, false, (4, 4)).is_err());
    }

    /// The bytes are those that the device's preprocessing normalises.
    #[test]
    fn the_centre_is_that_of_the_device() {
        use crate::data::preprocess::Resize;
        let preprocess = Preprocess {
            channels: 3,
            height: 14,
            width: 14,
            resize_short: Some(short_side(14)),
            resize: Some(Resize::PIL),
            mean: vec![0.0; 3],
            std: vec![1.0 / 255.0; 3],
        };
        let picture: Vec<u8> = (0..3 * 40 * 33).map(|i| (i * 37 % 251) as u8).collect();
        let found = preprocess.crop(&picture, 40, 33).unwrap();
        let wanted = preprocess.apply(&picture, 40, 33).unwrap();
        assert!(
            found.len() == 3 * 14 * 14
                && found.iter().zip(wanted).all(|(b, x)| (f32::from(*b) - x).abs() < 1e-3)
        );
    }
}
