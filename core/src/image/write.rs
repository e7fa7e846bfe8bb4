//! PNG and WebP files of pixels, for pages that show pictures and for pictures that are made.

use super::resize;
use crate::{Error, Result};

/// This says how a PNG file keeps its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// One byte a pixel.
    Grey,
    /// Three bytes a pixel.
    Rgb,
    /// Three numbers of two bytes a pixel, the high byte first.
    Rgb16,
}

/// A PNG of planar pixels `[C, height, width]`, C is 1 (grey) or 3 (RGB). Errors: other bytes than the sides say.
pub fn to_png(pixels: &[u8], height: usize, width: usize) -> Result<Vec<u8>> {
    let plane = height * width;
    if plane == 0 || (pixels.len() != plane && pixels.len() != 3 * plane) {
        let what = format!("{} bytes, wanted 1 or 3 x width x height", pixels.len());
        return Err(failed(width, height, &what));
    }
    if pixels.len() == plane {
        return png(pixels, height, width, Kept::Grey);
    }
    let (red, rest) = pixels.split_at(plane);
    let (green, blue) = rest.split_at(plane);
    let rgb: Vec<u8> = red.iter().zip(green).zip(blue).flat_map(|((r, g), b)| [*r, *g, *b]).collect();
    png(&rgb, height, width, Kept::Rgb)
}

/// Returns a PNG of rows of pixels, as `kept` has them. Fails where there are other bytes than the sides say.
pub(super) fn png(rows: &[u8], height: usize, width: usize, kept: Kept) -> Result<Vec<u8>> {
    let (w, h) = sides(width, height)?;
    let mut out = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut out, w, h);
    encoder.set_color(if kept == Kept::Grey { ::png::ColorType::Grayscale } else { ::png::ColorType::Rgb });
    encoder.set_depth(if kept == Kept::Rgb16 { ::png::BitDepth::Sixteen } else { ::png::BitDepth::Eight });
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(rows)?;
        writer.finish()
    });
    written.map_err(|e| failed(width, height, &e.to_string()))?;
    Ok(out)
}

/// Returns a WebP file without loss of rows of RGB. Fails where there are other bytes than the sides say.
pub(super) fn webp(rgb: &[u8], height: usize, width: usize) -> Result<Vec<u8>> {
    let (w, h) = sides(width, height)?;
    if rgb.len() != 3 * width * height {
        return Err(failed(width, height, &format!("{} bytes, wanted 3 x width x height", rgb.len())));
    }
    let mut out = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut out);
    let written = encoder.encode(rgb, w, h, image_webp::ColorType::Rgb8);
    written.map_err(|e| failed(width, height, &e.to_string()))?;
    Ok(out)
}

fn sides(width: usize, height: usize) -> Result<(u32, u32)> {
    match (u32::try_from(width), u32::try_from(height)) {
        (Ok(w), Ok(h)) => Ok((w, h)),
        _ => Err(failed(width, height, "too large for a file")),
    }
}

fn failed(width: usize, height: usize, what: &str) -> Error {
    Error::Failed(format!("a picture of {width} x {height} pixels: {what}"))
}

/// Returns the ending of a picture's file that its first bytes tell; none: it is none that is read.
pub fn ending(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [0xff, 0xd8, 0xff, ..] => Some("jpg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("webp"),
        _ => None,
    }
}

/// [`to_png`] of planar pixels `[channels, height, width]`, grey or RGB, shrunk so that no side has more than `most`
/// pixels; a smaller picture stays as it is.
pub fn small_png(
    pixels: &[u8],
    channels: usize,
    (height, width): (usize, usize),
    most: usize,
) -> Result<Vec<u8>> {
    let long = height.max(width);
    if !matches!(channels, 1 | 3) || height.min(width) == 0 || pixels.len() != channels * height * width {
        return Err(Error::Failed(format!(
            "a picture of {channels} channels and {width} x {height} pixels has {} bytes; wanted 1 or 3 channels, a byte \
             each",
            pixels.len()
        )));
    }
    let side = |from: usize| if long > most { (from * most / long).max(1) } else { from };
    let to = [side(height), side(width)];
    to_png(&resize::whole(pixels, channels, [height, width], to), to[0], to[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;

    #[test]
    fn what_is_written_is_read_back() {
        let pixels: Vec<u8> = (0..3 * 5 * 7).map(|i| (i * 11) as u8).collect();
        let image = Image::from_bytes(&to_png(&pixels, 5, 7).unwrap()).unwrap();
        assert_eq!((image.height(), image.width(), image.planar(3).unwrap()), (5, 7, pixels.clone()));
        let grey = Image::from_bytes(&to_png(&pixels[..35], 5, 7).unwrap()).unwrap();
        assert_eq!((grey.height(), grey.width(), grey.planar(1).unwrap()), (5, 7, pixels[..35].to_vec()));
        assert!(to_png(&pixels, 5, 8).unwrap_err().to_string().contains("105 bytes"));
        let wide: Vec<u8> = pixels.iter().flat_map(|b| [*b, 99]).collect();
        let files = [
            ("png", png(&pixels, 5, 7, Kept::Rgb)),
            ("png", png(&wide, 5, 7, Kept::Rgb16)),
            ("webp", webp(&pixels, 5, 7)),
        ];
        for (kind, file) in files {
            let file = file.unwrap();
            assert_eq!(ending(&file), Some(kind));
            assert_eq!(Image::from_bytes(&file).unwrap(), Image::from_rgb(7, 5, pixels.clone()).unwrap());
        }
        for wrong in [png(&pixels, 5, 8, Kept::Rgb), webp(&pixels, 5, 8)] {
            assert!(wrong.unwrap_err().to_string().contains("8 x 5"));
        }
    }

    #[test]
    fn a_small_picture_stays_and_a_large_one_shrinks() {
        let pixels: Vec<u8> = (0..20 * 10).map(|i| i as u8).collect();
        let read = |most| Image::from_bytes(&small_png(&pixels, 1, (20, 10), most).unwrap()).unwrap();
        let (same, half) = (read(20), read(10));
        assert_eq!((same.height(), same.width(), same.planar(1).unwrap()), (20, 10, pixels.clone()));
        assert_eq!((half.height(), half.width()), (10, 5));
        let error = small_png(&pixels, 2, (10, 10), 8).unwrap_err().to_string();
        assert!(error.contains("2 channels and 10 x 10"), "{error}");
    }
}
