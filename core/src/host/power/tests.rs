//! Every reader on a recorded or documented layout, on an empty tree and on nonsense; the files of external
//! meters; what a stretch of readings says.

use super::*;
use std::fs;

/// Unpacks `path=content` lines; `\n` in a content is a line's end.
fn tree(files: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for line in files.lines().filter(|l| !l.is_empty()) {
        let (path, content) = line.split_once('=').unwrap();
        put(dir.path(), path, &content.replace("\\n", "\n"));
    }
    dir
}

fn put(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{content}\n")).unwrap();
}

fn watts(meter: &mut Meter) -> Option<f64> {
    meter.read().map(Reading::value)
}

fn near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0)
}

/// A laptop of 2022 (ubuntuforums.org, 2022-02-14: names and range; its counter was root's alone), with the
/// parts and the second way that the kernel's documentation shows.
const RAPL: &str = "\
sys/class/powercap/intel-rapl/enabled=1
sys/class/powercap/intel-rapl:0/name=package-0
sys/class/powercap/intel-rapl:0/energy_uj=262143328000
sys/class/powercap/intel-rapl:0/max_energy_range_uj=262143328850
sys/class/powercap/intel-rapl:0:0/name=core
sys/class/powercap/intel-rapl:0:0/energy_uj=1000
sys/class/powercap/intel-rapl-mmio:0/name=package-0
sys/class/powercap/intel-rapl-mmio:0/energy_uj=5
";

#[test]
fn powercap_wraps_and_resets() {
    let dir = tree(RAPL);
    let mut meter = Meter::find(dir.path()).unwrap();
    assert_eq!((meter.source(), meter.scope()), ("powercap package-0", Scope::Package));
    assert_eq!(meter.interval(), Duration::from_millis(500));
    let mut read = |uj: &str| {
        put(dir.path(), "sys/class/powercap/intel-rapl:0/energy_uj", uj);
        watts(&mut meter)
    };
    assert_eq!(read("262143328000"), Some(0.0));
    assert!(near(read("4000150").unwrap(), 4.001), "850 before the end and 4000150 after it");
    for junk in ["", "-1", "nan", "1e400", "262143328851", "none"] {
        assert_eq!(read(junk), None, "{junk:?}");
    }
    assert!(near(read("5000150").unwrap(), 5.001), "counted on through what could not be read");
}

#[test]
fn sockets_add_up_and_psys_goes_before_them() {
    let dir = tree(RAPL);
    let zone = |i: usize, name: &str, uj: &str| {
        put(dir.path(), &format!("sys/class/powercap/intel-rapl:{i}/name"), name);
        put(dir.path(), &format!("sys/class/powercap/intel-rapl:{i}/energy_uj"), uj);
    };
    zone(1, "package-1", "7");
    let mut meter = Meter::find(dir.path()).unwrap();
    assert_eq!(meter.source(), "powercap package-0 + package-1");
    assert_eq!(watts(&mut meter), Some(0.0));
    zone(0, "package-0", "1000000");
    zone(1, "package-1", "2000007");
    assert!(near(watts(&mut meter).unwrap(), 3.00085));
    // Without a range a fall is a reset: the meter starts again, and whoever reads sees it fall.
    zone(1, "package-1", "0");
    assert_eq!(watts(&mut meter), Some(0.0));
    zone(2, "psys", "0");
    assert_eq!(Meter::find(dir.path()).unwrap().scope(), Scope::Package, "a psys that counts nothing");
    zone(2, "psys", "5");
    assert_eq!(Meter::find(dir.path()).unwrap().scope(), Scope::Platform);
}

#[test]
fn a_counter_that_may_not_be_read_says_why() {
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let why = unreadable(Path::new("energy_uj"), &denied);
    assert!(why.contains("permission denied") && why.contains("only root may"), "{why}");
    let dir = tree(RAPL);
    let counter = dir.path().join("sys/class/powercap/intel-rapl:0/energy_uj");
    fs::remove_file(&counter).unwrap();
    fs::create_dir(&counter).unwrap(); // unreadable for root as well
    let reasons = Meter::find(dir.path()).unwrap_err().join("\n");
    assert!(reasons.contains("powercap: ") && reasons.contains("cannot be read"), "{reasons}");
}

