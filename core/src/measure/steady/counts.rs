//! How often the rule finds the truth: `cargo test -p gtn-core measure::steady -- --nocapture` prints the table of
//! docs/soak.md.

use super::corpus::{Kind, Trace, Truth, trace};
use super::{Span, Steady, Verdict, judge};
use crate::text::table::Table;

fn judged(trace: &Trace) -> Steady {
    let span = |(i, m): (usize, &f64)| Span { from_s: i as f64, to_s: i as f64 + 1.0, median_ms: *m };
    judge(&trace.medians.iter().enumerate().map(span).collect::<Vec<_>>())
}

/// What came of a trace: right, or how it is wrong.
fn outcome(trace: &Trace) -> Result<(), String> {
    let found = judged(trace);
    let wrong = || Err(format!("{:?} from block {:?}, truth {:?}", found.verdict, found.from_block, trace.truth));
    let is_cycles = matches!(found.verdict, Verdict::Cycles { .. });
    match (trace.truth, found.from_block) {
        (Truth::From([earliest, latest]), Some(from)) if !is_cycles => {
            if (earliest..=latest + 1).contains(&(from + usize::from(from < earliest))) { Ok(()) } else { wrong() }
        }
        (Truth::Cycles(at), Some(from)) if is_cycles && from.abs_diff(at) <= 1 => Ok(()),
        (Truth::Never, None) => Ok(()),
        _ => wrong(),
    }
}

/// Right traces of a kind, and what was wrong with the others.
fn count(kind: Kind, seeds: std::ops::Range<u64>) -> (usize, Vec<String>) {
    let outcomes = seeds.map(|seed| (seed, outcome(&trace(kind, seed))));
    let (mut right, mut wrong) = (0, Vec::new());
    for (seed, outcome) in outcomes {
        match outcome {
            Ok(()) => right += 1,
            Err(why) => wrong.push(format!("{} {seed}: {why}", kind.name())),
        }
    }
    (right, wrong)
}

#[test]
fn dev() {
    for kind in Kind::ALL {
        let (right, wrong) = count(kind, 0..100);
        println!("{}: {right}", kind.name());
        for w in wrong { println!("    {w}"); }
    }
}
#[test]
fn dbg() {
    let Ok(what) = std::env::var("DBG") else { return };
    for w in what.split(';') {
        let (k, s) = w.rsplit_once(' ').unwrap();
        let kind = *Kind::ALL.iter().find(|x| x.name() == k).unwrap();
        let t = trace(kind, s.parse().unwrap());
        let logs: Vec<f64> = t.medians.iter().map(|m| m.ln()).collect();
        let p = super::pieces::find(&logs, &vec![false; logs.len()]);
        let c = logs[0];
        println!("{w} n={} noise {:.4} truth {:?}", logs.len(), super::pieces::noise(&logs), t.truth);
        let show = |p: &[super::pieces::Piece]| p.iter().map(|p| format!("{}..{} {:+.3}{}", p.from, p.to, p.begin - c, if p.is_flat() { String::new() } else { format!("->{:+.3}", p.end - c) })).collect::<Vec<_>>().join(", ");
        println!("   {}", show(&p));
        let mut out = vec![false; logs.len()]; let mut f = p;
        for _ in 0..4 { let m = super::states::disturbed(&f, &out); if m == out { break; } out = m; f = super::pieces::find(&logs, &out); println!("   -> {}", show(&f)); }
        println!("   => {}", show(&super::states::join(&logs, &out, &f)));
    }
}
