//! A picture of any size, from a PNG, JPEG or WebP file or from a camera.
//!
//! Files are read as PIL's `convert("RGB")` reads them (transparency is dropped, 16 bits become 8), and
//! seen upright as their EXIF orientation says.

use crate::image::{exif, jpeg, luma, png, webp};
use crate::io::artifact;
use crate::program::exit;
use crate::{Error, Result};
use std::path::Path;

/// Pixels of the largest picture that is decoded: more than nearly all cameras make, and 192 MB of RGB,
/// which a Raspberry Pi has. A small file that claims more is an attack on memory.
pub const MAX_PIXELS: usize = 64 << 20;
/// Bytes that decoding one picture may hold at once, itself included.
pub const MAX_BYTES: usize = 256 << 20;
/// As [`crate::data::preprocess`] resizes.
const MAX_SIDE: usize = 65_535;

/// 8-bit RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// As stored.
    width: usize,
    height: usize,
    /// `[height, width, 3]`, rows from the top of what is stored.
    rgb: Vec<u8>,
    /// EXIF's 1 to 8: how what is stored is to be turned. It is turned row by row when it is read, since a
    /// turned copy would take as much memory again.
    orientation: u8,
}

impl Image {
    /// From `width * height * 3` bytes: R, G, B of each pixel, rows from the top.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        match width.checked_mul(height).and_then(|n| n.checked_mul(3)) {
            Some(n) if n == rgb.len() && n > 0 => Ok(Self { width, height, rgb, orientation: 1 }),
            _ => Err(Error::usage(format!(
                "a picture of {width} x {height} pixels has {} bytes, wanted width x height x 3",
                rgb.len()
            ))),
        }
    }

    /// Reads a PNG, JPEG or WebP file; what it is, its first bytes tell. Errors name the file: one that is no regular
    /// file, is no such picture, is damaged, or has more than [`MAX_PIXELS`] or needs more than [`MAX_BYTES`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::from_bytes(&artifact::read(path)?).map_err(|why| Error::input(path, why))
    }

    /// [`Self::open`] of a file's bytes, wherever they come from: the error says what is wrong with them, and the
    /// caller knows their name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let decoded = exit::contain(|| Self::decode(bytes));
        decoded.unwrap_or_else(|panic| Err(format!("cannot be decoded ({panic})")))
    }

    /// Turned as EXIF's `orientation` (1 to 8) says.
    pub(super) fn turned(self, orientation: u8) -> Self {
        Self { orientation, ..self }
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            png::decode(bytes).map_err(|e| format!("is not a readable PNG: {e}"))
        } else if webp::is_one(bytes) {
            webp::decode(bytes).map_err(|e| format!("is not a readable WebP: {e}"))
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            jpeg(bytes).map_err(|e| format!("is not a readable JPEG: {e}"))
        } else {
            Err("is neither a PNG, a JPEG nor a WebP file".into())
        }
    }

    /// Pixels, upright.
    pub fn width(&self) -> usize {
        if self.orientation >= 5 { self.height } else { self.width }
    }

    /// Pixels, upright.
    pub fn height(&self) -> usize {
        if self.orientation >= 5 { self.width } else { self.height }
    }

    /// `[channels, height, width]`: red, green and blue for 3; for 1 the luma of ITU-R BT.601, as PIL's
    /// `convert("L")`.
    pub fn planar(&self, channels: usize) -> Result<Vec<u8>> {
        check_channels(channels)?;
        let (width, height) = (self.width(), self.height());
        let mut planes = vec![0; channels * width * height];
        let mut line = vec![0; channels * width];
        for y in 0..height {
            self.row(y, channels, &mut line);
            for (plane, line) in planes.chunks_exact_mut(width * height).zip(line.chunks_exact(width)) {
                plane.iter_mut().skip(y * width).zip(line).for_each(|(out, b)| *out = *b);
            }
        }
        Ok(planes)
    }

    /// Row `y` of the upright picture, as planes `[channels, width]`; `channels` is 1 or 3.
    pub fn row(&self, y: usize, channels: usize, out: &mut [u8]) {
        let (w, h) = (self.width, self.height);
        // Where the row's first pixel is stored, and how far on the next one is (CIPA DC-008, tag 274).
        let (start, step, back) = match self.orientation {
            2 => (y * w + w - 1, 1, true),
            3 => ((h - 1 - y) * w + w - 1, 1, true),
            4 => ((h - 1 - y) * w, 1, false),
            5 => (y, w, false),
            6 => ((h - 1) * w + y, w, true),
            7 => ((h - 1) * w + w - 1 - y, w, true),
            8 => (w - 1 - y, w, false),
            _ => (y * w, 1, false),
        };
        let width = self.width();
        let place = |x: usize| if back { start - x * step } else { start + x * step };
        let pixel = |x: usize| &self.rgb[3 * place(x)..3 * place(x) + 3];
        if channels == 1 {
            let grey = |x: usize| if let &[r, g, b] = pixel(x) { luma(r, g, b) } else { 0 };
            out.iter_mut().enumerate().for_each(|(x, out)| *out = grey(x));
            return;
        }
        let (red, rest) = out.split_at_mut(width);
        let (green, blue) = rest.split_at_mut(width);
        for (x, ((r, g), b)) in red.iter_mut().zip(green).zip(blue).enumerate() {
            if let &[pr, pg, pb] = pixel(x) {
                (*r, *g, *b) = (pr, pg, pb);
            }
        }
    }
}