/// Layouts as docs.kernel.org (hwmon, ina2xx, acpi_power_meter, amd_energy) has them.
#[test]
fn hwmon_power_and_energy() {
    let dir = tree(
        "sys/class/hwmon/hwmon0/name=amdgpu\nsys/class/hwmon/hwmon0/power1_average=9000000\n\
         sys/class/hwmon/hwmon1/name=ina226\nsys/class/hwmon/hwmon1/power1_input=2350000\n\
         sys/class/hwmon/hwmon1/power1_label=VDD_CPU\n\
         sys/class/hwmon/hwmon2/name=BAT0\nsys/class/hwmon/hwmon2/power1_input=1000000\n\
         sys/class/power_supply/BAT0/type=Battery\nsys/class/power_supply/BAT0/status=Full\n\
         sys/class/hwmon/hwmon10/name=amd_energy\nsys/class/hwmon/hwmon10/energy1_input=1000\n\
         sys/class/hwmon/hwmon10/energy1_label=Esocket0",
    );
    let (meters, _) = Meter::all(dir.path());
    let found: Vec<_> = meters.iter().map(|m| (m.source(), m.scope())).collect();
    let wanted = [("hwmon amd_energy Esocket0", Scope::Package), ("hwmon ina226 VDD_CPU", Scope::Rail)];
    assert_eq!(found, wanted);
    put(dir.path(), "sys/class/hwmon/hwmon3/name", "power_meter");
    put(dir.path(), "sys/class/hwmon/hwmon3/power1_average", "312000000");
    let mut meter = Meter::find(dir.path()).unwrap();
    assert_eq!((meter.source(), meter.scope()), ("hwmon power_meter power1", Scope::WholeBoard));
    assert_eq!(watts(&mut meter), Some(312.0));
    for junk in ["", "-1", "NaN", "inf", "1e400", "99999999999999", "x"] {
        put(dir.path(), "sys/class/hwmon/hwmon3/power1_average", junk);
        assert_eq!(meter.read(), None, "{junk:?}");
    }
}

/// A Jetson Orin Nano's channels (docs.kernel.org, ina3221; labels from NVIDIA's device tree); the third of
/// NVIDIA's channels is switched off.
#[test]
fn ina3221_in_hwmon() {
    let mut files = "sys/class/hwmon/hwmon1/name=ina3221\n".to_owned();
    for (i, label, mv, ma) in [(1, "VDD_IN", 5040, 1096), (2, "VDD_CPU_GPU_CV", 5040, 208)] {
        for (file, content) in [
            (format!("in{i}_label"), label.to_owned()),
            (format!("in{i}_input"), mv.to_string()),
            (format!("curr{i}_input"), ma.to_string()),
            (format!("shunt{i}_resistor"), "5000".into()),
        ] {
            files += &format!("sys/class/hwmon/hwmon1/{file}={content}\n");
        }
    }
    let dir = tree(&files);
    let mut meter = Meter::find(dir.path()).unwrap();
    assert_eq!((meter.source(), meter.scope()), ("ina3221 VDD_IN", Scope::WholeBoard));
    assert!(near(watts(&mut meter).unwrap(), 5.04 * 1.096));
    assert!(near(meter.step(), 5.04 * 0.008 + 1.096 * 0.008), "{}", meter.step());
    // Without the board's input the rails are summed, and the scope says so.
    put(dir.path(), "sys/class/hwmon/hwmon1/in1_label", "VDD_GPU_SOC");
    let mut meter = Meter::find(dir.path()).unwrap();
    assert_eq!(meter.scope(), Scope::Rails);
    assert!(near(watts(&mut meter).unwrap(), 5.04 * (1.096 + 0.208)));
}

