//! A bundle or kit under construction: a hidden folder beside its final place, renamed into it only when
//! everything in it has been proved.

use gtn_core::bundle::{FileEntry, MANIFEST};
use gtn_core::{Error, Result, artifact};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder; removed again unless published.
pub struct Draft {
    dir: PathBuf,
    target: PathBuf,
    files: BTreeMap<String, FileEntry>,
}

impl Draft {
    /// Starts a draft of `target`. Something there that is not a bundle is not replaced.
    pub fn start(target: &Path) -> Result<Self> {
        if target.exists() && !target.join(MANIFEST).is_file() {
            return Err(Error::input(target, "exists and is not a bundle: not replaced"));
        }
        if let Some(parent) = target.parent().filter(|p| !p.as_os_str().is_empty()) {
            artifact::create_dir(parent)?;
        }
        let dir = artifact::sibling(target, "draft");
        artifact::create_dir(&dir)?;
        Ok(Self { dir, target: target.to_owned(), files: BTreeMap::new() })
    }

    /// Where the draft is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds a file; returns its path.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.dir.join(name);
        artifact::write_atomic(&path, bytes)?;
        self.files
            .insert(name.into(), FileEntry { size: bytes.len() as u64, sha256: artifact::sha256(bytes) });
        Ok(path)
    }

    /// Every file so far: what the manifest lists.
    pub fn files(&self) -> &BTreeMap<String, FileEntry> {
        &self.files
    }

    /// Writes the sealed manifest.
    pub fn seal(&self, manifest: &impl Serialize) -> Result<()> {
        self.add_sealed(MANIFEST, manifest)
    }

    /// Adds a sealed file that the manifest does not list.
    pub fn add_sealed(&self, name: &str, value: &impl Serialize) -> Result<()> {
        artifact::write_atomic(&self.dir.join(name), artifact::seal(value)?.as_bytes())
    }

    /// Renames the draft into place.
    pub fn publish(self) -> Result<()> {
        artifact::publish_dir(&self.dir, &self.target)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.dir.exists() {
            let _ = fs::remove_dir_all(&self.dir); // best effort: the error that matters is on its way
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_export_leaves_nothing_and_spares_strangers() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("deep/x.gtn");
        let mut draft = Draft::start(&target).unwrap();
        draft.add("model.onnx", b"x").unwrap();
        drop(draft);
        assert_eq!(fs::read_dir(dir.path().join("deep")).unwrap().count(), 0);

        fs::create_dir(&target).unwrap();
        fs::write(target.join("thesis.tex"), "years").unwrap();
        let error = Draft::start(&target).err().unwrap();
        assert!(error.to_string().contains("is not a bundle: not replaced"), "{error}");
        assert!(target.join("thesis.tex").exists());
    }
}
