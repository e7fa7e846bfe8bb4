//! `gtn.soak/1`: latency under a load that lasts, block by block, and when it became steady.

mod check;
mod words;

use crate::host::{Conditions, Disturbance, Host};
use crate::measure::report::{BackendInfo, Model};
use crate::measure::samples::{Io, Pace};
use crate::measure::steady::{Change, Level, Span, Steady, judge};
use crate::measure::warning::{self, Warning};
use serde::{Deserialize, Serialize};

/// This is the schema of a soak.
pub const SCHEMA: &str = "gtn.soak/1";

/// Blocks that a soak is divided into: at least so many where it lasts two minutes or less...
const FEWEST_BLOCKS: f64 = 120.0;
/// ...and so many where it lasts five minutes or more.
const MOST_BLOCKS: f64 = 300.0;
/// Inferences that a block has room for, at least.
const ROOM: f64 = 5.0;
/// What is compared with the steady level: the first minute.
pub const FIRST_S: f64 = 60.0;

/// This says how the load was made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Minutes asked for.
    pub minutes: f64,
    /// How inferences followed each other.
    pub pace: Pace,
    /// What of handing tensors over is timed.
    pub io: Io,
    /// Seconds of a block.
    pub block_s: f64,
}

/// This is a stretch of the soak: the inferences that began in it. A block in which none began is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Its beginning, seconds since the first inference.
    pub from_s: f64,
    /// Its end.
    pub to_s: f64,
    /// Inferences that began in it.
    pub inferences: usize,
    /// Median latency, ms.
    pub median_ms: f64,
    /// 90th percentile, ms.
    pub p90_ms: f64,
    /// 99th percentile, ms.
    pub p99_ms: f64,
    /// Fastest, ms.
    pub min_ms: f64,
    /// Of these, so many began late (paced only).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late: usize,
    /// Clock of the fastest core, the mean of what was seen, MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mhz: Option<f64>,
    /// Hottest sensor of the processor, the mean of what was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub celsius: Option<f64>,
    /// Mean power of the machine, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watts: Option<f64>,
    /// Throttling flags of a Raspberry Pi's firmware at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u32>,
    /// Thermal throttling events of x86 cores in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle_events: Option<u64>,
    /// Cooling devices that slowed a CPU down at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooling: Option<u32>,
    /// What else went on in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disturbance: Option<Disturbance>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// This is what was measured under a load that lasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Soak {
    /// [`SCHEMA`].
    pub schema: String,
    /// `gtn-run 0.1.0`.
    pub program: String,
    /// Seconds since 1970, UTC, at the end.
    pub unix_time: u64,
    /// What was run.
    pub model: Model,
    /// On which machine.
    pub host: Host,
    /// By what.
    pub backend: BackendInfo,
    /// How the load was made.
    pub settings: Settings,
    /// CPUs the process was confined to (`0-3,7`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// Loading and preparing the model.
    pub init_ms: f64,
    /// The first inference, which is in no block.
    pub first_ms: f64,
    /// Seconds measured.
    pub seconds: f64,
    /// Inferences in all blocks.
    pub inferences: usize,
    /// Whether it was stopped before its time.
    pub ended_early: bool,
    /// In the order of time.
    pub blocks: Vec<Block>,
    /// Median of the first minute's inferences; its interval is by batch means.
    pub first_minute: Level,
    /// When latency became steady, and at what level.
    pub steady: Steady,
    /// The steady level over the first minute's; none where there is no steady level, or not two minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Before the first block.
    pub before: Conditions,
    /// After the last.
    pub after: Conditions,
    /// What else went on, over all blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disturbance: Option<Disturbance>,
    /// What a reader must know before trusting the numbers.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// Returns the length of a block in seconds, of a soak of `total_s` whose inferences begin `every_s` apart: a 300th of the
/// soak; but one second where it lasts two to five minutes, and a 120th where it lasts less; and always room for five
/// inferences.
pub fn block_seconds(total_s: f64, every_s: f64) -> f64 {
    let by_time = (total_s / MOST_BLOCKS).max(1.0).min(total_s / FEWEST_BLOCKS);
    by_time.max(ROOM * every_s)
}

