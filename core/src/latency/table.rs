//! Latency tables (`gtn.table/1`): what gtn-run measured of a kit on one device.

use crate::host::{Conditions, Host};
use crate::io::artifact;
use crate::ir::arch::ArchSpec;
use crate::measure::stats::percentile;
use crate::{Error, Precision, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// This is the schema of a table.
pub const SCHEMA: &str = "gtn.table/1";

/// This is a device's table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyTable {
    /// [`SCHEMA`].
    pub schema: String,
    /// `gtn-run 0.1.0`.
    pub program: String,
    /// Seconds since 1970, UTC, when measuring ended.
    pub unix_time: u64,
    /// SHA-256 of the kit's manifest.
    pub kit_sha256: String,
    /// The device profile the kit was written for.
    pub target: String,
    /// On which machine.
    pub host: Host,
    /// By what.
    pub backend: Runtime,
    /// Wall seconds of measuring.
    pub seconds: f64,
    /// Times that every model was visited.
    pub rounds: usize,
    /// Per operator and shape.
    pub ops: Vec<OpRow>,
    /// Whole networks, for the overhead and the band.
    pub networks: Vec<NetworkRow>,
    /// The machine as it was during each round.
    pub conditions: Vec<Conditions>,
    /// What a reader must know before trusting the numbers.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ext: BTreeMap<String, serde_json::Value>,
}

/// This says what computed: another runtime, version or number of threads has other times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// `ort`, ...
    pub name: String,
    /// Of the library behind it.
    pub version: String,
    /// Compute threads.
    pub threads: usize,
}

/// These are the microseconds of one inference, over bursts of inferences.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// Median over the bursts of each burst's median.
    pub p50_us: f64,
    /// Lower quartile over the bursts of each burst's median: the machine at rest. Other work on the
    /// machine only ever adds time, and it spoils some bursts, not all.
    pub rest_us: f64,
    /// Half the distance of the quartiles over the bursts: how well one burst repeats.
    pub spread_us: f64,
    /// Bursts.
    pub n: usize,
}

/// This is one operator at one shape, and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpRow {
    /// [`super::FusedOp::key`].
    pub op: String,
    /// What it adds to a network.
    pub time: Time,
}

/// This is one whole network, and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRow {
    /// Which.
    pub arch: ArchSpec,
    /// What it computes in.
    pub precision: Precision,
    /// Of one inference at batch 1.
    pub time: Time,
    /// Of the rounds' second half over that of the first: the machine's drift.
    pub drift: f64,
}

impl Time {
    /// Sums up the medians of bursts, in microseconds. Returns `None` where there are none, or the smallest is
    /// not finite.
    pub fn of(bursts: &[f64]) -> Option<Self> {
        let mut sorted = bursts.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&first, quartile) = (sorted.first()?, |q| percentile(&sorted, q));
        let time = Self {
            p50_us: quartile(0.5),
            rest_us: quartile(0.25),
            spread_us: (quartile(0.75) - quartile(0.25)) / 2.0,
            n: sorted.len(),
        };
        first.is_finite().then_some(time)
    }

    /// Returns what `self` takes longer than `reference`, for each of `copies`.
    pub fn beyond(&self, reference: &Self, copies: usize) -> Self {
        let each = |x: f64| x / copies.max(1) as f64;
        Self {
            p50_us: each(self.p50_us - reference.p50_us),
            rest_us: each(self.rest_us - reference.rest_us),
            spread_us: each(self.spread_us.hypot(reference.spread_us)),
            n: self.n.min(reference.n),
        }
    }

    fn is_sane(&self, low: f64) -> bool {
        let plausible = |x: f64| (low..1e9).contains(&x);
        plausible(self.p50_us)
            && plausible(self.rest_us)
            && (0.0..1e9).contains(&self.spread_us)
            && self.n > 0
    }
}

impl LatencyTable {
    /// Reads and checks a table. A number that no measurement gives is an error that names it.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&artifact::read_text(path)?, path)
    }

    /// Does so with a text; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let table: Self = artifact::parse_schema(text, path, SCHEMA)?;
        let bad = |what: String| Err(Error::input(path, what));
        let mut seen = BTreeSet::new();
        for row in &table.ops {
            // A difference of two times: for an operator that costs nothing it may come out below zero.
            if !row.time.is_sane(-1e6) {
                return bad(format!("ops: `{}` has {:?}, wanted finite microseconds", row.op, row.time));
            }
            if !seen.insert(&row.op) {
                return bad(format!("ops: `{}` is there twice", row.op));
            }
        }
        for (i, row) in table.networks.iter().enumerate() {
            row.arch.validate().map_err(|e| Error::input(path, format!("networks[{i}]: {e}")))?;
            if !row.time.is_sane(1e-3) || !(1e-3..1e3).contains(&row.drift) {
                let what = format!("{:?}, drift {}", row.time, row.drift);
                return bad(format!("networks[{i}] (`{}`) has {what}", row.arch.name));
            }
        }
        if !(1..=1024).contains(&table.backend.threads) {
            return bad(format!("backend.threads is {}, wanted 1 to 1024", table.backend.threads));
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_bursts() {
        let t = Time::of(&[5.0, 1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(t, Time { p50_us: 3.0, rest_us: 2.0, spread_us: 1.0, n: 5 });
        let more = Time { p50_us: 11.0, rest_us: 10.0, ..t };
        let each = more.beyond(&t, 4);
        assert_eq!((each.p50_us, each.rest_us, each.n), (2.0, 2.0, 5));
        assert!(Time::of(&[]).is_none() && Time::of(&[f64::NEG_INFINITY]).is_none());
    }
}
