//! A JPEG file's markers (ITU-T T.81, annex B), walked before the decoder sees them: what memory it will
//! take, whether the file comes to its end, and bytes between segments that belong to nothing, which
//! cameras and editors leave and libjpeg (so PIL) skips.

use crate::image::chroma::{self, Sampling};
use std::borrow::Cow;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
/// Progressive, Huffman coded.
const SOF2: u8 = 0xc2;

/// 8-bit RGB, as stored.
pub struct Decoded {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// `[height, width, 3]`.
    pub rgb: Vec<u8>,
    /// EXIF data, if there are any.
    pub exif: Option<Vec<u8>>,
}

/// What the markers tell.
struct Layout<'a> {
    /// The file without what stands between segments.
    clean: Cow<'a, [u8]>,
    /// Whether it comes to its own end marker: not one of a thumbnail inside it.
    ends: bool,
    frame: Option<Frame>,
    /// Whether a scan holds fewer components than the frame: all coefficients are kept till the end.
    apart: bool,
}

/// SOF0 to SOF2: baseline, extended, progressive.
struct Frame {
    width: usize,
    height: usize,
    components: usize,
    progressive: bool,
    /// Samples of all components for each pixel, times 1024.
    samples: usize,
    /// Of both colours, where there are three components and none is stored at another share than all or half.
    colours: Option<Sampling>,
}

/// Decodes. `fits` judges width, height and bytes a pixel, before anything of that size is made.
pub fn decode(
    bytes: &[u8],
    fits: impl Fn(usize, usize, usize) -> Result<(), String>,
) -> Result<Decoded, String> {
    let layout = walk(bytes);
    let frame = layout.frame.as_ref().ok_or("it has no header")?;
    let kept = layout.apart || frame.progressive;
    // RGB; and where all coefficients are kept, two bytes for each.
    let each = 3 + if kept { (2 * frame.samples).div_ceil(1024) } else { 0 };
    fits(frame.width, frame.height, each)?;
    if !layout.ends {
        return Err("it is cut off (no end marker)".into()); // the decoder would fill up with grey
    }
    decoded(&layout, frame, options())
}

/// What is damaged is refused, and colours become RGB.
fn options() -> DecoderOptions {
    DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB)
}

fn decoded(layout: &Layout, frame: &Frame, options: DecoderOptions) -> Result<Decoded, String> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&layout.clean[..]), options);
    decoder.decode_headers().map_err(|e| e.to_string())?;
    let info = decoder.info().ok_or("it has no header")?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    if (width, height) != (frame.width, frame.height) {
        return Err(format!("it has two headers: {} x {} and {width} x {height}", frame.width, frame.height));
    }
    // Halved colours are corrected before they are mixed.
    let is_ycc = decoder.input_colorspace() == Some(ColorSpace::YCbCr);
    let halved = frame.colours.filter(|s| is_ycc && s.across * s.down > 1);
    if halved.is_some() {
        decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::YCbCr));
    }
    let mut rgb = decoder.decode().map_err(|e| e.to_string())?;
    if let Some(sampling) = halved {
        chroma::mend(&mut rgb, width, height, sampling);
        chroma::to_rgb(&mut rgb);
    }
    Ok(Decoded { width, height, rgb, exif: decoder.exif().cloned() })
}

fn walk(bytes: &[u8]) -> Layout<'_> {
    let mut layout = Layout { clean: Cow::Borrowed(bytes), ends: false, frame: None, apart: false };
    // What is kept of a file with stray bytes, up to `copied`.
    let (mut clean, mut copied) = (Vec::new(), 0);
    let mut drop = |from: usize, to: usize| {
        clean.extend_from_slice(bytes.get(copied..from).unwrap_or_default());
        copied = to;
    };
    let mut at = 2; // after SOI
    let mut in_scan = false;
    while let Some((place, marker)) = next_marker(bytes, at, in_scan) {
        if !in_scan && place > at {
            drop(at, place);
        }
        at = place + 2;
        match marker {
            EOI => {
                layout.ends = true;
                break;
            }
            // TEM, restarts and another SOI stand alone: within a scan a part of it, else of nothing.
            0x01 | 0xd0..=SOI => {
                if !in_scan {
                    drop(place, at);
                }
                continue;
            }
            _ => {}
        }
        let length = bytes.get(at..at + 2).map_or(0, |b| usize::from(b[0]) << 8 | usize::from(b[1]));
        let segment = bytes.get(at + 2..at + length.max(2)).unwrap_or_default();
        match marker {
            0xc0..=SOF2 => layout.frame = frame(marker, segment),
            SOS => {
                let components = segment.first().map_or(0, |&n| usize::from(n));
                layout.apart |= layout.frame.as_ref().is_some_and(|f| components < f.components);
            }
            _ => {}
        }
        at += length;
        in_scan = marker == SOS;
    }
    if copied > 0 {
        clean.extend_from_slice(bytes.get(copied..).unwrap_or_default());
        layout.clean = Cow::Owned(clean);
    }
    layout
}

/// The next marker from `at` on. In a scan's data stuffed zeros, fill bytes and restarts are none.
fn next_marker(bytes: &[u8], at: usize, in_scan: bool) -> Option<(usize, u8)> {
    let is_marker = |w: &[u8]| match w {
        [0xff, 0 | 0xff] => false,
        [0xff, 0xd0..=0xd7] => !in_scan,
        [first, _] => *first == 0xff,
        _ => false,
    };
    let place = at + bytes.get(at..)?.windows(2).position(is_marker)?;
    Some((place, *bytes.get(place + 1)?))
}

