//! Shell scripts run on another machine, with what goes in, comes out, and how it ended.

use super::ssh::Ssh;
use super::{Address, adb, ssh};
use gtn_core::signals::Signals;
use gtn_core::{Error, Result};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Printed before a script, since a login shell may print what it likes before that.
const BEGIN: &[u8] = b"gtn-begin\n";
/// Printed after it, with its exit status: what lacks this was cut short, whatever ssh or adb exits with.
const DONE: &str = "gtn-done:";
/// More than any run writes: what comes is kept in memory.
const MAX_ANSWER: u64 = 2 << 30;
/// After a signal here, so long for the other side to clean up.
const GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// A connection to another machine. SIGINT and SIGTERM end what runs there, too.
pub struct Link {
    address: Address,
    transport: Transport,
    signals: Signals,
}

enum Transport {
    Ssh(Ssh),
    Adb(String),
}

/// What a script did.
pub struct Answer {
    /// Exit status.
    pub code: u8,
    /// What it printed.
    pub out: Vec<u8>,
    /// What it wrote to stderr and [`Ears`] did not take.
    pub errors: String,
}

/// What is sent to a script's stdin, by a thread of its own.
pub type Mouth = Box<dyn FnOnce(&mut ChildStdin) -> std::io::Result<()> + Send>;

/// Who listens while a script runs.
pub struct Ears<'a> {
    /// Keep the script's stdin open after what was sent: its end is the sign that we are gone.
    pub hold: bool,
    /// Takes a line of stderr, or returns it to be kept.
    pub line: &'a mut dyn FnMut(String) -> Option<String>,
    /// Called now and then.
    pub poll: &'a mut dyn FnMut(),
}

impl Link {
    /// Connects.
    pub fn open(address: &Address) -> Result<Self> {
        let signals = Signals::watch()?;
        let transport = match address.clone() {
            Address::Ssh { user, host, port } => Transport::Ssh(Ssh::connect(user, host, port)?),
            Address::Adb { serial } => Transport::Adb(serial),
        };
        Ok(Self { address: address.clone(), transport, signals })
    }

    /// For messages.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The answer of a short script; if it fails, its first line of stderr is the error.
    pub fn ask(&mut self, script: &str, input: Vec<u8>) -> Result<String> {
        let send: Mouth = Box::new(move |stdin| stdin.write_all(&input));
        let mut ears = Ears { hold: false, line: &mut Some, poll: &mut || () };
        let answer = self.exchange(script, send, &mut ears)?;
        match answer.code {
            0 => Ok(String::from_utf8_lossy(&answer.out).into_owned()),
            _ => Err(self.failed(&answer)),
        }
    }

    /// A script failed there: exit status 1, with what it said first.
    pub fn failed(&self, answer: &Answer) -> Error {
        let line = answer.errors.lines().find(|line| !line.trim().is_empty());
        let status = format!("exit status {}", answer.code);
        Error::Failed(format!("{}: {}", self.address, line.map_or(status.as_str(), str::trim)))
    }

    /// Runs `script` (one line without `'`, `\` and `!`, so that every login shell passes it on to sh as it is), in which `$S`
    /// is the store's folder. An error only where there is no answer: the connection failed, or a signal came.
    pub fn exchange(&mut self, script: &str, send: Mouth, ears: &mut Ears<'_>) -> Result<Answer> {
        let store = match self.transport {
            Transport::Ssh(_) => ssh::STORE,
            Transport::Adb(_) => adb::STORE,
        };
        let whole =
            format!("exec sh -c 'umask 077; S=\"{store}\"; echo gtn-begin; ({script}); echo {DONE}$?'");
        let (mut command, tool) = match &self.transport {
            Transport::Ssh(ssh) => (ssh.command(&whole), "ssh"),
            Transport::Adb(serial) => (adb::command(serial, &whole), "adb"),
        };
        apart(&mut command);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child =
            child.map_err(|e| Error::Unavailable(format!("{tool}: {e} (it is wanted on the PATH)")))?;
        let (out, errors) = self.attend(&mut child, send, ears);
        if let Some(signal) = self.signals.received() {
            return Err(Error::Stopped(signal));
        }
        match judge(&out) {
            Some((code, out)) => Ok(Answer { code, out: out.to_owned(), errors }),
            None => {
                let reason = match &self.transport {
                    Transport::Ssh(ssh) => ssh.reason(),
                    Transport::Adb(_) => adb::reason(&errors),
                };
                Err(Error::Unavailable(format!("{}: {reason}", self.address)))
            }
        }
    }

