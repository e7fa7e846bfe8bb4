//! This process's own memory and time.

use super::sysfs::text;
use super::{cpu_list, parse_cpu_list};
use std::fs;
use std::path::Path;

fn status(key: &str) -> Option<String> {
    let status = text(Path::new("/"), "proc/self/status")?;
    Some(status.lines().find_map(|l| l.strip_prefix(key))?.trim().to_owned())
}

fn kib(key: &str) -> Option<u64> {
    status(key)?.trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the peak resident memory of this process, in bytes (VmHWM).
pub fn peak_rss_bytes() -> Option<u64> {
    kib("VmHWM:")
}

/// Returns the resident memory of this process now, in bytes (VmRSS).
pub fn rss_bytes() -> Option<u64> {
    kib("VmRSS:")
}

/// Starts a new peak, and returns whether the kernel allows it.
pub fn reset_peak_rss() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Returns the CPUs that this thread may run on, as a list (`0-3,7`).
pub fn affinity() -> Option<String> {
    let list = text(Path::new("/"), "proc/thread-self/status")?;
    let list = list.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"))?.trim().to_owned();
    parse_cpu_list(&list).map(|cpus| cpu_list(&cpus))
}

/// Returns how often this process was put off the CPU against its will, all threads together.
pub fn involuntary_switches() -> Option<u64> {
    let tasks = fs::read_dir("/proc/self/task").ok()?.flatten();
    let count = |dir: fs::DirEntry| {
        let status = fs::read_to_string(dir.path().join("status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("nonvoluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    Some(tasks.filter_map(count).sum())
}

/// Returns the CPU seconds of this process so far: all threads, user and system (resolution 10 ms).
pub fn cpu_seconds() -> Option<f64> {
    let stat = text(Path::new("/"), "proc/self/stat")?;
    // The second field is the program's name in parentheses, which may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    // utime and stime are fields 14 and 15 of proc(5); USER_HZ is 100 on every Linux.
    Some((ticks(11)? + ticks(12)?) / 100.0)
}