/// Pictures become 3 (RGB) or 1 (grey) planes.
pub fn check_channels(channels: usize) -> Result<()> {
    match channels {
        1 | 3 => Ok(()),
        other => Err(Error::usage(format!(
            "the model takes {other} channels; pictures become 3 (RGB) or 1 (grey)"
        ))),
    }
}

fn jpeg(bytes: &[u8]) -> Result<Image, String> {
    let jpeg::Decoded { width, height, rgb, exif } = jpeg::decode(bytes, within)?;
    let image = Image::from_rgb(width, height, rgb).map_err(|e| e.to_string())?;
    Ok(image.turned(exif.map_or(1, |e| exif::orientation(&e))))
}

/// Judges a header: `each` bytes a pixel is what decoding holds at once.
pub(super) fn within(width: usize, height: usize, each: usize) -> Result<(), String> {
    let pixels = width.checked_mul(height).filter(|n| *n <= MAX_PIXELS && width.max(height) <= MAX_SIDE);
    let Some(pixels) = pixels else {
        return Err(format!(
            "it is {width} x {height}, wanted sides up to {MAX_SIDE} and {MAX_PIXELS} pixels at most"
        ));
    };
    match pixels.checked_mul(each) {
        Some(bytes) if bytes <= MAX_BYTES => Ok(()),
        _ => Err(format!(
            "it is {width} x {height} and takes {each} bytes a pixel to decode (it is progressive, interlaced or WebP), wanted \
             {} MiB at most",
            MAX_BYTES >> 20
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::png::tests::encoded;

    /// Against what PIL 13 makes of the same files (fixtures/*.png), upright.
    #[test]
    fn every_kind_of_jpeg_becomes_rgb() {
        // JPEG leaves the rounding of the inverse transform and of the colours open (ITU-T T.83: 1 each),
        // and the upsampling of 4:2:0 colours altogether.
        for (jpeg, png, most) in [
            (
                &include_bytes!("fixtures/baseline-420-exif6.jpg")[..],
                &include_bytes!("fixtures/baseline-420-exif6.png")[..],
                6,
            ),
            (
                include_bytes!("fixtures/progressive-444.jpg"),
                include_bytes!("fixtures/progressive-444.png"),
                3,
            ),
            (include_bytes!("fixtures/grey.jpg"), include_bytes!("fixtures/grey.png"), 1),
            (include_bytes!("fixtures/cmyk.jpg"), include_bytes!("fixtures/cmyk.png"), 3),
            // Orientation 6 as a LONG; bytes between segments.
            (include_bytes!("fixtures/exif6-long.jpg"), include_bytes!("fixtures/exif6-long.png"), 3),
            (include_bytes!("fixtures/stray-bytes.jpg"), include_bytes!("fixtures/stray-bytes.png"), 3),
        ] {
            let (found, wanted) = (Image::decode(jpeg).unwrap(), Image::decode(png).unwrap());
            assert_eq!((found.width(), found.height()), (wanted.width(), wanted.height()));
            let (a, b) = (found.planar(3).unwrap(), wanted.planar(3).unwrap());
            let worst = a.iter().zip(&b).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= most, "differs by {worst}, wanted at most {most}");
            for end in [jpeg.len() / 2, jpeg.len() - 20] {
                let error = Image::decode(&jpeg[..end]).unwrap_err();
                assert!(error.contains("not a readable JPEG"), "cut at {end} of {}: {error}", jpeg.len());
            }
        }
    }

    /// CRC-32 of a PNG chunk (its type and data).
    fn png_crc(bytes: &[u8]) -> u32 {
        let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        !bytes.iter().fold(u32::MAX, |crc, &b| (0..8).fold(crc ^ u32::from(b), step))
    }

    /// Pixels alone are not all that decoding holds.
    #[test]
    fn memory_is_bounded_before_it_is_taken() {
        within(8192, 8192, 3).unwrap();
        within(8192, 8192, 4).unwrap();
        for (w, h, each, wanted) in [
            (8193, 8192, 3, "67108864 pixels at most"),
            (65_536, 1, 3, "sides up to 65535"),
            (usize::MAX, 2, 3, "sides up to"),
            (8192, 8192, 9, "takes 9 bytes a pixel to decode"),
            (6000, 6000, 9, "wanted 256 MiB at most"),
        ] {
            let error = within(w, h, each).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn planes_and_luma() {
        let image = Image::from_rgb(2, 1, vec![255, 0, 0, 10, 20, 30]).unwrap();
        assert_eq!(image.planar(3).unwrap(), [255, 10, 0, 20, 0, 30]);
        // PIL: Image.new("RGB", ..).convert("L").
        assert_eq!(image.planar(1).unwrap(), [76, 18]);
        assert!(image.planar(4).unwrap_err().to_string().contains("4 channels"));
        assert!(Image::from_rgb(2, 2, vec![0; 11]).is_err() && Image::from_rgb(0, 0, vec![]).is_err());
    }

    /// The letter F, as each orientation stores it, comes out as the letter F.
    #[test]
    fn all_orientations_come_upright() {
        let picture = |rows: &[&str]| Image {
            width: rows[0].len(),
            height: rows.len(),
            rgb: rows.iter().flat_map(|r| r.bytes().flat_map(|b| [b, b + 1, b + 2])).collect(),
            orientation: 1,
        };
        let wanted = picture(&["##", "#.", "#."]);
        for (orientation, stored) in [
            (1, &["##", "#.", "#."][..]),
            (2, &["##", ".#", ".#"]),
            (3, &[".#", ".#", "##"]),
            (4, &["#.", "#.", "##"]),
            (5, &["###", "#.."]),
            (6, &["#..", "###"]),
            (7, &["..#", "###"]),
            (8, &["###", "..#"]),
        ] {
            let found = Image { orientation, ..picture(stored) };
            assert_eq!((found.width(), found.height()), (2, 3));
            for channels in [1, 3] {
                let planes = |image: &Image| image.planar(channels).unwrap();
                assert_eq!(planes(&found), planes(&wanted), "orientation {orientation}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let whole = encoded(64, 64, ::png::ColorType::Grayscale, ::png::BitDepth::Eight, &[9; 4096]);
        let mut huge = whole.clone();
        huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]); // IHDR's sizes
        for (bytes, wanted) in [
            (&b""[..], "neither a PNG, a JPEG"),
            (b"GIF89a", "neither a PNG, a JPEG"),
            (&whole[..whole.len() / 2], "not a readable PNG"),
            (&whole[..20], "not a readable PNG"),
            (&huge, "not a readable PNG"),
            (b"\xff\xd8\xff\xe0", "not a readable JPEG"),
            (b"\xff\xd8\xff\xd9", "not a readable JPEG"),
        ] {
            let error = Image::decode(bytes).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        // 283 kB that would be 244 Mi pixels; 67 bytes here.
        let mut wide = whole.clone();
        wide[16..24].copy_from_slice(&[0, 0, 0x3e, 0x80, 0, 0, 0x3e, 0x80]);
        let crc = png_crc(&wide[12..29]);
        wide[29..33].copy_from_slice(&crc.to_be_bytes());
        let error = Image::decode(&wide).unwrap_err();
        assert!(error.contains("it is 16000 x 16000, wanted sides up to 65535 and 67108864"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        std::fs::write(&path, "text").unwrap();
        let error = Image::open(&path).unwrap_err();
        assert!(error.to_string().contains("a.png") && error.exit_code() == 2, "{error}");
    }
}
