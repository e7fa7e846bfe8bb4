//! A fleet: the devices that one pool of students is to serve, each with what a student may cost there.
//!
//! `fleet.toml` (`gtn.fleet/1`) names them; [`serve`] chooses for each its student, or for all the fewest students;
//! [`record`] is what a search found for them.

pub mod record;
pub mod serve;

use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::io::artifact;
use crate::ir::cost::Cost;
use crate::latency::Prediction;
use crate::precision::Precision;
use crate::text::format;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Schema of a fleet's file.
pub const SCHEMA: &str = "gtn.fleet/1";
/// Devices of one file.
const MOST_DEVICES: usize = 10_000;
/// Devices of one kind that a `count` may stand for.
const MOST_ALIKE: u32 = 1_000_000;

/// This is a fleet, as its file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// [`SCHEMA`].
    pub schema: String,
    /// The devices, in the order in which they are told of.
    #[serde(rename = "device")]
    pub devices: Vec<Member>,
}

/// This is a device of a fleet, or several that are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Letters, digits, `-`, `_` or `.`; no two devices have the same.
    pub name: String,
    /// Its profile: a name of `gtn-export targets`, or a path to a .toml, from the fleet's folder on.
    pub target: String,
    /// How many there are of it.
    #[serde(default = "one")]
    pub count: u32,
    /// The precisions that it may be served in, the preferred one first (default: its profile's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precisions: Option<Vec<Precision>>,
    /// What `gtn-run table` measured there, from the fleet's folder on (default: the profile predicts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    /// What a student may cost there, and what it must reach.
    #[serde(default)]
    pub budget: Budget,
}

/// This is what a student must keep on a device. Nothing said is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Milliseconds of one inference at batch 1, on the device at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// MiB of weights and live activations; the runtime itself not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<f64>,
    /// MiB of weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_mib: Option<f64>,
    /// Smallest top-1 on val, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
}

/// This is what a student costs on a device in one precision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// In which precision.
    pub precision: Precision,
    /// At batch 1, on the device at rest.
    pub latency: Prediction,
    /// Weights and live activations.
    pub memory_bytes: u64,
    /// Weights.
    pub model_bytes: u64,
}

fn one() -> u32 {
    1
}

impl Fleet {
    /// Reads and checks a file. An error names the line or the device, the key, what was found and what was wanted.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&artifact::read_text(path)?, path)
    }

    /// Parses and checks; `path` is for messages, and paths within are from its folder on.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let mut fleet: Self = artifact::parse_toml(text, path)?;
        let bad = |what: String| Err(Error::input(path, what));
        if let Err(what) = artifact::check_schema(&fleet.schema, SCHEMA) {
            return bad(what);
        }
        if !(1..=MOST_DEVICES).contains(&fleet.devices.len()) {
            return bad(format!(
                "has {}, wanted 1 to {MOST_DEVICES}",
                format::counted(fleet.devices.len(), "device")
            ));
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut names = BTreeSet::new();
        for member in &mut fleet.devices {
            let name = format::shorten(&member.name, 60);
            if !artifact::is_plain(&member.name, "") {
                return bad(format!("device.name is `{name}`, wanted letters, digits, `-`, `_` or `.`"));
            }
            if !names.insert(member.name.clone()) {
                return bad(format!("two devices are called `{name}`"));
            }
            member.check().map_err(|what| Error::input(path, format!("device `{name}`: {what}")))?;
            if let Some(table) = &mut member.table {
                *table = folder.join(&*table);
            }
            if member.target.ends_with(".toml") {
                member.target = folder.join(&member.target).display().to_string();
            }
        }
        Ok(fleet)
    }
}

impl Member {
    fn check(&self) -> Result<(), String> {
        if !(1..=MOST_ALIKE).contains(&self.count) {
            return Err(format!("count is {}, wanted 1 to {MOST_ALIKE}", self.count));
        }
        if let Some(precisions) = &self.precisions {
            let unlike: BTreeSet<&str> = precisions.iter().map(|p| p.name()).collect();
            if precisions.is_empty() || unlike.len() != precisions.len() {
                return Err("precisions wants one or several of fp32, fp16, int8, each once".into());
            }
        }
        let Budget { latency_ms, memory_mib, model_mib, top1 } = self.budget;
        for (key, value) in [("latency_ms", latency_ms), ("memory_mib", memory_mib), ("model_mib", model_mib)]
        {
            if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
                return Err(format!("budget.{key} is {value}, wanted more than 0"));
            }
        }
        match top1.filter(|v| !(0.0..=1.0).contains(v)) {
            Some(value) => Err(format!("budget.top1 is {value}, wanted 0 to 1")),
            None => Ok(()),
        }
    }

    /// Its profile, with the precisions that are said here. A precision that the profile does not name is an error.
    pub fn device(&self) -> Result<Device> {
        let mut device = device::resolve(&self.target)?;
        if let Some(precisions) = &self.precisions {
            if let Some(odd) = precisions.iter().find(|p| !device.precisions.contains(p)) {
                let known: Vec<&str> = device.precisions.iter().map(|p| p.name()).collect();
                return Err(Error::usage(format!(
                    "precisions holds {odd}, {} has {}",
                    device.name,
                    known.join(", ")
                )));
            }
            device.precisions.clone_from(precisions);
        }
        Ok(device)
    }
}

impl Price {
    /// What a network of that cost takes.
    pub fn of(cost: &Cost, precision: Precision, latency: Prediction) -> Self {
        let (memory_bytes, model_bytes) = (cost.memory_bytes(precision), cost.model_bytes(precision));
        Self { precision, latency, memory_bytes, model_bytes }
    }
}

