//! Robust statistics: locations, spreads and trends that a few disturbed samples cannot move.

use crate::measure::distributions::t_quantile;
use crate::measure::stats::percentile;

/// Scales a median absolute deviation to the standard deviation of a normal distribution.
pub const MAD_TO_SD: f64 = 1.4826;

/// Returns the median; of no samples it is NaN.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 0.5)
}

/// Returns the median absolute deviation from the median; of no samples it is NaN.
pub fn mad(samples: &[f64]) -> f64 {
    let centre = median(samples);
    median(&samples.iter().map(|x| (x - centre).abs()).collect::<Vec<_>>())
}

/// Returns the mean of the middle half: this is for values in coarse steps (whole microseconds), where a median
/// would lose the fraction and a mean follow every interruption. Of no samples it is NaN.
pub fn midmean(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    let middle = sorted.get(cut..sorted.len() - cut).unwrap_or_default();
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// This is a location with its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// The Hodges-Lehmann estimate.
    pub estimate: f64,
    /// At least 95 % confidence, distribution-free (for symmetric distributions).
    pub ci95: [f64; 2],
}

/// Below so many samples no signed-rank interval reaches 95 %.
pub const MIN_SIGNED_RANK: usize = 6;
/// Samples up to which the exact distribution is used: 2^-1000 is still a normal number.
const MAX_EXACT: usize = 1000;

/// Returns the Hodges-Lehmann location and the interval of the Wilcoxon signed-rank test inverted (Hollander,
/// Wolfe and Chicken 2014, section 3.2 and 3.3): order statistics of the averages of all pairs. It is `None`
/// below [`MIN_SIGNED_RANK`] samples, and where one is not finite.
pub fn hodges_lehmann(samples: &[f64]) -> Option<Location> {
    hodges_lehmann_at_looks(samples, 1)
}

/// Does what [`hodges_lehmann`] does for samples that are looked at up to `looks` times while they come in, to
/// stop where enough is known. All looks' intervals together hold the truth with at least 95 % confidence
/// (Bonferroni), so that the one which is stopped at does. It is `None` also for samples too few for that.
pub fn hodges_lehmann_at_looks(samples: &[f64], looks: usize) -> Option<Location> {
    let n = samples.len();
    if n < MIN_SIGNED_RANK || !samples.iter().all(|x| x.is_finite()) {
        return None;
    }
    let mut walsh = Vec::with_capacity(n * (n + 1) / 2);
    for (i, a) in samples.iter().enumerate() {
        walsh.extend(samples.iter().skip(i).map(|b| (a + b) / 2.0));
    }
    walsh.sort_by(f64::total_cmp);
    // The k-th smallest and the k-th largest, counted from 1.
    let k = signed_rank_cut(n, 0.025 / looks as f64);
    let (low, high) = (walsh.get(k.checked_sub(1)?)?, walsh.get(walsh.len().checked_sub(k)?)?);
    Some(Location { estimate: percentile(&walsh, 0.5), ci95: [*low, *high] })
}

/// The largest k with P(T+ <= k - 1) <= `tail`: the interval goes from the k-th smallest average to the k-th
/// largest. The truth lies below the k-th smallest exactly where T+ is k - 1 or less.
fn signed_rank_cut(n: usize, tail: f64) -> usize {
    let top = n * (n + 1) / 2;
    if n > MAX_EXACT {
        // Half a rank for continuity, one for what the normal distribution is off by.
        let mean = top as f64 / 2.0;
        let sd = (mean * (2.0 * n as f64 + 1.0) / 6.0).sqrt();
        let z = t_quantile(1.0 - tail, f64::INFINITY);
        return (mean - 1.5 - z * sd).floor().max(0.0) as usize;
    }
    // P(T+ = t) up to the middle: rank r is in the sum or not, each with probability 1/2.
    let half = top / 2;
    let mut p = vec![0.0; half + 1];
    p[0] = 1.0;
    for r in 1..=n {
        // Sums of ranks up to r reach no further.
        for t in (0..=half.min(r * (r + 1) / 2)).rev() {
            p[t] = 0.5 * (p[t] + if t >= r { p[t - r] } else { 0.0 });
        }
    }
    let mut below = 0.0;
    let outside = p.iter().take_while(|p| {
        below += **p;
        below <= tail
    });
    outside.count()
}

/// This is a trend over equally spaced values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Theil-Sen slope (Sen 1968), per step.
    pub slope: f64,
    /// Kendall's tau of value against time: 1 rising throughout, -1 falling.
    pub tau: f64,
}

