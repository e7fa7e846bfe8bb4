//! Pictures below a folder: every folder once, whatever links there are.

use crate::image::is_picture;
use crate::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// Folders within folders: deeper is no picture set.
const DEEPEST: usize = 32;
/// Problems that are told one by one.
const MOST_PROBLEMS: usize = 1000;

/// A folder's identity, whatever it is called.
#[cfg(unix)]
type Id = (u64, u64);
#[cfg(not(unix))]
type Id = PathBuf;

/// Walks below one root; remembers where it has been and what it left out.
#[derive(Default)]
pub(super) struct Walker {
    entered: HashSet<Id>,
    problems: Vec<String>,
    /// Files that are no pictures, by ending.
    others: BTreeMap<String, usize>,
}

/// An entry of a folder.
struct Entry {
    name: String,
    path: PathBuf,
    meta: Metadata,
}

impl Walker {
    /// Folders of `dir`, by name; `dir` counts as entered.
    pub(super) fn folders(&mut self, dir: &Path) -> Result<Vec<(String, PathBuf)>> {
        self.enter(dir)?;
        let entries = self.entries(dir)?;
        Ok(entries.into_iter().filter(|e| e.meta.is_dir()).map(|e| (e.name, e.path)).collect())
    }

    /// Every picture below `dir` with its name, which starts with `prefix`. A folder that was entered before is not
    /// entered again.
    pub(super) fn pictures(&mut self, dir: &Path, prefix: &str) -> Result<Vec<(String, PathBuf)>> {
        let mut found = Vec::new();
        let mut open = vec![(dir.to_owned(), prefix.to_owned(), 0)];
        while let Some((dir, prefix, depth)) = open.pop() {
            if depth > DEEPEST {
                return Err(Error::input(dir, format!("lies more than {DEEPEST} folders deep")));
            }
            if !self.enter(&dir)? {
                self.problem(format!(
                    "{}: links to a folder that was already read, and is left out: remove the link",
                    dir.display()
                ));
                continue;
            }
            for Entry { name, path, meta } in self.entries(&dir)? {
                let full = format!("{prefix}/{name}");
                if meta.is_dir() {
                    open.push((path, full, depth + 1));
                } else if !is_picture(&path) {
                    self.left_out(&name);
                } else if meta.is_file() {
                    found.push((full, path));
                } else {
                    self.problem(format!("{}: is no regular file", path.display()));
                }
            }
        }
        Ok(found)
    }

    /// What was met, files of other kinds last.
    pub(super) fn into_problems(mut self) -> Vec<String> {
        let others: Vec<String> = self.others.iter().map(|(kind, n)| format!("{n} of {kind}")).collect();
        if !others.is_empty() {
            self.problems.push(format!("files that are no pictures are left out: {}", others.join(", ")));
        }
        self.problems
    }

    pub(super) fn problem(&mut self, what: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(what);
        }
    }

    fn left_out(&mut self, name: &str) {
        if name.starts_with('.') || name.eq_ignore_ascii_case("thumbs.db") {
            return;
        }
        let ending = Path::new(name).extension().and_then(OsStr::to_str);
        let kind = ending.map_or_else(|| "no ending".to_owned(), |e| format!(".{}", e.to_ascii_lowercase()));
        if self.others.len() < MOST_PROBLEMS || self.others.contains_key(&kind) {
            *self.others.entry(kind).or_default() += 1;
        }
    }

    /// Whether this is the first time.
    fn enter(&mut self, dir: &Path) -> Result<bool> {
        Ok(self.entered.insert(id(dir)?))
    }

    /// Sorted by name. What cannot be looked at, or has a name that is no text, is a problem and left out.
    fn entries(&mut self, dir: &Path) -> Result<Vec<Entry>> {
        let failed = |e| Error::io(dir, "read", e);
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                self.problem(format!("{}: its name is not UTF-8", path.display()));
                continue;
            };
            // A link is what it points at.
            match fs::metadata(&path) {
                Ok(meta) => entries.push(Entry { name, path, meta }),
                Err(e) => self.problem(format!("{}: cannot be read ({e})", path.display())),
            }
        }
        entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(entries)
    }
}

#[cfg(unix)]
fn id(dir: &Path) -> Result<Id> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(dir).map_err(|e| Error::io(dir, "read", e))?;
    Ok((meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
fn id(dir: &Path) -> Result<Id> {
    fs::canonicalize(dir).map_err(|e| Error::io(dir, "read", e))
}
