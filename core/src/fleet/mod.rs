//! A fleet: the devices that one pool of students is to serve, each with what a student may cost there.
//!
//! `fleet.toml` (`gtn.fleet/1`) names them; [`serve`] chooses for each its student, or for all the fewest students;
//! [`record`] is what a search found for them.

pub use crate::latency::budget::{Budget, Price};

pub mod record;
pub mod serve;

use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::io::artifact;
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
        self.budget.check()
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
