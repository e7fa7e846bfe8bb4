//! The machine a measurement was made on, read from /proc and /sys. Everything is optional, nothing
//! is fatal: what cannot be read is absent from the report.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// What the machine is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Board or product name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// Processor name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Logical cores this process may use.
    pub cores: usize,
    /// Instruction sets that matter to networks (`avx2`, `avx512_vnni`, `asimddp`, ...).
    pub isa: Vec<String>,
    /// `x86_64`, `aarch64`, ...
    pub arch: String,
    /// `linux`, ...
    pub os: String,
    /// Kernel release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Installed memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram_bytes: Option<u64>,
    /// `docker`, `kvm`, ...: what stands between us and the metal, as far as it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtualised: Option<String>,
}

/// What changes while a machine works.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// Frequency governor of core 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub governor: Option<String>,
    /// Current clock of the fastest core, MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mhz: Option<f64>,
    /// Hottest thermal zone, degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub celsius: Option<f64>,
    /// Throttling flags of a Raspberry Pi's firmware (0: none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u32>,
    /// Load average over the last minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load1: Option<f64>,
}

/// Flags of /proc/cpuinfo that decide how fast a network can run.
const ISA_FLAGS: [&str; 17] = [
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "neon",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
];

impl Host {
    /// This machine.
    pub fn read() -> Self {
        Self::read_from(Path::new("/"))
    }

    /// From a tree that holds `proc` and `sys`.
    pub fn read_from(root: &Path) -> Self {
        let cpuinfo = text(root, "proc/cpuinfo").unwrap_or_default();
        let field = |keys: &[&str]| {
            let value = |line: &str| {
                let (key, value) = line.split_once(':')?;
                keys.contains(&key.trim()).then(|| value.trim().to_owned())
            };
            cpuinfo.lines().find_map(value)
        };
        let flags = field(&["flags", "Features"]).unwrap_or_default();
        let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
        let ram = text(root, "proc/meminfo").and_then(|t| {
            let kib = t.lines().find_map(|l| l.strip_prefix("MemTotal:"))?.trim().trim_end_matches(" kB");
            kib.parse::<u64>().ok()?.checked_mul(1024)
        });
        let board =
            text(root, "proc/device-tree/model").or_else(|| text(root, "sys/class/dmi/id/product_name"));
        Self {
            board: board.map(|b| b.trim_matches(['\0', '\n', ' ']).to_owned()).filter(|b| !b.is_empty()),
            cpu: field(&["model name", "Model"]),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            isa: ISA_FLAGS.iter().filter(|f| has(f)).map(|f| (*f).to_owned()).collect(),
            arch: std::env::consts::ARCH.into(),
            os: std::env::consts::OS.into(),
            kernel: text(root, "proc/sys/kernel/osrelease").map(|k| k.trim().to_owned()),
            ram_bytes: ram,
            virtualised: virtualised(root, has("hypervisor")),
        }
    }
}

fn virtualised(root: &Path, hypervisor: bool) -> Option<String> {
    let container = [(".dockerenv", "docker"), ("run/.containerenv", "podman")];
    let found =
        container.iter().find(|(file, _)| root.join(file).exists()).map(|(_, name)| (*name).to_owned());
    found.or_else(|| hypervisor.then(|| "virtual machine".to_owned()))
}

impl Conditions {
    /// Now, on this machine.
    pub fn read() -> Self {
        Self::read_from(Path::new("/"))
    }

    /// From a tree that holds `proc` and `sys`.
    pub fn read_from(root: &Path) -> Self {
        let cpu = "sys/devices/system/cpu";
        let cpus = entries(root, cpu, "cpu");
        let khz = |name: &String| number(root, &format!("{cpu}/{name}/cpufreq/scaling_cur_freq"));
        let clock = cpus.iter().filter_map(khz).fold(None, |m: Option<f64>, k| Some(m.unwrap_or(0.0).max(k)));
        let zones = entries(root, "sys/class/thermal", "thermal_zone");
        let zone = |name: &String| number(root, &format!("sys/class/thermal/{name}/temp"));
        // Broken sensors report absurd values; a CPU that answers is between these.
        let plausible = |c: &f64| (-40.0..150.0).contains(c);
        let heat = zones.iter().filter_map(zone).map(|m| m / 1000.0).filter(plausible);
        let throttled = text(root, "sys/devices/platform/soc/soc:firmware/get_throttled");
        Self {
            governor: text(root, &format!("{cpu}/cpu0/cpufreq/scaling_governor"))
                .map(|g| g.trim().to_owned()),
            mhz: clock.map(|k| k / 1000.0),
            celsius: heat.fold(None, |m: Option<f64>, c| Some(m.map_or(c, |m| m.max(c)))),
            throttled: throttled
                .and_then(|t| u32::from_str_radix(t.trim().trim_start_matches("0x"), 16).ok()),
            load1: text(root, "proc/loadavg").and_then(|t| t.split_whitespace().next()?.parse().ok()),
        }
    }
}

/// Peak resident memory of this process, in bytes (VmHWM).
pub fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB");
    kib.parse::<u64>().ok()?.checked_mul(1024)
}

/// CPU seconds of this process so far, all threads, user and system (resolution 10 ms).
pub fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, which may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    // utime and stime are fields 14 and 15 of proc(5); USER_HZ is 100 on every Linux.
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// Starts a new peak; whether the kernel allows it.
pub fn reset_peak_rss() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn text(root: &Path, path: &str) -> Option<String> {
    fs::read(root.join(path)).ok().map(|b| String::from_utf8_lossy(&b).into_owned())
}

fn number(root: &Path, path: &str) -> Option<f64> {
    text(root, path)?.trim().parse().ok()
}

/// Names like `cpu12` in a folder.
fn entries(root: &Path, dir: &str, prefix: &str) -> Vec<String> {
    let names = fs::read_dir(root.join(dir)).into_iter().flatten().flatten();
    let numbered = |n: &String| {
        n.strip_prefix(prefix).is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_digit()))
    };
    names.filter_map(|e| e.file_name().into_string().ok()).filter(numbered).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn reads_a_raspberry_pi() {
        let cpuinfo = "processor\t: 0\nFeatures\t: fp asimd evtstrm aes asimdhp asimddp\n\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n";
        let pi = tree(&[
            ("proc/cpuinfo", cpuinfo),
            ("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0"),
            ("proc/meminfo", "MemTotal:        8245712 kB\nMemFree: 1 kB\n"),
            ("proc/loadavg", "0.52 0.1 0.0 1/200 999\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500000\n"),
            ("sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq", "2400000\n"),
            ("sys/devices/system/cpu/cpufreq/ignored", "9\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n"),
            ("sys/class/thermal/thermal_zone0/temp", "48300\n"),
            ("sys/class/thermal/thermal_zone1/temp", "-274000\n"),
            ("sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n"),
        ]);
        let host = Host::read_from(pi.path());
        assert_eq!(host.board.as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
        assert_eq!(host.isa, ["asimd", "asimdhp", "asimddp"]);
        assert_eq!(host.ram_bytes, Some(8_245_712 * 1024));
        let now = Conditions::read_from(pi.path());
        let want = Conditions {
            governor: Some("ondemand".into()),
            mhz: Some(2400.0),
            celsius: Some(48.3),
            throttled: Some(0x50000),
            load1: Some(0.52),
        };
        assert_eq!(now, want);
    }

    #[test]
    fn an_empty_machine_is_not_fatal() {
        let empty = tree(&[]);
        assert_eq!(Host::read_from(empty.path()).cpu, None);
        assert_eq!(Conditions::read_from(empty.path()), Conditions::default());
    }
}
