//! What training does to images, and the order of an epoch: pure functions of (seed, epoch, index), so that a resumed
//! run, another thread count or another device sees the same images.
//!
//! [`Augment`] says what is done; [`crate::data::feed`] does it. Images of one small size are padded, cropped and
//! flipped; pictures of any size go through [`crop`]. Then come [`trivial`], [`jitter`], [`erase`] and [`mix`].

pub mod colour;
pub mod crop;
pub mod erase;
pub mod geometry;
pub mod jitter;
pub mod mix;
pub mod trivial;

use crop::RandomResizedCrop;
use erase::RandomErasing;
use jitter::ColourJitter;
use mix::Mix;

use crate::ir::arch::Input;
use crate::rng::Rng;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What is done to training images. A key that is not there is not done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Pixels added on each side before the crop back to size; 0: none. Not with `crop`.
    pub pad: usize,
    /// Mirror left-right with probability 1/2.
    pub flip: bool,
    /// Of all that is drawn here; none: the run's. Runs of many seeds that share it see the same images, so that one
    /// cache of a teacher's answers serves them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Of photographs: a random part of the whole picture in place of its middle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<RandomResizedCrop>,
    /// TrivialAugment.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trivial: bool,
    /// Colour jitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<ColourJitter>,
    /// Random erasing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasing: Option<RandomErasing>,
    /// Mixup and CutMix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
}

fn is_false(x: &bool) -> bool {
    !x
}

/// What was drawn for one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Rows the window is moved down in the padded image, `0..=2 * pad`.
    pub dy: usize,
    /// Columns the window is moved right, `0..=2 * pad`.
    pub dx: usize,
    /// Mirrored.
    pub flip: bool,
}

impl Augment {
    /// Padding, cropping back and mirroring alone.
    pub const fn pad_and_flip(pad: usize, flip: bool) -> Self {
        Self { pad, flip, seed: None, crop: None, trivial: false, jitter: None, erasing: None, mix: None }
    }

    /// Returns whether nothing is done but padding, cropping back and mirroring.
    pub fn is_pad_and_flip(&self) -> bool {
        *self == Self { seed: self.seed, ..Self::pad_and_flip(self.pad, self.flip) }
    }

    /// Returns whether images are mixed.
    pub fn mixes(&self) -> bool {
        self.mix.is_some_and(|m| m.mixup + m.cutmix > 0.0 && m.probability > 0.0)
    }

    /// Checks every number; errors name the key.
    pub fn validate(&self) -> Result<()> {
        if self.pad > 64 {
            return Err(Error::usage(format!("augment.pad is {}, wanted 0 to 64", self.pad)));
        }
        if self.pad > 0 && self.crop.is_some() {
            return Err(Error::usage("augment has pad and crop: a random crop needs no padding (pad = 0)"));
        }
        self.crop.map_or(Ok(()), |c| c.validate())?;
        self.jitter.map_or(Ok(()), |j| j.validate())?;
        self.erasing.map_or(Ok(()), |e| e.validate())?;
        self.mix.map_or(Ok(()), |m| m.validate())
    }

    /// The draw for image `index` in `epoch`.
    pub fn draw(&self, seed: u64, epoch: u64, index: u32) -> Draw {
        let mut rng = Rng::new(seed, "augment", (epoch << 32) | u64::from(index));
        let mut offset = || rng.below(2 * self.pad as u64 + 1) as usize;
        let (dy, dx) = (offset(), offset());
        Draw { dy, dx, flip: self.flip && rng.below(2) == 1 }
    }

    /// One planar `[C, H, W]` image to `out` (same size). What the window sees of the padding takes
    /// `fill`, one byte per channel.
    pub fn apply(&self, image: &[u8], input: Input, draw: Draw, fill: &[u8], out: &mut [u8]) {
        let (h, w) = (input.height, input.width);
        // Columns of the image that the window shows: window column x holds image column x + dx - pad.
        let first = self.pad.saturating_sub(draw.dx).min(w);
        let last = (w + self.pad).saturating_sub(draw.dx).min(w);
        let source = (first + draw.dx).saturating_sub(self.pad);
        let planes = image.chunks(h * w).zip(out.chunks_mut(h * w)).zip(fill);
        for ((plane, out), &fill) in planes {
            for (y, row) in out.chunks_mut(w).enumerate() {
                let from = (y + draw.dy).checked_sub(self.pad).filter(|&r| r < h);
                match from.and_then(|r| plane.get(r * w + source..r * w + source + (last - first))) {
                    Some(pixels) => {
                        row[..first].fill(fill);
                        row[first..last].copy_from_slice(pixels);
                        row[last..].fill(fill);
                    }
                    None => row.fill(fill),
                }
                if draw.flip {
                    row.reverse();
                }
            }
        }
    }
}

/// One image's turn in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Of the image.
    pub index: u32,
    /// How often it had its turn in this epoch before.
    pub repeat: u32,
}

