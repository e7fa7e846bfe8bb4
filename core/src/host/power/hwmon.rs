//! Power and energy sensors of the kernel's hwmon class (<https://docs.kernel.org/hwmon/sysfs-interface.html>),
//! and the INA3221 of NVIDIA's boards, which shows volts and amperes there, or watts in older kernels' iio class.

use super::{Counter, Counters, Meter, Rail, Reader, Scope};
use crate::host::sysfs::{names, number, numbered, text};
use std::path::Path;
use std::time::Duration;

const CLASS: &str = "sys/class/hwmon";
const IIO: &str = "sys/bus/i2c/drivers/ina3221x";
/// Graphics cards: their watts leave out the processor.
const CARDS: [&str; 5] = ["amdgpu", "radeon", "nouveau", "i915", "xe"];
/// Labels of what the whole board takes: NVIDIA's, Apple's, IBM's, power supplies'.
const BOARD: [&str; 5] = ["VDD_IN", "POM_5V_IN", "Total System Power", "System", "power total"];
/// Smallest steps of the INA3221's data sheet: volts of the shunt and of the bus.
const SHUNT_STEP: f64 = 40e-6;
const BUS_STEP: f64 = 8e-3;
/// Ohms of the shunt on NVIDIA's boards, where the kernel does not say.
const SHUNT: f64 = 0.005;

fn line(root: &Path, path: &str) -> Option<String> {
    text(root, path).map(|t| t.trim().to_owned()).filter(|t| !t.is_empty())
}

/// Sensors that show watts or joules by themselves, one meter each.
pub(super) fn find(root: &Path) -> Result<Vec<Meter>, String> {
    let mut meters = Vec::new();
    let mut reason = format!("hwmon: no power or energy sensor in {CLASS}");
    for chip in numbered(root, CLASS, "hwmon") {
        let dir = format!("{CLASS}/{chip}");
        let name = line(root, &format!("{dir}/name")).unwrap_or_else(|| chip.clone());
        let files = sensors(root, &dir);
        if files.is_empty() || root.join("sys/class/power_supply").join(&name).exists() {
            continue; // a battery shows itself here once more
        }
        if CARDS.contains(&name.as_str()) {
            reason = format!("hwmon: {name} measures a graphics card, not the processor");
            continue;
        }
        for file in files {
            match meter(root, &dir, &name, &file) {
                Some(meter) => meters.push(meter),
                None => reason = format!("hwmon: {dir}/{file} ({name}) cannot be read as a number from 0 on"),
            }
        }
    }
    if meters.is_empty() { Err(reason) } else { Ok(meters) }
}

/// `power1_input` or else `power1_average`, `energy1_input`, ...; a chip's average beside its input is the same
/// line once more.
fn sensors(root: &Path, dir: &str) -> Vec<String> {
    let kind = |n: &str| {
        let channel = |prefix: &str, suffix: &str| {
            n.strip_prefix(prefix)
                .and_then(|r| r.strip_suffix(suffix))
                .is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_digit()))
        };
        channel("power", "_input") || channel("power", "_average") || channel("energy", "_input")
    };
    let mut found = names(root, dir, kind);
    let inputs: Vec<String> =
        found.iter().filter_map(|n| n.strip_suffix("_input").map(str::to_owned)).collect();
    found.retain(|n| n.strip_suffix("_average").is_none_or(|stem| !inputs.iter().any(|i| i == stem)));
    found
}

fn meter(root: &Path, dir: &str, name: &str, file: &str) -> Option<Meter> {
    let path = root.join(dir).join(file);
    number(root, &format!("{dir}/{file}")).filter(|n| *n >= 0.0)?;
    let stem = file.split('_').next()?;
    let label = line(root, &format!("{dir}/{stem}_label"));
    let label = label.as_deref().unwrap_or(stem);
    let energy = stem.starts_with("energy");
    Some(Meter {
        source: format!("hwmon {name} {label}"),
        scope: scope(name, label),
        interval: Duration::from_millis(if energy { 500 } else { 100 }),
        step: if energy { 6.1e-5 } else { watts_step(name) },
        reader: if energy {
            Reader::Counters(Counters::new(vec![Counter { path, range: None, last: None }]))
        } else {
            Reader::Rails(vec![Rail(vec![(path, 1e-6)])])
        },
    })
}

