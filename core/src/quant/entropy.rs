//! The range whose quantised distribution is nearest to the real one in Kullback-Leibler divergence
//! (Migacz, "8-bit inference with TensorRT", GTC 2017): thresholds on |x| are tried, what lies beyond
//! is added to the last bin, the rest is merged into as many groups as there are integers and spread
//! again over the bins that were not empty.

use super::histogram::Histogram;
use super::{Affine, Range};
use crate::device::int8::ActivationType;

/// Thresholds tried, at equal distances.
const TRIALS: usize = 100;
/// The smallest threshold, as a share of the largest |x|.
const SMALLEST: f64 = 0.1;

/// Returns the range of the best of the thresholds.
pub fn range(histogram: &Histogram, seen: Range, kind: ActivationType) -> Range {
    let bins: Vec<(f64, u64)> = histogram.bins().collect();
    let top = f64::from(seen.hi.abs().max(seen.lo.abs()));
    let clip = |threshold: f64| Range {
        lo: (f64::from(seen.lo)).max(-threshold) as f32,
        hi: (f64::from(seen.hi)).min(threshold) as f32,
    };
    let mut best = (f64::INFINITY, seen);
    for trial in (0..=TRIALS).rev() {
        let range = clip(top * (SMALLEST + (1.0 - SMALLEST) * trial as f64 / TRIALS as f64));
        let found = divergence(&bins, range, kind);
        if found < best.0 {
            best = (found, range);
        }
    }
    best.1
}

fn divergence(bins: &[(f64, u64)], range: Range, kind: ActivationType) -> f64 {
    let affine = Affine::covering(range, kind);
    let (lo, hi) = (f64::from(range.lo), f64::from(range.hi));
    let inside: Vec<(f64, f64)> =
        bins.iter().filter(|(x, _)| (lo..=hi).contains(x)).map(|&(x, n)| (x, n as f64)).collect();
    let total: f64 = bins.iter().map(|(_, n)| *n as f64).sum();
    let (Some(first), Some(last)) = (inside.first(), inside.last()) else { return f64::INFINITY };
    let below: f64 = bins.iter().filter(|(x, _)| *x < first.0).map(|(_, n)| *n as f64).sum();
    let above: f64 = bins.iter().filter(|(x, _)| *x > last.0).map(|(_, n)| *n as f64).sum();
    let mut sum = 0.0;
    let mut kept = 0.0;
    let mut start = 0;
    for end in 1..=inside.len() {
        let level = |i: usize| inside.get(i).map(|(x, _)| affine.quantise(*x));
        if level(end) == level(start) {
            continue;
        }
        // One integer's bins: each stands for the group's mean.
        let group = inside.get(start..end).unwrap_or_default();
        let mean = group.iter().map(|(_, n)| n).sum::<f64>() / group.len().max(1) as f64;
        for (i, (_, n)) in group.iter().enumerate().map(|(i, g)| (start + i, g)) {
            let tail = if i == 0 { below } else { 0.0 } + if i + 1 == inside.len() { above } else { 0.0 };
            let p = (n + tail) / total;
            sum += p * (p / mean).ln();
            kept += mean;
        }
        start = end;
    }
    // Q is normalised over what it keeps.
    sum + kept.ln()
}
