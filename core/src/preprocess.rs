//! u8 image to network input: the one function that does it, driven by data in arch.json and the
//! manifest.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How an image of any size becomes the network's input. Applied in order: resize the short side,
/// crop the centre, (x / 255 - mean) / std.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// 3 (RGB) or 1 (grey).
    pub channels: usize,
    /// After the crop, pixels.
    pub height: usize,
    /// After the crop, pixels.
    pub width: usize,
    /// Length of the short side after bilinear resizing (half-pixel centres, as PIL without
    /// antialias and ONNX Resize `half_pixel`); none: the short side is made to fit the crop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize_short: Option<usize>,
    /// Per channel, of x / 255.
    pub mean: Vec<f32>,
    /// Per channel, of x / 255; positive.
    pub std: Vec<f32>,
}

/// Sides of an image to be resized: with at most four channels no product below overflows.
const MAX_SIDE: usize = 65_535;

impl Preprocess {
    /// Values of one input.
    pub fn image_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Checks every number; errors name the key.
    pub fn validate(&self) -> Result<()> {
        let bad = |what: String| Err(Error::usage(format!("preprocess: {what}")));
        let size = (self.channels, self.height, self.width);
        if !(1..=4).contains(&size.0) || !(1..=4096).contains(&size.1) || !(1..=4096).contains(&size.2) {
            return bad(format!(
                "channels, height, width are {size:?}, wanted 1 to 4 channels, 1 to 4096 pixels"
            ));
        }
        if let Some(short) = self.resize_short
            && !(1..=8192).contains(&short)
        {
            return bad(format!("resize_short is {short}, wanted 1 to 8192"));
        }
        if self.resize_short.is_some_and(|s| s < self.height.max(self.width)) {
            return bad(format!("resize_short is {:?}, smaller than the crop", self.resize_short));
        }
        if self.mean.len() != self.channels || self.std.len() != self.channels {
            let found = (self.mean.len(), self.std.len());
            return bad(format!(
                "mean and std have {found:?} values, wanted one per channel ({})",
                self.channels
            ));
        }
        if self.mean.iter().any(|m| !m.is_finite()) || self.std.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
            return bad(format!("mean {:?} or std {:?} is not finite and positive", self.mean, self.std));
        }
        Ok(())
    }

    /// 256 values per channel: what each byte becomes.
    pub fn table(&self) -> Vec<[f32; 256]> {
        let row = |(&mean, &std): (&f32, &f32)| std::array::from_fn(|i| ((i as f32) / 255.0 - mean) / std);
        self.mean.iter().zip(&self.std).map(row).collect()
    }

    /// Images already of the right size, planar `[n, C, H, W]`, normalised.
    pub fn normalise(&self, pixels: &[u8]) -> Result<Vec<f32>> {
        if pixels.is_empty() || !pixels.len().is_multiple_of(self.image_len()) {
            let what = format!("{} bytes of pixels, wanted a multiple of {}", pixels.len(), self.image_len());
            return Err(Error::usage(what));
        }
        let table = self.table();
        let plane = self.height * self.width;
        let mut out = Vec::with_capacity(pixels.len());
        for (i, channel) in pixels.chunks(plane).enumerate() {
            if let Some(row) = table.get(i % self.channels) {
                out.extend(channel.iter().map(|&b| row[usize::from(b)]));
            }
        }
        Ok(out)
    }

    /// One image of any size, planar `[C, h, w]`: resized, cropped, normalised to `[C, H, W]`.
    pub fn apply(&self, image: &[u8], h: usize, w: usize) -> Result<Vec<f32>> {
        if !(1..=MAX_SIDE).contains(&h) || !(1..=MAX_SIDE).contains(&w) {
            return Err(Error::usage(format!("image is {h} x {w}, wanted sides of 1 to {MAX_SIDE} pixels")));
        }
        if image.len() != self.channels * h * w {
            let what = format!(
                "image has {} bytes, wanted {} x {h} x {w} (channels, height, width)",
                image.len(),
                self.channels
            );
            return Err(Error::usage(what));
        }
        if self.resize_short.is_none() && (h, w) == (self.height, self.width) {
            return self.normalise(image);
        }
        // Without resize_short the scale is the smallest at which the crop fits.
        let scale = match self.resize_short {
            Some(short) => short as f64 / h.min(w) as f64,
            None => (self.height as f64 / h as f64).max(self.width as f64 / w as f64),
        };
        let (tall, wide) = (((h as f64 * scale).round() as usize), ((w as f64 * scale).round() as usize));
        let top = (tall.max(self.height) - self.height) / 2;
        let left = (wide.max(self.width) - self.width) / 2;
        let rows = taps(h, tall.max(self.height), top, self.height);
        let cols = taps(w, wide.max(self.width), left, self.width);
        let mut out = Vec::with_capacity(self.image_len());
        for ((channel, &mean), &std) in image.chunks(h * w).zip(&self.mean).zip(&self.std) {
            for &(y0, y1, fy) in &rows {
                for &(x0, x1, fx) in &cols {
                    let at = |y: usize, x: usize| f32::from(channel[y * w + x]);
                    let top = at(y0, x0) + (at(y0, x1) - at(y0, x0)) * fx;
                    let bottom = at(y1, x0) + (at(y1, x1) - at(y1, x0)) * fx;
                    out.push(((top + (bottom - top) * fy) / 255.0 - mean) / std);
                }
            }
        }
        Ok(out)
    }
}