/// A Jetson TX2 (NVIDIA's L4T 28 guide: two chips, folder `iio_device`) and a Nano (`iio:device0`).
#[test]
fn ina3221_in_iio() {
    let old = "sys/bus/i2c/drivers/ina3221x";
    let dir = tree(&format!(
        "{old}/bind=x\n{old}/0-0040/iio_device/rail_name_0=VDD_SYS_GPU\n\
         {old}/0-0040/iio_device/in_power0_input=131\n{old}/0-0041/iio_device/rail_name_0=VDD_IN\n\
         {old}/0-0041/iio_device/in_power0_input=2875\n{old}/0-0041/iio_device/in_voltage0_input=19152"
    ));
    let mut meter = Meter::find(dir.path()).unwrap();
    assert_eq!((meter.source(), meter.scope()), ("ina3221 VDD_IN", Scope::WholeBoard));
    assert!(near(watts(&mut meter).unwrap(), 2.875));
    let dir = tree(&format!(
        "{old}/6-0040/iio:device0/rail_name_0=POM_5V_IN\n{old}/6-0040/iio:device0/in_power0_input=1900"
    ));
    assert!(near(watts(&mut Meter::find(dir.path()).unwrap()).unwrap(), 1.9));
}

/// Recorded under load on a Pi 5 (github.com/jfikar/RPi5-power, README).
const PMIC: &str = " 3V7_WL_SW_A current(0)=0.00000000A
   3V3_SYS_A current(1)=0.06245952A
   1V8_SYS_A current(2)=0.16102850A
  DDR_VDD2_A current(3)=0.00780744A
  DDR_VDDQ_A current(4)=0.00000000A
   1V1_SYS_A current(5)=0.17566740A
    0V8_SW_A current(6)=0.32791250A
  VDD_CORE_A current(7)=10.87674000A
   3V3_DAC_A current(17)=0.00036630A
   3V3_ADC_A current(18)=0.00042735A
   0V8_AON_A current(16)=0.00579975A
      HDMI_A current(22)=0.01367520A
 3V7_WL_SW_V volt(8)=3.79999600V
   3V3_SYS_V volt(9)=3.30632200V
   1V8_SYS_V volt(10)=1.79828900V
  DDR_VDD2_V volt(11)=1.10292900V
  DDR_VDDQ_V volt(12)=0.60476130V
   1V1_SYS_V volt(13)=1.10439400V
    0V8_SW_V volt(14)=0.80256330V
  VDD_CORE_V volt(15)=0.89745940V
   3V3_DAC_V volt(20)=3.30494200V
   3V3_ADC_V volt(21)=3.30219400V
   0V8_AON_V volt(19)=0.79736190V
      HDMI_V volt(23)=5.07056000V
     EXT5V_V volt(24)=5.06788000V
      BATT_V volt(25)=3.01110800V
";

#[test]
fn the_power_chip_of_a_pi_5() {
    let by_hand = 0.062_459_52 * 3.306_322
        + 0.161_028_5 * 1.798_289
        + 0.007_807_44 * 1.102_929
        + 0.175_667_4 * 1.104_394
        + 0.327_912_5 * 0.802_563_3
        + 10.876_74 * 0.897_459_4
        + 0.000_366_3 * 3.304_942
        + 0.000_427_35 * 3.302_194
        + 0.005_799_75 * 0.797_361_9
        + 0.013_675_2 * 5.070_56;
    assert!(near(parse_pmic(PMIC).unwrap(), by_hand));
    // Cut short, or not numbers from 0 on: no sum.
    let half = PMIC.split(" 3V7_WL_SW_V").next().unwrap();
    for cut in [half, &half[..90], "", "error=1 error_msg=\"Command not registered\"", "_A =A", "= _V"] {
        assert_eq!(parse_pmic(cut), None, "{cut:?}");
    }
    for junk in ["NaN", "-10.8", "inf", "1e999", "", "ten"] {
        assert_eq!(parse_pmic(&PMIC.replace("10.87674000", junk)), None, "{junk}");
    }
    assert_eq!(parse_pmic(&format!("{PMIC}{PMIC}")), None, "each rail once");
}

