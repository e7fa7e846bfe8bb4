//! One device's way: reached, measured, its student chosen, made, proved there, and if a limit is missed there, the next.
//!
//! The choice is of the most accurate on val. Where a device can be measured, a student whose predicted band reaches into
//! the budget is tried there, so that what a prediction is off by costs no accuracy; where it cannot, the best estimate counts.

use super::gates;
use super::station::Station;
use super::stock::{NoBundle, Stock, Stocked, unknown};
use super::turns::Busy;
use crate::candidates::timing::Timed;
use crate::plan::ExportPlan;
use gtn_core::error::Kind;
use gtn_core::fleet::Member;
use gtn_core::fleet::result::{Delivery, Measured, Outcome, PassedOver, Spent, State};
use gtn_core::ir::arch::Input;
use gtn_core::latency::select::{StudentCandidate, choose};
use gtn_core::latency::{Basis, Prediction};
use gtn_core::measure::report::Report;
use gtn_core::measure::robust::median;
use gtn_core::measure::samples::at_rest;
use gtn_core::measure::stats::mean_ci95;
use gtn_core::program::exit;
use gtn_core::program::signals::Signals;
use gtn_core::{Error, Precision, Result};
use gtn_run::remote::Address;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// This is a device and how it is to be served.
pub struct Case<'a> {
    /// As the fleet's file has it.
    pub member: &'a Member,
    /// Its profile, and its precisions, the preferred one first.
    pub plan: ExportPlan,
    /// Where it is.
    pub address: Option<Address>,
}

/// A student in a precision.
type Key = (String, Precision);

/// A device's way, as far as it has gone.
struct Walk<'a, 'b> {
    case: &'b Case<'a>,
    stock: &'b Stock<'b>,
    station: Option<Station<'b>>,
    timed: Timed,
    /// What ran there already.
    tried: BTreeMap<Key, Delivery>,
    /// Held while bundles may be wanted.
    busy: Option<Busy<'b>>,
    signals: &'b Signals,
    outcome: Outcome,
}

/// Serves one device as far as that goes. What ends it is in the outcome; a signal alone is an error.
pub fn walk(case: &Case, stock: &Stock, signals: &Signals) -> Result<Outcome> {
    let mut walk = Walk {
        case,
        stock,
        station: None,
        timed: Timed::default(),
        tried: BTreeMap::new(),
        busy: Some(stock.shop.turns.busy()),
        signals,
        outcome: begun(case.member),
    };
    let ended = walk.go();
    walk.busy = None;
    let mut outcome = walk.outcome;
    if let Err(error) = ended {
        outcome.state = match error.kind() {
            Kind::Unavailable => State::Unreached,
            Kind::Stopped => return Err(error),
            _ => State::Missed,
        };
        outcome.why.get_or_insert(error.to_string());
    }
    outcome.gates = gates::of(&outcome, case.member);
    if outcome.state == State::Proved && outcome.gates.iter().any(gates::is_missed) {
        outcome.state = State::Missed;
    }
    if outcome.state != State::Predicted {
        exit::note(&format!("{}: {}{}", outcome.name, outcome.state, told(&outcome)));
    }
    Ok(outcome)
}

fn told(outcome: &Outcome) -> String {
    match (&outcome.why, &outcome.delivery) {
        (Some(why), _) => format!(": {why}"),
        (None, Some(d)) => format!(": {} in {}", d.student, d.precision),
        (None, None) => String::new(),
    }
}

fn begun(member: &Member) -> Outcome {
    Outcome {
        name: member.name.clone(),
        target: member.target.clone(),
        count: member.count,
        on: member.on.clone(),
        budget: member.budget,
        state: State::Predicted,
        why: None,
        host: None,
        table: None,
        delivery: None,
        passed_over: Vec::new(),
        gates: Vec::new(),
        change: None,
        warnings: Vec::new(),
        seconds: Spent::default(),
    }
}

