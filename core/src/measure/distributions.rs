//! Student's t and the binomial distribution, by the incomplete beta function (crate `special`, Applied
//! Statistics' algorithm 63). Every function gives NaN for arguments that no distribution has.

use special::Beta;

/// The algorithm takes time in proportion to the degrees of freedom; for more than these t is that of these,
/// wider than the normal distribution by one part in 8,000.
const MOST_DF: f64 = 1e4;
/// Halvings of an interval at most: more than the 53 bits of a result.
const HALVINGS: usize = 64;

/// P(B <= x) of the beta distribution with shapes `a` and `b`.
fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    // The algorithm ends for finite positive shapes only.
    let sane = |shape: f64| shape > 0.0 && shape.is_finite();
    if !(sane(a) && sane(b) && (0.0..=1.0).contains(&x)) {
        return f64::NAN;
    }
    x.inc_beta(a, b, a.ln_beta(b)).clamp(0.0, 1.0)
}

/// Returns P(T <= t) of Student's t with `df` degrees of freedom, a whole number or not.
pub fn t_cdf(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    let df = df.min(MOST_DF);
    let tail = 0.5 * beta_cdf(df / (df + t * t), df / 2.0, 0.5);
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// Returns the t that P(T <= t) = `p` holds for, 0 < p < 1.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    let legal = p > 0.0 && p < 1.0 && df > 0.0;
    if !legal {
        return f64::NAN;
    }
    if p < 0.5 {
        return -t_quantile(1.0 - p, df);
    }
    let mut high = 1.0;
    while t_cdf(high, df) < p && high < 1e150 {
        high *= 2.0;
    }
    bisect([0.0, high], |t| t_cdf(t, df) < p)[1]
}

/// Returns P(X <= `k`) of the number of hits in `n` trials that each hit with probability `p`.
pub fn binomial_cdf(k: usize, n: usize, p: f64) -> f64 {
    if k >= n {
        return if (0.0..=1.0).contains(&p) { 1.0 } else { f64::NAN };
    }
    beta_cdf(1.0 - p, (n - k) as f64, k as f64 + 1.0)
}

/// Returns the smallest and the largest share for which `hits` of `n` are no rarer than `tail` to either side
/// (Clopper and Pearson 1934).
pub fn clopper_pearson(hits: usize, n: usize, tail: f64) -> [f64; 2] {
    let (k, n) = (hits.min(n) as f64, n as f64);
    // Outer ends of the last interval: rounding never makes the result narrower.
    let low = if k == 0.0 { 0.0 } else { bisect([0.0, 1.0], |p| beta_cdf(p, k, n - k + 1.0) < tail)[0] };
    let high = if k == n { 1.0 } else { bisect([0.0, 1.0], |p| beta_cdf(p, k + 1.0, n - k) < 1.0 - tail)[1] };
    [low, high]
}

/// Where `below` turns from true to false.
fn bisect([mut low, mut high]: [f64; 2], below: impl Fn(f64) -> bool) -> [f64; 2] {
    for _ in 0..HALVINGS {
        let middle = low.midpoint(high);
        if high - low < 1e-14 * high {
            break;
        }
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::statistics_peer::{Differences, rows};

    #[test]
    fn as_scipy() {
        let mut found = Differences::default();
        for row in rows("t_quantile") {
            found.check(&format!("t {row:?}"), t_quantile(row[0], row[1]), row[2], 1e-7);
            found.check(&format!("P(T <= t) {row:?}"), t_cdf(row[2], row[1]), row[0], 1e-8);
        }
        for row in rows("clopper_pearson") {
            let [low, high] = clopper_pearson(row[0] as usize, row[1] as usize, 0.025);
            found.check(&format!("{row:?}"), low, row[2], 1e-9);
            found.check(&format!("{row:?}"), high, row[3], 1e-9);
        }
        for row in rows("binomial_cdf") {
            let p = binomial_cdf(row[0] as usize, row[1] as usize, row[2]);
            found.check(&format!("{row:?}"), p, row[3], 1e-9);
        }
        found.none();
    }

    #[test]
    fn what_is_no_distribution_is_nan() {
        for nan in [
            t_cdf(f64::NAN, 3.0),
            t_cdf(1.0, f64::NAN),
            t_cdf(1.0, 0.0),
            t_quantile(0.0, 3.0),
            t_quantile(f64::NAN, 3.0),
            t_quantile(0.9, -1.0),
            binomial_cdf(1, 2, f64::NAN),
            binomial_cdf(2, 2, f64::NAN),
        ] {
            assert!(nan.is_nan(), "{nan}");
        }
    }
}
