//! The choice of a student for a device: the most accurate on val among those that fit its budget. Pure:
//! latencies and accuracies come in, the choice and the Pareto front come out. What has a NaN fits nothing,
//! is never chosen and is on no front.

use crate::latency::Prediction;
use crate::latency::budget::{Budget, Price};
use crate::text::format;
use crate::{Error, Precision, Result};
use serde::{Deserialize, Serialize};

/// This is a trained network that might be shipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentCandidate {
    /// Its folder.
    pub dir: String,
    /// Architecture's name.
    pub arch: String,
    /// In which it would be shipped: `fp32`, ...
    pub precision: Precision,
    /// As trained, last epoch, on val.
    pub val_top1: f64,
    /// Val images.
    pub val_images: usize,
    /// At batch 1 on the target.
    pub latency: Prediction,
    /// Weights and the activations that must be alive at once, bytes of that precision; the runtime itself
    /// not counted.
    pub memory_bytes: u64,
    /// Weights alone, bytes of that precision.
    pub model_bytes: u64,
    /// Trained parameters.
    pub params: u64,
    /// Multiply-accumulates per image.
    pub macs: u64,
}

impl StudentCandidate {
    /// What it costs.
    pub fn price(&self) -> Price {
        let Self { precision, latency, memory_bytes, model_bytes, .. } = *self;
        Price { precision, latency, memory_bytes, model_bytes }
    }

    /// Whether there is a number to judge it by.
    fn is_known(&self) -> bool {
        (0.0..=1.0).contains(&self.val_top1) && self.price().is_known()
    }

    /// Whether it costs no more, and is no less accurate, than the budget says.
    pub fn fits(&self, budget: &Budget) -> bool {
        let enough = budget.top1.is_none_or(|least| self.val_top1 >= least);
        self.is_known() && enough && budget.fits(&self.price())
    }

    /// Whether it is within the budget and its band is not.
    pub fn is_doubtful(&self, budget: &Budget) -> bool {
        self.fits(budget) && budget.is_doubtful(&self.price())
    }
}

/// Chooses the most accurate candidate within the budget. Among equally accurate ones, as one student in
/// several precisions is, it is the first by `order` (precisions, the profile's favourite first), memory and
/// folder that none of the others is clearly faster than; `clearly_faster(a, b)` says whether a is, and not
/// where noise cannot tell. Where none fits, the error names the nearest.
pub fn choose<'a>(
    candidates: &'a [StudentCandidate],
    budget: &Budget,
    order: &[Precision],
    clearly_faster: impl FnMut(&&StudentCandidate, &&StudentCandidate) -> Result<bool>,
) -> Result<&'a StudentCandidate> {
    let fitting: Vec<&StudentCandidate> = candidates.iter().filter(|c| c.fits(budget)).collect();
    // Finite, all of them: `fits` says so.
    let top = fitting.iter().map(|c| c.val_top1).fold(f64::NEG_INFINITY, f64::max);
    let mut best: Vec<&StudentCandidate> = fitting.into_iter().filter(|c| c.val_top1 >= top).collect();
    let place = |c: &StudentCandidate| order.iter().position(|p| *p == c.precision).unwrap_or(order.len());
    best.sort_by(|a, b| {
        (place(a), a.memory_bytes, a.dir.as_str()).cmp(&(place(b), b.memory_bytes, b.dir.as_str()))
    });
    if let Some(&chosen) = unbeaten(&best, clearly_faster)? {
        return Ok(chosen);
    }
    let known = candidates.iter().filter(|c| c.is_known());
    let nearest = known.min_by(|a, b| budget.excess(&a.price()).total_cmp(&budget.excess(&b.price())));
    Err(Error::Failed(match nearest {
        Some(c) => format!(
            "none of {} students is within {budget}; the nearest is {} ({}, {}): {}, {} of memory, val top-1 {}",
            students(candidates),
            c.dir,
            c.arch,
            c.precision,
            c.latency,
            format::bytes(c.memory_bytes),
            format::percent(c.val_top1)
        ),
        None => "there is no student to choose from".into(),
    }))
}

/// Returns the first of `ordered`, unless one that comes later is clearly faster than it; then that one, unless
/// a later one still is clearly faster. Where nothing is clear the order stands. Of none it is `None`.
pub fn unbeaten<T>(
    ordered: &[T],
    mut clearly_faster: impl FnMut(&T, &T) -> Result<bool>,
) -> Result<Option<&T>> {
    let mut best: Option<&T> = None;
    for next in ordered {
        match best {
            Some(one) if !clearly_faster(next, one)? => {}
            _ => best = Some(next),
        }
    }
    Ok(best)
}

