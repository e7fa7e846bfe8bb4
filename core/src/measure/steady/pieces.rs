//! The best pieces of a trace, each flat or straight: optimal partitioning.

use crate::measure::robust::{MAD_TO_SD, mad, median};

/// Penalty of a piece and of its slope, in squared standard deviations of a block per ln n. The Bayesian information
/// criterion has 1 a parameter; noise with tails, whose neighbours hang together, wants more (chosen on seeds 0 to 99 of
/// the corpus).
const PIECE: f64 = 20.0;
const SLOPE: f64 = 10.0;
/// Blocks of a flat and of a straight piece, at least.
const FLAT: usize = 2;
const STRAIGHT: usize = 5;
/// Blocks to either side that say whether one is disturbed; and how far off it is then, in standard deviations.
const BESIDE: usize = 2;
const FAR: f64 = 3.0;

/// This is a run of blocks `from..to` with one level, or one slope; levels are logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// First block.
    pub from: usize,
    /// After the last block.
    pub to: usize,
    /// Level at the first block.
    pub begin: f64,
    /// Level at the last block.
    pub end: f64,
}

impl Piece {
    /// One level.
    pub fn flat(from: usize, to: usize, level: f64) -> Self {
        Self { from, to, begin: level, end: level }
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.to - self.from
    }

    /// Whether it has one level.
    pub fn is_flat(&self) -> bool {
        self.begin == self.end
    }
}

/// Standard deviation of a block: robust, from differences of neighbours and next neighbours, whose spread neither a few
/// steps nor a slope moves.
pub fn noise(logs: &[f64]) -> f64 {
    let spread = |lag: usize| {
        let differences: Vec<f64> = logs.iter().zip(logs.iter().skip(lag)).map(|(a, b)| b - a).collect();
        MAD_TO_SD * mad(&differences) / 2f64.sqrt()
    };
    // A clock of whole microseconds may show no noise at all: a tenth of a percent at least.
    spread(1).max(spread(2)).max(1e-3)
}

/// The trace with single disturbed blocks moved to where the noise may have been.
fn clipped(logs: &[f64], noise: f64) -> Vec<f64> {
    let clip = |(i, x): (usize, &f64)| {
        let near = logs.get(i.saturating_sub(BESIDE)..(i + BESIDE + 1).min(logs.len()));
        let centre = median(near.unwrap_or_default());
        x.clamp(centre - FAR * noise, centre + FAR * noise)
    };
    logs.iter().enumerate().map(clip).collect()
}

/// Sums up to each block, without those left out: of 1, t, t^2 (t: the block's number), x, x^2, t x.
struct Sums(Vec<[f64; 6]>);

impl Sums {
    fn of(x: &[f64], left_out: &[bool]) -> Self {
        let centre = median(x); // small numbers keep their digits
        let mut sums = vec![[0.0; 6]];
        let mut now = [0.0; 6];
        for (i, (x, is_out)) in x.iter().zip(left_out).enumerate() {
            let (t, x) = (i as f64, x - centre);
            if !is_out {
                for (sum, term) in now.iter_mut().zip([1.0, t, t * t, x, x * x, t * x]) {
                    *sum += term;
                }
            }
            sums.push(now);
        }
        Self(sums)
    }

    /// Squared errors of blocks `from..to` about their mean, and how much less about their line.
    fn errors(&self, from: usize, to: usize) -> (f64, f64) {
        let (Some(a), Some(b)) = (self.0.get(from), self.0.get(to)) else { return (0.0, 0.0) };
        let [n, t, tt, x, xx, tx] = std::array::from_fn(|i| b[i] - a[i]);
        if n < 1.0 {
            return (0.0, 0.0);
        }
        let (cross, squares_t) = (tx - t * x / n, tt - t * t / n);
        let gain = if squares_t > 1e-6 { cross * cross / squares_t } else { 0.0 };
        ((xx - x * x / n).max(0.0), gain)
    }
}

