//! A picture of any size, from a PNG or JPEG file or from a camera: what [`crate::subject::Subject::classify`]
//! takes.
//!
//! Files are read as PIL's `convert("RGB")` reads them (transparency is dropped, 16 bits become 8), and
//! turned upright as their EXIF orientation says.

use crate::exif;
use gtn_core::{Error, Result, artifact};
use std::io::Cursor;
use std::path::Path;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Pixels of the largest picture that is decoded: no phone's camera makes more, and a small file that
/// claims more is an attack on memory.
pub const MAX_PIXELS: usize = 256 << 20;
/// As [`gtn_core::preprocess`] resizes.
const MAX_SIDE: usize = 65_535;

/// 8-bit RGB, rows from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    /// `[height, width, 3]`.
    rgb: Vec<u8>,
}

impl Image {
    /// From `width * height * 3` bytes: R, G, B of each pixel, rows from the top.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        match width.checked_mul(height).and_then(|n| n.checked_mul(3)) {
            Some(n) if n == rgb.len() && n > 0 => Ok(Self { width, height, rgb }),
            _ => Err(Error::usage(format!(
                "a picture of {width} x {height} pixels has {} bytes, wanted width x height x 3",
                rgb.len()
            ))),
        }
    }

    /// Reads a PNG or JPEG file; what it is, its first bytes tell. Errors name the file.
    pub fn open(path: &Path) -> Result<Self> {
        Self::decode(&artifact::read(path)?).map_err(|why| Error::input(path, why))
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (image, orientation) = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            png(bytes).map_err(|e| format!("is not a readable PNG: {e}"))?
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            jpeg(bytes).map_err(|e| format!("is not a readable JPEG: {e}"))?
        } else {
            return Err("is neither a PNG nor a JPEG file".into());
        };
        Ok(image.upright(orientation))
    }

    /// Pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// `[channels, height, width]`: red, green and blue for 3; for 1 the luma of ITU-R BT.601, as PIL's
    /// `convert("L")`.
    pub fn planar(&self, channels: usize) -> Result<Vec<u8>> {
        let pixels = || self.rgb.chunks_exact(3);
        match channels {
            3 => Ok((0..3).flat_map(|c| pixels().filter_map(move |p| p.get(c).copied())).collect()),
            1 => Ok(pixels().map(luma).collect()),
            other => Err(Error::usage(format!(
                "the model takes {other} channels; pictures become 3 (RGB) or 1 (grey)"
            ))),
        }
    }

    /// Turned as EXIF's orientation 1 to 8 says (CIPA DC-008, tag 274).
    fn upright(self, orientation: u8) -> Self {
        if orientation <= 1 {
            return self;
        }
        let (w, h) = (self.width, self.height);
        let (width, height) = if orientation >= 5 { (h, w) } else { (w, h) };
        let mut rgb = Vec::with_capacity(self.rgb.len());
        for y in 0..height {
            for x in 0..width {
                let (column, row) = match orientation {
                    2 => (w - 1 - x, y),
                    3 => (w - 1 - x, h - 1 - y),
                    4 => (x, h - 1 - y),
                    5 => (y, x),
                    6 => (y, h - 1 - x),
                    7 => (w - 1 - y, h - 1 - x),
                    _ => (w - 1 - y, x),
                };
                let at = 3 * (row * w + column);
                rgb.extend_from_slice(self.rgb.get(at..at + 3).unwrap_or(&[0; 3]));
            }
        }
        Self { width, height, rgb }
    }
}

/// PIL's integers: 299 R + 587 G + 114 B in 1/65536.
fn luma(pixel: &[u8]) -> u8 {
    let &[r, g, b] = pixel else { return 0 };
    let sum = u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000;
    u8::try_from(sum >> 16).unwrap_or(u8::MAX)
}

/// The picture, and its EXIF orientation.
fn png(bytes: &[u8]) -> Result<(Image, u8), String> {
    let limits = png::Limits { bytes: 4 * MAX_PIXELS };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    within(width, height)?;
    let size = reader.output_buffer_size().ok_or("it is too large")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(|e| e.to_string())?;
    pixels.truncate(frame.buffer_size());
    // Metadata may follow the pixels.
    reader.finish().map_err(|e| e.to_string())?;
    let orientation = reader.info().exif_metadata.as_deref().map_or(1, exif::orientation);
    let rgb: Vec<u8> = match frame.color_type {
        png::ColorType::Rgb => pixels,
        png::ColorType::Rgba => pixels.chunks_exact(4).flat_map(|p| p.iter().take(3)).copied().collect(),
        png::ColorType::Grayscale => pixels.iter().flat_map(|&p| [p; 3]).collect(),
        png::ColorType::GrayscaleAlpha => pixels.iter().step_by(2).flat_map(|&p| [p; 3]).collect(),
        png::ColorType::Indexed => return Err("its palette was not expanded".into()),
    };
    Image::from_rgb(width, height, rgb).map(|image| (image, orientation)).map_err(|e| e.to_string())
}

