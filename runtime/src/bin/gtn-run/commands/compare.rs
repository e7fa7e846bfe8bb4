//! `gtn-run compare A B` and `gtn-run report R...`: which is faster, and pages about saved reports.

use crate::cli::{CompareArgs, OutputArgs, ReportArgs};
use crate::commands::soak;
use crate::output::{PROGRAM, check_outputs, deliver_html, deliver_json};
use crate::prepare::{Prepared, prepare, seconds};
use gtn_core::host::{Activity, Conditions, Host};
use gtn_core::html;
use gtn_core::io::artifact;
use gtn_core::measure::compare::{Comparison, How, Ratio, SCHEMA, Side, unlike};
use gtn_core::measure::overview;
use gtn_core::measure::report::Report;
use gtn_core::measure::warning::{self, Warning};
use gtn_core::program::exit;
use gtn_core::program::progress::Progress;
use gtn_core::{Error, Result};
use gtn_run::judge::bench::inputs;
use gtn_run::reports;
use gtn_run::subject::Subject;
use gtn_run::timing::interleave::{Plan, Runner, interleave};
use std::cell::RefCell;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Runs `gtn-run compare`.
pub fn compare(args: &CompareArgs) -> Result<()> {
    check_outputs(&args.output)?;
    seconds("--seconds", args.seconds)?;
    if !(0.0..=100.0).contains(&args.min_effect) {
        return Err(Error::usage(format!("--min-effect {}: wanted 0 to 100 (%)", args.min_effect)));
    }
    let least = gtn_core::measure::robust::MIN_SIGNED_RANK;
    if !(least..=1000).contains(&args.rounds) {
        return Err(Error::usage(format!("--rounds {}: wanted {least} to 1000", args.rounds)));
    }
    let comparison = match (holds_reports(&args.a), holds_reports(&args.b)) {
        (true, true) => of_reports(args)?,
        (false, false) => in_turn(args)?,
        _ => {
            let what =
                "one is a report and the other a model: compare two of a kind (measure the model first)";
            return Err(Error::usage(format!("{} and {}: {what}", args.a.display(), args.b.display())));
        }
    };
    deliver(&comparison, &args.output)
}

/// Writes JSON, HTML and the terminal's words. That one of them cannot be written keeps none of the others
/// back.
pub fn deliver(comparison: &Comparison, output: &OutputArgs) -> Result<()> {
    let to_stdout = output.json.as_deref() == Some(Path::new("-"));
    let json = output.json.as_deref().map_or(Ok(()), |path| deliver_json(comparison, path));
    let page = |path: &Path| artifact::write_atomic(path, html::compare::page(comparison).as_bytes());
    let html = output.html.as_deref().map_or(Ok(()), page);
    let words = if to_stdout { Ok(()) } else { exit::print(&comparison.terminal()) };
    exit::work_first(exit::work_first(json, html), words)
}

/// A report, a list of them or a folder of them; not a bundle or a model.
fn holds_reports(path: &Path) -> bool {
    if path.is_dir() {
        return !path.join(gtn_core::artifacts::bundle::MANIFEST).exists();
    }
    path.extension().is_some_and(|e| e == "json")
}

fn in_turn(args: &CompareArgs) -> Result<Comparison> {
    let prepared = prepare(&args.backend)?;
    let sides = [side(&args.a, &prepared)?, side(&args.b, &prepared)?];
    let load = |path: &Path| -> Result<Runner> {
        let mut subject = Subject::open(path, &prepared.options)?;
        let inputs = inputs(&subject)?;
        subject.backend.bind(&inputs)?;
        Ok(Box::new(move || subject.backend.run_bound()))
    };
    let (mut load_a, mut load_b) = (|| load(&args.a), || load(&args.b));
    let plan = Plan { rounds: args.rounds, seconds: args.seconds, seed: args.seed };
    let (before, activity) = (Conditions::read(), Activity::read());
    let bar = RefCell::new(Progress::new("compare", args.rounds as u64));
    let rounds =
        interleave([&mut load_a, &mut load_b], plan, |done| bar.borrow_mut().tick(done as u64, "rounds"))?;
    drop(bar);
    let cores = Host::read().cores;
    let mut warnings: Vec<Warning> =
        activity.since().map(|d| warning::activity(&d, cores)).unwrap_or_default();
    let after = Conditions::read();
    warnings.extend(after.throttled.filter(|&f| f & 0xf != 0).map(|flags| Warning::Throttled { flags }));
    warnings.extend(after.capped_mhz.or(before.capped_mhz).map(|mhz| Warning::Capped { mhz }));
    let result = Ratio::of_rounds(&rounds.log_ratios, args.min_effect / 100.0)?;
    let [mut a, mut b] = sides;
    warnings.extend(both(a.backend.warnings(), b.backend.warnings()));
    [a.p50_ms, b.p50_ms] = rounds.p50_ms;
    Ok(comparison(How::InTurn, [a, b], Host::read(), result, warnings))
}

