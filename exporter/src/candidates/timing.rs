//! How long every student takes in every precision: from the device's table or profile, or measured here where
//! the target is this machine. Networks of one architecture and precision are measured once, whoever trained
//! them.

use crate::candidates::choose::{Duel, Side, made_up_image};
use crate::plan::ExportPlan;
use crate::students::{Skipped, Student};
use crate::untrained;
use gtn_core::io::artifact;
use gtn_core::ir::cost::Cost;
use gtn_core::latency::select::StudentCandidate;
use gtn_core::latency::{Basis, Known, Prediction, Predictor, Runtime};
use gtn_core::measure::quantiles::independent_quantile;
use gtn_core::program::exit;
use gtn_core::program::progress::Progress;
use gtn_core::text::format;
use gtn_core::{Error, Precision, Result};
use gtn_run::backend::{Kind, Options, OrtOptions};
use gtn_run::timing::bursts::Bursts;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

/// Seconds of measuring per network on host targets (28 bursts at rest).
const SECONDS_EACH: f64 = 0.4;
/// Bursts below which the lower quartile has no 90 % interval (0.75^11 < 5 %), and one to spare.
const FEWEST_BURSTS: usize = 12;
/// Other work on the machine only ever adds time, and it spoils some bursts, not all: the lower quartile is
/// the machine at rest, as in a latency table.
const AT_REST: f64 = 0.25;

/// This is every student in every precision, with its latency.
#[derive(Default)]
pub struct Timed {
    /// With a latency; those of one student in the profile's order.
    pub candidates: Vec<StudentCandidate>,
    /// Students whose latency cannot be told.
    pub skipped: Vec<Skipped>,
    /// Compute threads that the latencies hold for.
    pub threads: usize,
    /// What the table was measured with, where there is one.
    pub runtime: Option<Runtime>,
    /// Precisions of the profile that nothing is known of.
    pub unknown: Vec<Precision>,
    /// What the measured networks are made from, by [`key`].
    pub(crate) models: BTreeMap<String, Vec<u8>>,
    /// What was measured in turn, by the keys of both.
    pub(crate) duels: BTreeMap<[String; 2], Duel>,
    /// How networks are loaded that are measured.
    pub(crate) options: Options,
}

/// Tells every student's latency from the table where one is given, by measuring where the target is this
/// machine, else from the profile. A student whose latency cannot be told is skipped.
pub fn timed(plan: &ExportPlan, students: &[Student]) -> Result<Timed> {
    match plan.table.is_none() && plan.device.is_host() {
        true => measured(plan, students),
        false => predicted(plan, plan.table.as_deref(), &students.iter().collect::<Vec<_>>()),
    }
}

/// Tells them from `table`, or else from the profile. A student whose latency cannot be told is skipped.
pub fn predicted(plan: &ExportPlan, table: Option<&Path>, students: &[&Student]) -> Result<Timed> {
    let device = &plan.device;
    let Known { predictors, unknown } = Predictor::known(device, table, &plan.precisions)?;
    let runtime = predictors.first().and_then(|(_, p)| p.runtime()).cloned();
    if let (Some(runtime), Some(first)) = (&runtime, device.backends.first())
        && runtime.name != *first
    {
        exit::note(&format!(
            "the table was measured with {}: its times hold for gtn-run --backend {0}, {}'s profile has {first} first",
            runtime.name, device.name
        ));
    }
    let threads = predictors.first().map_or(1, |(_, p)| p.threads(device));
    let mut timed = Timed { threads, runtime, unknown, ..Timed::default() };
    for student in students {
        let predict = |(precision, predictor): &(Precision, Predictor)| {
            Ok(candidate(student, *precision, predictor.predict(&student.graph)?))
        };
        match predictors.iter().map(predict).collect::<Result<Vec<_>>>() {
            Ok(candidates) => timed.candidates.extend(candidates),
            Err(why) => timed.skipped.push(skipped(student, &why)),
        }
    }
    Ok(timed)
}

/// Networks side by side, with random weights: time does not depend on them.
fn measured(plan: &ExportPlan, students: &[Student]) -> Result<Timed> {
    let ExportPlan { device, precisions, .. } = plan;
    let threads = device.cpu.threads.value;
    let options = Options {
        kind: Some(Kind::Ort),
        threads: Some(threads),
        batch: Some(NonZeroUsize::MIN),
        ort: OrtOptions::with_library(plan.ort_lib.clone()),
        ..Options::default()
    };
    let mut timed = Timed { threads, options, ..Timed::default() };
    let mut fit: Vec<&Student> = Vec::new();
    for student in students {
        let write = |precision: &Precision| -> Result<(String, Vec<u8>)> {
            let model = untrained::write(&student.graph, &student.arch.name, *precision, device)?;
            Ok((key(student, *precision)?, model))
        };
        match precisions.iter().map(write).collect::<Result<Vec<_>>>() {
            Ok(models) => {
                timed.models.extend(models);
                fit.push(student);
            }
            Err(why) => timed.skipped.push(skipped(student, &why)),
        }
    }
    let bursts = measure(&timed.models, &timed.options)?;
    for student in fit {
        for precision in precisions {
            let us = bursts.medians_us.get(&key(student, *precision)?).map_or(&[][..], Vec::as_slice);
            let latency = at_rest(us).ok_or_else(|| Error::Failed("a candidate was not measured".into()))?;
            timed.candidates.push(candidate(student, *precision, latency));
        }
    }
    Ok(timed)
}

