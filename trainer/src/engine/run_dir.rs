//! A run's folder: config.toml (the resolved recipe), loss.jsonl (the reproducible record), log.jsonl
//! (speed and time), and both once more for TensorBoard.

use crate::engine::tensorboard::Events;
use crate::recipe::Recipe;
use gtn_core::data::{DataSha256, short};
use gtn_core::io::artifact;
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const CONFIG: &str = "config.toml";

/// Raised whenever the same recipe gives other bytes than the version before: runs of two versions are
/// neither continued into each other nor put into one table. (1: all there was until it was written down.)
pub const NUMERICS_VERSION: u32 = 1;

/// What a run is, in full; two runs with equal ones give equal results on one machine.
#[derive(Debug, Clone, Serialize)]
pub struct Config<'a> {
    /// `teacher` or `student`.
    pub command: &'static str,
    /// `vanilla`, `none`, `kd`.
    pub method: &'static str,
    /// [`NUMERICS_VERSION`].
    pub numerics: u32,
    /// As given to `--data`.
    pub data: &'a str,
    /// Architecture's name.
    pub arch: &'a str,
    /// A generic teacher's students, and the content of pools that came from files.
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
    /// What `data` holds.
    pub data_sha256: &'a DataSha256,
    /// All numbers.
    pub recipe: &'a Recipe,
}

/// What config.toml tells of a run that was begun, as far as another may be compared with it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Begun {
    /// `teacher` or `student`.
    pub command: String,
    /// `vanilla`, `none`, `kd`.
    pub method: String,
    /// [`NUMERICS_VERSION`] of the program; older ones did not say.
    #[serde(default = "first_numerics")]
    pub numerics: u32,
    /// Data set's name.
    pub data: String,
    /// Architectures' names.
    pub arch: String,
    /// Of the teacher's weights.
    pub teacher_sha256: Option<String>,
    /// What the data were; older programs did not say.
    pub data_sha256: Option<DataSha256>,
    /// All numbers; keys that it lacks are newer than the run and stand at their defaults.
    pub recipe: Recipe,
}

fn first_numerics() -> u32 {
    1
}