/// The picture, and its EXIF orientation.
fn jpeg(bytes: &[u8]) -> Result<(Image, u8), String> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| e.to_string())?;
    let info = decoder.info().ok_or("it has no header")?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    within(width, height)?;
    if !ends(bytes) {
        return Err("it is cut off (no end marker)".into()); // the decoder would fill up with grey
    }
    let rgb = decoder.decode().map_err(|e| e.to_string())?;
    let orientation = decoder.exif().map_or(1, |e| exif::orientation(e));
    Image::from_rgb(width, height, rgb).map(|image| (image, orientation)).map_err(|e| e.to_string())
}

/// Whether the file comes to its own end marker, EOI (ITU-T T.81, B.1.1): not one of a thumbnail inside it.
fn ends(bytes: &[u8]) -> bool {
    // Stuffed zeros, fill bytes and restarts belong to what stands between markers.
    let marker = |w: &[u8]| matches!(w, [0xff, m] if !matches!(m, 0 | 0xd0..=0xd7 | 0xff));
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let Some(at) = rest.windows(2).position(marker) {
        let segment = match rest.get(at..).unwrap_or_default() {
            [_, 0xd9, ..] => return true,
            [_, 0x01 | 0xd8, ..] => 0, // TEM and SOI stand alone
            [_, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return false,
        };
        rest = rest.get(at + 2 + segment..).unwrap_or_default();
    }
    false
}

fn within(width: usize, height: usize) -> Result<(), String> {
    match width.checked_mul(height) {
        Some(n) if n <= MAX_PIXELS && width.max(height) <= MAX_SIDE => Ok(()),
        _ => Err(format!(
            "it is {width} x {height}, wanted sides up to {MAX_SIDE} and {MAX_PIXELS} pixels at most"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(width: u32, height: u32, color: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == png::ColorType::Indexed {
            encoder.set_palette(vec![1, 2, 3, 4, 5, 6]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        out
    }

    #[test]
    fn every_kind_of_png_becomes_rgb() {
        use png::BitDepth::{Eight, One, Sixteen};
        use png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        for (color, depth, data, wanted) in [
            (Rgb, Eight, &[1, 2, 3, 4, 5, 6][..], [1, 2, 3, 4, 5, 6]),
            (Rgba, Eight, &[1, 2, 3, 0, 4, 5, 6, 255], [1, 2, 3, 4, 5, 6]),
            (Grayscale, Eight, &[7, 8], [7, 7, 7, 8, 8, 8]),
            (Grayscale, Sixteen, &[7, 99, 8, 99], [7, 7, 7, 8, 8, 8]),
            (Grayscale, One, &[0b0100_0000], [0, 0, 0, 255, 255, 255]),
            (GrayscaleAlpha, Eight, &[7, 0, 8, 255], [7, 7, 7, 8, 8, 8]),
            (Indexed, One, &[0b0100_0000], [1, 2, 3, 4, 5, 6]),
        ] {
            let image = Image::decode(&encoded(2, 1, color, depth, data)).unwrap();
            assert_eq!(
                (image.width, image.height, &image.rgb[..]),
                (2, 1, &wanted[..]),
                "{color:?} {depth:?}"
            );
        }
    }

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
        ] {
            let (found, wanted) = (Image::decode(jpeg).unwrap(), Image::decode(png).unwrap());
            assert_eq!((found.width, found.height), (wanted.width, wanted.height));
            let worst = found.rgb.iter().zip(&wanted.rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= most, "differs by {worst}, wanted at most {most}");
            for end in [jpeg.len() / 2, jpeg.len() - 20] {
                let error = Image::decode(&jpeg[..end]).unwrap_err();
                assert!(error.contains("not a readable JPEG"), "cut at {end} of {}: {error}", jpeg.len());
            }
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
            rgb: rows.iter().flat_map(|r| r.bytes().flat_map(|b| [b; 3])).collect(),
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
            assert_eq!(picture(stored).upright(orientation), wanted, "orientation {orientation}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let whole = encoded(64, 64, png::ColorType::Grayscale, png::BitDepth::Eight, &[9; 4096]);
        let mut huge = whole.clone();
        huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]); // IHDR's sizes
        for (bytes, wanted) in [
            (&b""[..], "neither a PNG nor a JPEG"),
            (b"GIF89a", "neither a PNG nor a JPEG"),
            (&whole[..whole.len() / 2], "not a readable PNG"),
            (&whole[..20], "not a readable PNG"),
            (&huge, "not a readable PNG"),
            (b"\xff\xd8\xff\xe0", "not a readable JPEG"),
            (b"\xff\xd8\xff\xd9", "not a readable JPEG"),
        ] {
            let error = Image::decode(bytes).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        std::fs::write(&path, "text").unwrap();
        let error = Image::open(&path).unwrap_err();
        assert!(error.to_string().contains("a.png") && error.exit_code() == 2, "{error}");
    }
}
