//! Cores: which are alike, which are fast. Linux numbers them without order: on a phone the fast ones
//! may be 4-7, on an Intel hybrid 0-15.

use super::sysfs::{number, numbered, text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const CPU: &str = "sys/devices/system/cpu";
/// No machine that runs this has more.
const MAX_CPUS: usize = 4096;

/// A cluster is a group of cores that are alike: one cpufreq policy on ARM, one kind of core on x86.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Linux's numbers, ascending.
    pub cpus: Vec<usize>,
    /// `Cortex-A76`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core: Option<String>,
    /// Highest clock of the hardware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_mhz: Option<f64>,
    /// The kernel's estimate of performance, 1024 for the fastest core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
}

/// Returns the first value of a key in /proc/cpuinfo; keys differ in case.
pub fn field(info: &str, key: &str) -> Option<String> {
    let value = |line: &str| {
        let (k, v) = line.split_once(':')?;
        (k.trim() == key).then(|| v.trim().to_owned())
    };
    info.lines().find_map(value).filter(|v| !v.is_empty())
}

/// Returns the numbers that a list like `0-3,7` names, ascending without repeats; `None` if it is none or
/// beyond any machine.
pub fn parse_cpu_list(list: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    // sysfs separates ranges by commas, cpufreq's related_cpus by spaces.
    for part in list.trim().split([',', ' ']).filter(|p| !p.is_empty()) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high) = (low.trim().parse::<usize>().ok()?, high.trim().parse::<usize>().ok()?);
        if low > high || high >= MAX_CPUS {
            return None;
        }
        cpus.extend(low..=high);
    }
    cpus.sort_unstable();
    cpus.dedup();
    (!cpus.is_empty()).then_some(cpus)
}

/// Returns numbers as a list like `0-3,7`.
pub fn cpu_list(cpus: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &cpu in cpus {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == cpu => *end = cpu,
            _ => runs.push((cpu, cpu)),
        }
    }
    let run = |(a, b): &(usize, usize)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

/// The machine's cores; Android forbids listing the folder but not reading what is in it.
fn cpus(root: &Path) -> Vec<usize> {
    let listed =
        ["present", "possible"].iter().find_map(|f| parse_cpu_list(&text(root, &format!("{CPU}/{f}"))?));
    listed.unwrap_or_else(|| {
        let mut found: Vec<usize> =
            numbered(root, CPU, "cpu").iter().filter_map(|n| n.strip_prefix("cpu")?.parse().ok()).collect();
        found.sort_unstable();
        found
    })
}

/// Returns the groups of like cores, slowest first.
pub fn clusters(root: &Path, cpuinfo: &str) -> Vec<Cluster> {
    let parts = core_names(cpuinfo);
    let hybrid =
        |kind: &str| text(root, &format!("sys/devices/{kind}/cpus")).and_then(|l| parse_cpu_list(&l));
    let (p_cores, e_cores) = (hybrid("cpu_core").unwrap_or_default(), hybrid("cpu_atom").unwrap_or_default());
    let arm = !parts.is_empty();
    let mut groups: BTreeMap<Vec<usize>, Cluster> = BTreeMap::new();
    for cpu in cpus(root) {
        let read = |file: &str| number(root, &format!("{CPU}/cpu{cpu}/{file}"));
        let max_mhz = read("cpufreq/cpuinfo_max_freq").map(|khz| khz / 1000.0);
        let capacity = read("cpu_capacity").map(|c| c as u32);
        let core = match (p_cores.contains(&cpu), e_cores.contains(&cpu)) {
            (true, _) => Some("performance core".to_owned()),
            (_, true) => Some("efficiency core".to_owned()),
            _ => parts.get(&cpu).cloned(),
        };
        // x86 has a policy per core, and favoured cores with a little more clock: only the kind groups.
        let policy =
            text(root, &format!("{CPU}/cpu{cpu}/cpufreq/related_cpus")).and_then(|l| parse_cpu_list(&l));
        // Some kernels have no related_cpus: cores of one kind and clock are one group.
        let like = || vec![max_mhz.unwrap_or(0.0) as usize, capacity.unwrap_or(0) as usize];
        let name = || core.iter().flat_map(|c| c.bytes().map(usize::from)).collect::<Vec<_>>();
        let key = match (arm, policy) {
            (true, Some(policy)) => policy,
            (true, None) => [like(), name()].concat(),
            (false, _) => name(),
        };
        let group = groups.entry(key).or_insert_with(|| Cluster { core, capacity, ..Cluster::default() });
        group.cpus.push(cpu);
        group.max_mhz = group
            .max_mhz
            .into_iter()
            .chain(max_mhz)
            .fold(None, |m: Option<f64>, x| Some(m.unwrap_or(0.0).max(x)));
    }
    let mut clusters: Vec<Cluster> = groups.into_values().collect();
    clusters.sort_by(|a, b| {
        let key = |c: &Cluster| (!is_little(c), c.capacity.unwrap_or(0), c.max_mhz.unwrap_or(0.0));
        let (a_key, b_key) = (key(a), key(b));
        a_key.partial_cmp(&b_key).unwrap_or(std::cmp::Ordering::Equal).then(a.cpus.cmp(&b.cpus))
    });
    clusters
}

