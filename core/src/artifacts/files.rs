//! The files of a bundle or a kit, by its manifest: their names, sizes and hashes.

use crate::io::artifact;
use crate::text::format;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Of those that a folder holds beside its bundle, as many are named.
const MAX_UNLISTED: usize = 10;

/// This is the size and hash of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// Returns what lies in a folder, and in the folders in it that its manifest lists files of, and is not listed;
/// sorted: at most 10 names, for people.
pub(crate) fn unlisted(
    dir: &Path,
    files: &BTreeMap<String, FileEntry>,
    also: &[&str],
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    look_in(dir, "", files, also, &mut found)?;
    let folders: BTreeSet<&str> = files.keys().filter_map(|name| Some(name.split_once('/')?.0)).collect();
    for folder in &folders {
        look_in(&dir.join(folder), &format!("{folder}/"), files, &[], &mut found)?;
    }
    found.retain(|name| !folders.contains(name.as_str()));
    found.truncate(MAX_UNLISTED);
    found.sort();
    Ok(found)
}

/// One folder's part of [`unlisted`]: no more than are told, and the folders that are looked into themselves.
fn look_in(
    dir: &Path,
    prefix: &str,
    files: &BTreeMap<String, FileEntry>,
    also: &[&str],
    found: &mut Vec<String>,
) -> Result<()> {
    let unreadable = |e| Error::io(dir, "read", e);
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let is_listed = |n: &str| files.contains_key(&format!("{prefix}{n}")) || also.contains(&n);
        if !name.to_str().is_some_and(is_listed) && found.len() < 2 * MAX_UNLISTED {
            found.push(format!("{prefix}{}", format::shorten(&format::path(Path::new(&name)), 60)));
        }
    }
    Ok(())
}

/// Checks that a manifest's files lie in its own folder, or in one of `folders` in it.
pub(crate) fn check_names(files: &BTreeMap<String, FileEntry>, folders: &[&str], path: &Path) -> Result<()> {
    let is_plain = |n: &str| !n.is_empty() && !n.contains(['/', '\\']) && !n.starts_with('.');
    let is_good = |n: &str| match n.split_once('/') {
        Some((folder, name)) => folders.contains(&folder) && is_plain(name),
        None => is_plain(n),
    };
    match files.keys().find(|name| !is_good(name)) {
        Some(odd) => {
            let odd = format::shorten(odd, 60);
            Err(Error::input(path, format!("files: `{odd}` is not a plain file name")))
        }
        None => Ok(()),
    }
}

/// Reads a file. It is an error if it has not the size and hash that the manifest says.
pub(crate) fn read_checked(path: &Path, entry: &FileEntry) -> Result<Vec<u8>> {
    let (_, size) = artifact::open(path)?;
    if size != entry.size {
        return Err(Error::input(path, format!("has {size} bytes, the manifest says {}", entry.size)));
    }
    let bytes = artifact::read_at_most(path, entry.size.min(artifact::MAX_FILE))?;
    let found = artifact::sha256(&bytes);
    if found != entry.sha256 {
        let what = format!("has SHA-256 {found}, the manifest says {}: damaged or edited", entry.sha256);
        return Err(Error::input(path, what));
    }
    Ok(bytes)
}