/// For each of `count` positions from `first` on a side resized from `from` to `to`: the two source
/// positions and the weight of the second (half-pixel centres, edges clamped).
fn taps(from: usize, to: usize, first: usize, count: usize) -> Vec<(usize, usize, f32)> {
    let tap = |i: usize| {
        let centre = ((first + i) as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let centre = centre.clamp(0.0, (from - 1) as f64);
        let low = centre.floor() as usize;
        (low, (low + 1).min(from - 1), (centre - low as f64) as f32)
    };
    (0..count).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(side: usize, resize_short: Option<usize>) -> Preprocess {
        Preprocess {
            channels: 1,
            height: side,
            width: side,
            resize_short,
            mean: vec![0.0],
            std: vec![1.0 / 255.0],
        }
    }

    #[test]
    fn normalises_by_hand() {
        let p = Preprocess {
            channels: 2,
            height: 1,
            width: 2,
            resize_short: None,
            mean: vec![0.5, 0.0],
            std: vec![0.5, 2.0],
        };
        assert_eq!(p.normalise(&[0, 255, 0, 255]).unwrap(), [-1.0, 1.0, 0.0, 0.5]);
        assert!(p.normalise(&[0; 5]).unwrap_err().to_string().contains("multiple of 4"));
    }

    #[test]
    fn resizes_by_hand() {
        let near = |got: Vec<f32>, want: &[f32]| {
            assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-3), "{got:?} wanted {want:?}");
        };
        // 2x2 to 4x4: half-pixel centres fall at -0.25 (clamped), 0.25, 0.75, 1.25 (clamped).
        near(grey(4, None).apply(&[0, 100, 0, 100], 2, 2).unwrap(), &[0.0, 25.0, 75.0, 100.0]);
        // 4x2 (h, w) cropped to 2x2: the middle rows.
        near(grey(2, None).apply(&[1, 2, 3, 4, 5, 6, 7, 8], 4, 2).unwrap(), &[3.0, 4.0, 5.0, 6.0]);
        near(grey(2, Some(4)).apply(&[9; 4], 2, 2).unwrap(), &[9.0; 4]);
    }

    #[test]
    fn wrong_sizes_and_numbers_are_named() {
        for (h, w) in [(0, 1), (usize::MAX, 2), (1 << 40, 1 << 40)] {
            assert!(grey(2, None).apply(&[0; 5], h, w).unwrap_err().to_string().contains("wanted sides"));
        }
        assert!(grey(2, None).apply(&[9; 65_535], 1, 65_535).is_ok(), "an absurd shape is still an image");
        assert!(grey(2, None).apply(&[0; 5], 2, 2).unwrap_err().to_string().contains("wanted 1 x 2 x 2"));
        let mut p = grey(2, None);
        p.std = vec![0.0];
        assert!(p.validate().unwrap_err().to_string().contains("std"));
        assert!(grey(4, Some(3)).validate().unwrap_err().to_string().contains("smaller than the crop"));
    }
}
