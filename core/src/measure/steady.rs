//! When does latency become steady under load? Found by a stated rule on the medians of equal blocks of time, not by eye.
//!
//! A processor that heats up takes its clock back in steps (a staircase), slowly (a ramp), or again and again (a governor's
//! cycles). The rule works on logarithms, so that a size is a ratio and the unit does not matter:
//!
//! 1. The noise of a block is the median absolute deviation of the differences of neighbours. A block that lies further than
//!    three of it from the median of itself and two to either side is moved there: single disturbed blocks do not count.
//! 2. Optimal partitioning (Jackson et al. 2005; the pruning is PELT's, Killick, Fearnhead and Eckley 2012) finds the pieces,
//!    each flat or straight, whose squared errors and penalties are least together (`pieces`). It is the exact optimum and
//!    places a change to the block, which binary segmentation does not promise; straight pieces are there because a ramp
//!    in flat pieces is a staircase whose last step says little about where the ramp ends.
//! 3. Steps up that come back at even intervals with as much between them are a governor's cycles (`cycles`).
//! 4. Else pieces are joined (`states`): a change below [`CHANGE`] is none, and what lasts less than [`DWELL`] blocks and
//!    returns is a disturbance. The last state is the steady one; after a ramp it begins where less than [`REMAINS`]
//!    of it remains.
//!
//! How often it finds the truth is counted on made-up traces with recorded noise (`corpus`); docs/soak.md has the table.

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod counts;
mod cycles;
mod pieces;
mod states;

use crate::measure::quantiles::{independent_quantile, quantiles_ci95};
use crate::measure::robust::median;
use crate::measure::stats::mean_ci95;
use pieces::Piece;
use serde::{Deserialize, Serialize};

/// A change of level below this share is no change.
pub const CHANGE: f64 = 0.015;
/// A ramp has arrived where this share of its end's level remains.
pub const REMAINS: f64 = 0.01;
/// Blocks that a state lasts at least.
pub const DWELL: usize = 10;
/// A state lasts at least a tenth of the soak.
fn dwell(blocks: usize) -> usize {
    (blocks / 10).max(DWELL)
}

/// Times that disturbed blocks are left out and the rest is judged anew, at most.
const PASSES: usize = 4;
/// Blocks below which nothing is said.
pub const FEWEST: usize = 2 * DWELL;

/// This is a block of time as the rule sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Its beginning, seconds.
    pub from_s: f64,
    /// Its end, seconds.
    pub to_s: f64,
    /// Median latency, ms, above 0.
    pub median_ms: f64,
}

/// This is a level of latency with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Milliseconds.
    pub ms: f64,
    /// 95 % interval; none where there is too little for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95: Option<[f64; 2]>,
}

/// This is a stretch of time with one level, or of one ramp.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its beginning, seconds.
    pub from_s: f64,
    /// Its end, seconds.
    pub to_s: f64,
    /// Median of its blocks, ms.
    pub median_ms: f64,
}

/// This says whether latency became steady.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verdict {
    /// From the first block on.
    FromTheStart,
    /// From a later block on.
    Later,
    /// A governor takes the clock back and lets it go again: steady over whole cycles.
    Cycles {
        /// From one step up to the next, seconds (median).
        period_s: f64,
        /// Whole cycles seen.
        cycles: usize,
        /// Typical lowest and highest level in a cycle, ms.
        range_ms: [f64; 2],
    },
    /// Latency still moves one way at the end.
    Drifting {
        /// The end's level over the level where the last ramp began.
        ratio: f64,
    },
    /// There are too few blocks to tell.
    TooFew {
        /// Blocks there are.
        blocks: usize,
    },
}

/// This is what the rule found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steady {
    /// First steady block; none where it is not steady by the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_block: Option<usize>,
    /// That block's beginning, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_s: Option<f64>,
    /// Between change points, in order.
    pub segments: Vec<Segment>,
    /// The steady level: the median of its block medians; of cycles the mean over whole ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady: Option<Level>,
    /// What follows.
    pub verdict: Verdict,
}

/// This is one level over another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Best estimate.
    pub ratio: f64,
    /// 95 % interval; none where one of the two has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95: Option<[f64; 2]>,
}

impl Change {
    /// Returns `to` over `from`. The interval is made of the two levels' own (on logarithms; the method of variance
    /// estimates recovery, Zou and Donner 2008).
    pub fn between(from: &Level, to: &Level) -> Self {
        let log = (to.ms / from.ms).ln();
        let ci95 = from.ci95.zip(to.ci95).map(|([from_low, from_high], [to_low, to_high])| {
            let below = (to.ms / to_low).ln().hypot((from_high / from.ms).ln());
            let above = (to_high / to.ms).ln().hypot((from.ms / from_low).ln());
            [(log - below).exp(), (log + above).exp()]
        });
        Self { ratio: log.exp(), ci95: ci95.filter(|ci| ci.iter().all(|x| x.is_finite())) }
    }
}

