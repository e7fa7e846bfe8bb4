//! One model, one report: parity, accuracy, latency, memory, host.

use crate::backend::ort::providers;
use crate::judge::bench;
use crate::judge::bench::Settings;
use crate::judge::evaluate::{Evaluation, evaluate};
use crate::judge::verify::{Verified, verify};
use crate::subject::Subject;
use gtn_core::Result;
use gtn_core::device::HOST;
use gtn_core::host::{Host, peak_rss_bytes};
use gtn_core::measure::report::{Report, SCHEMA};
use gtn_core::measure::warning::Warning;
use gtn_core::program::progress::Watch;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Below so many images an accuracy interval is wider than about 2 points to either side.
pub const FEW_IMAGES: usize = 1000;

/// This says what to measure.
#[derive(Debug, Clone, Default)]
pub struct Steps {
    /// Golden images and samples.
    pub verify: bool,
    /// Evaluation images.
    pub eval: bool,
    /// Latency.
    pub bench: Option<Settings>,
    /// Test images from here instead of the bundle's.
    pub data: Option<String>,
    /// Share of those that may be unreadable, where it is not the usual one.
    pub max_bad: Option<f64>,
    /// Even if they are not the data that the bundle's network was trained with.
    pub other_data: bool,
    /// Compare the evaluation's logits with these (.npy).
    pub against: Option<PathBuf>,
}

/// A proof is a report and the logits of its evaluation (empty without one).
pub struct Proof {
    /// What was measured.
    pub report: Report,
    /// `[n, classes]`.
    pub logits: Vec<f32>,
}

/// Judges a loaded model; `watch` hears how far the evaluation is. A failed parity is in the report, not an error.
pub fn prove(subject: &mut Subject, steps: &Steps, program: &str, watch: Watch) -> Result<Proof> {
    let cores = Host::read().cores;
    let mut warnings = Vec::new();
    let Verified { checks: mut parity, warnings: differing } =
        if steps.verify { verify(subject)? } else { Verified::default() };
    warnings.extend(differing);
    // Before the evaluation: its hot caches and clocks are not those of a device at rest.
    let latency = steps.bench.map(|settings| bench::bench(subject, settings)).transpose()?;
    if let Some(latency) = &latency {
        warnings.extend(latency.warnings(cores));
    }
    let mut accuracy = Vec::new();
    let mut logits = Vec::new();
    if steps.eval {
        let found: Evaluation = evaluate(subject, steps, watch)?;
        if found.accuracy.n < FEW_IMAGES {
            warnings.push(Warning::FewImages { n: found.accuracy.n });
        }
        warnings.extend(found.warnings);
        accuracy.push(found.accuracy);
        parity.extend(found.parity);
        logits = found.logits;
    }
    warnings.extend(context(subject, latency.is_some()));
    let mut report = Report { parity, accuracy, latency, ..blank(subject, program) };
    report.warnings.extend(warnings);
    Ok(Proof { report, logits })
}

/// Returns what a reader must know of a loaded model before anything is measured: how its backend computes, and
/// what its bundle's folder holds that is not the bundle's.
pub fn known(subject: &Subject) -> Vec<Warning> {
    let unlisted = subject.bundle.as_ref().map(|b| &b.unlisted).filter(|files| !files.is_empty());
    let unlisted = unlisted.map(|files| Warning::Unlisted { files: files.clone() });
    subject.backend.info().warnings().into_iter().chain(unlisted).collect()
}

/// Returns what a reader must know of what ran: whether it was made for another machine, where it was timed, and what an
/// execution provider left to the CPU.
pub(super) fn context(subject: &Subject, is_timed: bool) -> Vec<Warning> {
    let target = subject.model.target.as_ref().filter(|t| is_timed && *t != HOST);
    let nodes = &subject.backend.info().nodes;
    let on_cpu = nodes.get(providers::CPU).filter(|&&n| n > 0);
    let other = target.map(|target| Warning::OtherTarget { target: target.clone() });
    let left = on_cpu.map(|&nodes_there| Warning::OnCpu { nodes: nodes_there, of: nodes.values().sum() });
    other.into_iter().chain(left).collect()
}

/// Returns a report of a loaded model in which nothing is measured yet but this process's memory.
pub fn blank(subject: &Subject, program: &str) -> Report {
    Report {
        schema: SCHEMA.into(),
        program: program.into(),
        unix_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        model: subject.model.clone(),
        host: Host::read(),
        backend: subject.backend.info().clone(),
        parity: Vec::new(),
        accuracy: Vec::new(),
        latency: None,
        peak_rss_bytes: peak_rss_bytes(),
        profile: None,
        memory: None,
        warnings: known(subject),
    }
}
