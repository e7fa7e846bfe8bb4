//! A device's limits, each beside what was found: kept, missed, or nobody can tell.

use gtn_core::fleet::result::{Delivery, Gate, Measured, Outcome, State, Verdict};
use gtn_core::fleet::{Budget, Member};
use gtn_core::latency::Prediction;
use gtn_core::text::format;

/// Whether a limit is not kept.
pub fn is_missed(gate: &Gate) -> bool {
    gate.verdict == Verdict::Missed
}

/// The first limit that a bundle's own measurements miss, as a reason to try another.
pub fn misses(budget: &Budget, measured: &Measured) -> Option<String> {
    let missed = of_times(budget, None, Some(measured)).into_iter().find(is_missed)?;
    Some(format!("{}: {}, wanted {}", missed.name, missed.found, missed.limit.unwrap_or_default()))
}

/// Every limit of a device, in the order in which people ask.
pub fn of(outcome: &Outcome, member: &Member) -> Vec<Gate> {
    let yes = |name: &str, found: String, verdict| Gate { name: name.into(), limit: None, found, verdict };
    let mut gates = Vec::new();
    let why = || outcome.why.clone().unwrap_or_default();
    if member.on.is_some() {
        gates.push(match outcome.state {
            State::Unreached => yes("reached", why(), Verdict::Unknown),
            _ => yes("reached", "yes".into(), Verdict::Kept),
        });
    }
    let Some(delivery) = &outcome.delivery else {
        let verdict = if outcome.state == State::Unreached { Verdict::Unknown } else { Verdict::Missed };
        gates.push(yes("served", why(), verdict));
        return gates;
    };
    gates.push(yes("served", format!("{} in {}", delivery.student, delivery.precision), Verdict::Kept));
    let measured = delivery.measured.as_ref();
    if member.on.is_some() {
        gates.push(match measured {
            Some(m) => yes("parity", format!("agrees on {} images", m.images), Verdict::Kept),
            None => yes("parity", "did not run there".into(), Verdict::Unknown),
        });
    }
    gates.extend(of_times(&outcome.budget, Some(&delivery.predicted), measured));
    gates.extend(of_sizes(&outcome.budget, delivery));
    gates
}

/// What is known by measuring, and of the latency at rest by prediction, too.
fn of_times(budget: &Budget, predicted: Option<&Prediction>, measured: Option<&Measured>) -> Vec<Gate> {
    let mut gates = Vec::new();
    let mut gate = |name: &str, limit: Option<f64>, unit: &dyn Fn(f64) -> String, found: Found| {
        let Some(limit) = limit else { return };
        let (found, verdict) = match found {
            Found::Measured { told, at_most } if at_most <= limit => (told, Verdict::Kept),
            Found::Measured { told, .. } => (told, Verdict::Missed),
            Found::Predicted(p) if p.band[1] <= limit => (p.to_string(), Verdict::Predicted),
            Found::Predicted(p) => (format!("{p}: the band reaches beyond it"), Verdict::Unknown),
            Found::Never(why) => (why, Verdict::Missed),
            Found::Nothing(why) => (why, Verdict::Unknown),
        };
        gates.push(Gate { name: name.into(), limit: Some(unit(limit)), found, verdict });
    };
    let not_run = || Found::Nothing("not measured".into());
    let latency = match (measured.and_then(|m| m.latency), predicted) {
        (Some(l), _) => Found::Measured { told: l.to_string(), at_most: l.to_be_within() },
        (None, Some(p)) => Found::Predicted(*p),
        (None, None) => not_run(),
    };
    gate("latency", budget.latency_ms, &format::ms, latency);
    let p99 = measured.and_then(|m| m.p99_ms);
    let p99 = p99.map_or_else(not_run, |ms| Found::Measured { told: format::ms(ms), at_most: ms });
    gate("p99", budget.p99_ms, &format::ms, p99);
    let steady = match measured.and_then(|m| m.steady.as_ref()) {
        None => not_run(),
        Some(warm) => match warm.steady_ms.zip(warm.steady_ci95) {
            Some((ms, [_, high])) => {
                Found::Measured { told: format!("{} ({})", format::ms(ms), warm.verdict), at_most: high }
            }
            None => Found::Never(warm.verdict.clone()),
        },
    };
    gate("steady", budget.steady_ms, &format::ms, steady);
    let mj = |mj: f64| format!("{mj:.3} mJ");
    let energy = match (measured, measured.and_then(|m| m.energy_mj)) {
        (_, Some([best, low, high])) => {
            Found::Measured { told: format!("{} ({} to {})", mj(best), mj(low), mj(high)), at_most: high }
        }
        (Some(_), None) => Found::Nothing("gtn-run reads no power meter yet".into()),
        (None, None) => not_run(),
    };
    gate("energy", budget.energy_mj, &mj, energy);
    gates
}

