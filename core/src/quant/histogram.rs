//! What calibration keeps of a value: a histogram that widens as larger numbers come, and each
//! channel's extremes and mean. Batches are added and forgotten, so memory does not grow with images;
//! any order of batches gives the same histogram.

use super::Range;

/// So many bins lie on both sides of zero together.
pub const BINS: usize = 8192;
const HALF: i32 = (BINS / 2) as i32;
/// Exponent of the narrowest histogram: +-2^-20.
const NARROWEST: i32 = -20;

/// These are counts of finite values over [-2^k, 2^k), zeros apart (they are exact under any quantisation, and
/// after a Relu they are many).
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The k above.
    exponent: i32,
    counts: Vec<u64>,
    zeros: u64,
    /// Smallest and largest value so far.
    extremes: Option<Range>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { exponent: NARROWEST, counts: vec![0; BINS], zeros: 0, extremes: None }
    }
}

impl Histogram {
    /// Adds values. Returns false if one is not finite (then none is added).
    pub fn add(&mut self, values: &[f32]) -> bool {
        if !values.iter().all(|x| x.is_finite()) {
            return false;
        }
        let Some(&first) = values.first() else { return true };
        let (lo, hi) = values.iter().fold((first, first), |(lo, hi), &x| (lo.min(x), hi.max(x)));
        self.widen_to(lo.abs().max(hi.abs()));
        // A power of two: the product is exact, so that bins of a narrower histogram nest in these.
        let bins_per_unit = 2f32.powi(12 - self.exponent);
        for &x in values {
            if x == 0.0 {
                self.zeros += 1;
                continue;
            }
            let scaled = x * bins_per_unit;
            let cut = scaled as i32; // towards zero
            let floor = if cut as f32 > scaled { cut - 1 } else { cut };
            if let Some(count) = self.counts.get_mut((floor + HALF) as usize) {
                *count += 1;
            }
        }
        self.note(Range { lo, hi });
        true
    }

    fn note(&mut self, Range { lo, hi }: Range) {
        let old = self.extremes.unwrap_or(Range { lo, hi });
        self.extremes = Some(Range { lo: old.lo.min(lo), hi: old.hi.max(hi) });
    }

    /// Doubles the width, two bins becoming one, until it holds `magnitude`.
    fn widen_to(&mut self, magnitude: f32) {
        while f64::from(magnitude) >= 2f64.powi(self.exponent) {
            let mut wider = vec![0; BINS];
            for (i, &count) in self.counts.iter().enumerate().filter(|(_, c)| **c > 0) {
                if let Some(slot) = wider.get_mut(BINS / 4 + i / 2) {
                    *slot += count;
                }
            }
            self.counts = wider;
            self.exponent += 1;
        }
    }

    /// Adds another's values.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        let exponent = self.exponent.max(other.exponent);
        let just_below = (2f64.powi(exponent) * 0.75) as f32;
        self.widen_to(just_below);
        other.widen_to(just_below);
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.zeros += other.zeros;
        if let Some(range) = other.extremes {
            self.note(range);
        }
    }

    /// Returns the smallest and largest value; `None` before the first.
    pub fn extremes(&self) -> Option<Range> {
        self.extremes
    }

    /// Returns how many values there are.
    pub fn n(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Returns how many zeros there are.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Returns the width of a bin.
    pub fn step(&self) -> f64 {
        2f64.powi(self.exponent - 12)
    }

    /// Returns (centre, count) of the bins that are not empty, ascending.
    pub fn bins(&self) -> impl Iterator<Item = (f64, u64)> {
        let step = self.step();
        let centre = move |i: usize| (i as f64 - f64::from(HALF) + 0.5) * step;
        self.counts.iter().enumerate().filter(|(_, c)| **c > 0).map(move |(i, &c)| (centre(i), c))
    }
}