/// Returns when the blocks' latency became steady, and the steady level over the first minute's. There is nothing to compare
/// where the soak did not go on for a second minute.
pub fn judge_blocks(blocks: &[Block], first_minute: &Level, seconds: f64) -> (Steady, Option<Change>) {
    let span = |b: &Block| Span { from_s: b.from_s, to_s: b.to_s, median_ms: b.median_ms };
    let steady = judge(&blocks.iter().map(span).collect::<Vec<_>>());
    let level = steady.steady.filter(|_| seconds >= 2.0 * FIRST_S);
    let change = level.map(|level| Change::between(first_minute, &level));
    (steady, change)
}

impl Soak {
    /// Returns what in this soak a reader must know, on `cores` cores.
    pub fn disturbed(&self, cores: usize) -> Vec<Warning> {
        let mut found = self.disturbance.map(|d| warning::activity(&d, cores)).unwrap_or_default();
        found.extend(warning::clocks(&self.before, &self.after, self.blocks.iter().filter_map(|b| b.mhz)));
        if let Pace::Paced { late, .. } = self.settings.pace {
            let share = late as f64 / self.inferences.max(1) as f64;
            found.extend((share > 0.01).then_some(Warning::Late { share }));
        }
        found
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A soak of three minutes whose latency goes up by a fifth after one.
    pub fn soak() -> Soak {
        let block = |i: usize| Block {
            from_s: i as f64,
            to_s: i as f64 + 1.0,
            inferences: 10,
            median_ms: if i < 60 { 5.0 } else { 6.0 } + 0.01 * (i % 7) as f64,
            p90_ms: 7.0,
            p99_ms: 8.0,
            min_ms: 4.5,
            late: 0,
            mhz: Some(if i < 60 { 2400.0 } else { 2000.0 }),
            celsius: Some(50.0 + i as f64 / 10.0),
            watts: None,
            throttled: None,
            throttle_events: None,
            cooling: None,
            disturbance: None,
        };
        let blocks: Vec<Block> = (0..180).map(block).collect();
        let first_minute = Level { ms: 5.03, ci95: Some([5.02, 5.04]) };
        let (steady, change) = judge_blocks(&blocks, &first_minute, 180.0);
        let r = crate::measure::sample_report::report("m");
        Soak {
            schema: SCHEMA.into(),
            program: "gtn-run 0".into(),
            unix_time: 1_700_000_000,
            model: r.model,
            host: r.host,
            backend: r.backend,
            settings: Settings { minutes: 3.0, pace: Pace::BackToBack, io: Io::Bound, block_s: 1.0 },
            cpus: None,
            init_ms: 20.0,
            first_ms: 9.0,
            seconds: 180.0,
            inferences: 1800,
            ended_early: false,
            blocks,
            first_minute,
            steady,
            change,
            before: Conditions::default(),
            after: Conditions::default(),
            disturbance: None,
            warnings: vec![],
        }
    }

    #[test]
    fn blocks_are_neither_few_nor_short() {
        let of = |total: f64, every: f64| block_seconds(total, every);
        assert_eq!([of(6.0, 0.001), of(120.0, 0.001), of(240.0, 0.001)], [0.05, 1.0, 1.0]);
        assert_eq!([of(1800.0, 0.001), of(43_200.0, 0.001)], [6.0, 144.0]);
        assert_eq!(of(60.0, 1.0), 5.0, "slow models have room");
    }

    #[test]
    fn the_disturbances_are_told() {
        let mut s = soak();
        assert_eq!(s.disturbed(4), [Warning::Clock { low: 2000.0, high: 2400.0 }]);
        s.settings.pace = Pace::Paced { interval_ms: 100.0, late: 180 };
        s.disturbance = Some(Disturbance { others_cores: Some(2.0), ..Disturbance::default() });
        let kinds = [Warning::Others { cores: 2.0, of: 4 }, Warning::Late { share: 0.1 }];
        assert!(kinds.iter().all(|k| s.disturbed(4).contains(k)), "{:?}", s.disturbed(4));
    }
}
