//! `gtn.report/1`: what gtn-run measured of one model on one machine.

use crate::host::Host;
use crate::measure::op_profile::OpProfile;
use crate::measure::parity::{Parity, check_finite, correct_in_top};
use crate::measure::samples::Latency;
use crate::measure::shares::share_ci95;
use crate::measure::warning::Warning;
use crate::{Error, Precision, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// This is the schema of report.json.
pub const SCHEMA: &str = "gtn.report/1";

/// This is what report.json holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// `gtn-run 0.1.0`.
    pub program: String,
    /// Seconds since 1970, UTC.
    pub unix_time: u64,
    /// What was run.
    pub model: Model,
    /// On which machine.
    pub host: Host,
    /// By what.
    pub backend: BackendInfo,
    /// Golden answers against this backend's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parity: Vec<ParityCheck>,
    /// On labelled images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accuracy: Vec<Accuracy>,
    /// Of one input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Peak resident memory of the process that measured all this, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss_bytes: Option<u64>,
    /// Where the time goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<OpProfile>,
    /// Memory of the model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// What a reader must know before trusting the numbers.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// This says what was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Bundle's name, or file name.
    pub name: String,
    /// SHA-256 of model.onnx, with the data inside that it keeps in other files.
    pub sha256: String,
    /// Bytes of model.onnx, with those data.
    pub bytes: u64,
    /// Device profile the bundle was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What it computes in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// Architecture's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Multiply-accumulates per image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macs: Option<u64>,
    /// Trained parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<u64>,
}

/// This is the name in [`BackendInfo::options`] of how int8 is computed on a processor where sums of the
/// model's products would saturate: `exact`, or `saturating`.
pub const INT8_OPTION: &str = "int8";

/// This says what computed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendInfo {
    /// `ort`, ...
    pub name: String,
    /// Of the library behind it.
    pub version: String,
    /// Where the library was found.
    pub library: String,
    /// Devices or providers it computes on.
    pub providers: Vec<String>,
    /// Compute threads.
    pub threads: usize,
    /// Images per inference, as the loaded model has them.
    pub batch: usize,
    /// Why this backend.
    pub why: String,
    /// Settings other than the default, by name (`spin`: `off`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// How many nodes each provider ran, where asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, usize>,
}

/// This is one comparison of logits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParityCheck {
    /// What the answers were compared with.
    pub against: String,
    /// What was found.
    pub parity: Parity,
}

/// This is the top-1 and top-5 accuracy on one set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// `test`, ...
    pub split: String,
    /// Images.
    pub n: usize,
    /// Share, 0 to 1.
    pub top1: f64,
    /// 95 % confidence interval (Clopper and Pearson).
    pub top1_ci95: [f64; 2],
    /// Share, 0 to 1.
    pub top5: f64,
    /// 95 % confidence interval (Clopper and Pearson).
    pub top5_ci95: [f64; 2],
    /// In label order.
    pub per_class: Vec<ClassAccuracy>,
}

/// This is one class of an accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassAccuracy {
    /// The class's name.
    pub label: String,
    /// Images of it.
    pub n: usize,
    /// Of these, rightly classified.
    pub correct: usize,
}

/// This is the resident memory of a process that did nothing but load the model and run it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Before the backend's library was loaded.
    pub start: u64,
    /// With the model loaded.
    pub loaded: u64,
    /// After the warm-up.
    pub warm: u64,
    /// After all inferences.
    pub end: u64,
    /// The highest at any moment.
    pub peak: u64,
    /// Inferences of the warm-up, and after it.
    pub runs: [usize; 2],
}

impl Accuracy {
    /// Scores `[n, classes]` logits. It is an error if there are not as many, or one is no finite number.
    pub fn of(split: &str, logits: &[f32], labels: &[u16], names: &[String]) -> Result<Self> {
        let (n, classes) = (labels.len(), names.len().max(1));
        if logits.len() != n * classes {
            let what = format!("{split}: {} logits for {n} images of {classes} classes", logits.len());
            return Err(Error::Failed(what));
        }
        check_finite(split, logits, classes, 0)?;
        let hits = |k: usize| correct_in_top(logits, labels, classes, k);
        let (one, five) = (hits(1), hits(5.min(classes)));
        let mut per_class: Vec<ClassAccuracy> =
            names.iter().map(|label| ClassAccuracy { label: label.clone(), n: 0, correct: 0 }).collect();
        for (row, label) in logits.chunks(classes).zip(labels) {
            if let Some(class) = per_class.get_mut(usize::from(*label)) {
                class.n += 1;
                class.correct += correct_in_top(row, &[*label], classes, 1);
            }
        }
        Ok(Self {
            split: split.into(),
            n,
            top1: one as f64 / n.max(1) as f64,
            top1_ci95: share_ci95(one, n),
            top5: five as f64 / n.max(1) as f64,
            top5_ci95: share_ci95(five, n),
            per_class,
        })
    }
}

impl BackendInfo {
    /// Returns what a reader must know before trusting its answers and times.
    pub fn warnings(&self) -> Vec<Warning> {
        let int8 = self.options.get(INT8_OPTION);
        int8.map(|how| Warning::Saturates { exact: how == "exact" }).into_iter().collect()
    }
}

impl Report {
    /// Returns whether every parity check passed.
    pub fn parity_passes(&self) -> bool {
        self.parity.iter().all(|p| p.parity.pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_by_hand() {
        let names: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
        let a = Accuracy::of("test", &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0], &[0, 1, 1], &names).unwrap();
        assert!((a.top1 - 2.0 / 3.0).abs() < 1e-12 && a.top5 == 1.0);
        assert_eq!((a.per_class[0].correct, a.per_class[1].correct, a.per_class[1].n), (1, 1, 2));
        assert!(a.top1_ci95[0] < a.top1 && a.top1 < a.top1_ci95[1]);
    }

    #[test]
    fn a_broken_network_has_no_accuracy() {
        let names: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
        let error = |logits: &[f32]| Accuracy::of("test", logits, &[0, 1], &names).unwrap_err().to_string();
        assert!(error(&[1.0, 0.0, f32::NAN, 1.0]).contains("class 0 for image 1 is NaN"));
        assert!(error(&[f32::NAN; 4]).contains("image 0 is NaN"));
        assert!(error(&[1.0, 0.0]).contains("2 logits for 2 images of 2 classes"));
    }
}
