//! What came back from another machine, held to what it must be, named as here, and only then written and told.
//!
//! A device is trusted to measure; nothing else of it is. Its answer is bounded, parsed as the schema that the command
//! writes, and tables and pages are made here from that.

use crate::cli::OutputArgs;
use crate::commands::{classify, compare as compare_command, soak as soak_command};
use crate::output;
use gtn_core::io::artifact;
use gtn_core::io::npy;
use gtn_core::latency::LatencyTable;
use gtn_core::measure::compare::{self, Comparison};
use gtn_core::measure::report::{self, Report};
use gtn_core::measure::soak::Soak;
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use gtn_run::remote::{Address, Came, Line, Made, Output, Telling};
use gtn_run::reports;
use gtn_run::settings::{self, TunedSettings};
use serde::de::{DeserializeOwned, IgnoredAny};
use std::path::Path;

/// Writes and prints what came, and returns the exit status of the run. If the run succeeded, what cannot be
/// written is an error.
pub fn tell(line: &Line, wanted: &OutputArgs, mut came: Came, from: &Address) -> Result<u8> {
    let files = line.outputs.iter().enumerate().map(|(i, output)| match came.files.remove(&(i + 1)) {
        Some(bytes) => Checked { line, wanted, from, output }.written(bytes),
        None if came.code == 0 => {
            let what = output.here.as_ref().map_or("an answer".into(), |here| here.display().to_string());
            Err(Error::Failed(format!("{from}: did not write {what}")))
        }
        None => Ok(()), // the program there has said why
    });
    let files = files.fold(Ok(()), exit::work_first);
    let words = came.files.remove(&0).map_or(Ok(()), |bytes| printed(line, &bytes, from));
    match exit::work_first(files, words) {
        Err(error) if came.code == 0 => Err(error),
        told => {
            told.err().iter().for_each(exit::complain); // the work's own status stays
            Ok(came.code)
        }
    }
}

/// What the command printed there.
fn printed(line: &Line, bytes: &[u8], from: &Address) -> Result<()> {
    let words = String::from_utf8_lossy(bytes);
    if line.telling != Telling::Json || words.is_empty() {
        return exit::print(&line.names.in_words(&words));
    }
    serde_json::from_str::<IgnoredAny>(&words).map_err(|e| odd(from, "no JSON", &e))?;
    exit::print(&line.names.in_json(&words))
}

/// What came is not what the command writes: the device's fault, or another version's.
fn odd(from: &Address, wanted: &str, why: &dyn std::fmt::Display) -> Error {
    Error::Failed(format!("{from}: answers with {wanted}: {why}"))
}

/// One file that came.
struct Checked<'a> {
    line: &'a Line,
    wanted: &'a OutputArgs,
    from: &'a Address,
    output: &'a Output,
}

impl Checked<'_> {
    fn written(&self, bytes: Vec<u8>) -> Result<()> {
        match (self.output.made, &self.output.here) {
            (Made::Logits, Some(here)) => self.logits(&bytes, here),
            (Made::Table, Some(here)) => self.table(bytes, here),
            (Made::Settings, Some(here)) => {
                let text = self.text(bytes)?;
                self.json::<TunedSettings>(&text, settings::SCHEMA)?;
                artifact::write_atomic(here, self.line.names.in_json(&text).as_bytes())
            }
            _ => self.answer(bytes),
        }
    }

    fn text(&self, bytes: Vec<u8>) -> Result<String> {
        String::from_utf8(bytes).map_err(|e| odd(self.from, "what is no text", &e))
    }

    /// As the type; nothing is built of what is not.
    fn json<T: DeserializeOwned>(&self, text: &str, schema: &str) -> Result<T> {
        artifact::parse_schema(text, Path::new(&self.output.there), schema)
            .map_err(|e| odd(self.from, &format!("no {schema}"), &e))
    }

    fn logits(&self, bytes: &[u8], here: &Path) -> Result<()> {
        self.by_reader(bytes, here, "no .npy", |path| npy::read(path).map(drop))?;
        artifact::write_atomic(here, bytes)
    }

    fn table(&self, bytes: Vec<u8>, here: &Path) -> Result<()> {
        let text = self.line.names.in_json(&self.text(bytes)?);
        self.by_reader(text.as_bytes(), here, "no gtn.table/1", |path| LatencyTable::read(path).map(drop))?;
        artifact::write_atomic(here, text.as_bytes())
    }

    /// By what reads such a file when it is used.
    fn by_reader(
        &self,
        bytes: &[u8],
        here: &Path,
        wanted: &str,
        read: impl Fn(&Path) -> Result<()>,
    ) -> Result<()> {
        let temp =
            tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), "create a folder in", e))?;
        let path = temp.path().join(here.file_name().unwrap_or("came".as_ref()));
        artifact::write_atomic(&path, bytes)?;
        read(&path).map_err(|e| odd(self.from, wanted, &e))
    }

    /// Told from what was parsed, after its text has been found to be of the schema.
    fn answer(&self, bytes: Vec<u8>) -> Result<()> {
        let (text, output) = (self.text(bytes)?, self.wanted);
        match self.line.telling {
            Telling::Reports => {
                self.reports(&text)?;
                output::deliver(&self.reports(&self.line.names.in_json(&text))?, output)
            }
            Telling::Comparison => {
                self.json::<Comparison>(&text, compare::SCHEMA)?;
                let comparison = self.json(&self.line.names.in_json(&text), compare::SCHEMA)?;
                compare_command::deliver(&comparison, output)
            }
            Telling::Soak => {
                let parse = |text: &str| {
                    Soak::parse(text, Path::new(&self.output.there))
                        .map_err(|e| odd(self.from, &format!("no {}", gtn_core::measure::soak::SCHEMA), &e))
                };
                parse(&text)?;
                soak_command::deliver(&parse(&self.line.names.in_json(&text))?, output)
            }
            Telling::Pictures => {
                let parse = |text: &str| {
                    serde_json::from_str::<classify::Answers>(text)
                        .map_err(|e| odd(self.from, "no classes of pictures", &e))
                };
                parse(&text)?;
                parse(&self.line.names.in_json(&text))?.deliver(output.json.as_deref())
            }
            Telling::Words | Telling::Json => Ok(()), // they have no such file
        }
    }

    fn reports(&self, text: &str) -> Result<Vec<Report>> {
        reports::parse(text, Path::new(&self.output.there))
            .map_err(|e| odd(self.from, &format!("no {}", report::SCHEMA), &e))
    }
}