/// What was found of a limit.
enum Found {
    /// It, for people, and what must be within the limit.
    Measured { told: String, at_most: f64 },
    /// Before anything ran.
    Predicted(Prediction),
    /// Measured, and there is no such value.
    Never(String),
    /// Why there is nothing.
    Nothing(String),
}

/// What is known of the file.
fn of_sizes(budget: &Budget, delivery: &Delivery) -> Vec<Gate> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut gates = Vec::new();
    let sizes = [
        ("memory", budget.memory_mib, delivery.memory_bytes),
        ("model", budget.model_mib, delivery.model_bytes),
    ];
    for (name, limit, bytes) in sizes {
        if let Some(limit) = limit {
            let verdict = if mib(bytes) <= limit { Verdict::Kept } else { Verdict::Missed };
            let (limit, found) = (Some(format!("{limit} MiB")), format::bytes(bytes));
            gates.push(Gate { name: name.into(), limit, found, verdict });
        }
    }
    if let Some(least) = budget.top1 {
        let verdict = if delivery.val_top1 >= least { Verdict::Kept } else { Verdict::Missed };
        gates.push(Gate {
            name: "top-1".into(),
            limit: Some(format!("from {} on", format::percent(least))),
            found: format!("{} on val", format::percent(delivery.val_top1)),
            verdict,
        });
    }
    gates
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::fleet::result::Warm;
    use gtn_core::latency::Basis;

    fn measured() -> Measured {
        Measured {
            reports: "r.json".into(),
            unix_time: 1,
            rest_ms: vec![1.0; 5],
            p50_ms: Some(1.1),
            latency: Some(Prediction { ms: 1.0, band: [0.9, 1.1], basis: Basis::Measured }),
            p99_ms: Some(1.5),
            top1: 0.8,
            top1_ci95: [0.7, 0.9],
            images: 100,
            peak_rss_bytes: None,
            energy_mj: None,
            steady: None,
        }
    }

    #[test]
    fn a_limit_is_missed_by_what_was_measured_alone() {
        let warm = |steady_ms: Option<f64>| Warm {
            soak: "s.json".into(),
            verdict: "steady from minute 2.0".into(),
            steady_ms,
            steady_ci95: steady_ms.map(|ms| [0.98 * ms, 1.02 * ms]),
            over_first: None,
        };
        let none = Budget::default();
        let warmed = |ms| Measured { steady: Some(warm(ms)), ..measured() };
        for (budget, measured, wanted) in [
            (none, measured(), None),
            (Budget { latency_ms: Some(1.1), ..none }, measured(), None),
            (Budget { latency_ms: Some(1.09), ..none }, measured(), Some("latency")),
            (Budget { p99_ms: Some(1.4), ..none }, measured(), Some("p99: 1.50 ms, wanted 1.40 ms")),
            (Budget { steady_ms: Some(1.2), ..none }, measured(), None),
            (Budget { steady_ms: Some(1.2), ..none }, warmed(Some(1.1)), None),
            (
                Budget { steady_ms: Some(1.2), ..none },
                warmed(Some(1.19)),
                Some("steady: 1.19 ms (steady from"),
            ),
            (Budget { steady_ms: Some(1.2), ..none }, warmed(None), Some("steady: steady from")),
            (Budget { energy_mj: Some(1.0), ..none }, measured(), None),
            (
                Budget { energy_mj: Some(1.0), ..none },
                Measured { energy_mj: Some([0.9, 0.8, 1.01]), ..measured() },
                Some("energy: 0.900 mJ"),
            ),
            (
                Budget { p99_ms: Some(1.0), ..none },
                Measured { p99_ms: Some(f64::NAN), ..measured() },
                Some("p99"),
            ),
        ] {
            let found = misses(&budget, &measured);
            match wanted {
                None => assert_eq!(found, None, "{budget}"),
                Some(text) => {
                    assert!(found.as_ref().is_some_and(|f| f.contains(text)), "{budget}: {found:?}")
                }
            }
        }
    }
}
