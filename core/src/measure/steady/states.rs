//! From pieces to states: which changes count.

use super::pieces::Piece;
use super::{CHANGE, DWELL, REMAINS};
use crate::measure::robust::median;

/// Blocks of pieces that lie higher than the piece before and the piece behind them, and last less than a state together:
/// other work made them slower for a while. At either end one neighbour is enough.
pub fn disturbed(pieces: &[Piece], left_out: &[bool]) -> Vec<bool> {
    let (mut found, dwell) = (left_out.to_vec(), super::dwell(left_out.len()));
    let mut mark = |from: usize, to: usize| {
        if to - from < dwell {
            found.iter_mut().take(to).skip(from).for_each(|out| *out = true);
        }
    };
    for i in 0..pieces.len() {
        for j in i + 1..=pieces.len() {
            let Some(group) = pieces.get(i..j) else { continue };
            let before = i.checked_sub(1).and_then(|i| pieces.get(i)).map(|p| p.end);
            let behind = pieces.get(j).map(|p| p.begin);
            let low = group.iter().map(|p| p.begin.min(p.end)).fold(f64::INFINITY, f64::min);
            let beside = [before, behind].into_iter().flatten().reduce(f64::max);
            if let (Some(beside), Some(first), Some(last)) = (beside, group.first(), group.last())
                && low >= beside + CHANGE
            {
                mark(first.from, last.to);
            }
        }
    }
    found
}

/// Joins pieces until each two neighbours differ by [`CHANGE`] or more, and nothing that lasts less than [`DWELL`] blocks
/// comes and goes.
pub fn join(logs: &[f64], left_out: &[bool], pieces: &[Piece]) -> Vec<Piece> {
    let dwell = super::dwell(logs.len());
    let counted = |from: usize, to: usize| {
        let blocks = logs.iter().zip(left_out).take(to).skip(from);
        blocks.filter(|(_, is_out)| !**is_out).map(|(x, _)| *x).collect::<Vec<f64>>()
    };
    let flatten = |p: &Piece| {
        let is_ramp = (p.end - p.begin).abs() >= CHANGE && p.len() >= DWELL;
        if is_ramp { *p } else { Piece::flat(p.from, p.to, median(&counted(p.from, p.to))) }
    };
    let mut states: Vec<Piece> = pieces.iter().map(flatten).collect();
    while let Some((first, last)) = passing(&states, dwell).or_else(|| alike(&states)) {
        let (Some(a), Some(b)) = (states.get(first), states.get(last)) else { break };
        // The level of what lasts, not of what passes.
        let outer: Vec<f64> = [a, b].iter().flat_map(|p| counted(p.from, p.to)).collect();
        let joined = match (a.is_flat(), b.is_flat()) {
            _ if first == 0 && a.len() < dwell && last == 1 => Piece { from: a.from, ..*b },
            _ if last + 1 == states.len() && b.len() < dwell && last == first + 1 => Piece { to: b.to, ..*a },
            (true, true) => Piece::flat(a.from, b.to, median(&outer)),
            _ => Piece { from: a.from, to: b.to, begin: a.begin, end: b.end },
        };
        states.splice(first..=last, [joined]);
    }
    states
}

/// Two states with what passes between them; or a short first or last one, with its neighbour. The shortest first.
fn passing(states: &[Piece], dwell: usize) -> Option<(usize, usize)> {
    let mut best: Option<(usize, usize, usize)> = None;
    let mut offer = |blocks: usize, first: usize, last: usize| {
        if blocks < dwell && best.is_none_or(|b| blocks < b.0) {
            best = Some((blocks, first, last));
        }
    };
    for (i, a) in states.iter().enumerate() {
        let mut between = 0;
        for (j, b) in states.iter().enumerate().skip(i + 1) {
            if j > i + 1 && (b.begin - a.end).abs() < 2.0 * CHANGE && a.is_flat() && b.is_flat() {
                offer(between, i, j);
            }
            between += b.len();
        }
    }
    if let [first, second, ..] = states {
        // Other work makes a beginning slower, never faster.
        if first.end >= second.begin {
            offer(first.len(), 0, 1);
        }
    }
    if let [.., _, last] = states {
        offer(last.len(), states.len() - 2, states.len() - 1);
    }
    best.map(|(_, first, last)| (first, last))
}

/// The neighbours that differ least, where that is no change.
fn alike(states: &[Piece]) -> Option<(usize, usize)> {
    let difference = |(i, (a, b)): (usize, (&Piece, &Piece))| {
        let both = a.is_flat() && b.is_flat();
        both.then_some(((b.begin - a.end).abs(), i))
    };
    let pairs = states.iter().zip(states.iter().skip(1)).enumerate().filter_map(difference);
    let least = pairs.min_by(|a, b| a.0.total_cmp(&b.0)).filter(|(d, _)| *d < CHANGE);
    least.map(|(_, i)| (i, i + 1))
}

/// Returns the block from which the last state holds: its first one, or the block of the ramp before it at which less than
/// [`REMAINS`] of it remains. It is `None` where the last state is a ramp.
pub fn steady_from(states: &[Piece]) -> Option<usize> {
    let (last, before) = states.split_last()?;
    if !last.is_flat() {
        return None;
    }
    let mut from = last.from;
    for ramp in before.iter().rev().take_while(|p| !p.is_flat()) {
        let slope = (ramp.end - ramp.begin) / (ramp.len().max(2) - 1) as f64;
        let arrived = |i: &usize| (ramp.begin + slope * (i - ramp.from) as f64 - last.begin).abs() >= REMAINS;
        // The last block that is still away.
        match (ramp.from..ramp.to).rev().find(arrived) {
            Some(away) => return Some(from.min(away + 1)),
            None => from = ramp.from,
        }
    }
    Some(from)
}
