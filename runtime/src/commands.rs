//! `gtn-run BUNDLE`, `verify`, `eval`, `bench`: one report each, on the terminal and in files.

use crate::cli::{AllArgs, BackendArgs, BenchCommand, BenchSettings, EvalArgs, ModelArgs, OutputArgs};
use gtn_core::report::Report;
use gtn_core::tensors::Tensor;
use gtn_core::{Error, Result, artifact, exit, host, npy, report_html};
use gtn_run::backend::Options;
use gtn_run::bench::Settings;
use gtn_run::prove::{Proof, Steps, prove};
use gtn_run::subject::Subject;
use std::path::Path;

const PROGRAM: &str = concat!("gtn-run ", env!("CARGO_PKG_VERSION"));

/// Checks what clap cannot.
pub fn options(args: &BackendArgs) -> Result<Options> {
    if !["auto", "ort"].contains(&args.backend.as_str()) {
        return Err(Error::usage(format!("--backend {}: wanted auto or ort", args.backend)));
    }
    if args.threads.is_some_and(|t| !(1..=1024).contains(&t)) {
        return Err(Error::usage(format!("--threads {}: wanted 1 to 1024", args.threads.unwrap_or(0))));
    }
    if !(1..=4096).contains(&args.batch) {
        return Err(Error::usage(format!("--batch {}: wanted 1 to 4096", args.batch)));
    }
    Ok(Options { threads: args.threads, batch: args.batch, ort_lib: args.ort_lib.clone() })
}

fn settings(args: &BenchSettings) -> Result<Settings> {
    for (flag, value) in [("--seconds", args.seconds), ("--warmup", args.warmup)] {
        if !(0.0..=3600.0).contains(&value) {
            return Err(Error::usage(format!("{flag} {value}: wanted 0 to 3600")));
        }
    }
    if !(1..=100_000).contains(&args.runs) {
        return Err(Error::usage(format!("--runs {}: wanted 1 to 100000", args.runs)));
    }
    Ok(Settings { warmup_s: args.warmup, seconds: args.seconds, min_runs: args.runs, ..Settings::default() })
}

/// A bad path for results fails before the work, not after it.
fn check_outputs(output: &OutputArgs) -> Result<()> {
    let files = [&output.json, &output.html];
    files.into_iter().flatten().filter(|p| *p != Path::new("-")).try_for_each(|p| artifact::check_writable(p))
}

/// `gtn-run BUNDLE...`
pub fn all(args: &AllArgs) -> Result<()> {
    if args.bundles.is_empty() {
        return Err(Error::usage("name a bundle (gtn-run --help)"));
    }
    if args.bundles.len() > 1 && args.output.json.is_some() {
        return Err(Error::usage("--json takes one bundle; --html takes several"));
    }
    check_outputs(&args.output)?;
    let steps =
        Steps { verify: true, eval: true, bench: Some(settings(&args.settings)?), ..Steps::default() };
    let options = options(&args.backend)?;
    let mut reports = Vec::new();
    for bundle in &args.bundles {
        host::reset_peak_rss();
        let mut subject = Subject::open(bundle, &options)?;
        reports.push(prove(&mut subject, &steps, PROGRAM)?.report);
    }
    deliver(&reports, &args.output)?;
    judge(&reports)
}

/// `gtn-run verify`
pub fn verify(args: &ModelArgs) -> Result<()> {
    report(&args.model, &args.backend, &args.output, &Steps { verify: true, ..Steps::default() })
}

/// `gtn-run bench`
pub fn bench(args: &BenchCommand) -> Result<()> {
    let steps = Steps { bench: Some(settings(&args.settings)?), ..Steps::default() };
    report(&args.model, &args.backend, &args.output, &steps)
}

/// `gtn-run eval`
pub fn eval(args: &EvalArgs) -> Result<()> {
    check_outputs(&args.output)?;
    if let Some(path) = &args.logits {
        artifact::check_writable(path)?;
    }
    let steps =
        Steps { eval: true, data: args.data.clone(), against: args.against.clone(), ..Steps::default() };
    let Proof { report, logits } =
        prove(&mut Subject::open(&args.model, &options(&args.backend)?)?, &steps, PROGRAM)?;
    // Before the verdict: logits are most wanted where a comparison fails.
    if let (Some(path), Some(a)) = (&args.logits, report.accuracy.first()) {
        npy::write(path, &Tensor::f32(&[a.n, a.per_class.len()], logits))?;
    }
    let reports = [report];
    deliver(&reports, &args.output)?;
    judge(&reports)
}

fn report(model: &Path, backend: &BackendArgs, output: &OutputArgs, steps: &Steps) -> Result<()> {
    check_outputs(output)?;
    let reports = [prove(&mut Subject::open(model, &options(backend)?)?, steps, PROGRAM)?.report];
    deliver(&reports, output)?;
    judge(&reports)
}

/// Terminal, JSON, HTML.
fn deliver(reports: &[Report], output: &OutputArgs) -> Result<()> {
    let to_stdout = output.json.as_deref() == Some(Path::new("-"));
    if let (Some(path), [report]) = (&output.json, reports) {
        if to_stdout {
            exit::print(&artifact::to_json(report)?);
        } else {
            artifact::write_json(path, report)?;
        }
    }
    if let Some(path) = &output.html {
        let title = match reports {
            [one] => one.model.name.clone(),
            _ => format!("{} models", reports.len()),
        };
        artifact::write_atomic(path, report_html::page(reports, &title).as_bytes())?;
    }
    if !to_stdout {
        let text: Vec<String> = reports.iter().map(report_html::terminal).collect();
        let mut text = text.join("\n");
        if reports.len() > 1 {
            text.push_str(&format!("\n{}", report_html::overview(reports).render()));
        }
        if let Some(path) = &output.html {
            text.push_str(&format!("\n{}\n", path.display()));
        }
        exit::print(&text);
    }
    Ok(())
}

/// A failed comparison is exit status 1.
fn judge(reports: &[Report]) -> Result<()> {
    let failed = |r: &&Report| !r.parity_passes();
    match reports.iter().find(failed) {
        Some(r) => Err(Error::Failed(format!("{}: parity failed (see the table)", r.model.name))),
        None => Ok(()),
    }
}
