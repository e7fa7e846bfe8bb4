//! Overhead and scale, fitted robustly on whole networks, and a band for the next network by the jackknife+
//! (Barber, Candes, Ramdas and Tibshirani 2021): each network in turn is left out, and the line through the
//! others says how far off it would have been.

use crate::measure::stats::percentile;

/// Huber's constant: 95 % efficient for normal errors.
const HUBER: f64 = 1.345;

/// This is the line measured = overhead + scale * sum of the operators, in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Microseconds per inference that belong to no operator.
    pub overhead: f64,
    /// What the sum of the operators is multiplied by.
    pub scale: f64,
    left_out: Vec<LeftOut>,
}

/// The line through all networks but one.
#[derive(Debug, Clone, PartialEq)]
struct LeftOut {
    overhead: f64,
    scale: f64,
    /// ln(predicted / measured) of the one left out.
    error: f64,
}

impl Line {
    /// Fits a line through points of (sum of the operators, measured), both finite and measured above 0.
    /// Returns `None` where no line with positive predictions comes of them.
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let sane = |&(x, y): &(f64, f64)| x.is_finite() && x >= 0.0 && y.is_finite() && y > 0.0;
        if points.len() < 2 || !points.iter().all(sane) {
            return None;
        }
        let (overhead, scale) = through(points);
        let without = |i: usize| {
            let others: Vec<_> =
                points.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, p)| *p).collect();
            let (overhead, scale) = through(&others);
            let &(x, y) = points.get(i)?;
            let error = ((overhead + scale * x) / y).ln();
            error.is_finite().then_some(LeftOut { overhead, scale, error })
        };
        let left_out = (0..points.len()).map(without).collect::<Option<Vec<_>>>()?;
        let found = overhead.is_finite() && scale.is_finite() && scale > 0.0;
        found.then_some(Self { overhead, scale, left_out })
    }

    /// Returns what a network whose operators sum to `x` microseconds takes.
    pub fn at(&self, x: f64) -> f64 {
        self.overhead + self.scale * x
    }

    /// Returns (predicted - measured) / measured of each network by the line through the others.
    pub fn errors(&self) -> Vec<f64> {
        self.left_out.iter().map(|l| l.error.exp_m1()).collect()
    }

    /// Returns the jackknife+ interval at 90 % of a network like those fitted on, in microseconds. It holds the
    /// measured time in at least 80 of 100 cases whatever the errors' distribution (theorem 1), and in about 90
    /// for errors that come as they do in practice. Below nine networks it is the widest that they give.
    pub fn interval90(&self, x: f64) -> [f64; 2] {
        let n = self.left_out.len();
        let ends = |sign: f64| {
            let end = |l: &LeftOut| (l.overhead + l.scale * x) * (sign * l.error.abs()).exp();
            let mut all: Vec<f64> = self.left_out.iter().map(end).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        // The floor(0.1 (n + 1))-th smallest of the lower ends, and as many from the top of the upper ends.
        let rank = ((n + 1) / 10).max(1);
        let low = ends(-1.0).get(rank - 1).copied().unwrap_or(f64::NAN);
        let high = ends(1.0).get(n.saturating_sub(rank)).copied().unwrap_or(f64::NAN);
        [low.min(self.at(x)), high.max(self.at(x))]
    }
}

/// Overhead (not negative) and scale by relative errors, robust (Huber 1964, by reweighting).
fn through(points: &[(f64, f64)]) -> (f64, f64) {
    let mut weights = vec![1.0; points.len()];
    let mut fit = (0.0, 1.0);
    for _ in 0..20 {
        fit = weighted(points, &weights);
        let errors: Vec<f64> = points.iter().map(|&(x, y)| (fit.0 + fit.1 * x) / y - 1.0).collect();
        let mut sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        // 1.4826: the median absolute deviation of a normal distribution is sd / 1.4826.
        let cut = HUBER * (1.4826 * percentile(&sizes, 0.5)).max(1e-9);
        weights = errors.iter().map(|e| (cut / e.abs().max(1e-12)).min(1.0)).collect();
    }
    fit
}

fn weighted(points: &[(f64, f64)], weights: &[f64]) -> (f64, f64) {
    // Relative errors: each point weighs 1 / y^2.
    let (mut w0, mut wx, mut wxx, mut wy, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (&(x, y), &robust) in points.iter().zip(weights) {
        let w = robust / (y * y);
        w0 += w;
        wx += w * x;
        wxx += w * x * x;
        wy += w * y;
        wxy += w * x * y;
    }
    let determinant = w0 * wxx - wx * wx;
    let overhead = (wy * wxx - wxy * wx) / determinant;
    if overhead.is_finite() && overhead >= 0.0 {
        return (overhead, (w0 * wxy - wx * wy) / determinant);
    }
    (0.0, wxy / wxx.max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_line_is_found_among_outliers_and_never_negative() {
        let mut rng = Rng::new(1, "fit", 0);
        let mut points: Vec<(f64, f64)> = (1..20)
            .map(|i| {
                let x = 50.0 * f64::from(i);
                (x, (7.0 + 1.1 * x) * (1.0 + 0.005 * rng.normal()))
            })
            .collect();
        points[4].1 *= 3.0; // a network measured while something else ran
        let (overhead, scale) = through(&points);
        assert!((overhead - 7.0).abs() < 2.0 && (scale - 1.1).abs() < 0.01, "{overhead} {scale}");
        let below: Vec<(f64, f64)> =
            (1..20).map(|i| (50.0 * f64::from(i), 50.0 * f64::from(i) - 30.0)).collect();
        let (overhead, scale) = through(&below);
        assert!(overhead == 0.0 && scale < 1.0, "{overhead} {scale}");
    }

    /// Nine networks: the interval goes from the smallest lower end to the largest upper end. Nineteen: from
    /// the second of each.
    #[test]
    fn ranks_by_hand() {
        let points = |n: u32| -> Vec<(f64, f64)> {
            (1..=n).map(|i| (f64::from(i), f64::from(i) * if i % 2 == 0 { 1.01 } else { 0.99 })).collect()
        };
        for (n, rank) in [(9, 1), (18, 1), (19, 2), (29, 3)] {
            let line = Line::fit(&points(n)).unwrap();
            let mut high: Vec<f64> =
                line.left_out.iter().map(|l| (l.overhead + 5.0 * l.scale) * l.error.abs().exp()).collect();
            high.sort_by(f64::total_cmp);
            assert_eq!(line.interval90(5.0)[1], high[high.len() - rank], "{n}");
        }
    }

    #[test]
    fn no_line_of_what_is_no_measurement() {
        let mut points: Vec<(f64, f64)> = (1..10).map(|i| (f64::from(i), f64::from(i))).collect();
        assert!(Line::fit(&points).is_some());
        for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            points[3].1 = bad;
            assert!(Line::fit(&points).is_none(), "{bad}");
        }
        assert!(Line::fit(&[(0.0, 1.0); 9]).is_none(), "nothing to learn a scale from");
        assert!(Line::fit(&[]).is_none());
    }
}