impl Begun {
    /// Of a run's folder; none where no run was begun.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let file = path.join(CONFIG);
        if file.exists() { artifact::read_document(&file).map(Some) } else { Ok(None) }
    }
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
        let file = path.join(CONFIG);
        if file.exists() {
            if !resume {
                return Err(Error::input(path, "already holds a run: give --resume, or another --out"));
            }
            same_run(&file, &artifact::read_document(&file)?, &text)?;
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

    /// Appends to log.jsonl how far the run is, after which seconds and at how many images a second: at the end of each
    /// epoch, and where a run ends within one.
    pub fn log_pace(&mut self, epoch: usize, step: usize, (seconds, rate): (f64, f64)) -> Result<()> {
        let line =
            serde_json::json!({"epoch": epoch, "step": step, "seconds": seconds, "images_per_s": rate});
        self.events.line(&line)?;
        write_line(&mut self.log, &self.path.join("log.jsonl"), &line)
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
pub fn lock(path: &Path) -> Result<File> {
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

/// An error that names the first thing in which the run of `file` differs from the one asked for. What a
/// program of old did not record cannot be compared: that is said where it matters.
fn same_run(file: &Path, old: &Table, new: &str) -> Result<()> {
    let new: Table = new.parse().map_err(|e| Error::Failed(format!("config: {e}")))?;
    if !old.contains_key("data_sha256") {
        exit::note(&format!(
            "gtn-train: warning: {}: an older gtn-train began this run and did not record the data's content: whether \
             they are still the same cannot be told",
            file.display()
        ));
    }
    let mut begun = old.clone();
    for (key, value) in
        [("numerics", Some(first_numerics().into())), ("data_sha256", new.get("data_sha256").cloned())]
    {
        if let Some(value) = value {
            begun.entry(key).or_insert(value);
        }
    }
    let Some((key, was, is)) = difference(&begun, &new) else { return Ok(()) };
    let what = match key.strip_prefix("data_sha256.") {
        Some(part) => format!(
            "the run was begun on other {part} images than `{}` holds now (SHA-256 {}, now {}): cannot resume; put the old \
             data back, or give another --out",
            new.get("data").and_then(Value::as_str).unwrap_or_default(),
            short(was.trim_matches('"')),
            short(is.trim_matches('"')),
        ),
        None => {
            format!("the run was started with `{key} = {was}`, now asked for `{key} = {is}`: cannot resume")
        }
    };
    Err(Error::input(file, what))
}

/// The first key (`recipe.optimizer.lr`) at which two tables differ, and both values.
pub fn difference(old: &Table, new: &Table) -> Option<(String, String, String)> {
    let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
    flatten("", old, &mut a);
    flatten("", new, &mut b);
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let text = |all: &BTreeMap<String, String>, key: &String| {
        all.get(key).map_or("(nothing)", String::as_str).to_owned()
    };
    let key = keys.into_iter().find(|key| a.get(*key) != b.get(*key))?;
    Some((key.clone(), text(&a, key), text(&b, key)))
}

fn flatten(prefix: &str, table: &Table, all: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, all),
            value => {
                all.insert(format!("{prefix}{key}"), value.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(train: &str) -> DataSha256 {
        DataSha256 { train: train.repeat(32), test: "cd".repeat(32) }
    }

    fn config<'a>(recipe: &'a Recipe, data_sha256: &'a DataSha256, numerics: u32) -> Config<'a> {
        Config {
            command: "teacher",
            method: "vanilla",
            numerics,
            data: "d",
            arch: "resnet8",
            space: None,
            teacher_sha256: None,
            init_sha256: None,
            device: "cpu".into(),
            threads: 1,
            data_sha256,
            recipe,
        }
    }

    /// Each of recipe, data and numerics is a part of what a run is, and is named where it differs.
    #[test]
    fn only_the_same_run_goes_on() {
        let (temp, recipe, data) = (tempfile::tempdir().unwrap(), Recipe::default(), sha256("ab"));
        let open = |config: &Config, resume| RunDir::open(temp.path(), config, resume).map(|_| ());
        open(&config(&recipe, &data, 1), false).unwrap();
        open(&config(&recipe, &data, 1), true).unwrap();
        let other = Recipe { epochs: 7, ..recipe.clone() };
        for (config, resume, wanted) in [
            (config(&recipe, &data, 1), false, &["already holds a run"][..]),
            (config(&other, &data, 1), true, &["recipe.epochs = 20", "recipe.epochs = 7"]),
            (config(&recipe, &data, 2), true, &["numerics = 1", "numerics = 2"]),
            (config(&recipe, &sha256("ef"), 1), true, &["other train images than `d`", "ababab", "efefef"]),
        ] {
            let error = open(&config, resume).unwrap_err();
            let text = error.to_string();
            assert!(error.exit_code() == 2 && wanted.iter().all(|w| text.contains(w)), "{text}");
        }
        let begun = Begun::read(temp.path()).unwrap().unwrap();
        assert_eq!(
            (begun.data_sha256, begun.recipe, begun.numerics),
            (Some(data.clone()), recipe.clone(), 1)
        );
    }

    /// A folder of a gtn-train that recorded neither data nor numerics can be gone on with.
    #[test]
    fn a_run_of_old_goes_on() {
        let (temp, recipe, data) = (tempfile::tempdir().unwrap(), Recipe::default(), sha256("ab"));
        let file = temp.path().join(CONFIG);
        let mut old: Table = toml::to_string(&config(&recipe, &data, 1)).unwrap().parse().unwrap();
        for key in ["data_sha256", "numerics"] {
            old.remove(key).unwrap();
        }
        std::fs::write(&file, toml::to_string(&old).unwrap()).unwrap();
        RunDir::open(temp.path(), &config(&recipe, &data, 1), true).unwrap();
        let begun = Begun::read(temp.path()).unwrap().unwrap();
        assert_eq!((begun.data_sha256, begun.numerics), (None, 1));
        assert!(RunDir::open(temp.path(), &config(&recipe, &data, 2), true).is_err());
    }
}
