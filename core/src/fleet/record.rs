//! What `gtn-train search --fleet` found: for each device its choice and its Pareto front, and which students are to be
//! trained (`gtn.fleet-search/1`).

use crate::fleet::{Budget, Price};
use crate::io::artifact;
use crate::latency::Basis;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Schema of the file.
pub const SCHEMA: &str = "gtn.fleet-search/1";

/// This is the whole of what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSearch {
    /// [`SCHEMA`].
    pub schema: String,
    /// SHA-256 of the fleet's file.
    pub fleet_sha256: String,
    /// Seed of the search.
    pub seed: u64,
    /// The students to be trained, as pool ids: each device's choice, each once.
    pub students: Vec<String>,
    /// Whether they were to be as few as possible.
    pub fewest: Option<Fewest>,
    /// The devices, as the fleet's file has them.
    pub devices: Vec<Served>,
    /// Every student judged.
    pub judged: Vec<Judged>,
}

/// This is what it costs to have few students.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fewest {
    /// Whether no smaller set serves all, and none as small is more accurate.
    pub proven: bool,
    /// Top-1 on val that a device gives up, the mean over all of them.
    pub gives_up: f64,
}

/// This is a student judged in the supernet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// Pool id.
    pub student: String,
    /// Multiply-accumulates per image.
    pub macs: u64,
    /// Trained parameters.
    pub params: u64,
    /// Of its path in the supernet, on val.
    pub val_top1: f64,
}

/// This is a student on a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Pool id.
    pub student: String,
    /// Of its path in the supernet, on val.
    pub val_top1: f64,
    /// What it costs there: in the first of the device's precisions that is within the budget.
    pub price: Price,
}

/// This is a device and what serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// Its name in the fleet.
    pub name: String,
    /// Its profile.
    pub target: String,
    /// How many there are of it.
    pub count: u32,
    /// What was asked for.
    pub budget: Budget,
    /// Where latencies come from.
    pub basis: Basis,
    /// The most accurate student within the budget; none where none is.
    pub best: Option<Choice>,
    /// The student that is to be trained for it: the best, or one of the fewest.
    pub chosen: Option<Choice>,
    /// Within the budget or not: those that no faster one beats, fastest first.
    pub front: Vec<Choice>,
}

impl FleetSearch {
    /// Reads a file that `gtn-train search --fleet` wrote. An error names the file, the key, what was found and wanted.
    pub fn read(path: &Path) -> Result<Self> {
        let found: Self = artifact::read_schema(path, SCHEMA)?;
        if found.students.is_empty() {
            return Err(Error::input(
                path,
                "students is empty: no device can be served, nothing is to be trained",
            ));
        }
        Ok(found)
    }

    /// Names of the devices that no student serves.
    pub fn unserved(&self) -> Vec<&str> {
        self.devices.iter().filter(|d| d.chosen.is_none()).map(|d| d.name.as_str()).collect()
    }
}
