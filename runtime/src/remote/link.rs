//! Shell scripts run on another machine, with what goes in, comes out, and how it ended.

use super::hear::{self, DONE, Heard, Said};
use super::process::apart;
use super::ssh::Ssh;
use super::{Address, adb, ssh};
use gtn_core::program::signals::Signals;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A script's answer that is no run's: the hashes of all files that may be copied are less.
const MAX_ANSWER: u64 = 32 << 20;
/// Kept of stderr for an error's text.
const MAX_ERRORS: usize = 64 << 10;
/// After a signal here, so long for the other side to clean up.
const GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// This is a connection to another machine. SIGINT and SIGTERM end what runs there, too.
pub struct Link {
    address: Address,
    transport: Transport,
    signals: Signals,
}

enum Transport {
    Ssh(Ssh),
    Adb(String),
    Local,
}

/// This is what a script did: its exit status and what it wrote.
pub struct Answer {
    /// Exit status.
    pub code: u8,
    /// What it printed.
    pub out: hear::Answer,
    /// What it wrote to stderr and [`Listener`] did not take.
    pub errors: String,
}

/// A sender writes what is sent to a script's stdin, in a thread of its own.
pub type Sender = Box<dyn FnOnce(&mut ChildStdin) -> std::io::Result<()> + Send>;

/// This says who listens while a script runs.
pub struct Listener<'a> {
    /// Keep the script's stdin open after what was sent: its end is the sign that we are gone.
    pub hold: bool,
    /// Bytes that it may print: more is an error.
    pub most: u64,
    /// Takes a line of stderr, or returns it to be kept.
    pub line: &'a mut dyn FnMut(String) -> Option<String>,
    /// Called now and then.
    pub poll: &'a mut dyn FnMut(),
}

impl Link {
    /// Connects to the machine. Fails with [`Error::Unavailable`] where ssh finds no way there.
    pub fn open(address: &Address) -> Result<Self> {
        let signals = Signals::watch()?;
        let transport = match address.clone() {
            Address::Ssh { user, host, port } => Transport::Ssh(Ssh::connect(user, host, port, &signals)?),
            Address::Adb { serial } => Transport::Adb(serial),
            Address::Local => Transport::Local,
        };
        Ok(Self { address: address.clone(), transport, signals })
    }

    /// Returns the machine's address, for messages.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Runs a short script and returns what it prints. If it fails, its first line of stderr is the error.
    pub fn ask(&mut self, script: &str, input: Vec<u8>) -> Result<String> {
        let send: Sender = Box::new(move |stdin| stdin.write_all(&input));
        let mut ears = Listener { hold: false, most: MAX_ANSWER, line: &mut Some, poll: &mut || () };
        let mut answer = self.exchange(script, send, &mut ears)?;
        match answer.code {
            0 => Ok(String::from_utf8_lossy(&answer.out.rest().unwrap_or_default()).into_owned()),
            _ => Err(self.failed(&answer)),
        }
    }

    /// Returns the error of a script that failed there: exit status 1, with what it said first.
    pub fn failed(&self, answer: &Answer) -> Error {
        let line = answer.errors.lines().find(|line| !line.trim().is_empty());
        let status = format!("exit status {}", answer.code);
        Error::Failed(format!("{}: {}", self.address, line.map_or(status.as_str(), str::trim)))
    }

    /// Runs `script`, in which `$S` is the store's folder. It must be one line without `'`, `\` and `!`, so
    /// that every login shell passes it on to sh as it is. Fails only where there is no whole answer: the
    /// connection failed, the answer was too long, or a signal came.
    pub fn exchange(&mut self, script: &str, send: Sender, ears: &mut Listener<'_>) -> Result<Answer> {
        let store = match self.transport {
            Transport::Ssh(_) | Transport::Local => ssh::STORE,
            Transport::Adb(_) => adb::STORE,
        };
        let whole =
            format!("exec sh -c 'umask 077; S=\"{store}\"; echo gtn-begin; ({script}); echo {DONE}$?'");
        let (mut command, tool) = match &self.transport {
            Transport::Ssh(ssh) => (ssh.command(&whole), "ssh"),
            Transport::Adb(serial) => (adb::command(serial, &whole), "adb"),
            Transport::Local => (shell(&whole), "sh"),
        };
        apart(&mut command);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child =
            child.map_err(|e| Error::Unavailable(format!("{tool}: {e} (it is wanted on the PATH)")))?;
        let (heard, errors) = self.attend(&mut child, send, ears);
        if let Some(signal) = self.signals.received() {
            return Err(Error::Stopped(signal));
        }
        match heard {
            Heard::Whole(code, out) => Ok(Answer { code, out, errors }),
            Heard::TooLong => Err(Error::Failed(format!(
                "{}: answers with more than {}, or more words than any of our programs: cut off",
                self.address,
                format::bytes(ears.most)
            ))),
            Heard::Cut => {
                let reason = match &self.transport {
                    Transport::Ssh(ssh) => ssh.reason(),
                    Transport::Adb(_) => adb::reason(&errors),
                    Transport::Local => "its shell was ended".to_owned(),
                };
                Err(Error::Unavailable(format!("{}: {reason}", self.address)))
            }
        }
    }

    /// Sends, listens and waits for the end of all of it; what came out, and the lines kept of stderr.
    fn attend(&self, child: &mut Child, send: Sender, ears: &mut Listener<'_>) -> (Heard, String) {
        let mut held = speak(child, send, ears.hold);
        let most = ears.most;
        let mut out = child.stdout.take().map(|out| thread::spawn(move || hear::stdout(out, most)));
        let lines = child.stderr.take().map(hear::lines);
        let (mut errors, mut deadline, mut heard) = (String::new(), None, Heard::Cut);
        loop {
            let line = match &lines {
                Some(lines) => lines.recv_timeout(POLL),
                None => Err(RecvTimeoutError::Disconnected),
            };
            match line {
                Ok(Said::Line(line)) => keep((ears.line)(line), &mut errors),
                Ok(Said::TooMuch) => heard = Heard::TooLong,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => (ears.poll)(),
            }
            if let Some(ended) = out.take_if(|out| out.is_finished() && !matches!(heard, Heard::TooLong)) {
                heard = joined(ended);
            }
            if deadline.is_none() && self.signals.received().is_some() {
                held = None;
                deadline = Some(Instant::now() + if ears.hold { GRACE } else { Duration::ZERO });
            }
            let too_long = matches!(heard, Heard::TooLong);
            if too_long || deadline.is_some_and(|at| Instant::now() >= at) {
                let _ = child.kill(); // it may have ended
            }
            if too_long {
                break; // whatever holds its ends open over there
            }
        }
        let _ = child.wait(); // its status tells less than what it printed
        drop(held);
        match out {
            Some(out) if !matches!(heard, Heard::TooLong) => (joined(out), errors),
            _ => (heard, errors),
        }
    }
}

/// This machine's own shell.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// What the thread that listened to stdout heard; a read error is a cut.
fn joined(out: JoinHandle<std::io::Result<Heard>>) -> Heard {
    out.join().ok().and_then(std::io::Result::ok).unwrap_or(Heard::Cut)
}

fn keep(line: Option<String>, errors: &mut String) {
    if let Some(line) = line.filter(|line| errors.len() + line.len() < MAX_ERRORS) {
        errors.push_str(&line);
        errors.push('\n');
    }
}

/// Sends from a thread of its own. What is returned holds the script's stdin open, if it is to be held, until dropped.
fn speak(child: &mut Child, send: Sender, hold: bool) -> Option<Receiver<ChildStdin>> {
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
