//! Which of two models is faster? A ratio with its interval, and a plain verdict.
//!
//! The trustworthy form is measured in turn in one process (`rounds`): each round loads both models
//! anew, so that the luck of one memory layout is one round's luck, and gives one log ratio; the interval
//! is the signed-rank one over rounds. The other form compares reports of several runs each, by their
//! medians (Student's t): what differs between runs is in it, what differed between the days is not.
//! A time that is not a finite number above 0 is an error in both.

use crate::host::Host;
use crate::measure::report::{BackendInfo, Model, Report};
use crate::measure::robust::{hodges_lehmann_at_looks, median};
use crate::measure::stats::difference_ci95;
use crate::measure::warning::Warning;
use crate::text::format;
use crate::text::table::Table;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// This is the schema of a comparison.
pub const SCHEMA: &str = "gtn.compare/1";

/// This is what can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// B takes less time.
    Faster,
    /// B takes more time.
    Slower,
    /// The interval holds 1, or the difference is below the smallest that matters.
    CannotTell,
}

/// This is B's time over A's, with what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// Best estimate.
    pub ratio: f64,
    /// 95 % interval; none where the runs are too few for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95: Option<[f64; 2]>,
    /// Differences below this share are not worth a verdict.
    pub min_effect: f64,
    /// What follows.
    pub verdict: Verdict,
}

/// This is one of the two that are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// What was run.
    pub model: Model,
    /// By what.
    pub backend: BackendInfo,
    /// Medians, one a round or one a report, ms.
    pub p50_ms: Vec<f64>,
}

/// This says what was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// Two models measured round by round, in random order.
    #[serde(rename = "in turn")]
    InTurn,
    /// Saved reports, one p50 each.
    #[serde(rename = "reports")]
    Reports,
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InTurn => "in turn",
            Self::Reports => "reports",
        })
    }
}

/// This is a comparison of two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: String,
    /// `gtn-run 0.1.0`.
    pub program: String,
    /// Seconds since 1970, UTC.
    pub unix_time: u64,
    /// On which machine.
    pub host: Host,
    /// What was compared.
    pub how: How,
    /// The one compared with.
    pub a: Side,
    /// The one judged.
    pub b: Side,
    /// The result.
    pub result: Ratio,
    /// What disturbed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

impl Ratio {
    /// Judges log ratios, one a round. It is an error if one is not finite, or there are fewer than six.
    pub fn of_rounds(logs: &[f64], min_effect: f64) -> Result<Self> {
        Self::at_looks(logs, 1, min_effect)
    }

    /// Does what [`Self::of_rounds`] does where the rounds are looked at up to `looks` times while they are
    /// made, to stop once enough is known: the interval that is stopped at holds all the same.
    pub fn at_looks(logs: &[f64], looks: usize, min_effect: f64) -> Result<Self> {
        if let Some(odd) = logs.iter().find(|x| !x.is_finite()) {
            return Err(Error::Failed(format!("a round's log ratio is {odd}: no measurable time")));
        }
        let location = hodges_lehmann_at_looks(logs, looks).ok_or_else(|| {
            Error::usage(format!(
                "{} rounds, wanted at least {}",
                logs.len(),
                crate::measure::robust::MIN_SIGNED_RANK
            ))
        })?;
        Ok(Self::new(location.estimate, Some(location.ci95), min_effect))
    }

    /// Returns whether a difference of `effect` or more is still possible where nothing is decided.
    pub fn is_open(&self, effect: f64) -> bool {
        let reaches = self.ci95.is_none_or(|[low, high]| low < 1.0 - effect || high > 1.0 + effect);
        self.verdict == Verdict::CannotTell && reaches
    }

    /// Judges each run's median, in ms. One run a side tells nothing of the variance between runs, so that
    /// there is no verdict. It is an error if a side has none, or a time is not a finite number above 0.
    pub fn of_runs(a: &[f64], b: &[f64], min_effect: f64) -> Result<Self> {
        let logs = |x: &[f64]| x.iter().map(|x| x.ln()).collect::<Vec<f64>>();
        let (a, b) = (logs(a), logs(b));
        if a.is_empty() || b.is_empty() {
            return Err(Error::usage("no report with a latency to compare"));
        }
        if a.iter().chain(&b).any(|x| !x.is_finite()) {
            return Err(Error::usage("a report's p50 is not a finite time above 0"));
        }
        Ok(match difference_ci95(&a, &b) {
            Some((difference, half)) => {
                Self::new(difference, Some([difference - half, difference + half]), min_effect)
            }
            None => Self::new(median(&b) - median(&a), None, min_effect),
        })
    }

    /// From logarithms.
    fn new(log: f64, ci95: Option<[f64; 2]>, min_effect: f64) -> Self {
        let clear = ci95.is_some_and(|[low, high]| low > 0.0 || high < 0.0);
        let verdict = match log {
            _ if !clear || log.abs() < min_effect.ln_1p() => Verdict::CannotTell,
            x if x < 0.0 => Verdict::Faster,
            _ => Verdict::Slower,
        };
        Self { ratio: log.exp(), ci95: ci95.map(|ci| ci.map(f64::exp)), min_effect, verdict }
    }

