//! The intervals and the samples that they are tried on. `core/tests/coverage.rs` runs them too, with fewer
//! draws.

#![allow(clippy::unwrap_used)] // the samples are enough and finite

use gtn_core::latency::Line;
use gtn_core::measure::quantiles::{independent_quantile, quantiles_ci95};
use gtn_core::measure::robust::{hodges_lehmann, hodges_lehmann_at_looks};
use gtn_core::measure::shares::{paired_share_ci95, share_ci95};
use gtn_core::measure::stats::{difference_ci95, holm, mean_ci95, t_test};
use gtn_core::rng::Rng;

/// One interval on one kind of samples.
pub struct Row {
    /// Whose interval.
    pub interval: &'static str,
    /// On what.
    pub of: String,
    /// How often it says it holds the truth.
    pub stated: f64,
    /// Draws; none where every outcome was counted with its probability.
    pub draws: Option<u64>,
    /// How often it did.
    pub held: f64,
}

impl Row {
    /// Not below what is stated by more than three standard errors of so many draws; counted outcomes not at
    /// all. NaN keeps nothing.
    pub fn keeps(&self) -> bool {
        let error = self.draws.map_or(1e-9, |n| 3.0 * (self.stated * (1.0 - self.stated) / n as f64).sqrt());
        self.held >= self.stated - error
    }

    /// What there is to say about it.
    pub fn remark(&self) -> &'static str {
        match self.keeps() {
            false => "TOO FEW",
            true if self.held > 0.98 => "wider than it need be",
            true => "",
        }
    }
}

/// All of them, with so many draws each.
pub fn all(draws: u64) -> Vec<Row> {
    let mut rows = shares();
    rows.extend(pairs());
    rows.extend(signed_rank(draws));
    rows.extend(means(draws));
    rows.extend(quantiles(draws));
    rows.extend(bursts(draws));
    rows.extend(networks(draws));
    rows.push(several_arms(draws));
    rows
}

/// Whether an interval holds the truth.
fn holds([low, high]: [f64; 2], truth: f64) -> bool {
    low <= truth && truth <= high
}

/// The share of draws for which `one` is true.
fn drawn(name: &'static str, of: String, draws: u64, one: impl Fn(&mut Rng) -> bool) -> Row {
    let held = (0..draws).filter(|&i| one(&mut Rng::new(20_000, &of, i))).count();
    Row { interval: name, of, stated: 0.95, draws: Some(draws), held: held as f64 / draws as f64 }
}

fn normals(rng: &mut Rng, n: usize, sd: f64) -> Vec<f64> {
    (0..n).map(|_| sd * rng.normal()).collect()
}

/// ln of 0!, 1!, ... n!
fn log_factorials(n: usize) -> Vec<f64> {
    let mut all = vec![0.0];
    for i in 1..=n {
        all.push(all[i - 1] + (i as f64).ln());
    }
    all
}

/// Accuracies: the least coverage over true shares, every outcome counted.
fn shares() -> Vec<Row> {
    let least = |n: usize| {
        let f = log_factorials(n);
        let intervals: Vec<[f64; 2]> = (0..=n).map(|k| share_ci95(k, n)).collect();
        let coverage = |p: f64| -> f64 {
            let chance = |k: usize| {
                (f[n] - f[k] - f[n - k] + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln()).exp()
            };
            (0..=n).filter(|&k| holds(intervals[k], p)).map(chance).sum()
        };
        // Coverage falls by steps just beyond the ends of the intervals: those are looked at as well.
        let ends = intervals.iter().flatten().flat_map(|e| [e - 1e-9, e + 1e-9]);
        let shares = (1..400).map(|i| f64::from(i) / 400.0).chain(ends).filter(|p| 0.0 < *p && *p < 1.0);
        shares.map(coverage).fold(1.0, f64::min)
    };
    let row = |n: usize| Row {
        interval: "top-1, top-5, a class's share",
        of: format!("{n} images, the worst share"),
        stated: 0.95,
        draws: None,
        held: least(n),
    };
    vec![row(10), row(100), row(500)]
}

