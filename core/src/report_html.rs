//! A report for people: terminal tables and one self-contained HTML page, for one model or several.

use crate::html::Page;
use crate::report::{Latency, Report};
use crate::table::Table;
use crate::{format, plot};

/// One row per report: what a person compares.
pub fn overview(reports: &[Report]) -> Table {
    let mut table =
        Table::new(["model", "params", "MACs", "file", "top-1", "95 % CI", "p50", "p99", "parity"]);
    let dash = || "-".to_owned();
    for r in reports {
        let accuracy = r.accuracy.first();
        let latency = |f: fn(&Latency) -> f64| r.latency.as_ref().map_or_else(dash, |l| format::ms(f(l)));
        let parity = match (r.parity.is_empty(), r.parity_passes()) {
            (true, _) => "-",
            (_, true) => "pass",
            _ => "FAIL",
        };
        table.row([
            r.model.name.clone(),
            r.model.params.map_or_else(dash, format::count),
            r.model.macs.map_or_else(dash, format::count),
            format::bytes(r.model.bytes),
            accuracy.map_or_else(dash, |a| format::percent(a.top1)),
            accuracy.map_or_else(dash, |a| interval(a.top1_ci95)),
            latency(|l| l.summary.p50),
            latency(|l| l.summary.p99),
            parity.to_owned(),
        ]);
    }
    table
}

fn interval([low, high]: [f64; 2]) -> String {
    format!("{:.2} to {:.2}", low * 100.0, high * 100.0)
}

/// Everything about one report but its name, as (what, value) rows.
pub fn details(r: &Report) -> Table {
    let mut table = Table::new(["what", "value"]);
    let b = &r.backend;
    let mut row = |what: &str, value: String| {
        table.row([what.to_owned(), value]);
    };
    row("backend", format!("{} {} on {} ({})", b.name, b.version, b.providers.join(", "), b.why));
    row("threads, batch", format!("{}, {}", b.threads, b.batch));
    for check in &r.parity {
        let p = &check.parity;
        let verdict = if p.pass { "pass" } else { "FAIL" };
        row(
            &format!("parity with {}", check.against),
            format!(
                "{verdict}: max |difference| {:.2e} (bound {:.2e}), top class differs on {} of {} images",
                p.max_abs, p.bound, p.argmax_differs, p.n
            ),
        );
    }
    for a in &r.accuracy {
        let of = |share, ci| format!("{} (95 % CI {})", format::percent(share), interval(ci));
        row(&format!("top-1, {} {} images", a.n, a.split), of(a.top1, a.top1_ci95));
        row(&format!("top-5, {} {} images", a.n, a.split), of(a.top5, a.top5_ci95));
    }
    if let Some(l) = &r.latency {
        let s = &l.summary;
        row("load, first inference", format!("{}, {}", format::ms(l.init_ms), format::ms(l.first_ms)));
        row("warm-up", format!("{} inferences, {:.2} s", l.warmup_runs, l.warmup_s));
        row(
            "latency p50 / p90 / p99",
            format!("{} / {} / {}", format::ms(s.p50), format::ms(s.p90), format::ms(s.p99)),
        );
        row(
            "latency min / mean / max / sd",
            format!(
                "{} / {} / {} / {}",
                format::ms(s.min),
                format::ms(s.mean),
                format::ms(s.max),
                format::ms(s.sd)
            ),
        );
        row("inferences measured", s.n.to_string());
    }
    if let Some(rss) = r.peak_rss_bytes {
        row("peak resident memory", format::bytes(rss));
    }
    table
}

/// The machine, as (what, value) rows.
pub fn host(r: &Report) -> Table {
    let mut table = Table::new(["host", "value"]);
    let h = &r.host;
    let mut row = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row([what.to_owned(), value]);
        }
    };
    row("board", h.board.clone());
    row("processor", h.cpu.clone());
    row("cores, architecture", Some(format!("{}, {}", h.cores, h.arch)));
    row("instruction sets", Some(h.isa.join(" ")).filter(|s| !s.is_empty()));
    row("memory", h.ram_bytes.map(format::bytes));
    row("system", Some(format!("{} {}", h.os, h.kernel.as_deref().unwrap_or_default())));
    row("virtualised", h.virtualised.clone());
    if let Some(l) = &r.latency {
        let pair = |a: Option<f64>, b: Option<f64>, unit: &str| {
            a.zip(b).map(|(a, b)| format!("{a:.0} {unit} before, {b:.0} {unit} after"))
        };
        row("governor", l.before.governor.clone());
        row("clock", pair(l.before.mhz, l.after.mhz, "MHz"));
        row("temperature", pair(l.before.celsius, l.after.celsius, "°C"));
        row("load", l.before.load1.zip(l.after.load1).map(|(a, b)| format!("{a:.2} before, {b:.2} after")));
    }
    table
}

/// What a terminal shows of one report.
pub fn terminal(r: &Report) -> String {
    let mut out = format!("{}\n{}", overview(std::slice::from_ref(r)).render(), details(r).render());
    for warning in &r.warnings {
        out.push_str(&format!("\nwarning: {warning}"));
    }
    if !r.warnings.is_empty() {
        out.push('\n');
    }
    out
}