/// Returns the trend of a short series (it takes time quadratic in its length); `None` below four values.
pub fn trend(values: &[f64]) -> Option<Trend> {
    if values.len() < 4 {
        return None;
    }
    let mut slopes = Vec::new();
    for (i, a) in values.iter().enumerate() {
        slopes.extend(values.iter().enumerate().skip(i + 1).map(|(j, b)| (b - a) / (j - i) as f64));
    }
    let signs: f64 = slopes.iter().map(|s| if *s == 0.0 { 0.0 } else { s.signum() }).sum();
    Some(Trend { slope: median(&slopes), tau: signs / slopes.len() as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::statistics_peer::{Differences, rows};
    use crate::measure::stats::Z95;

    /// Critical values of the signed-rank table (two-sided 5 %): n = 6: 0, 10: 8, 20: 52, 30: 137. P(T+ <=
    /// value) is at most 2.5 %, so the interval begins at the average after it, counted from 1.
    #[test]
    fn cuts_as_in_the_table() {
        assert_eq!([6, 10, 20, 30].map(|n| signed_rank_cut(n, 0.025)), [1, 9, 53, 138]);
        // The normal tail joins the exact one from the safe side.
        let mean = 300.0 * 301.0 / 4.0;
        let normal = mean - Z95 * (mean * 601.0f64 / 6.0).sqrt();
        let exact = signed_rank_cut(300, 0.025) as f64;
        assert!((normal - exact).abs() < 3.0, "{normal} {exact}");
    }

    /// The interval holds the truth exactly where neither T+ nor T- is below its cut: all 2^n signs counted.
    #[test]
    fn coverage_is_that_of_the_enumeration() {
        for n in 6..=14u32 {
            let cut = signed_rank_cut(n as usize, 0.025) as u32;
            let top = n * (n + 1) / 2;
            let sum = |signs: u32| (0..n).map(|i| (signs >> i & 1) * (i + 1)).sum::<u32>();
            // By the samples themselves: |x| = 1, 2, 4, ... has ranks 1, 2, 3, ..., and the truth is 0.
            let held = |signs: u32| {
                let x: Vec<f64> = (0..n)
                    .map(|i| f64::from(1u32 << i) * if signs >> i & 1 == 1 { 1.0 } else { -1.0 })
                    .collect();
                let [low, high] = hodges_lehmann(&x).unwrap().ci95;
                low <= 0.0 && 0.0 <= high
            };
            let inside = |signs: u32| (cut..=top - cut).contains(&sum(signs));
            let by_rank = (0..1u32 << n).filter(|&s| inside(s)).count();
            if n <= 10 {
                assert_eq!((0..1u32 << n).filter(|&s| held(s)).count(), by_rank, "n = {n}");
            }
            let share = by_rank as f64 / f64::from(1u32 << n);
            assert!(share >= 0.95, "n = {n}: {share}");
            // One average further in would be too narrow: what the cut was before.
            let narrower = (0..1u32 << n).filter(|&s| (cut + 1..top - cut).contains(&sum(s))).count();
            assert!((narrower as f64) < 0.95 * f64::from(1u32 << n), "n = {n}");
        }
    }

    /// Two-sided 1.25 % of the table for a fourth of 5 %: more looks, wider intervals.
    #[test]
    fn looks_share_what_may_be_missed() {
        let x: Vec<f64> = (0..30).map(|i| f64::from(i * i % 31)).collect();
        let of = |looks| hodges_lehmann_at_looks(&x, looks).unwrap();
        assert_eq!(of(1), hodges_lehmann(&x).unwrap());
        let ([low, high], [lower, higher]) = (of(1).ci95, of(4).ci95);
        assert!(lower < low && high < higher && of(1).estimate == of(4).estimate);
        assert!(signed_rank_cut(30, 0.025 / 4.0) < 138 && hodges_lehmann_at_looks(&x[..6], 4).is_none());
        // Beyond the exact distribution one sample more moves the cut as far as before: by half of its rank, less the spread's.
        for looks in 1..=5 {
            let tail = 0.025 / f64::from(looks);
            let step = signed_rank_cut(MAX_EXACT + 1, tail) - signed_rank_cut(MAX_EXACT, tail);
            assert!((440..=500).contains(&step), "{looks}: {step}");
        }
    }

    #[test]
    fn intervals_as_scipy() {
        let mut found = Differences::default();
        for row in rows("signed_rank") {
            let (x, [centre, low, high]) = row.split_last_chunk::<3>().unwrap();
            let l = hodges_lehmann(x).unwrap();
            for (what, a, b) in
                [("centre", l.estimate, centre), ("low", l.ci95[0], low), ("high", l.ci95[1], high)]
            {
                found.check(&format!("n = {}, {what}", x.len()), a, *b, 1e-12);
            }
        }
        found.none();
    }

    #[test]
    fn location_by_hand_and_against_outliers() {
        let mut x: Vec<f64> = (1..=11).map(f64::from).collect();
        let l = hodges_lehmann(&x).unwrap();
        assert_eq!((l.estimate, l.ci95), (6.0, [3.5, 8.5]));
        // Six samples: from the smallest to the largest.
        assert_eq!(hodges_lehmann(&x[..6]).unwrap().ci95, [1.0, 6.0]);
        x[10] = 1e9;
        assert!(hodges_lehmann(&x).unwrap().estimate < 7.0);
        assert!(hodges_lehmann(&x[..5]).is_none());
        for bad in [f64::NAN, f64::INFINITY] {
            x[10] = bad;
            assert!(hodges_lehmann(&x).is_none());
        }
        assert_eq!((midmean(&[0.0, 1.0, 2.0, 99.0]), midmean(&[5.0])), (1.5, 5.0));
        assert_eq!(mad(&[1.0, 1.0, 2.0, 2.0, 4.0, 6.0, 9.0]), 1.0);
    }

    #[test]
    fn trends() {
        let t = trend(&[1.0, 2.0, 3.0, 100.0, 5.0]).unwrap();
        assert!(t.slope >= 1.0 && t.slope < 2.0 && t.tau > 0.7, "{t:?}");
        assert_eq!(trend(&[2.0; 9]).unwrap(), Trend { slope: 0.0, tau: 0.0 });
        assert!(trend(&[1.0, 2.0]).is_none());
    }
}
