//! Measured latency: how it was measured, every sample, what they say.

use crate::host::{Conditions, Disturbance};
use crate::measure::quantiles::quantiles_ci95;
use crate::measure::robust::{mad, median};
use crate::measure::stats::Summary;
use serde::{Deserialize, Serialize};

/// This says how inferences followed each other.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Pace {
    /// The next begins when the last ends.
    #[default]
    BackToBack,
    /// One begins every so often, as a camera delivers.
    Paced {
        /// Milliseconds from start to start.
        interval_ms: f64,
        /// Inferences that began late because the one before was not done.
        late: usize,
    },
    /// MLPerf's single stream: back to back, at least 1024 samples and 60 s, judged by p90.
    SingleStream,
}

/// This says what a timed inference includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Io {
    /// Inputs and outputs stay where the backend wants them (ONNX Runtime's IoBinding).
    #[default]
    Bound,
    /// Both are copied each time.
    Copied,
}

impl std::fmt::Display for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bound => "bound",
            Self::Copied => "copied",
        })
    }
}

/// Blocks that a run's samples are divided into where the machine at rest is looked for.
const REST_BLOCKS: usize = 20;

/// Returns the median inference of the machine at rest, from samples in the order in which they were taken: the second lowest of
/// the medians of twenty blocks. Other work on the machine only ever adds time, and it spoils some blocks, not all. Of
/// fewer than twenty samples it is their median. It is `None` of no samples, and where one is not finite.
pub fn at_rest(samples: &[f64]) -> Option<f64> {
    if samples.is_empty() || samples.iter().any(|x| !x.is_finite()) {
        return None;
    }
    let size = samples.len() / REST_BLOCKS;
    if size == 0 {
        return Some(median(samples));
    }
    let mut medians: Vec<f64> = samples.chunks_exact(size).take(REST_BLOCKS).map(median).collect();
    medians.sort_by(f64::total_cmp);
    medians.get(1).copied()
}

/// These are 95 % intervals (batch means) and a robust spread, in the samples' unit. An interval is absent
/// where the samples are too few for one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Robust {
    /// Of the median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ci95: Option<[f64; 2]>,
    /// Of the 90th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90_ci95: Option<[f64; 2]>,
    /// Of the 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ci95: Option<[f64; 2]>,
    /// Median absolute deviation from the median.
    pub mad: f64,
}

impl Robust {
    /// Sums up finite samples in the order they were taken; `None` of fewer than two, or where one is not
    /// finite.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let [p50_ci95, p90_ci95, p99_ci95] = quantiles_ci95(samples, &[0.5, 0.9, 0.99])[..] else {
            return None;
        };
        let finite = samples.len() > 1 && samples.iter().all(|x| x.is_finite());
        finite.then(|| Self { p50_ci95, p90_ci95, p99_ci95, mad: mad(samples) })
    }
}

/// This is the clock and temperature at a moment while measuring.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Seconds since the first sample.
    pub at_s: f64,
    /// Clock of the fastest core, MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mhz: Option<f64>,
    /// Hottest sensor of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub celsius: Option<f64>,
}

/// This is the time of one inference, in milliseconds, and how it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Images per inference.
    pub batch: usize,
    /// Loading and preparing the model.
    pub init_ms: f64,
    /// The first inference.
    pub first_ms: f64,
    /// Inferences before measuring began.
    pub warmup_runs: usize,
    /// Seconds that took.
    pub warmup_s: f64,
    /// How inferences followed each other.
    #[serde(default)]
    pub pace: Pace,
    /// What of handing tensors over is timed.
    #[serde(default)]
    pub io: Io,
    /// CPUs the process was confined to (`0-3,7`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// Inferences measured.
    #[serde(default)]
    pub inferences: usize,
    /// Of these every so many-th is kept in `samples_ms`; 1: all.
    #[serde(default = "one")]
    pub kept_every: usize,
    /// Of `samples_ms`; smallest and largest of all.
    pub summary: Summary,
    /// How sure the percentiles are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robust: Option<Robust>,
    /// Measured inferences, in order.
    pub samples_ms: Vec<f64>,
    /// Before the first sample.
    pub before: Conditions,
    /// After the last.
    pub after: Conditions,
    /// Now and then between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub during: Vec<Moment>,
    /// What else went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disturbance: Option<Disturbance>,
}

fn one() -> usize {
    1
}

/// Collects samples without limit on their number: beyond a cap every second one is forgotten, then only
/// every second new one is kept, and so on; the smallest and largest of all are remembered.
#[derive(Debug, Clone)]
pub struct Samples {
    kept: Vec<f64>,
    cap: usize,
    every: usize,
    seen: usize,
    extremes: [f64; 2],
}

impl Samples {
    /// Starts with no samples; at most `cap` (even) of them will be kept.
    pub fn new(cap: usize) -> Self {
        Self {
            kept: Vec::with_capacity(cap),
            cap,
            every: 1,
            seen: 0,
            extremes: [f64::INFINITY, f64::NEG_INFINITY],
        }
    }

    /// Takes one sample.
    pub fn push(&mut self, sample: f64) {
        if self.seen.is_multiple_of(self.every) {
            if self.kept.len() == self.cap {
                let mut index = 0;
                self.kept.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.every *= 2;
            }
            if self.seen.is_multiple_of(self.every) {
                self.kept.push(sample);
            }
        }
        self.seen += 1;
        self.extremes = [self.extremes[0].min(sample), self.extremes[1].max(sample)];
    }

    /// Returns how many were taken.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Returns how many taken samples stand for one kept.
    pub fn every(&self) -> usize {
        self.every
    }

    /// Returns those kept, in order.
    pub fn kept(self) -> Vec<f64> {
        self.kept
    }

    /// Sums up those kept, with the extremes of all; it is `None` of none.
    pub fn summary(&self) -> Option<Summary> {
        let [min, max] = self.extremes;
        Summary::of(&self.kept).map(|s| Summary { min, max, ..s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of the time something else runs, and an inference takes twice as long.
    #[test]
    fn other_work_is_not_the_machine_at_rest() {
        let busy = |i: usize| if (i / 300).is_multiple_of(2) { 2.0 } else { 1.0 };
        let samples: Vec<f64> = (0..2000).map(|i| busy(i) + 0.001 * (i % 7) as f64).collect();
        assert!((at_rest(&samples).unwrap() - 1.003).abs() < 1e-9, "{:?}", at_rest(&samples));
        assert_eq!((at_rest(&[3.0, 1.0, 2.0]), at_rest(&[])), (Some(2.0), None));
        assert_eq!(at_rest(&[f64::NAN; 40]), None);
    }

    #[test]
    fn every_sample_counts_and_memory_is_bounded() {
        let mut s = Samples::new(8);
        for i in 0..100 {
            s.push(f64::from(i));
        }
        assert_eq!((s.seen(), s.every()), (100, 16));
        let summary = s.summary().unwrap();
        assert_eq!((summary.min, summary.max), (0.0, 99.0));
        assert_eq!(s.kept(), [0.0, 16.0, 32.0, 48.0, 64.0, 80.0, 96.0]);
        let mut few = Samples::new(8);
        few.push(2.0);
        assert_eq!((few.every(), few.clone().kept()), (1, vec![2.0]));
    }
}
