//! The files of a bundle or a kit, by its manifest: their names, sizes and hashes.

use crate::io::artifact;
use crate::text::format;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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

/// Returns what lies in a folder that its manifest does not list, sorted: at most 10 names, for people.
pub(crate) fn unlisted(
    dir: &Path,
    files: &BTreeMap<String, FileEntry>,
    also: &[&str],
) -> Result<Vec<String>> {
    let unreadable = |e| Error::io(dir, "read", e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let listed = name.to_str().is_some_and(|n| files.contains_key(n) || also.contains(&n));
        if !listed && found.len() < MAX_UNLISTED {
            found.push(format::shorten(&format::path(Path::new(&name)), 60));
        }
    }
    found.sort();
    Ok(found)
}

/// Checks that a manifest's files lie in its own folder.
pub(crate) fn check_names(files: &BTreeMap<String, FileEntry>, path: &Path) -> Result<()> {
    match files.keys().find(|n| n.is_empty() || n.contains(['/', '\\']) || n.starts_with('.')) {
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