/// The warnings of both sides, each once.
fn both(a: Vec<Warning>, b: Vec<Warning>) -> Vec<Warning> {
    let new: Vec<Warning> = b.into_iter().filter(|w| !a.contains(w)).collect();
    a.into_iter().chain(new).collect()
}

fn side(path: &Path, prepared: &Prepared) -> Result<Side> {
    let subject = Subject::open(path, &prepared.options)?;
    Ok(Side { model: subject.model.clone(), backend: subject.backend.info().clone(), p50_ms: Vec::new() })
}

fn of_reports(args: &CompareArgs) -> Result<Comparison> {
    let read = |path: &Path| -> Result<Vec<Report>> {
        let mut found = told(reports::read(path)?);
        found.retain(|r| r.latency.is_some());
        if found.is_empty() { Err(Error::input(path, "holds no report with a latency")) } else { Ok(found) }
    };
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let alike =
        |list: &[Report], path: &Path| match list.iter().find(|r| r.model.sha256 != list[0].model.sha256) {
            Some(odd) => Err(Error::input(
                path,
                format!("holds runs of several models (`{}` and `{}`)", list[0].model.name, odd.model.name),
            )),
            None => Ok(()),
        };
    alike(&a, &args.a)?;
    alike(&b, &args.b)?;
    let differs = a.iter().chain(&b).find_map(|r| unlike(&a[0], r));
    if let Some(what) = differs.filter(|_| !args.force) {
        return Err(Error::usage(format!(
            "the reports are not of like runs: {what} (--force compares them all the same)"
        )));
    }
    let p50 = |list: &[Report]| {
        list.iter().filter_map(|r| Some(r.latency.as_ref()?.summary.p50)).collect::<Vec<_>>()
    };
    let (times_a, times_b) = (p50(&a), p50(&b));
    let result = Ratio::of_runs(&times_a, &times_b, args.min_effect / 100.0)?;
    let mut warnings = Vec::new();
    for warning in a.iter().chain(&b).flat_map(|r| &r.warnings) {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
    let host = b[0].host.clone();
    let side = |r: &Report, p50_ms| Side { model: r.model.clone(), backend: r.backend.clone(), p50_ms };
    Ok(comparison(How::Reports, [side(&a[0], times_a), side(&b[0], times_b)], host, result, warnings))
}

/// The reports; what was beside them is told.
fn told(found: reports::ReadReports) -> Vec<Report> {
    for why in &found.left_out {
        exit::note(&format!("left out: {why}"));
    }
    found.reports
}

fn comparison(how: How, [a, b]: [Side; 2], host: Host, result: Ratio, warnings: Vec<Warning>) -> Comparison {
    let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Comparison {
        schema: SCHEMA.into(),
        program: PROGRAM.into(),
        unix_time,
        host,
        how,
        a,
        b,
        result,
        warnings,
    }
}

/// Runs `gtn-run report`: prints the overview of saved reports, and writes a page about them.
pub fn report(args: &ReportArgs) -> Result<()> {
    args.html.as_deref().map_or(Ok(()), artifact::check_writable)?;
    if soak::report(&args.reports, args.html.as_deref())?.is_some() {
        return Ok(());
    }
    let (mut all, mut failed) = (Vec::new(), None);
    for path in &args.reports {
        match reports::read(path) {
            Ok(found) => all.extend(told(found)),
            Err(why) => {
                // The last is told by the exit status, after the others' page.
                if let Some(before) = failed.replace(why) {
                    exit::note(&format!("left out: {before}"));
                }
            }
        }
    }
    if all.is_empty() {
        return failed.map_or(Ok(()), Err);
    }
    let mut text = overview::overview(&all).terminal();
    if let Some(path) = &args.html {
        deliver_html(&all, path)?;
        text.push_str(&format!("\n{}\n", path.display()));
    }
    exit::work_first(failed.map_or(Ok(()), Err), exit::print(&text))
}
