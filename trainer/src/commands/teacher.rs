//! The teacher that a command line names: a trained folder, or any ONNX classifier.

use crate::cli::TeacherSource;
use crate::commands::plan::OWN_DATA;
use crate::engine::loader::Source;
use crate::engine::net::Net;
use crate::method::answers::{Answers, Key, SCHEMA};
use crate::method::teacher::{Answering, Asked, Teacher};
use gtn_core::artifacts::model_dir::ModelDir;
use gtn_core::data::augment::Augment;
use gtn_core::data::preprocess::Preprocess;
use gtn_core::data::split::SplitRule;
use gtn_core::data::{DataSha256, Dataset, short};
use gtn_core::ir::fold;
use gtn_core::{Error, Result};
use std::path::Path;
use tch::Device;

/// A teacher, opened and checked against the data.
pub enum Opened {
    /// One of ours.
    Folder(Box<ModelDir>),
    /// An ONNX model, which gtn-run answers for.
    Onnx(Box<Asked>),
}

impl Opened {
    /// Errors: it is not there, is broken, or is of other data. `threads` and `batch` are the run's.
    pub fn open(
        source: &TeacherSource,
        path: &Path,
        (data, sha256): (&Dataset, &DataSha256),
        own: &Preprocess,
        (threads, batch): (usize, usize),
    ) -> Result<Self> {
        if path.is_dir() {
            source.only_onnx()?;
            let dir = ModelDir::read(path)?;
            check_folder(&dir, own, (data, sha256))?;
            return Ok(Self::Folder(Box::new(dir)));
        }
        let how = Answering {
            program: source.gtn_run.clone(),
            preprocess: source.teacher_preprocess.clone(),
            labels: source.teacher_labels.clone(),
            threads,
            batch: batch.min(256),
        };
        let asked = Asked::start(path, &how, &data.label_names)?;
        let p = asked.preprocess();
        let fits = data.train.photos().is_some() || (p.height, p.width) == (own.height, own.width);
        if p.channels != own.channels || !fits {
            return Err(Error::input(
                path,
                format!(
                    "takes {}x{}x{}, `{}` is {}",
                    p.channels, p.height, p.width, data.name, data.train.input
                ),
            ));
        }
        Ok(Self::Onnx(Box::new(asked)))
    }

    /// SHA-256 of its weights, or of the model file.
    pub fn sha256(&self) -> &str {
        match self {
            Self::Folder(dir) => &dir.weights_sha256,
            Self::Onnx(asked) => &asked.hello.sha256,
        }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Folder(dir) => &dir.file.arch.name,
            Self::Onnx(asked) => &asked.hello.name,
        }
    }

    /// What it makes of pixels.
    pub fn preprocess(&self) -> &Preprocess {
        match self {
            Self::Folder(dir) => &dir.file.preprocess,
            Self::Onnx(asked) => asked.preprocess(),
        }
    }

    /// Ready to be asked; what it answers is kept in `kept`.
    pub fn into_teacher(self, kept: Option<Answers>, device: Device) -> Result<Teacher> {
        let teacher = match self {
            Self::Folder(dir) => {
                let (graph, weights) = fold::fold_batch_norm(&dir.graph, &dir.weights)?;
                Teacher::net(Net::from_weights(graph, &weights, device, false)?)
            }
            Self::Onnx(asked) => Teacher::process(*asked),
        };
        Ok(teacher.keeping(kept))
    }

    /// Opens the file of its answers about what `source` feeds.
    pub fn answers(
        &self,
        path: &Path,
        source: &Source,
        split: SplitRule,
        data_sha256: &DataSha256,
    ) -> Result<Answers> {
        let feed = &source.feed;
        let key = Key {
            schema: SCHEMA,
            teacher_sha256: self.sha256().to_owned(),
            data_sha256: data_sha256.train.clone(),
            split,
            augment: Augment { seed: Some(feed.augment.seed.unwrap_or(feed.seed)), ..feed.augment },
            preprocess: self.preprocess().clone(),
            images: feed.set.len(),
            classes: feed.set.classes,
        };
        Answers::open(path, &key)
    }
}

fn check_folder(
    teacher: &ModelDir,
    preprocess: &Preprocess,
    (data, sha256): (&Dataset, &DataSha256),
) -> Result<()> {
    let file = &teacher.file;
    // A teacher may see a photograph at another size, and normalised otherwise; a small image is as it is.
    let same_eyes = data.train.photos().is_some() || file.preprocess.same_input(preprocess);
    if file.arch.classes != data.train.classes || !same_eyes {
        return Err(Error::usage(format!(
            "teacher {} was trained on other data: {} with {} classes and mean {:?}; {} is {} with {} classes and \
             mean {:?}",
            file.arch.name,
            file.arch.input,
            file.arch.classes,
            file.preprocess.mean,
            data.name,
            data.train.input,
            data.train.classes,
            preprocess.mean
        )));
    }
    match &teacher.train.data_sha256 {
        // Its test images were never seen.
        Some(recorded) if recorded.train != sha256.train => Err(Error::usage(format!(
            "teacher {} was trained on other images or labels than `{}` holds (SHA-256 {}, now {}): {OWN_DATA}",
            file.arch.name,
            data.name,
            short(&recorded.train),
            short(&sha256.train)
        ))),
        _ => Ok(()),
    }
}
