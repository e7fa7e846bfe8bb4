//! `gtn-run BUNDLE`, `verify`, `eval`, `bench`: one report each, on the terminal and in files.

use crate::cli::{AllArgs, BackendArgs, BenchCommand, EvalArgs, ModelArgs, OutputArgs};
use crate::commands::inspect::memory_pass;
use crate::output::{PROGRAM, check_outputs, deliver, judge};
use crate::prepare::{MAX_BATCH, Prepared, bench_settings, prepare, within};
use gtn_core::io::artifact;
use gtn_core::io::npy;
use gtn_core::io::tensors::Tensor;
use gtn_core::measure::report::Report;
use gtn_core::program::exit;
use gtn_core::program::progress::bars;
use gtn_core::{Error, Result, host};
use gtn_run::backend::Options;
use gtn_run::judge::profile;
use gtn_run::judge::prove::{Proof, Steps, prove};
use gtn_run::subject::Subject;
use std::num::NonZeroUsize;
use std::path::Path;

/// Runs `gtn-run BUNDLE...`.
pub fn all(args: &AllArgs) -> Result<()> {
    if args.bundles.is_empty() {
        return Err(Error::usage("name a bundle (gtn-run --help)"));
    }
    check_outputs(&args.output)?;
    let bench = bench_settings(&args.settings)?;
    let steps = Steps { verify: true, eval: true, bench: Some(bench), ..Steps::default() };
    let prepared = prepare(&args.backend.args)?;
    let (mut reports, mut errors) = (Vec::new(), Vec::new());
    for bundle in &args.bundles {
        host::reset_peak_rss();
        let proved = prove_one(bundle, &prepared, &prepared.options, &steps).and_then(|mut report| {
            if args.profile {
                report.profile = Some(profile::profile(bundle, &prepared.options, 200)?.1);
            }
            report.memory = memory_pass(bundle, &args.backend.words)?;
            Ok(report)
        });
        match proved {
            Ok(report) => {
                errors.extend(judge(bundle, &report).err());
                reports.push(report);
            }
            Err(e) => errors.push(e),
        }
    }
    let told = if reports.is_empty() { Ok(()) } else { deliver(&reports, &args.output) };
    exit::work_first(exit::all_told(errors), told)
}

fn prove_one(model: &Path, prepared: &Prepared, options: &Options, steps: &Steps) -> Result<Report> {
    let mut report = prove(&mut Subject::open(model, options)?, steps, PROGRAM, &mut bars("images"))?.report;
    prepared.note(&mut report);
    Ok(report)
}

/// Runs `gtn-run verify`.
pub fn verify(args: &ModelArgs) -> Result<()> {
    report(&args.model, &args.backend, &args.output, &Steps { verify: true, ..Steps::default() })
}

/// Runs `gtn-run bench`.
pub fn bench(args: &BenchCommand) -> Result<()> {
    let steps = Steps { bench: Some(bench_settings(&args.settings)?), ..Steps::default() };
    if args.sweep_threads.is_empty() && args.sweep_batches.is_empty() {
        return report(&args.model, &args.backend, &args.output, &steps);
    }
    check_outputs(&args.output)?;
    args.sweep_threads.iter().try_for_each(|&t| within("--sweep-threads", t, 1024))?;
    args.sweep_batches.iter().try_for_each(|&b| within("--sweep-batches", b, MAX_BATCH))?;
    let prepared = prepare(&args.backend)?;
    let given = &prepared.options;
    let threads: Vec<Option<usize>> = args.sweep_threads.iter().copied().map(Some).collect();
    let threads = if threads.is_empty() { vec![given.threads] } else { threads };
    let batches: Vec<Option<NonZeroUsize>> =
        args.sweep_batches.iter().map(|&batch| NonZeroUsize::new(batch)).collect();
    let batches = if batches.is_empty() { vec![given.batch] } else { batches };
    let mut reports = Vec::new();
    for threads in threads {
        for &batch in &batches {
            let options = Options { threads, batch, ..given.clone() };
            reports.push(prove_one(&args.model, &prepared, &options, &steps)?);
        }
    }
    deliver(&reports, &args.output)
}

/// Runs `gtn-run eval`.
pub fn eval(args: &EvalArgs) -> Result<()> {
    check_outputs(&args.output)?;
    if let Some(path) = &args.logits {
        artifact::check_writable(path)?;
    }
    let steps = Steps {
        eval: true,
        data: args.data.clone(),
        max_bad: args.max_bad,
        other_data: args.other_data,
        against: args.against.clone(),
        ..Steps::default()
    };
    let prepared = prepare(&args.backend)?;
    let Proof { mut report, logits } =
        prove(&mut Subject::open(&args.model, &prepared.options)?, &steps, PROGRAM, &mut bars("images"))?;
    prepared.note(&mut report);
    // Whatever the verdict: logits are most wanted where a comparison fails.
    let kept = match (&args.logits, report.accuracy.first()) {
        (Some(path), Some(a)) => npy::write(path, &Tensor::f32(&[a.n, a.per_class.len()], logits)),
        _ => Ok(()),
    };
    let judged = judge(&args.model, &report);
    exit::work_first(judged, exit::work_first(kept, deliver(&[report], &args.output)))
}

fn report(model: &Path, backend: &BackendArgs, output: &OutputArgs, steps: &Steps) -> Result<()> {
    check_outputs(output)?;
    let prepared = prepare(backend)?;
    let report = prove_one(model, &prepared, &prepared.options, steps)?;
    exit::work_first(judge(model, &report), deliver(&[report], output))
}
