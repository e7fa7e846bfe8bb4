//! What is done of a fleet, so that a run which was ended goes on: which bundle is of what, which could not be shipped, and
//! how long each step took. Tables, reports and soaks have what they are of in their names.

use gtn_core::io::artifact;
use gtn_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Schema of the file.
pub const SCHEMA: &str = "gtn.fleet-ledger/1";
/// Its name in the result's folder.
pub const FILE: &str = "ledger.json";

/// This is what the file holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// [`SCHEMA`].
    pub schema: String,
    /// What each bundle is of, by its name.
    pub bundles: BTreeMap<String, String>,
    /// Why what would be of that cannot be shipped.
    pub unfit: BTreeMap<String, String>,
    /// Wall seconds of a step, by its name.
    pub seconds: BTreeMap<String, f64>,
}

/// This is the file, for several threads.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    done: Mutex<Done>,
}

impl Ledger {
    /// Opens that of a result's folder, or begins one.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let done = match path.exists() {
            true => Done::read(&path)?,
            false => Done { schema: SCHEMA.into(), ..Done::default() },
        };
        Ok(Self { path, done: Mutex::new(done) })
    }

    /// Looks at what is done.
    pub fn get<T>(&self, look: impl FnOnce(&Done) -> T) -> T {
        look(&self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes down what was done.
    pub fn note(&self, change: impl FnOnce(&mut Done)) -> Result<()> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut done);
        artifact::write_json(&self.path, &*done)
    }

    /// Writes down how long a step took.
    pub fn took(&self, step: &str, seconds: f64) -> Result<()> {
        self.note(|done| {
            done.seconds.insert(step.to_owned(), seconds);
        })
    }

    /// Seconds that a step took, whenever that was; 0 where it is not done.
    pub fn seconds(&self, step: &str) -> f64 {
        self.get(|done| done.seconds.get(step).copied().unwrap_or(0.0))
    }
}

impl Done {
    /// Reads and checks the file.
    pub fn read(path: &Path) -> Result<Self> {
        let done: Self = artifact::read_schema(path, SCHEMA)?;
        let odd = done.seconds.iter().find(|(_, s)| !(s.is_finite() && **s >= 0.0));
        match odd {
            Some((step, s)) => {
                Err(Error::input(path, format!("seconds of `{step}` are {s}, wanted 0 or more")))
            }
            None => Ok(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_there_after_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        ledger.took("table-1", 2.5).unwrap();
        let again = Ledger::open(dir.path()).unwrap();
        assert_eq!((again.seconds("table-1"), again.seconds("other")), (2.5, 0.0));
        let path = dir.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("2.5", "-2.5")).unwrap();
        let error = Ledger::open(dir.path()).unwrap_err();
        assert!(
            error.to_string().contains("seconds of `table-1` are -2.5") && error.exit_code() == 2,
            "{error}"
        );
    }
}
