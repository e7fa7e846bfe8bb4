//! Confines this process to some CPUs. Threads that a backend starts afterwards inherit it.

use gtn_core::host::{self, Host};
use gtn_core::{Error, Result};

/// Returns the CPUs that `text` names: `big`, `little`, `all` or a list like `0-3,7`. Fails with
/// [`Error::Unavailable`] where the machine tells no such cores, and with a usage error where `text` is none of
/// these.
pub fn cpus(text: &str, host: &Host) -> Result<Vec<usize>> {
    let known = |what: &str, found: Vec<usize>| {
        let kinds: Vec<String> = host.clusters.iter().map(|c| host::cpu_list(&c.cpus)).collect();
        let why = format!("--pin {what}: this machine tells no such cores (clusters: {})", kinds.join(" | "));
        if found.is_empty() { Err(Error::Unavailable(why)) } else { Ok(found) }
    };
    match text {
        "big" => known(text, host.big_cpus()),
        "little" => known(text, host.little_cpus()),
        "all" => known(text, host.clusters.iter().flat_map(|c| c.cpus.clone()).collect()),
        list => host::parse_cpu_list(list).ok_or_else(|| {
            Error::usage(format!("--pin {list}: wanted big, little, all or a list like 0-3,7"))
        }),
    }
}

/// Confines the calling thread, and what it starts from now on, to `cpus` (sched_setaffinity(2)). A usage error
/// comes back where the kernel refuses them.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn pin(cpus: &[usize]) -> Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set (CPU_ZERO(3)).
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let list = host::cpu_list(cpus);
    for &cpu in cpus {
        if cpu >= libc::CPU_SETSIZE as usize {
            return Err(Error::usage(format!("--pin {list}: CPU {cpu} is beyond {}", libc::CPU_SETSIZE - 1)));
        }
        // SAFETY: `cpu` is within the set, as just checked.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: the set is initialised and its size is given; 0 is the calling thread.
    let status = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if status == 0 {
        return Ok(());
    }
    let why = std::io::Error::last_os_error();
    Err(Error::usage(format!(
        "--pin {list}: the kernel refuses ({why}); these CPUs may not exist or not be ours"
    )))
}

/// Always fails with [`Error::Unavailable`]: only Linux and Android can confine a thread.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn pin(cpus: &[usize]) -> Result<()> {
    Err(Error::Unavailable(format!("--pin {}: only on Linux and Android", host::cpu_list(cpus))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::host::Cluster;

    #[test]
    fn words_and_lists() {
        let cluster = |cpus: &[usize], capacity| Cluster {
            cpus: cpus.to_vec(),
            capacity: Some(capacity),
            ..Cluster::default()
        };
        let host = Host { clusters: vec![cluster(&[0, 1], 400), cluster(&[2, 3], 1024)], ..Host::default() };
        assert_eq!(cpus("big", &host).unwrap(), [2, 3]);
        assert_eq!(cpus("little", &host).unwrap(), [0, 1]);
        assert_eq!(cpus("all", &host).unwrap(), [0, 1, 2, 3]);
        assert_eq!(cpus("1,3", &host).unwrap(), [1, 3]);
        assert_eq!(cpus("fast", &host).unwrap_err().exit_code(), 2);
        let alike = Host { clusters: vec![cluster(&[0], 1024)], ..Host::default() };
        assert_eq!(cpus("little", &alike).unwrap_err().exit_code(), 3);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_is_confined_and_told_when_it_cannot() {
        let before = host::affinity();
        std::thread::spawn(|| {
            let first = host::parse_cpu_list(&host::affinity().unwrap()).unwrap()[0];
            pin(&[first]).unwrap();
            assert_eq!(host::affinity(), Some(first.to_string()));
            assert_eq!(pin(&[1023]).unwrap_err().exit_code(), 2);
        })
        .join()
        .unwrap();
        assert_eq!(host::affinity(), before, "other threads are not confined");
    }
}
