//! The reader on trees of real machines: text files beside this one, each with its sources.

use super::*;
use std::fs;

/// Unpacks `== path` sections; `#` lines before the first are the sources.
fn tree(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    assert!(text.starts_with("# "), "a fixture tells its sources");
    for section in text.split("\n== ").skip(1) {
        let (path, content) = section.split_once('\n').unwrap();
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{content}\n")).unwrap();
    }
    dir
}

fn read(text: &str) -> (Host, Conditions) {
    let dir = tree(text);
    (Host::read_from(dir.path()), Conditions::read_from(dir.path()))
}

fn groups(host: &Host) -> Vec<(String, &str, Option<f64>)> {
    let row = |c: &'_ Cluster| (cpu_list(&c.cpus), c.max_mhz);
    host.clusters.iter().map(|c| (row(c).0, c.core.as_deref().unwrap_or("?"), row(c).1)).collect()
}

#[test]
fn raspberry_pi_4() {
    let (host, now) = read(include_str!("fixtures/pi4.txt"));
    assert_eq!(host.board.as_deref(), Some("Raspberry Pi 4 Model B Rev 1.5"));
    assert_eq!(host.cpu.as_deref(), Some("4 x Cortex-A72"));
    assert_eq!(groups(&host), [("0-3".to_owned(), "Cortex-A72", Some(1800.0))]);
    assert_eq!((host.isa.join(" ").as_str(), host.ram_bytes), ("asimd", Some(3_882_448 * 1024)));
    assert_eq!((host.big_cpus(), host.little_cpus()), (vec![0, 1, 2, 3], vec![]));
    let wanted = Conditions {
        governor: Some("ondemand".into()),
        mhz: Some(600.0),
        celsius: Some(81.303),
        throttled: Some(0x50005),
        load1: Some(0.52),
        ..Conditions::default()
    };
    assert_eq!(now, wanted);
}

#[test]
fn raspberry_pi_5() {
    let (host, now) = read(include_str!("fixtures/pi5.txt"));
    assert_eq!(host.board.as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
    assert_eq!(groups(&host), [("0-3".to_owned(), "Cortex-A76", Some(2400.0))]);
    assert_eq!(host.isa, ["asimd", "asimdhp", "asimddp"]);
    assert_eq!((now.throttled, now.celsius, now.mhz), (Some(0x50000), Some(48.3), Some(1500.0)));
    assert_eq!(now.governor.as_deref(), Some("ondemand"));
}

#[test]
fn a_pi_on_a_mainline_kernel_tells_under_voltage_only() {
    let tree = tree(
        "# ours: raspberrypi-hwmon of docs.kernel.org\n== sys/class/hwmon/hwmon0/name\nrpi_volt\n== sys/class/hwmon/hwmon0/in0_lcrit_alarm\n1",
    );
    assert_eq!(Conditions::read_from(tree.path()).throttled, Some(1));
}

#[test]
fn rk3588() {
    let (host, now) = read(include_str!("fixtures/rk3588.txt"));
    assert_eq!(host.cpu.as_deref(), Some("4 x Cortex-A55 + 4 x Cortex-A76"));
    let a76 = |cpus: &str| (cpus.to_owned(), "Cortex-A76", Some(2400.0));
    assert_eq!(groups(&host), [("0-3".to_owned(), "Cortex-A55", Some(1800.0)), a76("4-5"), a76("6-7")]);
    assert_eq!((host.big_cpus(), host.little_cpus()), (vec![4, 5, 6, 7], vec![0, 1, 2, 3]));
    assert_eq!((now.mhz, now.capped_mhz, now.cooling), (Some(2208.0), Some(2400.0), Some(1)));
    // The GPU's zone is hotter and none of ours.
    assert_eq!((now.celsius, now.governor.as_deref()), (Some(86.9), Some("schedutil")));
}

#[test]
fn phone() {
    let (host, now) = read(include_str!("fixtures/phone.txt"));
    assert_eq!(host.board.as_deref(), Some("Qualcomm Technologies, Inc MSM8998"));
    let wanted = [
        ("0-3".to_owned(), "Kryo 2xx Silver", Some(1900.8)),
        ("4-7".to_owned(), "Kryo 2xx Gold", Some(2361.6)),
    ];
    assert_eq!(groups(&host), wanted);
    assert_eq!((host.big_cpus(), host.little_cpus()), (vec![4, 5, 6, 7], vec![0, 1, 2, 3]));
    // This kernel writes whole degrees; the battery's tenths (312) must not win.
    assert_eq!(
        (now.celsius, now.mhz, now.governor.as_deref()),
        (Some(47.0), Some(2208.0), Some("interactive"))
    );
}

#[test]
fn hybrid_laptop() {
    let (host, now) = read(include_str!("fixtures/laptop.txt"));
    assert_eq!(host.board.as_deref(), Some("LENOVO ThinkPad E14 Gen 4"));
    let wanted = [
        ("4-11".to_owned(), "efficiency core", Some(3500.0)),
        ("0-3".to_owned(), "performance core", Some(4700.0)),
    ];
    assert_eq!(groups(&host), wanted);
    assert_eq!((host.big_cpus(), host.cores), (vec![0, 1, 2, 3], 12));
    assert_eq!((now.celsius, now.throttle_events, now.cooling), (Some(66.0), Some(52), Some(0)));
    assert_eq!((now.governor.as_deref(), now.capped_mhz), (Some("powersave"), None));
}

#[test]
fn containers_machines_and_quotas() {
    let (host, now) = read(
        "# ours: docs.kernel.org, cgroup-v2\n== sys/fs/cgroup/cpu.max\n150000 100000\n== sys/fs/cgroup/cpu.stat\nusage_usec 1\n\
         nr_throttled 7\n== sys/class/dmi/id/sys_vendor\nAmazon EC2\n== proc/1/cgroup\n0::/kubepods/pod1",
    );
    assert_eq!((host.cpu_quota, now.quota_stops), (Some(1.5), Some(7)));
    assert_eq!(host.virtualised.as_deref(), Some("kubepods in Amazon EC2"));
}

#[test]
fn an_empty_machine_is_not_fatal() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::read_from(dir.path());
    assert_eq!((host.cpu, host.clusters.len(), host.cpu_quota), (None, 0, None));
    assert_eq!(Conditions::read_from(dir.path()), Conditions::default());
}

/// Truncated, empty and hostile files: nothing panics, nothing absurd comes out.
#[test]
fn nonsense_is_absent() {
    for junk in ["", "-1", "1e400", "\u{0}\u{0}", "nan", "0-99999999"] {
        let files = [
            "proc/cpuinfo",
            "proc/meminfo",
            "proc/loadavg",
            "sys/devices/system/cpu/present",
            "sys/devices/system/cpu/cpu0/cpu_capacity",
            "sys/devices/system/cpu/cpu0/cpufreq/related_cpus",
            "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq",
            "sys/class/thermal/thermal_zone0/temp",
            "sys/fs/cgroup/cpu.max",
            "sys/devices/platform/soc/x:firmware/get_throttled",
        ];
        let text: String = files.iter().map(|f| format!("\n== {f}\n{junk}")).collect();
        let (host, now) = read(&format!("# ours{text}"));
        let cold = now.celsius.is_none_or(|c| c == -1.0); // a winter's day, not nonsense
        assert!(host.cpu_quota.is_none() && cold && now.load1.is_none(), "{junk:?}: {host:?} {now:?}");
    }
}
