//! A governor's cycles: steps up at even intervals, with a way back between them.

use super::pieces::Piece;
use crate::measure::robust::median;
use crate::measure::stats::percentile;

/// Steps up that make cycles, at least; one less where the trace begins within a cycle.
const STEPS: usize = 4;
/// A step up is at least this (a logarithm).
const UP: f64 = 0.03;
/// A step is so far from where its cycle should begin, at most: a share of the cycle, and two blocks in any case.
const UNEVEN: f64 = 0.15;
/// Of three steps that should be there two are, at least; and of three that are there two should be.
const MISSED: usize = 2;
/// The share of a cycle above the middle of its range, at least, and below it: less is a disturbance.
const ABOVE: f64 = 0.22;
/// The share of cycles that are as they should be, at least.
const SOUND: f64 = 0.75;

/// These are cycles that go on to the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Cycles {
    /// First block of the first cycle.
    pub from: usize,
    /// The whole cycles, each `[from, to]` without the last block.
    pub whole: Vec<[usize; 2]>,
}

/// Steps up at even intervals.
struct Chain {
    ups: Vec<usize>,
    missed: usize,
    /// Blocks of a cycle.
    period: f64,
}

/// Returns the cycles in which a trace of logarithms ends.
pub fn find(logs: &[f64], pieces: &[Piece]) -> Option<Cycles> {
    let rise = |(a, b): (&Piece, &Piece)| (b.begin - a.end >= UP).then_some((b.from, b.begin - a.end));
    let mut ups: Vec<(usize, f64)> = pieces.iter().zip(pieces.iter().skip(1)).filter_map(rise).collect();
    let typical = median(&ups.iter().map(|u| u.1).collect::<Vec<_>>());
    ups.retain(|u| (typical / 2.0..=typical * 2.0).contains(&u.1));
    let ups: Vec<usize> = ups.iter().map(|u| u.0).collect();
    let mut best: Option<(usize, Cycles)> = None;
    for (i, first) in ups.iter().enumerate() {
        for second in ups.iter().skip(i + 1).take(2) {
            let chain = chain(&ups, [*first, *second], logs.len());
            let extra = ups.len() - i - chain.ups.len();
            let members = chain.ups.len();
            let score = (members + 1).saturating_sub(chain.missed + extra);
            let is_regular = MISSED * chain.missed <= members && MISSED * extra <= members;
            if is_regular
                && best.as_ref().is_none_or(|b| score > b.0)
                && let Some(cycles) = sound(logs, &chain)
            {
                best = Some((score, cycles));
            }
        }
    }
    best.map(|b| b.1)
}

/// From a first step on, at the distance of the second, as long as the trace lasts.
fn chain(ups: &[usize], [first, second]: [usize; 2], blocks: usize) -> Chain {
    let mut period = (second - first) as f64;
    let (mut found, mut missed, mut now) = (vec![first], 0, first as f64);
    let mut intervals = Vec::new();
    loop {
        let off = (UNEVEN * period).max(2.0);
        let due = now + period;
        let near = ups.iter().filter(|u| **u as f64 > now && (**u as f64 - due).abs() <= off);
        let next = near.min_by(|a, b| (**a as f64 - due).abs().total_cmp(&(**b as f64 - due).abs()));
        match next {
            Some(&up) => {
                intervals.push(up as f64 - now);
                // As the cycles go on, their length is known better.
                period = median(&intervals);
                found.push(up);
                now = up as f64;
            }
            None if due + off >= blocks as f64 => break,
            None => {
                missed += 1;
                now = due;
            }
        }
    }
    Chain { ups: found, missed, period }
}

/// The cycles of a chain that has enough of them, where most go up and come back.
fn sound(logs: &[f64], chain: &Chain) -> Option<Cycles> {
    let pairs = chain.ups.iter().zip(chain.ups.iter().skip(1)).map(|(a, b)| [*a, *b]);
    let one = |[a, b]: &[usize; 2]| ((b - a) as f64) < 1.5 * chain.period;
    let whole: Vec<[usize; 2]> = pairs.filter(one).collect();
    let from = first(logs, &whole, chain)?;
    let wanted = if from == 0 { STEPS - 1 } else { STEPS };
    let is_sound = |[a, b]: &&[usize; 2]| is_cycle(logs.get(*a..*b).unwrap_or_default());
    let share = whole.iter().filter(is_sound).count() as f64 / whole.len() as f64;
    (chain.ups.len() >= wanted && whole.len() >= 2 && share >= SOUND).then_some(Cycles { from, whole })
}

/// Whether a cycle is high for a while and low for a while.
fn is_cycle(logs: &[f64]) -> bool {
    let mut sorted = logs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (percentile(&sorted, 0.1), percentile(&sorted, 0.9));
    let above = logs.iter().filter(|x| **x > (low + high) / 2.0).count() as f64 / logs.len().max(1) as f64;
    high - low >= UP / 2.0 && (ABOVE..=1.0 - ABOVE).contains(&above)
}

/// The first block of the first cycle: block 0 where the trace begins high and the first step seen is a cycle away.
fn first(logs: &[f64], whole: &[[usize; 2]], chain: &Chain) -> Option<usize> {
    let seen = *chain.ups.first()?;
    let mut all: Vec<f64> =
        whole.iter().flat_map(|[a, b]| logs.get(*a..*b).unwrap_or_default()).copied().collect();
    all.sort_by(f64::total_cmp);
    let middle = (percentile(&all, 0.1) + percentile(&all, 0.9)) / 2.0;
    let begins_high = median(logs.get(..3).unwrap_or_default()) > middle;
    let is_near = seen as f64 <= (1.0 + UNEVEN) * chain.period;
    Some(if begins_high && is_near { 0 } else { seen })
}
