//! Reading small text files of a tree that holds `proc` and `sys`.

use std::fs;
use std::path::Path;

/// Returns a file's text, however broken its encoding; `None` where it cannot be read.
pub fn text(root: &Path, path: &str) -> Option<String> {
    fs::read(root.join(path)).ok().map(|b| String::from_utf8_lossy(&b).into_owned())
}

/// Returns the number of a file that holds one finite number.
pub fn number(root: &Path, path: &str) -> Option<f64> {
    text(root, path)?.trim().parse().ok().filter(|n: &f64| n.is_finite())
}

/// Returns the names in a folder that `keep` accepts, sorted.
pub fn names(root: &Path, dir: &str, keep: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = fs::read_dir(root.join(dir)).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|e| e.file_name().into_string().ok()).filter(|n| keep(n)).collect();
    names.sort();
    names
}

/// Returns the names like `cpu12` in a folder.
pub fn numbered(root: &Path, dir: &str, prefix: &str) -> Vec<String> {
    names(root, dir, |n| {
        n.strip_prefix(prefix).is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_digit()))
    })
}
