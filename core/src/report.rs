//! `gtn.report/1`: what gtn-run measured of one model on one machine.

use crate::host::{Conditions, Host};
use crate::parity::{Parity, correct_in_top};
use crate::stats::{Summary, wilson95};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Schema of report.json.
pub const SCHEMA: &str = "gtn.report/1";

/// report.json.
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
    /// Peak resident memory of the process, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss_bytes: Option<u64>,
    /// What a reader must know before trusting the numbers.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Bundle's name, or file name.
    pub name: String,
    /// SHA-256 of model.onnx.
    pub sha256: String,
    /// Bytes of model.onnx.
    pub bytes: u64,
    /// Device profile the bundle was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `fp32`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
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

/// What computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Images per inference.
    pub batch: usize,
    /// Why this backend.
    pub why: String,
}

/// One comparison of logits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParityCheck {
    /// What the answers were compared with.
    pub against: String,
    /// What was found.
    pub parity: Parity,
}

/// Top-1 and top-5 on one set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// `test`, ...
    pub split: String,
    /// Images.
    pub n: usize,
    /// Share, 0 to 1.
    pub top1: f64,
    /// 95 % confidence interval (Wilson).
    pub top1_ci95: [f64; 2],
    /// Share, 0 to 1.
    pub top5: f64,
    /// 95 % confidence interval (Wilson).
    pub top5_ci95: [f64; 2],
    /// In label order.
    pub per_class: Vec<ClassAccuracy>,
}

/// One class of an accuracy.
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

/// Time of one inference, milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Images per inference.
    pub batch: usize,
    /// Loading and preparing the model.
    pub init_ms: f64,
    /// The first inference.
    pub first_ms: f64,
    /// Inferences before measuring began.
    pub warmup_runs: usize,
    /// Seconds that took.
    pub warmup_s: f64,
    /// Of `samples_ms`.
    pub summary: Summary,
    /// Every measured inference, in order.
    pub samples_ms: Vec<f64>,
    /// Before the first sample.
    pub before: Conditions,
    /// After the last.
    pub after: Conditions,
}

/// Something that disturbed a measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Warning {
    /// Other work kept the machine busy.
    Busy {
        /// Load average before measuring.
        load1: f64,
        /// Cores there are.
        cores: usize,
    },
    /// The tail is far from the median.
    Spread {
        /// p99 / p50.
        p99_over_p50: f64,
    },
    /// The second half ran at another speed than the first.
    Drift {
        /// Median of the second half over that of the first.
        ratio: f64,
    },
    /// The clock changed.
    Clock {
        /// MHz before.
        before: f64,
        /// MHz after.
        after: f64,
    },
    /// The firmware reports throttling or under-voltage.
    Throttled {
        /// Its flags.
        flags: u32,
    },
    /// Too few samples for a p99.
    FewSamples {
        /// How many.
        n: usize,
    },
    /// The bundle was made for another machine.
    OtherTarget {
        /// The bundle's target.
        target: String,
    },
    /// The accuracy interval is wide.
    FewImages {
        /// How many.
        n: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { load1, cores } => {
                write!(f, "the machine was busy: load {load1:.1} on {cores} cores before measuring")
            }
            Self::Spread { p99_over_p50 } => write!(f, "wide spread: p99 is {p99_over_p50:.1} times p50"),
            Self::Drift { ratio } => {
                write!(f, "drift: the second half's median is {ratio:.2} times the first half's")
            }
            Self::Clock { before, after } => {
                write!(f, "the clock changed from {before:.0} to {after:.0} MHz while measuring")
            }
            Self::Throttled { flags } => write!(f, "the firmware reports throttling (flags {flags:#x})"),
            Self::FewSamples { n } => write!(f, "{n} samples: p99 wants at least 100"),
            Self::OtherTarget { target } => {
                write!(f, "the bundle is made for `{target}`: latency here says little about it")
            }
            Self::FewImages { n } => write!(f, "{n} images: the accuracy interval is wide"),
        }
    }
}