/// Returns the pieces of a trace of logarithms, at least one of at least one block. Blocks that are left out are in a piece
/// and have no say in it.
pub fn find(logs: &[f64], left_out: &[bool]) -> Vec<Piece> {
    let noise = noise(logs);
    let x = clipped(logs, noise);
    let sums = Sums::of(&x, left_out);
    let unit = noise * noise * (logs.len() as f64).ln();
    let (piece, slope) = (PIECE * unit, SLOPE * unit);
    // Of blocks 0..t: the least cost; where the last piece begins; whether it is straight.
    let mut best: Vec<(f64, usize, bool)> = vec![(0.0, 0, false)];
    let mut starts: Vec<usize> = vec![0];
    for t in 1..=x.len() {
        let cost = |&s: &usize| {
            let before = best.get(s).map_or(f64::INFINITY, |b| b.0);
            let (flat, gain) = sums.errors(s, t);
            let flat_cost = if t - s >= FLAT { before + flat + piece } else { f64::INFINITY };
            let is_straight = t - s >= STRAIGHT && gain > slope;
            let cost = if is_straight { flat_cost - gain + slope } else { flat_cost };
            (cost, s, is_straight, before + flat - gain)
        };
        let costs: Vec<_> = starts.iter().map(cost).collect();
        let least = costs.iter().min_by(|a, b| a.0.total_cmp(&b.0));
        let least = least.map_or((f64::INFINITY, 0, false), |l| (l.0, l.1, l.2));
        best.push(least);
        // PELT's pruning, by the least that a piece from `s` can cost; those too young to be judged stay.
        let stays = |c: &&(f64, usize, bool, f64)| t - c.1 < STRAIGHT || c.3 <= least.0 + slope;
        starts = costs.iter().filter(stays).map(|c| c.1).collect();
        starts.push(t);
    }
    let (mut found, mut to) = (Vec::new(), x.len());
    while let Some(&(_, from, is_straight)) = best.get(to).filter(|_| to > 0) {
        found.push(fitted(&x, left_out, [from, to], is_straight));
        to = from;
    }
    found.reverse();
    found
}

/// A piece with its level, or its line (least squares).
fn fitted(x: &[f64], left_out: &[bool], [from, to]: [usize; 2], is_straight: bool) -> Piece {
    let points: Vec<(f64, f64)> = (from..to)
        .filter(|i| left_out.get(*i) != Some(&true))
        .filter_map(|i| Some((i as f64, *x.get(i)?)))
        .collect();
    let level = median(&points.iter().map(|p| p.1).collect::<Vec<_>>());
    if !is_straight {
        return Piece::flat(from, to, level);
    }
    let n = points.len() as f64;
    let mean_t = points.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_x = points.iter().map(|p| p.1).sum::<f64>() / n;
    let cross: f64 = points.iter().map(|(t, x)| (t - mean_t) * (x - mean_x)).sum();
    let squares: f64 = points.iter().map(|(t, _)| (t - mean_t).powi(2)).sum();
    let at = |t: usize| mean_x + cross / squares * (t as f64 - mean_t);
    Piece { from, to, begin: at(from), end: at(to - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step and a ramp without noise are found to the block.
    #[test]
    fn pieces_by_hand() {
        let step: Vec<f64> = (0..60).map(|i| if i < 23 { 0.0 } else { 0.05 }).collect();
        let found = find(&step, &[false; 60]);
        assert_eq!(found, [Piece::flat(0, 23, 0.0), Piece::flat(23, 60, 0.05)]);
        let ramp: Vec<f64> = (0..90).map(|i| 0.004 * f64::from(i.clamp(30, 60) - 30)).collect();
        let found = find(&ramp, &[false; 90]);
        let [flat, straight, end] = found[..] else { panic!("{found:?}") };
        assert!(flat.is_flat() && end.is_flat() && !straight.is_flat(), "{found:?}");
        assert!(flat.to.abs_diff(30) <= 2 && end.from.abs_diff(60) <= 2, "{found:?}");
        assert!((straight.end - straight.begin - 0.12).abs() < 0.01, "{found:?}");
        assert_eq!(find(&[0.5; 20], &[false; 20]).len(), 1);
    }
}
