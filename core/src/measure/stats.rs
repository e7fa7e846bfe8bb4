//! The statistics of reports: percentiles, spread, confidence intervals.

use crate::measure::distributions::{t_cdf, t_quantile};
use serde::{Deserialize, Serialize};

/// This is the two-sided 95 % quantile of the normal distribution.
pub const Z95: f64 = 1.959_963_984_540_054;

/// This says what a set of samples looks like; the unit is the samples'.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// How many.
    pub n: usize,
    /// Smallest.
    pub min: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
    /// Sample standard deviation (n - 1).
    pub sd: f64,
}

impl Summary {
    /// Sums up at least one sample; it is `None` of none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let p = |q| percentile(&sorted, q);
        let (mean, sd) = mean_sd(samples);
        Some(Self { n: samples.len(), min, mean, p50: p(0.5), p90: p(0.9), p99: p(0.99), max, sd })
    }
}

/// Returns quantile `q` in 0..=1 of ascending samples, linear between neighbours (numpy's default); of no
/// samples it is NaN.
pub fn percentile(sorted: &[f64], q: f64) -> f64 {
    let at = q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let low = at.floor() as usize;
    match (sorted.get(low), sorted.get(low + 1)) {
        (Some(a), Some(b)) => a + (b - a) * at.fract(),
        (Some(a), None) => *a,
        _ => f64::NAN,
    }
}

/// Returns the mean and the sample standard deviation (0 for one sample). The mean of none is NaN.
pub fn mean_sd(samples: &[f64]) -> (f64, f64) {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let squares: f64 = samples.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, if samples.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
}

/// Returns the mean and half the width of its 95 % confidence interval (Student's t, exact for normal samples);
/// `None` below two samples.
pub fn mean_ci95(samples: &[f64]) -> Option<(f64, f64)> {
    let df = samples.len().checked_sub(1).filter(|&df| df > 0)?;
    let (mean, sd) = mean_sd(samples);
    Some((mean, t_quantile(0.975, df as f64) * sd / (samples.len() as f64).sqrt()))
}

/// Returns the difference of two means, b - a, and half the width of its 95 % interval, whatever the two
/// variances. This is Student's t with the degrees of freedom of the smaller side (Hsu 1938): for normal
/// samples it holds the truth at least so often, which Welch's approximate degrees of freedom do not promise
/// for a few samples. It is `None` below two samples a side.
pub fn difference_ci95(a: &[f64], b: &[f64]) -> Option<(f64, f64)> {
    let df = a.len().min(b.len()).checked_sub(1).filter(|&df| df > 0)?;
    let ((mean_a, sd_a), (mean_b, sd_b)) = (mean_sd(a), mean_sd(b));
    let variance = sd_a * sd_a / a.len() as f64 + sd_b * sd_b / b.len() as f64;
    Some((mean_b - mean_a, t_quantile(0.975, df as f64) * variance.sqrt()))
}

/// Returns the minimum detectable effect of a mean at this spread: about what it would have to be for a
/// two-sided 5 % t-test to find it with 80 % power, (t_0.975 + t_0.80) sd / sqrt(n). It is `None` below two
/// samples.
pub fn detectable(samples: &[f64]) -> Option<f64> {
    let df = samples.len().checked_sub(1).filter(|&df| df > 0)? as f64;
    let t = t_quantile(0.975, df) + t_quantile(0.8, df);
    Some(t * mean_sd(samples).1 / (samples.len() as f64).sqrt())
}

/// Returns how often a mean at least so far from 0 would come of samples whose true mean is 0: the two-sided
/// t-test. It is `None` below two samples, and where all are equal.
pub fn t_test(samples: &[f64]) -> Option<f64> {
    let df = samples.len().checked_sub(1).filter(|&df| df > 0)?;
    let (mean, sd) = mean_sd(samples);
    let p = 2.0 * t_cdf(-(mean / sd).abs() * (samples.len() as f64).sqrt(), df as f64);
    (sd > 0.0 && p.is_finite()).then_some(p)
}

/// Corrects the p-values of several tests for being several (Holm 1979), in the order given: calling what is
/// below 5 % a difference is wrong in at most 5 of 100 whole tables, whatever the tests have in common. A NaN
/// stays one and is not counted.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&i| p.get(i).is_some_and(|p| !p.is_nan())).collect();
    let value = |i: usize| p.get(i).copied().unwrap_or(f64::NAN);
    order.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
    let (mut corrected, mut largest) = (vec![f64::NAN; p.len()], 0.0f64);
    for (rank, &i) in order.iter().enumerate() {
        largest = largest.max(((order.len() - rank) as f64 * value(i)).min(1.0));
        if let Some(slot) = corrected.get_mut(i) {
            *slot = largest;
        }
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::statistics_peer::{Differences, rows};

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-3
    }

    #[test]
    fn percentiles_as_numpy() {
        let s = Summary::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((s.n, s.min, s.p50, s.max, s.mean), (4, 1.0, 2.5, 4.0, 2.5));
        assert!(near(s.p90, 3.7) && near(s.p99, 3.97) && near(s.sd, 1.291), "{s:?}");
        assert_eq!(Summary::of(&[7.0]).unwrap().p99, 7.0);
        assert!(Summary::of(&[]).is_none());
    }

    #[test]
    fn means_as_scipy() {
        let mut found = Differences::default();
        for row in rows("t_test") {
            let (x, [p, low, high]) = row.split_last_chunk::<3>().unwrap();
            let (mean, half) = mean_ci95(x).unwrap();
            found.check(&format!("{row:?} low"), mean - half, *low, 1e-7);
            found.check(&format!("{row:?} high"), mean + half, *high, 1e-7);
            found.check(&format!("{row:?} p"), t_test(x).unwrap(), *p, 1e-8);
        }
        found.none();
        assert!(mean_ci95(&[1.0]).is_none() && t_test(&[1.0]).is_none() && t_test(&[1.0, 1.0]).is_none());
    }

    /// Of [1, 2, 3] and [2, 4, 6, 8]: difference 3, variance 1/3 + 5/3, 2 degrees of freedom.
    #[test]
    fn differences_by_hand() {
        let (difference, half) = difference_ci95(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0, 8.0]).unwrap();
        assert!(near(difference, 3.0) && near(half, 4.3027 * 2f64.sqrt()), "{difference} {half}");
        assert!(difference_ci95(&[1.0], &[2.0, 3.0]).is_none());
        assert_eq!(difference_ci95(&[1.0, 1.0], &[1.0, 1.0]), Some((0.0, 0.0)));
    }

    #[test]
    fn what_could_be_found() {
        let effect = detectable(&[1.0, 2.0, 3.0]).unwrap();
        assert!(near(effect, (4.3027 + 1.0607) / 3f64.sqrt()), "{effect}");
        // Beyond 30 degrees of freedom t goes on falling: 2.0195 for 41.
        let many: Vec<f64> = (0..42).map(|i| f64::from(i % 2)).collect();
        let (_, half) = mean_ci95(&many).unwrap();
        assert!(near(half, 2.0195 * mean_sd(&many).1 / 42f64.sqrt()), "{half}");
    }

    /// R: `p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")` is 0.03 0.06 0.06 0.02.
    #[test]
    fn holm_as_in_r() {
        let corrected = holm(&[0.01, 0.04, f64::NAN, 0.03, 0.005]);
        for (found, wanted) in corrected.iter().zip([0.03, 0.06, f64::NAN, 0.06, 0.02]) {
            assert!(near(*found, wanted) || (found.is_nan() && wanted.is_nan()), "{corrected:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
