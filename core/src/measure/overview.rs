//! One row per report: what a person compares. Whatever tells the rows' runs apart is a column; what they
//! share is said once. A number is never without its device and day.

use crate::measure::report::Report;
use crate::measure::samples::{Io, Latency, Pace};
use crate::text::format;
use crate::text::table::Table;

/// These are reports side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// `3 reports, all: AMD EPYC 9B45; ort 1.32.0; 2 threads; batch 1; 2026-11-26`.
    pub shared: String,
    /// A row each: name, what differs, results, then the model's size.
    pub table: Table,
}

/// What a run was made with or on: a column where it differs, else shared.
struct Fact {
    heading: &'static str,
    values: Vec<String>,
    /// In the line of what is shared: the value with its unit.
    shared: fn(&str) -> String,
}

impl Fact {
    fn differs(&self) -> bool {
        self.values.windows(2).any(|pair| pair[0] != pair[1])
    }
}

/// Puts reports side by side, at least one.
pub fn overview(reports: &[Report]) -> Overview {
    let (differing, same): (Vec<Fact>, Vec<Fact>) = facts(reports).into_iter().partition(Fact::differs);
    let said = |fact: &Fact| {
        fact.values.first().filter(|v| !["-", ""].contains(&v.as_str())).map(|v| (fact.shared)(v))
    };
    let said: Vec<String> = same.iter().filter_map(said).collect();
    let shared = match reports.len() {
        0 | 1 => said.join("; "),
        n if said.is_empty() => format!("{n} reports"),
        n => format!("{n} reports, all: {}", said.join("; ")),
    };
    let mut results = results(reports);
    let rates = differing.iter().any(|f| ["threads", "batch"].contains(&f.heading));
    results.retain(|(heading, _)| rates || *heading != "images/s");
    let names = ("model", reports.iter().map(|r| r.model.name.clone()).collect::<Vec<_>>());
    let columns: Vec<(&str, Vec<String>)> = std::iter::once(names)
        .chain(differing.into_iter().map(|f| (f.heading, f.values)))
        .chain(results)
        .chain(sizes(reports))
        .collect();
    let mut table = Table::new(columns.iter().map(|(heading, _)| *heading));
    for i in 0..reports.len() {
        table.row(columns.iter().map(|(_, cells)| cells.get(i).cloned().unwrap_or_default()));
    }
    Overview { shared, table }
}

impl Overview {
    /// Returns it for a terminal of 80 columns.
    pub fn terminal(&self) -> String {
        format!("{}\n\n{}", self.shared, self.table.render_within(80))
    }
}

/// Returns a name for each report that tells it from the others: the model's, and what differs.
pub fn labels(reports: &[Report]) -> Vec<String> {
    let facts: Vec<Fact> = facts(reports).into_iter().filter(Fact::differs).collect();
    let label = |(i, r): (usize, &Report)| {
        let value = |f: &Fact| match (f.heading, f.values.get(i).map_or("-", String::as_str)) {
            (_, "-" | "") => None,
            ("threads" | "batch" | "images" | "target", v) => Some((f.shared)(v)),
            (_, v) => Some(v.to_owned()),
        };
        std::iter::once(r.model.name.clone())
            .chain(facts.iter().filter_map(value))
            .collect::<Vec<_>>()
            .join(", ")
    };
    reports.iter().enumerate().map(label).collect()
}

/// Returns a table of one report's accuracy and size, for where its latency is told elsewhere.
pub fn without_latency(r: &Report) -> Table {
    let reports = std::slice::from_ref(r);
    let kept = |(heading, _): &(&str, Vec<String>)| !["p50", "p99", "images/s"].contains(heading);
    let columns: Vec<_> = std::iter::once(("model", vec![r.model.name.clone()]))
        .chain(results(reports).into_iter().filter(kept))
        .chain(sizes(reports))
        .collect();
    let mut table = Table::new(columns.iter().map(|(heading, _)| *heading));
    table.row(columns.into_iter().filter_map(|(_, cells)| cells.into_iter().next()));
    table
}

fn dash() -> String {
    "-".into()
}

