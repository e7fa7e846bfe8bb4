//! What another machine has of the files that a run needs: by SHA-256, copied once.

use super::line::{Holds, Input};
use super::link::{Answer, Link, Listener};
use super::names::Names;
use super::{Hearer, tar};
use crate::onnx;
use gtn_core::artifacts::bundle;
use gtn_core::image::is_picture;
use gtn_core::io::artifact;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::NamedTempFile;

/// A folder of more is surely the wrong one.
const MAX_FILES: usize = 100_000;
/// Folders below a folder.
const MAX_DEPTH: usize = 32;

/// This sets who we are there: `$n`, the machine, and `$b`, its start. A process number means nothing on
/// another machine, or after another start, and a home folder may be shared.
pub const WHO: &str = "n=$(uname -n | tr -cd a-zA-Z0-9-); \
    b=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo none)";
/// Takes the lock of the folder that was just made, open as 9, until nothing of us lives.
pub const HOLD: &str = "command -v flock >/dev/null && flock -n 9 2>/dev/null; true";

/// Removes what runs that were cut off left behind, and what has long been unused; then tells the hash of each file that is
/// there of those whose names come in. A folder is `KIND.TOKEN.PROCESS.START.MACHINE`. One of this machine since its start is
/// dead if its process is gone and nobody holds its lock (where there is `flock`: the process may be in another container).
/// Any other may be of a machine that has the same home folder, or even the same name: it goes when no run lasts so long.
const LOOK: &str = "mkdir -p \"$S/files\" \"$S/cache\" && cd \"$S\" || exit 1; WHO; \
    for d in put.* run.*; do [ -d \"$d\" ] || continue; p=${d#*.*.}; p=${p%%.*}; case $d in \
    *.*.*.$b.$n) kill -0 \"$p\" 2>/dev/null && continue; \
    if command -v flock >/dev/null; then ( flock -n 9 ) 9>>\"$d/lock\" || continue; fi; rm -rf \"$d\";; \
    *) find \"$d\" -prune -mtime +7 -exec rm -rf {} +;; esac; done; \
    find files cache -type f -mtime +30 -exec rm -f {} +; cd files || exit 1; l=$(cat); \
    echo \"$l\" | xargs touch -c; echo \"$l\" | xargs sha256sum 2>/dev/null; true";

/// Unpacks what comes in, and gives each file its name only when that is its hash.
const PUT: &str = "cd \"$S\" || exit 1; WHO; d=\"$PWD/put.TOKEN.$$.$b.$n\"; c() { rm -rf \"$d\"; }; trap c EXIT; \
    trap \"exit 1\" HUP INT TERM PIPE; mkdir \"$d\" \"$d/in\" && cd \"$d/in\" && exec 9>../lock || exit 1; HOLD; \
    tar -xmf - || exit 1; \
    for f in *; do h=$(sha256sum < $f); [ \"${h%% *}\" = $f ] || { echo \"$f: damaged on the way\" >&2; exit 1; }; \
    mv -f $f \"../../files/$f\" || exit 1; done";

#[cfg(test)]
/// Returns [`LOOK`] and [`PUT`] as they run there.
pub fn scripts() -> [String; 2] {
    [LOOK, PUT].map(whole)
}

/// Returns a script with what stands for its capitals filled in.
pub fn whole(script: &str) -> String {
    let token = format!("{:016x}", RandomState::new().build_hasher().finish());
    script.replace("WHO", WHO).replace("HOLD", HOLD).replace("TOKEN", &token)
}

/// Why a disk takes no more; GNU tar says first how much of a block it wrote.
const FULL: [&str; 3] = ["No space left on device", "Disk quota exceeded", "File too large"];

/// These are the files of a run.
#[derive(Debug, Default)]
pub struct Store {
    /// Hash to the file here, and its size.
    files: BTreeMap<String, (PathBuf, u64)>,
    /// Name in the run's folder there to hash.
    pub names: BTreeMap<String, String>,
    /// Of models that were put together here.
    made: Vec<NamedTempFile>,
}

