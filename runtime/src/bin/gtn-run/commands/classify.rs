//! `gtn-run classify`: what is on these pictures?

use crate::cli::ClassifyArgs;
use crate::output::deliver_json;
use crate::prepare::{prepare, tell_backend, within};
use gtn_core::artifacts::bundle::Bundle;
use gtn_core::artifacts::samples::SamplePicture;
use gtn_core::image::{Image, is_picture};
use gtn_core::io::artifact;
use gtn_core::measure::report::Model;
use gtn_core::program::exit;
use gtn_core::program::progress::Progress;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};
use gtn_run::classify::{Guess, open_sample};
use gtn_run::subject::Subject;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Answers for every readable picture; one that is not is named, and makes the exit status 2.
pub fn run(args: &ClassifyArgs) -> Result<()> {
    within("--top", args.top, 1_000_000)?;
    let json_path = args.json.as_deref();
    let to_stdout = json_path == Some(Path::new("-"));
    json_path.filter(|_| !to_stdout).map_or(Ok(()), artifact::check_writable)?;
    let mut found = Pictures::default();
    args.images.iter().for_each(|path| found.add(path));
    if args.images.is_empty() && !Bundle::is_bundle(&args.model) {
        let what = format!("{}: a model alone has no samples: name pictures", format::path(&args.model));
        return Err(Error::usage(what));
    }
    let options = prepare(&args.backend)?.options;
    let mut subject = Subject::open(&args.model, &options)?;
    tell_backend(&subject);
    if let Some(bundle) = subject.bundle.as_ref().filter(|_| args.images.is_empty()) {
        found.add_samples(bundle)?;
    }
    let (images, errors) = answer(&mut subject, found, args.top)?;
    let told = Answers { model: subject.model.clone(), images }.deliver(json_path);
    exit::work_first(exit::all_told(errors), told)
}

/// A file's name as data: itself where it is text, else with the bytes shown that are none.
fn name(file: &Path) -> String {
    file.to_str().map_or_else(|| format::path(file), str::to_owned)
}

/// These are the answers for all pictures, as `--json` has them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    model: Model,
    images: Vec<Answer>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    file: String,
    top: Vec<Guess>,
    /// Of a bundle's sample: the class that the shipped model gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
}

impl Answers {
    /// Writes JSON, then the terminal's words. That one of them cannot be written does not keep the other back.
    pub fn deliver(&self, json: Option<&Path>) -> Result<()> {
        let only_json = json == Some(Path::new("-")) || self.images.is_empty();
        let json = json.map_or(Ok(()), |path| deliver_json(self, path));
        let words = if only_json { Ok(()) } else { exit::print(&table(&self.images).render()) };
        exit::work_first(json, words)
    }
}

/// Reads and classifies, a batch at a time; the errors of the files that could not be read, or that the
/// network has no answer for. A picture is let go once it has the network's size.
fn answer(subject: &mut Subject, found: Pictures, top: usize) -> Result<(Vec<Answer>, Vec<Error>)> {
    let Pictures { files, mut errors, samples } = found;
    subject.labels()?; // not once for each picture
    subject.preprocess()?;
    let mut answers = Vec::new();
    let mut bar = Progress::new("classify", files.len() as u64);
    for batch in files.chunks(subject.batch()?) {
        let (mut names, mut inputs) = (Vec::new(), Vec::new());
        for file in batch {
            let sample = samples.iter().find(|sample| sample.path == *file);
            let image = sample.map_or_else(|| Image::open(file), open_sample);
            match image.and_then(|image| subject.prepare(&image)) {
                Ok(input) => {
                    let label = sample.and_then(|s| subject.labels().ok()?.get(s.class).cloned());
                    names.push((file.clone(), label));
                    inputs.push(input);
                }
                Err(e) => errors.push(e),
            }
        }
        for ((file, expected), found) in names.into_iter().zip(subject.classify_each(&inputs)?) {
            match found {
                Ok(mut guesses) => {
                    guesses.truncate(top);
                    answers.push(Answer { file: name(&file), top: guesses, expected });
                }
                Err(e) => errors.push(Error::Failed(format!("{}: {e}", name(&file)))),
            }
        }
        bar.tick((answers.len() + errors.len()) as u64, "pictures");
    }
    Ok((answers, errors))
}

fn table(answers: &[Answer]) -> Table {
    let of_samples = answers.iter().any(|answer| answer.expected.is_some());
    let head: &[&str] = match of_samples {
        true => &["picture", "class", "probability", "expected", "then"],
        false => &["picture", "class", "probability", "then"],
    };
    let mut table = Table::new(head.iter().copied());
    for Answer { file, top, expected } in answers {
        let Some((best, others)) = top.split_first() else { continue };
        let then: Vec<String> =
            others.iter().map(|g| format!("{} {}", g.label, format::percent(g.probability))).collect();
        let mut row = vec![file.clone(), best.label.clone(), format::percent(best.probability)];
        row.extend(of_samples.then(|| expected.clone().unwrap_or_default()));
        row.push(then.join(", "));
        table.row(row);
    }
    table
}

/// What the command line names, and what of it could not be looked at.
#[derive(Default)]
struct Pictures {
    files: Vec<PathBuf>,
    errors: Vec<Error>,
    /// Those of `files` that are the bundle's own.
    samples: Vec<SamplePicture>,
}

impl Pictures {
    /// The bundle's own, where no others are named.
    fn add_samples(&mut self, bundle: &Bundle) -> Result<()> {
        if bundle.samples.is_empty() {
            let what = format!("{}: the bundle has no samples: name pictures", format::path(&bundle.dir));
            return Err(Error::usage(what));
        }
        exit::note(&format!(
            "no picture is named: these are the bundle's own {} samples",
            bundle.samples.len()
        ));
        self.files = bundle.samples.iter().map(|sample| sample.path.clone()).collect();
        self.samples = bundle.samples.clone();
        Ok(())
    }

    /// The file itself, or the pictures in a folder and the folders below it, in the order of their names.
    /// Links to folders are not followed.
    fn add(&mut self, path: &Path) {
        if !path.is_dir() {
            self.files.push(path.to_owned());
            return;
        }
        let before = self.files.len() + self.errors.len();
        self.walk(path);
        if self.files.len() + self.errors.len() == before {
            self.errors.push(Error::input(path, "holds no .png, .jpg or .jpeg files"));
        }
    }

    fn walk(&mut self, dir: &Path) {
        let entries = std::fs::read_dir(dir).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(e) => return self.errors.push(Error::io(dir, "read", e)),
        };
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for path in entries.into_iter().map(|e| e.path()) {
            let kind = path.symlink_metadata().map(|meta| meta.file_type());
            match kind {
                Ok(kind) if kind.is_dir() => self.walk(&path),
                Ok(_) if is_picture(&path) => self.files.push(path),
                Ok(_) => {}
                Err(e) => self.errors.push(Error::io(&path, "read", e)),
            }
        }
    }
}
