//! What training does to images, and the order of an epoch: pure functions of (seed, epoch, index), so that a resumed
//! run, another thread count or another device sees the same images.
//!
//! Images of one small size are cropped and flipped by [`Augment`]. Pictures of any size go through [`crop`], then
//! [`trivial`] or [`jitter`], then [`erase`] and [`mix`].

pub mod colour;
pub mod crop;
pub mod erase;
pub mod geometry;
pub mod jitter;
pub mod mix;
pub mod trivial;

use crate::ir::arch::Input;
use crate::rng::Rng;
use serde::{Deserialize, Serialize};

/// Random crop from a padded image, random horizontal flip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Pixels added on each side before the crop back to size; 0: none.
    pub pad: usize,
    /// Mirror left-right with probability 1/2.
    pub flip: bool,
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
    /// The draw for image `index` in `epoch`.
    pub fn draw(self, seed: u64, epoch: u64, index: u32) -> Draw {
        let mut rng = Rng::new(seed, "augment", (epoch << 32) | u64::from(index));
        let mut offset = || rng.below(2 * self.pad as u64 + 1) as usize;
        let (dy, dx) = (offset(), offset());
        Draw { dy, dx, flip: self.flip && rng.below(2) == 1 }
    }

    /// One planar `[C, H, W]` image to `out` (same size). What the window sees of the padding takes
    /// `fill`, one byte per channel.
    pub fn apply(self, image: &[u8], input: Input, draw: Draw, fill: &[u8], out: &mut [u8]) {
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
        let a = Augment { pad: 2, flip: true };
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
            let augment = Augment { pad, flip };
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
