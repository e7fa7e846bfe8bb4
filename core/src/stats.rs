//! The statistics of reports: percentiles, spread, confidence intervals.

use serde::{Deserialize, Serialize};

/// Two-sided 95 % quantile of the normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
const T95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// What a set of samples looks like; the unit is the samples'.
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
    /// Of at least one sample.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let p = |q| percentile(&sorted, q);
        let (mean, sd) = mean_sd(samples);
        Some(Self { n: samples.len(), min, mean, p50: p(0.5), p90: p(0.9), p99: p(0.99), max, sd })
    }
}

/// Quantile `q` in 0..=1 of ascending samples, linear between neighbours (numpy's default); NaN of none.
pub fn percentile(sorted: &[f64], q: f64) -> f64 {
    let at = q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let low = at.floor() as usize;
    match (sorted.get(low), sorted.get(low + 1)) {
        (Some(a), Some(b)) => a + (b - a) * at.fract(),
        (Some(a), None) => *a,
        _ => f64::NAN,
    }
}

/// Mean and sample standard deviation (0 for one sample; NaN mean of none).
pub fn mean_sd(samples: &[f64]) -> (f64, f64) {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let squares: f64 = samples.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, if samples.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
}

/// Mean and half the width of its 95 % confidence interval (Student's t); `None` below two samples.
pub fn mean_ci95(samples: &[f64]) -> Option<(f64, f64)> {
    let df = samples.len().checked_sub(1).filter(|&df| df > 0)?;
    let t = T95.get(df - 1).copied().unwrap_or(Z95);
    let (mean, sd) = mean_sd(samples);
    Some((mean, t * sd / (samples.len() as f64).sqrt()))
}

/// Difference of two means, b - a, and half the width of its 95 % interval (Welch 1947, degrees of freedom
/// rounded down); `None` below two samples a side.
pub fn welch_ci95(a: &[f64], b: &[f64]) -> Option<(f64, f64)> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let ((mean_a, sd_a), (mean_b, sd_b)) = (mean_sd(a), mean_sd(b));
    let (va, vb) = (sd_a * sd_a / a.len() as f64, sd_b * sd_b / b.len() as f64);
    let within = va * va / (a.len() - 1) as f64 + vb * vb / (b.len() - 1) as f64;
    let df = if within > 0.0 { (va + vb).powi(2) / within } else { (a.len() + b.len() - 2) as f64 };
    let t = T95.get((df as usize).max(1) - 1).copied().unwrap_or(Z95);
    Some((mean_b - mean_a, t * (va + vb).sqrt()))
}

/// One-sided 80 % quantiles of Student's t for 1 to 30 degrees of freedom.
const T80: [f64; 30] = [
    1.376, 1.061, 0.978, 0.941, 0.920, 0.906, 0.896, 0.889, 0.883, 0.879, 0.876, 0.873, 0.870, 0.868, 0.866,
    0.865, 0.863, 0.862, 0.861, 0.860, 0.859, 0.858, 0.858, 0.857, 0.856, 0.856, 0.855, 0.855, 0.854, 0.854,
];

/// The minimum detectable effect of a mean at this spread: what it would have to be for a two-sided 5 %
/// t-test to find it with 80 % power, (t_0.975 + t_0.80) sd / sqrt(n). `None` below two samples.
pub fn detectable(samples: &[f64]) -> Option<f64> {
    let df = samples.len().checked_sub(1).filter(|&df| df > 0)?;
    let t = T95.get(df - 1).copied().unwrap_or(Z95) + T80.get(df - 1).copied().unwrap_or(0.842);
    Some(t * mean_sd(samples).1 / (samples.len() as f64).sqrt())
}

/// 95 % confidence interval of a share, `hits` of `n` (Wilson 1927): right also near 0 and 1.
pub fn wilson95(hits: usize, n: usize) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (p, n) = (hits as f64 / n as f64, n as f64);
    let z2 = Z95 * Z95;
    let centre = p + z2 / (2.0 * n);
    let half = Z95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    [(centre - half) / (1.0 + z2 / n), (centre + half) / (1.0 + z2 / n)].map(|x| x.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Wilson's interval for 9 of 10, as statsmodels `proportion_confint(9, 10, method="wilson")`.
    #[test]
    fn wilson_by_the_book() {
        let [low, high] = wilson95(9, 10);
        assert!(near(low, 0.5958) && near(high, 0.9821), "{low} {high}");
        assert_eq!(wilson95(0, 0), [0.0, 1.0]);
        assert!(near(wilson95(10, 10)[1], 1.0) && wilson95(10, 10)[1] <= 1.0);
    }

    /// Of [1, 2, 3] and [2, 4, 6, 8]: difference 3, variance 1/3 + 5/3, 4.08 degrees of freedom, so t of 4.
    #[test]
    fn welch_by_hand() {
        let (difference, half) = welch_ci95(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0, 8.0]).unwrap();
        assert!(near(difference, 3.0) && near(half, 2.776 * 2f64.sqrt()), "{difference} {half}");
        assert!(welch_ci95(&[1.0], &[2.0, 3.0]).is_none());
        assert_eq!(welch_ci95(&[1.0, 1.0], &[1.0, 1.0]), Some((0.0, 0.0)));
    }

    #[test]
    fn t_interval_of_three() {
        let (mean, half) = mean_ci95(&[1.0, 2.0, 3.0]).unwrap();
        assert!(near(mean, 2.0) && near(half, 4.303 / 3f64.sqrt()));
        assert!(mean_ci95(&[1.0]).is_none());
        let effect = detectable(&[1.0, 2.0, 3.0]).unwrap();
        assert!(near(effect, (4.303 + 1.061) / 3f64.sqrt()), "{effect}");
    }
}