/// Returns how many students they are: one in two precisions is one.
pub fn students(candidates: &[StudentCandidate]) -> usize {
    candidates.iter().map(|c| c.dir.as_str()).collect::<std::collections::BTreeSet<_>>().len()
}

/// Returns those that no candidate at most as slow beats, fastest first.
pub fn pareto(candidates: &[StudentCandidate]) -> Vec<&StudentCandidate> {
    let mut sorted: Vec<&StudentCandidate> = candidates.iter().filter(|c| c.is_known()).collect();
    sorted.sort_by(|a, b| {
        a.latency.ms.total_cmp(&b.latency.ms).then(b.val_top1.total_cmp(&a.val_top1)).then(a.dir.cmp(&b.dir))
    });
    rising(sorted, |c| c.val_top1)
}

/// Returns those that are more accurate than all before them: of candidates sorted by cost, the Pareto front.
pub fn rising<T>(sorted: impl IntoIterator<Item = T>, accuracy: impl Fn(&T) -> f64) -> Vec<T> {
    let mut front: Vec<T> = Vec::new();
    for c in sorted {
        if front.last().is_none_or(|best| accuracy(&c) > accuracy(best)) {
            front.push(c);
        }
    }
    front
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Basis;
    use crate::rng::Rng;

    fn candidate(dir: &str, val_top1: f64, ms: f64, mib: u64) -> StudentCandidate {
        StudentCandidate {
            dir: dir.into(),
            arch: "a".into(),
            precision: Precision::Fp32,
            val_top1,
            val_images: 1000,
            latency: Prediction { ms, band: [0.9 * ms, 1.1 * ms], basis: Basis::Table },
            memory_bytes: mib << 20,
            model_bytes: 1,
            params: 1,
            macs: 1,
        }
    }

    fn by_band(a: &&StudentCandidate, b: &&StudentCandidate) -> Result<bool> {
        Ok(a.latency.clearly_below(&b.latency))
    }

    #[test]
    fn ties_go_to_the_cheaper_and_limits_are_inclusive() {
        let all = [
            candidate("slow", 0.9, 2.0, 1),
            candidate("b", 0.8, 1.0, 2),
            candidate("a", 0.8, 1.0, 2),
            candidate("small", 0.8, 1.0, 1),
            candidate("fast", 0.7, 0.5, 1),
        ];
        let pick = |latency_ms, memory_mib| {
            choose(&all, &Budget { latency_ms, memory_mib, ..Budget::default() }, &[Precision::Fp32], by_band)
                .map(|c| c.dir.clone())
                .map_err(|e| e.to_string())
        };
        assert_eq!(pick(None, None).unwrap(), "slow");
        assert_eq!(pick(Some(2.0), None).unwrap(), "slow");
        assert_eq!(pick(Some(1.99), None).unwrap(), "small");
        assert_eq!(choose(&all[1..3], &Budget::default(), &[], by_band).unwrap().dir, "a");
        assert_eq!(pick(Some(0.5), Some(1.0)).unwrap(), "fast");
        let none = pick(Some(0.4), None).unwrap_err();
        assert!(
            none.contains("none of 5 students is within 0.400 ms; the nearest is fast (a, fp32): 0.500 ms"),
            "{none}"
        );
        let small = pick(None, Some(0.5)).unwrap_err();
        assert!(small.contains("0.5 MiB") && small.contains("1.00 MiB of memory"), "{small}");
        assert_eq!(choose(&[], &Budget::default(), &[], by_band).unwrap_err().exit_code(), 1);
    }

    /// One student in two precisions: the profile's first, unless the other is faster beyond both bands.
    #[test]
    fn where_noise_cannot_tell_the_profile_s_order_stands() {
        let precise = |precision: Precision, ms: f64| StudentCandidate {
            precision,
            ..candidate("s", 0.9, ms, if precision == Precision::Int8 { 1 } else { 4 })
        };
        let choice = |int8: f64, fp32: f64, order: &[Precision]| {
            let all = [precise(Precision::Fp32, fp32), precise(Precision::Int8, int8)];
            choose(&all, &Budget::default(), order, by_band).unwrap().precision
        };
        assert_eq!(choice(1.05, 1.0, &[Precision::Int8, Precision::Fp32]), Precision::Int8);
        assert_eq!(choice(1.05, 1.0, &[Precision::Fp32, Precision::Int8]), Precision::Fp32);
        assert_eq!(choice(1.0, 1.05, &[Precision::Fp32, Precision::Int8]), Precision::Fp32);
        assert_eq!(choice(1.5, 1.0, &[Precision::Int8, Precision::Fp32]), Precision::Fp32);
        assert_eq!(choice(1.0, 1.5, &[Precision::Fp32, Precision::Int8]), Precision::Int8);
        let next = |a: &f64, b: &f64| Ok(*a < 0.9 * *b);
        assert_eq!(unbeaten(&[1.0, 0.95, 0.88, 0.85], next).unwrap(), Some(&0.88));
        assert_eq!(unbeaten(&[], next).unwrap(), None);
        let error = unbeaten(&[1, 2], |_, _| Err(Error::Failed("no".into()))).unwrap_err();
        assert_eq!(error.to_string(), "no");
    }

    /// NaN and infinity lose against everything, in every place.
    #[test]
    fn what_is_not_finite_is_never_chosen() {
        for bad in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let good = candidate("good", 0.1, 1.0, 1);
            let measured = |mut c: StudentCandidate| {
                c.latency.basis = Basis::Measured;
                c
            };
            let mut band = candidate("bad", 0.9, 1.0, 1);
            band.latency.band[1] = bad;
            for odd in [candidate("bad", bad, 1.0, 1), candidate("bad", 0.9, bad, 1), measured(band)] {
                let all = [odd.clone(), good.clone(), odd];
                for latency_ms in [None, Some(2.0)] {
                    let budget = Budget { latency_ms, memory_mib: Some(9.0), ..Budget::default() };
                    assert_eq!(choose(&all, &budget, &[], by_band).unwrap().dir, "good", "{all:?}");
                }
                assert_eq!(pareto(&all).len(), 1);
                let error = choose(&all[..1], &Budget::default(), &[], by_band).unwrap_err();
                assert_eq!(error.to_string(), "there is no student to choose from");
            }
        }
    }

    #[test]
    fn measurements_are_within_a_limit_as_a_whole_and_doubt_is_told() {
        let mut c = candidate("c", 0.9, 1.0, 1);
        let budget = Budget { latency_ms: Some(1.05), ..Budget::default() };
        assert!(c.fits(&budget) && c.is_doubtful(&budget));
        c.latency.basis = Basis::Measured;
        assert!(!c.fits(&budget) && !c.is_doubtful(&budget));
        let wide = Budget { latency_ms: Some(1.2), ..Budget::default() };
        assert!(c.fits(&wide) && !c.is_doubtful(&wide));
    }

    /// For random candidates and budgets: nothing that fits is more accurate, and the front holds every
    /// choice that a latency budget can lead to, or its equal.
    #[test]
    fn the_choice_is_the_best_that_fits_and_on_the_front() {
        let mut rng = Rng::new(3, "select", 0);
        let all: Vec<StudentCandidate> = (0..40)
            .map(|i| {
                let ms = 0.1 + rng.unit_f64();
                let val = 0.6 * ms + 0.4 * rng.unit_f64(); // slower ones tend to be better
                candidate(&format!("c{i}"), (val * 20.0).round() / 20.0, ms, rng.below(9))
            })
            .collect();
        let front: Vec<&str> = pareto(&all).iter().map(|c| c.dir.as_str()).collect();
        let mut chosen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let budget = Budget { latency_ms: Some(0.2 + rng.unit_f64()), ..Budget::default() };
            let Ok(best) = choose(&all, &budget, &[Precision::Fp32], by_band) else { continue };
            assert!(best.fits(&budget));
            assert!(all.iter().all(|c| !c.fits(&budget) || c.val_top1 <= best.val_top1));
            // On the front, or as good as one there for all that noise can tell.
            let equal =
                |c: &StudentCandidate| c.val_top1 == best.val_top1 && !c.latency.clearly_below(&best.latency);
            assert!(all.iter().any(|c| front.contains(&c.dir.as_str()) && equal(c)), "{best:?}");
            chosen.insert(&best.dir);
        }
        assert!(chosen.len() > 3, "{chosen:?}");
    }
}
