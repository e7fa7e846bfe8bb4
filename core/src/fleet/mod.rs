//! A fleet: the devices that one pool of students is to serve, each with what a student may cost there.
//!
//! `fleet.toml` (`gtn.fleet/1`) names them; [`serve`] chooses for each its student, or for all the fewest students;
//! [`record`] is what a search found for them, [`result`] what an export brought about.

pub use crate::latency::budget::{Budget, Price};

pub mod record;
pub mod result;
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
/// Words of a launcher.
const MOST_WORDS: usize = 64;
/// Minutes that a device may be asked to be under load.
const SOAK_MINUTES: std::ops::RangeInclusive<f64> = 0.1..=720.0;
/// Minutes under load where only a limit for the warm device is said: most boards are warm by then.
const USUAL_SOAK: f64 = 10.0;

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
    /// Where gtn-run measures it: `ssh:[USER@]HOST[:PORT]`, `adb:SERIAL` or `local`; none: it is predicted only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Put before the program there, a word each: `["taskset", "-c", "0"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub launcher: Vec<String>,
    /// The programs for it (a folder or archive of `make dist`), from the fleet's folder on, where they are not found
    /// by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dist: Option<PathBuf>,
    /// Whether what is measured there are the device's times; those of an emulator are not.
    #[serde(default = "yes")]
    pub timed: bool,
    /// Minutes under load until it is known what the warm device does (gtn-run soak); none: not looked at, unless the
    /// budget has `steady_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_minutes: Option<f64>,
    /// What a student may cost there, and what it must reach.
    #[serde(default)]
    pub budget: Budget,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
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
            for path in member.table.iter_mut().chain(&mut member.dist) {
                *path = folder.join(&*path);
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
        self.check_reach()?;
        self.budget.check()
    }

    /// How it is reached; what an address holds is checked by those who call it.
    fn check_reach(&self) -> Result<(), String> {
        let Some(on) = &self.on else {
            let odd = [
                ("launcher", !self.launcher.is_empty()),
                ("dist", self.dist.is_some()),
                ("timed", !self.timed),
                ("soak_minutes", self.soak_minutes.is_some()),
            ];
            return match odd.iter().find(|(_, given)| *given) {
                Some((key, _)) => Err(format!("{key} without `on`: nothing runs there")),
                None => Ok(()),
            };
        };
        if on != "local" && !on.starts_with("ssh:") && !on.starts_with("adb:") {
            let on = format::shorten(on, 60);
            return Err(format!("on is `{on}`, wanted ssh:[USER@]HOST[:PORT], adb:SERIAL or local"));
        }
        if self.launcher.len() > MOST_WORDS || self.launcher.iter().any(String::is_empty) {
            return Err(format!("launcher wants at most {MOST_WORDS} words, none empty"));
        }
        if let Some(minutes) = self.soak_minutes.filter(|m| !SOAK_MINUTES.contains(m)) {
            let (least, most) = (SOAK_MINUTES.start(), SOAK_MINUTES.end());
            return Err(format!("soak_minutes is {minutes}, wanted {least} to {most}"));
        }
        if !self.timed && (self.soak_minutes.is_some() || self.budget.steady_ms.is_some()) {
            return Err(
                "timed = false: its times say nothing, and soak_minutes and steady_ms ask for them".into()
            );
        }
        Ok(())
    }

    /// Minutes that it is to be under load: what is said, or [`USUAL_SOAK`] where a limit for the warm device needs it.
    pub fn soak(&self) -> Option<f64> {
        let needed = self.budget.steady_ms.filter(|_| self.on.is_some()).map(|_| USUAL_SOAK);
        self.soak_minutes.or(needed)
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
            ("count = 3", "on = \"usb:1\"", "device `pi`: on is `usb:1`, wanted ssh:"),
            ("count = 3", "launcher = [\"taskset\"]", "device `pi`: launcher without `on`"),
            ("count = 3", "timed = false", "timed without `on`"),
            ("count = 3", "on = \"local\"\nlauncher = [\"\"]", "launcher wants at most 64 words, none empty"),
            ("count = 3", "on = \"local\"\nsoak_minutes = nan", "soak_minutes is NaN, wanted 0.1 to 720"),
            ("count = 3", "on = \"local\"\ntimed = false\nsoak_minutes = 1.0", "its times say nothing"),
            ("top1 = 0.8", "p99_ms = 0.0", "budget.p99_ms is 0, wanted more than 0"),
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
