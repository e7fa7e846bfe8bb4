//! A bundle or kit under construction: a folder inside a hidden one beside its final place, renamed into it only when
//! everything in it has been proved.

use gtn_core::artifacts::bundle::MANIFEST;
use gtn_core::artifacts::files::FileEntry;
use gtn_core::io::artifact;
use gtn_core::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The hidden folder's ending.
const ENDING: &str = "draft";
/// Held by who works in the hidden folder; the system lets go of it at any kind of end.
const LOCK: &str = "lock";
/// In the hidden folder: what will be published.
const NEW: &str = "new";
/// In the hidden folder: what was there before, while the new one takes its place.
const OLD: &str = "old";
/// In the hidden folder: the name of what is made there.
const NAME: &str = "name";

/// A draft is a folder that is being made; it is removed again unless published.
pub struct Draft {
    /// The hidden folder.
    work: TempDir,
    _lock: File,
    dir: PathBuf,
    target: PathBuf,
    files: BTreeMap<String, FileEntry>,
}

impl Draft {
    /// Starts a draft of `target`, in a folder that is new. Something at `target` that is not a bundle is not replaced.
    /// What killed runs left beside it is removed.
    pub fn start(target: &Path) -> Result<Self> {
        check_target(target)?;
        let parent = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        artifact::create_dir(parent)?;
        tidy(parent);
        let (work, lock) = loop {
            let work = artifact::new_dir_beside(target, ENDING)?;
            if let Some(lock) = lock(&work.path().join(LOCK))? {
                break (work, lock);
            }
        };
        let name = target.file_name().unwrap_or_default().as_encoded_bytes();
        artifact::write_atomic(&work.path().join(NAME), name)?;
        let dir = work.path().join(NEW);
        artifact::create_new_dir(&dir)?;
        Ok(Self { work, _lock: lock, dir, target: target.to_owned(), files: BTreeMap::new() })
    }

    /// Returns where the draft is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds a file, which may be in a folder of the draft, and returns its path.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.dir.join(name);
        if let Some((folder, _)) = name.rsplit_once('/') {
            artifact::create_dir(&self.dir.join(folder))?;
        }
        artifact::write_atomic(&path, bytes)?;
        self.files
            .insert(name.into(), FileEntry { size: bytes.len() as u64, sha256: artifact::sha256(bytes) });
        Ok(path)
    }

    /// Returns every file so far: what the manifest lists.
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
        check_target(&self.target)?; // it may have come meanwhile
        artifact::publish_dir_with(&self.dir, &self.target, &self.work.path().join(OLD))
    }
}

fn check_target(target: &Path) -> Result<()> {
    if target.exists() && !target.join(MANIFEST).is_file() {
        return Err(Error::input(target, "exists and is not a bundle: not replaced"));
    }
    Ok(())
}

/// None: another run took us for dead, in the moment before this lock was held, and removed the folder.
fn lock(path: &Path) -> Result<Option<File>> {
    let failed = |e| Error::io(path, "lock", e);
    let file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    file.lock().map_err(failed)?;
    Ok(path.exists().then_some(file))
}

/// Removes the drafts in `parent` that nobody works on any more, and first puts back what such a one had moved aside. What
/// cannot be removed stays: this run does not need it gone.
fn tidy(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for work in entries.flatten().filter(is_draft).map(|e| e.path()) {
        let lock = OpenOptions::new().write(true).open(work.join(LOCK));
        let is_dead = match &lock {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(_) => {
                // Killed before it had one: an empty folder. With anything else in it nobody knows whose it is.
                let _ = fs::remove_dir(&work);
                false
            }
        };
        if is_dead && (!work.join(OLD).exists() || put_back(&work, parent)) {
            let _ = fs::remove_dir_all(&work);
        }
    }
}

/// Whether what a killed run moved aside is in its place again, or the new one is.
fn put_back(work: &Path, parent: &Path) -> bool {
    let Ok(name) = artifact::read_text(&work.join(NAME)) else { return false };
    // A plain name: what lies in a folder that others may write to must not lead out of it.
    if Path::new(&name).file_name() != Some(name.as_ref()) {
        return false;
    }
    let target = parent.join(&name);
    target.exists() || fs::rename(work.join(OLD), target).is_ok()
}

fn is_draft(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    let ours = name.starts_with(".gtn.") && name.ends_with(&format!(".{ENDING}"));
    ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) // a link is not
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What is left of a run that was killed: the lock is let go of, nothing is removed.
    fn kill(draft: Draft) {
        let Draft { work, .. } = draft;
        let _ = work.keep();
    }

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

    #[test]
    fn what_is_published_is_what_was_added() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.gtn");
        for text in ["one", "two"] {
            let mut draft = Draft::start(&target).unwrap();
            draft.add("model.onnx", text.as_bytes()).unwrap();
            draft.seal(&serde_json::json!({"n": 1})).unwrap();
            draft.publish().unwrap();
            assert_eq!(names(&target), ["manifest.json", "model.onnx"]);
            assert_eq!(fs::read_to_string(target.join("model.onnx")).unwrap(), text);
            assert_eq!(names(dir.path()), ["x.gtn"]);
        }
    }

    #[test]
    fn later_runs_remove_dead_drafts_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        kill(Draft::start(&at("x.gtn")).unwrap());
        fs::create_dir(at(".gtn.early.draft")).unwrap(); // killed before it had a lock
        fs::create_dir_all(at(".gtn.mine.draft/x")).unwrap(); // no lock in it: nobody knows whose
        fs::write(at(".gtn.file.draft"), "").unwrap();
        assert_eq!(names(dir.path()).len(), 4);
        let alive = Draft::start(&at("y.gtn")).unwrap();
        let other = Draft::start(&at("z.gtn")).unwrap();
        assert_eq!(names(dir.path()).len(), 4, "{:?}", names(dir.path()));
        assert!(alive.dir().is_dir() && other.dir().is_dir());
        drop((alive, other));
        assert_eq!(names(dir.path()), [".gtn.file.draft", ".gtn.mine.draft"]);
    }

    /// Killed between the two renames of publishing: the older bundle is only in the draft.
    #[test]
    fn an_older_bundle_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.gtn");
        let draft = Draft::start(&target).unwrap();
        fs::create_dir(draft.work.path().join(OLD)).unwrap();
        fs::write(draft.work.path().join(OLD).join("model.onnx"), "old").unwrap();
        kill(draft);
        drop(Draft::start(&dir.path().join("y.gtn")).unwrap());
        assert_eq!(names(dir.path()), ["x.gtn"]);
        assert_eq!(fs::read_to_string(target.join("model.onnx")).unwrap(), "old");
    }

    /// A folder that others may write to: a name in it must not lead out.
    #[test]
    fn a_planted_draft_moves_nothing_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("deep");
        fs::create_dir_all(parent.join(".gtn.evil.draft/old")).unwrap();
        fs::write(parent.join(".gtn.evil.draft/lock"), "").unwrap();
        fs::write(parent.join(".gtn.evil.draft/name"), "../out").unwrap();
        drop(Draft::start(&parent.join("x.gtn")).unwrap());
        assert!(!dir.path().join("out").exists());
        assert_eq!(names(&parent), [".gtn.evil.draft"]);
    }
}
