//! A fleet beside an earlier result of it: what became slower beyond what runs, and days, differ by anyway.

use gtn_core::Result;
use gtn_core::fleet::result::{Change, FleetResult, Gate, Measured, Outcome, State, Verdict};
use gtn_core::measure::compare::{self, Ratio};
use gtn_core::measure::robust::median;
use gtn_core::text::format;
use std::path::Path;

/// A smaller change is none that anybody acts on, and one that a quiet machine makes from day to day.
pub const MIN_EFFECT: f64 = 0.05;
/// Earlier days whose medians are kept.
const MOST_DAYS: usize = 50;

/// This is an earlier result.
pub struct Earlier(FleetResult);

impl Earlier {
    /// Reads it.
    pub fn read(path: &Path) -> Result<Self> {
        FleetResult::read(path).map(Self)
    }

    /// Puts a device beside what it was then. One that is slower beyond doubt misses a limit of its own.
    pub fn judge(&self, now: &mut Outcome) {
        let Some(then) = self.0.devices.iter().find(|d| d.name == now.name) else { return };
        let measured = |o: &Outcome| o.delivery.as_ref().and_then(|d| d.measured.clone());
        let (Some(a), Some(b)) = (measured(then), measured(now)) else { return };
        if a.rest_ms.is_empty() || b.rest_ms.is_empty() {
            return;
        }
        let mut days = then.change.as_ref().map_or_else(Vec::new, |c| c.days_ms.clone());
        let change = match unlike(then, now) {
            Some(what) => Change {
                then_unix_time: a.unix_time,
                days_ms: Vec::new(),
                ratio: None,
                slower: false,
                verdict: format!("not compared: {what}"),
            },
            None => {
                days.extend(a.latency.map(|l| l.ms));
                let first = days.len().saturating_sub(MOST_DAYS);
                change(&a, &b, days.split_off(first))
            }
        };
        let verdict = match (&change.ratio, change.slower) {
            (_, true) => Verdict::Missed,
            (None, _) => Verdict::Unknown,
            (Some(ratio), _) if ratio.verdict == compare::Verdict::CannotTell && !is_settled(ratio) => {
                Verdict::Unknown
            }
            _ => Verdict::Kept,
        };
        let (limit, found) = (None, change.verdict.clone());
        now.gates.push(Gate { name: "regression".into(), limit, found, verdict });
        if change.slower && now.state == State::Proved {
            now.state = State::Missed;
            now.why.get_or_insert_with(|| change.verdict.clone());
        }
        now.change = Some(change);
    }
}

/// What keeps two measurements from being of one thing.
fn unlike(then: &Outcome, now: &Outcome) -> Option<&'static str> {
    let model = |o: &Outcome| o.delivery.as_ref().map(|d| d.model_sha256.clone());
    let machine = |o: &Outcome| o.host.as_ref().map(|h| (h.kind(), h.cpu_quota.map(f64::to_bits)));
    match () {
        () if model(then) != model(now) => Some("it has another model now"),
        () if machine(then) != machine(now) => Some("it is another kind of machine now"),
        () => None,
    }
}

/// Whether both ends of the interval are within what is no difference.
fn is_settled(ratio: &Ratio) -> bool {
    let within = |x: f64| x.ln().abs() <= MIN_EFFECT.ln_1p();
    ratio.ci95.is_some_and(|[low, high]| within(low) && within(high))
}