/// Precision, height, width, then of each component its id, sampling factors (h, v) and table.
fn frame(marker: u8, segment: &[u8]) -> Option<Frame> {
    let &[_, h1, h0, w1, w0, components, ref rest @ ..] = segment else { return None };
    let side = |high: u8, low: u8| usize::from(u16::from_be_bytes([high, low]));
    let factors = rest.chunks_exact(3).take(usize::from(components)).filter_map(|c| c.get(1));
    let factors: Vec<(usize, usize)> =
        factors.map(|&hv| (usize::from(hv >> 4).clamp(1, 4), usize::from(hv & 15).clamp(1, 4))).collect();
    let across = factors.iter().map(|f| f.0).max()?;
    let down = factors.iter().map(|f| f.1).max()?;
    let samples: usize = factors.iter().map(|(h, v)| h * v).sum();
    Some(Frame {
        width: side(w1, w0),
        height: side(h1, h0),
        components: usize::from(components),
        progressive: marker == SOF2,
        samples: (samples * 1024).div_ceil(across * down),
        colours: halved(&factors),
    })
}

/// How the two colours are stored, from the factors of three components.
fn halved(factors: &[(usize, usize)]) -> Option<Sampling> {
    let &[(h, v), first, second] = factors else { return None };
    let share = |whole: usize, part: usize| match (whole % part, whole / part) {
        (0, share @ (1 | 2)) => Some(share),
        _ => None,
    };
    let sampling = Sampling { across: share(h, first.0)?, down: share(v, first.1)? };
    (first == second).then_some(sampling)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASELINE: &[u8] = include_bytes!("fixtures/baseline-420-exif6.jpg");
    const PROGRESSIVE: &[u8] = include_bytes!("fixtures/progressive-444.jpg");

    fn anything(_: usize, _: usize, _: usize) -> Result<(), String> {
        Ok(())
    }

    /// Stray bytes after each segment but the last, of every kind that libjpeg skips: the same picture.
    #[test]
    fn what_stands_between_segments_is_skipped() {
        let wanted = decode(BASELINE, anything).unwrap();
        for stray in
            [&[0x41; 40][..], &[0xff, 0], &[0xff, 0xff, 0xff], &[0xff, 0xd0], &[0, 0, 0, 0, 0xff, 0xd8]]
        {
            let (mut at, mut segments) = (2, 0);
            while BASELINE[at + 1] != SOS {
                at += 2 + usize::from(u16::from_be_bytes([BASELINE[at + 2], BASELINE[at + 3]]));
                let file = [&BASELINE[..at], stray, &BASELINE[at..]].concat();
                let layout = walk(&file);
                assert!(layout.clean[..] == *BASELINE, "{stray:?} at {at}");
                let found = decode(&file, anything).unwrap();
                assert!(found.rgb == wanted.rgb && found.exif == wanted.exif, "{stray:?} at {at}");
                segments += 1;
            }
            assert!(segments > 4, "{segments}");
        }
        assert!(matches!(walk(BASELINE).clean, Cow::Borrowed(_)), "nothing is copied without need");
    }

    /// What a processor is good for has no part in a picture: a sample of a bundle is answered alike everywhere.
    #[test]
    #[cfg(feature = "photos")]
    fn vector_instructions_change_no_pixel() {
        let mut files = vec![BASELINE.to_vec(), PROGRESSIVE.to_vec()];
        files.extend(
            crate::image::made_pictures(0).unwrap().into_iter().filter(|f| f.starts_with(&[0xff, 0xd8])),
        );
        assert_eq!(files.len(), 4);
        for (i, file) in files.iter().enumerate() {
            let layout = walk(file);
            let frame = layout.frame.as_ref().unwrap();
            let plain = decoded(&layout, frame, options().set_use_unsafe(false)).unwrap();
            let found = decode(file, anything).unwrap();
            let differing = plain.rgb.iter().zip(&found.rgb).filter(|(a, b)| a != b).count();
            assert_eq!((differing, plain.rgb.len()), (0, found.rgb.len()), "file {i}");
        }
    }

    /// A scan of one component keeps all coefficients, as a progressive file does.
    #[test]
    fn memory_is_known_from_the_markers() {
        let asked = |bytes: &[u8]| {
            let seen = std::cell::Cell::new((0, 0, 0));
            let refuse = |w, h, each| {
                seen.set((w, h, each));
                Err("no".to_owned())
            };
            assert_eq!(decode(bytes, refuse).err().as_deref(), Some("no"));
            seen.get()
        };
        let (w, h, each) = asked(BASELINE);
        assert!(w > 8 && h > 8 && each == 3, "{w} x {h}, {each}");
        assert_eq!(asked(PROGRESSIVE).2, 3 + 6, "4:4:4: three coefficients a pixel");
        let mut apart = BASELINE.to_vec();
        let scan = apart.windows(2).position(|w| w == [0xff, SOS]).unwrap();
        apart[scan + 4] = 1;
        assert_eq!(asked(&apart).2, 3 + 3, "4:2:0: one and a half");
    }

    #[test]
    fn no_bytes_break_the_walk() {
        for file in [BASELINE, PROGRESSIVE] {
            for end in 0..file.len() {
                assert!(!walk(&file[..end]).ends, "cut at {end}");
            }
            for at in 2..file.len() {
                let mut broken = file.to_vec();
                broken[at] ^= 0xff;
                walk(&broken);
            }
        }
    }
}
