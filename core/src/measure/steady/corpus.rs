//! Made-up traces of block medians whose truth is known, to count how often the rule of [`super`] finds it.
//!
//! A trace is a pure function of its kind and seed. Its noise is real: medians of blocks of one second, recorded once (see
//! the head of `fixtures/soak-noise.txt`), of which stretches of [`STRETCH`] neighbours are drawn with replacement (moving
//! blocks; Künsch 1989), so that what neighbours have in common stays. The machine that was recorded was busy, its robust
//! standard deviation 7 %. Its shape is kept and its size, as logarithms, made [`QUIET`] for all kinds but [`Kind::Busy`]:
//! that of a machine with nothing else to do, and not of the quietest (README.md shows a p50 known to 0.2 % after 3 s).
//! **Frozen before the rule was tuned**, on seeds 0 to 99; the test that counts takes others.

use crate::measure::robust::{MAD_TO_SD, mad};
use crate::rng::Rng;

/// Robust standard deviation of a quiet machine's block medians, a share.
const QUIET: f64 = 0.01;

/// Neighbours that are drawn together, blocks.
const STRETCH: usize = 20;
/// What remains of a ramp when nobody need tell it from its end any more, as a share of the end's level. The steady state
/// of a ramp may begin anywhere from there to the ramp's end.
pub const TOLERATED: f64 = 0.02;

/// This is how a trace goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One to four steps up of 3 to 40 %, as clocks are taken back in steps.
    Staircase,
    /// The level stays where it is.
    Flat,
    /// A governor that takes the clock back and lets it go again.
    Sawtooth,
    /// A ramp that ends in a plateau.
    Ramp,
    /// A ramp that does not end.
    Endless,
    /// The level stays where it is, but for heavy tails and bursts of other work.
    Disturbed,
    /// The level stays where it is, under the noise of a busy machine at its full size.
    Busy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Staircase, Self::Flat, Self::Sawtooth, Self::Ramp, Self::Endless, Self::Disturbed, Self::Busy];

    /// For tables and streams of randomness.
    pub fn name(self) -> &'static str {
        match self {
            Self::Staircase => "staircase",
            Self::Flat => "flat",
            Self::Sawtooth => "sawtooth",
            Self::Ramp => "ramp, ends",
            Self::Endless => "ramp, endless",
            Self::Disturbed => "disturbed",
            Self::Busy => "busy machine",
        }
    }
}

/// This is what is true of a trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Truth {
    /// Steady from a block in this range, both ends included.
    From([usize; 2]),
    /// Cycles that repeat from this block to the end.
    Cycles(usize),
    /// Not steady by the end.
    Never,
}

/// This is a made-up trace.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Block medians, ms.
    pub medians: Vec<f64>,
    /// What is to be found.
    pub truth: Truth,
}

/// The recorded noise, as logarithms around 0.
fn recorded() -> Vec<f64> {
    let text = include_str!("../fixtures/soak-noise.txt");
    let lines = text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
    lines.map(|l| l.trim().parse::<f64>().unwrap().ln()).collect()
}

/// Draws a whole number from `low` to `high`, both included.
fn whole(rng: &mut Rng, low: usize, high: usize) -> usize {
    low + rng.below((high - low + 1) as u64) as usize
}

fn real(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.unit_f64()
}

/// Makes the trace of a kind and seed: 150 to 300 blocks.
pub fn trace(kind: Kind, seed: u64) -> Trace {
    let mut rng = Rng::new(seed, &format!("soak corpus: {}", kind.name()), 0);
    let n = whole(&mut rng, 150, 300);
    let (levels, truth) = match kind {
        Kind::Staircase => staircase(n, &mut rng),
        Kind::Flat | Kind::Disturbed | Kind::Busy => (vec![1.0; n], Truth::From([0, 0])),
        Kind::Sawtooth => sawtooth(n, &mut rng),
        Kind::Ramp => ramp(n, &mut rng),
        Kind::Endless => {
            let (begin, rise) = (whole(&mut rng, 0, n / 3), real(&mut rng, 0.08, 0.4));
            let at = |i: usize| 1.0 + rise * i.saturating_sub(begin) as f64 / (n - begin) as f64;
            ((0..n).map(at).collect(), Truth::Never)
        }
    };
    // Whatever the model: from a tenth of a millisecond to a tenth of a second.
    let scale = 10f64.powf(real(&mut rng, -1.0, 2.0));
    let noise = noise(n, kind != Kind::Busy, &mut rng);
    let mut medians: Vec<f64> =
        levels.iter().zip(noise).map(|(level, noise)| scale * level * noise).collect();
    if kind == Kind::Disturbed {
        disturb(&mut medians, &mut rng);
    }
    Trace { medians, truth }
}