    /// Sends, listens and waits for the end of all of it; what came out, and the lines kept of stderr.
    fn attend(&self, child: &mut Child, send: Mouth, ears: &mut Ears<'_>) -> (Vec<u8>, String) {
        let mut held = speak(child, send, ears.hold);
        let out = child.stdout.take().map(|out| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = out.take(MAX_ANSWER).read_to_end(&mut bytes); // cut short: the end is missing
                bytes
            })
        });
        let lines = listen(child);
        let (mut errors, mut deadline) = (String::new(), None);
        loop {
            match lines.recv_timeout(POLL) {
                Ok(line) => {
                    if let Some(line) = (ears.line)(line) {
                        errors.push_str(&line);
                        errors.push('\n');
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => (ears.poll)(),
            }
            if deadline.is_none() && self.signals.received().is_some() {
                held = None;
                deadline = Some(Instant::now() + if ears.hold { GRACE } else { Duration::ZERO });
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                let _ = child.kill(); // it may have ended
            }
        }
        let _ = child.wait(); // its status tells less than what it printed
        drop(held);
        (out.and_then(|thread| thread.join().ok()).unwrap_or_default(), errors)
    }
}

/// Sends from a thread of its own. What is returned holds the script's stdin open, if it is to be held, until dropped.
fn speak(child: &mut Child, send: Mouth, hold: bool) -> Option<Receiver<ChildStdin>> {
    let (keep, kept) = mpsc::channel();
    let mut stdin = child.stdin.take()?;
    thread::spawn(move || {
        // Where the other side does not listen any more, its answer says why.
        if send(&mut stdin).is_ok() && hold {
            let _ = keep.send(stdin); // nobody to hold it: it closes
        }
    });
    Some(kept)
}

/// Lines of stderr, from a thread of its own, until its end.
fn listen(child: &mut Child) -> Receiver<String> {
    let (tell, lines) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        thread::spawn(move || {
            let mut lines = BufReader::new(stderr).split(b'\n').map_while(std::io::Result::ok);
            lines.try_for_each(|line| tell.send(String::from_utf8_lossy(&line).trim_end().to_owned()))
        });
    }
    lines
}

/// Exit status and output of a script that came to its end.
fn judge(out: &[u8]) -> Option<(u8, &[u8])> {
    let begin = out.windows(BEGIN.len()).position(|w| w == BEGIN)? + BEGIN.len();
    let body = out.get(begin..)?.strip_suffix(b"\n")?;
    let end = body.windows(DONE.len()).rposition(|w| w == DONE.as_bytes())?;
    let code = std::str::from_utf8(body.get(end + DONE.len()..)?).ok()?.parse().ok()?;
    Some((code, body.get(..end)?))
}

/// Ctrl-C on the terminal is ours to act on: ssh and adb must live to clean up over there.
pub fn apart(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_counts() {
        assert_eq!(judge(b"Welcome!\ngtn-begin\nx\ny\ngtn-done:3\n"), Some((3, &b"x\ny\n"[..])));
        assert_eq!(judge(b"gtn-begin\ngtn-done:0\n"), Some((0, &b""[..])));
        assert_eq!(judge(b"gtn-begin\nno newline gtn-done:255\n"), Some((255, &b"no newline "[..])));
        for cut in
            ["", "gtn-done:0\n", "gtn-begin\nx\n", "gtn-begin\nx\ngtn-done:", "gtn-begin\ngtn-done:256\n"]
        {
            assert_eq!(judge(cut.as_bytes()), None, "{cut}");
        }
    }
}
