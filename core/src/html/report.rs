//! A report for people: terminal tables and one self-contained HTML page, for one model or several.

use crate::host::{Cluster, Host, cpu_list};
use crate::html::page::Page;
use crate::html::plot;
use crate::measure::overview::{interval, labels, name as machine, overview};
use crate::measure::report::{Memory, Report};
use crate::measure::samples::{Io, Latency, Pace};
use crate::text::format;
use crate::text::table::Table;

/// Returns everything about one report but its name, as (what, value) rows.
pub fn details(r: &Report) -> Table {
    let mut table = Table::new(["what", "value"]);
    let b = &r.backend;
    let mut row = |what: &str, value: String| {
        table.row([what.to_owned(), value]);
    };
    row("backend", format!("{} {} on {} ({})", b.name, b.version, b.providers.join(", "), b.why));
    let extra: String = b.options.iter().map(|(name, value)| format!(", {name} {value}")).collect();
    row("threads, batch", format!("{}, {}{extra}", b.threads, b.batch));
    if !b.nodes.is_empty() {
        let each: Vec<String> = b.nodes.iter().map(|(provider, n)| format!("{n} on {provider}")).collect();
        row("nodes", each.join(", "));
    }
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
        if let Some(r) = &l.robust {
            let ci = |ci: Option<[f64; 2]>| {
                ci.map_or_else(|| "too few samples".into(), |[low, high]| format!("{low:.4} to {high:.4}"))
            };
            let all = [r.p50_ci95, r.p90_ci95, r.p99_ci95].map(ci).join(" / ");
            row("their 95 % intervals, ms", all);
        }
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
        row("images a second", format!("{:.0}", 1e3 * l.batch as f64 / s.mean));
        row("inferences measured", measured(l));
    }
    match (&r.memory, r.peak_rss_bytes) {
        (Some(m), _) => row("resident memory", memory(m)),
        (None, Some(rss)) => row("peak resident memory", format::bytes(rss)),
        _ => {}
    }
    table
}

fn measured(l: &Latency) -> String {
    let mut text = l.inferences.max(l.summary.n).to_string();
    if l.kept_every > 1 {
        text.push_str(&format!(" (every {}th kept)", l.kept_every));
    }
    text.push_str(match l.pace {
        Pace::BackToBack => ", back to back",
        Pace::Paced { .. } => ", paced",
        Pace::SingleStream => ", as MLPerf's single stream",
    });
    if let Pace::Paced { interval_ms, late } = l.pace {
        text.push_str(&format!(" every {interval_ms} ms ({late} late)"));
    }
    if l.io != Io::Bound {
        text.push_str(", inputs and outputs copied each time");
    }
    text
}

/// Peak, and what it is made of; growth is per 1,000 inferences after the warm-up.
fn memory(m: &Memory) -> String {
    let grown = m.end as f64 - m.warm as f64;
    let [_, runs] = m.runs;
    format!(
        "{} at most; the model takes {}; growth over {runs} inferences {:.0} KiB",
        format::bytes(m.peak),
        format::bytes(m.warm.saturating_sub(m.start)),
        grown / 1024.0
    )
}

/// Returns the machine, as (what, value) rows.
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
    row("clusters", clusters(h));
    row("CPU quota", h.cpu_quota.map(|q| format!("{q:.2} cores' worth")));
    row("instruction sets", Some(h.isa.join(" ")).filter(|s| !s.is_empty()));
    row("memory", h.ram_bytes.map(format::bytes));
    row("system", Some(format!("{} {}", h.os, h.kernel.as_deref().unwrap_or_default())));
    row("virtualised", h.virtualised.clone());
    if let Some(l) = &r.latency {
        let pair = |a: Option<f64>, b: Option<f64>, unit: &str| {
            a.zip(b).map(|(a, b)| format!("{a:.0} {unit} before, {b:.0} {unit} after"))
        };
        row("confined to CPUs", l.cpus.clone());
        row("governor", l.before.governor.clone());
        row("clock", pair(l.before.mhz, l.after.mhz, "MHz"));
        row("temperature", pair(l.before.celsius, l.after.celsius, "°C"));
        row("load", l.before.load1.zip(l.after.load1).map(|(a, b)| format!("{a:.2} before, {b:.2} after")));
    }
    table
}

/// Returns `0-3: Cortex-A55, 1800 MHz; 4-7: Cortex-A76, 2400 MHz`, where there is more to say than a count.
pub fn clusters(h: &Host) -> Option<String> {
    let one = |c: &Cluster| {
        let core = c.core.as_ref().map_or_else(String::new, |core| format!(": {core}"));
        let clock = c.max_mhz.map_or_else(String::new, |m| format!(", {m:.0} MHz"));
        format!("{}{core}{clock}", cpu_list(&c.cpus))
    };
    let told = h.clusters.iter().any(|c| c.core.is_some() || c.max_mhz.is_some());
    told.then(|| h.clusters.iter().map(one).collect::<Vec<_>>().join("; "))
}