impl Store {
    /// Adds what the command reads of what was named: a file (of a model with the data in it that it keeps
    /// beside it), the files that a bundle's or kit's manifest lists, the pictures in a folder, a data set's
    /// folder. A link is followed where a person named it. Where it was found it is an error: it may lead
    /// anywhere.
    pub fn add(&mut self, input: &Input, names: &mut Names) -> Result<()> {
        let (here, there) = (&input.here, &input.there);
        let is_dir = fs::metadata(here).map_err(|e| Error::io(here, "read", e))?.is_dir();
        match input.holds {
            Holds::Model if is_dir => {
                for name in bundle::listed(here)? {
                    if let Some((folder, _)) = name.split_once('/') {
                        check_folder(&here.join(folder))?;
                    }
                    self.found(&here.join(&name), format!("{there}/{name}"))?;
                }
                Ok(())
            }
            Holds::Model => {
                let hash = self.add_model(here)?;
                self.names.insert(there.clone(), hash);
                Ok(())
            }
            Holds::Pictures if is_dir => self.folder((here, there), names, (&is_picture, false), 0),
            Holds::Data if is_dir => self.folder((here, there), names, (&|_| true, true), 0),
            _ => {
                let hash = self.add_file(here)?;
                self.names.insert(there.clone(), hash);
                Ok(())
            }
        }
    }

    /// A model's file; where it keeps data in others, one made of all of them.
    fn add_model(&mut self, path: &Path) -> Result<String> {
        let whole = onnx::read(path)?;
        if artifact::read(path)? == whole {
            return Ok(self.keep(path, &whole));
        }
        let failed = |e| Error::io(path, "put together", e);
        let mut made = NamedTempFile::new().map_err(failed)?;
        made.write_all(&whole).map_err(failed)?;
        let hash = self.keep(made.path(), &whole);
        self.made.push(made);
        Ok(hash)
    }

    /// A file that nobody named.
    fn found(&mut self, path: &Path, there: String) -> Result<()> {
        let kind = fs::symlink_metadata(path).map_err(|e| Error::io(path, "read", e))?.file_type();
        if !kind.is_file() {
            let what = if kind.is_symlink() { "is a link" } else { "is no regular file" };
            let what = format!("--on: {what}, and only files are taken to another machine");
            return Err(Error::input(path, what));
        }
        let hash = self.add_file(path)?;
        self.names.insert(there, hash);
        Ok(())
    }

