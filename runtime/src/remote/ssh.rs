//! The system's `ssh`: no questions, one connection for all that a run needs, and its reasons apart from what the
//! other side writes.

use super::Address;
use super::hear::{self, Said};
use gtn_core::io::artifact;
use gtn_core::program::signals::Signals;
use gtn_core::{Error, Result};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// This is where files are kept on the device; its shell expands it.
pub const STORE: &str = "$HOME/.cache/gtn-run";

/// Never a question, nothing forwarded, and a dead connection is noticed within about 30 s.
const OPTIONS: [&str; 9] = [
    "BatchMode=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
];

/// From ssh's start to a shell there; finding no connection takes ssh 15 s.
const MAX_CONNECT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// This is a connection by ssh.
pub struct Ssh {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    /// Holds the socket and the log; ours alone, gone with us.
    dir: tempfile::TempDir,
    /// The ssh whose connection the others share. Its command there ends when its stdin, and so this process, does.
    master: Option<Child>,
}

impl Ssh {
    /// Connects. Where that fails, the error says why in one line (exit status 3).
    pub fn connect(user: Option<String>, host: String, port: Option<u16>, signals: &Signals) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("gtn-on.").tempdir();
        let dir = dir.map_err(|e| Error::io(std::env::temp_dir(), "create a folder in", e))?;
        let mut ssh = Self { user, host, port, dir, master: None };
        if cfg!(unix) {
            ssh.share(signals)?; // Windows' ssh cannot: there each command connects anew
        }
        Ok(ssh)
    }

    fn share(&mut self, signals: &Signals) -> Result<()> {
        let log = self.log();
        let file = File::create(&log).map_err(|e| Error::io(&log, "create", e))?;
        let mut command = self.base();
        command.args(["-M", "-S"]).arg(self.socket());
        self.remote(&mut command, "echo gtn-ready; exec cat >/dev/null");
        super::process::apart(&mut command);
        let master = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file).spawn();
        let mut master = master.map_err(missing)?;
        let lines = master.stdout.take().map(hear::lines);
        self.master = Some(master);
        let begun = Instant::now();
        while let Some(lines) = &lines {
            match lines.recv_timeout(POLL) {
                Ok(Said::Line(line)) if line == "gtn-ready" => return Ok(()),
                Ok(Said::Line(_)) => {} // what a login shell says first
                Ok(Said::TooMuch) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(signal) = signals.received() {
                return Err(Error::Stopped(signal));
            }
            if begun.elapsed() > MAX_CONNECT {
                let what = format!("no shell there within {} s", MAX_CONNECT.as_secs());
                return Err(Error::Unavailable(format!("{}: {what}", self.address())));
            }
        }
        Err(Error::Unavailable(format!("{}: {}", self.address(), self.reason())))
    }

    /// Returns the command that has the login shell there run `script`.
    pub fn command(&self, script: &str) -> Command {
        let mut command = self.base();
        command.arg("-E").arg(self.log());
        if self.master.is_some() {
            command.arg("-S").arg(self.socket());
        }
        self.remote(&mut command, script);
        command
    }

    fn base(&self) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-T", "-a", "-x"]);
        OPTIONS.iter().for_each(|option| {
            command.args(["-o", option]);
        });
        command
    }

    fn remote(&self, command: &mut Command, script: &str) {
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(user) = &self.user {
            command.args(["-l", user]);
        }
        command.args(["--", &self.host, script]);
    }

    /// Returns why ssh gave up: the last thing that its log says. The process that holds the connection may say it a
    /// moment after those that share it have ended: a silent log is waited for, a second at most.
    pub fn reason(&self) -> String {
        let until = Instant::now() + Duration::from_secs(1);
        loop {
            let log = artifact::read(&self.log()).unwrap_or_default(); // no log: nothing was said
            if !log.trim_ascii().is_empty() || Instant::now() >= until {
                return reason(&String::from_utf8_lossy(&log));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn address(&self) -> Address {
        Address::Ssh { user: self.user.clone(), host: self.host.clone(), port: self.port }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        if let Some(mut master) = self.master.take() {
            let _ = master.kill(); // it may be gone already
            let _ = master.wait();
        }
    }
}

/// ssh itself could not be started.
fn missing(error: std::io::Error) -> Error {
    Error::Unavailable(format!("ssh: {error} (OpenSSH's client is wanted)"))
}

fn reason(log: &str) -> String {
    if log.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        return "its host key is not the one that is known here (another machine, or a new key): ssh refused"
            .into();
    }
    let last = log.lines().map(str::trim).rfind(|line| !line.is_empty());
    match last.map(|line| line.trim_start_matches("ssh: ")) {
        Some("Host key verification failed.") => {
            "its host key is not known here: connect once by hand (ssh), and compare the fingerprint".into()
        }
        Some(line) => line.trim_end_matches('.').to_owned(),
        None => "the connection ended (ssh says no more)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs of OpenSSH 9.2.
    #[test]
    fn one_line_is_made_of_what_ssh_says() {
        for (log, wanted) in [
            (
                "@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.\r\n",
                "the one",
            ),
            ("Host key verification failed.\r\n", "not known here"),
            (
                "ssh: connect to host 127.0.0.1 port 9: Connection refused\r\n",
                "connect to host 127.0.0.1 port 9: C",
            ),
            ("pi@x: Permission denied (publickey).\r\n", "Permission denied (publickey)"),
            ("Connection to 127.0.0.1 closed by remote host.\r\n", "closed by remote host"),
            ("", "the connection ended"),
        ] {
            let line = reason(log);
            assert!(line.contains(wanted) && !line.contains('\n'), "{line}");
        }
    }
}
