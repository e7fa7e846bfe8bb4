//! The gtn-run that another machine runs: this one where the machines are alike, else what `make dist` made for it.

use super::{Address, Programs};
use crate::backend::ort::library;
use gtn_core::io::artifact;
use gtn_core::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// This is a gtn-run and ONNX Runtime's library for it.
#[derive(Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// None: it has a backend of its own, or the device has the library.
    pub library: Option<PathBuf>,
    /// Where an archive was unpacked; gone with this.
    _unpacked: Option<tempfile::TempDir>,
}

impl Program {
    /// Chooses the program for the machine that `uname -sm` names: that of `dist` (a folder or archive of
    /// `make dist`), or else what is found here. Fails with an input error where `dist` is for another
    /// processor (unless it is `emulated`), and with [`Error::Unavailable`] where nothing fits.
    pub fn choose(machine: &str, to: &Address, programs: &Programs, emulated: bool) -> Result<Self> {
        let Programs { ours, dist } = programs;
        if let Some(dist) = dist {
            let program = Self::of_dist(dist)?;
            return match processor(&program.path)? {
                Some(found) if !emulated && machine.rsplit(' ').next() != Some(found) => {
                    Err(Error::input(dist, format!("is for {found}, {to} is `{machine}`")))
                }
                _ => Ok(program),
            };
        }
        let alike = || Self {
            path: ours.clone(),
            library: library::find(None).ok().map(|l| l.path),
            _unpacked: None,
        };
        if matches!(to, Address::Local) {
            return Ok(alike());
        }
        let phone = matches!(to, Address::Adb { .. });
        let Some(arch) = machine.strip_prefix("Linux ").filter(|arch| ["x86_64", "aarch64"].contains(arch))
        else {
            let what = format!("{to}: is `{machine}`: wanted Linux on x86_64 or aarch64, or --dist");
            return Err(Error::Unavailable(what));
        };
        // A phone has no glibc.
        if cfg!(target_os = "linux")
            && arch == std::env::consts::ARCH
            && (!phone || cfg!(target_env = "musl"))
        {
            return Ok(alike());
        }
        let libcs: &[&str] = if phone { &["musl"] } else { &["gnu", "musl"] };
        let names: Vec<String> = libcs
            .iter()
            .map(|libc| format!("gtn-run-{}-{arch}-unknown-linux-{libc}.tar.gz", env!("CARGO_PKG_VERSION")))
            .collect();
        let folders = folders(ours);
        let mut archives = names.iter().flat_map(|name| folders.iter().map(move |dir| dir.join(name)));
        match archives.find(|path| path.is_file()) {
            Some(path) => Self::of_dist(&path),
            None => Err(Error::Unavailable(format!(
                "{to}: is `{machine}`, for which there is no {} in {}: make dist makes it, --dist names it",
                names.join(" or "),
                folders.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    fn of_dist(dist: &Path) -> Result<Self> {
        if dist.is_dir() {
            return Self::of_folder(dist, None);
        }
        if !dist.is_file() {
            return Err(Error::input(dist, "no such file or folder (--dist)"));
        }
        let temp = tempfile::Builder::new().prefix("gtn-on.").tempdir();
        let temp = temp.map_err(|e| Error::io(std::env::temp_dir(), "create a folder in", e))?;
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(std::path::absolute(dist).map_err(|e| Error::io(dist, "resolve", e))?);
        let done =
            tar.current_dir(temp.path()).output().map_err(|e| Error::io(dist, "unpack with tar", e))?;
        if !done.status.success() {
            let why = String::from_utf8_lossy(&done.stderr);
            let why = why.lines().next().unwrap_or("tar failed");
            return Err(Error::input(dist, format!("cannot be unpacked: {why}")));
        }
        let mut entries = std::fs::read_dir(temp.path()).map_err(|e| Error::io(dist, "read", e))?.flatten();
        let Some(folder) = entries.next().map(|e| e.path()).filter(|p| p.is_dir()) else {
            return Err(Error::input(dist, "holds no folder: not what make dist makes"));
        };
        Self::of_folder(&folder, Some(temp))
    }

    fn of_folder(folder: &Path, unpacked: Option<tempfile::TempDir>) -> Result<Self> {
        let path = folder.join("gtn-run");
        if !path.is_file() {
            return Err(Error::input(folder, "holds no gtn-run: not what make dist makes"));
        }
        let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, "read", e))?.flatten();
        let mut names = entries.filter(|e| e.file_name().to_string_lossy().starts_with("libonnxruntime.so"));
        Ok(Self { path, library: names.next().map(|e| e.path()), _unpacked: unpacked })
    }
}

/// The processor, as `uname -m` names it, that a program is for, from its ELF header (System V ABI, `e_machine`); none: not
/// one known here. A shell takes a program of another processor for a script, and runs it.
fn processor(path: &Path) -> Result<Option<&'static str>> {
    let bytes = artifact::read(path)?;
    let field = bytes.get(18..20).filter(|_| bytes.starts_with(b"\x7fELF"));
    match field {
        Some([62, 0]) => Ok(Some("x86_64")),
        Some([183, 0]) => Ok(Some("aarch64")),
        Some(_) => Ok(None),
        None => Err(Error::input(path, "is not a program for Linux (ELF)")),
    }
}

/// `dist/` beside and above `program`. Not in the working folder, where a stranger may have put one.
fn folders(program: &Path) -> Vec<PathBuf> {
    program.ancestors().skip(1).take(4).map(|dir| dir.join("dist")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_for_another_processor_is_told() {
        let to: Address = "ssh:pi".parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let put = |bytes: &[u8]| std::fs::write(dir.path().join("gtn-run"), bytes).unwrap();
        let mut elf = *b"\x7fELF____________\x02\x00\xb7\x00";
        put(&elf);
        let programs =
            |dist: Option<&Path>| Programs { ours: "gtn-run".into(), dist: dist.map(Path::to_owned) };
        let choose = |machine: &str| Program::choose(machine, &to, &programs(Some(dir.path())), false);
        assert!(choose("Linux aarch64").unwrap().library.is_none());
        let error = choose("Linux x86_64").unwrap_err();
        assert!(error.to_string().contains("is for aarch64, ssh:pi is `Linux x86_64`"), "{error}");
        assert!(Program::choose("Linux x86_64", &to, &programs(Some(dir.path())), true).is_ok());
        elf[18] = 243; // RISC-V
        put(&elf);
        assert!(choose("Linux riscv64").is_ok());
        put(b"#!/bin/sh");
        assert!(choose("Linux x86_64").unwrap_err().to_string().contains("is not a program"));
    }

    #[test]
    fn programs_are_looked_for_beside_this_one_and_nowhere_else() {
        let folders = folders(Path::new("/opt/gtn/bin/gtn-run"));
        let wanted = ["/opt/gtn/bin/dist", "/opt/gtn/dist", "/opt/dist", "/dist"];
        assert_eq!(folders, wanted.map(PathBuf::from));
    }

    #[test]
    fn a_machine_without_a_program_is_told() {
        let to: Address = "ssh:pi".parse().unwrap();
        let programs =
            |dist: Option<&Path>| Programs { ours: "gtn-run".into(), dist: dist.map(Path::to_owned) };
        for machine in ["Darwin arm64", "Linux armv7l", "", "Linux aarch64; rm"] {
            let error = Program::choose(machine, &to, &programs(None), false).unwrap_err();
            assert!(error.to_string().starts_with("ssh:pi: is `") && error.exit_code() == 3, "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.tar.gz");
        std::fs::write(&file, "no archive").unwrap();
        for (dist, wanted) in [
            (dir.path(), "holds no gtn-run"),
            (&file, "cannot be unpacked"),
            (Path::new("no/such"), "no such file"),
        ] {
            let error = Program::choose("Linux x86_64", &to, &programs(Some(dist)), false).unwrap_err();
            assert!(error.to_string().contains(wanted) && error.exit_code() == 2, "{error}");
        }
    }
}
