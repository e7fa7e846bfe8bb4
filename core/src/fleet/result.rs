//! What `gtn-export --fleet` brought about: for each device its student, what was measured of it there, and which limits
//! it keeps (`gtn.fleet-result/1`).

use crate::fleet::Budget;
use crate::host::Host;
use crate::io::artifact;
use crate::latency::{Basis, Prediction};
use crate::measure::compare::Ratio;
use crate::{Error, Precision, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Schema of the file.
pub const SCHEMA: &str = "gtn.fleet-result/1";

/// This is the whole of what was brought about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetResult {
    /// [`SCHEMA`].
    pub schema: String,
    /// `gtn-export 0.1.0`.
    pub program: String,
    /// Seconds since 1970, UTC, when all was done.
    pub unix_time: u64,
    /// SHA-256 of the fleet's file.
    pub fleet_sha256: String,
    /// The folder that students were chosen from.
    pub runs: String,
    /// Students that could be chosen.
    pub students: usize,
    /// Wall seconds of this run; steps of earlier ones that it went on from are not in it.
    pub seconds: f64,
    /// The devices, as the fleet's file has them.
    pub devices: Vec<Outcome>,
}

/// This says how far a device got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its bundle ran there and keeps every limit.
    Proved,
    /// It has its bundle, chosen by prediction: nothing ran there, and nothing was to.
    Predicted,
    /// A limit is missed, no student is within the budget, or the bundle fails there.
    Missed,
    /// It could not be reached, or was cut off: running the command again goes on with it.
    Unreached,
}

/// This is a device and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Its name in the fleet.
    pub name: String,
    /// Its profile.
    pub target: String,
    /// How many there are of it.
    pub count: u32,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// What was asked for.
    pub budget: Budget,
    /// How far it got.
    pub state: State,
    /// Why it got no further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The machine that was found there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// The latency table it was predicted from, from the result's folder on where it was measured for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// What was weighed and did not make it, with the reason, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
    /// Its limits, each with what was found.
    pub gates: Vec<Gate>,
    /// Against an earlier result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// What a reader must know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Wall seconds, those of earlier runs that this one went on from included.
    pub seconds: Spent,
}

/// This is where a device's time went, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// Its latency table.
    pub table: f64,
    /// Its bundles; one that serves several devices counts for each.
    pub export: f64,
    /// Proving and timing there.
    pub proof: f64,
    /// Under load.
    pub soak: f64,
}

/// This is the student that a device gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// The student's folder.
    pub student: String,
    /// Architecture's name.
    pub arch: String,
    /// In which it ships.
    pub precision: Precision,
    /// As trained, last epoch, on val.
    pub val_top1: f64,
    /// Before it ran there.
    pub predicted: Prediction,
    /// Weights and live activations, bytes.
    pub memory_bytes: u64,
    /// Weights, bytes.
    pub model_bytes: u64,
    /// The bundle, from the result's folder on.
    pub bundle: String,
    /// SHA-256 of its model.onnx.
    pub model_sha256: String,
    /// What it did there; none: nothing ran there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// This is what a bundle did on its device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The reports, from the result's folder on.
    pub reports: String,
    /// Seconds since 1970, UTC, of the first.
    pub unix_time: u64,
    /// Median inference of each run with the device at rest, ms ([`crate::measure::samples::at_rest`]); none: its times say
    /// nothing.
    pub rest_ms: Vec<f64>,
    /// The median of those, with a 95 % interval over runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Prediction>,
    /// Median of all inferences, whatever else the device did: the median over runs, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 99th percentile: the median over runs, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// On the bundle's test images.
    pub top1: f64,
    /// 95 % interval (Clopper and Pearson).
    pub top1_ci95: [f64; 2],
    /// Images.
    pub images: usize,
    /// Peak resident memory of gtn-run there, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss_bytes: Option<u64>,
    /// Millijoules of one inference, with a 95 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_mj: Option<[f64; 3]>,
    /// Once warm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady: Option<Warm>,
}

/// This is what a device does under load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// The soak, from the result's folder on.
    pub soak: String,
    /// The verdict, a sentence.
    pub verdict: String,
    /// Median inference once steady, ms; none: it is not steady by the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady_ms: Option<f64>,
    /// 95 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady_ci95: Option<[f64; 2]>,
    /// Steady over minute 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_first: Option<f64>,
}

/// This is a student in a precision that a device does not get.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassedOver {
    /// The student's folder.
    pub student: String,
    /// In which.
    pub precision: Precision,
    /// As trained, on val.
    pub val_top1: f64,
    /// Why.
    pub why: String,
}

/// This says whether a limit is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Measured, and kept.
    Kept,
    /// Predicted to be kept.
    Predicted,
    /// Not kept.
    Missed,
    /// Nobody can tell yet.
    Unknown,
}

/// This is one limit and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// `reached`, `served`, `parity`, `latency`, `p99`, `steady`, `energy`, `memory`, `model`, `top-1`, `regression`.
    pub name: String,
    /// The limit; none: there is only yes or no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// What was found.
    pub found: String,
    /// Whether it is kept.
    pub verdict: Verdict,
}

/// This is a device's latency beside an earlier result's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When the earlier one was measured, seconds since 1970, UTC.
    pub then_unix_time: u64,
    /// Medians of earlier days of the same model on such a machine, the last of them then's, ms.
    pub days_ms: Vec<f64>,
    /// Now over then; none: they are not of one model and one kind of machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
    /// Whether it is slower beyond what runs and days differ by.
    pub slower: bool,
    /// A sentence.
    pub verdict: String,
}

impl FleetResult {
    /// Reads what `gtn-export --fleet` wrote. An error names the file, the key, what was found and wanted.
    pub fn read(path: &Path) -> Result<Self> {
        let found: Self = artifact::read_schema(path, SCHEMA)?;
        let odd = |ms: &f64| !(ms.is_finite() && *ms > 0.0);
        for d in &found.devices {
            let measured = d.delivery.iter().filter_map(|d| d.measured.as_ref());
            if let Some(ms) = measured.flat_map(|m| &m.rest_ms).find(|ms| odd(ms)) {
                let what = format!("device `{}`: measured.rest_ms holds {ms}, wanted a time above 0", d.name);
                return Err(Error::input(path, what));
            }
        }
        Ok(found)
    }

    /// Devices in that state, each counted as often as there are of it.
    pub fn count(&self, state: State) -> u64 {
        self.devices.iter().filter(|d| d.state == state).map(|d| u64::from(d.count)).sum()
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Proved => "proved",
            Self::Predicted => "predicted",
            Self::Missed => "missed",
            Self::Unreached => "not reached",
        })
    }
}

impl Outcome {
    /// Where its latency is from, as far as it got.
    pub fn latency(&self) -> Option<Prediction> {
        let delivery = self.delivery.as_ref()?;
        let measured = delivery.measured.as_ref().and_then(|m| m.latency);
        Some(measured.unwrap_or(delivery.predicted))
    }

    /// Whether its latency was measured there.
    pub fn is_measured(&self) -> bool {
        self.latency().is_some_and(|l| l.basis == Basis::Measured)
    }
}