/// One page about all `reports` (at least one).
pub fn page(reports: &[Report], title: &str) -> String {
    let subtitle = reports.first().map_or_else(String::new, |r| {
        let machine = r.host.board.as_ref().or(r.host.cpu.as_ref()).cloned().unwrap_or_default();
        format!("{} on {machine}, {} {}", r.program, r.backend.name, r.backend.version)
    });
    let mut page = Page::new(title, &subtitle);
    if reports.len() > 1 {
        page.table(&overview(reports));
        let point = |r: &Report| {
            let (a, l) = (r.accuracy.first()?, r.latency.as_ref()?);
            let percent = |x: f64| 100.0 * x;
            Some(plot::Point {
                label: r.model.name.clone(),
                x: l.summary.p50,
                y: percent(a.top1),
                interval: Some(a.top1_ci95.map(percent)),
            })
        };
        let points: Vec<_> = reports.iter().filter_map(point).collect();
        if !points.is_empty() {
            let svg = plot::scatter(&points, "latency p50, ms", "top-1, %", "accuracy against latency");
            page.plot(&svg, "Accuracy (95 % interval) against latency: up and to the left is better.");
        }
    }
    for r in reports {
        if reports.len() > 1 {
            page.heading(&r.model.name);
        }
        section(&mut page, r);
    }
    if let Some(r) = reports.first() {
        page.heading("Machine").table(&host(r));
    }
    page.finish()
}

fn section(page: &mut Page, r: &Report) {
    let mut tiles = Vec::new();
    if let Some(a) = r.accuracy.first() {
        tiles.push((format::percent(a.top1), format!("top-1, {} {} images", a.n, a.split)));
    }
    if let Some(l) = &r.latency {
        tiles.push((format::ms(l.summary.p50), format!("latency p50, batch {}", l.batch)));
    }
    tiles.push((format::bytes(r.model.bytes), "model file".into()));
    if let Some((params, macs)) = r.model.params.zip(r.model.macs) {
        tiles.push((format::count(params), format!("parameters, {} MACs", format::count(macs))));
    }
    page.tiles(&tiles);
    page.warnings(&r.warnings.iter().map(ToString::to_string).collect::<Vec<_>>());
    page.table(&details(r));
    if let Some(l) = &r.latency {
        let marks = [("p50", l.summary.p50), ("p90", l.summary.p90), ("p99", l.summary.p99)];
        let svg = plot::histogram(&l.samples_ms, &marks, "milliseconds", "latency distribution");
        page.plot(&svg, "How long each inference took; the last bar holds everything slower.");
        let points = l.samples_ms.iter().enumerate().map(|(i, ms)| (i as f64, *ms)).collect();
        let series = [plot::Series { name: "inference".into(), points: thin(points) }];
        let svg = plot::lines(&series, "inference", "milliseconds", "latency over time");
        page.plot(&svg, "The same in order: drift and throttling show here.");
    }
    for a in &r.accuracy {
        let row = |c: &crate::report::ClassAccuracy| {
            let share = c.correct as f64 / c.n.max(1) as f64;
            (c.label.clone(), share, crate::stats::wilson95(c.correct, c.n))
        };
        let rows: Vec<_> = a.per_class.iter().filter(|c| c.n > 0).map(row).collect();
        let svg = plot::bars(&rows, "rightly classified, %", "accuracy by class");
        page.plot(&svg, &format!("{} images of split {}, by class, with 95 % intervals.", a.n, a.split));
    }
}

/// At most 1,500 points: the largest of each run of neighbours, so that outliers stay visible.
fn thin(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let every = points.len().div_ceil(1500).max(1);
    let largest = |run: &[(f64, f64)]| run.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(every).filter_map(largest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Conditions, Host};
    use crate::report::{Accuracy, BackendInfo, Model, SCHEMA, Warning};
    use crate::stats::Summary;

    fn report(name: &str) -> Report {
        let samples: Vec<f64> = (0..300).map(|i| 1.0 + f64::from(i % 7) * 0.01).collect();
        let names: Vec<String> = ["cat", "<dog>"].map(str::to_owned).to_vec();
        Report {
            schema: SCHEMA.into(),
            program: "gtn-run 0".into(),
            unix_time: 0,
            model: Model {
                name: name.into(),
                sha256: "00".into(),
                bytes: 1234,
                target: None,
                precision: None,
                arch: None,
                macs: Some(5_000_000),
                params: Some(44_000),
            },
            host: Host::default(),
            backend: BackendInfo {
                name: "ort".into(),
                version: "1".into(),
                library: "x".into(),
                providers: vec!["CPU".into()],
                threads: 1,
                batch: 1,
                why: "asked for".into(),
            },
            parity: vec![],
            accuracy: vec![Accuracy::of("test", &[1.0, 0.0, 0.0, 1.0], &[0, 1], &names)],
            latency: Some(Latency {
                batch: 1,
                init_ms: 2.0,
                first_ms: 1.0,
                warmup_runs: 3,
                warmup_s: 0.1,
                summary: Summary::of(&samples).unwrap(),
                samples_ms: samples,
                before: Conditions::default(),
                after: Conditions::default(),
            }),
            peak_rss_bytes: None,
            warnings: vec![Warning::FewImages { n: 2 }],
        }
    }

    #[test]
    fn the_page_is_whole_and_fetches_nothing() {
        let page = page(&[report("a"), report("b<b>")], "T");
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert_eq!(page.matches("<svg").count(), 7, "a scatter, and three plots a report");
        for outside in ["http:", "https:", "<script", "<link", "url(", "@import", "<dog>", "b<b>"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_report_round_trips() {
        let r = report("a");
        assert_eq!(serde_json::from_str::<Report>(&serde_json::to_string(&r).unwrap()).unwrap(), r);
        assert!(terminal(&r).contains("warning: 2 images"));
    }
}
