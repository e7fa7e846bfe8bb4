//! The machine a measurement was made on, read from /proc and /sys. Everything is optional, nothing
//! is fatal: what cannot be read is absent from the report. On systems without them (macOS, Windows) that
//! is most of it, and [`Host::unread`] says so.

mod conditions;
mod cpu;
pub mod power;
mod process;
mod sysfs;

pub use conditions::{Activity, Conditions, Disturbance};
pub use cpu::{Cluster, cpu_list, parse_cpu_list};
pub use process::{affinity, cpu_seconds, peak_rss_bytes, reset_peak_rss, rss_bytes};

use serde::{Deserialize, Serialize};
use std::path::Path;
use sysfs::text;

/// This says what the machine is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Board or product name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// Processor name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Logical cores this process may use.
    pub cores: usize,
    /// Groups of like cores, slowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<Cluster>,
    /// Instruction sets that matter to networks (`avx2`, `avx512_vnni`, `asimddp`, ...).
    pub isa: Vec<String>,
    /// `x86_64`, `aarch64`, ...
    pub arch: String,
    /// `linux`, ...
    pub os: String,
    /// Kernel release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Installed memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_bytes: Option<u64>,
    /// `docker`, `kvm`, ...: what stands between us and the metal, as far as it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualised: Option<String>,
    /// Cores' worth of time that a control group grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<f64>,
}

/// Flags of /proc/cpuinfo that decide how fast a network can run.
const ISA_FLAGS: [&str; 19] = [
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_int8",
    "neon",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sme",
];

impl Host {
    /// Reads what this machine is.
    pub fn read() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cores, ..Self::read_from(Path::new("/")) }
    }

    /// Reads it from a tree that holds `proc` and `sys`; `cores` is what the tree says.
    pub fn read_from(root: &Path) -> Self {
        let info = text(root, "proc/cpuinfo").unwrap_or_default();
        let field = |key: &str| cpu::field(&info, key);
        let flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
        let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
        let clusters = cpu::clusters(root, &info);
        let ram = text(root, "proc/meminfo").and_then(|t| {
            let kib = t.lines().find_map(|l| l.strip_prefix("MemTotal:"))?.trim().trim_end_matches(" kB");
            kib.parse::<u64>().ok()?.checked_mul(1024)
        });
        Self {
            board: board(root).or_else(|| field("Hardware")),
            cpu: field("model name").or_else(|| cpu::describe(&clusters)),
            cores: clusters.iter().map(|c| c.cpus.len()).sum(),
            isa: ISA_FLAGS.iter().filter(|f| has(f)).map(|f| (*f).to_owned()).collect(),
            clusters,
            arch: std::env::consts::ARCH.into(),
            os: std::env::consts::OS.into(),
            kernel: text(root, "proc/sys/kernel/osrelease").map(|k| k.trim().to_owned()),
            ram_bytes: ram,
            virtualised: virtualised(root, has("hypervisor")),
            cpu_quota: cpu_quota(root),
        }
    }

    /// Returns the CPUs of the clusters worth running a network on: all but clearly slower ones (a capacity
    /// below 0.6 of the best; without capacities, in-order cores beside out-of-order ones, or a clock below 0.8
    /// of the best). It is empty where nothing is known.
    pub fn big_cpus(&self) -> Vec<usize> {
        cpu::pick(&self.clusters, true)
    }

    /// Returns the other cores; there are none where all are alike.
    pub fn little_cpus(&self) -> Vec<usize> {
        cpu::pick(&self.clusters, false)
    }

    /// Returns what two reports must share to be compared: the same kind of machine, not the same machine.
    pub fn kind(&self) -> String {
        let name = |s: &Option<String>| s.clone().unwrap_or_else(|| "?".into());
        // All of the machine's, not those that a pinned process may use.
        let all: usize = self.clusters.iter().map(|c| c.cpus.len()).sum();
        let cores = if all > 0 { all } else { self.cores };
        format!("{}, {}, {cores} cores, {} {}", name(&self.board), name(&self.cpu), self.os, self.arch)
    }

    /// Returns what this system does not let us read, for people; `None` on Linux and Android.
    pub fn unread(&self) -> Option<&'static str> {
        let linux = ["linux", "android"].contains(&self.os.as_str());
        (!linux).then_some(
            "processor, clusters, clocks, temperature, throttling, memory: read on Linux and Android only",
        )
    }
}

fn board(root: &Path) -> Option<String> {
    let clean = |t: String| {
        let t = t.trim_matches(['\0', '\n', ' ']).to_owned();
        // What firmware writers left unfilled.
        let unfilled = ["", "To be filled by O.E.M.", "System Product Name", "Default string", "None"];
        (!unfilled.contains(&t.as_str())).then_some(t)
    };
    let read = |path: &str| text(root, path).and_then(clean);
    if let Some(model) = read("proc/device-tree/model").or_else(|| read("sys/firmware/devicetree/base/model"))
    {
        return Some(model);
    }
    let product = read("sys/class/dmi/id/product_name")?;
    // Lenovo's product_name is a number; the name people know is product_version.
    let version = read("sys/class/dmi/id/product_version")
        .filter(|v| v.starts_with("ThinkPad") || v.starts_with("IdeaPad"));
    let vendor = read("sys/class/dmi/id/sys_vendor").filter(|v| !product.starts_with(v.as_str()));
    Some([vendor, Some(version.unwrap_or(product))].into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn virtualised(root: &Path, hypervisor: bool) -> Option<String> {
    let container = if root.join(".dockerenv").exists() {
        Some("docker")
    } else if root.join("run/.containerenv").exists() {
        Some("podman")
    } else {
        let groups = text(root, "proc/1/cgroup").unwrap_or_default();
        ["docker", "lxc", "kubepods", "containerd"].into_iter().find(|name| groups.contains(name))
    };
    let vendor = text(root, "sys/class/dmi/id/sys_vendor").unwrap_or_default();
    let product = text(root, "sys/class/dmi/id/product_name").unwrap_or_default();
    let known = [
        ("QEMU", "QEMU/KVM"),
        ("KVM", "QEMU/KVM"),
        ("VMware", "VMware"),
        ("VirtualBox", "VirtualBox"),
        ("Amazon EC2", "Amazon EC2"),
        ("Google", "Google Compute Engine"),
        ("Virtual Machine", "Hyper-V"),
        ("Xen", "Xen"),
    ];
    let named = known.iter().find(|(mark, _)| vendor.contains(mark) || product.contains(mark));
    let machine = match named {
        Some((_, name)) => Some(*name),
        None => hypervisor.then_some("virtual machine"),
    };
    let parts: Vec<&str> = [container, machine].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" in "))
}

/// The cgroup's share of time in cores: version 2's cpu.max, or version 1's quota and period.
fn cpu_quota(root: &Path) -> Option<f64> {
    let pair = text(root, "sys/fs/cgroup/cpu.max").or_else(|| {
        let part = |name: &str| text(root, &format!("sys/fs/cgroup/cpu/cpu.cfs_{name}_us"));
        Some(format!("{} {}", part("quota")?.trim(), part("period")?.trim()))
    })?;
    let (quota, period) = pair.trim().split_once(' ')?;
    let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod fixtures;
