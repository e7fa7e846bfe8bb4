//! Joules against the truth: through every kind of meter on a tree that a made-up machine writes, and the
//! interval's coverage. Times are numbers: nothing waits.

use super::*;
use crate::host::power::{Meter, Point, Reading};
use crate::rng::Rng;
use std::fs;
use std::path::Path;

const IDLE: f64 = 3.0;
const LOAD: f64 = 7.5;
/// Readings of each of the two stretches.
const READINGS: usize = 48;

fn put(root: &Path, path: &str, content: impl std::fmt::Display) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{content}\n")).unwrap();
}

fn samples(meter: &Meter, points: Vec<Point>) -> Samples {
    Samples {
        source: meter.source().into(),
        scope: meter.scope(),
        quantity: meter.quantity(),
        interval_s: meter.interval().as_secs_f64(),
        step: meter.step(),
        epoch_unix_s: 0.0,
        points,
    }
}

/// A machine at rest and then under load, as `write(root, watts, joules so far)` shows it; every 13th reading
/// fails where `broken` names the file that is then garbage.
fn machine(root: &Path, broken: Option<&str>, write: impl Fn(&Path, f64, f64)) -> Energy {
    write(root, IDLE, 0.0);
    let mut meter = Meter::find(root).unwrap();
    let interval = meter.interval().as_secs_f64();
    let mut rng = Rng::new(1, "energy", 0);
    let (mut joules, mut points) = (0.0, Vec::new());
    for i in 0..2 * READINGS {
        let watts = if i < READINGS { IDLE } else { LOAD } + 0.02 * rng.normal();
        joules += watts * interval;
        write(root, watts, joules);
        if let Some(file) = broken.filter(|_| i % 13 == 5) {
            put(root, file, "garbage");
        }
        points.push(Point { at_s: i as f64 * interval, value: meter.read().map(Reading::value) });
    }
    let samples = samples(&meter, points);
    let stretch = |from: usize, to: usize| Stretch {
        samples: &samples,
        from_s: from as f64 * interval,
        to_s: to as f64 * interval,
    };
    // 1,000 inferences in the load stretch.
    Energy::of(stretch(0, READINGS - 1), stretch(READINGS, 2 * READINGS - 1), 1000).unwrap()
}

/// Within 1 % of the truth, the interval around it, and what failed counted: readings 5, 18, 31, 44, 57, 70, 83.
fn check(energy: &Energy, missed: usize) {
    let truth = (LOAD - IDLE) * energy.load_s / 1000.0;
    let [low, high] = energy.ci95;
    assert!((energy.joules_per_inference / truth - 1.0).abs() < 0.01, "{energy:?}, truth {truth}");
    assert!(low <= truth && truth <= high && low > 0.0, "{energy:?}, truth {truth}");
    assert_eq!(energy.missed, missed, "{energy:?}");
}

#[test]
fn through_powercap_with_wraps() {
    let dir = tempfile::tempdir().unwrap();
    let zone = "sys/class/powercap/intel-rapl:0";
    put(dir.path(), &format!("{zone}/name"), "package-0");
    // 40 J: wraps every 13 s at rest and every 5 s under load.
    put(dir.path(), &format!("{zone}/max_energy_range_uj"), 40_000_000);
    let file = format!("{zone}/energy_uj");
    let write = |root: &Path, _: f64, joules: f64| put(root, &file, (joules * 1e6) as u64 % 40_000_000);
    check(&machine(dir.path(), None, write), 0);
    check(&machine(dir.path(), Some(&file), write), 7);
}

#[test]
fn through_hwmon_power_and_energy() {
    for (file, energy) in [("power1_input", false), ("energy1_input", true)] {
        let dir = tempfile::tempdir().unwrap();
        let file = format!("sys/class/hwmon/hwmon0/{file}");
        put(dir.path(), "sys/class/hwmon/hwmon0/name", "sensor");
        let write = |root: &Path, watts: f64, joules: f64| {
            put(root, &file, (if energy { joules } else { watts } * 1e6) as u64);
        };
        check(&machine(dir.path(), None, write), 0);
        check(&machine(dir.path(), Some(&file), write), 7);
    }
}

