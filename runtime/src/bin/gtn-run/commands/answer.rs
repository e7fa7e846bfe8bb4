//! `gtn-run answer`: pictures in, logits out, until there are no more (see `gtn_core::artifacts::answers`).

use crate::cli::AnswerArgs;
use crate::prepare::{prepare, tell_backend};
use gtn_core::artifacts::answers::{Hello, SCHEMA};
use gtn_core::data::preprocess::Preprocess;
use gtn_core::io::artifact;
use gtn_core::{Error, Result};
use gtn_run::subject::Subject;
use std::io::{BufReader, BufWriter};

/// Loads the model, says what it is, and answers.
pub fn run(args: &AnswerArgs) -> Result<()> {
    let options = prepare(&args.backend)?.options;
    let mut subject = Subject::open(&args.model, &options)?;
    if let Some(path) = &args.preprocess {
        let preprocess: Preprocess = artifact::read_document(path)?;
        preprocess.validate().map_err(|e| Error::input(path, e.to_string()))?;
        subject.preprocess = Some(preprocess);
    }
    tell_backend(&subject);
    let preprocess = subject.preprocess()?.clone();
    // One picture of nothing tells the number of classes.
    let classes = subject.logits(&vec![0; preprocess.image_len()], |_| ())?.len();
    let hello = Hello {
        schema: SCHEMA.into(),
        name: subject.model.name.clone(),
        sha256: subject.model.sha256.clone(),
        batch: subject.batch()?,
        preprocess,
        classes,
        labels: subject.labels.clone(),
    };
    let (mut from, mut to) = (BufReader::new(std::io::stdin()), BufWriter::new(std::io::stdout()));
    hello.write(&mut to)?;
    while let Some(pixels) = hello.asked(&mut from)? {
        let logits = subject.logits(&pixels, |_| ())?;
        hello.tell(&mut to, &logits)?;
    }
    Ok(())
}
