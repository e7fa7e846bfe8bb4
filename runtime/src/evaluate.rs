//! Accuracy on the bundle's evaluation images or on a whole data set's test images.

use crate::subject::Subject;
use gtn_core::data::DataSource;
use gtn_core::parity::{Tolerance, compare};
use gtn_core::progress::Progress;
use gtn_core::report::{Accuracy, ParityCheck};
use gtn_core::tensors::Data;
use gtn_core::{Error, Result, npy};
use std::path::Path;

/// What evaluation gives.
pub struct Evaluation {
    /// Top-1, top-5, by class.
    pub accuracy: Accuracy,
    /// `[n, classes]`, in the images' order.
    pub logits: Vec<f32>,
    /// Against logits from elsewhere, if given.
    pub parity: Option<ParityCheck>,
}

/// Runs all images; `data` as in `--data` (none: the bundle's own set), `against` an .npy of logits.
pub fn evaluate(subject: &mut Subject, data: Option<&str>, against: Option<&Path>) -> Result<Evaluation> {
    let names = subject.labels()?.to_vec();
    let (pixels, labels) = match (data, &subject.bundle) {
        (Some(data), _) => {
            let test = data.parse::<DataSource>()?.test()?;
            let p = subject.preprocess()?;
            let fits =
                (test.input.channels, test.input.height, test.input.width) == (p.channels, p.height, p.width);
            if !fits || test.classes != names.len() {
                return Err(Error::usage(format!(
                    "--data {data}: {} with {} classes, the model takes {}x{}x{} with {}",
                    test.input,
                    test.classes,
                    p.channels,
                    p.height,
                    p.width,
                    names.len()
                )));
            }
            (test.pixels, test.labels)
        }
        (None, Some(bundle)) => bundle.eval_set()?,
        (None, None) => {
            return Err(Error::usage(format!("{} is not a bundle: give --data", subject.model.name)));
        }
    };
    let expected = against.map(|path| read_logits(path, labels.len(), names.len())).transpose()?;
    let mut bar = Progress::new("eval", labels.len() as u64);
    let logits = subject.logits(&pixels, |done| bar.tick(done as u64, "images"))?;
    drop(bar);
    let parity = expected.map(|expected| ParityCheck {
        against: against.map(|p| p.display().to_string()).unwrap_or_default(),
        parity: compare(&expected, &logits, names.len(), Tolerance::FP32),
    });
    Ok(Evaluation { accuracy: Accuracy::of("test", &logits, &labels, &names), logits, parity })
}

fn read_logits(path: &Path, n: usize, classes: usize) -> Result<Vec<f32>> {
    let tensor = npy::read(path)?;
    match tensor.data {
        Data::F32(values) if tensor.shape == [n, classes] => Ok(values),
        _ => Err(Error::input(path, format!("holds {:?}, wanted f32 logits [{n}, {classes}]", tensor.shape))),
    }
}