impl<'b> Walk<'_, 'b> {
    fn go(&mut self) -> Result<()> {
        let case = self.case;
        let mut cut = None;
        if let Some(address) = &case.address {
            match Station::reach(self.stock.shop, case.member, &case.plan.device, address) {
                Ok(station) => {
                    self.outcome.host = Some(station.host.clone());
                    self.station = Some(station);
                }
                // It still gets its bundle, by prediction: who carries it there need not wait.
                Err(e) if e.kind() == Kind::Unavailable => cut = Some(e),
                Err(e) => return Err(e),
            }
        }
        let delivered = self.look_up().and_then(|()| self.deliver());
        // Whatever became of the rest: it was not reached.
        cut.map_or(Ok(()), Err)?;
        delivered?;
        if self.station.is_some() {
            self.outcome.state = State::Proved;
        }
        Ok(())
    }

    /// Where latencies come from: the table that is given, one that is measured there, or the profile.
    fn look_up(&mut self) -> Result<()> {
        let (case, stock) = (self.case, self.stock);
        let mut tables: Vec<((Input, usize), PathBuf)> = Vec::new();
        if let Some(given) = &case.member.table {
            self.outcome.table = Some(given.display().to_string());
            tables.extend(stock.kinds().into_iter().map(|kind| (kind, given.clone())));
        } else if let Some(station) = self.station.as_mut().filter(|_| case.member.timed) {
            for kind in stock.kinds() {
                let kit = stock.kit(&case.plan, kind)?;
                let table = station.table(&kit)?;
                self.outcome.seconds.table += station.table_seconds(&kit);
                tables.push((kind, stock.shop.out.join(&table)));
                self.outcome.table.get_or_insert(table);
            }
        }
        self.timed = stock.timed(&case.plan, &tables)?;
        self.outcome.warnings.extend(unknown(&self.timed.skipped));
        Ok(())
    }

    /// Whether what runs there is timed.
    fn is_timed(&self) -> bool {
        self.station.is_some() && self.case.member.timed
    }

    /// The best that is known to be within the budget, or may be, and can be tried.
    fn choose(&self) -> Result<StudentCandidate> {
        let out = |c: &&StudentCandidate| {
            self.outcome.passed_over.iter().any(|p| p.student == c.dir && p.precision == c.precision)
        };
        let known = |c: &StudentCandidate| {
            let mut c = c.clone();
            let key = (c.dir.clone(), c.precision);
            match self.tried.get(&key).and_then(|d| d.measured.as_ref()?.latency) {
                Some(measured) => c.latency = measured,
                None if self.is_timed() => c.latency.ms = c.latency.band[0],
                None => {}
            }
            c
        };
        let open: Vec<StudentCandidate> =
            self.timed.candidates.iter().filter(|c| !out(c)).map(known).collect();
        let faster = |a: &&StudentCandidate, b: &&StudentCandidate| Ok(a.latency.clearly_below(&b.latency));
        choose(&open, &self.case.member.budget, &self.case.plan.precisions, faster).cloned()
    }

    /// Chooses, makes and proves until a student keeps what it must.
    fn deliver(&mut self) -> Result<()> {
        loop {
            self.signals.received().map_or(Ok(()), |signal| Err(Error::Stopped(signal)))?;
            let chosen = self.choose()?;
            let key = (chosen.dir.clone(), chosen.precision);
            if let Some(delivery) = self.tried.get(&key) {
                self.outcome.delivery = Some(delivery.clone()); // it is proved, and nothing is better
                return Ok(());
            }
            let bundle = match self.stock.bundle(&self.case.plan, &chosen) {
                Ok(bundle) => bundle,
                Err(NoBundle::Unfit(why)) => {
                    self.pass_over(&chosen, why);
                    continue;
                }
                Err(NoBundle::Broken(error)) => return Err(error),
            };
            self.outcome.seconds.export += self.stock.shop.ledger.seconds(&bundle.name);
            let mut delivery = self.delivery(&chosen, &bundle);
            self.outcome.delivery = Some(delivery.clone());
            if self.station.is_none() {
                return Ok(());
            }
            match self.prove(&bundle)? {
                Proof::Kept(measured) => {
                    delivery.measured = Some(measured);
                    self.outcome.delivery = Some(delivery.clone());
                    if !self.case.member.timed {
                        return Ok(());
                    }
                }
                Proof::Missed(measured, why) => {
                    delivery.measured = measured;
                    self.outcome.delivery = None;
                    self.pass_over(&chosen, why);
                }
            }
            // One that is as accurate may be faster than this one turned out to be.
            self.tried.insert(key, delivery);
        }
    }

    fn pass_over(&mut self, c: &StudentCandidate, why: String) {
        exit::note(&format!("{}: {} in {} is out: {why}", self.outcome.name, c.dir, c.precision));
        let (student, precision, val_top1) = (c.dir.clone(), c.precision, c.val_top1);
        self.outcome.passed_over.push(PassedOver { student, precision, val_top1, why });
    }

    fn delivery(&self, chosen: &StudentCandidate, bundle: &Stocked) -> Delivery {
        let same = |c: &&StudentCandidate| c.dir == chosen.dir && c.precision == chosen.precision;
        let predicted = self.timed.candidates.iter().find(same).map_or(chosen.latency, |c| c.latency);
        Delivery {
            student: chosen.dir.clone(),
            arch: chosen.arch.clone(),
            precision: chosen.precision,
            val_top1: chosen.val_top1,
            predicted,
            memory_bytes: chosen.memory_bytes,
            model_bytes: chosen.model_bytes,
            bundle: bundle.name.clone(),
            model_sha256: bundle.model_sha256.clone(),
            measured: None,
        }
    }

    /// Runs it there.
    fn prove(&mut self, bundle: &Stocked) -> Result<Proof> {
        let member = self.case.member;
        let gone = || Error::Failed("a device that is not connected was to prove a bundle".into());
        let station = self.station.as_mut().ok_or_else(gone)?;
        let (reports, name) = station.proof(&bundle.path, &bundle.model_sha256, member.timed)?;
        self.outcome.seconds.proof += station.proof_seconds(&name);
        for warning in reports.iter().flat_map(|r| &r.warnings) {
            let told = warning.to_string();
            if !self.outcome.warnings.contains(&told) {
                self.outcome.warnings.push(told);
            }
        }
        if let Some(bad) = reports.iter().flat_map(|r| &r.parity).find(|p| !p.parity.pass) {
            let (against, parity) = (&bad.against, &bad.parity);
            let why = format!(
                "does not agree with {against} there: {} of {} answers differ",
                parity.argmax_differs, parity.n
            );
            return Ok(Proof::Missed(None, why));
        }
        let mut measured = measured(&reports, name)?;
        // A limit that is missed at rest is not looked at for minutes.
        if let Some(minutes) = member.soak().filter(|_| gates::misses(&member.budget, &measured).is_none()) {
            self.busy = None;
            let signals = self.signals;
            let stopped = || signals.received().map(Error::Stopped);
            let bundle = (bundle.path.as_path(), bundle.model_sha256.as_str());
            let (warm, seconds) = station.soak(bundle, minutes, self.stock.here, &stopped)?;
            self.busy = Some(self.stock.shop.turns.busy());
            self.outcome.seconds.soak += seconds;
            measured.steady = Some(warm);
        }
        Ok(match gates::misses(&member.budget, &measured) {
            None => Proof::Kept(measured),
            Some(why) => Proof::Missed(Some(measured), why),
        })
    }
}