#[test]
fn only_a_pi_5_has_that_chip() {
    let dir = tree("proc/device-tree/model=Raspberry Pi 4 Model B Rev 1.5\0");
    let reasons = Meter::find(dir.path()).unwrap_err().join("\n");
    assert!(reasons.contains("is `Raspberry Pi 4 Model B Rev 1.5`, wanted a Raspberry Pi 5"), "{reasons}");
    let dir = tree("proc/device-tree/model=Raspberry Pi 5 Model B Rev 1.0\0");
    let reasons = Meter::find(dir.path()).unwrap_err().join("\n");
    assert!(reasons.contains("vcgencmd cannot be run"), "{reasons}");
}

/// A program that hangs is stopped, one that never ends its answer is cut.
#[cfg(unix)]
#[test]
fn a_program_has_limits() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tree("hangs=#!/bin/sh\\nexec sleep 60");
    let program = dir.path().join("hangs");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // "Text file busy": a process that another test forks just now holds the script open.
    let why = loop {
        let why = pmic::run(&program, Duration::from_millis(20)).unwrap_err();
        if !why.contains("busy") {
            break why;
        }
    };
    assert!(why.contains("gave no answer within 0.02 s"), "{why}");
    let endless = pmic::run(Path::new("/usr/bin/yes"), pmic::PATIENCE).unwrap();
    assert_eq!((endless.len(), parse_pmic(&endless)), (1 << 16, None));
}

/// A ThinkPad's battery (LNV-5B10W13895, recorded as its uevent file).
const BATTERY: &str = "\
sys/class/power_supply/AC/type=Mains
sys/class/power_supply/BAT0/type=Battery
sys/class/power_supply/BAT0/status=Discharging
sys/class/power_supply/BAT0/voltage_now=11206000
sys/class/power_supply/BAT0/power_now=19195000
sys/class/power_supply/BAT0/energy_now=32940000
sys/class/power_supply/hidpp_battery_0/type=Battery
sys/class/power_supply/hidpp_battery_0/scope=Device
sys/class/power_supply/hidpp_battery_0/status=Charging
";

#[test]
fn a_battery_tells_while_it_discharges() {
    let dir = tree(BATTERY);
    let at = |file: &str| format!("sys/class/power_supply/BAT0/{file}");
    let mut meter = Meter::find(dir.path()).unwrap();
    assert_eq!((meter.source(), meter.scope()), ("battery BAT0", Scope::Battery));
    assert!(near(watts(&mut meter).unwrap(), 19.195));
    put(dir.path(), &at("power_now"), "-19195000");
    assert!(near(watts(&mut meter).unwrap(), 19.195), "either sign");
    put(dir.path(), &at("status"), "Charging");
    assert_eq!(meter.read(), None);
    let reasons = Meter::find(dir.path()).unwrap_err().join("\n");
    assert!(reasons.contains("battery: BAT0 is `Charging`, wanted Discharging"), "{reasons}");
    // Current and volts instead of power, as in phones.
    put(dir.path(), &at("status"), "Discharging");
    fs::remove_file(dir.path().join(at("power_now"))).unwrap();
    put(dir.path(), &at("current_now"), "-1500000");
    assert!(near(watts(&mut Meter::find(dir.path()).unwrap()).unwrap(), 16.809));
    // Neither: what is left in it, a coarse counter.
    fs::remove_file(dir.path().join(at("current_now"))).unwrap();
    let mut meter = Meter::find(dir.path()).unwrap();
    assert_eq!((meter.quantity(), watts(&mut meter)), (Quantity::Joules { range: None }, Some(0.0)));
    put(dir.path(), &at("energy_now"), "32930000");
    assert!(near(watts(&mut meter).unwrap(), 36.0));
}

#[test]
fn an_empty_tree_has_a_reason_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let reasons = Meter::find(dir.path()).unwrap_err();
    let kinds: Vec<&str> = reasons.iter().filter_map(|r| r.split(':').next()).collect();
    assert_eq!(kinds, ["INA3221", "powercap", "PMIC", "hwmon", "battery"]);
}