impl Accuracy {
    /// Of `[n, classes]` logits.
    pub fn of(split: &str, logits: &[f32], labels: &[u16], names: &[String]) -> Self {
        let (n, classes) = (labels.len(), names.len().max(1));
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
        Self {
            split: split.into(),
            n,
            top1: one as f64 / n.max(1) as f64,
            top1_ci95: wilson95(one, n),
            top5: five as f64 / n.max(1) as f64,
            top5_ci95: wilson95(five, n),
            per_class,
        }
    }
}

impl Latency {
    /// What in these samples a reader must know.
    pub fn warnings(&self, cores: usize) -> Vec<Warning> {
        let mut found = Vec::new();
        if let Some(load1) = self.before.load1.filter(|&l| l > 0.7 * cores as f64) {
            found.push(Warning::Busy { load1, cores });
        }
        if self.summary.n < 100 {
            found.push(Warning::FewSamples { n: self.summary.n });
        }
        let p99_over_p50 = self.summary.p99 / self.summary.p50;
        if p99_over_p50 > 2.0 {
            found.push(Warning::Spread { p99_over_p50 });
        }
        let (first, second) = self.samples_ms.split_at(self.samples_ms.len() / 2);
        if let (Some(a), Some(b)) = (Summary::of(first), Summary::of(second)) {
            let ratio = b.p50 / a.p50;
            if self.summary.n >= 20 && !(0.9..=1.1).contains(&ratio) {
                found.push(Warning::Drift { ratio });
            }
        }
        if let (Some(before), Some(after)) = (self.before.mhz, self.after.mhz)
            && !(0.9..=1.1).contains(&(after / before))
        {
            found.push(Warning::Clock { before, after });
        }
        if let Some(flags) = self.after.throttled.filter(|&f| f & 0xf != 0) {
            found.push(Warning::Throttled { flags });
        }
        found
    }
}

impl Report {
    /// Whether every parity check passed.
    pub fn parity_passes(&self) -> bool {
        self.parity.iter().all(|p| p.parity.pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(samples: Vec<f64>) -> Latency {
        Latency {
            batch: 1,
            init_ms: 1.0,
            first_ms: 1.0,
            warmup_runs: 0,
            warmup_s: 0.0,
            summary: Summary::of(&samples).unwrap(),
            samples_ms: samples,
            before: Conditions { load1: Some(0.1), mhz: Some(2000.0), ..Default::default() },
            after: Conditions { mhz: Some(2000.0), ..Default::default() },
        }
    }

    #[test]
    fn quiet_measurements_have_no_warnings() {
        assert_eq!(latency(vec![1.0; 200]).warnings(4), []);
    }

    #[test]
    fn each_disturbance_is_told() {
        let mut l = latency([vec![1.0; 100], vec![1.5; 100]].concat());
        assert_eq!(l.warnings(4), [Warning::Drift { ratio: 1.5 }]);
        l = latency([vec![1.0; 150], vec![5.0; 5], vec![1.0; 5]].concat());
        assert!(matches!(l.warnings(4)[..], [Warning::Spread { .. }]), "{:?}", l.warnings(4));
        l = latency(vec![1.0; 10]);
        l.before.load1 = Some(8.0);
        l.after.mhz = Some(1000.0);
        l.after.throttled = Some(0x50005);
        assert_eq!(l.warnings(4).len(), 4, "{:?}", l.warnings(4));
    }

    #[test]
    fn accuracy_by_hand() {
        let names: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
        let a = Accuracy::of("test", &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0], &[0, 1, 1], &names);
        assert!((a.top1 - 2.0 / 3.0).abs() < 1e-12 && a.top5 == 1.0);
        assert_eq!((a.per_class[0].correct, a.per_class[1].correct, a.per_class[1].n), (1, 1, 2));
        assert!(a.top1_ci95[0] < a.top1 && a.top1 < a.top1_ci95[1]);
    }
}
