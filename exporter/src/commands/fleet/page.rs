//! A fleet's result for people: a table on the terminal, a page in the browser.

use gtn_core::fleet::Budget;
use gtn_core::fleet::result::{Delivery, FleetResult, Outcome, Spent, State, Verdict};
use gtn_core::host::Host;
use gtn_core::html::page::Page;
use gtn_core::html::plot::{Point, scatter};
use gtn_core::text::format;
use gtn_core::text::table::Table;
use std::path::Path;

/// Devices with a card of their own: those that want attention first, and a page of a thousand is not looked at.
const MOST_CARDS: usize = 50;
/// Points of the plot that have names.
const MOST_NAMES: usize = 30;
/// Devices that a line names.
const NAMED: usize = 10;
/// Columns of a terminal.
const WIDTH: usize = 80;

/// The verdict, one sentence.
pub fn verdict(result: &FleetResult) -> String {
    let all: u64 = result.devices.iter().map(|d| u64::from(d.count)).sum();
    let [proved, predicted, missed, unreached] =
        [State::Proved, State::Predicted, State::Missed, State::Unreached].map(|s| result.count(s));
    let mut parts = Vec::new();
    for (n, what) in [
        (proved, "proved there"),
        (predicted, "predicted, not run"),
        (missed, "miss a limit"),
        (unreached, "not reached"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    }
    format!("{} of {all} devices have their student: {}", proved + predicted, parts.join(", "))
}

/// What the terminal shows: the verdict, the table, and what is to be known of a device, a line each for the first
/// few.
pub fn terminal(result: &FleetResult) -> String {
    let mut text = format!("{}\n\n{}", verdict(result), table(result, false).render_within(WIDTH));
    let lines: Vec<String> = result.devices.iter().flat_map(remarks).collect();
    lines.iter().take(NAMED).for_each(|line| text.push_str(&format!("{line}\n")));
    if let more @ 1.. = lines.len().saturating_sub(NAMED) {
        text.push_str(&format!("and {more} more such lines: the page has them\n"));
    }
    text
}

/// What kept a device from being served, what nobody can tell yet, what changed.
fn remarks(d: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(why) = d.why.as_ref().filter(|_| d.state != State::Proved) {
        lines.push(format!("{}: {}: {why}", d.name, d.state));
    }
    for gate in d.gates.iter().filter(|g| g.verdict == Verdict::Unknown && g.limit.is_some()) {
        let limit = gate.limit.clone().unwrap_or_default();
        lines.push(format!("{}: {} within {limit}? {}", d.name, gate.name, gate.found));
    }
    lines.extend(d.change.iter().map(|change| format!("{}: {}", d.name, change.verdict)));
    lines
}

fn short(delivery: &Delivery) -> String {
    Path::new(&delivery.student)
        .file_name()
        .map_or(delivery.student.clone(), |n| n.to_string_lossy().into_owned())
}

fn table(result: &FleetResult, long: bool) -> Table {
    let headings = ["device", "count", "state", "student", "precision", "latency", "val top-1"];
    let more = ["latency is", "test top-1", "within"];
    let mut table = Table::new(headings.into_iter().chain(more.into_iter().filter(|_| long)));
    for d in &result.devices {
        let delivery = d.delivery.as_ref();
        let told = |cell: &dyn Fn(&Delivery) -> String| delivery.map_or("-".into(), cell);
        let measured = delivery.and_then(|d| d.measured.as_ref());
        let mut row = vec![
            d.name.clone(),
            d.count.to_string(),
            d.state.to_string(),
            told(&short),
            told(&|d| d.precision.name().into()),
            d.latency().map_or("-".into(), |l| format::ms(l.ms)),
            told(&|d| format::percent(d.val_top1)),
        ];
        if long {
            row.extend([
                match (delivery.is_some(), d.is_measured()) {
                    (false, _) => "-".into(),
                    (_, true) => "measured there".into(),
                    (_, false) => "predicted".into(),
                },
                measured.map_or("-".into(), |m| format::percent(m.top1)),
                d.budget.to_string(),
            ]);
        }
        table.row(row);
    }
    table
}

/// The page.
pub fn page(result: &FleetResult) -> String {
    let all: u64 = result.devices.iter().map(|d| u64::from(d.count)).sum();
    let title =
        format!("A fleet of {}", format::counted(usize::try_from(all).unwrap_or(usize::MAX), "device"));
    let subtitle = format!(
        "{} {}; {} in {}; {}",
        format::date(result.unix_time),
        format::time(result.unix_time),
        format::counted(result.students, "student"),
        result.runs,
        result.program
    );
    let mut page = Page::new(&title, &subtitle);
    page.text(&format!("{}.", verdict(result)));
    let tiles: Vec<(String, String)> = [State::Proved, State::Predicted, State::Missed, State::Unreached]
        .into_iter()
        .map(|state| (result.count(state).to_string(), state.to_string()))
        .chain([(format::seconds(result.seconds), "for all of it".to_owned())])
        .collect();
    page.tiles(&tiles);
    page.heading("Who gets what").table(&table(result, true));
    plot(&mut page, result);
    cards(&mut page, result);
    page.finish()
}

fn plot(page: &mut Page, result: &FleetResult) {
    let known: Vec<&Outcome> =
        result.devices.iter().filter(|d| d.delivery.is_some() && d.latency().is_some()).collect();
    let point = |d: &&Outcome| {
        let label = match (known.len() > MOST_NAMES, d.is_measured()) {
            (true, _) => String::new(),
            (_, true) => d.name.clone(),
            (_, false) => format!("{} (predicted)", d.name),
        };
        Some(Point { label, x: d.latency()?.ms, y: 100.0 * d.delivery.as_ref()?.val_top1, interval: None })
    };
    let points: Vec<Point> = known.iter().filter_map(point).collect();
    let svg = scatter(&points, "one inference on the device, ms", "val top-1, %", "accuracy against latency");
    if !points.is_empty() {
        page.heading("Accuracy against latency").plot(
            &svg,
            "Each device's student on its own device. A slower device below a faster one has a tighter budget.",
        );
    }
}

/// Those that want attention first.
fn cards(page: &mut Page, result: &FleetResult) {
    let mut order: Vec<&Outcome> = result.devices.iter().collect();
    order.sort_by_key(|d| match d.state {
        State::Missed => 0,
        State::Unreached => 1,
        State::Proved => 2,
        State::Predicted => 3,
    });
    for d in order.iter().take(MOST_CARDS) {
        card(page, d);
    }
    if let Some(rest) = order.get(MOST_CARDS..).filter(|rest| !rest.is_empty()) {
        let names = format::some(rest.iter().map(|d| d.name.clone()), ", ", NAMED);
        page.text(&format!("In fleet.json alone: {names}."));
    }
}

fn card(page: &mut Page, d: &Outcome) {
    let count = if d.count > 1 { format!(" ({} alike)", d.count) } else { String::new() };
    page.heading(&format!("{}{count}: {}", d.name, d.state));
    let place = d.on.as_ref().map_or("predicted only".to_owned(), |on| format!("reached by {on}"));
    let named = |h: &Host| h.board.clone().or_else(|| h.cpu.clone());
    let host = d.host.as_ref().and_then(named).map_or(String::new(), |name| format!(", {name}"));
    let within = match d.budget == Budget::default() {
        true => "No limit is set.".to_owned(),
        false => format!("Within {}.", d.budget),
    };
    page.text(&format!("Profile {}, {place}{host}. {within}", d.target));
    if let Some(why) = d.why.as_ref().filter(|_| d.state != State::Proved) {
        page.warnings(&[advice(d, why)]);
    }
    if let Some(delivery) = &d.delivery {
        page.text(&format!(
            "{} in {}: {}, {} of memory, a model of {}; predicted {}.",
            delivery.student,
            delivery.precision,
            delivery.arch,
            format::bytes(delivery.memory_bytes),
            format::bytes(delivery.model_bytes),
            delivery.predicted
        ));
    }
    if let Some(warm) = d.delivery.as_ref().and_then(|d| d.measured.as_ref()?.steady.as_ref()) {
        page.text(&format!("Under load: {} ({}).", warm.verdict, warm.soak.replace(".json", ".html")));
    }
    let mut gates = Table::new(["limit", "wanted", "found", ""]);
    for gate in &d.gates {
        let verdict = match gate.verdict {
            Verdict::Kept => "kept",
            Verdict::Predicted => "predicted to be kept",
            Verdict::Missed => "missed",
            Verdict::Unknown => "nobody can tell yet",
        };
        let wanted = gate.limit.clone().unwrap_or_default();
        gates.row([gate.name.clone(), wanted, gate.found.clone(), verdict.into()]);
    }
    page.table(&gates);
    if !d.passed_over.is_empty() {
        let mut out = Table::new(["passed over", "precision", "val top-1", "why"]);
        for p in &d.passed_over {
            out.row([
                p.student.clone(),
                p.precision.name().into(),
                format::percent(p.val_top1),
                p.why.clone(),
            ]);
        }
        page.table(&out);
    }
    page.warnings(&d.warnings);
    if let Some(spent) = spent(&d.seconds) {
        page.text(&spent);
    }
}

/// Why, and what to do about it.
fn advice(d: &Outcome, why: &str) -> String {
    match (d.state, d.delivery.is_some()) {
        (State::Unreached, true) => {
            format!(
                "{why}. Its bundle is there, chosen by prediction. The same command goes on when it can be reached."
            )
        }
        (State::Unreached, false) => format!("{why}. The same command goes on when it can be reached."),
        (State::Missed, false) => {
            format!("{why}. A wider budget, or a smaller student (gtn-train search --fleet), may help.")
        }
        _ => format!("{why}."),
    }
}

fn spent(s: &Spent) -> Option<String> {
    let parts = [("its table", s.table), ("bundles", s.export), ("proof", s.proof), ("soak", s.soak)];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, seconds)| *seconds > 0.0)
        .map(|(what, seconds)| format!("{what} {}", format::seconds(*seconds)))
        .collect();
    (!parts.is_empty()).then(|| format!("Time: {}.", parts.join(", ")))
}
