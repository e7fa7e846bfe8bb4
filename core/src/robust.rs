//! Robust statistics: locations, spreads and trends that a few disturbed samples cannot move.

use crate::stats::percentile;

/// Scales a median absolute deviation to the standard deviation of a normal distribution.
pub const MAD_TO_SD: f64 = 1.4826;

/// Median; NaN of none.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 0.5)
}

/// Median absolute deviation from the median; NaN of none.
pub fn mad(samples: &[f64]) -> f64 {
    let centre = median(samples);
    median(&samples.iter().map(|x| (x - centre).abs()).collect::<Vec<_>>())
}

/// Mean of the middle half: for values in coarse steps (whole microseconds), where a median would lose
/// the fraction and a mean follow every interruption. NaN of none.
pub fn midmean(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    let middle = sorted.get(cut..sorted.len() - cut).unwrap_or_default();
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// A location with its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// The Hodges-Lehmann estimate.
    pub estimate: f64,
    /// At least 95 % confidence, distribution-free (for symmetric distributions).
    pub ci95: [f64; 2],
}

/// Samples below which no signed-rank interval reaches 95 %.
pub const MIN_SIGNED_RANK: usize = 6;
/// Samples up to which the exact distribution is used.
const MAX_EXACT: usize = 100;

/// Hodges-Lehmann location and the interval of the Wilcoxon signed-rank test inverted (Hollander, Wolfe
/// and Chicken 2014, section 3.2 and 3.3): order statistics of the averages of all pairs. `None` below
/// [`MIN_SIGNED_RANK`] samples.
pub fn hodges_lehmann(samples: &[f64]) -> Option<Location> {
    let n = samples.len();
    if n < MIN_SIGNED_RANK {
        return None;
    }
    let mut walsh = Vec::with_capacity(n * (n + 1) / 2);
    for (i, a) in samples.iter().enumerate() {
        walsh.extend(samples.iter().skip(i).map(|b| (a + b) / 2.0));
    }
    walsh.sort_by(f64::total_cmp);
    let k = signed_rank_cut(n);
    let (low, high) = (walsh.get(k)?, walsh.get(walsh.len() - 1 - k)?);
    Some(Location { estimate: percentile(&walsh, 0.5), ci95: [*low, *high] })
}

/// The largest k with P(T+ <= k - 1) <= 2.5 %: how many of the smallest and of the largest averages lie
/// outside the interval.
fn signed_rank_cut(n: usize) -> usize {
    if n > MAX_EXACT {
        let mean = n as f64 * (n as f64 + 1.0) / 4.0;
        let sd = (mean * (2.0 * n as f64 + 1.0) / 6.0).sqrt();
        return (mean - 1.959_963_984_540_054 * sd).floor().max(0.0) as usize;
    }
    // P(T+ = t): rank r is in the sum or not, each with probability 1/2.
    let top = n * (n + 1) / 2;
    let mut p = vec![0.0; top + 1];
    p[0] = 1.0;
    for r in 1..=n {
        for t in (0..=top).rev() {
            p[t] = 0.5 * (p[t] + if t >= r { p[t - r] } else { 0.0 });
        }
    }
    let mut below = 0.0;
    let outside = p.iter().take_while(|p| {
        below += **p;
        below <= 0.025
    });
    outside.count()
}

/// A trend over equally spaced values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Theil-Sen slope (Sen 1968), per step.
    pub slope: f64,
    /// Kendall's tau of value against time: 1 rising throughout, -1 falling.
    pub tau: f64,
}

/// Trend of a short series (quadratic in its length); `None` below four values.
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
    use crate::rng::Rng;

    /// Critical values of the signed-rank table (two-sided 5 %): n = 6: 0, 10: 8, 20: 52, so one more
    /// average than the value lies outside on each side.
    #[test]
    fn cuts_as_in_the_table() {
        assert_eq!([6, 10, 20, 30].map(signed_rank_cut), [1, 9, 53, 138]);
        assert!(signed_rank_cut(101).abs_diff(signed_rank_cut(100)) < 60, "normal tail joins the exact one");
    }

    #[test]
    fn location_by_hand_and_against_outliers() {
        let mut x: Vec<f64> = (1..=11).map(f64::from).collect();
        let l = hodges_lehmann(&x).unwrap();
        assert_eq!(l.estimate, 6.0);
        assert!(l.ci95[0] > 3.0 && l.ci95[1] < 9.0, "{l:?}");
        x[10] = 1e9;
        assert!(hodges_lehmann(&x).unwrap().estimate < 7.0);
        assert!(hodges_lehmann(&x[..5]).is_none());
        assert_eq!((midmean(&[0.0, 1.0, 2.0, 99.0]), midmean(&[5.0])), (1.5, 5.0));
        assert_eq!((median(&x), mad(&[1.0, 1.0, 2.0, 2.0, 4.0, 6.0, 9.0])), (6.0, 1.0));
    }

    /// 95 % intervals hold the truth in at least 95 of 100 cases, for 12 normal values: 4 sigma below
    /// 0.95 of 1000 is 922.
    #[test]
    fn intervals_hold_what_they_promise() {
        let holds = |i: u64| {
            let mut rng = Rng::new(1, "hodges_lehmann", i);
            let x: Vec<f64> = (0..12).map(|_| rng.normal()).collect();
            let l = hodges_lehmann(&x).unwrap();
            l.ci95[0] <= 0.0 && 0.0 <= l.ci95[1]
        };
        let held = (0..1000).filter(|i| holds(*i)).count();
        assert!((922..=990).contains(&held), "{held} of 1000");
    }

    #[test]
    fn trends() {
        let t = trend(&[1.0, 2.0, 3.0, 100.0, 5.0]).unwrap();
        assert!(t.slope >= 1.0 && t.slope < 2.0 && t.tau > 0.7, "{t:?}");
        assert_eq!(trend(&[2.0; 9]).unwrap(), Trend { slope: 0.0, tau: 0.0 });
        assert!(trend(&[1.0, 2.0]).is_none());
    }
}
