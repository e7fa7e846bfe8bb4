//! Intervals of quantiles. Samples taken one after another are not independent (clock, cache, neighbours):
//! what the quantile's rank is known to comes from how much whole stretches of time differ, not from single
//! samples.

use crate::measure::distributions::{binomial_cdf, t_quantile};
use crate::measure::stats::percentile;

/// Stretches of time: few, so that each is long beside what hangs together, and enough for a t-quantile.
const BATCHES: usize = 10;
/// Samples below which stretches are too short to differ by chance alone.
const FEWEST: usize = 2 * BATCHES;

/// Returns a 95 % interval of each of `quantiles` (0 to 1) of samples in the order they were taken. It is
/// `None` where they are too few for one: no sample need lie beyond the 99th percentile before there are some
/// hundreds.
///
/// The share of samples at or below the estimate is taken of ten stretches (batch means), its standard error
/// from their spread, and never less than independent samples have; the quantiles of the shares so far below
/// and above bound the quantile (Woodruff 1952). It holds what it promises where samples more than about a
/// hundredth of the run apart are independent. With NaN among the samples all are `None`.
pub fn quantiles_ci95(samples: &[f64], quantiles: &[f64]) -> Vec<Option<[f64; 2]>> {
    let n = samples.len();
    if n < FEWEST || samples.iter().any(|x| x.is_nan()) {
        return vec![None; quantiles.len()];
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let t = t_quantile(0.975, (BATCHES - 1) as f64);
    let interval = |&q: &f64| {
        let estimate = *sorted.get(((q * n as f64).ceil() as usize).clamp(1, n) - 1)?;
        // Equal samples: the share below and the share at or below may differ much.
        let error = batch_error(samples, |x| x <= estimate)
            .max(batch_error(samples, |x| x < estimate))
            .max((q * (1.0 - q) / n as f64).sqrt());
        let half = t * error * n as f64;
        let low = (q * n as f64 - half).floor();
        let high = (q * n as f64 + half).ceil();
        let inside = low >= 1.0 && high < n as f64;
        inside.then(|| Some([*sorted.get(low as usize - 1)?, *sorted.get(high as usize)?])).flatten()
    };
    quantiles.iter().map(interval).collect()
}

/// Standard error of the share of samples that `is` holds for, from the spread over stretches of time.
fn batch_error(samples: &[f64], is: impl Fn(f64) -> bool) -> f64 {
    let n = samples.len();
    let share = |batch: usize| {
        let (from, to) = (batch * n / BATCHES, (batch + 1) * n / BATCHES);
        let part = samples.get(from..to).unwrap_or_default();
        part.iter().filter(|x| is(**x)).count() as f64 / part.len().max(1) as f64
    };
    let shares: Vec<f64> = (0..BATCHES).map(share).collect();
    crate::measure::stats::mean_sd(&shares).1 / (BATCHES as f64).sqrt()
}

/// Returns the `q`-quantile of independent samples and an interval that holds the truth with at least
/// probability `level`, whatever their distribution (order statistics; David and Nagaraja 2003, section 7.1).
/// It is `None` where they are too few, or one is NaN.
pub fn independent_quantile(samples: &[f64], q: f64, level: f64) -> Option<(f64, [f64; 2])> {
    let n = samples.len();
    if samples.iter().any(|x| x.is_nan()) {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    // X_(r) > truth exactly where fewer than r samples are at or below it.
    let low = (1..=n).rev().find(|&r| binomial_cdf(r - 1, n, q) <= tail)?;
    let high = (1..=n).find(|&s| 1.0 - binomial_cdf(s - 1, n, q) <= tail)?;
    Some((percentile(&sorted, q), [*sorted.get(low - 1)?, *sorted.get(high - 1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quantile_and_the_edges() {
        let samples: Vec<f64> = (0..1000).map(|i| f64::from(i * 7919 % 1000)).collect();
        let ci = quantiles_ci95(&samples, &[0.5, 0.9, 0.99]);
        for (ci, truth) in ci.iter().zip([500.0, 900.0, 990.0]) {
            let [low, high] = ci.unwrap();
            assert!(low <= truth && truth <= high && high - low < 120.0, "{low} {high} for {truth}");
        }
        assert_eq!(quantiles_ci95(&[2.0; 40], &[0.5]), [Some([2.0, 2.0])]);
        // Of 100 samples none need lie beyond the 99th percentile.
        assert_eq!(quantiles_ci95(&samples[..100], &[0.99]), [None]);
        assert_eq!(quantiles_ci95(&[2.0; 19], &[0.5]), [None]);
        assert_eq!(quantiles_ci95(&[f64::NAN; 40], &[0.5]), [None]);
    }

    /// Of 28 and q = 0.25, SciPy: P(B <= 2) = 0.0166, P(B <= 3) = 0.0551, P(B >= 11) = 0.0679, P(B >= 12) = 0.0294.
    #[test]
    fn ranks_by_the_binomial() {
        let samples: Vec<f64> = (1..=28).map(f64::from).collect();
        let (estimate, [low, high]) = independent_quantile(&samples, 0.25, 0.9).unwrap();
        assert_eq!((estimate, low, high), (7.75, 3.0, 12.0));
        assert!(independent_quantile(&samples[..5], 0.25, 0.9).is_none());
        assert!(independent_quantile(&[f64::NAN; 28], 0.25, 0.9).is_none());
    }
}
