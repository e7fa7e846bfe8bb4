//! Random erasing (Zhong et al. 2017), as torchvision's `RandomErasing`: a rectangle is filled.

use super::crop::{Rect, check_range, draw_part, stream};
use crate::ir::arch::Input;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How often and how much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomErasing {
    /// Of an image to be erased in, 0 to 1.
    pub probability: f64,
    /// Least and greatest share of the area.
    pub scale: (f64, f64),
    /// Least and greatest height / width; its logarithm is drawn evenly.
    pub ratio: (f64, f64),
}

impl Default for RandomErasing {
    fn default() -> Self {
        Self { probability: 0.5, scale: (0.02, 0.33), ratio: (0.3, 3.3) }
    }
}

impl RandomErasing {
    /// Errors name the key.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(Error::usage(format!("erasing probability is {}, wanted 0 to 1", self.probability)));
        }
        check_range("erasing scale", self.scale, 1.0)?;
        check_range("erasing ratio", self.ratio, 100.0)
    }

    /// The rectangle for image `index` in `epoch`, of an image of this height and width; none where it stays as it is.
    pub fn draw(&self, seed: u64, epoch: u64, index: u32, height: usize, width: usize) -> Option<Rect> {
        let mut rng = stream(seed, "random_erasing", epoch, index);
        if rng.unit_f64() >= self.probability {
            return None;
        }
        draw_part(&mut rng, self.scale, self.ratio, height, width)
    }
}

/// Fills `rect` of a planar image `[C, H, W]` with one byte for each channel: the data's mean is what torchvision's 0
/// after normalisation is.
pub fn erase(image: &mut [u8], input: Input, rect: Rect, fill: &[u8]) {
    for (plane, &fill) in image.chunks_exact_mut((input.height * input.width).max(1)).zip(fill) {
        for row in plane.chunks_exact_mut(input.width.max(1)).skip(rect.top).take(rect.height) {
            row.iter_mut().skip(rect.left).take(rect.width).for_each(|b| *b = fill);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: results depend on these draws.
    #[test]
    fn draws_never_change() {
        const WANTED: &str = "[None, None, Some(Rect { top: 44, left: 27, height: 28, width: 27 })]";
        let found = (0..3).map(|i| RandomErasing::default().draw(1, 2, i, 100, 80)).collect::<Vec<_>>();
        assert_eq!(format!("{found:.6?}"), WANTED);
    }

    #[test]
    fn a_rectangle_is_filled() {
        let input = Input { channels: 2, height: 4, width: 3 };
        let mut image = vec![1; 24];
        erase(&mut image, input, Rect { top: 1, left: 1, height: 2, width: 2 }, &[7, 8]);
        assert_eq!(image[..12], [1, 1, 1, 1, 7, 7, 1, 7, 7, 1, 1, 1]);
        assert_eq!(image[12..], [1, 1, 1, 1, 8, 8, 1, 8, 8, 1, 1, 1]);
    }

    #[test]
    fn as_often_and_as_much_as_asked() {
        let erasing = RandomErasing::default();
        erasing.validate().unwrap();
        let drawn: Vec<Rect> = (0..2000).filter_map(|i| erasing.draw(1, 2, i, 100, 80)).collect();
        assert!(drawn.len().abs_diff(1000) < 90, "{}", drawn.len()); // 4 sigma
        for r in &drawn {
            let share = (r.height * r.width) as f64 / 8000.0;
            let shape = r.height as f64 / r.width as f64;
            assert!(r.top + r.height <= 100 && r.left + r.width <= 80, "{r:?}");
            assert!((0.018..0.34).contains(&share) && (0.27..3.7).contains(&shape), "{r:?}");
        }
        let never = RandomErasing { probability: 0.0, ..erasing };
        assert!((0..100).all(|i| never.draw(1, 2, i, 100, 80).is_none()));
        assert!(RandomErasing { scale: (0.5, 0.2), ..erasing }.validate().is_err());
    }
}