    /// Returns the verdict as a sentence: `B is 4.9 % slower than A (95 % CI 4.1 to 5.6 %)`.
    pub fn sentence(&self) -> String {
        let percent = |r: f64| 100.0 * (r - 1.0);
        let ci = match self.ci95 {
            Some([low, high]) => format!("95 % CI {:+.1} to {:+.1} %", percent(low), percent(high)),
            None => "one run a side: run each at least three times".into(),
        };
        let change = percent(self.ratio);
        match self.verdict {
            Verdict::Faster => format!("B is {:.1} % faster than A ({ci} of A's time)", -change),
            Verdict::Slower => format!("B is {change:.1} % slower than A ({ci} of A's time)"),
            Verdict::CannotTell => format!(
                "cannot tell: B takes {change:+.1} % of A's time more ({ci}; below {:.1} % is no difference)",
                100.0 * self.min_effect
            ),
        }
    }
}

/// Compares what two reports must share before their latencies mean the same, and returns the first thing that
/// differs.
pub fn unlike(a: &Report, b: &Report) -> Option<String> {
    let text = |r: &Report| {
        let io = r.latency.as_ref().map_or_else(String::new, |l| l.io.to_string());
        let pace = r.latency.as_ref().map(|l| match l.pace {
            crate::measure::samples::Pace::Paced { interval_ms, .. } => format!("every {interval_ms} ms"),
            _ => "back to back".into(),
        });
        [
            ("host", r.host.kind()),
            ("batch", r.backend.batch.to_string()),
            ("threads", r.backend.threads.to_string()),
            ("CPUs", r.latency.as_ref().and_then(|l| l.cpus.clone()).unwrap_or_default()),
            ("inputs and outputs", io),
            ("pace", pace.unwrap_or_default()),
        ]
    };
    let (a, b) = (text(a), text(b));
    let differs = a.iter().zip(&b).find(|(a, b)| a.1 != b.1);
    differs.map(|(a, b)| format!("{}: `{}` against `{}`", a.0, a.1, b.1))
}

impl Comparison {
    /// Returns both sides and the verdict, for a terminal.
    pub fn terminal(&self) -> String {
        let mut text = format!("{}\n{}\n", self.table().render(), self.result.sentence());
        for warning in &self.warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        text
    }

    /// Returns a table of the two sides.
    pub fn table(&self) -> Table {
        let mut table =
            Table::new(["", "model", "file", "backend", "threads", "p50", "lowest", "highest", "of"]);
        let unit = if self.how == How::Reports { "reports" } else { "rounds" };
        for (name, side) in [("A", &self.a), ("B", &self.b)] {
            let edge =
                |pick: fn(f64, f64) -> f64| side.p50_ms.iter().copied().reduce(pick).unwrap_or(f64::NAN);
            table.row([
                name.to_owned(),
                side.model.name.clone(),
                format::bytes(side.model.bytes),
                format!("{} {}", side.backend.name, side.backend.version),
                side.backend.threads.to_string(),
                format::ms(median(&side.p50_ms)),
                format::ms(edge(f64::min)),
                format::ms(edge(f64::max)),
                format!("{} {unit}", side.p50_ms.len()),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn logs(seed: u64, shift: f64, sd: f64, n: usize) -> Vec<f64> {
        let mut rng = Rng::new(seed, "compare-test", 0);
        (0..n).map(|_| shift + sd * rng.normal()).collect()
    }

    /// Rounds with a spread of 1 %: no difference is called one in at most 5 of 100, a 5 % difference is
    /// found in at least 99.
    #[test]
    fn verdicts_keep_their_promise() {
        let calls = |shift: f64, wanted: Verdict| {
            let verdict = |i| Ratio::of_rounds(&logs(i, shift, 0.01, 12), 0.01).unwrap().verdict;
            (0..100).filter(|i| verdict(*i) == wanted).count()
        };
        assert!(calls(0.0, Verdict::CannotTell) >= 95);
        assert!(calls(1.05f64.ln(), Verdict::Slower) >= 99);
        assert!(calls(0.95f64.ln(), Verdict::Faster) >= 99);
        // Clearly there, and too small to matter.
        assert_eq!(Ratio::of_rounds(&logs(1, 0.005, 0.0001, 12), 0.01).unwrap().verdict, Verdict::CannotTell);
    }

    #[test]
    fn runs_need_a_variance_between_them() {
        let one = Ratio::of_runs(&[1.0], &[2.0], 0.01).unwrap();
        assert_eq!((one.verdict, one.ci95), (Verdict::CannotTell, None));
        assert!(one.sentence().contains("at least three times"), "{}", one.sentence());
        let three = Ratio::of_runs(&[1.00, 1.01, 0.99], &[1.10, 1.11, 1.09], 0.01).unwrap();
        assert_eq!(three.verdict, Verdict::Slower);
        assert!(three.sentence().starts_with("B is 10.0 % slower"), "{}", three.sentence());
        let noisy = Ratio::of_runs(&[1.0, 1.3, 0.8], &[1.1, 1.4, 0.9], 0.01).unwrap();
        assert_eq!(noisy.verdict, Verdict::CannotTell);
        assert!(Ratio::of_runs(&[], &[1.0], 0.01).is_err());
        assert!(Ratio::of_rounds(&[0.1; 5], 0.01).is_err());
        for bad in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            assert!(Ratio::of_runs(&[1.0, bad], &[1.0, 1.0], 0.01).is_err(), "{bad}");
        }
        assert!(Ratio::of_rounds(&[0.1, f64::NAN, 0.1, 0.1, 0.1, 0.1], 0.01).is_err());
    }
}
