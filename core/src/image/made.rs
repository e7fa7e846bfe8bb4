//! Pictures that nobody took: made of a seed, the same bytes on every machine, for bundles whose own pictures are not theirs
//! to give away. They show stripes, a ramp and a disc, and are of unlike sizes and kinds of file, so that what a device makes
//! of a file is looked at in all its steps.

use crate::Result;
use crate::image::made_jpeg::jpeg;
use crate::image::write::{Kept, png, webp};
use crate::rng::Rng;

/// Returns six pictures' files: PNG in colour, in grey and of 16 bits, JPEG as a camera writes it, as it lies and to be
/// turned, and WebP.
pub fn made_pictures(seed: u64) -> Result<Vec<Vec<u8>>> {
    let rng = |i| Rng::new(seed, "made pictures", i);
    let show = |i, width, height| Motif::draw(&mut rng(i), width, height);
    let (colour, grey, deep, flat) = (show(0, 160, 120), show(1, 97, 131), show(2, 75, 60), show(5, 64, 64));
    let photo = |i, (width, height): (u16, u16), orientation| {
        let motif = show(i, width.into(), height.into());
        jpeg((width, height), orientation, &|x, y| motif.ycc(x, y), &mut rng(i + 100))
    };
    // The low byte is dropped when it is read, and must not matter.
    let low = (0u8..=255).cycle();
    let sixteen: Vec<u8> = deep.rgb().into_iter().zip(low).flat_map(|(high, low)| [high, low]).collect();
    Ok(vec![
        png(&colour.rgb(), 120, 160, Kept::Rgb)?,
        png(&grey.luma(), 131, 97, Kept::Grey)?,
        png(&sixteen, 60, 75, Kept::Rgb16)?,
        photo(3, (187, 125), 1),
        photo(4, (144, 112), 6),
        webp(&flat.rgb(), 64, 64)?,
    ])
}

/// What a picture shows, in whole numbers.
struct Motif {
    width: usize,
    height: usize,
    /// Pixels that a stripe and its gap take, and how they lean.
    period: usize,
    lean: [usize; 2],
    /// How strong each colour is, of 256.
    tint: [usize; 3],
    /// Middle and radius.
    disc: [usize; 3],
}

impl Motif {
    fn draw(rng: &mut Rng, width: usize, height: usize) -> Self {
        let mut from = |low: u64, high: u64| low + rng.below(high - low);
        let mut pick = |low: u64, high: u64| usize::try_from(from(low, high)).unwrap_or(0);
        Self {
            width,
            height,
            period: pick(12, 40),
            lean: [pick(0, 4), pick(1, 4)],
            tint: [pick(60, 256), pick(60, 256), pick(60, 256)],
            disc: [pick(0, 100) * width / 100, pick(0, 100) * height / 100, pick(15, 40) * height / 100],
        }
    }

    /// Red, green and blue at a pixel, also beyond the edge.
    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let [cx, cy, radius] = self.disc;
        let in_disc = x.abs_diff(cx).pow(2) + y.abs_diff(cy).pow(2) < radius.pow(2);
        // Up and down again within a period.
        let place = (x * self.lean[0] + y * self.lean[1]) % self.period;
        let wave = place.min(self.period - place) * 2 * 120 / self.period;
        let ramp = x * 100 / self.width.max(1);
        self.tint.map(|tint| {
            let level = (wave + ramp + 20) * tint / 256;
            let level = if in_disc { 255 - level } else { level };
            u8::try_from(level.min(255)).unwrap_or(u8::MAX)
        })
    }

    fn rgb(&self) -> Vec<u8> {
        let pixels = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        pixels.flat_map(|(x, y)| self.at(x, y)).collect()
    }

    fn luma(&self) -> Vec<u8> {
        self.rgb().chunks(3).map(|p| if let &[r, g, b] = p { super::luma(r, g, b) } else { 0 }).collect()
    }

    /// Luma and two colours of about as much as the tint.
    fn ycc(&self, x: usize, y: usize) -> [u8; 3] {
        let [r, g, b] = self.at(x, y);
        let colour = |c: u8, other: u8| (i32::from(c) - i32::from(other)) / 2 + 128;
        let byte = |level: i32| u8::try_from(level.clamp(0, 255)).unwrap_or(128);
        [super::luma(r, g, b), byte(colour(b, g)), byte(colour(r, g))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Image, ending};
    use crate::io::artifact;
    use std::collections::BTreeSet;

    /// Unlike sizes, some of them turned, every kind of file that is read; each shows something.
    #[test]
    fn six_pictures_of_every_kind() {
        let files = made_pictures(0).unwrap();
        let kinds: Vec<_> = files.iter().map(|f| ending(f).unwrap()).collect();
        assert_eq!(kinds, ["png", "png", "png", "jpg", "jpg", "webp"]);
        let images: Vec<_> = files.iter().map(|f| Image::from_bytes(f).unwrap()).collect();
        let sizes: Vec<_> = images.iter().map(|i| (i.width(), i.height())).collect();
        assert_eq!(sizes, [(160, 120), (97, 131), (75, 60), (187, 125), (112, 144), (64, 64)]);
        for (image, kind) in images.iter().zip(kinds) {
            let levels: BTreeSet<u8> = image.planar(3).unwrap().into_iter().collect();
            assert!(levels.len() > 30, "{kind}: {} levels", levels.len());
        }
        assert!(files.iter().map(Vec::len).sum::<usize>() < 64 << 10);
    }

    /// Bundles of one network are equal wherever they are made. (Another version of the PNG or WebP encoder may pack the
    /// same pixels otherwise: then the sums are to be written anew, JPEG's never.)
    #[test]
    fn a_seed_s_pictures_are_the_same_bytes_everywhere() {
        let sums: Vec<String> =
            made_pictures(0).unwrap().iter().map(|f| artifact::sha256(f)[..8].to_owned()).collect();
        assert_eq!(sums, ["8eeec194", "5082df5c", "b2737134", "a4a6e3c5", "2c084967", "9e10d0df"]);
        assert_ne!(made_pictures(0).unwrap(), made_pictures(1).unwrap());
    }
}
