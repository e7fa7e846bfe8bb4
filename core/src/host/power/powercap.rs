//! Energy counters of x86 processors (RAPL) as the kernel's powercap class shows them, Intel's and AMD's alike:
//! <https://docs.kernel.org/power/powercap/powercap.html>.

use super::{Counter, Counters, Meter, Reader, Scope, unreadable};
use crate::host::sysfs::{numbered, text};
use std::path::Path;
use std::time::Duration;

const CLASS: &str = "sys/class/powercap";
/// Joules: 2^-14, the coarsest unit of processors that people have (AMD: 2^-16).
const UNIT: f64 = 6.1e-5;

/// The platform's counter and the sum of the packages', as far as they are there.
pub(super) fn find(root: &Path) -> Result<Vec<Meter>, String> {
    // `intel-rapl:0` and not its parts (`intel-rapl:0:0`), nor the second way to the same counter
    // (`intel-rapl-mmio:0`): they would count twice.
    let zones = numbered(root, CLASS, "intel-rapl:");
    let (mut platform, mut packages, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let mut reason = format!("powercap: there is no {CLASS}/intel-rapl:N");
    for zone in zones {
        let dir = format!("{CLASS}/{zone}");
        let name = text(root, &format!("{dir}/name")).unwrap_or_default().trim().to_owned();
        let psys = name == "psys";
        if !psys && !name.starts_with("package-") {
            reason = format!("powercap: {dir}/name is `{name}`, wanted package-N or psys");
            continue;
        }
        match counter(root, &dir) {
            // A psys that has counted nothing since the start is not connected on this board.
            Ok((_, 0.0)) if psys => reason = format!("powercap: {dir} (psys) has counted nothing"),
            Ok((counter, _)) if psys => platform.push(counter),
            Ok((counter, _)) => {
                packages.push(counter);
                names.push(name);
            }
            Err(why) if psys => reason = format!("powercap: {why}"),
            // A part of the packages is not the sum.
            Err(why) => return Err(format!("powercap: {why}")),
        }
    }
    let meter = |source: String, scope, counters: Vec<Counter>| Meter {
        source,
        scope,
        interval: Duration::from_millis(500),
        step: UNIT * counters.len() as f64,
        reader: Reader::Counters(Counters::new(counters)),
    };
    let mut meters = Vec::new();
    if !platform.is_empty() {
        meters.push(meter("powercap psys".into(), Scope::Platform, platform));
    }
    if !packages.is_empty() {
        meters.push(meter(format!("powercap {}", names.join(" + ")), Scope::Package, packages));
    }
    if meters.is_empty() { Err(reason) } else { Ok(meters) }
}

/// A zone's counter, and the joules that it shows now.
fn counter(root: &Path, dir: &str) -> Result<(Counter, f64), String> {
    let path = root.join(dir).join("energy_uj");
    let found = std::fs::read(&path).map_err(|e| unreadable(&path, &e))?;
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    let joules = found.parse::<u64>().map_err(|_| {
        format!("{dir}/energy_uj is `{}`, wanted microjoules", found.chars().take(40).collect::<String>())
    })?;
    let range = text(root, &format!("{dir}/max_energy_range_uj"))
        .and_then(|t| t.trim().parse::<u64>().ok())
        .filter(|&range| range > 0)
        .map(|range| range as f64 * 1e-6);
    Ok((Counter { path, range, last: None }, joules as f64 * 1e-6))
}
