//! Intervals of shares: of images that are classified rightly, and of what one model loses beside another
//! on the same images.

use crate::measure::distributions::clopper_pearson;
use crate::measure::stats::Z95;

/// Returns the 95 % confidence interval of a share, `hits` of `n` (Clopper and Pearson 1934). It holds the
/// truth at least so often for every share and every `n`; near 0 and 1 and for few images more often than that.
pub fn share_ci95(hits: usize, n: usize) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    clopper_pearson(hits, n, 0.025)
}

/// Compares two models on the same `n` images: returns how many more of them the first has right, as a share,
/// and its 95 % interval (Bonett and Price 2012). `only_first` and `only_second` count the images that only
/// that one has right.
pub fn paired_share_ci95(only_first: usize, only_second: usize, n: usize) -> (f64, [f64; 2]) {
    if n == 0 {
        return (0.0, [-1.0, 1.0]);
    }
    let (b, c, n) = (only_first as f64, only_second as f64, n as f64);
    let (first, second) = ((b + 1.0) / (n + 2.0), (c + 1.0) / (n + 2.0));
    let centre = first - second;
    let half = Z95 * ((first + second - centre * centre) / (n + 2.0)).sqrt();
    ((b - c) / n, [(centre - half).max(-1.0), (centre + half).min(1.0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) -> bool {
        (a - b).abs() < tolerance
    }

    /// 9 of 10, as statsmodels `proportion_confint(9, 10, method="beta")`.
    #[test]
    fn shares_by_the_book() {
        let [low, high] = share_ci95(9, 10);
        assert!(near(low, 0.554_984, 1e-6) && near(high, 0.997_471, 1e-6), "{low} {high}");
        assert_eq!(share_ci95(0, 0), [0.0, 1.0]);
        assert_eq!((share_ci95(10, 10)[1], share_ci95(0, 10)[0]), (1.0, 0.0));
        // The rule of three, exactly: 1 - 0.025^(1/n).
        assert!(near(share_ci95(0, 100)[1], 1.0 - 0.025f64.powf(0.01), 1e-12));
    }

    #[test]
    fn pairs_by_hand() {
        // (5 + 1) / 102 - (1 + 1) / 102 = 4 / 102; half: 1.96 sqrt((8 / 102 - (4 / 102)^2) / 102).
        let (loss, [low, high]) = paired_share_ci95(5, 1, 100);
        let half = Z95 * ((8.0 / 102.0 - (4.0f64 / 102.0).powi(2)) / 102.0).sqrt();
        assert!(near(loss, 0.04, 1e-12));
        assert!(near(low, 4.0 / 102.0 - half, 1e-12) && near(high, 4.0 / 102.0 + half, 1e-12));
        assert_eq!(paired_share_ci95(0, 0, 0), (0.0, [-1.0, 1.0]));
    }
}
