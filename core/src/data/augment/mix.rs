//! Two images and their labels as one: mixup (Zhang et al. 2017) and CutMix (Yun et al. 2019). Partner and share are a
//! function of (seed, epoch, index), not of the batch, so that another batch size or a resumed run sees the same.

use super::crop::{Rect, stream};
use crate::ir::arch::Input;
use crate::rng::Rng;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How images are mixed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Of the Beta distribution that mixup's share is drawn from; 0: no mixup.
    pub mixup: f64,
    /// Of the Beta distribution that CutMix's share is drawn from; 0: no CutMix. Where both are on, each takes half of
    /// the images.
    pub cutmix: f64,
    /// Share of the images that are mixed at all, 0 to 1.
    pub probability: f64,
}

impl Default for Mix {
    /// Neither; where one is turned on, every image is mixed.
    fn default() -> Self {
        Self { mixup: 0.0, cutmix: 0.0, probability: 1.0 }
    }
}

/// A part of an image of any size: edges from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Upper edge.
    pub top: f64,
    /// Left edge.
    pub left: f64,
    /// Lower edge.
    pub bottom: f64,
    /// Right edge.
    pub right: f64,
}

/// How two images become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    /// Every pixel is the weighted mean.
    Mixup,
    /// The window shows the partner.
    CutMix(Window),
}

/// What was drawn for one image: the label is `share` of its own, the rest of the partner's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixed {
    /// Index of the other image; it has its own augmentation of this epoch.
    pub partner: u32,
    /// Of the image itself, 0 to 1.
    pub share: f64,
    /// Mixup or CutMix.
    pub how: How,
}

impl Mix {
    /// Errors name the key.
    pub fn validate(&self) -> Result<()> {
        let alpha = |a: f64| a == 0.0 || (0.01..=100.0).contains(&a);
        if !alpha(self.mixup) || !alpha(self.cutmix) {
            let found = (self.mixup, self.cutmix);
            return Err(Error::usage(format!("mixup and cutmix are {found:?}, wanted 0, or 0.01 to 100")));
        }
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(Error::usage(format!("mix probability is {}, wanted 0 to 1", self.probability)));
        }
        Ok(())
    }

    /// What image `index` of `n` is mixed with in `epoch`; none where it stays alone.
    pub fn draw(&self, seed: u64, epoch: u64, index: u32, n: u32) -> Option<Mixed> {
        let mut rng = stream(seed, "mix", epoch, index);
        if n < 2 || self.mixup + self.cutmix <= 0.0 || rng.unit_f64() >= self.probability {
            return None;
        }
        // Anyone but the image itself.
        let other = rng.below(u64::from(n) - 1) as u32;
        let partner = if other >= index { other + 1 } else { other };
        let cut = if self.mixup > 0.0 && self.cutmix > 0.0 { rng.below(2) == 1 } else { self.cutmix > 0.0 };
        let share = beta(&mut rng, if cut { self.cutmix } else { self.mixup });
        if !cut {
            return Some(Mixed { partner, share, how: How::Mixup });
        }
        let window = Window::draw(&mut rng, share);
        Some(Mixed { partner, share: 1.0 - window.area(), how: How::CutMix(window) })
    }
}

impl Window {
    /// Of the area `1 - share`, about a point drawn evenly; what is outside is cut off, as in the paper.
    fn draw(rng: &mut Rng, share: f64) -> Self {
        let half = (1.0 - share).sqrt() / 2.0;
        let (y, x) = (rng.unit_f64(), rng.unit_f64());
        let edge = |at: f64| at.clamp(0.0, 1.0);
        Self { top: edge(y - half), left: edge(x - half), bottom: edge(y + half), right: edge(x + half) }
    }

    fn area(&self) -> f64 {
        (self.bottom - self.top) * (self.right - self.left)
    }

    /// In an image of this size, edges to the nearest pixel.
    pub fn at(&self, height: usize, width: usize) -> Rect {
        let edge = |at: f64, length: usize| (at * length as f64).round() as usize;
        let (top, bottom) = (edge(self.top, height), edge(self.bottom, height));
        let (left, right) = (edge(self.left, width), edge(self.right, width));
        Rect { top, left, height: bottom - top, width: right - left }
    }
}

