//! What training is fed with: image by image, a pure function of (seed, epoch, index), so that a resumed run, another
//! number of threads or another batch size sees the same.

use crate::data::ImageSet;
#[cfg(feature = "photos")]
use crate::data::augment::crop;
use crate::data::augment::mix::Mixed;
use crate::data::augment::trivial::Operation;
use crate::data::augment::{Augment, Visit, balanced_order, epoch_order, erase};
use crate::ir::arch::Input;
use crate::{Error, Result};

/// Training images and what is done to them.
#[derive(Debug, Clone)]
pub struct Feed {
    /// The images.
    pub set: ImageSet,
    /// What is done to them.
    pub augment: Augment,
    /// Of the order, and of the augmentation unless that has its own.
    pub seed: u64,
    /// Whether every class comes up equally often.
    pub balanced: bool,
    /// One byte for each channel: what padding and erased parts take. The data's mean, which is zero after
    /// normalisation, nearly.
    pub fill: Vec<u8>,
}

/// One image as it is learnt from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Of each size that was asked for, planar `[C, H, W]`: the same part of the same picture.
    pub views: Vec<Vec<u8>>,
    /// With what it is mixed; none: it is itself.
    pub mixed: Option<Mixed>,
}

impl Feed {
    /// Returns the turns of an epoch, in order.
    pub fn order(&self, epoch: u64) -> Vec<Visit> {
        if self.balanced {
            return balanced_order(&self.set.labels, self.set.classes, self.seed, epoch);
        }
        let visit = |index| Visit { index, repeat: 0 };
        epoch_order(self.set.len(), self.seed, epoch).into_iter().map(visit).collect()
    }

    /// Returns one turn's image at each of `sizes` (height, width). It is an error if images of one small size are
    /// asked for at another.
    pub fn sample(&self, epoch: u64, visit: Visit, sizes: &[(usize, usize)]) -> Result<Sample> {
        let epoch = visit.drawn_in(epoch);
        let (seed, index) = (self.augment.seed.unwrap_or(self.seed), visit.index);
        let n = u32::try_from(self.set.len()).unwrap_or(u32::MAX);
        let mixed = self.augment.mix.and_then(|mix| mix.draw(seed, epoch, index, n));
        let mut views = self.views(seed, epoch, index, sizes)?;
        if let Some(mixed) = &mixed {
            let partner = self.views(seed, epoch, mixed.partner, sizes)?;
            for ((view, partner), &size) in views.iter_mut().zip(&partner).zip(sizes) {
                mixed.apply(view, partner, self.input(size));
            }
        }
        Ok(Sample { views, mixed })
    }

    fn input(&self, (height, width): (usize, usize)) -> Input {
        Input { channels: self.set.input.channels, height, width }
    }

    /// An image by itself, before it is mixed.
    fn views(&self, seed: u64, epoch: u64, index: u32, sizes: &[(usize, usize)]) -> Result<Vec<Vec<u8>>> {
        let mut views = self.parts(seed, epoch, index, sizes)?;
        for (view, &size) in views.iter_mut().zip(sizes) {
            let input = self.input(size);
            if self.augment.trivial {
                Operation::draw(seed, epoch, index).apply(view, input, &self.fill);
            }
            if let Some(jitter) = &self.augment.jitter {
                jitter.draw(seed, epoch, index).apply(view, input);
            }
            if let Some(erasing) = &self.augment.erasing
                && let Some(rect) = erasing.draw(seed, epoch, index, input.height, input.width)
            {
                erase::erase(view, input, rect, &self.fill);
            }
        }
        Ok(views)
    }