    /// Those of a folder and of the folders below it that are wanted; whether they must `keep` their names.
    fn folder(
        &mut self,
        (dir, there): (&Path, &str),
        names: &mut Names,
        (wanted, keep): (&dyn Fn(&Path) -> bool, bool),
        depth: usize,
    ) -> Result<()> {
        let unreadable = |e| Error::io(dir, "read", e);
        if depth > MAX_DEPTH {
            return Err(Error::input(dir, format!("--on: lies more than {MAX_DEPTH} folders deep")));
        }
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = entry.path();
            let is_dir = entry.file_type().map_err(unreadable)?.is_dir();
            if !is_dir && !wanted(&path) {
                continue;
            }
            let name = names.name(&entry.file_name());
            // Classes are called what folders are called, and splits by files' names.
            if keep && entry.file_name() != name.as_str() {
                let what = "--on: a name with `@`, or one that no terminal shows as it is, is another one there, and a data \
                            set's names mean something: rename it";
                return Err(Error::input(path, what));
            }
            let there = format!("{there}/{name}");
            match is_dir {
                true => self.folder((&path, &there), names, (wanted, keep), depth + 1)?,
                false => self.found(&path, there)?,
            }
            if self.names.len() > MAX_FILES {
                return Err(Error::input(dir, format!("--on: holds more than {MAX_FILES} files")));
            }
        }
        Ok(())
    }

    /// Adds a file without a name there, and returns its hash.
    pub fn add_file(&mut self, path: &Path) -> Result<String> {
        Ok(self.keep(path, &artifact::read(path)?))
    }

    /// Adds the files of another, without names there.
    pub fn add_all(&mut self, other: &Self) {
        self.files.extend(other.files.iter().map(|(hash, file)| (hash.clone(), file.clone())));
    }

    /// A file that holds these bytes; their hash.
    fn keep(&mut self, path: &Path, bytes: &[u8]) -> String {
        let hash = artifact::sha256(bytes);
        self.files.insert(hash.clone(), (path.to_owned(), bytes.len() as u64));
        hash
    }

    /// Copies what is missing there, and is not known to be (`there`); `hear` is told how far it is. Fails where the connection does or the disk there is full.
    pub fn copy(&self, link: &mut Link, there: &mut BTreeSet<String>, hear: &mut Hearer<'_>) -> Result<()> {
        let names: Vec<&str> =
            self.files.keys().map(String::as_str).filter(|hash| !there.contains(*hash)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let sums = link.ask(&whole(LOOK), (names.join("\n") + "\n").into_bytes())?;
        // `HASH  NAME`: a damaged file's hash is not its name, and it is copied anew.
        let sound = |hash: &str| sums.lines().any(|l| l.split_whitespace().eq([hash, hash]));
        let missing: Vec<(String, PathBuf, u64)> = self
            .files
            .iter()
            .filter(|(hash, _)| !there.contains(*hash) && !sound(hash))
            .map(|(hash, (path, size))| (hash.clone(), path.clone(), *size))
            .collect();
        let bytes: u64 = missing.iter().map(|(.., size)| size).sum();
        let told = format!("{} of {} files are there", names.len() - missing.len(), names.len());
        (hear.line)(&format!("{}: {told}, {} to copy", link.address(), format::bytes(bytes)));
        if !missing.is_empty() {
            self.put(link, missing, bytes, hear)?;
        }
        there.extend(self.files.keys().cloned());
        Ok(())
    }

    fn put(
        &self,
        link: &mut Link,
        missing: Vec<(String, PathBuf, u64)>,
        bytes: u64,
        hear: &mut Hearer<'_>,
    ) -> Result<()> {
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let send = move |stdin: &mut std::process::ChildStdin| {
            let mut out = Counted { to: stdin, count: counter };
            for (hash, path, size) in &missing {
                tar::write_file(&mut out, hash, *size, File::open(path)?)?;
            }
            tar::finish(&mut out)
        };
        // The last byte is heard of when all of it has come there whole.
        let mut poll = || (hear.copied)(sent.load(Ordering::Relaxed).min(bytes.saturating_sub(1)), bytes);
        let answer = link.exchange(
            &whole(PUT),
            Box::new(send),
            &mut Listener { hold: false, most: 4096, line: &mut Some, poll: &mut poll },
        )?;
        if answer.code != 0 {
            return Err(link.failed(&Answer { errors: self.told(&answer.errors), ..answer }));
        }
        (hear.copied)(bytes, bytes);
        Ok(())
    }

    /// tar's errors with the system's reason first, and files, which are named by their hashes there, as they are here.
    fn told(&self, errors: &str) -> String {
        let mut lines: Vec<&str> = errors.lines().collect();
        lines.sort_by_key(|line| !FULL.iter().any(|reason| line.contains(reason)));
        let named = |text: String, (hash, (path, _)): (&String, &(PathBuf, u64))| {
            text.replace(hash.as_str(), &format::path(path))
        };
        self.files.iter().fold(lines.join("\n"), named)
    }
}

/// A folder in a bundle that nobody named: a link may lead anywhere.
fn check_folder(path: &Path) -> Result<()> {
    let kind = fs::symlink_metadata(path).map_err(|e| Error::io(path, "read", e))?.file_type();
    match kind.is_dir() {
        true => Ok(()),
        false => Err(Error::input(
            path,
            "--on: is no folder, and only a folder's own files are taken to another machine",
        )),
    }
}

/// Counts what goes through.
struct Counted<'a, W> {
    to: &'a mut W,
    count: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