#[test]
fn nonsense_is_absent() {
    let known =
        ["powercap/intel-rapl:0/energy_uj", "hwmon/hwmon0/power1_input", "hwmon/hwmon0/energy1_input"]
            .map(|f| format!("sys/class/{f}"));
    for junk in ["", "-1", "1e400", "\0\0", "nan", "inf", "12 W"] {
        let dir = tree(&format!("{RAPL}{BATTERY}"));
        for path in known.iter().map(String::as_str).chain([
            "sys/class/hwmon/hwmon1/in1_input",
            "sys/class/hwmon/hwmon1/curr1_input",
            "sys/class/power_supply/BAT0/power_now",
            "sys/class/power_supply/BAT0/energy_now",
        ]) {
            put(dir.path(), path, junk);
        }
        put(dir.path(), "sys/class/hwmon/hwmon1/name", "ina3221");
        let (mut meters, _) = Meter::all(dir.path());
        let read: Vec<_> = meters.iter_mut().filter_map(Meter::read).collect();
        // -1 microwatt of a battery is its sign; it is the only reading left.
        assert!(read.is_empty() || (junk == "-1" && read.len() == 1), "{junk:?}: {read:?}");
    }
}

/// Made like the export of a USB meter (time, volts, amperes) and of a wall meter (Unix time, watts).
#[test]
fn files_of_meters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meter.csv");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        log::read(&path)
    };
    let samples =
        read("unix_s,watts,note\n1767225600.0,3.25,a\n1767225600.5,3.50,b\n1767225601.0,3.25,\n").unwrap();
    assert_eq!((samples.points.len(), samples.interval_s, samples.epoch_unix_s), (3, 0.5, 1_767_225_600.0));
    assert!(near(samples.mean_between(0.0, 1.0).unwrap(), 3.375) && near(samples.step, 0.01));
    let text = "\u{feff}Time, Volts, Amperes\r\n2026-01-01T00:00:00Z,5.10,0.500\r\n\
                \"2026-01-01 00:00:01.250+00:00\",5.10,0.700\r\n\r\n";
    let samples = read(text).unwrap();
    assert_eq!((samples.points[1].at_s, samples.epoch_unix_s), (1.25, 1_767_225_600.0));
    assert!(near(samples.points[0].value.unwrap(), 2.55) && near(samples.points[1].value.unwrap(), 3.57));
    let leap = read("time,watts\n2024-02-29T23:59:59Z,1\n2024-03-01T00:00:00Z,1\n").unwrap();
    assert_eq!((leap.interval_s, leap.epoch_unix_s), (1.0, 1_709_251_199.0));
    for (text, wanted) in [
        ("", "line 1 is ``, wanted a header"),
        ("unix_s,volts\n1,2\n", "line 1 is `unix_s,volts`, wanted a header"),
        ("unix_s,watts\n1,2\n", "has 1 readings, wanted two or more"),
        ("unix_s,watts\n1,2\n2\n", "line 3: has 1 fields, no `watts`"),
        ("unix_s,watts\n1,2\n1,2\n", "line 3: is 0.000 s after the first"),
        ("unix_s,watts\n1,x\n", "line 2: watts is `x`, wanted a number from 0 to 10000"),
        ("unix_s,watts\n1,NaN\n", "line 2: watts is `NaN`"),
        ("unix_s,watts\n1,-1\n", "line 2: watts is `-1`"),
        ("unix_s,watts\n1,inf\n", "line 2: watts is `inf`"),
        ("unix_s,watts\n1e300,1\n", "line 2: unix_s is `1e300`"),
        ("unix_s,volts,amperes\n1,5000,5000\n", "line 2: 5000 volts x 5000 amperes"),
        ("time,watts\n2026-02-29T00:00:00Z,1\n", "line 2: time is `2026-02-29T00:00:00Z`, wanted UTC"),
        ("time,watts\n2026-02-01T00:00:00,1\n", "wanted UTC"),
        ("time,watts\n2026-02-01T24:00:00Z,1\n", "wanted UTC"),
        ("time,watts\n2026-02-01T00:00:00.Z,1\n", "wanted UTC"),
        ("time,watts\n2026-13-é1T00:00:00Z,1\n", "wanted UTC"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Input, "{text:?}");
        assert!(error.to_string().contains("meter.csv") && error.to_string().contains(wanted), "{error}");
    }
    assert!(log::read(dir.path()).unwrap_err().to_string().contains("is no file"));
    assert!(log::read(&dir.path().join("none")).is_err());
}