#[test]
fn through_both_kinds_of_ina3221() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("sys/class/hwmon/hwmon0/{name}");
    put(dir.path(), &file("name"), "ina3221");
    put(dir.path(), &file("in1_label"), "VDD_IN");
    // 5.04 V, and currents in the chip's steps of 8 mA.
    let write = |root: &Path, watts: f64, _: f64| {
        put(root, &file("in1_input"), 5040);
        put(root, &file("curr1_input"), (watts / 5.04 * 1e3 / 8.0).round() * 8.0);
    };
    check(&machine(dir.path(), Some(&file("curr1_input")), write), 7);
    let dir = tempfile::tempdir().unwrap();
    let file = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/in_power0_input";
    let write = |root: &Path, watts: f64, _: f64| put(root, file, (watts * 1e3).round());
    check(&machine(dir.path(), Some(file), write), 7);
}

/// The program is a script that shows a file; the numbers are split over two rails.
#[cfg(unix)]
#[test]
fn through_the_pi_5s_power_chip() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let answer = dir.path().join("answer");
    put(dir.path(), "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0");
    put(dir.path(), "usr/bin/vcgencmd", format!("#!/bin/sh\nexec cat '{}'", answer.display()));
    let program = dir.path().join("usr/bin/vcgencmd");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let write = |root: &Path, watts: f64, _: f64| {
        let amperes = (watts - 0.33) / 0.8;
        let text = format!(
            "   3V3_SYS_A current(1)=0.10000000A\n  VDD_CORE_A current(7)={amperes:.8}A\n   \
             3V3_SYS_V volt(9)=3.30000000V\n  VDD_CORE_V volt(15)=0.80000000V\n     EXT5V_V volt(24)=5.1V"
        );
        put(root, "answer", text);
    };
    write(dir.path(), IDLE, 0.0);
    // A process that another test forks just now may hold the script open for writing ("text file busy").
    for _ in 0..1000 {
        if Meter::find(dir.path()).is_ok() {
            break;
        }
        std::thread::yield_now();
    }
    check(&machine(dir.path(), Some("answer"), write), 7);
}

#[test]
fn through_a_battery() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("sys/class/power_supply/BAT0/{name}");
    put(dir.path(), &file("type"), "Battery");
    put(dir.path(), &file("status"), "Discharging");
    let power = |root: &Path, watts: f64, _: f64| put(root, &file("power_now"), (watts * 1e2).round() * 1e4);
    check(&machine(dir.path(), Some(&file("power_now")), power), 7);
}

#[test]
fn through_a_meters_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meter.csv");
    let mut rng = Rng::new(2, "energy", 0);
    let mut text = "unix_s,watts\n".to_owned();
    for i in 0..120 {
        let watts = if i < 60 { IDLE } else { LOAD } + 0.02 * rng.normal();
        if ![20, 21, 22, 23].contains(&i) {
            text += &format!("{},{watts:.3}\n", 1_767_225_600 + i);
        }
    }
    fs::write(&path, text).unwrap();
    let samples = crate::host::power::log::read(&path).unwrap();
    let stretch = |from_s: f64, to_s: f64| Stretch { samples: &samples, from_s, to_s };
    let energy = Energy::of(stretch(0.0, 59.0), stretch(60.0, 119.0), 1000).unwrap();
    check(&energy, 4);
    assert_eq!((energy.scope, energy.load_s), (Scope::External, 59.0));
}

/// Readings with noise that hangs together: x' = phi x + normal, of standard deviation `sd`, rounded to `step`.
fn noisy(rng: &mut Rng, n: usize, watts: f64, [phi, sd, step]: [f64; 3], joules: bool) -> Samples {
    let (mut x, mut sum) = (sd * rng.normal(), 0.0);
    let point = |i: usize| {
        x = phi * x + sd * (1.0 - phi * phi).sqrt() * rng.normal();
        let now = (watts + x).max(0.0);
        sum += now;
        let value = if joules { sum } else { now };
        let value = if step > 0.0 { (value / step).round() * step } else { value };
        Point { at_s: i as f64, value: Some(value) }
    };
    Samples {
        source: "test".into(),
        scope: Scope::Package,
        quantity: if joules { Quantity::Joules { range: None } } else { Quantity::Watts },
        interval_s: 1.0,
        step,
        epoch_unix_s: 0.0,
        points: (0..n).map(point).collect(),
    }
}