fn board(label: &str) -> bool {
    BOARD.iter().any(|known| label.eq_ignore_ascii_case(known))
}

fn scope(name: &str, label: &str) -> Scope {
    let package = ["fam15h_power", "zenpower", "amd_energy"].contains(&name);
    match () {
        () if name == "power_meter" || board(label) => Scope::WholeBoard, // ACPI's
        // amd_energy counts cores (Ecore000) beside sockets (Esocket0).
        () if package && !label.starts_with("Ecore") => Scope::Package,
        () => Scope::Rail,
    }
}

/// The step that a chip of this name has as a rule, in watts.
fn watts_step(name: &str) -> f64 {
    match name {
        "power_meter" => 1.0,
        _ if name.starts_with("ina") => 0.025,
        _ => 1e-3,
    }
}

/// One channel of an INA3221.
struct Channel {
    label: String,
    rail: Rail,
    /// Watts.
    step: f64,
}

/// The INA3221s of the board: the input's line, else the sum of all lines.
pub(super) fn ina3221(root: &Path) -> Result<Vec<Meter>, String> {
    let mut channels = Vec::new();
    for chip in numbered(root, CLASS, "hwmon") {
        let dir = format!("{CLASS}/{chip}");
        if line(root, &format!("{dir}/name")).as_deref() == Some("ina3221") {
            channels.extend((1..=3).filter_map(|i| hwmon_channel(root, &dir, i)));
        }
    }
    if channels.is_empty() {
        channels = iio_channels(root);
    }
    if channels.is_empty() {
        return Err(format!("INA3221: no readable channel in {CLASS} or {IIO}"));
    }
    let whole = channels.iter().position(|c| board(&c.label));
    let (scope, used) = match whole {
        Some(at) => (Scope::WholeBoard, vec![channels.swap_remove(at)]),
        None => (Scope::Rails, channels),
    };
    let labels: Vec<&str> = used.iter().map(|c| c.label.as_str()).collect();
    Ok(vec![Meter {
        source: format!("ina3221 {}", labels.join(" + ")),
        scope,
        interval: Duration::from_millis(100),
        step: used.iter().map(|c| c.step).sum(),
        reader: Reader::Rails(used.into_iter().map(|c| c.rail).collect()),
    }])
}

fn hwmon_channel(root: &Path, dir: &str, i: usize) -> Option<Channel> {
    let at = |file: String| (format!("{dir}/{file}"), root.join(dir).join(&file));
    let ((volts, volts_path), (amperes, amperes_path)) =
        (at(format!("in{i}_input")), at(format!("curr{i}_input")));
    // A channel that is switched off cannot be read.
    let (mv, ma) = (number(root, &volts)?, number(root, &amperes)?);
    let ohms = number(root, &format!("{dir}/shunt{i}_resistor")).map(|micro| micro * 1e-6);
    let ohms = ohms.filter(|&r| r > 0.0).unwrap_or(SHUNT);
    Some(Channel {
        label: line(root, &format!("{dir}/in{i}_label")).unwrap_or_else(|| format!("channel {i}")),
        rail: Rail(vec![(volts_path, 1e-3), (amperes_path, 1e-3)]),
        step: (mv * 1e-3).abs() * SHUNT_STEP / ohms + (ma * 1e-3).abs() * BUS_STEP,
    })
}

fn iio_channels(root: &Path) -> Vec<Channel> {
    let mut channels = Vec::new();
    for chip in names(root, IIO, |n| n.contains('-')) {
        for device in
            names(root, &format!("{IIO}/{chip}"), |n| n.starts_with("iio:device") || n == "iio_device")
        {
            let dir = format!("{IIO}/{chip}/{device}");
            for i in 0..3 {
                let power = format!("{dir}/in_power{i}_input");
                if number(root, &power).is_none() {
                    continue;
                }
                let volts = number(root, &format!("{dir}/in_voltage{i}_input")).unwrap_or(5000.0) * 1e-3;
                let label = line(root, &format!("{dir}/rail_name_{i}"));
                channels.push(Channel {
                    label: label.unwrap_or_else(|| format!("channel {i}")),
                    rail: Rail(vec![(root.join(&power), 1e-3)]),
                    step: volts.abs() * SHUNT_STEP / SHUNT,
                });
            }
        }
    }
    channels
}