impl Visit {
    /// Returns the epoch that its augmentation is drawn in: a second turn is one of an epoch of its own. (Epochs are
    /// fewer than 2^20.)
    pub fn drawn_in(&self, epoch: u64) -> u64 {
        epoch + (u64::from(self.repeat % 4096) << 20)
    }
}

/// The order in which an epoch visits `labels.len()` images so that every class that has images comes up equally
/// often, to one: the images of a class take turns. A pure function of its arguments.
pub fn balanced_order(labels: &[u16], classes: usize, seed: u64, epoch: u64) -> Vec<Visit> {
    let mut of: Vec<Vec<u32>> = vec![Vec::new(); classes];
    for (i, &label) in (0u32..).zip(labels) {
        if let Some(class) = of.get_mut(usize::from(label)) {
            class.push(i);
        }
    }
    of.retain(|class| !class.is_empty());
    let mut rng = Rng::new(seed, "balanced_order", epoch);
    of.iter_mut().for_each(|class| rng.shuffle(class));
    // Which classes get the one more is drawn too.
    rng.shuffle(&mut of);
    let classes = of.len().max(1);
    let visit = |k: usize| {
        let class = of.get(k % classes)?;
        let turn = k / classes;
        let index = *class.get(turn % class.len())?;
        Some(Visit { index, repeat: u32::try_from(turn / class.len()).unwrap_or(u32::MAX) })
    };
    let mut order: Vec<Visit> = (0..labels.len()).filter_map(visit).collect();
    rng.shuffle(&mut order);
    order
}

/// The order in which an epoch visits `0..n`.
pub fn epoch_order(n: usize, seed: u64, epoch: u64) -> Vec<u32> {
    Rng::new(seed, "epoch_order", epoch).permutation(u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Frozen: every result ever published depends on these draws.
    #[test]
    fn draws_never_change() {
        assert_eq!(epoch_order(8, 1, 2), [0, 1, 6, 4, 7, 2, 3, 5]);
        let a = Augment::pad_and_flip(2, true);
        let draws: Vec<_> = (0..6).map(|i| a.draw(1, 3, i)).map(|d| (d.dy, d.dx, d.flip)).collect();
        assert_eq!(
            draws,
            [(2, 1, true), (1, 2, true), (3, 4, true), (3, 4, false), (0, 3, true), (2, 2, true)]
        );
    }

    proptest! {
        /// Against the definition: pad, cut the window, mirror.
        #[test]
        fn matches_the_definition(
            h in 1usize..7, w in 1usize..7, pad in 0usize..4, seed in 0u64..50, flip: bool,
        ) {
            let input = Input { channels: 2, height: h, width: w };
            let image: Vec<u8> = (0..2 * h * w).map(|i| i as u8 + 1).collect();
            let augment = Augment::pad_and_flip(pad, flip);
            let draw = augment.draw(seed, 3, 4);
            prop_assert!(draw.dy <= 2 * pad && draw.dx <= 2 * pad && (flip || !draw.flip));
            let fill = [200, 201];
            let mut out = vec![0; image.len()];
            augment.apply(&image, input, draw, &fill, &mut out);
            for c in 0..2 {
                for y in 0..h {
                    for x in 0..w {
                        let wx = if draw.flip { w - 1 - x } else { x };
                        let row = (y + draw.dy).checked_sub(pad).filter(|&r| r < h);
                        let col = (wx + draw.dx).checked_sub(pad).filter(|&c| c < w);
                        let want = match (row, col) {
                            (Some(r), Some(k)) => image[(c * h + r) * w + k],
                            _ => fill[c],
                        };
                        prop_assert_eq!(out[(c * h + y) * w + x], want);
                    }
                }
            }
        }
    }

    /// 20 : 1 images come up 1 : 1, and every image of the large class before any comes twice.
    #[test]
    fn balanced_orders_visit_every_class_alike() {
        let labels: Vec<u16> = (0..105).map(|i| if i < 100 { 0 } else { 2 }).collect();
        let order = balanced_order(&labels, 4, 7, 3);
        assert_eq!(order, balanced_order(&labels, 4, 7, 3));
        assert_ne!(order, balanced_order(&labels, 4, 7, 4));
        let (few, many): (Vec<Visit>, Vec<Visit>) = order.iter().partition(|v| v.index >= 100);
        assert!(few.len().abs_diff(many.len()) == 1 && few.len() + many.len() == 105);
        assert!(many.iter().all(|v| v.repeat == 0));
        let distinct: std::collections::HashSet<_> = order.iter().map(|v| (v.index, v.repeat)).collect();
        assert_eq!(distinct.len(), 105);
        assert!(few.iter().all(|v| v.repeat <= 10));
        assert!(balanced_order(&[], 4, 7, 3).is_empty());
    }

    #[test]
    fn orders_are_permutations_that_differ_by_epoch() {
        let a = epoch_order(100, 1, 0);
        let mut sorted = a.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(a, epoch_order(100, 1, 1));
        assert_eq!(a, epoch_order(100, 1, 0));
    }
}