fn facts(reports: &[Report]) -> Vec<Fact> {
    let each = |f: fn(&Report) -> String| reports.iter().map(f).collect::<Vec<String>>();
    let fact = |heading, values, shared| Fact { heading, values, shared };
    let plain: fn(&str) -> String = str::to_owned;
    let mut facts = vec![
        fact("device", devices(reports), plain),
        fact("backend", each(|r| format!("{} {}", r.backend.name, r.backend.version)), plain),
        fact("providers", each(|r| r.backend.providers.join(", ")), |v| format!("on {v}")),
        fact("settings", each(settings), plain),
        fact("precision", each(|r| r.model.precision.map_or_else(dash, |p| p.name().into())), plain),
        fact("threads", each(|r| r.backend.threads.to_string()), |v| {
            format!("{v} thread{}", if v == "1" { "" } else { "s" })
        }),
        fact("batch", each(|r| r.backend.batch.to_string()), |v| format!("batch {v}")),
        fact(
            "images",
            each(|r| r.accuracy.first().map_or_else(dash, |a| format!("{} {}", a.n, a.split))),
            |v| format!("{v} images"),
        ),
        fact("target", each(|r| r.model.target.clone().unwrap_or_else(dash)), |v| format!("made for {v}")),
        fact("date", each(|r| format::date(r.unix_time)), plain),
    ];
    // Two files of one name, two runs of one day: what tells them apart.
    let alike = |facts: &[Fact], i: usize, j: usize| {
        let same = |f: &Fact| f.values.get(i) == f.values.get(j);
        reports.get(i).map(|r| &r.model.name) == reports.get(j).map(|r| &r.model.name)
            && facts.iter().all(same)
    };
    let pairs = || (0..reports.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    let files = each(|r| r.model.sha256.chars().take(8).collect());
    if pairs().any(|(i, j)| alike(&facts, i, j) && files.get(i) != files.get(j)) {
        facts.push(fact("sha256", files, plain));
    }
    if pairs().any(|(i, j)| alike(&facts, i, j)) {
        facts.push(fact("time, UTC", each(|r| format::time(r.unix_time)), plain));
    }
    facts
}

/// Machines by name; where two kinds share one, with what else they are.
fn devices(reports: &[Report]) -> Vec<String> {
    let ambiguous = |r: &Report| reports.iter().any(|o| name(o) == name(r) && o.host.kind() != r.host.kind());
    reports.iter().map(|r| if ambiguous(r) { r.host.kind() } else { name(r) }).collect()
}

/// Returns what a person calls the machine.
pub fn name(r: &Report) -> String {
    r.host.board.as_ref().or(r.host.cpu.as_ref()).cloned().unwrap_or_else(|| r.host.arch.clone())
}

/// Whatever else a run was made with.
fn settings(r: &Report) -> String {
    let mut all: Vec<String> =
        r.backend.options.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if let Some(l) = &r.latency {
        all.extend(l.cpus.as_ref().map(|cpus| format!("CPUs {cpus}")));
        all.extend((l.io != Io::Bound).then(|| format!("io {}", l.io)));
        match l.pace {
            Pace::BackToBack => {}
            Pace::Paced { interval_ms, .. } => all.push(format!("every {interval_ms} ms")),
            Pace::SingleStream => all.push("single stream".into()),
        }
    }
    if all.is_empty() { dash() } else { all.join(", ") }
}

type Column = (&'static str, Vec<String>);

fn results(reports: &[Report]) -> Vec<Column> {
    let each = |f: fn(&Report) -> Option<String>| reports.iter().map(|r| f(r).unwrap_or_else(dash)).collect();
    let ms = |f: fn(&Latency) -> f64| move |r: &Report| r.latency.as_ref().map(|l| format::ms(f(l)));
    let parity = |r: &Report| match (r.parity.is_empty(), r.parity_passes()) {
        (true, _) => None,
        (_, true) => Some("pass".to_owned()),
        _ => Some("FAIL".into()),
    };
    let of = |f: &dyn Fn(&Report) -> Option<String>| -> Vec<String> {
        reports.iter().map(|r| f(r).unwrap_or_else(dash)).collect()
    };
    vec![
        ("p50", of(&ms(|l| l.summary.p50))),
        ("p99", of(&ms(|l| l.summary.p99))),
        (
            "images/s",
            each(|r| r.latency.as_ref().map(|l| format!("{:.0}", 1e3 * l.batch as f64 / l.summary.p50))),
        ),
        ("top-1", each(|r| r.accuracy.first().map(|a| format::percent(a.top1)))),
        ("95 % CI", each(|r| r.accuracy.first().map(|a| interval(a.top1_ci95)))),
        ("parity", of(&parity)),
    ]
}

fn sizes(reports: &[Report]) -> Vec<Column> {
    let each = |f: fn(&Report) -> Option<String>| reports.iter().map(|r| f(r).unwrap_or_else(dash)).collect();
    vec![
        ("params", each(|r| r.model.params.map(format::count))),
        ("MACs", each(|r| r.model.macs.map(format::count))),
        ("file", each(|r| Some(format::bytes(r.model.bytes)))),
    ]
}

/// Returns a share's interval, in percent.
pub fn interval([low, high]: [f64; 2]) -> String {
    format!("{:.2} to {:.2}", low * 100.0, high * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::sample_report::report;

    #[test]
    fn what_differs_is_a_column_and_what_does_not_is_said_once() {
        let a = report("a");
        let one = overview(std::slice::from_ref(&a));
        assert_eq!(one.table.headings[0], "model");
        assert!(
            one.shared.contains("ort 1; on CPU; 1 thread; batch 1; 2 test images; 1970-01-01"),
            "{}",
            one.shared
        );
        type Edit = fn(&mut Report);
        let cases: [(&str, Edit); 12] = [
            ("device", |r| r.host.board = Some("Raspberry Pi 5".into())),
            ("device", |r| r.host.cores = 7),
            ("backend", |r| r.backend.version = "2".into()),
            ("backend", |r| r.backend.name = "wgpu".into()),
            ("providers", |r| r.backend.providers = vec!["CUDA".into()]),
            ("precision", |r| r.model.precision = Some(crate::Precision::Int8)),
            ("threads", |r| r.backend.threads = 4),
            ("batch", |r| r.backend.batch = 8),
            ("settings", |r| drop(r.backend.options.insert("spin".into(), "off".into()))),
            ("settings", |r| r.latency.as_mut().unwrap().cpus = Some("0-3".into())),
            ("date", |r| r.unix_time = 90_000),
            ("sha256", |r| r.model.sha256 = "ff".into()),
        ];
        let mut wrong = Vec::new();
        for (heading, edit) in cases {
            let mut b = report("a");
            edit(&mut b);
            let both = overview(&[a.clone(), b]);
            let at = both.table.headings.iter().position(|h| h == heading);
            let cells = at.map(|i| both.table.rows.iter().map(|r| r[i].clone()).collect::<Vec<_>>());
            if cells.as_ref().is_none_or(|c| c[0] == c[1]) {
                wrong.push(format!("{heading}: {:?} {cells:?}", both.table.headings));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // Two runs of one day with nothing else to tell them by.
        let mut later = a.clone();
        later.unix_time = 61;
        let both = overview(&[a, later]).table;
        let at = both.headings.iter().position(|h| h == "time, UTC").unwrap();
        assert_eq!([&both.rows[0][at], &both.rows[1][at]], ["00:00:00", "00:01:01"]);
    }

    #[test]
    fn labels_tell_reports_apart() {
        let mut reports = vec![report("a"), report("a"), report("b")];
        reports[1].backend.threads = 4;
        reports[2].host.board = Some("Pi".into());
        let labels = labels(&reports);
        assert_eq!(labels[1..], ["a, 4 threads", "b, Pi, 1 thread"].map(str::to_owned), "{labels:?}");
        assert!(labels[0] != labels[1]);
    }

    #[test]
    fn rows_fit_a_terminal() {
        let mut reports: Vec<Report> = (0..4).map(|i| report(&format!("student-{i}-of-some-name"))).collect();
        reports[1].host.board = Some("Raspberry Pi 5 Model B Rev 1.0".into());
        reports[2].backend.threads = 4;
        reports[3].unix_time = 1e9 as u64;
        let text = overview(&reports).terminal();
        let widest = text.lines().map(|l| l.chars().count()).max().unwrap();
        assert!(widest <= 80, "{widest}\n{text}");
        for wanted in ["device", "threads", "date", "2001-09-09", "p50", "Raspberry Pi 5"] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
}