impl Mixed {
    /// Mixes the partner into a planar image `[C, H, W]`; both have the same size.
    pub fn apply(&self, image: &mut [u8], partner: &[u8], input: Input) {
        match self.how {
            How::Mixup => {
                let (own, other) = (self.share as f32, 1.0 - self.share as f32);
                for (to, from) in image.iter_mut().zip(partner) {
                    *to = (f32::from(*to) * own + f32::from(*from) * other).round() as u8;
                }
            }
            How::CutMix(window) => {
                let rect = window.at(input.height, input.width);
                let rows =
                    image.chunks_exact_mut(input.width.max(1)).zip(partner.chunks_exact(input.width.max(1)));
                for (i, (to, from)) in rows.enumerate() {
                    if (rect.top..rect.top + rect.height).contains(&(i % input.height.max(1))) {
                        let cut = to.iter_mut().zip(from).skip(rect.left).take(rect.width);
                        cut.for_each(|(to, from)| *to = *from);
                    }
                }
            }
        }
    }
}

/// Beta(alpha, alpha), from two gamma variables.
fn beta(rng: &mut Rng, alpha: f64) -> f64 {
    let (a, b) = (gamma(rng, alpha), gamma(rng, alpha));
    // With a tiny alpha both may be too small to be numbers.
    if a + b > 0.0 { a / (a + b) } else { rng.below(2) as f64 }
}

/// Gamma(shape, 1) (Marsaglia and Tsang 2000).
fn gamma(rng: &mut Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        let boost = (1.0 - rng.unit_f64()).powf(1.0 / shape);
        return gamma(rng, shape + 1.0) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = rng.normal();
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - rng.unit_f64();
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: results depend on these draws.
    #[test]
    fn draws_never_change() {
        const WANTED: &str = "[Some(Mixed { partner: 62, share: 0.745456, how: CutMix(Window { top: 0.550622, left: 0.433564, bottom: 1.000000, right: 1.000000 }) }), \
            Some(Mixed { partner: 684, share: 0.789097, how: Mixup })]";
        let mix = Mix { mixup: 0.2, cutmix: 1.0, probability: 1.0 };
        let found = (0..2).map(|i| mix.draw(1, 2, i, 1000)).collect::<Vec<_>>();
        assert_eq!(format!("{found:.6?}"), WANTED);
    }

    /// Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
    #[test]
    fn shares_have_betas_moments() {
        for alpha in [0.2, 1.0, 4.0] {
            let mut rng = Rng::new(1, "test", 0);
            let all: Vec<f64> = (0..40_000).map(|_| beta(&mut rng, alpha)).collect();
            let mean = all.iter().sum::<f64>() / 40_000.0;
            let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 40_000.0;
            let wanted = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!(
                (mean - 0.5).abs() < 0.009 && (variance / wanted - 1.0).abs() < 0.04,
                "{alpha}: {mean} {variance}"
            );
        }
    }

    #[test]
    fn partners_shares_and_kinds() {
        let mix = Mix { mixup: 0.2, cutmix: 1.0, probability: 0.8 };
        mix.validate().unwrap();
        let all: Vec<(u32, Mixed)> = (0..4000).filter_map(|i| Some((i, mix.draw(1, 2, i, 4000)?))).collect();
        assert!(all.len().abs_diff(3200) < 110, "{}", all.len()); // 4 sigma
        let cut = all.iter().filter(|(_, m)| m.how != How::Mixup).count();
        assert!(cut.abs_diff(all.len() / 2) < 120, "{cut}");
        assert!(
            all.iter().all(|(i, m)| m.partner != *i && m.partner < 4000 && (0.0..=1.0).contains(&m.share))
        );
        assert_eq!(mix.draw(1, 2, 3, 4000), mix.draw(1, 2, 3, 4000));
        assert!(mix.draw(1, 2, 0, 1).is_none() && Mix::default().draw(1, 2, 0, 9).is_none());
        assert!(Mix { cutmix: -1.0, ..mix }.validate().is_err());
    }

    #[test]
    fn images_are_mixed_as_the_labels_say() {
        let input = Input { channels: 2, height: 10, width: 8 };
        let (own, partner) = (vec![200; 160], vec![100; 160]);
        let mixup = Mixed { partner: 1, share: 0.3, how: How::Mixup };
        let mut image = own.clone();
        mixup.apply(&mut image, &partner, input);
        assert_eq!(image, [130; 160]);
        let window = Window { top: 0.2, left: 0.0, bottom: 0.6, right: 0.5 };
        let mixed = Mixed { partner: 1, share: 1.0 - window.area(), how: How::CutMix(window) };
        let mut image = own.clone();
        mixed.apply(&mut image, &partner, input);
        let there = image.iter().filter(|b| **b == 100).count();
        assert_eq!((there, 1.0 - there as f64 / 160.0), (32, mixed.share));
        assert_eq!(
            (image[2 * 8], image[5 * 8 + 3], image[5 * 8 + 4], image[6 * 8], image[80]),
            (100, 100, 200, 200, 200)
        );
        // The same part at another size.
        assert_eq!(window.at(20, 16), Rect { top: 4, left: 0, height: 8, width: 8 });
    }
}
