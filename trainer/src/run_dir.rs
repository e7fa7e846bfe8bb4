//! A run's folder: config.toml (the resolved recipe), loss.jsonl (the reproducible record), log.jsonl
//! (speed and time), and both once more for TensorBoard.

use crate::tensorboard::Events;
use gtn_core::{Error, Result, artifact, exit};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a run is, in full; two runs with equal ones give equal results on one machine.
#[derive(Debug, Clone, Serialize)]
pub struct Config<'a> {
    /// `teacher` or `student`.
    pub command: &'static str,
    /// `vanilla`, `none`, `kd`.
    pub method: &'static str,
    /// As given to `--data`.
    pub data: &'a str,
    /// Architecture's name.
    pub arch: &'a str,
    /// A generic teacher's students.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// SHA-256 of the teacher's weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_sha256: Option<&'a str>,
    /// SHA-256 of `--init`'s file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_sha256: Option<String>,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Of libtorch (sums depend on it).
    pub threads: usize,
    /// All numbers.
    pub recipe: &'a crate::recipe::Recipe,
}

/// An open run folder.
pub struct RunDir {
    /// Its path.
    pub path: PathBuf,
    /// Held as long as the run is open; the system lets go of it at any kind of end.
    _lock: File,
    loss: File,
    log: File,
    events: Events,
}

impl RunDir {
    /// Creates the folder, or with `resume` opens one whose config is the same. A folder that already
    /// holds a run is refused without `resume`.
    pub fn open(path: &Path, config: &Config, resume: bool) -> Result<Self> {
        artifact::create_dir(path)?;
        let lock = lock(path)?;
        let text = toml::to_string(config).map_err(|e| Error::Failed(format!("config: {e}")))?;
        let file = path.join("config.toml");
        if file.exists() {
            let old = artifact::read_text(&file)?;
            if !resume {
                return Err(Error::input(path, "already holds a run: give --resume, or another --out"));
            }
            if let Some((old, new)) = first_difference(&old, &text) {
                let what = format!("the run was started with `{old}`, now asked for `{new}`: cannot resume");
                return Err(Error::input(file, what));
            }
        } else {
            artifact::write_atomic(&file, text.as_bytes())?;
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
            loss: append(&path.join("loss.jsonl"))?,
            log: append(&path.join("log.jsonl"))?,
            events: Events::create(path)?,
        })
    }

    /// Cuts loss.jsonl back to what the checkpoint of `step` had seen.
    pub fn rewind(&mut self, step: usize, loss_bytes: u64) -> Result<()> {
        let path = self.path.join("loss.jsonl");
        let size = self.loss.metadata().map_err(|e| Error::io(&path, "read", e))?.len();
        if size < loss_bytes {
            let what = format!("has {size} bytes, the checkpoint was made at {loss_bytes}: not this run's");
            return Err(Error::input(path, what));
        }
        self.loss.set_len(loss_bytes).map_err(|e| Error::io(&path, "cut", e))?;
        if step > 0 { self.events.resume_at(step) } else { Ok(()) }
    }

    /// Appends to loss.jsonl.
    pub fn loss_line(&mut self, line: &serde_json::Value) -> Result<()> {
        self.events.line(line)?;
        write_line(&mut self.loss, &self.path.join("loss.jsonl"), line)
    }

    /// Appends to log.jsonl.
    pub fn log_line(&mut self, line: &serde_json::Value) -> Result<()> {
        self.events.line(line)?;
        write_line(&mut self.log, &self.path.join("log.jsonl"), line)
    }

    /// Length of loss.jsonl, once it is on disk.
    pub fn loss_bytes(&mut self) -> Result<u64> {
        let path = self.path.join("loss.jsonl");
        self.loss.sync_data().map_err(|e| Error::io(&path, "write", e))?;
        Ok(self.loss.metadata().map_err(|e| Error::io(&path, "read", e))?.len())
    }
}

/// Two processes must not write one run. The other may be the orphan of a killed study: it is waited for,
/// and what it finished is then found finished.
fn lock(path: &Path) -> Result<File> {
    let file = path.join(".lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
    let lock = lock.map_err(|e| Error::io(&file, "open", e))?;
    if lock.try_lock().is_err() {
        let place = path.display();
        exit::note(&format!("gtn-train: {place}: another process is at work here; waiting for it"));
        lock.lock().map_err(|e| Error::io(&file, "lock", e))?;
    }
    Ok(lock)
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|e| Error::io(path, "open", e))
}

fn write_line(file: &mut File, path: &Path, line: &serde_json::Value) -> Result<()> {
    file.write_all(format!("{line}\n").as_bytes()).map_err(|e| Error::io(path, "write", e))
}

fn first_difference(old: &str, new: &str) -> Option<(String, String)> {
    let longest = old.lines().count().max(new.lines().count());
    let line = |text: &str, i: usize| text.lines().nth(i).unwrap_or("(nothing)").to_owned();
    (0..longest).map(|i| (line(old, i), line(new, i))).find(|(a, b)| a != b)
}
