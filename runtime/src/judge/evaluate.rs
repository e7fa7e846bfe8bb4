//! Accuracy on the bundle's evaluation images or on a whole data set's test images.

use crate::judge::prove::Steps;
use crate::subject::Subject;
use gtn_core::data::{DataSource, Part, only_class};
use gtn_core::io::npy;
use gtn_core::io::tensors::Data;
use gtn_core::measure::parity::{Tolerance, compare};
use gtn_core::measure::report::{Accuracy, ParityCheck};
use gtn_core::measure::warning::Warning;
use gtn_core::program::progress::Watch;
use gtn_core::{Error, Result};
use std::path::Path;

/// This is what an evaluation gives.
pub struct Evaluation {
    /// Top-1, top-5, by class.
    pub accuracy: Accuracy,
    /// `[n, classes]`, in the images' order.
    pub logits: Vec<f32>,
    /// Against logits from elsewhere, if given.
    pub parity: Option<ParityCheck>,
    /// What its reader must know.
    pub warnings: Vec<Warning>,
}

/// The split's name where the images are not those that the network was trained beside.
const OTHER_DATA: &str = "other data";

/// Runs all images of `--data` (without it, of the bundle's own set), and compares with `--against`, an .npy of
/// logits `[n, classes]`.
///
/// Fails where the data have another size, other classes or (unless that is said to be meant) other content
/// than the bundle's network was trained with.
pub fn evaluate(subject: &mut Subject, steps: &Steps, watch: Watch) -> Result<Evaluation> {
    let names = subject.labels()?.to_vec();
    let (data, against) = (steps.data.as_deref(), steps.against.as_deref());
    let mut warnings = Vec::new();
    let (pixels, labels) = match (data, &subject.bundle) {
        (Some(data), bundle) => {
            let source = data.parse::<DataSource>()?.tolerating(steps.max_bad)?;
            source.prepare(watch)?;
            let test = source.test()?;
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
            let recorded = bundle.as_ref().and_then(|b| b.manifest.parents.data_sha256.as_ref());
            let remedy = "give those, or --other-data if these are meant";
            match recorded.map_or(Ok(()), |r| r.check(Part::Test, &test, (data, &subject.model.name, remedy)))
            {
                Err(_) if steps.other_data => warnings.push(Warning::OtherData { data: data.to_owned() }),
                judged => judged?,
            }
            (test.all_pixels()?.into_owned(), test.labels)
        }
        (None, Some(bundle)) => bundle.eval_set()?,
        (None, None) => {
            return Err(Error::input(&subject.path, "is not a bundle: give --data"));
        }
    };
    let expected = against.map(|path| read_logits(path, labels.len(), names.len())).transpose()?;
    let logits = subject.logits(&pixels, |done| watch("eval", done as u64, labels.len() as u64))?;
    let parity = expected.map(|expected| ParityCheck {
        against: against.map(|p| p.display().to_string()).unwrap_or_default(),
        parity: compare(&expected, &logits, names.len(), Tolerance::FP32),
    });
    let split = if warnings.is_empty() { "test" } else { OTHER_DATA };
    warnings.extend(one_class(&labels, &names));
    Ok(Evaluation { accuracy: Accuracy::of(split, &logits, &labels, &names)?, logits, parity, warnings })
}

/// Where every image is of one class, a network that always says it is always right.
fn one_class(labels: &[u16], names: &[String]) -> Option<Warning> {
    let class = only_class(labels)?;
    let label = names.get(usize::from(class)).cloned().unwrap_or_else(|| class.to_string());
    Some(Warning::OneClass { label, n: labels.len() })
}

fn read_logits(path: &Path, n: usize, classes: usize) -> Result<Vec<f32>> {
    let tensor = npy::read(path)?;
    match tensor.data {
        Data::F32(values) if tensor.shape == [n, classes] => Ok(values),
        _ => Err(Error::input(path, format!("holds {:?}, wanted f32 logits [{n}, {classes}]", tensor.shape))),
    }
}
