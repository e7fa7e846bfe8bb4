//! Device profiles (`gtn.device/1`): what a target is and how a bundle for it should look. Data in
//! devices/*.toml, embedded here; a user's own file works as well.

use crate::host::Host;
use crate::{Error, Result, artifact};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Schema of a profile.
pub const SCHEMA: &str = "gtn.device/1";

/// The profiles that come with the programs.
const EMBEDDED: [(&str, &str); 2] =
    [("host", include_str!("../../devices/host.toml")), ("rpi5", include_str!("../../devices/rpi5.toml"))];

/// A value and where it comes from: a data sheet, a measurement, `probed`, or `not measured`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Who says so.
    pub source: String,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// [`SCHEMA`].
    pub schema: String,
    /// As given to `--target`.
    pub name: String,
    /// For people.
    pub title: String,
    /// Backends that work there, best first.
    pub backends: Vec<String>,
    /// Precisions worth trying, fastest first.
    pub precisions: Vec<String>,
    /// ONNX operator set to write.
    pub opset: i64,
    /// Processor.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Bounds on a bundle.
    pub limits: Limits,
}

/// A device's processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// `x86_64`, `aarch64`.
    pub arch: Sourced<String>,
    /// Cores worth using.
    pub cores: Sourced<usize>,
    /// Names as /proc/cpuinfo prints them.
    pub isa: Sourced<Vec<String>>,
    /// Compute threads gtn-run takes by default.
    pub threads: Sourced<usize>,
}

/// A device's memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Installed, MiB (the smallest model sold, where there are several).
    pub ram_mib: Sourced<u64>,
    /// Peak bandwidth, GB/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_gb_s: Option<Sourced<f64>>,
}

/// What a bundle for the device may not exceed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// model.onnx, MiB.
    pub model_mib: Sourced<u64>,
}

/// Names of the embedded profiles.
pub fn names() -> Vec<&'static str> {
    EMBEDDED.iter().map(|(name, _)| *name).collect()
}

/// The profile of a `--target`: an embedded name, or a path to a `.toml`. `host` is probed from this
/// machine.
pub fn resolve(target: &str) -> Result<Device> {
    if let Some((name, text)) = EMBEDDED.iter().find(|(name, _)| *name == target) {
        let mut device = parse(text, Path::new(&format!("devices/{name}.toml")))?;
        if *name == "host" {
            probe(&mut device, &Host::read());
        }
        return Ok(device);
    }
    let path = Path::new(target);
    if path.extension().is_some_and(|e| e == "toml") {
        return parse(&artifact::read_text(path)?, path);
    }
    Err(Error::usage(format!(
        "unknown target `{target}`, wanted one of {}, or a path to a .toml",
        names().join(", ")
    )))
}

/// Parses and checks a profile; `path` is for messages.
pub fn parse(text: &str, path: &Path) -> Result<Device> {
    let device: Device =
        toml::from_str(text).map_err(|e| Error::input(path, e.to_string().trim_end().to_owned()))?;
    let bad = |what: String| Err(Error::input(path, what));
    if device.schema != SCHEMA {
        return bad(format!("schema is `{}`, wanted `{SCHEMA}`", device.schema));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if device.name.is_empty() || device.name.starts_with('.') || !device.name.chars().all(plain) {
        return bad(format!("name is `{}`, wanted letters, digits, `-`, `_` or `.`", device.name));
    }
    if !(13..=21).contains(&device.opset) {
        return bad(format!("opset is {}, wanted 13 to 21", device.opset));
    }
    for (key, list, known) in [
        ("backends", &device.backends, &["ort"][..]),
        ("precisions", &device.precisions, &["fp32", "fp16", "int8"][..]),
    ] {
        if list.is_empty() {
            return bad(format!("{key} is empty, wanted at least one of {}", known.join(", ")));
        }
        if let Some(odd) = list.iter().find(|x| !known.contains(&x.as_str())) {
            return bad(format!("{key} holds `{odd}`, wanted some of {}", known.join(", ")));
        }
    }
    for (key, value) in [("cpu.cores", device.cpu.cores.value), ("cpu.threads", device.cpu.threads.value)] {
        if !(1..=1024).contains(&value) {
            return bad(format!("{key} is {value}, wanted 1 to 1024"));
        }
    }
    Ok(device)
}

/// Fills the host profile's machine-dependent values.
fn probe(device: &mut Device, host: &Host) {
    let source = || "probed".to_owned();
    device.cpu = Cpu {
        arch: Sourced { value: host.arch.clone(), source: source() },
        cores: Sourced { value: host.cores, source: source() },
        isa: Sourced { value: host.isa.clone(), source: source() },
        threads: Sourced { value: host.cores, source: source() },
    };
    if let Some(ram) = host.ram_bytes {
        device.memory.ram_mib = Sourced { value: ram / (1 << 20), source: source() };
    }
}

impl Device {
    /// As TOML: what a bundle's device.toml holds.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Failed(format!("device profile: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_profiles_parse_and_round_trip() {
        for name in names() {
            let device = resolve(name).unwrap();
            assert_eq!(device.name, name);
            assert_eq!(parse(&device.to_toml().unwrap(), Path::new("x.toml")).unwrap(), device);
        }
        assert_eq!(resolve("host").unwrap().cpu.arch.source, "probed");
    }

    #[test]
    fn mistakes_are_named() {
        let good = resolve("rpi5").unwrap().to_toml().unwrap();
        for (from, to, wanted) in [
            ("gtn.device/1", "gtn.device/2", "x.toml: schema is `gtn.device/2`"),
            ("name = \"rpi5\"", "name = \"../up\"", "x.toml: name is `../up`"),
            ("opset = 17", "opset = 99", "x.toml: opset is 99"),
            ("\"ort\"", "\"tpu\"", "x.toml: backends holds `tpu`"),
            ("title", "titel", "unknown field `titel`"),
        ] {
            assert!(good.contains(from), "{from}\n{good}");
            let error = parse(&good.replacen(from, to, 1), Path::new("x.toml")).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let unknown = resolve("toaster").unwrap_err().to_string();
        assert!(unknown.contains("unknown target `toaster`, wanted one of host, rpi5"), "{unknown}");
    }
}
