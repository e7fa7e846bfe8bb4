//! Blocks of a soak as they are measured, in bounded memory: a block keeps its quantiles and none of its samples.

use gtn_core::host::{Activity, Conditions};
use gtn_core::measure::quantiles::quantiles_ci95;
use gtn_core::measure::samples::Samples;
use gtn_core::measure::soak::{Block, FIRST_S};
use gtn_core::measure::steady::Level;
use std::time::Instant;

/// Samples that a block's quantiles are taken of, at most; beyond, every second one.
const MAX_SAMPLES: usize = 4096;
/// The same of the first minute.
const MAX_FIRST: usize = 65_536;
/// Counters of the machine say nothing over less time, and reading them takes some.
const LOOK_S: f64 = 0.9;
/// Clock and temperature are looked at this often.
const GLANCE_S: f64 = 0.5;

/// What was measured.
#[derive(Debug)]
pub struct Recorded {
    /// In the order of time.
    pub blocks: Vec<Block>,
    /// Of all inferences that began in the first minute.
    pub first_minute: Level,
    /// Measured.
    pub seconds: f64,
    /// Whether it was stopped before its time.
    pub ended_early: bool,
}

/// A mean under construction.
#[derive(Default)]
struct Mean {
    sum: f64,
    n: usize,
}

impl Mean {
    fn add(&mut self, x: Option<f64>) {
        self.sum += x.unwrap_or(0.0);
        self.n += usize::from(x.is_some());
    }

    fn take(&mut self) -> Option<f64> {
        let Self { sum, n } = std::mem::take(self);
        (n > 0).then(|| sum / n as f64)
    }
}

/// Takes samples in the order of time.
pub struct Recorder {
    block_s: f64,
    blocks: Vec<Block>,
    /// The block that is being filled, by its number.
    index: usize,
    samples: Samples,
    late: usize,
    mhz: Mean,
    celsius: Mean,
    glanced: Instant,
    /// Counters when they were last looked at, and when that was.
    activity: Activity,
    looked: Instant,
    events: Option<u64>,
    first: Samples,
    /// Inferences so far.
    pub inferences: usize,
    /// Median of the last whole block; before there is one, the last sample. Milliseconds.
    pub last_ms: f64,
}

impl Recorder {
    /// Starts at 0 s.
    pub fn new(block_s: f64) -> Self {
        let now = Instant::now();
        Self {
            block_s,
            blocks: Vec::new(),
            index: 0,
            samples: Samples::new(MAX_SAMPLES),
            late: 0,
            mhz: Mean::default(),
            celsius: Mean::default(),
            glanced: now,
            activity: Activity::read(),
            looked: now,
            events: Conditions::read().throttle_events,
            first: Samples::new(MAX_FIRST),
            inferences: 0,
            last_ms: f64::NAN,
        }
    }

    /// Takes an inference that began at `at_s` and took `ms`.
    pub fn push(&mut self, at_s: f64, ms: f64, is_late: bool) {
        let index = (at_s / self.block_s) as usize;
        if index > self.index {
            self.close(f64::INFINITY);
            self.index = index;
        }
        self.samples.push(ms);
        self.late += usize::from(is_late);
        self.inferences += 1;
        if at_s < FIRST_S {
            self.first.push(ms);
        }
        if self.blocks.is_empty() {
            self.last_ms = ms;
        }
    }

    /// Looks at clock and temperature, where it is time.
    pub fn glance(&mut self) {
        if self.glanced.elapsed().as_secs_f64() < GLANCE_S {
            return;
        }
        self.glanced = Instant::now();
        let now = Conditions::glance();
        self.mhz.add(now.mhz);
        self.celsius.add(now.celsius);
    }

    /// Ends the block that is being filled, at `end_s` at the latest.
    fn close(&mut self, end_s: f64) {
        let samples = std::mem::replace(&mut self.samples, Samples::new(MAX_SAMPLES));
        let late = std::mem::take(&mut self.late);
        let inferences = samples.seen();
        let Some(summary) = samples.summary() else { return }; // none began in it
        let from_s = self.index as f64 * self.block_s;
        let mut block = Block {
            from_s,
            // The next block begins at this very number.
            to_s: ((self.index + 1) as f64 * self.block_s).min(end_s),
            inferences,
            median_ms: summary.p50,
            p90_ms: summary.p90,
            p99_ms: summary.p99,
            min_ms: summary.min,
            late,
            mhz: self.mhz.take(),
            celsius: self.celsius.take(),
            watts: None,
            throttled: None,
            throttle_events: None,
            cooling: None,
            disturbance: None,
        };
        if self.looked.elapsed().as_secs_f64() >= LOOK_S {
            self.look(&mut block);
        }
        self.last_ms = block.median_ms;
        self.blocks.push(block);
    }

    fn look(&mut self, block: &mut Block) {
        let now = Conditions::read();
        block.mhz = block.mhz.or(now.mhz);
        block.celsius = block.celsius.or(now.celsius);
        block.throttled = now.throttled;
        block.cooling = now.cooling;
        block.throttle_events =
            now.throttle_events.zip(self.events).map(|(now, then)| now.saturating_sub(then));
        block.disturbance = self.activity.since();
        self.events = now.throttle_events;
        self.activity = Activity::read();
        self.looked = Instant::now();
    }

    /// Ends the soak after `seconds`.
    pub fn finish(mut self, seconds: f64, ended_early: bool) -> Recorded {
        self.close(seconds);
        let ms = self.first.summary().map_or(f64::NAN, |s| s.p50);
        let samples = self.first.kept();
        let ci95 = quantiles_ci95(&samples, &[0.5]).into_iter().next().flatten();
        Recorded { blocks: self.blocks, first_minute: Level { ms, ci95 }, seconds, ended_early }
    }
}
