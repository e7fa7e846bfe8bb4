//! The energy of an inference: the power under load less the power at rest, for the time it takes.
//!
//! Joules an inference = (load - idle) x seconds / inferences. Readings that follow each other are not
//! independent (regulators, fans, clocks, a meter's own averaging): what the mean is known to comes from how
//! much whole blocks of time differ (batch means), and the step of the readings is added to it.

use crate::host::power::{Quantity, Samples, Scope, Segment, total};
use crate::measure::stats::difference_ci95;
use serde::{Deserialize, Serialize};

/// Blocks of a stretch: the fewest, and twice as many where there are readings enough. The wider interval of
/// both counts: the long blocks see what hangs together, the short ones estimate their spread better.
const BLOCKS: [usize; 2] = [8, 16];
/// Readings a block needs.
const PER_BLOCK: usize = 2;

/// This is a part of a meter's samples in which the machine did one thing.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// The readings; those outside are not looked at.
    pub samples: &'a Samples,
    /// Its start, in seconds of the samples' clock.
    pub from_s: f64,
    /// Its end, in seconds of the samples' clock.
    pub to_s: f64,
}

/// This says what energy an inference takes, beyond what the machine takes at rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Energy {
    /// What was read, for people.
    pub source: String,
    /// What the watts cover.
    pub scope: Scope,
    /// Mean power at rest, in watts.
    pub idle_w: f64,
    /// Mean power under load, in watts.
    pub load_w: f64,
    /// Energy of one inference beyond the power at rest, in joules. It may be below 0 where noise is larger than
    /// the load; the interval says so.
    pub joules_per_inference: f64,
    /// An interval that holds the truth with a probability of 95 %, in joules.
    pub ci95: [f64; 2],
    /// Pairs of neighbouring good readings that were used, of both stretches.
    pub samples: usize,
    /// Readings that failed or never came, of both stretches.
    pub missed: usize,
    /// Seconds at rest that good readings cover.
    pub idle_s: f64,
    /// Seconds of the load stretch, in which the inferences ran.
    pub load_s: f64,
}

/// What a stretch's readings say.
struct Part {
    segments: Vec<Segment>,
    missed: usize,
    seconds: f64,
    watts: f64,
    /// Watts that the mean may be off by because readings have steps.
    step: f64,
}

impl Part {
    fn of(name: &str, stretch: Stretch<'_>) -> Result<Self, String> {
        let Stretch { samples, from_s, to_s } = stretch;
        if !(from_s.is_finite() && to_s.is_finite() && from_s < to_s) {
            return Err(format!("the {name} stretch goes from {from_s} s to {to_s} s, wanted a rising pair"));
        }
        let (segments, missed) = samples.segments(from_s, to_s);
        let (seconds, joules) = total(&segments);
        let fewest = BLOCKS[0] * PER_BLOCK;
        if segments.len() < fewest {
            return Err(format!(
                "the {name} stretch has {} good pairs of readings ({missed} readings missed), wanted {fewest} \
                 or more: {:.0} s at this source's interval",
                segments.len(),
                fewest as f64 * samples.interval_s
            ));
        }
        if seconds < 0.5 * (to_s - from_s) {
            return Err(format!(
                "good readings cover {seconds:.1} s of the {:.1} s of the {name} stretch ({missed} missed), \
                 wanted half",
                to_s - from_s
            ));
        }
        let step = samples.step_between(from_s, to_s);
        let step = match samples.quantity {
            Quantity::Watts => step / 2.0, // a constant power is rounded the same way each time
            Quantity::Joules { .. } => step / seconds, // both ends are cut
        };
        Ok(Self { watts: joules / seconds, segments, missed, seconds, step })
    }

    /// Mean power of `n` blocks of about as many readings each.
    fn blocks(&self, n: usize) -> Vec<f64> {
        let all = self.segments.len();
        let block = |i: usize| {
            let part = self.segments.get(i * all / n..(i + 1) * all / n).unwrap_or_default();
            let (seconds, joules) = total(part);
            joules / seconds
        };
        (0..n).map(block).collect()
    }
}

impl Energy {
    /// Computes the energy of one inference from a stretch at rest and one in which `inferences` ran from its
    /// start to its end, read from the same source. Leave out the second in which the machine goes from one to
    /// the other.
    ///
    /// The interval is that of two means by Student's t over eight blocks of each stretch, or sixteen where that
    /// is wider, and the steps of the readings. It holds what it promises where readings more than about an
    /// eighth of a stretch apart are independent. It says nothing of a sensor that is wrong by a factor.
    ///
    /// # Errors
    /// Returns the reason, one sentence, where there are no inferences, the sources differ, a stretch has fewer
    /// than sixteen good pairs of readings, or they cover less than half of it.
    pub fn of(idle: Stretch<'_>, load: Stretch<'_>, inferences: u64) -> Result<Self, String> {
        let (a, b) = (idle.samples, load.samples);
        let kind = |s: &Samples| (s.source.clone(), s.scope, matches!(s.quantity, Quantity::Watts));
        if kind(a) != kind(b) {
            return Err(format!(
                "idle was read from {} ({}), load from {} ({}), wanted the same source",
                a.source, a.scope, b.source, b.scope
            ));
        }
        if inferences == 0 {
            return Err("no inference ran, wanted one or more".into());
        }
        let (rest, work) = (Part::of("idle", idle)?, Part::of("load", load)?);
        let half = |n: usize| {
            let enough = n == BLOCKS[0] || rest.segments.len().min(work.segments.len()) >= n * PER_BLOCK;
            let halves = difference_ci95(&rest.blocks(n), &work.blocks(n)).map(|(_, half)| half);
            halves.filter(|_| enough)
        };
        let noise = BLOCKS.into_iter().filter_map(half).fold(f64::NAN, f64::max);
        let load_s = load.to_s - load.from_s;
        let each = load_s / inferences as f64;
        let joules = (work.watts - rest.watts) * each;
        let half = (noise + rest.step + work.step) * each;
        if !(joules.is_finite() && half.is_finite()) {
            return Err("the readings' spread is no number".into());
        }
        Ok(Self {
            source: b.source.clone(),
            scope: b.scope,
            idle_w: rest.watts,
            load_w: work.watts,
            joules_per_inference: joules,
            ci95: [joules - half, joules + half],
            samples: rest.segments.len() + work.segments.len(),
            missed: rest.missed + work.missed,
            idle_s: rest.seconds,
            load_s,
        })
    }
}

#[cfg(test)]
mod tests;