/// This is one channel's extremes and sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// Smallest.
    pub lo: f32,
    /// Largest.
    pub hi: f32,
    /// Of all its values.
    pub sum: f64,
    /// How many.
    pub n: u64,
}

/// This is all that calibration keeps of one value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ValueStats {
    /// Over all channels.
    pub histogram: Histogram,
    /// By channel (or feature).
    pub channels: Vec<Channel>,
}

impl ValueStats {
    /// Adds a batch `[n, channels, plane]`. Returns false if a value is not finite.
    pub fn add(&mut self, values: &[f32], channels: usize, plane: usize) -> bool {
        let empty = Channel { lo: f32::INFINITY, hi: f32::NEG_INFINITY, sum: 0.0, n: 0 };
        self.channels.resize(channels, empty);
        for image in values.chunks(channels * plane) {
            for (channel, values) in self.channels.iter_mut().zip(image.chunks(plane)) {
                for &x in values {
                    channel.lo = channel.lo.min(x);
                    channel.hi = channel.hi.max(x);
                }
                channel.sum += f64::from(values.iter().sum::<f32>());
                channel.n += values.len() as u64;
            }
        }
        self.histogram.add(values)
    }

    /// Adds another's values.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
        if self.channels.is_empty() {
            self.channels.clone_from(&other.channels);
            return;
        }
        for (mine, theirs) in self.channels.iter_mut().zip(&other.channels) {
            mine.lo = mine.lo.min(theirs.lo);
            mine.hi = mine.hi.max(theirs.hi);
            mine.sum += theirs.sum;
            mine.n += theirs.n;
        }
    }

    /// Returns each channel's mean.
    pub fn means(&self) -> Vec<f64> {
        self.channels.iter().map(|c| c.sum / c.n.max(1) as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn bins_hold_their_values_and_zeros_stand_apart() {
        let mut h = Histogram::default();
        assert!(h.add(&[0.0, 0.3, -0.7, 5.0, 0.0]));
        assert_eq!((h.n(), h.zeros(), h.extremes()), (5, 2, Some(Range { lo: -0.7, hi: 5.0 })));
        let centres: Vec<f64> = h.bins().map(|(x, _)| x).collect();
        for (found, wanted) in centres.iter().zip([-0.7, 0.3, 5.0]) {
            assert!((found - wanted).abs() <= h.step(), "{found} {wanted}");
        }
        assert!(!h.add(&[1.0, f32::NAN]) && !h.add(&[f32::INFINITY]) && h.n() == 5);
    }

    /// Batches in any order, and merged halves: calibration runs on several threads.
    #[test]
    fn order_does_not_matter() {
        let mut rng = Rng::new(1, "histogram", 0);
        let batches: Vec<Vec<f32>> =
            (0..12).map(|b| (0..500).map(|_| (rng.normal() * 1.7f64.powi(b)) as f32).collect()).collect();
        let mut forward = Histogram::default();
        let mut backward = Histogram::default();
        batches.iter().for_each(|b| assert!(forward.add(b)));
        batches.iter().rev().for_each(|b| assert!(backward.add(b)));
        assert_eq!(forward, backward);
        let (mut one, mut two) = (Histogram::default(), Histogram::default());
        batches[..5].iter().for_each(|b| assert!(one.add(b)));
        batches[5..].iter().for_each(|b| assert!(two.add(b)));
        let mut other_way = two.clone();
        other_way.merge(&one);
        one.merge(&two);
        assert_eq!((&one, &other_way), (&forward, &forward));
    }

    #[test]
    fn channels_by_hand() {
        let mut s = ValueStats::default();
        assert!(s.add(&[1.0, 2.0, -1.0, -3.0, 3.0, 6.0, 0.0, 0.0], 2, 2));
        assert_eq!(s.means(), [3.0, -1.0]);
        let ends: Vec<(f32, f32)> = s.channels.iter().map(|c| (c.lo, c.hi)).collect();
        assert_eq!(ends, [(1.0, 6.0), (-3.0, 0.0)]);
    }
}