/// Returns what a terminal shows of one report.
pub fn terminal(r: &Report) -> String {
    let mut out = format!("{}\n{}", overview(std::slice::from_ref(r)).terminal(), details(r).render());
    if let Some(p) = &r.profile {
        out.push_str(&format!("\n{}\n{}\n", p.table().render(), p.about()));
    }
    for warning in &r.warnings {
        out.push_str(&format!("\nwarning: {warning}"));
    }
    if !r.warnings.is_empty() {
        out.push('\n');
    }
    out
}

/// Makes one page about all `reports` (at least one).
pub fn page(reports: &[Report], title: &str) -> String {
    let subtitle = reports.first().map_or_else(String::new, |r| {
        format!("{} on {}, {} {}", r.program, machine(r), r.backend.name, r.backend.version)
    });
    let mut page = Page::new(title, &subtitle);
    if reports.len() > 1 {
        several(&mut page, reports);
    }
    let machines = machines(reports);
    for (r, label) in reports.iter().zip(labels(reports)) {
        if reports.len() > 1 {
            page.heading(&label);
        }
        section(&mut page, r);
    }
    for r in &machines {
        let name = if machines.len() > 1 { format!("Machine: {}", machine(r)) } else { "Machine".into() };
        page.heading(&name).table(&host(r));
    }
    page.finish()
}

/// The first report of each machine.
fn machines(reports: &[Report]) -> Vec<&Report> {
    let mut found: Vec<&Report> = Vec::new();
    for r in reports {
        if !found.iter().any(|f| f.host.kind() == r.host.kind()) {
            found.push(r);
        }
    }
    found
}

/// Tables and plots of all reports together.
fn several(page: &mut Page, reports: &[Report]) {
    let labels = labels(reports);
    let overview = overview(reports);
    page.text(&overview.shared).table(&overview.table);
    let percent = |x: f64| 100.0 * x;
    let point = |(r, label): (&Report, &String)| {
        let (a, l) = (r.accuracy.first()?, r.latency.as_ref()?);
        let (label, interval) = (label.clone(), Some(a.top1_ci95.map(percent)));
        Some(plot::Point { label, x: l.summary.p50, y: percent(a.top1), interval })
    };
    let points: Vec<_> = reports.iter().zip(&labels).filter_map(point).collect();
    if !points.is_empty() {
        let svg = plot::scatter(&points, "latency p50, ms", "top-1, %", "accuracy against latency");
        let caption = "Accuracy (95 % interval) against latency: up and to the left is better. The line joins those that none \
                       beats in both.";
        page.plot(&svg, caption);
    }
    let span = |(r, label): (&Report, &String)| {
        let l = r.latency.as_ref()?;
        Some(plot::Span {
            name: label.clone(),
            marks: [l.summary.min, l.summary.p50, l.summary.p90, l.summary.p99],
        })
    };
    let spans: Vec<_> = reports.iter().zip(&labels).filter_map(span).collect();
    if spans.len() > 1 {
        let svg = plot::spans(&spans, "milliseconds", "latency distributions");
        page.plot(&svg, "From the fastest inference to p99; the thick part ends at p90, the mark is p50.");
    }
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
    if let Some(p) = &r.profile {
        let bar = |(o, share): &(&crate::measure::op_profile::OpTime, f64)| plot::Bar {
            name: o.name.clone(),
            value: o.us,
            note: o.gmac_s().map_or_else(
                || format!("{:.1} us, {:.0} %", o.us, 100.0 * share),
                |g| format!("{:.1} us, {:.0} %, {g:.1} GMAC/s", o.us, 100.0 * share),
            ),
        };
        let rows: Vec<_> = p.ranked().iter().take(40).map(bar).collect();
        page.plot(&plot::ranked(&rows, "microseconds", "time by node"), &p.about());
        page.table(&p.table());
    }
    for a in &r.accuracy {
        let row = |c: &crate::measure::report::ClassAccuracy| {
            let share = c.correct as f64 / c.n.max(1) as f64;
            (c.label.clone(), share, crate::measure::shares::share_ci95(c.correct, c.n))
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
    use crate::measure::sample_report::report;

    #[test]
    fn the_page_is_whole_and_fetches_nothing() {
        let page = page(&[report("a"), report("b<b>")], "T");
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert_eq!(page.matches("<svg").count(), 8, "a scatter, distributions, and three plots a report");
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
