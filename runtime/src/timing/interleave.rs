//! Two models measured in turn in one process: whatever disturbs one disturbs the other.
//!
//! A round loads both anew (in random order), so that memory layout and thread placement vary as they do
//! between runs; within it short bursts of A and B alternate in random order, and the round's result is
//! the median log ratio of its pairs. What is left differs between rounds at random, which is what the
//! interval over rounds needs.

use gtn_core::measure::robust::median;
use gtn_core::rng::Rng;
use gtn_core::{Error, Result};
use std::time::Instant;

/// A runner runs one inference of a loaded model.
pub type Runner = Box<dyn FnMut() -> Result<()>>;

/// A plan says how long to measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Rounds; each loads both models.
    pub rounds: usize,
    /// Measuring takes about this long in all, loading aside.
    pub seconds: f64,
    /// Of the order in which A and B take turns.
    pub seed: u64,
}

/// A burst lasts about this long: well above a clock reading, well below a disturbance.
const BURST_S: f64 = 0.002;
/// After loading, at least this long and so many inferences before the first burst.
const WARM_UP: (f64, usize) = (0.01, 5);

/// This is what the rounds gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rounds {
    /// ln(B's time / A's time), one a round.
    pub log_ratios: Vec<f64>,
    /// Medians of A and of B, ms, one a round.
    pub p50_ms: [Vec<f64>; 2],
}

impl Rounds {
    /// Puts later rounds behind these.
    pub fn extend(&mut self, more: Self) {
        self.log_ratios.extend(more.log_ratios);
        for (all, more) in self.p50_ms.iter_mut().zip(more.p50_ms) {
            all.extend(more);
        }
    }
}

/// Measures in turn the models that the two functions load; `tick` is told how many rounds are done. Errors are
/// those of the runners.
pub fn interleave(
    load: [&mut dyn FnMut() -> Result<Runner>; 2],
    plan: Plan,
    mut tick: impl FnMut(usize),
) -> Result<Rounds> {
    let [load_a, load_b] = load;
    let mut found = Rounds::default();
    for round in 0..plan.rounds {
        let mut rng = Rng::new(plan.seed, "compare", round as u64);
        let (mut a, mut b);
        if rng.below(2) == 0 {
            a = Turn::new(load_a()?)?;
            b = Turn::new(load_b()?)?;
        } else {
            b = Turn::new(load_b()?)?;
            a = Turn::new(load_a()?)?;
        }
        let seconds = plan.seconds / plan.rounds as f64;
        let (log_ratio, p50) = one_round(&mut a, &mut b, seconds, &mut rng)?;
        found.log_ratios.push(log_ratio);
        for (all, one) in found.p50_ms.iter_mut().zip(p50) {
            all.push(one);
        }
        tick(round + 1);
    }
    Ok(found)
}

/// Alternates bursts for `seconds`, at least three pairs; the median log ratio and both medians.
fn one_round(a: &mut Turn, b: &mut Turn, seconds: f64, rng: &mut Rng) -> Result<(f64, [f64; 2])> {
    let (mut logs, mut times) = (Vec::new(), [Vec::new(), Vec::new()]);
    let start = Instant::now();
    while logs.len() < 3 || start.elapsed().as_secs_f64() < seconds {
        let first_a = rng.below(2) == 0;
        let (time_a, time_b);
        if first_a {
            time_a = a.burst()?;
            time_b = b.burst()?;
        } else {
            time_b = b.burst()?;
            time_a = a.burst()?;
        }
        logs.push((time_b / time_a).ln());
        times[0].push(time_a);
        times[1].push(time_b);
    }
    let log_ratio = median(&logs);
    if !log_ratio.is_finite() {
        return Err(Error::Failed("an inference took no measurable time".into()));
    }
    Ok((log_ratio, times.map(|t| median(&t))))
}

struct Turn {
    run: Runner,
    burst: usize,
}

impl Turn {
    fn new(mut run: Runner) -> Result<Self> {
        let start = Instant::now();
        let mut runs = 0;
        while runs < WARM_UP.1 || start.elapsed().as_secs_f64() < WARM_UP.0 {
            run()?;
            runs += 1;
        }
        let each = start.elapsed().as_secs_f64() / runs as f64;
        Ok(Self { run, burst: ((BURST_S / each) as usize).clamp(2, 1000) })
    }

    /// Median of a burst's inferences, ms; the first, which finds the caches full of the other model, is
    /// not counted.
    fn burst(&mut self) -> Result<f64> {
        (self.run)()?;
        let mut times = Vec::with_capacity(self.burst);
        for _ in 0..self.burst {
            let start = Instant::now();
            (self.run)()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(median(&times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::measure::compare::{Ratio, Verdict};
    use std::cell::Cell;
    use std::rc::Rc;

    /// Works for about `us` microseconds.
    fn spin(us: f64) -> Runner {
        Box::new(move || {
            let start = Instant::now();
            while start.elapsed().as_secs_f64() * 1e6 < us {
                std::hint::spin_loop();
            }
            Ok(())
        })
    }

    #[test]
    fn a_slower_one_is_found_and_both_are_loaded_each_round() {
        let loads = Rc::new(Cell::new([0, 0]));
        let count = |side: usize, us: f64| {
            let loads = loads.clone();
            move || {
                let mut n = loads.get();
                n[side] += 1;
                loads.set(n);
                Ok(spin(us))
            }
        };
        let (mut a, mut b) = (count(0, 50.0), count(1, 65.0));
        let plan = Plan { rounds: 8, seconds: 0.4, seed: 1 };
        let mut ticks = 0;
        let rounds = interleave([&mut a, &mut b], plan, |_| ticks += 1).unwrap();
        assert_eq!((loads.get(), ticks, rounds.log_ratios.len()), ([8, 8], 8, 8));
        let ratio = Ratio::of_rounds(&rounds.log_ratios, 0.01).unwrap();
        assert_eq!(ratio.verdict, Verdict::Slower, "{ratio:?}");
        assert!((1.2..1.4).contains(&ratio.ratio), "{ratio:?}");
    }

    #[test]
    fn a_failure_names_itself() {
        let mut ok = || Ok(spin(1.0));
        let mut bad = || Err(Error::Failed("no such node".into()));
        let plan = Plan { rounds: 6, seconds: 0.0, seed: 0 };
        assert!(
            interleave([&mut ok, &mut bad], plan, |_| ()).unwrap_err().to_string().contains("no such node")
        );
    }
}