fn measure(models: &BTreeMap<String, Vec<u8>>, options: &Options) -> Result<Bursts> {
    let mut seconds = SECONDS_EACH * models.len() as f64;
    let mut bar = Progress::new("measure", seconds.ceil() as u64);
    let mut bursts = Bursts::default();
    loop {
        bursts.measure(models, (Path::new("candidate"), options), seconds, |b| {
            bar.tick(b.seconds as u64, &format!("{} networks", models.len()));
            Ok(())
        })?;
        let rounds = bursts.rounds(models.keys());
        if models.is_empty() || rounds >= FEWEST_BURSTS {
            break;
        }
        // Slow networks: as long as the rounds that are missing take.
        seconds = bursts.seconds * FEWEST_BURSTS as f64 / rounds.max(1) as f64;
    }
    bar.finish(&format!("{} networks in {}", models.len(), format::seconds(bursts.seconds)));
    Ok(bursts)
}

/// From the medians of bursts, microseconds.
fn at_rest(us: &[f64]) -> Option<Prediction> {
    let (us, [low, high]) = independent_quantile(us, AT_REST, 0.9)?;
    Some(Prediction { ms: us / 1e3, band: [low / 1e3, high / 1e3], basis: Basis::Measured })
}

/// One architecture in one precision, whatever its name and folder.
fn key(student: &Student, precision: Precision) -> Result<String> {
    let mut arch = student.arch.clone();
    arch.name.clear();
    Ok(format!("{}-{precision}", artifact::sha256(artifact::to_json(&arch)?.as_bytes())))
}

fn skipped(student: &Student, why: &Error) -> Skipped {
    Skipped { dir: student.dir.display().to_string(), why: format!("its latency cannot be told: {why}") }
}

fn candidate(student: &Student, precision: Precision, latency: Prediction) -> StudentCandidate {
    let cost = Cost::of(&student.graph);
    StudentCandidate {
        dir: student.dir.display().to_string(),
        arch: student.arch.name.clone(),
        precision,
        val_top1: student.val.top1,
        val_images: student.val.n,
        latency,
        memory_bytes: cost.memory_bytes(precision),
        model_bytes: cost.model_bytes(precision),
        params: cost.params,
        macs: cost.macs,
    }
}

impl Timed {
    /// Returns whether `a` takes less time than `b` beyond doubt: measured in turn where they are measured
    /// (once for each two networks), else by the predictions' bands.
    pub fn clearly_faster(
        &mut self,
        students: &[Student],
        a: &StudentCandidate,
        b: &StudentCandidate,
    ) -> Result<bool> {
        if a.latency.basis != Basis::Measured {
            return Ok(a.latency.clearly_below(&b.latency));
        }
        let of = |c: &StudentCandidate| -> Result<(&Student, String)> {
            let student = students.iter().find(|s| s.dir.display().to_string() == c.dir);
            let student = student.ok_or_else(|| Error::Failed(format!("{}: no such student", c.dir)))?;
            Ok((student, key(student, c.precision)?))
        };
        let ((student, key_a), (_, key_b)) = (of(a)?, of(b)?);
        if key_a == key_b {
            return Ok(false);
        }
        let keys = [key_b, key_a];
        if let Some(known) = self.duels.get(&keys) {
            return Ok(known.second_wins());
        }
        let name = |c: &StudentCandidate| {
            if a.dir == b.dir { c.precision.name().to_owned() } else { format!("{}, {}", c.dir, c.precision) }
        };
        let (first, second) = (name(b), name(a));
        let model = |key: &String| {
            let found = self.models.get(key).map(Vec::as_slice);
            found.ok_or_else(|| Error::Failed("a candidate's model is not there to be measured".into()))
        };
        let input = student.arch.input;
        let image = made_up_image([input.channels, input.height, input.width])?;
        let duel = Duel::of(
            Side { name: &first, model: model(&keys[0])? },
            Side { name: &second, model: model(&keys[1])? },
            &image,
            &self.options,
        )?;
        let wins = duel.second_wins();
        self.duels.insert(keys, duel);
        Ok(wins)
    }

    /// Returns what was measured in turn.
    pub fn duels(&self) -> impl Iterator<Item = &Duel> {
        self.duels.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lower quartile and its binomial interval: of 28 bursts the 3rd to the 12th smallest.
    #[test]
    fn bursts_become_a_latency_with_an_interval() {
        let us: Vec<f64> = (1..=28).map(|i| 1000.0 * f64::from(i)).collect();
        let p = at_rest(&us).unwrap();
        assert_eq!((p.ms, p.band, p.basis), (7.75, [3.0, 12.0], Basis::Measured));
        assert!(at_rest(&us[..FEWEST_BURSTS]).is_some() && at_rest(&us[..9]).is_none());
        assert!(at_rest(&[f64::NAN; 28]).is_none());
    }
}
