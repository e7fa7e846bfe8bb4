//! What a process cost: its peak memory and CPU time, as the system counts them.
#![cfg(unix)]

use std::io::{Error, Read, Result};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Of a process that has ended, with all that it waited for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Highest resident memory, bytes.
    pub peak_bytes: u64,
    /// User and system time.
    pub cpu_seconds: f64,
}

impl Cost {
    fn of(usage: &libc::rusage) -> Self {
        let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
        let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
        Self {
            peak_bytes: usage.ru_maxrss as u64 * unit,
            cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        }
    }

    /// Of this process so far.
    pub fn so_far() -> Self {
        // SAFETY: a struct of plain numbers, which the call fills.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &mut usage);
            usage
        };
        Self::of(&usage)
    }
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status; none where a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Beginning of what it printed.
    pub stdout: String,
    /// Beginning of what it wrote to stderr.
    pub stderr: String,
    /// What it cost.
    pub cost: Cost,
    /// Nothing moved for so long that it was killed.
    pub stuck: bool,
}

/// Kept of what a process writes.
const MAX_WORDS: u64 = 1 << 20;

/// Runs it to its end. `moved` is asked now and then for a number that changes while it gets on; where that stays the same for
/// `patience`, it is killed: a guard against what would wait for ever, and no measure of speed.
pub fn run(command: &mut Command, patience: Duration, mut moved: impl FnMut() -> u64) -> Result<Ended> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let listen = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut words = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.by_ref().take(MAX_WORDS).read_to_end(&mut words); // what came is kept
                let _ = std::io::copy(&mut pipe, &mut std::io::sink()); // and the rest let go
            }
            String::from_utf8_lossy(&words).into_owned()
        })
    };
    let out = listen(out.map(|p| Box::new(p) as Box<dyn Read + Send>));
    let err = listen(err.map(|p| Box::new(p) as Box<dyn Read + Send>));
    let (mut last, mut since, mut stuck) = (moved(), Instant::now(), false);
    let pid = child.id() as libc::pid_t;
    let (status, cost) = loop {
        let mut status = 0;
        // SAFETY: the process is our child, and nothing else waits for it; the structs are plain numbers.
        let (ended, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(pid, &mut status, libc::WNOHANG, &mut usage), usage)
        };
        if ended == pid {
            break (status, Cost::of(&usage));
        }
        if ended < 0 {
            return Err(Error::last_os_error());
        }
        let now = moved();
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > patience && !stuck {
            stuck = true;
            let _ = child.kill(); // it may just have ended
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
    Ok(Ended { code, signal, stdout: text(out), stderr: text(err), cost, stuck })
}