impl Level {
    /// Returns the median of block medians in the order they were taken. The interval is by batch means from twenty blocks
    /// on, by order statistics below, and there is none below six. Of no blocks it is `None`.
    pub fn of_blocks(medians: &[f64]) -> Option<Self> {
        let batches = || quantiles_ci95(medians, &[0.5]).into_iter().next().flatten();
        let ranks = || independent_quantile(medians, 0.5, 0.95).map(|(_, ci)| ci);
        let ci95 = if medians.len() >= 20 { batches() } else { ranks() };
        (!medians.is_empty()).then(|| Self { ms: median(medians), ci95 })
    }
}

/// Judges blocks in the order of time, with finite medians above 0; it takes time quadratic in their number. Gaps between
/// blocks are taken for none.
pub fn judge(blocks: &[Span]) -> Steady {
    let medians: Vec<f64> = blocks.iter().map(|b| b.median_ms).collect();
    if blocks.len() < FEWEST {
        let verdict = Verdict::TooFew { blocks: blocks.len() };
        let segments = segments(blocks, &medians, &[Piece::flat(0, blocks.len(), 0.0)]);
        return Steady { from_block: None, from_s: None, segments, steady: None, verdict };
    }
    let logs: Vec<f64> = medians.iter().map(|m| m.ln()).collect();
    let mut left_out = vec![false; logs.len()];
    let mut found = pieces::find(&logs, &left_out);
    for _ in 0..PASSES {
        if let Some(cycles) = cycles::find(&logs, &found) {
            return cycling(blocks, &medians, &found, &cycles);
        }
        let more = states::disturbed(&found, &left_out);
        if more == left_out {
            break;
        }
        left_out = more;
        found = pieces::find(&logs, &left_out);
    }
    let states = states::join(&logs, &left_out, &found);
    let segments = segments(blocks, &medians, &states);
    let from = states::steady_from(&states);
    let Some(from) = from else {
        let last = states.last().map_or(0.0, |s| s.end - s.begin);
        let verdict = Verdict::Drifting { ratio: last.exp() };
        return Steady { from_block: None, from_s: None, segments, steady: None, verdict };
    };
    let verdict = if from == 0 { Verdict::FromTheStart } else { Verdict::Later };
    let steady = Level::of_blocks(medians.get(from..).unwrap_or_default());
    let from_s = blocks.get(from).map(|b| b.from_s);
    Steady { from_block: Some(from), from_s, segments, steady, verdict }
}

fn segments(blocks: &[Span], medians: &[f64], pieces: &[Piece]) -> Vec<Segment> {
    let segment = |p: &Piece| {
        let (first, last) = (blocks.get(p.from)?, blocks.get(p.to.checked_sub(1)?)?);
        let median_ms = median(medians.get(p.from..p.to)?);
        Some(Segment { from_s: first.from_s, to_s: last.to_s, median_ms })
    };
    pieces.iter().filter_map(segment).collect()
}

/// The steady level of cycles is the mean over whole ones, its interval Student's t over their means.
fn cycling(blocks: &[Span], medians: &[f64], pieces: &[Piece], cycles: &cycles::Cycles) -> Steady {
    let of = |pick: fn(f64, f64) -> f64| {
        let all = cycles.whole.iter().filter_map(|[a, b]| medians.get(*a..*b)?.iter().copied().reduce(pick));
        median(&all.collect::<Vec<f64>>())
    };
    let mean = |[a, b]: &[usize; 2]| {
        let cycle = medians.get(*a..*b)?;
        Some(cycle.iter().sum::<f64>() / cycle.len() as f64)
    };
    let means: Vec<f64> = cycles.whole.iter().filter_map(mean).collect();
    let ci95 = mean_ci95(&means).map(|(mean, half)| [mean - half, mean + half]).filter(|[low, _]| *low > 0.0);
    let ms = means.iter().sum::<f64>() / means.len() as f64;
    let at = |block: usize| blocks.get(block).map(|b| b.from_s);
    let periods = cycles.whole.iter().filter_map(|[a, b]| Some(at(*b)? - at(*a)?));
    let verdict = Verdict::Cycles {
        period_s: median(&periods.collect::<Vec<f64>>()),
        cycles: means.len(),
        range_ms: [of(f64::min), of(f64::max)],
    };
    Steady {
        from_block: Some(cycles.from),
        from_s: at(cycles.from),
        segments: segments(blocks, medians, pieces),
        steady: Some(Level { ms, ci95 }),
        verdict,
    }
}