/// What a bundle did there.
enum Proof {
    Kept(Measured),
    Missed(Option<Measured>, String),
}

/// What the runs of a bundle say together.
fn measured(reports: &[Report], name: String) -> Result<Measured> {
    let first = reports.first().ok_or_else(|| Error::Failed(format!("{name} holds no report")))?;
    let accuracy = first.accuracy.first();
    let accuracy =
        accuracy.ok_or_else(|| Error::Failed(format!("{name}: accuracy was not measured there")))?;
    let latencies: Vec<_> = reports.iter().filter_map(|r| r.latency.as_ref()).collect();
    let rest_ms: Vec<f64> = latencies.iter().filter_map(|l| at_rest(&l.samples_ms)).collect();
    let p50: Vec<f64> = latencies.iter().map(|l| l.summary.p50).collect();
    let p99: Vec<f64> = latencies.iter().map(|l| l.summary.p99).collect();
    Ok(Measured {
        reports: name,
        unix_time: first.unix_time,
        latency: latency(&rest_ms),
        rest_ms,
        p50_ms: (!p50.is_empty()).then(|| median(&p50)),
        p99_ms: (!p99.is_empty()).then(|| median(&p99)),
        top1: accuracy.top1,
        top1_ci95: accuracy.top1_ci95,
        images: accuracy.n,
        peak_rss_bytes: first.peak_rss_bytes,
        energy_mj: None,
        steady: None,
    })
}

/// The median over runs, and an interval of their mean by Student's t, both of logarithms: times differ by factors.
fn latency(rest_ms: &[f64]) -> Option<Prediction> {
    let logs: Vec<f64> = rest_ms.iter().map(|ms| ms.ln()).collect();
    let (mean, half) = mean_ci95(&logs)?;
    let band = [(mean - half).exp(), (mean + half).exp()];
    let ms = median(rest_ms);
    (ms.is_finite() && band.iter().all(|ms| ms.is_finite())).then_some(Prediction {
        ms,
        band,
        basis: Basis::Measured,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: logs 0, ln 2, ln 4 have mean ln 2 and sd ln 2; t(0.975, 2) = 4.3027.
    #[test]
    fn runs_become_a_latency_with_an_interval() {
        let found = latency(&[4.0, 1.0, 2.0]).unwrap();
        let half = 4.302_652_73 * std::f64::consts::LN_2 / 3f64.sqrt();
        assert_eq!((found.ms, found.basis), (2.0, Basis::Measured));
        assert!((found.band[0] - 2.0 * (-half).exp()).abs() < 1e-6, "{found:?}");
        assert!((found.band[1] - 2.0 * half.exp()).abs() < 1e-4, "{found:?}");
        assert!(latency(&[1.0]).is_none() && latency(&[1.0, f64::NAN]).is_none());
    }
}