fn series(quantity: Quantity, values: &[(f64, f64)]) -> Samples {
    let points = values.iter().map(|&(at_s, v)| Point { at_s, value: (v >= 0.0).then_some(v) });
    let (source, scope) = ("test".to_owned(), Scope::Rail);
    Samples {
        source,
        scope,
        quantity,
        interval_s: 1.0,
        step: 0.0,
        epoch_unix_s: 0.0,
        points: points.collect(),
    }
}

#[test]
fn a_gap_is_counted_and_not_filled() {
    // Read at 0, 1, 2; failed at 3; read at 4; nothing until 10, 11; the stretch ends at 16.
    let values = [(0.0, 2.0), (1.0, 2.0), (2.0, 2.0), (3.0, -1.0), (4.0, 4.0), (10.0, 6.0), (11.0, 6.0)];
    let samples = series(Quantity::Watts, &values);
    let (segments, missed) = samples.segments(0.0, 11.0);
    assert_eq!((segments.len(), missed), (4, 1 + 5));
    assert!(near(segments.iter().map(|s| s.joules).sum(), 2.0 + 2.0 + 6.0 + 6.0));
    assert_eq!(samples.segments(0.0, 16.0).1, 11);
    assert_eq!(samples.mean_between(4.0, 10.0), None, "nothing is known");
    assert!(near(samples.mean_between(0.5, 1.5).unwrap(), 2.0), "half of two pieces");
    for (from, to) in [(f64::NAN, 1.0), (1.0, 1.0), (2.0, 1.0), (0.0, f64::INFINITY), (50.0, 60.0)] {
        assert_eq!(samples.mean_between(from, to), None, "{from} {to}");
    }
    let bad = [(0.0, 2.0), (1.0, f64::NAN), (1.5, f64::INFINITY), (1.0, 2.0), (f64::NAN, 2.0), (2.0, 2.0)];
    let (segments, missed) = series(Quantity::Watts, &bad).segments(0.0, 2.0);
    assert_eq!((segments.len(), missed), (2, 2));
}

#[test]
fn counters_wrap_once_and_a_reset_is_missed() {
    let values = [(0.0, 95.0), (1.0, 5.0), (2.0, 15.0), (3.0, 101.0), (4.0, 35.0)];
    let (segments, missed) = series(Quantity::Joules { range: Some(100.0) }, &values).segments(0.0, 4.0);
    let joules: Vec<f64> = segments.iter().map(|s| s.joules).collect();
    assert_eq!((joules, missed), (vec![10.0, 10.0, 20.0], 1), "101 is beyond the range");
    let (segments, missed) = series(Quantity::Joules { range: None }, &values[..3]).segments(0.0, 2.0);
    assert_eq!((segments.len(), missed), (1, 1));
    // A counter of 262 kJ that starts again at 0 has not taken 200 kW.
    let (segments, missed) =
        series(Quantity::Joules { range: Some(262_143.0) }, &[(0.0, 60_000.0), (1.0, 0.0)])
            .segments(0.0, 1.0);
    assert_eq!((segments.len(), missed), (0, 1));
    for (before, now) in [(f64::NAN, 1.0), (-1.0, 1.0), (1.0, f64::INFINITY), (1.0, 101.0)] {
        assert_eq!(counted(before, now, Some(100.0)), None, "{before} {now}");
    }
}

/// The thread reads at the start and at the stop; nobody waits for the interval.
#[test]
fn a_sampler_starts_and_stops() {
    let dir = tree("sys/class/hwmon/hwmon0/name=ina219\nsys/class/hwmon/hwmon0/power1_input=2000000");
    let samples = Sampler::start(Meter::find(dir.path()).unwrap()).stop();
    assert!(!samples.points.is_empty() && samples.points.len() <= 3, "{samples:?}");
    assert!(samples.points.iter().all(|p| p.value == Some(2.0) && p.at_s >= 0.0));
    assert_eq!((samples.source.as_str(), samples.interval_s), ("hwmon ina219 power1", 0.1));
    assert!(samples.epoch_unix_s > 1.7e9);
}
