//! WebP files (RFC 9649), lossy and lossless, as 8-bit RGB: transparency is dropped, and of an animation the first
//! frame is taken, as PIL does.

use crate::image::exif;
use crate::image::read::{Image, MAX_BYTES, within};
use image_webp::WebPDecoder;
use std::io::Cursor;

/// Bytes a pixel that decoding holds at most: RGBA, and beside it RGB, the planes of a lossy picture, or a frame.
const EACH: usize = 8;

/// By its first bytes: a RIFF container of kind WEBP.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP")
}

pub(super) fn decode(bytes: &[u8]) -> Result<Image, String> {
    let size = bytes.get(4..8).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
    if (bytes.len() as u64) < u64::from(size) + 8 {
        return Err(format!(
            "it is cut off ({} bytes, its header says {})",
            bytes.len(),
            u64::from(size) + 8
        ));
    }
    let text = |e: image_webp::DecodingError| e.to_string();
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(text)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    within(width, height, EACH)?;
    decoder.set_memory_limit(MAX_BYTES);
    let samples = if decoder.has_alpha() { 4 } else { 3 };
    let mut pixels = vec![0; decoder.output_buffer_size().ok_or("it is too large")?];
    decoder.read_image(&mut pixels).map_err(text)?;
    if samples == 4 {
        let count = pixels.len() / 4;
        (0..count).for_each(|i| pixels.copy_within(4 * i..4 * i + 3, 3 * i));
        pixels.truncate(3 * count);
    }
    let orientation = decoder.exif_metadata().ok().flatten().map_or(1, |e| exif::orientation(&e));
    let image = Image::from_rgb(width, height, pixels).map_err(|e| e.to_string())?;
    Ok(image.turned(orientation))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PIL 13 makes of the same files (fixtures/webp-*.png, made by scripts/make-photo-fixtures.py). Lossless is
    /// exact; libwebp's own arithmetic for the colours of a lossy picture is what image-webp follows: 1 at most.
    #[test]
    fn every_kind_of_webp_is_as_pil_reads_it() {
        for (webp, png, most) in [
            (
                &include_bytes!("fixtures/webp-lossy.webp")[..],
                &include_bytes!("fixtures/webp-lossy.png")[..],
                1,
            ),
            (include_bytes!("fixtures/webp-lossless.webp"), include_bytes!("fixtures/webp-lossless.png"), 0),
            (
                include_bytes!("fixtures/webp-lossless-alpha.webp"),
                include_bytes!("fixtures/webp-lossless-alpha.png"),
                0,
            ),
            (
                include_bytes!("fixtures/webp-lossy-alpha-exif6.webp"),
                include_bytes!("fixtures/webp-lossy-alpha-exif6.png"),
                1,
            ),
            (include_bytes!("fixtures/webp-animated.webp"), include_bytes!("fixtures/webp-animated.png"), 0),
        ] {
            let (found, wanted) = (Image::from_bytes(webp).unwrap(), Image::from_bytes(png).unwrap());
            assert_eq!((found.width(), found.height()), (wanted.width(), wanted.height()));
            let (a, b) = (found.planar(3).unwrap(), wanted.planar(3).unwrap());
            let worst = a.iter().zip(&b).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= most, "differs by {worst}, wanted at most {most}");
        }
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        for whole in [
            &include_bytes!("fixtures/webp-lossy.webp")[..],
            include_bytes!("fixtures/webp-lossless-alpha.webp"),
            include_bytes!("fixtures/webp-animated.webp"),
        ] {
            for end in [12, 20, 30, whole.len() / 2] {
                let error = Image::from_bytes(&whole[..end]).unwrap_err();
                assert!(error.contains("not a readable WebP"), "cut at {end} of {}: {error}", whole.len());
            }
            for at in 12..whole.len() {
                let mut broken = whole.to_vec();
                broken[at] ^= 0xff;
                let _either = Image::from_bytes(&broken);
            }
        }
    }
}
