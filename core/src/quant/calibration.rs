//! From a value's histogram to the range its integers cover.

use super::histogram::Histogram;
use super::{Range, entropy, mse};
use crate::device::int8::ActivationType;
use serde::{Deserialize, Serialize};

/// Share of values that the percentile method keeps.
const KEPT: f64 = 0.9999;

/// This says how a range is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Everything that was seen.
    Minmax,
    /// All but one value in 10,000, half of these on either side.
    Percentile,
    /// Least Kullback-Leibler divergence of the quantised distribution (Migacz 2017).
    Entropy,
    /// Least mean squared quantisation error.
    Mse,
}

impl Method {
    /// These are all methods, the plainest first.
    pub const ALL: [Self; 4] = [Self::Minmax, Self::Percentile, Self::Mse, Self::Entropy];

    /// Returns the name that the command line has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minmax => "minmax",
            Self::Percentile => "percentile",
            Self::Entropy => "entropy",
            Self::Mse => "mse",
        }
    }

    /// Returns the range to cover; `None` of an empty histogram.
    pub fn range(self, histogram: &Histogram, kind: ActivationType) -> Option<Range> {
        let seen = histogram.extremes()?;
        Some(match self {
            Self::Minmax => seen,
            Self::Percentile => percentile(histogram, seen),
            Self::Entropy => entropy::range(histogram, seen, kind),
            Self::Mse => mse::range(histogram, seen, kind),
        })
    }
}

fn percentile(histogram: &Histogram, seen: Range) -> Range {
    let cut = histogram.n() as f64 * (1.0 - KEPT) / 2.0;
    let half = histogram.step() / 2.0;
    // Zeros lie between the negative and the positive bins: a cut that would pass them ends at 0.
    let from = |bins: &mut dyn Iterator<Item = (f64, u64)>, outwards: f64| {
        let mut passed = 0.0;
        for (centre, count) in bins {
            passed += count as f64;
            if centre * outwards < 0.0 {
                return 0.0;
            }
            if passed > cut {
                return centre + outwards * half;
            }
        }
        0.0
    };
    let bins: Vec<(f64, u64)> = histogram.bins().collect();
    let lo = from(&mut bins.iter().copied(), -1.0) as f32;
    let hi = from(&mut bins.iter().rev().copied(), 1.0) as f32;
    Range { lo: lo.max(seen.lo.min(0.0)), hi: hi.min(seen.hi.max(0.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::Affine;
    use crate::quant::mse::squared_error;
    use crate::rng::Rng;

    fn histogram(n: usize, draw: &mut dyn FnMut(&mut Rng) -> f64) -> Histogram {
        let mut rng = Rng::new(2, "calibration", 0);
        let values: Vec<f32> = (0..n).map(|_| draw(&mut rng) as f32).collect();
        let mut h = Histogram::default();
        assert!(h.add(&values));
        h
    }

    /// A bulk and a few far outliers: every method but minmax gives them up, and the mean squared
    /// error is smallest for the one that minimises it.
    #[test]
    fn outliers_are_given_up() {
        let mut i = 0;
        let h = histogram(200_000, &mut |rng| {
            i += 1;
            if i % 50_000 == 0 { 60.0 } else { rng.normal().max(0.0) }
        });
        let kind = ActivationType::Uint8;
        let bins: Vec<_> = h.bins().collect();
        let error = |m: Method| squared_error(&bins, &Affine::covering(m.range(&h, kind).unwrap(), kind));
        assert_eq!(Method::Minmax.range(&h, kind), Some(Range { lo: 0.0, hi: 60.0 }));
        for method in [Method::Percentile, Method::Entropy] {
            let Range { lo, hi } = method.range(&h, kind).unwrap();
            assert!(lo == 0.0 && (2.0..10.0).contains(&hi), "{method:?}: {lo} {hi}");
        }
        for other in Method::ALL {
            assert!(error(Method::Mse) <= error(other) * 1.001, "{other:?}");
        }
    }

    /// Without outliers nothing much is cut: a Gaussian's tails are worth their bits.
    #[test]
    fn a_plain_bulk_is_kept() {
        let h = histogram(200_000, &mut |rng| rng.normal());
        for kind in [ActivationType::Uint8, ActivationType::Int8, ActivationType::Int8Symmetric] {
            for method in Method::ALL {
                let Range { lo, hi } = method.range(&h, kind).unwrap();
                assert!(
                    (-5.5..-2.9).contains(&lo) && (2.9..5.5).contains(&hi),
                    "{method:?} {kind:?}: {lo} {hi}"
                );
            }
        }
    }

    #[test]
    fn the_edge_cases_have_a_range() {
        for (values, wanted) in
            [(vec![0.0; 10], (0.0, 0.0)), (vec![2.0; 10], (0.0, 2.0)), (vec![-1e-8], (-1e-8, 0.0))]
        {
            let mut h = Histogram::default();
            assert!(h.add(&values));
            for method in Method::ALL {
                for kind in [ActivationType::Uint8, ActivationType::Int8Symmetric] {
                    let r = method.range(&h, kind).unwrap();
                    let a = Affine::covering(r, kind);
                    // One bin's width beside the exact ends.
                    let slack = h.step() + f64::from(a.scale);
                    let (lo, hi) = a.range();
                    assert!(
                        lo <= wanted.0 + slack && hi >= wanted.1 - slack,
                        "{method:?} {values:?}: {lo} {hi}"
                    );
                }
            }
        }
        assert_eq!(Method::Mse.range(&Histogram::default(), ActivationType::Uint8), None);
    }
}
