//! Device profiles (`gtn.device/1`): what a target is and how a bundle for it should look. Data in
//! devices/*.toml, embedded here; a user's own file works as well.

pub mod int8;
pub mod performance;

use crate::device::int8::{ActivationType, Scheme, processor_saturates};
use crate::host::Host;
use crate::io::artifact;
use crate::text::format;
use crate::{Error, Precision, Result};
use performance::Performance;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// This is the schema of a profile.
pub const SCHEMA: &str = "gtn.device/1";

/// This is the name of the profile of the machine that this program runs on.
pub const HOST: &str = "host";

/// The profiles that come with the programs.
const EMBEDDED: [(&str, &str); 8] = [
    (HOST, include_str!("../../../devices/host.toml")),
    ("rpi5", include_str!("../../../devices/rpi5.toml")),
    ("rpi4", include_str!("../../../devices/rpi4.toml")),
    ("jetson-orin-nano", include_str!("../../../devices/jetson-orin-nano.toml")),
    ("rk3588", include_str!("../../../devices/rk3588.toml")),
    ("pixel8", include_str!("../../../devices/pixel8.toml")),
    ("x86-avx2", include_str!("../../../devices/x86-avx2.toml")),
    ("x86-vnni", include_str!("../../../devices/x86-vnni.toml")),
];
const BACKENDS: [&str; 3] = ["ort", "wgpu", "rust"];
/// These are ONNX Runtime's execution providers: its own names without `ExecutionProvider`, in lower case.
pub const EXECUTION_PROVIDERS: [&str; 9] =
    ["tensorrt", "cuda", "xnnpack", "nnapi", "qnn", "coreml", "openvino", "directml", "acl"];

/// This is a value and where it comes from: a data sheet, a measurement, `probed`, or `not measured`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Who says so.
    pub source: String,
}

/// This is the profile of one device.
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
    /// ONNX Runtime's execution providers to be preferred to its CPU code, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub execution_providers: Vec<String>,
    /// Precisions worth trying, fastest first.
    pub precisions: Vec<Precision>,
    /// ONNX operator set to write.
    pub opset: i64,
    /// Processor.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Graphics processor, for people: what runs there is in `backends` and `execution_providers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
    /// How to quantise for it; wanted where `precisions` holds `int8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8: Option<Int8>,
    /// Bounds on a bundle.
    pub limits: Limits,
    /// How fast it computes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance: Option<Performance>,
}

/// This is a device's processor.
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

/// This is a device's memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Installed, MiB (the smallest model sold, where there are several).
    pub ram_mib: Sourced<u64>,
    /// Peak bandwidth, GB/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_gb_s: Option<Sourced<f64>>,
}

/// This is a device's graphics processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// Its name.
    pub name: Sourced<String>,
    /// Why it is or is not used.
    pub note: Sourced<String>,
}

/// This is the int8 recipe: weights are always symmetric and per output channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Int8 {
    /// Type of the activations.
    pub activations: Sourced<ActivationType>,
    /// 8, or 7 where products of 8-bit weights saturate 16-bit sums (x86 without VNNI).
    pub weight_bits: Sourced<u32>,
}

impl Int8 {
    /// For a processor known only by its instruction set. x86: unsigned activations, and 7-bit weights
    /// where VPMADDUBSW (AVX2) would saturate; elsewhere signed activations (ONNX Runtime
    /// documentation, quantization).
    fn for_isa(arch: &str, isa: &[String]) -> Self {
        let x86 = arch.starts_with("x86");
        let saturates = processor_saturates(arch, isa);
        let activations = if x86 { ActivationType::Uint8 } else { ActivationType::Int8 };
        let source = || format!("probed: {arch}{}", if x86 && !saturates { " with VNNI" } else { "" });
        Self {
            activations: Sourced { value: activations, source: source() },
            weight_bits: Sourced { value: if saturates { 7 } else { 8 }, source: source() },
        }
    }

    /// Returns the recipe as the quantiser takes it.
    pub fn scheme(&self) -> Scheme {
        Scheme { activations: self.activations.value, weight_bits: self.weight_bits.value, per_channel: true }
    }
}

