//! Every precision that was asked for, written and judged; the one that ships, and why the others lost.

use crate::calibration::Calibration;
use crate::candidate::{Candidate, Source};
use crate::choose;
use crate::cli::{ExportArgs, Precision};
use crate::int8::Judged;
use gtn_core::data::DataSource;
use gtn_core::model_dir::ModelDir;
use gtn_core::tensors::Tensor;
use gtn_core::{Error, Result, format};
use gtn_run::backend::Options;
use serde::Serialize;

/// What there is to decide on.
pub struct Contest<'a> {
    /// Command line.
    pub args: &'a ExportArgs,
    /// The trained network.
    pub student: &'a ModelDir,
    /// What it was trained on.
    pub data: &'a DataSource,
    /// What candidates are made from.
    pub source: &'a Source<'a>,
}

/// The outcome.
pub struct Choice {
    /// What ships.
    pub candidate: Candidate,
    /// Why.
    pub why: String,
    /// All, for the report.
    pub considered: Vec<Considered>,
}

/// One precision in the report.
#[derive(Debug, Clone, Serialize)]
pub struct Considered {
    /// `fp32`, ...
    pub precision: String,
    /// Size of its file.
    pub bytes: Option<usize>,
    /// On val.
    pub judged: Option<Judged>,
    /// Measured on this machine, where that decides.
    pub p50_ms: Option<f64>,
    /// None for the one that ships.
    pub lost: Option<String>,
}

impl Contest<'_> {
    /// Makes all `precisions` and picks one.
    pub fn decide(&self, fp32: Candidate, precisions: &[&str]) -> Result<Choice> {
        let asked = self.args.precision;
        let mut failed = Vec::new();
        let mut candidates = Vec::new();
        if precisions.iter().any(|p| *p != "fp32") {
            let source = match &self.args.int8.calib {
                Some(data) => data.parse::<DataSource>()?,
                None => self.data.clone(),
            };
            let ort_lib = self.args.ort_lib.clone();
            let images = self.args.int8.calib_images;
            let calibration = Calibration::load(&source, self.student, images, ort_lib)?;
            let judged = calibration.feed(&calibration.judged_on).logits(&fp32.model)?;
            calibration.check_labels(&judged, &source, self.student)?;
            for &precision in precisions.iter().filter(|p| **p != "fp32") {
                let made = match precision {
                    "int8" => self.source.int8(&calibration, &judged),
                    _ => self.source.fp16(&calibration, &judged),
                };
                match made {
                    Ok(candidate) => candidates.push(candidate),
                    // Alone it is an error; among others it has lost.
                    Err(Error::Failed(why)) if asked == Precision::Auto => {
                        failed.push(considered_lost(precision, why));
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        if let Some(place) = precisions.iter().position(|p| *p == "fp32") {
            let before = precisions.get(..place).unwrap_or_default();
            let at = candidates.iter().take_while(|c| before.contains(&c.precision)).count();
            candidates.insert(at, fp32);
        }
        let mut choice = self.pick(candidates)?;
        choice.considered.extend(failed);
        Ok(choice)
    }

    fn pick(&self, mut candidates: Vec<Candidate>) -> Result<Choice> {
        let measured = candidates.len() > 1 && self.source.device.name == "host";
        let p50 = if measured { Some(self.measure(&candidates)?) } else { None };
        let winner = p50.as_deref().map_or(Ok(0), choose::fastest)?;
        if candidates.is_empty() {
            return Err(Error::Failed("no precision of the profile keeps its accuracy".into()));
        }
        let names: Vec<&str> = candidates.iter().map(|c| c.precision).collect();
        let why = match (&p50, names.as_slice()) {
            (Some(p50), _) => {
                let list = names.iter().zip(p50).map(|(n, ms)| format!("{n} {}", format::ms(*ms)));
                format!("fastest on this machine ({})", list.collect::<Vec<_>>().join(", "))
            }
            (None, [_]) if self.args.precision != Precision::Auto => "asked for".to_owned(),
            (None, [_]) => "the only precision that keeps its accuracy".to_owned(),
            (None, _) => format!(
                "the first of {}'s profile that keeps its accuracy; not measured there",
                self.source.device.name
            ),
        };
        let considered = candidates.iter().enumerate().map(|(i, c)| Considered {
            precision: c.precision.into(),
            bytes: Some(c.model.len()),
            judged: c.judged,
            p50_ms: p50.as_ref().and_then(|p| p.get(i).copied()),
            lost: (i != winner)
                .then(|| if measured { "slower".into() } else { "later in the profile".into() }),
        });
        let considered = considered.collect();
        Ok(Choice { candidate: candidates.swap_remove(winner), why, considered })
    }

    fn measure(&self, candidates: &[Candidate]) -> Result<Vec<f64>> {
        let p = &self.student.file.preprocess;
        let image = self.student.golden.images.get(..p.image_len()).unwrap_or_default();
        let input = Tensor::f32(&[1, p.channels, p.height, p.width], p.normalise(image)?);
        let threads = self.source.device.cpu.threads.value;
        let options = Options {
            threads: Some(threads),
            batch: 1,
            ort_lib: self.args.ort_lib.clone(),
            ..Options::default()
        };
        choose::measure(candidates, &input, &options)
    }
}

fn considered_lost(precision: &str, why: String) -> Considered {
    Considered { precision: precision.into(), bytes: None, judged: None, p50_ms: None, lost: Some(why) }
}
