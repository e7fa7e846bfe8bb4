//! `gtn-run classify`: what is on these pictures?

use crate::cli::ClassifyArgs;
use crate::prepare::{prepare, tell_backend, within};
use gtn_core::progress::Progress;
use gtn_core::table::Table;
use gtn_core::{Error, Result, artifact, exit, format};
use gtn_run::classify::Guess;
use gtn_run::image::Image;
use gtn_run::subject::Subject;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Endings of the files that are taken from a folder (any case).
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Answers for every readable picture; one that is not is named, and makes the exit status 2.
pub fn run(args: &ClassifyArgs) -> Result<()> {
    within("--top", args.top, 1_000_000)?;
    let json_path = args.json.as_deref();
    let to_stdout = json_path == Some(Path::new("-"));
    json_path.filter(|_| !to_stdout).map_or(Ok(()), artifact::check_writable)?;
    let mut files = Vec::new();
    args.images.iter().try_for_each(|path| find(path, &mut files))?;
    let options = prepare(&args.backend)?.options;
    let mut subject = Subject::open(&args.model, &options)?;
    tell_backend(&subject);
    let (answers, errors) = answer(&mut subject, &files, args.top)?;
    if let Some(path) = json_path {
        let images: Vec<_> = answers.iter().map(|(file, top)| json!({"file": file, "top": top})).collect();
        let text = artifact::to_json(&json!({"model": subject.model, "images": images}))?;
        if to_stdout {
            exit::print(&text);
        } else {
            artifact::write_atomic(path, text.as_bytes())?;
        }
    }
    if !to_stdout && !answers.is_empty() {
        exit::print(&table(&answers).render());
    }
    let mut errors = errors.into_iter();
    let Some(last) = errors.next_back() else { return Ok(()) };
    errors.for_each(|e| eprintln!("gtn-run: error: {e}"));
    Err(last)
}

type Answer = (PathBuf, Vec<Guess>);

/// Reads and classifies, a batch at a time; the errors of the files that could not be read.
fn answer(subject: &mut Subject, files: &[PathBuf], top: usize) -> Result<(Vec<Answer>, Vec<Error>)> {
    let (mut answers, mut errors) = (Vec::new(), Vec::new());
    let mut bar = Progress::new("classify", files.len() as u64);
    for batch in files.chunks(subject.backend.info().batch) {
        let (mut names, mut images) = (Vec::new(), Vec::new());
        for file in batch {
            match Image::open(file) {
                Ok(image) => {
                    names.push(file.clone());
                    images.push(image);
                }
                Err(e) => errors.push(e),
            }
        }
        for (name, mut guesses) in names.into_iter().zip(subject.classify(&images)?) {
            guesses.truncate(top);
            answers.push((name, guesses));
        }
        bar.tick((answers.len() + errors.len()) as u64, "pictures");
    }
    Ok((answers, errors))
}

fn table(answers: &[Answer]) -> Table {
    let mut table = Table::new(["picture", "class", "probability", "then"]);
    for (file, guesses) in answers {
        let Some((best, others)) = guesses.split_first() else { continue };
        let then: Vec<String> =
            others.iter().map(|g| format!("{} {}", g.label, format::percent(g.probability))).collect();
        table.row([
            file.display().to_string(),
            best.label.clone(),
            format::percent(best.probability),
            then.join(", "),
        ]);
    }
    table
}

/// The file itself, or the pictures in a folder and the folders below it, in the order of their names.
/// Links to folders are not followed.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let before = files.len();
    walk(path, files)?;
    if files.len() == before {
        return Err(Error::input(path, "holds no .png, .jpg or .jpeg files"));
    }
    Ok(())
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = |e| Error::io(dir, "read", e);
    let mut entries =
        std::fs::read_dir(dir).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().map_err(unreadable)?.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|e| ENDINGS.iter().any(|known| e.eq_ignore_ascii_case(known)))
        {
            files.push(path);
        }
    }
    Ok(())
}