/// A stated drop: every pair of counts with its probability.
fn pairs() -> Vec<Row> {
    let coverage = |n: usize, lost: f64, won: f64| -> f64 {
        let f = log_factorials(n);
        let same: f64 = 1.0 - lost - won;
        let mut held = 0.0;
        for b in 0..=n {
            for c in 0..=n - b {
                let chance = f[n] - f[b] - f[c] - f[n - b - c]
                    + b as f64 * lost.ln()
                    + c as f64 * won.ln()
                    + (n - b - c) as f64 * same.ln();
                // What never happens need not be judged.
                if chance > -40.0 && holds(paired_share_ci95(b, c, n).1, lost - won) {
                    held += chance.exp();
                }
            }
        }
        held
    };
    let mut rows = Vec::new();
    for (n, lost, won) in [(200, 0.02, 0.02), (200, 0.05, 0.03), (600, 0.01, 0.005), (600, 0.03, 0.03)] {
        let of = format!("{n} images, {:.1} % lost, {:.1} % won", 100.0 * lost, 100.0 * won);
        rows.push(Row {
            interval: "stated drop",
            of,
            stated: 0.95,
            draws: None,
            held: coverage(n, lost, won),
        });
    }
    rows
}

/// Ratios measured in turn: compare, tune, `--precision auto`.
fn signed_rank(draws: u64) -> Vec<Row> {
    let name = "ratio over rounds (signed-rank)";
    let mut rows = Vec::new();
    for n in [6, 16, 30] {
        rows.push(drawn(name, format!("{n} normal rounds"), draws, |rng| {
            holds(hodges_lehmann(&normals(rng, n, 1.0)).unwrap().ci95, 0.0)
        }));
    }
    rows.push(drawn(name, "16 rounds, one in ten far off".into(), draws, |rng| {
        let far = |rng: &mut Rng| if rng.below(10) == 0 { 20.0 } else { 1.0 };
        let x: Vec<f64> = (0..16).map(|_| far(rng) * rng.normal()).collect();
        holds(hodges_lehmann(&x).unwrap().ci95, 0.0)
    }));
    // As `--precision auto` looks: each time at twice the rounds, until the interval leaves out what is the truth here.
    let looks = [8, 16, 32, 64, 128];
    rows.push(drawn(name, "8 to 128 normal rounds, stopped at one of five looks".into(), draws, |rng| {
        let x = normals(rng, 128, 1.0);
        looks.iter().all(|&n| holds(hodges_lehmann_at_looks(&x[..n], looks.len()).unwrap().ci95, 0.0))
    }));
    rows
}

/// Means over seeds, and reports of several runs.
fn means(draws: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    for n in [2, 3, 5, 40] {
        rows.push(drawn("mean over seeds (t)", format!("{n} seeds"), draws, |rng| {
            let (mean, half) = mean_ci95(&normals(rng, n, 1.0)).unwrap();
            mean.abs() <= half
        }));
    }
    for (a, b, ratio) in [(3, 3, 1.0), (3, 3, 5.0), (5, 5, 1.0), (5, 5, 3.0), (3, 10, 3.0), (3, 10, 0.3)] {
        let of = format!("{a} and {b} runs, spread 1 : {ratio}");
        rows.push(drawn("ratio of reports (t, Hsu)", of, draws, |rng| {
            let (difference, half) = difference_ci95(&normals(rng, a, 1.0), &normals(rng, b, ratio)).unwrap();
            difference.abs() <= half
        }));
    }
    rows
}

/// Times of inferences in the order they were taken.
enum Series {
    /// Each with this share of the last one's deviation.
    Autocorrelated(f64),
    /// In whole steps of a clock.
    Steps,
    /// 4 % of the time, three inferences on end, twice as long.
    Disturbed,
}

impl Series {
    fn draw(&self, rng: &mut Rng, n: usize) -> Vec<f64> {
        let mut x = rng.normal();
        let mut disturbed = rng.below(25) == 0;
        let step = |_| match self {
            Self::Autocorrelated(share) => {
                x = share * x + (1.0 - share * share).sqrt() * rng.normal();
                x
            }
            Self::Steps => (50.0 + 1.2 * rng.normal()).round(),
            Self::Disturbed => {
                disturbed = if disturbed { rng.below(3) != 0 } else { rng.below(72) == 0 };
                0.05 * rng.normal() + if disturbed { 2.0 } else { 1.0 }
            }
        };
        (0..n).map(step).collect()
    }