/// Factors around 1.
fn noise(n: usize, is_quiet: bool, rng: &mut Rng) -> Vec<f64> {
    let all = recorded();
    let size = if is_quiet { QUIET / (MAD_TO_SD * mad(&all)) } else { 1.0 };
    let mut noise = Vec::with_capacity(n + STRETCH);
    while noise.len() < n {
        let from = whole(rng, 0, all.len() - STRETCH);
        noise.extend(all[from..from + STRETCH].iter().map(|x| (size * x).exp()));
    }
    noise.truncate(n);
    noise
}

/// One to four steps up, at least ten blocks apart, the last with at least a fifth of the trace behind it.
fn staircase(n: usize, rng: &mut Rng) -> (Vec<f64>, Truth) {
    const APART: usize = 10;
    let steps = whole(rng, 1, 4);
    let room = n * 4 / 5 - steps * APART;
    let mut at: Vec<usize> = (0..steps).map(|_| whole(rng, 0, room)).collect();
    at.sort_unstable();
    let at: Vec<usize> = at.iter().enumerate().map(|(i, at)| at + (i + 1) * APART).collect();
    let sizes: Vec<f64> = at.iter().map(|_| 1.0 + real(rng, 0.03, 0.4)).collect();
    let level = |i: usize| at.iter().zip(&sizes).filter(|(at, _)| i >= **at).map(|(_, size)| size).product();
    let last = *at.last().unwrap();
    ((0..n).map(level).collect(), Truth::From([last, last]))
}

/// A first stretch at full clock, then at least four cycles of 12 to 48 blocks: between two levels, or up at once and
/// back slowly. One in seven cycles from the first block on.
fn sawtooth(n: usize, rng: &mut Rng) -> (Vec<f64>, Truth) {
    let begin = if rng.below(7) == 0 { 0 } else { whole(rng, n / 10, n * 3 / 10) };
    let period = whole(rng, 12, ((n - begin) / 4).min(48));
    let (rise, low) = (real(rng, 0.05, 0.4), real(rng, 1.0, 1.1));
    let (is_square, duty) = (rng.below(2) == 0, real(rng, 0.3, 0.7));
    let level = |i: usize| {
        if i < begin {
            return 1.0;
        }
        let phase = ((i - begin) % period) as f64 / period as f64;
        let share = if is_square { f64::from(u8::from(phase < duty)) } else { 1.0 - phase };
        low + rise * share
    };
    ((0..n).map(level).collect(), Truth::Cycles(begin))
}

/// A rise of 3 to 40 % over an eighth to half of the trace, straight or ever slower, then level.
fn ramp(n: usize, rng: &mut Rng) -> (Vec<f64>, Truth) {
    let (begin, length) = (whole(rng, 0, n / 5), whole(rng, n / 8, n / 2));
    let (rise, is_straight) = (real(rng, 0.03, 0.4), rng.below(2) == 0);
    let share = |i: usize| {
        let x = (i.saturating_sub(begin) as f64 / length as f64).min(1.0);
        // Four time constants, scaled to arrive.
        if is_straight { x } else { (1.0 - (-4.0 * x).exp()) / (1.0 - (-4.0f64).exp()) }
    };
    let levels: Vec<f64> = (0..n).map(|i| 1.0 + rise * share(i)).collect();
    let near = |level: &f64| 1.0 + rise - level <= TOLERATED * (1.0 + rise);
    let earliest = levels.iter().position(near).unwrap();
    (levels, Truth::From([earliest, begin + length]))
}

/// Tails as heavy as Student's t with two degrees of freedom, upward, on one block in eight; and two to six bursts of
/// other work, each of one to six blocks and 10 to 80 %.
fn disturb(medians: &mut [f64], rng: &mut Rng) {
    for x in medians.iter_mut() {
        if rng.below(8) == 0 {
            let (normal, square) = (rng.normal(), rng.normal().powi(2) + rng.normal().powi(2));
            *x *= 1.0 + 0.02 * (normal / (square / 2.0).sqrt()).abs().min(50.0);
        }
    }
    for _ in 0..whole(rng, 2, 6) {
        let (length, rise) = (whole(rng, 1, 6), real(rng, 0.1, 0.8));
        let from = whole(rng, 0, medians.len() - length);
        medians[from..from + length].iter_mut().for_each(|x| *x *= 1.0 + rise);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::artifact;

    /// Whoever changes a trace changes what the table of docs/soak.md counts.
    #[test]
    fn the_corpus_is_frozen() {
        let line = |kind: Kind, seed: u64| {
            let t = trace(kind, seed);
            let sum: f64 = t.medians.iter().enumerate().map(|(i, m)| (1 + i % 7) as f64 * m).sum();
            format!("{} {seed} {} {sum:.4e} {:?}\n", kind.name(), t.medians.len(), t.truth)
        };
        let lines = Kind::ALL.into_iter().flat_map(|kind| (0..100).map(move |seed| line(kind, seed)));
        assert_eq!(artifact::sha256(lines.collect::<String>().as_bytes()), FROZEN);
    }
    const FROZEN: &str = "b7e21e6aa148081ad8aa5a07804ecf25487da7934533159a2c7bc57851ae6f0e";
}
