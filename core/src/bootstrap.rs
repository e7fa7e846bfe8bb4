//! Confidence intervals of percentiles by a block bootstrap: samples taken one after another are not
//! independent (clock, cache, neighbours), so whole stretches of time are drawn, not single samples
//! (Kuensch 1989).

use crate::rng::Rng;
use crate::stats::percentile;

/// Samples used at most: beyond, every k-th.
const MAX_SAMPLES: usize = 20_000;
const MAX_BLOCKS: usize = 100;
const RESAMPLES: u64 = 1000;

/// 95 % interval of each of `quantiles` (ascending, 0 to 1) of samples in the order they were taken.
/// Deterministic. NaN below two samples.
pub fn percentiles_ci95(samples: &[f64], quantiles: &[f64]) -> Vec<[f64; 2]> {
    let every = samples.len().div_ceil(MAX_SAMPLES).max(1);
    let thin: Vec<f64> = samples.iter().copied().step_by(every).collect();
    if thin.len() < 2 {
        return vec![[f64::NAN; 2]; quantiles.len()];
    }
    // At least n^(1/3) long (the order at which a block bootstrap converges), at most MAX_BLOCKS of them.
    let length = (thin.len() as f64).cbrt().ceil().max(thin.len() as f64 / MAX_BLOCKS as f64).ceil() as usize;
    let blocks = thin.len().div_ceil(length);
    let sizes: Vec<usize> = thin.chunks(length).map(<[f64]>::len).collect();
    let mut order: Vec<(f64, usize)> = thin.iter().enumerate().map(|(i, x)| (*x, i / length)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut found: Vec<Vec<f64>> = vec![Vec::with_capacity(RESAMPLES as usize); quantiles.len()];
    for step in 0..RESAMPLES {
        let mut rng = Rng::new(0, "bootstrap", step);
        let mut times = vec![0usize; blocks];
        let mut total = 0;
        for _ in 0..blocks {
            let block = rng.below(blocks as u64) as usize;
            times[block] += 1;
            total += sizes[block];
        }
        let mut wanted = quantiles.iter().map(|q| (q * total.saturating_sub(1) as f64) as usize).peekable();
        let mut seen = 0;
        let mut which = 0;
        for (value, block) in &order {
            seen += times[*block];
            while wanted.next_if(|rank| *rank < seen).is_some() {
                found[which].push(*value);
                which += 1;
            }
            if which == quantiles.len() {
                break;
            }
        }
    }
    let interval = |mut draws: Vec<f64>| {
        draws.sort_by(f64::total_cmp);
        [percentile(&draws, 0.025), percentile(&draws, 0.975)]
    };
    found.into_iter().map(interval).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 200 autocorrelated series (AR(1), 0.8) the median's interval holds the true median in at least
    /// 85 %: a bootstrap of single samples manages about 50 %.
    #[test]
    fn holds_for_dependent_samples() {
        let mut held = 0;
        for trial in 0..200 {
            let mut rng = Rng::new(7, "bootstrap-test", trial);
            let mut x = 0.0;
            let samples: Vec<f64> = (0..2000)
                .map(|_| {
                    x = 0.8 * x + rng.normal();
                    x
                })
                .collect();
            let [[low, high]] = percentiles_ci95(&samples, &[0.5])[..] else { unreachable!() };
            held += usize::from(low <= 0.0 && 0.0 <= high);
        }
        assert!((170..=200).contains(&held), "{held} of 200");
    }

    #[test]
    fn every_quantile_and_the_edges() {
        let samples: Vec<f64> = (0..1000).map(|i| f64::from(i * 7919 % 1000)).collect();
        let ci = percentiles_ci95(&samples, &[0.5, 0.9, 0.99]);
        for ([low, high], truth) in ci.iter().zip([500.0, 900.0, 990.0]) {
            assert!(low <= &truth && truth <= *high && high - low < 120.0, "{low} {high} for {truth}");
        }
        assert_eq!(percentiles_ci95(&[2.0, 2.0], &[0.5]), [[2.0, 2.0]]);
        assert!(percentiles_ci95(&[1.0], &[0.5])[0][0].is_nan());
        assert_eq!(ci, percentiles_ci95(&samples, &[0.5, 0.9, 0.99]), "deterministic");
    }
}
