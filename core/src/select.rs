//! The choice of a student for a device: the most accurate on val among those that fit its budget. Pure:
//! latencies and accuracies come in, the choice and the Pareto front come out.

use crate::latency::Prediction;
use crate::{Error, Result, format};
use serde::{Deserialize, Serialize};

/// A trained network that might be shipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Its folder.
    pub dir: String,
    /// Architecture's name.
    pub arch: String,
    /// In which it would be shipped: `fp32`, ...
    pub precision: String,
    /// As trained, last epoch, on val.
    pub val_top1: f64,
    /// Val images.
    pub val_images: usize,
    /// At batch 1 on the target.
    pub latency: Prediction,
    /// Weights and the activations that must be alive at once, bytes of that precision; the runtime itself
    /// not counted.
    pub memory_bytes: u64,
    /// Trained parameters.
    pub params: u64,
    /// Multiply-accumulates per image.
    pub macs: u64,
}

/// What a student may cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Milliseconds of one inference at batch 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// MiB of weights and live activations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<f64>,
}

impl Budget {
    /// Whether the candidate is within it.
    pub fn fits(&self, c: &Candidate) -> bool {
        self.excess(c) <= 1.0
    }

    /// The larger of latency and memory, each over its limit.
    fn excess(&self, c: &Candidate) -> f64 {
        let latency = self.latency_ms.map_or(0.0, |limit| c.latency.ms / limit);
        latency.max(self.memory_mib.map_or(0.0, |limit| c.memory_bytes as f64 / f64::from(1 << 20) / limit))
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let latency = self.latency_ms.map(format::ms);
        let memory = self.memory_mib.map(|m| format!("{m} MiB"));
        let parts: Vec<String> = latency.into_iter().chain(memory).collect();
        f.write_str(&if parts.is_empty() { "no limit".into() } else { parts.join(", ") })
    }
}

/// The most accurate candidate within the budget. Of equally accurate ones the fastest, then the one that
/// needs least memory, then the first by folder: of one student in several precisions the fastest. None fits: an error that names the nearest.
pub fn choose<'a>(candidates: &'a [Candidate], budget: &Budget) -> Result<&'a Candidate> {
    let better = |a: &&Candidate, b: &&Candidate| {
        let cost = (b.latency.ms.total_cmp(&a.latency.ms)).then(b.memory_bytes.cmp(&a.memory_bytes));
        a.val_top1.total_cmp(&b.val_top1).then(cost).then(b.dir.cmp(&a.dir))
    };
    if let Some(best) = candidates.iter().filter(|c| budget.fits(c)).max_by(better) {
        return Ok(best);
    }
    let nearest = candidates.iter().min_by(|a, b| budget.excess(a).total_cmp(&budget.excess(b)));
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

/// How many students they are: one in two precisions is one.
pub fn students(candidates: &[Candidate]) -> usize {
    candidates.iter().map(|c| c.dir.as_str()).collect::<std::collections::BTreeSet<_>>().len()
}

/// Those that no candidate at most as slow beats, fastest first.
pub fn pareto(candidates: &[Candidate]) -> Vec<&Candidate> {
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by(|a, b| {
        a.latency.ms.total_cmp(&b.latency.ms).then(b.val_top1.total_cmp(&a.val_top1)).then(a.dir.cmp(&b.dir))
    });
    let mut front: Vec<&Candidate> = Vec::new();
    for c in sorted {
        if front.last().is_none_or(|best| c.val_top1 > best.val_top1) {
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

    fn candidate(dir: &str, val_top1: f64, ms: f64, mib: u64) -> Candidate {
        Candidate {
            dir: dir.into(),
            arch: "a".into(),
            precision: "fp32".into(),
            val_top1,
            val_images: 1000,
            latency: Prediction { ms, band: [0.9 * ms, 1.1 * ms], basis: Basis::Table },
            memory_bytes: mib << 20,
            params: 1,
            macs: 1,
        }
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
            choose(&all, &Budget { latency_ms, memory_mib }).map(|c| c.dir.clone()).map_err(|e| e.to_string())
        };
        assert_eq!(pick(None, None).unwrap(), "slow");
        assert_eq!(pick(Some(2.0), None).unwrap(), "slow");
        assert_eq!(pick(Some(1.99), None).unwrap(), "small");
        assert_eq!(choose(&all[1..3], &Budget::default()).unwrap().dir, "a");
        assert_eq!(pick(Some(0.5), Some(1.0)).unwrap(), "fast");
        let none = pick(Some(0.4), None).unwrap_err();
        assert!(
            none.contains("none of 5 students is within 0.400 ms; the nearest is fast (a, fp32): 0.500 ms"),
            "{none}"
        );
        let small = pick(None, Some(0.5)).unwrap_err();
        assert!(small.contains("0.5 MiB") && small.contains("1.00 MiB of memory"), "{small}");
        assert_eq!(choose(&[], &Budget::default()).unwrap_err().exit_code(), 1);
    }

    /// For random candidates and budgets: nothing that fits is more accurate, and the front holds every
    /// choice that a latency budget can lead to.
    #[test]
    fn the_choice_is_the_best_that_fits_and_on_the_front() {
        let mut rng = Rng::new(3, "select", 0);
        let all: Vec<Candidate> = (0..40)
            .map(|i| {
                let ms = 0.1 + rng.unit_f64();
                let val = 0.6 * ms + 0.4 * rng.unit_f64(); // slower ones tend to be better
                candidate(&format!("c{i}"), (val * 20.0).round() / 20.0, ms, rng.below(9))
            })
            .collect();
        let front: Vec<&str> = pareto(&all).iter().map(|c| c.dir.as_str()).collect();
        let mut chosen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let budget = Budget { latency_ms: Some(0.2 + rng.unit_f64()), memory_mib: None };
            let Ok(best) = choose(&all, &budget) else { continue };
            assert!(budget.fits(best));
            assert!(all.iter().all(|c| !budget.fits(c) || c.val_top1 <= best.val_top1));
            assert!(front.contains(&best.dir.as_str()), "{best:?}");
            chosen.insert(&best.dir);
        }
        assert!(chosen.len() > 3, "{chosen:?}");
    }
}
