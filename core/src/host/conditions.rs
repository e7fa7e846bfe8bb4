//! What changes while a machine works: clocks, heat, throttling, other work.

use super::process::{cpu_seconds, involuntary_switches};
use super::sysfs::{names, number, numbered, text};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

const CPU: &str = "sys/devices/system/cpu";

/// This is a moment's state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// Frequency governors in force, each once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governor: Option<String>,
    /// Current clock of the fastest core, MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mhz: Option<f64>,
    /// Highest clock now allowed on any core, MHz, where that is below what the hardware could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capped_mhz: Option<f64>,
    /// Hottest sensor of the processor (or of the machine, where none is the processor's), degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub celsius: Option<f64>,
    /// Throttling flags of a Raspberry Pi's firmware (0: none). Bits 0 to 3: under-voltage, frequency
    /// capped, throttled, soft temperature limit, now; bits 16 to 19: since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u32>,
    /// Thermal throttling events of all x86 cores since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle_events: Option<u64>,
    /// Cooling devices that slow a CPU down now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooling: Option<u32>,
    /// Periods in which a control group's quota stopped this process, since the group was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_stops: Option<u64>,
    /// Load average over the last minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load1: Option<f64>,
}

impl Conditions {
    /// Reads the state now, on this machine.
    pub fn read() -> Self {
        Self::read_from(Path::new("/"))
    }

    /// Reads clock and temperature only: that is cheap enough to do now and then while measuring.
    pub fn glance() -> Self {
        let root = Path::new("/");
        Self { mhz: clock(root), celsius: temperature(root), ..Self::default() }
    }

    /// Reads the state from a tree that holds `proc` and `sys`.
    pub fn read_from(root: &Path) -> Self {
        let stat = text(root, "sys/fs/cgroup/cpu.stat").unwrap_or_default();
        let load = text(root, "proc/loadavg").and_then(|t| t.split_whitespace().next()?.parse().ok());
        let stops = stat.lines().find_map(|l| l.strip_prefix("nr_throttled "));
        Self {
            governor: governors(root),
            mhz: clock(root),
            capped_mhz: cap(root),
            celsius: temperature(root),
            throttled: firmware_flags(root),
            throttle_events: throttle_events(root),
            cooling: cooling(root),
            quota_stops: stops.and_then(|n| n.trim().parse().ok()),
            load1: load.filter(|l: &f64| l.is_finite() && *l >= 0.0),
        }
    }
}

/// cpufreq folders: one a policy, or one a core where there are no policies.
fn policies(root: &Path) -> Vec<String> {
    let found = numbered(root, &format!("{CPU}/cpufreq"), "policy");
    if !found.is_empty() {
        return found.iter().map(|p| format!("{CPU}/cpufreq/{p}")).collect();
    }
    numbered(root, CPU, "cpu").iter().map(|c| format!("{CPU}/{c}/cpufreq")).collect()
}

fn governors(root: &Path) -> Option<String> {
    let read = |p: &String| text(root, &format!("{p}/scaling_governor")).map(|g| g.trim().to_owned());
    let mut found: Vec<String> = policies(root).iter().filter_map(read).collect();
    found.sort();
    found.dedup();
    (!found.is_empty()).then(|| found.join(", "))
}

fn largest(root: &Path, file: &str) -> Option<f64> {
    let khz = policies(root).into_iter().filter_map(|p| number(root, &format!("{p}/{file}")));
    khz.fold(None, |m: Option<f64>, k| Some(m.unwrap_or(0.0).max(k))).map(|k| k / 1000.0)
}

fn clock(root: &Path) -> Option<f64> {
    largest(root, "scaling_cur_freq")
}

fn cap(root: &Path) -> Option<f64> {
    let capped = |p: &String| {
        let allowed = number(root, &format!("{p}/scaling_max_freq"))?;
        Some(allowed < number(root, &format!("{p}/cpuinfo_max_freq"))?)
    };
    let any = policies(root).iter().filter_map(capped).any(|c| c);
    if any { largest(root, "scaling_max_freq") } else { None }
}

/// Sensors of the processor by their names on Raspberry Pi, Rockchip, Qualcomm, Exynos, Intel, AMD.
fn is_cpu_sensor(name: &str) -> bool {
    let name = name.to_lowercase();
    let marks = [
        "cpu",
        "soc",
        "bigcore",
        "littlecore",
        "x86_pkg",
        "coretemp",
        "k10temp",
        "zenpower",
        "package",
        "tsens",
    ];
    marks.iter().any(|m| name.contains(m))
}

fn temperature(root: &Path) -> Option<f64> {
    let zones = numbered(root, "sys/class/thermal", "thermal_zone").into_iter().map(|z| {
        let dir = format!("sys/class/thermal/{z}");
        (text(root, &format!("{dir}/type")).unwrap_or_default(), number(root, &format!("{dir}/temp")))
    });
    let chips = numbered(root, "sys/class/hwmon", "hwmon").into_iter().flat_map(|h| {
        let dir = format!("sys/class/hwmon/{h}");
        let name = text(root, &format!("{dir}/name")).unwrap_or_default();
        let inputs = names(root, &dir, |n| n.starts_with("temp") && n.ends_with("_input"));
        inputs.into_iter().map(|i| (name.clone(), number(root, &format!("{dir}/{i}")))).collect::<Vec<_>>()
    });
    // Broken sensors report absurd values; a processor that answers is between these. Some kernels write
    // whole degrees instead of thousandths.
    let celsius = |t: f64| if t.abs() < 200.0 { t } else { t / 1000.0 };
    let read: Vec<(String, f64)> = zones
        .chain(chips)
        .filter_map(|(name, t)| Some((name, celsius(t?))))
        .filter(|(_, c)| (-40.0..150.0).contains(c) && *c != 0.0) // 0: no sensor behind it
        .collect();
    let hottest = |of_cpu: bool| {
        let some = read.iter().filter(|(name, _)| !of_cpu || is_cpu_sensor(name)).map(|(_, c)| *c);
        some.fold(None, |m: Option<f64>, c| Some(m.map_or(c, |m| m.max(c))))
    };
    hottest(true).or_else(|| hottest(false))
}