/// This is what a bundle for the device may not exceed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// model.onnx, MiB.
    pub model_mib: Sourced<u64>,
}

/// Returns the names of the embedded profiles.
pub fn names() -> Vec<&'static str> {
    EMBEDDED.iter().map(|(name, _)| *name).collect()
}

/// Returns the profile of a `--target`: an embedded name, or a path to a `.toml`. `host` is probed from this
/// machine. An unknown name is a usage error.
pub fn resolve(target: &str) -> Result<Device> {
    if let Some((name, text)) = EMBEDDED.iter().find(|(name, _)| *name == target) {
        let mut device = parse(text, Path::new(&format!("devices/{name}.toml")))?;
        if *name == HOST {
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

/// Parses and checks a profile; `path` is for messages. A value that is out of its bounds, or a number that
/// does not say where it comes from, is an error.
pub fn parse(text: &str, path: &Path) -> Result<Device> {
    let device: Device = artifact::parse_toml(text, path)?;
    let bad = |what: String| Err(Error::input(path, what));
    if device.schema != SCHEMA {
        return bad(format!("schema is `{}`, wanted `{SCHEMA}`", device.schema));
    }
    if !artifact::is_plain(&device.name, "") {
        let name = format::shorten(&device.name, 60);
        return bad(format!("name is `{name}`, wanted letters, digits, `-`, `_` or `.`"));
    }
    if !(13..=21).contains(&device.opset) {
        return bad(format!("opset is {}, wanted 13 to 21", device.opset));
    }
    for (key, list, known) in [
        ("backends", &device.backends, &BACKENDS[..]),
        ("execution_providers", &device.execution_providers, &EXECUTION_PROVIDERS[..]),
    ] {
        if list.is_empty() && key != "execution_providers" {
            return bad(format!("{key} is empty, wanted at least one of {}", known.join(", ")));
        }
        if let Some(odd) = list.iter().find(|x| !known.contains(&x.as_str())) {
            return bad(format!("{key} holds `{odd}`, wanted some of {}", known.join(", ")));
        }
    }
    if device.precisions.is_empty() {
        return bad("precisions is empty, wanted at least one of fp32, fp16, int8".into());
    }
    for (key, value) in [("cpu.cores", device.cpu.cores.value), ("cpu.threads", device.cpu.threads.value)] {
        if !(1..=1024).contains(&value) {
            return bad(format!("{key} is {value}, wanted 1 to 1024"));
        }
    }
    match &device.int8 {
        None if device.precisions.contains(&Precision::Int8) => {
            return bad("precisions holds `int8`, but there is no [int8]".into());
        }
        Some(int8) if !(7..=8).contains(&int8.weight_bits.value) => {
            return bad(format!("int8.weight_bits is {}, wanted 7 or 8", int8.weight_bits.value));
        }
        _ => {}
    }
    device.performance.as_ref().map_or(Ok(()), |p| p.check(path))?;
    check_sources(text, path)?;
    Ok(device)
}

/// Every number is followed by who says so.
fn check_sources(text: &str, path: &Path) -> Result<()> {
    fn walk(key: &str, value: &toml::Value) -> Option<String> {
        let table = value.as_table()?;
        match table.get("source") {
            Some(source) if source.as_str().is_none_or(|s| s.trim().is_empty()) => Some(key.to_owned()),
            Some(_) => None,
            None => table
                .iter()
                .find_map(|(k, v)| walk(&if key.is_empty() { k.clone() } else { format!("{key}.{k}") }, v)),
        }
    }
    let value: toml::Value = artifact::parse_toml(text, path)?;
    match walk("", &value) {
        Some(key) => {
            Err(Error::input(path, format!("{key}.source is empty, wanted who says so (or `not measured`)")))
        }
        None => Ok(()),
    }
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
    device.int8 = Some(Int8::for_isa(&host.arch, &host.isa));
    if let Some(ram) = host.ram_bytes {
        device.memory.ram_mib = Sourced { value: ram / (1 << 20), source: source() };
    }
}

impl Device {
    /// Returns whether it is the machine that this program runs on: measured, not predicted.
    pub fn is_host(&self) -> bool {
        self.name == HOST
    }

    /// Returns what counts, for people: name, value and who says so.
    pub fn rows(&self) -> Vec<[String; 3]> {
        let mut rows: Vec<[String; 3]> = Vec::new();
        let mut row = |what: &str, value: String, source: &str| {
            rows.push([what.to_owned(), value, source.to_owned()]);
        };
        row("device", format!("{} ({})", self.title, self.name), "");
        row("backends, best first", self.backends.join(", "), "");
        if !self.execution_providers.is_empty() {
            row("execution providers", self.execution_providers.join(", "), "");
        }
        row("precisions, fastest first", Precision::list(&self.precisions), "");
        row("ONNX operator set", self.opset.to_string(), "");
        let cpu = &self.cpu;
        row("architecture", cpu.arch.value.clone(), &cpu.arch.source);
        row("cores", cpu.cores.value.to_string(), &cpu.cores.source);
        row("instruction sets", cpu.isa.value.join(" "), &cpu.isa.source);
        row("threads", cpu.threads.value.to_string(), &cpu.threads.source);
        row("RAM", format!("{} MiB", self.memory.ram_mib.value), &self.memory.ram_mib.source);
        if let Some(b) = &self.memory.bandwidth_gb_s {
            row("memory bandwidth", format!("{} GB/s", b.value), &b.source);
        }
        if let Some(gpu) = &self.gpu {
            row("GPU", gpu.name.value.clone(), &gpu.name.source);
            row("GPU's use", gpu.note.value.clone(), &gpu.note.source);
        }
        if let Some(int8) = &self.int8 {
            row("int8 activations", int8.activations.value.name().into(), &int8.activations.source);
            row("int8 weights", format!("{} bits", int8.weight_bits.value), &int8.weight_bits.source);
        }
        let limit = &self.limits.model_mib;
        row("largest model.onnx", format!("{} MiB", limit.value), &limit.source);
        match &self.performance {
            Some(p) => p.rows().into_iter().for_each(|[what, value, source]| row(&what, value, &source)),
            None => row("speed", "unknown".into(), "not measured: gtn-run table measures it on the device"),
        }
        rows
    }

    /// Returns it as TOML, which is what a bundle's device.toml holds.
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
    fn the_host_quantises_as_its_instructions_multiply() {
        let of = |arch: &str, isa: &[&str]| {
            let int8 = Int8::for_isa(arch, &isa.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>());
            (int8.activations.value, int8.weight_bits.value)
        };
        assert_eq!(of("x86_64", &["avx2"]), (ActivationType::Uint8, 7));
        assert_eq!(of("x86_64", &["avx2", "avx512_vnni"]), (ActivationType::Uint8, 8));
        assert_eq!(of("x86_64", &["avx2", "avx_vnni"]), (ActivationType::Uint8, 8));
        assert_eq!(of("aarch64", &["asimd", "asimddp"]), (ActivationType::Int8, 8));
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
            ("[int8.weight_bits]\nvalue = 8", "[int8.weight_bits]\nvalue = 4", "int8.weight_bits is 4"),
            ("value = \"int8\"", "value = \"int4\"", "unknown variant `int4`"),
            ("source = \"raspberrypi.com, BCM2712\"", "source = \" \"", "cpu.arch.source is empty"),
        ] {
            assert!(good.contains(from), "{from}\n{good}");
            let error = parse(&good.replacen(from, to, 1), Path::new("x.toml")).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let cut = good.find("[int8").unwrap();
        let end = good.find("[limits").unwrap();
        let without = format!("{}{}", &good[..cut], &good[end..]);
        let error = parse(&without, Path::new("x.toml")).unwrap_err().to_string();
        assert!(error.contains("there is no [int8]"), "{error}");
        let unknown = resolve("toaster").unwrap_err().to_string();
        assert!(unknown.contains("unknown target `toaster`, wanted one of host, rpi5, rpi4"), "{unknown}");
    }
}