/// Of 100 seeds each, at least 90 intervals hold the truth (95 are promised; 90 is 2.3 sigma below).
#[test]
fn the_interval_covers_the_truth() {
    let mut poor = Vec::new();
    for (name, n, noise, joules) in [
        ("white", 80, [0.0, 0.3, 0.0], false),
        ("white, few", 20, [0.0, 0.3, 0.0], false),
        ("hangs together", 300, [0.8, 0.3, 0.0], false),
        ("hangs together long", 600, [0.95, 0.3, 0.0], false),
        ("coarse steps, little noise", 80, [0.0, 0.02, 0.25], false),
        ("counter", 80, [0.0, 0.3, 0.0], true),
        ("counter, hangs together, coarse", 300, [0.8, 0.3, 1.0], true),
    ] {
        let covers = |seed: &u64| {
            let mut rng = Rng::new(*seed, "coverage", n as u64);
            let (idle, load) =
                (noisy(&mut rng, n, 3.1, noise, joules), noisy(&mut rng, n, 4.23, noise, joules));
            let end = n as f64 - 1.0;
            let stretch = |samples| Stretch { samples, from_s: 0.0, to_s: end };
            let energy = Energy::of(stretch(&idle), stretch(&load), 100).unwrap();
            let truth = (4.23 - 3.1) * end / 100.0;
            energy.ci95[0] <= truth && truth <= energy.ci95[1]
        };
        let hits = (0..100).filter(covers).count();
        if hits < 90 {
            poor.push((name, hits));
        }
    }
    assert!(poor.is_empty(), "{poor:?}");
}

/// The 40 readings of a second each.
fn whole(samples: &Samples) -> Stretch<'_> {
    Stretch { samples, from_s: 0.0, to_s: 39.0 }
}

#[test]
fn what_cannot_be_told_has_a_reason() {
    let mut rng = Rng::new(5, "energy", 0);
    let mut good = |n: usize| noisy(&mut rng, n, 3.0, [0.0, 0.1, 0.0], false);
    let (idle, load, few) = (good(40), good(40), good(10));
    let reason = |idle: Stretch<'_>, load: Stretch<'_>, n| Energy::of(idle, load, n).unwrap_err();
    let why = reason(whole(&few), whole(&load), 9);
    assert!(why.contains("idle stretch has 9 good pairs of readings (30 readings missed)"), "{why}");
    assert!(reason(whole(&idle), whole(&load), 0).contains("no inference ran"));
    let long = Stretch { samples: &load, from_s: 0.0, to_s: 400.0 };
    assert!(reason(whole(&idle), long, 9).contains("wanted half"));
    for (from_s, to_s) in [(f64::NAN, 1.0), (0.0, f64::INFINITY), (2.0, 1.0)] {
        let bad = Stretch { samples: &load, from_s, to_s };
        assert!(reason(whole(&idle), bad, 9).contains("wanted a rising pair"));
    }
    let other = Samples { source: "other".into(), ..load.clone() };
    assert!(reason(whole(&idle), whole(&other), 9).contains("wanted the same source"));
    for junk in [f64::NAN, f64::INFINITY, -1.0, 1e9] {
        let points = load.points.iter().map(|p| Point { value: Some(junk), ..*p }).collect();
        let bad = Samples { points, ..load.clone() };
        let why = reason(whole(&idle), whole(&bad), 9);
        assert!(why.contains("has 0 good pairs of readings (40 readings missed)"), "{junk}: {why}");
    }
}

#[test]
fn a_report_keeps_it() {
    let mut rng = Rng::new(6, "energy", 0);
    let (idle, load) =
        (noisy(&mut rng, 40, 3.0, [0.0, 0.1, 0.0], false), noisy(&mut rng, 40, 4.0, [0.0, 0.1, 0.0], false));
    let energy = Energy::of(whole(&idle), whole(&load), 10).unwrap();
    let text = serde_json::to_string(&energy).unwrap();
    assert!(text.contains("\"scope\":\"CPU package\""), "{text}");
    assert_eq!(serde_json::from_str::<Energy>(&text).unwrap(), energy);
    assert!(serde_json::from_str::<Energy>(&text.replacen('{', "{\"more\":1,", 1)).is_err());
}