    /// The true p50, p90 and p99, from the normal distribution's quantiles.
    fn truths(&self) -> [f64; 3] {
        match self {
            Self::Autocorrelated(_) => [0.0, 1.281_551_565_544_600_4, 2.326_347_874_040_840_8],
            // 50 + 1.2 times those, rounded.
            Self::Steps => [50.0, 52.0, 53.0],
            // Of the quiet 96 %: 0.5 / 0.96, 0.9 / 0.96; of the others (0.99 - 0.96) / 0.04.
            Self::Disturbed => [
                1.0 + 0.05 * 0.052_245_180_375_940_49,
                1.0 + 0.05 * 1.534_120_544_352_547_6,
                2.0 + 0.05 * UPPER_QUARTILE,
            ],
        }
    }
}

/// Of the normal distribution.
const UPPER_QUARTILE: f64 = 0.674_489_750_196_081_7;

/// Percentiles of a bench. No interval is none that fails: too few samples for a p99 is what the report says.
fn quantiles(draws: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    for (series, n, of) in [
        (Series::Autocorrelated(0.0), 200, "independent"),
        (Series::Autocorrelated(0.0), 2000, "independent"),
        (Series::Steps, 2000, "in steps of a clock"),
        (Series::Autocorrelated(0.5), 2000, "autocorrelation 0.5"),
        (Series::Autocorrelated(0.8), 2000, "autocorrelation 0.8"),
        (Series::Disturbed, 4000, "disturbed 53 times"),
    ] {
        let which = [(0.5, "p50 of a bench"), (0.9, "p90 of a bench"), (0.99, "p99 of a bench")];
        let (mut given, mut held) = ([0u64; 3], [0u64; 3]);
        for draw in 0..draws {
            let x = series.draw(&mut Rng::new(n, of, draw), n as usize);
            for (i, ci) in quantiles_ci95(&x, &which.map(|(q, _)| q)).into_iter().enumerate() {
                let Some(ci) = ci else { continue };
                given[i] += 1;
                held[i] += u64::from(holds(ci, series.truths()[i]));
            }
        }
        for (i, (_, interval)) in which.into_iter().enumerate().filter(|(i, _)| given[*i] * 10 > draws) {
            rows.push(Row {
                interval,
                of: format!("{n} inferences, {of}{}", if given[i] < draws { ", where given" } else { "" }),
                stated: 0.95,
                draws: Some(given[i]),
                held: held[i] as f64 / given[i] as f64,
            });
        }
    }
    rows
}

/// Latencies that `--from` measures: the lower quartile of bursts.
fn bursts(draws: u64) -> Vec<Row> {
    let row = |n: usize| {
        let row = drawn("latency measured by --from", format!("{n} bursts"), draws, |rng| {
            let x: Vec<f64> = normals(rng, n, 0.3).into_iter().map(f64::exp).collect();
            let (_, ci) = independent_quantile(&x, 0.25, 0.9).unwrap();
            holds(ci, (-0.3 * UPPER_QUARTILE).exp())
        });
        Row { stated: 0.9, ..row }
    };
    vec![row(12), row(28)]
}

/// Latencies predicted from a table: the next network.
fn networks(draws: u64) -> Vec<Row> {
    let row = |n: usize, of: &str, error: fn(&mut Rng) -> f64| {
        let row = drawn("latency predicted by a table", format!("{n} networks, {of}"), draws, |rng| {
            let mut network = || {
                let sum = 100.0 + 900.0 * rng.unit_f64();
                (sum, (20.0 + 1.1 * sum) * error(rng).exp())
            };
            let points: Vec<(f64, f64)> = (0..n).map(|_| network()).collect();
            let (sum, measured) = network();
            Line::fit(&points).is_some_and(|line| holds(line.interval90(sum), measured))
        });
        Row { stated: 0.9, ..row }
    };
    vec![
        row(10, "errors of 3 %", |rng| 0.03 * rng.normal()),
        row(20, "errors of 3 %", |rng| 0.03 * rng.normal()),
        row(10, "one in ten far off", |rng| if rng.below(10) == 0 { 0.2 } else { 0.02 } * rng.normal()),
    ]
}

/// A study of five arms that do not differ: no p below 5 % in the whole table. Arms share the first one's runs.
fn several_arms(draws: u64) -> Row {
    drawn("a study's p (Holm), whole table", "4 arms beside the first, 5 seeds".into(), draws, |rng| {
        let base = normals(rng, 5, 1.0);
        let arm = |_| {
            let gaps: Vec<f64> = base.iter().map(|b| rng.normal() - b).collect();
            t_test(&gaps).unwrap_or(f64::NAN)
        };
        let p: Vec<f64> = (0..4).map(arm).collect();
        holm(&p).iter().all(|p| *p >= 0.05)
    })
}