/// `days`: medians of earlier days, the last of them then's, ms.
fn change(then: &Measured, now: &Measured, days: Vec<f64>) -> Change {
    let date = format::date(then.unix_time);
    let ratio = Ratio::of_runs(&then.rest_ms, &now.rest_ms, MIN_EFFECT).ok();
    let percent = |r: f64| 100.0 * (r - 1.0);
    let (mut slower, mut verdict) = (false, format!("cannot tell what it takes beside {date}"));
    if let Some(Ratio { ratio, ci95: Some([low, high]), verdict: found, .. }) = ratio {
        let ci = format!("95 % CI {:+.1} to {:+.1} %", percent(low), percent(high));
        let by = percent(ratio);
        let apart = apart(&days);
        let is_settled =
            is_settled(&Ratio { ratio, ci95: Some([low, high]), min_effect: MIN_EFFECT, verdict: found });
        verdict = match found {
            compare::Verdict::Slower if !is_slower(&then.rest_ms, &now.rest_ms, &days) => {
                format!(
                    "cannot tell: {by:+.1} % since {date} ({ci}), and earlier days differ by {:.1} %",
                    percent(apart.exp())
                )
            }
            compare::Verdict::Slower => {
                slower = true;
                format!("{by:.1} % slower than on {date} ({ci})")
            }
            compare::Verdict::Faster => format!("{:.1} % faster than on {date} ({ci})", -by),
            compare::Verdict::CannotTell if is_settled => format!("as fast as on {date} ({ci})"),
            compare::Verdict::CannotTell => format!("cannot tell: {by:+.1} % since {date} ({ci})"),
        };
    }
    Change { then_unix_time: then.unix_time, days_ms: days, ratio, slower, verdict }
}

/// Whether a bundle is slower now than then, by the runs of both days with the device at rest, ms; `days`: medians of earlier days, the
/// last of them then's. This is what a device's limit `regression` judges by.
pub fn is_slower(then: &[f64], now: &[f64], days: &[f64]) -> bool {
    let slower = Ratio::of_runs(then, now, MIN_EFFECT).is_ok_and(|r| r.verdict == compare::Verdict::Slower);
    let by = median(now).ln() - median(then).ln();
    slower && by > apart(days)
}

/// The largest difference between days of which nothing but the day was different, as a logarithm.
fn apart(days: &[f64]) -> f64 {
    let logs = days.iter().map(|ms| ms.ln()).filter(|log| log.is_finite());
    let [low, high] = logs.fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], x| [a.min(x), b.max(x)]);
    if high > low { high - low } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(rest_ms: &[f64]) -> Measured {
        Measured {
            reports: "r.json".into(),
            unix_time: 1_700_000_000,
            rest_ms: rest_ms.to_vec(),
            p50_ms: None,
            latency: None,
            p99_ms: None,
            top1: 0.8,
            top1_ci95: [0.7, 0.9],
            images: 1,
            peak_rss_bytes: None,
            energy_mj: None,
            steady: None,
        }
    }

    #[test]
    fn slower_is_beyond_runs_and_days() {
        let then = measured(&[1.0, 1.01, 0.99, 1.0, 1.0]);
        let now = |factor: f64| measured(&then.rest_ms.iter().map(|x| factor * x).collect::<Vec<_>>());
        for (factor, days, slower, wanted) in [
            (1.0, vec![1.0], false, "as fast as on 2023-11-14"),
            (1.1, vec![1.0], true, "10.0 % slower than on 2023-11-14"),
            (1.1, vec![1.0, 1.12, 1.0], false, "cannot tell: +10.0 % since 2023-11-14"),
            (1.1, vec![1.0, 1.05, 1.0], true, "10.0 % slower"),
            (0.9, vec![1.0], false, "10.0 % faster"),
            (1.045, vec![1.0], false, "cannot tell: +4.5 %"),
        ] {
            let found = change(&then, &now(factor), days);
            assert!(found.slower == slower && found.verdict.contains(wanted), "{factor}: {}", found.verdict);
        }
        let wide = change(&measured(&[1.0, 1.3, 0.8]), &measured(&[1.1, 1.4, 0.9]), vec![1.0]);
        assert!(!wide.slower && wide.verdict.contains("cannot tell"), "{}", wide.verdict);
        let one = change(&measured(&[1.0]), &measured(&[9.0]), vec![1.0]);
        assert!(!one.slower && one.verdict.contains("cannot tell"), "{}", one.verdict);
        let odd = change(&then, &measured(&[f64::NAN; 5]), vec![1.0]);
        assert!(!odd.slower && odd.ratio.is_none(), "{}", odd.verdict);
    }
}