/// The firmware node's place differs: soc/soc:firmware up to the Pi 4, soc@107c000000/... on the Pi 5.
/// Mainline kernels have only the under-voltage alarm (hwmon `rpi_volt`): bit 0 then.
fn firmware_flags(root: &Path) -> Option<u32> {
    let platform = "sys/devices/platform";
    let parents = names(root, platform, |n| n.starts_with("soc") || n.starts_with("axi"));
    let nodes = parents.iter().flat_map(|p| {
        let dir = format!("{platform}/{p}");
        names(root, &dir, |n| n.contains("firmware"))
            .into_iter()
            .map(move |n| format!("{dir}/{n}/get_throttled"))
    });
    let flags = nodes.filter_map(|path| text(root, &path)).next();
    if let Some(flags) = flags {
        return u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).ok();
    }
    let chips = numbered(root, "sys/class/hwmon", "hwmon");
    let named = |h: &&String| {
        text(root, &format!("sys/class/hwmon/{h}/name")).is_some_and(|n| n.trim() == "rpi_volt")
    };
    let chip = chips.iter().find(named)?;
    number(root, &format!("sys/class/hwmon/{chip}/in0_lcrit_alarm")).map(|alarm| u32::from(alarm != 0.0))
}

fn throttle_events(root: &Path) -> Option<u64> {
    let counts: Vec<f64> = numbered(root, CPU, "cpu")
        .iter()
        .flat_map(|c| {
            ["core", "package"].map(|kind| format!("{CPU}/{c}/thermal_throttle/{kind}_throttle_count"))
        })
        .filter_map(|path| number(root, &path))
        .collect();
    (!counts.is_empty()).then(|| counts.iter().sum::<f64>() as u64)
}

fn cooling(root: &Path) -> Option<u32> {
    let devices = numbered(root, "sys/class/thermal", "cooling_device");
    let slows_cpu = |d: &&String| {
        let kind = text(root, &format!("sys/class/thermal/{d}/type")).unwrap_or_default().to_lowercase();
        ["cpufreq", "thermal-cpu", "cpu-"].iter().any(|m| kind.contains(m)) || kind.trim() == "processor"
    };
    let states: Vec<f64> = devices
        .iter()
        .filter(slows_cpu)
        .filter_map(|d| number(root, &format!("sys/class/thermal/{d}/cur_state")))
        .collect();
    (!states.is_empty()).then(|| states.iter().filter(|s| **s > 0.0).count() as u32)
}

/// These are counters to be read before and after a measurement.
#[derive(Debug, Clone)]
pub struct Activity {
    at: Instant,
    busy: Option<f64>,
    stolen: Option<f64>,
    own: Option<f64>,
    switches: Option<u64>,
}

/// This is what disturbed a measurement, from the machine's counters.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disturbance {
    /// Cores' worth of CPU time that other programs used meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others_cores: Option<f64>,
    /// Cores' worth of time that the hypervisor took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stolen_cores: Option<f64>,
    /// Times a second that this process was put off a CPU against its will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preempted_per_s: Option<f64>,
}

impl Activity {
    /// Reads the counters now.
    pub fn read() -> Self {
        let stat = text(Path::new("/"), "proc/stat").unwrap_or_default();
        // user nice system idle iowait irq softirq steal, in ticks of 10 ms (proc(5)).
        let ticks: Vec<f64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|t| t.parse().ok())
            .collect();
        let sum =
            |fields: &[usize]| fields.iter().map(|&i| ticks.get(i).map(|t| t / 100.0)).sum::<Option<f64>>();
        Self {
            at: Instant::now(),
            busy: sum(&[0, 1, 2, 5, 6]),
            stolen: sum(&[7]),
            own: cpu_seconds(),
            switches: involuntary_switches(),
        }
    }

    /// Returns what happened since; `None` within 0.2 s, where ticks of 10 ms say little.
    pub fn since(&self) -> Option<Disturbance> {
        let now = Self::read();
        let seconds = (now.at - self.at).as_secs_f64();
        if seconds < 0.2 {
            return None;
        }
        let difference = |a: Option<f64>, b: Option<f64>| Some((b? - a?) / seconds);
        let busy = difference(self.busy, now.busy);
        let own = difference(self.own, now.own);
        let switches = |a: &Self| a.switches.map(|s| s as f64);
        Some(Disturbance {
            others_cores: busy.zip(own).map(|(busy, own)| (busy - own).max(0.0)),
            stolen_cores: difference(self.stolen, now.stolen),
            // A thread that ended took its count with it.
            preempted_per_s: difference(switches(self), switches(&now)).map(|p| p.max(0.0)),
        })
    }
}
