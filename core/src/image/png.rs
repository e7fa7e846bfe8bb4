//! PNG files (W3C PNG, third edition) as 8-bit RGB: transparency is dropped, of 16 bits the high byte counts.

use crate::image::exif;
use crate::image::read::{Image, MAX_BYTES, within};
use std::io::Cursor;

/// Row by row into RGB; an interlaced file, whose rows come in seven passes, is decoded as a whole and made
/// RGB in place.
pub(super) fn decode(bytes: &[u8]) -> Result<Image, String> {
    let limits = ::png::Limits { bytes: MAX_BYTES };
    let mut decoder = ::png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    // Neither is used, and a few KB of them unpack to gigabytes: the limits do not hold for a profile.
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_ignore_text_chunk(true);
    decoder.set_transformations(::png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let (color, _) = reader.output_color_type();
    if color == ::png::ColorType::Indexed {
        return Err("its palette was not expanded".into());
    }
    let (samples, interlaced) = (color.samples(), reader.info().interlaced);
    within(
        width,
        height,
        if interlaced { samples.max(3) + if samples < 3 { samples } else { 0 } } else { 3 },
    )?;
    let mut rgb = Vec::new();
    if interlaced {
        rgb = vec![0; reader.output_buffer_size().ok_or("it is too large")?];
        let frame = reader.next_frame(&mut rgb).map_err(|e| e.to_string())?;
        rgb.truncate(frame.buffer_size());
        rgb = all_rgb(rgb, samples);
    } else {
        rgb.try_reserve_exact(width * height * 3).map_err(|e| e.to_string())?;
        while let Some(row) = reader.next_row().map_err(|e| e.to_string())? {
            push_rgb(&mut rgb, row.data(), samples);
        }
    }
    // Metadata may follow the pixels.
    reader.finish().map_err(|e| e.to_string())?;
    let orientation = reader.info().exif_metadata.as_deref().map_or(1, exif::orientation);
    let image = Image::from_rgb(width, height, rgb).map_err(|e| e.to_string())?;
    Ok(image.turned(orientation))
}

/// Grey, grey and alpha, RGB or RGBA, by the number of samples.
fn push_rgb(rgb: &mut Vec<u8>, row: &[u8], samples: usize) {
    match samples {
        3 => rgb.extend_from_slice(row),
        4 => rgb.extend(row.chunks_exact(4).flat_map(|p| p.iter().take(3))),
        _ => rgb.extend(row.iter().step_by(samples).flat_map(|&p| [p; 3])),
    }
}

/// A whole picture; RGB and RGBA without a second copy.
fn all_rgb(mut pixels: Vec<u8>, samples: usize) -> Vec<u8> {
    match samples {
        3 => pixels,
        4 => {
            let count = pixels.len() / 4;
            (0..count).for_each(|i| pixels.copy_within(4 * i..4 * i + 3, 3 * i));
            pixels.truncate(3 * count);
            pixels
        }
        _ => {
            let mut rgb = Vec::with_capacity(pixels.len() / samples * 3);
            push_rgb(&mut rgb, &pixels, samples);
            rgb
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::image) fn encoded(
        width: u32,
        height: u32,
        color: ::png::ColorType,
        depth: ::png::BitDepth,
        data: &[u8],
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut out, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ::png::ColorType::Indexed {
            encoder.set_palette(vec![1, 2, 3, 4, 5, 6]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        out
    }

    #[test]
    fn every_kind_of_png_becomes_rgb() {
        use ::png::BitDepth::{Eight, One, Sixteen};
        use ::png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        for (color, depth, data, wanted) in [
            (Rgb, Eight, &[1, 2, 3, 4, 5, 6][..], [1, 2, 3, 4, 5, 6]),
            (Rgba, Eight, &[1, 2, 3, 0, 4, 5, 6, 255], [1, 2, 3, 4, 5, 6]),
            (Grayscale, Eight, &[7, 8], [7, 7, 7, 8, 8, 8]),
            (Grayscale, Sixteen, &[7, 99, 8, 99], [7, 7, 7, 8, 8, 8]),
            (Grayscale, One, &[0b0100_0000], [0, 0, 0, 255, 255, 255]),
            (GrayscaleAlpha, Eight, &[7, 0, 8, 255], [7, 7, 7, 8, 8, 8]),
            (Indexed, One, &[0b0100_0000], [1, 2, 3, 4, 5, 6]),
        ] {
            let image = decode(&encoded(2, 1, color, depth, data)).unwrap();
            let wanted = Image::from_rgb(2, 1, wanted.to_vec()).unwrap();
            assert_eq!(image, wanted, "{color:?} {depth:?}");
        }
    }
}
