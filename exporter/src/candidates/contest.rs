//! Every precision that was asked for, written and judged; the one that ships, and why the others lost.
//!
//! The profile's order decides, unless one that comes later in it is clearly faster: measured in turn where the
//! target is this machine, predicted with bands that do not meet where it is not.

use crate::candidates::choose::{Duel, Side};
use crate::candidates::outlook::Outlook;
use crate::candidates::{PrecisionCandidate, Source};
use crate::int8::calibration::Calibration;
use crate::int8::search::{Judged, Stated};
use crate::plan::ExportPlan;
use gtn_core::artifacts::model_dir::ModelDir;
use gtn_core::data::DataSource;
use gtn_core::error::Kind;
use gtn_core::io::tensors::Tensor;
use gtn_core::latency::Prediction;
use gtn_core::latency::select::unbeaten;
use gtn_core::measure::compare::Verdict;
use gtn_core::{Error, Precision, Result};
use gtn_run::backend::{Options, OrtOptions};
use serde::Serialize;
use std::num::NonZeroUsize;

/// A contest holds what there is to decide on.
pub struct Contest<'a> {
    /// What was asked for.
    pub plan: &'a ExportPlan,
    /// The trained network.
    pub student: &'a ModelDir,
    /// What it was trained on.
    pub data: &'a DataSource,
    /// What candidates are made from.
    pub source: &'a Source<'a>,
    /// What is predicted for the target.
    pub outlook: &'a Outlook,
    /// Why the precision is decided already, where it is: `--from` chose it.
    pub decided: Option<&'a str>,
}

/// This is the outcome of a contest.
pub struct Winner {
    /// What ships.
    pub candidate: PrecisionCandidate,
    /// Why.
    pub why: String,
    /// All, for the report.
    pub considered: Vec<Considered>,
    /// What was measured to decide, for the report.
    pub duels: Vec<Duel>,
}

/// This is one precision in the report.
#[derive(Debug, Clone, Serialize)]
pub struct Considered {
    /// What it computes in.
    pub precision: Precision,
    /// Size of its file.
    pub bytes: Option<usize>,
    /// On the val images that the gate judges by.
    pub judged: Option<Judged>,
    /// On the val images that chose nothing.
    pub stated: Option<Stated>,
    /// Median inference on this machine, where that decides.
    pub measured_on_this_machine_ms: Option<f64>,
    /// For the target, where there are figures.
    pub predicted_for_target: Option<Prediction>,
    /// None for the one that ships.
    pub lost: Option<String>,
}

