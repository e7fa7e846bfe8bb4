//! PNG files of what was read, for pages that show pictures.

use crate::{Error, Result};

/// A PNG of planar pixels `[3, height, width]`. Errors: other bytes than the sides say.
pub fn to_png(pixels: &[u8], height: usize, width: usize) -> Result<Vec<u8>> {
    let failed = |what: String| Error::Failed(format!("a picture of {width} x {height} pixels: {what}"));
    let plane = height * width;
    let (Ok(w), Ok(h)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(failed("too large for a PNG".into()));
    };
    if plane == 0 || pixels.len() != 3 * plane {
        return Err(failed(format!("{} bytes, wanted 3 x width x height", pixels.len())));
    }
    let (red, rest) = pixels.split_at(plane);
    let (green, blue) = rest.split_at(plane);
    let rgb: Vec<u8> = red.iter().zip(green).zip(blue).flat_map(|((r, g), b)| [*r, *g, *b]).collect();
    let mut out = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut out, w, h);
    encoder.set_color(::png::ColorType::Rgb);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&rgb)?;
        writer.finish()
    });
    written.map_err(|e| failed(e.to_string()))?;
    Ok(out)
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
        assert!(to_png(&pixels, 5, 8).unwrap_err().to_string().contains("105 bytes"));
    }
}
