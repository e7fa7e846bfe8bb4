//! A real sshd on loopback for the tests of `gtn-run --on`, run by whoever runs the tests: its own port, keys and home folder.
//! scripts/setup.sh --sshd sees to it that there is one.

use crate::{command, root};
use std::fs;
use std::io::{Error, Result};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ends with the value.
pub struct Sshd {
    dir: PathBuf,
    port: u16,
    listener: Child,
    home: PathBuf,
}

/// What the other side's disk is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// The machine's own.
    Roomy,
    /// Too small for a program and its library: a file system of 30 MiB of its own where that may be mounted, else a limit
    /// on the size of a file, which stops the same write at the same place for another reason.
    Small,
}

impl Sshd {
    /// Makes keys and configuration in `dir` and starts it.
    pub fn start(dir: &Path, disk: Disk) -> Result<Self> {
        for sub in ["home", "bin", "tmp"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        for key in ["host", "user", "other"] {
            let mut keygen = Command::new("ssh-keygen");
            run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(key)))?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (program, libraries) = installed();
        let d = dir.display();
        let mut config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {d}/host\nAuthorizedKeysFile {d}/user.pub\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nSetEnv HOME={d}/home\n"
        );
        // From OpenSSH 9.8 and 10.0 parts of it are programs of their own.
        for (part, key) in [("sshd-session", "SshdSessionPath"), ("sshd-auth", "SshdAuthPath")] {
            let path = root().join(".sshd/usr/lib/openssh").join(part);
            if path.exists() {
                config.push_str(&format!("{key} {}\n", path.display()));
            }
        }
        fs::write(dir.join("sshd_config"), config)?;
        let known = fs::read_to_string(dir.join("host.pub"))?;
        fs::write(dir.join("known_hosts"), format!("[127.0.0.1]:{port} {known}"))?;
        fs::write(
            dir.join("ssh_config"),
            format!(
                "Host *\nIdentityFile {d}/user\nIdentitiesOnly yes\nUserKnownHostsFile {d}/known_hosts\n\
                 GlobalKnownHostsFile /dev/null\n"
            ),
        )?;
        // The user's own configuration is not the test's.
        let ssh = output("command -v ssh")?;
        script(&dir.join("bin/ssh"), &format!("exec {ssh} -F {d}/ssh_config \"$@\""))?;
        let sshd = format!("exec {} -D -e -f {d}/sshd_config", program.display());
        let private = disk == Disk::Small && run(Command::new("unshare").args(["-m", "true"])).is_ok();
        let mut start = Command::new(if private { "unshare" } else { "sh" });
        match disk {
            Disk::Small if private => {
                start.args(["-m", "sh", "-c"]);
                start.arg(format!("mount -t tmpfs -o size=30m tmpfs {d}/home && {sshd}"))
            }
            Disk::Small => start.args(["-c", &format!("ulimit -f 20000; {sshd}")]),
            Disk::Roomy => start.args(["-c", &sshd]),
        };
        start.env("LD_LIBRARY_PATH", libraries).stdin(Stdio::null()).stdout(Stdio::null());
        let listener = start.stderr(fs::File::create(dir.join("sshd.log"))?).spawn()?;
        // A file system of its own is seen through the process that has it.
        let view =
            if private { PathBuf::from(format!("/proc/{}/root", listener.id())) } else { PathBuf::from("/") };
        let home = view.join(dir.join("home").strip_prefix("/").map_err(Error::other)?);
        let sshd = Self { dir: dir.to_owned(), port, listener, home };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                let log = fs::read_to_string(dir.join("sshd.log"))?;
                return Err(Error::other(format!("{} does not listen: {log}", program.display())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(sshd)
    }

    /// `gtn-run` there.
    pub fn gtn_run(&self, args: &str) -> Command {
        let mut command = command("gtn-run", &format!("--on ssh:127.0.0.1:{} {args}", self.port));
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.dir.join("bin").display()));
        command.env("TMPDIR", self.dir.join("tmp"));
        command
    }

    /// From now on this machine believes that another key is the host's, or knows none.
    pub fn expect_key(&self, key: Option<&str>) -> Result<()> {
        let known = match key {
            Some(key) => {
                format!(
                    "[127.0.0.1]:{} {}",
                    self.port,
                    fs::read_to_string(self.dir.join(format!("{key}.pub")))?
                )
            }
            None => String::new(),
        };
        fs::write(self.dir.join("known_hosts"), known)
    }

    /// The folder of what was copied.
    pub fn store(&self) -> PathBuf {
        self.home.join(".cache/gtn-run")
    }

    /// What is there beside the store's files.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = files(&self.home);
        found.retain(|path| !path.starts_with(self.store().join("files")));
        let dirs = fs::read_dir(self.store()).into_iter().flatten().flatten().map(|e| e.path());
        found.extend(dirs.filter(|d| d.file_name().is_none_or(|n| n != "files" && n != "cache")));
        found
    }

    /// Whether a program from the store is running.
    pub fn is_running(&self) -> bool {
        let store = self.dir.join("home/.cache");
        let exe = |entry: fs::DirEntry| fs::read_link(entry.path().join("exe")).ok();
        let mut programs = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(exe);
        programs.any(|exe| exe.starts_with(&store))
    }

    /// Ends the processes of sshd that serve the connections of now: the listener's children, and theirs where it runs
    /// one with rights and one without.
    pub fn cut(&self) -> Result<()> {
        let mut found = vec![self.listener.id().to_string()];
        let mut seen = 0;
        while let Some(parent) = found.get(seen).cloned() {
            seen += 1;
            for entry in fs::read_dir("/proc")?.flatten() {
                let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
                // `PID (NAME) STATE PARENT ...`
                let (start, rest) = stat.rsplit_once(')').unwrap_or_default();
                let is_child = rest.split_whitespace().nth(1) == Some(&parent);
                if is_child && start.split('(').next_back().is_some_and(|name| name.starts_with("sshd")) {
                    found.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
        // All at once, since one ends with another.
        run(Command::new("kill").arg("-9").args(found.iter().skip(1)))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.listener.kill(); // it may have failed to start
        let _ = self.listener.wait();
    }
}

/// Every file below a folder that can be read.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}

/// The system's, or what scripts/setup.sh unpacked, with its libraries' folder.
fn installed() -> (PathBuf, PathBuf) {
    let unpacked = root().join(".sshd/usr");
    let unpacked = unpacked.canonicalize().unwrap_or(unpacked); // sshd wants its own path to be absolute
    let libraries = unpacked.join("lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let program = unpacked.join("sbin/sshd");
    (if program.exists() { program } else { PathBuf::from("/usr/sbin/sshd") }, libraries)
}

/// An executable shell script.
pub fn script(path: &Path, body: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{body}\n"))?;
    run(Command::new("chmod").arg("755").arg(path))
}

fn output(shell: &str) -> Result<String> {
    let out = Command::new("sh").args(["-c", shell]).output()?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn run(command: &mut Command) -> Result<()> {
    let out = command.output()?;
    if out.status.success() {
        return Ok(());
    }
    Err(Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&out.stderr))))
}