impl Contest<'_> {
    /// Makes the plan's precisions and picks one. One that loses more accuracy than it may is out; it is an
    /// error if it was asked for, or if none is left.
    pub fn decide(&self, fp32: PrecisionCandidate) -> Result<Winner> {
        let precisions = &self.plan.precisions;
        let mut failed = Vec::new();
        let mut candidates = Vec::new();
        if precisions.iter().any(|p| *p != Precision::Fp32) {
            let source = self.plan.int8.data.as_ref().unwrap_or(self.data);
            let ort_lib = self.plan.ort_lib.clone();
            let images = self.plan.int8.images;
            let calibration = Calibration::load(source, self.student, images, ort_lib)?;
            let reference = calibration.reference(&fp32.model)?;
            calibration.check_labels(&reference, source, self.student)?;
            for &precision in precisions {
                let made = match precision {
                    Precision::Fp32 => continue,
                    Precision::Int8 => self.source.int8(&calibration, &reference),
                    Precision::Fp16 => self.source.fp16(&calibration, &reference),
                };
                match made {
                    Ok(candidate) => candidates.push(candidate),
                    // Alone it is an error; among others it has lost.
                    Err(e) if e.kind() == Kind::Failed && self.plan.asked.is_none() => {
                        failed.push(considered_lost(precision, e.to_string()));
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        if let Some(place) = precisions.iter().position(|p| *p == Precision::Fp32) {
            let before = precisions.get(..place).unwrap_or_default();
            let at = candidates.iter().take_while(|c| before.contains(&c.precision)).count();
            candidates.insert(at, fp32);
        }
        let mut choice = self.pick(candidates)?;
        choice.considered.extend(failed);
        Ok(choice)
    }

    fn pick(&self, mut candidates: Vec<PrecisionCandidate>) -> Result<Winner> {
        if candidates.is_empty() {
            return Err(Error::Failed("no precision of the profile keeps its accuracy".into()));
        }
        let several = candidates.len() > 1;
        let measures = several && self.source.device.is_host();
        let mut duels = Vec::new();
        let order: Vec<usize> = (0..candidates.len()).collect();
        let winner = unbeaten(&order, |&next, &best| {
            let (Some(next), Some(best)) = (candidates.get(next), candidates.get(best)) else {
                return Ok(false);
            };
            if !measures {
                return Ok(self.clearly_predicted_below(next.precision, best.precision));
            }
            let duel = self.duel(best, next)?;
            let wins = duel.second_wins();
            duels.push(duel);
            Ok(wins)
        })?;
        let none = || Error::Failed("of several precisions none was chosen".into());
        let winner = *winner.ok_or_else(none)?;
        let chosen = candidates.get(winner).ok_or_else(none)?.precision;
        let names: Vec<Precision> = candidates.iter().map(|c| c.precision).collect();
        let why = match (several, self.decided) {
            (_, Some(decided)) => decided.to_owned(),
            (false, _) if self.plan.asked.is_some() => "asked for".to_owned(),
            (false, _) => "the only precision that keeps its accuracy".to_owned(),
            (true, _) if measures => measured_why(&duels, winner == 0),
            (true, _) => self.predicted_why(&names, winner),
        };
        let considered = candidates.iter().enumerate().map(|(i, c)| Considered {
            precision: c.precision,
            bytes: Some(c.model.len()),
            judged: c.judged,
            stated: c.stated,
            measured_on_this_machine_ms: p50_of(&duels, c.precision.name()),
            predicted_for_target: self.outlook.of_precision(c.precision),
            lost: (i != winner).then(|| self.lost(&duels, c.precision, chosen)),
        });
        let considered = considered.collect();
        Ok(Winner { candidate: candidates.swap_remove(winner), why, considered, duels })
    }

    /// Without figures for both nothing is clear.
    fn clearly_predicted_below(&self, next: Precision, best: Precision) -> bool {
        let both = self.outlook.of_precision(next).zip(self.outlook.of_precision(best));
        both.is_some_and(|(next, best)| next.clearly_below(&best))
    }

    fn predicted_why(&self, names: &[Precision], winner: usize) -> String {
        let device = &self.source.device.name;
        let each = |name: &Precision| match self.outlook.of_precision(*name) {
            Some(p) => format!("{name} {p}"),
            None => format!("{name} not known"),
        };
        let basis = names.iter().find_map(|name| self.outlook.of_precision(*name)).map(|p| p.basis);
        let Some(basis) = basis else {
            return format!(
                "the first of {device}'s profile that keeps its accuracy: there are no figures to predict latency from"
            );
        };
        let list = names.iter().map(each).collect::<Vec<_>>().join(", ");
        match winner {
            0 => format!(
                "the first of {device}'s profile that keeps its accuracy; {basis}, none is clearly faster ({list})"
            ),
            _ => format!("clearly faster for {device}, {basis} ({list})"),
        }
    }

    /// Why one that kept its accuracy does not ship.
    fn lost(&self, duels: &[Duel], loser: Precision, winner: Precision) -> String {
        let (name, chosen) = (loser.name(), winner.name());
        let of_both =
            |d: &&Duel| (d.first == name || d.second == name) && (d.first == chosen || d.second == chosen);
        let duel = duels.iter().find(of_both).or_else(|| duels.iter().find(|d| d.second == name));
        match duel {
            Some(duel) if duel.result.verdict == Verdict::CannotTell => {
                format!("later in the profile; {duel}")
            }
            Some(duel) => format!("slower on this machine: {duel}"),
            None if self.clearly_predicted_below(winner, loser) => "predicted to be slower".into(),
            None => "later in the profile".into(),
        }
    }

    fn duel(&self, first: &PrecisionCandidate, second: &PrecisionCandidate) -> Result<Duel> {
        let p = &self.student.file.preprocess;
        let image = self.student.golden.images.get(..p.image_len());
        let image = image.ok_or_else(|| Error::Failed("the student has no golden image".into()))?;
        let input = Tensor::f32(&[1, p.channels, p.height, p.width], p.normalise(image)?);
        let threads = self.source.device.cpu.threads.value;
        let options = Options {
            threads: Some(threads),
            batch: Some(NonZeroUsize::MIN),
            ort: OrtOptions::with_library(self.plan.ort_lib.clone()),
            ..Options::default()
        };
        let [first, second] = [first, second].map(|c| Side { name: c.precision.name(), model: &c.model });
        Duel::of(first, second, &input, &options)
    }
}

/// What was measured, and what it decided.
fn measured_why(duels: &[Duel], first_wins: bool) -> String {
    let all = duels.iter().map(Duel::to_string).collect::<Vec<_>>().join("; ");
    let open = duels.iter().any(|d| d.result.verdict == Verdict::CannotTell);
    let order = if first_wins && open { ": the profile's order stands" } else { "" };
    format!("measured in turn on this machine, {all}{order}")
}

/// The median of the last duel that it took part in.
fn p50_of(duels: &[Duel], name: &str) -> Option<f64> {
    let of = |d: &Duel| match name {
        name if d.first == name => Some(d.p50_ms[0]),
        name if d.second == name => Some(d.p50_ms[1]),
        _ => None,
    };
    duels.iter().rev().find_map(of)
}

fn considered_lost(precision: Precision, why: String) -> Considered {
    Considered {
        precision,
        bytes: None,
        judged: None,
        stated: None,
        measured_on_this_machine_ms: None,
        predicted_for_target: None,
        lost: Some(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::measure::compare::Ratio;

    #[test]
    fn what_was_measured_and_what_it_decided_is_told() {
        let duel = |second: &str, ratio: f64, verdict| Duel {
            first: "int8".into(),
            second: second.into(),
            p50_ms: [2.0, 2.0 * ratio],
            result: Ratio { ratio, ci95: None, min_effect: 0.01, verdict },
        };
        let open = duel("fp32", 1.02, Verdict::CannotTell);
        let why = measured_why(std::slice::from_ref(&open), true);
        assert_eq!(
            why,
            "measured in turn on this machine, cannot tell fp32 from int8: +2.0 %: the profile's order stands"
        );
        let faster = duel("fp32", 0.9, Verdict::Faster);
        assert!(measured_why(std::slice::from_ref(&faster), false).ends_with("10.0 % less time than int8"));
        assert_eq!((p50_of(&[faster, open], "fp32"), p50_of(&[], "fp32")), (Some(2.04), None));
    }
}
