//! u8 image to network input: the one function that does it, driven by data in arch.json and the
//! manifest.

use crate::image::resize::{self, Side};
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
    /// Length of the short side after resizing; none: the short side is made to fit the crop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize_short: Option<usize>,
    /// How images of another size are resized. None is what files made before the key was there mean:
    /// bilinear without antialias, half-pixel centres (ONNX Resize `half_pixel`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// Per channel, of x / 255.
    pub mean: Vec<f32>,
    /// Per channel, of x / 255; positive.
    pub std: Vec<f32>,
}

/// How an image becomes another size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// What each pixel is a weighted mean by.
    pub filter: Filter,
    /// Whether the filter is as wide as the scale where an image shrinks.
    pub antialias: bool,
}

/// A resizing filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// A triangle.
    Bilinear,
}

impl Resize {
    /// As people train: PIL's BILINEAR, which torchvision's and timm's `Resize` call.
    pub const PIL: Self = Self { filter: Filter::Bilinear, antialias: true };
    /// What no `resize` key means.
    const UNSAID: Self = Self { filter: Filter::Bilinear, antialias: false };
}

/// Sides of an image to be resized: with at most four channels no product below overflows.
const MAX_SIDE: usize = 65_535;

impl Preprocess {
    /// Values of one input.
    pub fn image_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Returns for each channel the byte that stands for the mean: zero after normalisation, nearly.
    pub fn fill(&self) -> Vec<u8> {
        self.mean.iter().map(|m| (m * 255.0).round().clamp(0.0, 255.0) as u8).collect()
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

    /// Whether two networks see the same image alike, once it has their size: how images of other sizes
    /// are resized has no part in it.
    pub fn same_input(&self, other: &Self) -> bool {
        let plain = |p: &Self| Self { resize_short: None, resize: None, ..p.clone() };
        plain(self) == plain(other)
    }

    /// One image of any size, planar `[C, h, w]`: resized, cropped, normalised to `[C, H, W]`.
    pub fn apply(&self, image: &[u8], h: usize, w: usize) -> Result<Vec<f32>> {
        check_sides(h, w)?;
        if image.len() != self.channels * h * w {
            let what = format!(
                "image has {} bytes, wanted {} x {h} x {w} (channels, height, width)",
                image.len(),
                self.channels
            );
            return Err(Error::usage(what));
        }
        self.apply_rows(h, w, resize::rows_of(image, h, w))
    }

    /// Resized and cropped as [`Self::apply`] does it, and not normalised: planar `[C, H, W]`. Only for antialiased
    /// resizing, whose answer is bytes.
    pub fn crop(&self, image: &[u8], h: usize, w: usize) -> Result<Vec<u8>> {
        check_sides(h, w)?;
        if image.len() != self.channels * h * w || !self.resize.unwrap_or(Resize::UNSAID).antialias {
            let what = format!(
                "image has {} bytes, wanted {} x {h} x {w} (channels, height, width), and antialiased resizing",
                image.len(),
                self.channels
            );
            return Err(Error::usage(what));
        }
        let window = self.window_as_torchvision(h, w);
        Ok(resize::bilinear(self.channels, window, resize::rows_of(image, h, w)))
    }

    /// [`Self::apply`] of an image that nobody holds as planes: `row(y, out)` writes its row `y`, plane
    /// after plane (`[C, w]`). Rows that are needed are asked for from the top, once each.
    pub fn apply_rows(&self, h: usize, w: usize, mut row: impl FnMut(usize, &mut [u8])) -> Result<Vec<f32>> {
        check_sides(h, w)?;
        let same_size = self.resize_short.is_none() && (h, w) == (self.height, self.width);
        let Resize { filter: Filter::Bilinear, antialias } = self.resize.unwrap_or(Resize::UNSAID);
        if antialias || same_size {
            let window = self.window_as_torchvision(h, w);
            return self.normalise(&resize::bilinear(self.channels, window, row));
        }
        let (rows, columns) = self.window_of_old(h, w);
        let (rows, columns) = (taps(rows), taps(columns));
        let mut out = vec![0.0; self.image_len()];
        let mut held = Neighbours { at: [None; 2], rows: [(); 2].map(|()| vec![0; self.channels * w]) };
        for (y, &(y0, y1, fy)) in rows.iter().enumerate() {
            let [above, below] = held.rows_at([y0, y1], &mut row);
            let planes = above.chunks_exact(w).zip(below.chunks_exact(w));
            let scales = self.mean.iter().zip(&self.std);
            let plane = self.height * self.width;
            for (((above, below), (&mean, &std)), out) in planes.zip(scales).zip(out.chunks_exact_mut(plane))
            {
                let line = &mut out[y * self.width..(y + 1) * self.width];
                for (out, &(x0, x1, fx)) in line.iter_mut().zip(&columns) {
                    let between = |row: &[u8]| {
                        let (a, b) = (f32::from(row[x0]), f32::from(row[x1]));
                        a + (b - a) * fx
                    };
                    let (top, bottom) = (between(above), between(below));
                    *out = ((top + (bottom - top) * fy) / 255.0 - mean) / std;
                }
            }
        }
        Ok(out)
    }

    /// The crop's rows and columns as torchvision's `Resize` and `CenterCrop` choose them: the long side is
    /// rounded down, half a pixel of margin goes to the even place.
    fn window_as_torchvision(&self, h: usize, w: usize) -> (Side, Side) {
        let (tall, wide) = match self.resize_short {
            Some(short) => {
                let scaled = |side: usize| short * side / h.min(w);
                (scaled(h).max(self.height), scaled(w).max(self.width))
            }
            None => self.fitting(h, w),
        };
        let side = |from, to: usize, count: usize| {
            let margin = to - count;
            let first = margin / 2 + usize::from(margin % 4 == 3);
            Side { from, to, first, count }
        };
        (side(h, tall, self.height), side(w, wide, self.width))
    }

    /// As bundles without the key `resize` have always had it.
    fn window_of_old(&self, h: usize, w: usize) -> (Side, Side) {
        let (tall, wide) = match self.resize_short {
            Some(short) => {
                let scale = short as f64 / h.min(w) as f64;
                (scaled(h, scale).max(self.height), scaled(w, scale).max(self.width))
            }
            None => self.fitting(h, w),
        };
        let side = |from, to: usize, count: usize| Side { from, to, first: (to - count) / 2, count };
        (side(h, tall, self.height), side(w, wide, self.width))
    }

    /// The smallest size of the image's shape that the crop fits into.
    fn fitting(&self, h: usize, w: usize) -> (usize, usize) {
        let scale = (self.height as f64 / h as f64).max(self.width as f64 / w as f64);
        (scaled(h, scale).max(self.height), scaled(w, scale).max(self.width))
    }
}

fn scaled(side: usize, scale: f64) -> usize {
    (side as f64 * scale).round() as usize
}

fn check_sides(h: usize, w: usize) -> Result<()> {
    let fits = |side| (1..=MAX_SIDE).contains(&side);
    if fits(h) && fits(w) {
        return Ok(());
    }
    Err(Error::usage(format!("image is {h} x {w}, wanted sides of 1 to {MAX_SIDE} pixels")))
}

/// The two rows that lie around an output row: the next output row often needs one of them again.
struct Neighbours {
    at: [Option<usize>; 2],
    rows: [Vec<u8>; 2],
}

impl Neighbours {
    fn rows_at(&mut self, [above, below]: [usize; 2], row: &mut impl FnMut(usize, &mut [u8])) -> [&[u8]; 2] {
        if self.at[1] == Some(above) {
            self.at.swap(0, 1);
            self.rows.swap(0, 1);
        }
        for (i, wanted) in [above, below].into_iter().enumerate() {
            if self.at[i] == Some(wanted) {
                continue;
            }
            if i == 1 && below == above {
                let [first, second] = &mut self.rows;
                second.copy_from_slice(first);
            } else {
                row(wanted, &mut self.rows[i]);
            }
            self.at[i] = Some(wanted);
        }
        [&self.rows[0], &self.rows[1]]
    }
}

/// For each position of a window: the two source positions and the weight of the second (half-pixel
/// centres, edges clamped).
fn taps(Side { from, to, first, count }: Side) -> Vec<(usize, usize, f32)> {
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
            resize: None,
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
            resize: None,
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

    /// Shrinking by four: each pixel is a mean of its surroundings, where the old form picks two of four.
    #[test]
    fn the_key_says_whether_shrinking_is_antialiased() {
        let stripes: Vec<u8> = (0..64).map(|i| if i % 4 < 2 { 0 } else { 200 }).collect();
        let old = grey(2, None);
        let bytes = |p: &Preprocess, image: &[u8]| -> Vec<u8> {
            p.apply(image, 8, 8).unwrap().iter().map(|x| x.round() as u8).collect()
        };
        assert_eq!(bytes(&old, &stripes), [100; 4]);
        let dots: Vec<u8> = (0..64).map(|i| if i % 8 == 0 && i < 32 { 255 } else { 0 }).collect();
        assert_eq!(bytes(&old, &dots), [0; 4], "an old bundle's answer stays");
        let new = Preprocess { resize: Some(Resize::PIL), ..old };
        // Pillow 13: the same image, resize((2, 2), Image.BILINEAR).
        assert_eq!(bytes(&new, &dots), [39, 0, 7, 0]);
        let json = serde_json::to_string(&new).unwrap();
        assert!(json.contains(r#""resize":{"filter":"bilinear","antialias":true}"#), "{json}");
        assert_eq!(serde_json::from_str::<Preprocess>(&json).unwrap(), new);
        let old_json = json.replace(r#""resize":{"filter":"bilinear","antialias":true},"#, "");
        assert_eq!(serde_json::from_str::<Preprocess>(&old_json).unwrap().resize, None);
        let lanczos = json.replace("bilinear", "lanczos");
        assert!(serde_json::from_str::<Preprocess>(&lanczos).unwrap_err().to_string().contains("`lanczos`"));
    }

    /// torchvision: Resize(7) of 10 x 23 gives 7 x 16 (16.1); CenterCrop(5) starts at 1 and at 6 (Python's
    /// round(5.5)); margins of 2.5 and 3.5 pixels become 2 and 4.
    #[test]
    fn the_crop_lies_where_torchvision_puts_it() {
        let p = Preprocess { resize: Some(Resize::PIL), ..grey(5, Some(7)) };
        let (rows, columns) = p.window_as_torchvision(10, 23);
        assert_eq!((rows.to, rows.first, columns.to, columns.first), (7, 1, 16, 6));
        for (short, first) in [(10, 2), (12, 4)] {
            let p = Preprocess { resize_short: Some(short), ..p.clone() };
            assert_eq!(p.window_as_torchvision(50, 50).0.first, first, "{short}");
        }
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
