//! `gtn-train search`: NAS-derived students. A seeded evolutionary search over a trained supernet: every
//! candidate's BN statistics are recalibrated on training images, then it is judged on val, never on test.

mod evolve;
mod fleet;
mod judge;

use crate::cli::SearchArgs;
use crate::commands::set_up;
use evolve::{Effort, evolve};
use gtn_core::fleet::Budget;
use gtn_core::html::page::Page;
use gtn_core::html::plot;
use gtn_core::io::artifact;
use gtn_core::latency::Prediction;
use gtn_core::latency::select::rising;
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Precision, Result};
use judge::{DRAWS, Judge, Need};
use serde::Serialize;

/// A judged student.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Pool id.
    pub student: String,
    /// Multiply-accumulates per image.
    pub macs: u64,
    /// Trained parameters.
    pub params: u64,
    /// Predicted on the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Prediction>,
    /// Of the path in the supernet, on val.
    pub val_top1: f64,
}

/// `gtn-train search`
pub fn run(args: &SearchArgs, cuda: bool) -> Result<()> {
    artifact::check_writable(&args.out)?;
    page_of(&args.out)?.map_or(Ok(()), |html| artifact::check_writable(&html))?;
    if let Some(path) = &args.fleet {
        return fleet::run(args, path, cuda);
    }
    let (device, _) = set_up(&args.device, cuda)?;
    if let Some(ms) = args.latency_ms.filter(|ms| !(ms.is_finite() && *ms > 0.0)) {
        return Err(Error::usage(format!("--latency-ms {ms}: wanted more than 0")));
    }
    let predictor = args.latency.predictor()?;
    let need = Need {
        macs: args.macs,
        params: args.params,
        budget: Budget { latency_ms: args.latency_ms, ..Budget::default() },
        served: predictor.iter().map(|_| (Precision::Fp32, 0)).collect(),
    };
    let mut judge = Judge::open(args, device, predictor.into_iter().collect())?;
    if evolve(&mut judge, std::slice::from_ref(&need), effort(args))? == [false] && judge.seen.is_empty() {
        return Err(Error::usage(format!("no student of {DRAWS} drawn is within {}", limits(args))));
    }
    let judged = judge.seen.into_iter().filter_map(|(student, judged)| {
        let judged = judged?;
        let (cost, latency) = (judged.priced.cost, judged.priced.latencies.first().copied());
        Some(Judged { student, macs: cost.macs, params: cost.params, latency, val_top1: judged.top1 })
    });
    report(args, judged.collect())
}

fn effort(args: &SearchArgs) -> Effort {
    Effort { population: args.population(), generations: args.generations(), seed: args.seed }
}

fn limits(args: &SearchArgs) -> String {
    let limits = [
        args.macs.map(|m| format!("--macs {m}")),
        args.params.map(|p| format!("--params {p}")),
        args.latency_ms.map(|ms| format!("--latency-ms {ms}")),
    ];
    limits.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

impl Judged {
    /// Milliseconds on the target where one is named, else millions of MACs.
    fn cost(&self) -> f64 {
        self.latency.map_or(self.macs as f64 / 1e6, |l| l.ms)
    }
}

/// Those that no cheaper one beats.
pub fn pareto(judged: &[Judged]) -> Vec<Judged> {
    let mut sorted = judged.to_vec();
    sorted.sort_by(|a, b| a.cost().total_cmp(&b.cost()).then(b.val_top1.total_cmp(&a.val_top1)));
    rising(sorted, |j| j.val_top1)
}

fn report(args: &SearchArgs, judged: Vec<Judged>) -> Result<()> {
    let front = pareto(&judged);
    let best = front.last().cloned().ok_or_else(|| Error::Failed("no student was judged".into()))?;
    let json = serde_json::json!({
        "schema": "gtn.search/1",
        "student": best.student,
        "limits": {"macs": args.macs, "params": args.params, "latency_ms": args.latency_ms},
        "target": args.latency.target,
        "seed": args.seed,
        "pareto": front,
        "judged": judged,
    });
    artifact::write_json(&args.out, &json)?;
    let table = table(&front);
    let on_front = |j: &Judged| front.iter().any(|f| f.student == j.student);
    let point = |j: &Judged| plot::Point {
        label: if on_front(j) {
            j.student.split(':').nth(1).unwrap_or_default().to_owned()
        } else {
            String::new()
        },
        x: j.cost(),
        y: 100.0 * j.val_top1,
        interval: None,
    };
    let points: Vec<_> = judged.iter().map(point).collect();
    let mut page = Page::new("Search", &format!("{} students of {}", judged.len(), args.teacher.display()));
    page.table(&table);
    let x_label = if best.latency.is_some() { "latency, ms" } else { "MACs, millions" };
    let svg = plot::scatter(&points, x_label, "val top-1, %", "accuracy against cost");
    page.plot(&svg, "Every student judged; those on the Pareto front have names.");
    let mut told = format!("{}\n{}\n", table.render(), args.out.display());
    if let Some(html) = page_of(&args.out)? {
        artifact::write_atomic(&html, page.finish().as_bytes())?;
        told.push_str(&format!("{}\n", html.display()));
    }
    exit::print(&told)
}

/// Where the page goes: beside the file, if that is one.
fn page_of(out: &std::path::Path) -> Result<Option<std::path::PathBuf>> {
    let html = out.with_extension("html");
    if html == out {
        return Err(Error::usage(format!(
            "--out {}: wanted a name for JSON; the page is its own",
            out.display()
        )));
    }
    Ok((!artifact::is_stream(out)?).then_some(html))
}

/// The front, most accurate first.
fn table(front: &[Judged]) -> Table {
    let mut table = Table::new(["student", "params", "MACs", "latency", "val top-1 in the supernet"]);
    for j in front.iter().rev() {
        table.row([
            j.student.clone(),
            format::count(j.params),
            format::count(j.macs),
            j.latency.map_or("-".into(), |l| l.to_string()),
            format::percent(j.val_top1),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_holds_what_nothing_cheaper_beats() {
        let j = |name: &str, macs, val_top1| Judged {
            student: name.into(),
            macs,
            params: 1,
            latency: None,
            val_top1,
        };
        let all = [j("a", 5, 0.5), j("b", 3, 0.6), j("c", 9, 0.7), j("d", 9, 0.65), j("e", 12, 0.7)];
        let front: Vec<String> = pareto(&all).into_iter().map(|j| j.student).collect();
        assert_eq!(front, ["b", "c"]);
    }
}