    /// The part of the picture that is seen.
    fn parts(&self, seed: u64, epoch: u64, index: u32, sizes: &[(usize, usize)]) -> Result<Vec<Vec<u8>>> {
        #[cfg(feature = "photos")]
        if let (Some(photos), Some(random)) = (self.set.photos(), &self.augment.crop) {
            let (picture, h, w) = photos.picture(index as usize)?;
            let rect = random.draw(seed, epoch, index, h, w);
            let flip = self.augment.flip && crop::flip(seed, epoch, index);
            let part = |&size: &(usize, usize)| {
                crop::resize(picture, self.set.input.channels, (h, w), rect, flip, size)
            };
            return sizes.iter().map(part).collect();
        }
        if self.augment.crop.is_some() {
            return Err(Error::usage(
                "augment.crop is for photographs (imagefolder, tiny-imagenet, tar): wanted pad",
            ));
        }
        let own = self.set.input;
        if let Some((h, w)) = sizes.iter().find(|&&size| size != (own.height, own.width)) {
            return Err(Error::usage(format!(
                "images of {own} are asked for at {h} x {w}: only photographs with augment.crop can be had at two sizes"
            )));
        }
        let draw = self.augment.draw(seed, epoch, index);
        let image = self.set.image(index as usize)?;
        let mut out = vec![0; image.len()];
        self.augment.apply(&image, own, draw, &self.fill, &mut out);
        Ok(vec![out; sizes.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::jitter::ColourJitter;
    use crate::data::augment::mix::{How, Mix};

    const SIZE: (usize, usize) = (5, 6);

    fn feed(augment: Augment) -> Feed {
        let input = Input { channels: 3, height: 5, width: 6 };
        let pixels = (0..20 * 90).map(|i| (i * 31 % 256) as u8).collect();
        let labels = (0..20).map(|i| (i % 4) as u16).collect();
        let set = ImageSet::new(input, 4, pixels, labels).unwrap();
        Feed { set, augment, seed: 9, balanced: false, fill: vec![120, 121, 122] }
    }

    fn visit(index: u32) -> Visit {
        Visit { index, repeat: 0 }
    }

    /// Every switch changes something, and the augmentation's seed alone drives it.
    #[test]
    fn each_switch_does_something() {
        let plain = Augment::pad_and_flip(0, false);
        let views = |augment: Augment, seed: u64| -> Vec<Vec<u8>> {
            let feed = Feed { seed, ..feed(augment) };
            (0..20).flat_map(|i| feed.sample(3, visit(i), &[SIZE]).unwrap().views).collect()
        };
        let unchanged = views(plain, 9);
        assert_eq!(unchanged.concat(), *feed(plain).set.all_pixels().unwrap());
        let jitter = Some(ColourJitter { brightness: 0.5, ..ColourJitter::default() });
        let mix = |mixup, cutmix| Some(Mix { mixup, cutmix, ..Mix::default() });
        for augment in [
            Augment { pad: 2, ..plain },
            Augment { flip: true, ..plain },
            Augment { trivial: true, ..plain },
            Augment { jitter, ..plain },
            Augment { erasing: Some(erase::RandomErasing::default()), ..plain },
            Augment { mix: mix(0.4, 0.0), ..plain },
            Augment { mix: mix(0.0, 1.0), ..plain },
        ] {
            augment.validate().unwrap();
            assert_ne!(views(augment, 9), unchanged, "{augment:?}");
            assert_ne!(views(augment, 9), views(augment, 10), "{augment:?}");
            let own = Augment { seed: Some(4), ..augment };
            assert_eq!(views(own, 9), views(own, 10), "{augment:?}");
        }
    }

    /// By the definition: the partner's own augmented pixels, where the window is.
    #[test]
    fn a_mixed_image_shows_its_partner_as_the_partner_is_seen() {
        let mix = Some(Mix { cutmix: 1.0, ..Mix::default() });
        let alone = feed(Augment::pad_and_flip(1, true));
        let feed = feed(Augment { mix, ..alone.augment });
        for i in 0..20 {
            let sample = feed.sample(1, visit(i), &[SIZE]).unwrap();
            let mixed = sample.mixed.unwrap();
            let How::CutMix(window) = mixed.how else { panic!("{mixed:?}") };
            let rect = window.at(5, 6);
            let seen = |i| alone.sample(1, visit(i), &[SIZE]).unwrap().views.remove(0);
            let (own, other) = (seen(i), seen(mixed.partner));
            for (at, &got) in sample.views[0].iter().enumerate() {
                let (y, x) = (at / 6 % 5, at % 6);
                let inside = (rect.top..rect.top + rect.height).contains(&y)
                    && (rect.left..rect.left + rect.width).contains(&x);
                assert_eq!(got, if inside { other[at] } else { own[at] });
            }
        }
    }

    #[test]
    fn a_second_turn_is_another_view_and_mistakes_are_named() {
        let feed = feed(Augment::pad_and_flip(2, true));
        let turns: Vec<_> =
            (0..4).map(|repeat| feed.sample(0, Visit { index: 1, repeat }, &[SIZE]).unwrap()).collect();
        assert!(turns.iter().any(|t| t != &turns[0]));
        let two = feed.sample(0, visit(1), &[SIZE, (4, 4)]).unwrap_err().to_string();
        assert!(two.contains("asked for at 4 x 4"), "{two}");
        let crop = Augment { crop: Some(Default::default()), ..Augment::pad_and_flip(0, true) };
        let crop = Feed { augment: crop, ..feed }.sample(0, visit(1), &[SIZE]).unwrap_err().to_string();
        assert!(crop.contains("augment.crop is for photographs"), "{crop}");
        let both = Augment { pad: 1, crop: Some(Default::default()), ..Augment::pad_and_flip(1, true) };
        assert!(both.validate().unwrap_err().to_string().contains("pad and crop"));
    }
}