/// Returns the clusters in words: `4 x Cortex-A55 + 4 x Cortex-A76`.
pub fn describe(clusters: &[Cluster]) -> Option<String> {
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for c in clusters {
        let core = c.core.as_deref()?;
        match kinds.last_mut() {
            Some((last, n)) if *last == core => *n += c.cpus.len(),
            _ => kinds.push((core, c.cpus.len())),
        }
    }
    let parts: Vec<String> = kinds.iter().map(|(core, n)| format!("{n} x {core}")).collect();
    (!parts.is_empty()).then(|| parts.join(" + "))
}

/// Returns the CPUs of the big clusters, or of the others.
pub fn pick(clusters: &[Cluster], big: bool) -> Vec<usize> {
    let best = |f: fn(&Cluster) -> Option<f64>| clusters.iter().filter_map(f).fold(0.0, f64::max);
    let all_capacities = clusters.iter().all(|c| c.capacity.is_some());
    let (capacity, mhz) = (best(|c| c.capacity.map(f64::from)), best(|c| c.max_mhz));
    let some_big = clusters.iter().any(|c| c.core.is_some() && !is_little(c));
    let is_big = |c: &&Cluster| match (all_capacities, c.core.is_some()) {
        (true, _) => c.capacity.map_or(0.0, f64::from) >= 0.6 * capacity,
        (_, true) => !(some_big && is_little(c)),
        _ => c.max_mhz.is_none_or(|m| m >= 0.8 * mhz),
    };
    let mut cpus: Vec<usize> =
        clusters.iter().filter(|c| is_big(c) == big).flat_map(|c| c.cpus.clone()).collect();
    cpus.sort_unstable();
    cpus
}

fn is_little(c: &Cluster) -> bool {
    let little = ["Cortex-A35", "Cortex-A53", "Cortex-A55", "Cortex-A510", "Cortex-A520", "efficiency core"];
    c.core
        .as_deref()
        .is_some_and(|name| little.contains(&name) || name.ends_with("Silver") || name.ends_with("Icestorm"))
}

/// Core names by CPU number, from implementer and part of /proc/cpuinfo (ARM only). Old kernels list
/// one block for several processors: those after it are of its kind.
fn core_names(cpuinfo: &str) -> BTreeMap<usize, String> {
    let mut names = BTreeMap::new();
    let (mut cpus, mut implementer) = (Vec::new(), None);
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let hex = || u32::from_str_radix(value.trim().trim_start_matches("0x"), 16).ok();
        match key.trim() {
            "processor" => cpus.extend(value.trim().parse::<usize>().ok().filter(|c| *c < MAX_CPUS)),
            "CPU implementer" => implementer = hex(),
            "CPU part" => {
                let name = implementer.zip(hex()).map(|(i, p)| core_name(i, p));
                names.extend(cpus.drain(..).zip(std::iter::repeat(name.unwrap_or_default())));
            }
            _ => {}
        }
    }
    names
}

/// Main ID register's implementer and part number (Arm's technical reference manuals; Linux's
/// arch/arm64/include/asm/cputype.h).
fn core_name(implementer: u32, part: u32) -> String {
    let arm = [
        (0xc07, "Cortex-A7"),
        (0xc0f, "Cortex-A15"),
        (0xd03, "Cortex-A53"),
        (0xd04, "Cortex-A35"),
        (0xd05, "Cortex-A55"),
        (0xd07, "Cortex-A57"),
        (0xd08, "Cortex-A72"),
        (0xd09, "Cortex-A73"),
        (0xd0a, "Cortex-A75"),
        (0xd0b, "Cortex-A76"),
        (0xd0c, "Neoverse-N1"),
        (0xd0d, "Cortex-A77"),
        (0xd40, "Neoverse-V1"),
        (0xd41, "Cortex-A78"),
        (0xd42, "Cortex-A78AE"),
        (0xd44, "Cortex-X1"),
        (0xd46, "Cortex-A510"),
        (0xd47, "Cortex-A710"),
        (0xd48, "Cortex-X2"),
        (0xd49, "Neoverse-N2"),
        (0xd4b, "Cortex-A78C"),
        (0xd4d, "Cortex-A715"),
        (0xd4e, "Cortex-X3"),
        (0xd4f, "Neoverse-V2"),
        (0xd80, "Cortex-A520"),
        (0xd81, "Cortex-A720"),
        (0xd82, "Cortex-X4"),
    ];
    let qualcomm = [
        (0x001, "Oryon"),
        (0x800, "Kryo 2xx Gold"),
        (0x801, "Kryo 2xx Silver"),
        (0x802, "Kryo 3xx Gold"),
        (0x803, "Kryo 3xx Silver"),
        (0x804, "Kryo 4xx Gold"),
        (0x805, "Kryo 4xx Silver"),
    ];
    let table: &[(u32, &str)] = match implementer {
        0x41 => &arm,
        0x51 => &qualcomm,
        _ => &[],
    };
    let known = table.iter().find(|(p, _)| *p == part).map(|(_, name)| (*name).to_owned());
    known.unwrap_or_else(|| format!("core {implementer:#04x}:{part:#05x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_round_trip_and_nonsense_is_none() {
        for list in ["0", "0-3", "0-3,7", "1,3,5-6"] {
            assert_eq!(cpu_list(&parse_cpu_list(list).unwrap()), list);
        }
        assert_eq!(parse_cpu_list("4 5 6 7\n"), Some(vec![4, 5, 6, 7]));
        for wrong in ["", "a", "3-1", "0-99999999", "-1"] {
            assert_eq!(parse_cpu_list(wrong), None, "{wrong}");
        }
    }
}
