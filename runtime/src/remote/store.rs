//! What another machine has of the files that a run needs: by SHA-256, copied once.

use super::arguments::Place;
use super::link::{Answer, Ears, Link};
use super::tar;
use gtn_core::progress::Progress;
use gtn_core::{Error, Result, artifact, exit, format};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder of more is surely the wrong one.
const MAX_FILES: usize = 100_000;
/// What a tar header can say.
const MAX_BYTES: u64 = 8 << 30;

/// Removes what runs that were cut off left behind (their process is gone) and what has long been unused; then tells the
/// hash of each file that is there of those whose names come in.
pub const LOOK: &str = "mkdir -p \"$S/files\" \"$S/cache\" && cd \"$S\" || exit 1; \
    for d in put.* run.*; do kill -0 \"${d#*.}\" 2>/dev/null || rm -rf \"$d\"; done; \
    find files cache -type f -mtime +30 -exec rm -f {} +; cd files || exit 1; l=$(cat); \
    echo \"$l\" | xargs touch -c; echo \"$l\" | xargs sha256sum 2>/dev/null; true";

/// Unpacks what comes in, and gives each file its name only when that is its hash.
pub const PUT: &str = "cd \"$S\" || exit 1; d=\"$PWD/put.$$\"; c() { rm -rf \"$d\"; }; trap c EXIT; \
    trap \"exit 1\" HUP INT TERM PIPE; mkdir \"$d\" && cd \"$d\" && tar -xmf - || exit 1; \
    for f in *; do h=$(sha256sum < $f); [ \"${h%% *}\" = $f ] || { echo \"$f: damaged on the way\" >&2; exit 1; }; \
    mv -f $f \"../files/$f\" || exit 1; done";

/// Why a disk takes no more; GNU tar says first how much of a block it wrote.
const FULL: [&str; 3] = ["No space left on device", "Disk quota exceeded", "File too large"];

/// The files of a run.
#[derive(Debug, Default)]
pub struct Store {
    /// Hash to the file here, and its size.
    files: BTreeMap<String, (PathBuf, u64)>,
    /// Name in the run's folder there to hash.
    pub names: BTreeMap<String, String>,
}

impl Store {
    /// A file or a whole folder that the command reads.
    pub fn add(&mut self, place: &Place) -> Result<()> {
        let meta = std::fs::metadata(&place.here).map_err(|e| Error::io(&place.here, "read", e))?;
        if meta.is_dir() {
            return self.add_folder(&place.here, &place.there);
        }
        let hash = self.add_file(&place.here)?;
        self.names.insert(place.there.clone(), hash);
        Ok(())
    }

    /// Files of the folder and of those below it. Links to files are followed, links to folders are not.
    fn add_folder(&mut self, dir: &Path, there: &str) -> Result<()> {
        let unreadable = |e| Error::io(dir, "read", e);
        for entry in std::fs::read_dir(dir).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_str().filter(|name| !name.contains(char::is_control));
            let name = name.ok_or_else(|| Error::input(&path, "--on: has a name that is not plain UTF-8"))?;
            let there = format!("{there}/{name}");
            if entry.file_type().map_err(unreadable)?.is_dir() {
                self.add_folder(&path, &there)?;
            } else if path.is_file() {
                let hash = self.add_file(&path)?;
                self.names.insert(there, hash);
            }
        }
        if self.names.len() > MAX_FILES {
            return Err(Error::input(dir, format!("--on: holds more than {MAX_FILES} files")));
        }
        Ok(())
    }

    /// A file without a name there; its hash.
    pub fn add_file(&mut self, path: &Path) -> Result<String> {
        let bytes = artifact::read(path)?;
        let size = bytes.len() as u64;
        if size >= MAX_BYTES {
            return Err(Error::input(path, "--on: is larger than 8 GiB"));
        }
        let hash = artifact::sha256(&bytes);
        self.files.insert(hash.clone(), (path.to_owned(), size));
        Ok(hash)
    }

    /// Copies what is missing there.
    pub fn copy(&self, link: &mut Link) -> Result<()> {
        let names: Vec<&str> = self.files.keys().map(String::as_str).collect();
        let sums = link.ask(LOOK, (names.join("\n") + "\n").into_bytes())?;
        // `HASH  NAME`: a damaged file's hash is not its name, and it is copied anew.
        let sound = |hash: &str| sums.lines().any(|l| l.split_whitespace().eq([hash, hash]));
        let missing: Vec<(String, PathBuf, u64)> = self
            .files
            .iter()
            .filter(|(hash, _)| !sound(hash))
            .map(|(hash, (path, size))| (hash.clone(), path.clone(), *size))
            .collect();
        let bytes: u64 = missing.iter().map(|(.., size)| size).sum();
        let there = format!("{} of {} files are there", names.len() - missing.len(), names.len());
        exit::note(&format!("{}: {there}, {} to copy", link.address(), format::bytes(bytes)));
        if missing.is_empty() { Ok(()) } else { self.put(link, missing, bytes) }
    }

    fn put(&self, link: &mut Link, missing: Vec<(String, PathBuf, u64)>, bytes: u64) -> Result<()> {
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let send = move |stdin: &mut std::process::ChildStdin| {
            let mut out = Counted { to: stdin, count: counter };
            for (hash, path, size) in &missing {
                tar::write_file(&mut out, hash, *size, File::open(path)?)?;
            }
            tar::finish(&mut out)
        };
        let mut bar = Progress::new("copy", bytes);
        let mut poll = || bar.tick(sent.load(Ordering::Relaxed).min(bytes), &format::bytes(bytes));
        let answer =
            link.exchange(PUT, Box::new(send), &mut Ears { hold: false, line: &mut Some, poll: &mut poll })?;
        if answer.code != 0 {
            return Err(link.failed(&Answer { errors: self.told(&answer.errors), ..answer }));
        }
        bar.finish(&format!("{} copied", format::bytes(bytes)));
        Ok(())
    }

    /// tar's errors with the system's reason first, and files, which are named by their hashes there, as they are here.
    fn told(&self, errors: &str) -> String {
        let mut lines: Vec<&str> = errors.lines().collect();
        lines.sort_by_key(|line| !FULL.iter().any(|reason| line.contains(reason)));
        let named = |text: String, (hash, (path, _)): (&String, &(PathBuf, u64))| {
            text.replace(hash.as_str(), &path.display().to_string())
        };
        self.files.iter().fold(lines.join("\n"), named)
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
