//! Every precision that was asked for, written and judged; the one that ships, and why the others lost.

use crate::calibration::Calibration;
use crate::candidate::{Candidate, Source};
use crate::choose;
use crate::cli::{ExportArgs, Precision};
use crate::int8::Judged;
use gtn_core::data::DataSource;
use gtn_core::latency::{Basis, Prediction, Predictor};
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
    /// Median inference measured on this machine, where that decides.
    pub p50_ms: Option<f64>,
    /// Predicted for the target, where that decides.
    pub predicted: Option<Prediction>,
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
        if candidates.is_empty() {
            return Err(Error::Failed("no precision of the profile keeps its accuracy".into()));
        }
        let device = self.source.device;
        let several = candidates.len() > 1;
        let measured = if several && device.name == "host" { Some(self.measure(&candidates)?) } else { None };
        let predicted =
            if several && device.name != "host" { self.predict(&candidates)? } else { Predicted::default() };
        let times = measured.clone().or_else(|| predicted.ms());
        let winner = times.as_deref().map_or(Ok(0), choose::fastest)?;
        let list = || {
            let all = candidates.iter().zip(times.iter().flatten());
            let time = |ms: f64| if ms.is_finite() { format::ms(ms) } else { "not known".into() };
            all.map(|(c, ms)| format!("{} {}", c.precision, time(*ms))).collect::<Vec<_>>().join(", ")
        };
        let why = match (several, &measured, predicted.basis()) {
            (false, ..) if self.args.precision != Precision::Auto => "asked for".to_owned(),
            (false, ..) => "the only precision that keeps its accuracy".to_owned(),
            (_, Some(_), _) => format!("fastest on this machine ({})", list()),
            (_, None, Some(basis)) => format!("fastest, {basis} ({})", list()),
            (_, None, None) => format!(
                "the first of {}'s profile that keeps its accuracy: there are no figures to predict latency from",
                device.name
            ),
        };
        let considered = candidates.iter().enumerate().map(|(i, c)| Considered {
            precision: c.precision.into(),
            bytes: Some(c.model.len()),
            judged: c.judged,
            p50_ms: measured.as_ref().and_then(|p| p.get(i).copied()),
            predicted: predicted.0.get(i).copied().flatten(),
            lost: (i != winner)
                .then(|| if times.is_some() { "slower".into() } else { "later in the profile".into() }),
        });
        let considered = considered.collect();
        Ok(Choice { candidate: candidates.swap_remove(winner), why, considered })
    }

    /// From the table where one is given, else from the profile; a precision that it has no figures for
    /// has no prediction.
    fn predict(&self, candidates: &[Candidate]) -> Result<Predicted> {
        let (device, table) = (self.source.device, self.args.table.as_deref());
        if table.is_none() && device.performance.is_none() {
            return Ok(Predicted::default());
        }
        let precisions: Vec<&str> = candidates.iter().map(|c| c.precision).collect();
        let known = Predictor::known(device, table, &precisions)?.predictors;
        let of = |precision: &str| known.iter().find(|(p, _)| *p == precision);
        let predict =
            |precision: &&str| of(precision).map(|(_, p)| p.predict(&self.student.graph)).transpose();
        precisions.iter().map(predict).collect::<Result<_>>().map(Predicted)
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

/// By candidate.
#[derive(Default)]
struct Predicted(Vec<Option<Prediction>>);

impl Predicted {
    /// Milliseconds; one without figures is taken to be slower than all others. None where nothing is known.
    fn ms(&self) -> Option<Vec<f64>> {
        self.basis()?;
        Some(self.0.iter().map(|p| p.map_or(f64::INFINITY, |p| p.ms)).collect())
    }

    fn basis(&self) -> Option<Basis> {
        self.0.iter().flatten().map(|p| p.basis).next()
    }
}

fn considered_lost(precision: &str, why: String) -> Considered {
    Considered {
        precision: precision.into(),
        bytes: None,
        judged: None,
        p50_ms: None,
        predicted: None,
        lost: Some(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_without_figures_is_the_slowest() {
        let known = Prediction { ms: 2.0, band: [1.0, 4.0], basis: Basis::Roofline };
        let predicted = Predicted(vec![None, Some(known)]);
        assert_eq!(predicted.ms(), Some(vec![f64::INFINITY, 2.0]));
        assert_eq!(predicted.basis(), Some(Basis::Roofline));
        assert_eq!(Predicted(vec![None, None]).ms(), None);
    }
}