impl Budget {
    /// Whether a student of that price is within it: a predicted latency by its best estimate, a measured one by the upper
    /// end of its interval. What is NaN is not.
    pub fn fits(&self, price: &Price) -> bool {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let within = |found: f64, most: Option<f64>| most.is_none_or(|most| found <= most);
        price.latency.ms.is_finite()
            && within(price.latency.to_be_within(), self.latency_ms)
            && within(mib(price.memory_bytes), self.memory_mib)
            && within(mib(price.model_bytes), self.model_mib)
    }
}

impl std::fmt::Display for Budget {
    /// `4.00 ms, 8 MiB of memory, a model of 1 MiB, top-1 from 80.00 % on`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            self.latency_ms.map(format::ms),
            self.memory_mib.map(|m| format!("{m} MiB of memory")),
            self.model_mib.map(|m| format!("a model of {m} MiB")),
            self.top1.map(|t| format!("top-1 from {} on", format::percent(t))),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&if parts.is_empty() { "no limit".into() } else { parts.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Basis;

    const TWO: &str = "schema = \"gtn.fleet/1\"\n[[device]]\nname = \"pi\"\ntarget = \"rpi5\"\ncount = 3\n\
                       table = \"t/pi.json\"\n[device.budget]\nlatency_ms = 2.5\ntop1 = 0.8\n\
                       [[device]]\nname = \"box\"\ntarget = \"mine/box.toml\"\nprecisions = [\"fp32\"]\n";

    #[test]
    fn a_file_is_read_and_its_paths_are_from_its_folder_on() {
        let fleet = Fleet::parse(TWO, Path::new("shelf/fleet.toml")).unwrap();
        let [pi, desk] = &fleet.devices[..] else { panic!("{fleet:?}") };
        assert_eq!((pi.count, desk.count), (3, 1));
        assert_eq!(pi.table.as_deref(), Some(Path::new("shelf/t/pi.json")));
        assert_eq!((pi.target.as_str(), desk.target.as_str()), ("rpi5", "shelf/mine/box.toml"));
        assert_eq!(pi.budget.to_string(), "2.50 ms, top-1 from 80.00 % on");
        assert_eq!(desk.budget.to_string(), "no limit");
        assert_eq!(pi.device().unwrap().precisions, device::resolve("rpi5").unwrap().precisions);
    }

    #[test]
    fn mistakes_are_told_with_device_and_key() {
        let with = |from: &str, to: &str| {
            let text = TWO.replace(from, to);
            assert_ne!(text, TWO);
            Fleet::parse(&text, Path::new("f.toml")).unwrap_err().to_string()
        };
        for (from, to, wanted) in [
            (
                "latency_ms = 2.5",
                "latency_ms = nan",
                "device `pi`: budget.latency_ms is NaN, wanted more than 0",
            ),
            ("latency_ms = 2.5", "latency_ms = -1.0", "budget.latency_ms is -1, wanted more than 0"),
            ("top1 = 0.8", "top1 = 80.0", "device `pi`: budget.top1 is 80, wanted 0 to 1"),
            ("count = 3", "count = 0", "device `pi`: count is 0, wanted 1 to"),
            ("\"box\"", "\"pi\"", "two devices are called `pi`"),
            ("\"box\"", "\"a b\"", "device.name is `a b`, wanted letters"),
            ("[\"fp32\"]", "[]", "device `box`: precisions wants one or several"),
            ("[\"fp32\"]", "[\"fp32\", \"fp32\"]", "each once"),
            ("[\"fp32\"]", "[\"fp64\"]", "fp64"),
            ("fleet/1", "fleet/2", "gtn.fleet/2"),
            ("latency_ms", "latency", "unknown field `latency`"),
        ] {
            let told = with(from, to);
            assert!(told.contains(wanted), "{to}: {told}");
        }
        let none = Fleet::parse("schema = \"gtn.fleet/1\"\ndevice = []\n", Path::new("f.toml")).unwrap_err();
        assert!(none.to_string().contains("has 0 devices, wanted 1 to"), "{none}");
        let odd = TWO.replace("target = \"rpi5\"\n", "target = \"rpi5\"\nprecisions = [\"fp16\"]\n");
        let odd = Fleet::parse(&odd, Path::new("f.toml")).unwrap().devices[0].device();
        assert!(odd.unwrap_err().to_string().contains("precisions holds fp16, rpi5 has"));
    }

    #[test]
    fn limits_are_inclusive_and_nan_is_within_none() {
        let price = |ms: f64, memory_bytes: u64| Price {
            precision: Precision::Int8,
            latency: Prediction { ms, band: [0.9 * ms, 1.1 * ms], basis: Basis::Table },
            memory_bytes,
            model_bytes: 1 << 20,
        };
        let budget =
            Budget { latency_ms: Some(2.0), memory_mib: Some(3.0), model_mib: Some(1.0), top1: None };
        assert!(budget.fits(&price(2.0, 3 << 20)));
        assert!(!budget.fits(&price(2.01, 3 << 20)) && !budget.fits(&price(2.0, (3 << 20) + 1)));
        assert!(!budget.fits(&price(f64::NAN, 1)) && !Budget::default().fits(&price(f64::NAN, 1)));
        assert!(!Budget { model_mib: Some(0.99), ..budget }.fits(&price(1.0, 1)));
        let mut measured = price(1.9, 1);
        measured.latency.basis = Basis::Measured;
        assert!(!budget.fits(&measured)); // the interval's upper end is 2.09
    }
}
