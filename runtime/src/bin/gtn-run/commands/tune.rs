//! `gtn-run tune`: measures ways to run a model; ONNX Runtime's best becomes a settings file, backend wgpu keeps its.

use crate::cli::TuneArgs;
use crate::output::PROGRAM;
use crate::prepare::{MAX_BATCH, seconds, tell_warnings, within};
use gtn_core::host::Host;
use gtn_core::io::artifact;
use gtn_core::program::exit;
use gtn_core::program::progress::bars;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};
use gtn_run::backend::{Options, OrtOptions, WgpuOptions};
use gtn_run::settings::{SCHEMA, Threading, TriedThreading, TunedSettings};
use gtn_run::timing::tune;
use std::num::NonZeroUsize;

/// Prints the table and the choice.
pub fn run(args: &TuneArgs) -> Result<()> {
    seconds("--seconds", args.seconds)?;
    within("--batch", args.batch.unwrap_or(1), MAX_BATCH)?;
    match args.backend.as_str() {
        "ort" => on_ort(args),
        "wgpu" => on_wgpu(args),
        other => Err(Error::usage(format!("--backend {other}: wanted ort or wgpu"))),
    }
}

/// Measures the kernels, which the next load finds.
#[cfg(feature = "wgpu")]
fn on_wgpu(args: &TuneArgs) -> Result<()> {
    if args.out.is_some() || args.ort_lib.is_some() {
        return Err(Error::usage("--out and --ort-lib are ONNX Runtime's: not with --backend wgpu"));
    }
    let cache_dir = gtn_run::gpu::default_dir();
    let wgpu = WgpuOptions { allow_software: args.allow_software, cache_dir, kernels: None };
    let options = Options { wgpu, ..base(args) };
    let tuned = gtn_run::timing::gpu_tune::tune(&args.model, &options, args.seconds)?;
    let best = tuned.tried.first().map_or(1.0, |t| t.p50_ms);
    let mut table = Table::new(["kernels", "p50", "over the fastest"]);
    for t in &tuned.tried {
        table.row([t.kernels.name().into(), format::ms(t.p50_ms), format!("{:.3}", t.p50_ms / best)]);
    }
    let chosen = tuned.tried.first().map_or("", |t| t.kernels.name());
    let path = tuned.path.display();
    exit::print(&format!("{}\nchosen on {}: {chosen}\n{path}\n", table.render(), tuned.adapter))
}

#[cfg(not(feature = "wgpu"))]
fn on_wgpu(_: &TuneArgs) -> Result<()> {
    Err(Error::Unavailable("this program was built without backend wgpu".into()))
}

/// What is asked for whichever the backend.
fn base(args: &TuneArgs) -> Options {
    let batch = args.batch.and_then(NonZeroUsize::new);
    Options { batch, shapes: args.shape.clone(), ..Options::default() }
}

fn on_ort(args: &TuneArgs) -> Result<()> {
    args.out.as_deref().map_or(Ok(()), artifact::check_writable)?;
    let host = Host::read();
    let ort = OrtOptions::with_library(args.ort_lib.clone());
    let base = Options { ort, ..base(args) };
    let (subject, tried, choice, why) =
        tune::tune(&args.model, &base, &host, args.seconds, &mut bars("rounds"))?;
    tell_warnings(&subject);
    let mut text = table(&tried).render();
    text.push_str(&format!("\nchosen: {}: {why}\n", describe(&choice)));
    let settings = TunedSettings {
        schema: SCHEMA.into(),
        program: PROGRAM.into(),
        host: host.kind(),
        model: subject.model.name.clone(),
        model_sha256: subject.model.sha256.clone(),
        batch: subject.backend.info().batch,
        choice,
        why,
        tried,
    };
    if let Some(path) = &args.out {
        artifact::write_json(path, &settings)?;
        text.push_str(&format!("\n{}\n", path.display()));
    }
    exit::print(&text)
}

fn describe(c: &Threading) -> String {
    let spin = if c.spin { "spinning" } else { "not spinning" };
    let place = c.pin.as_ref().map_or_else(String::new, |p| format!(", CPUs {p}"));
    let plural = if c.threads == 1 { "" } else { "s" };
    format!("{} thread{plural}, {spin}{place}", c.threads)
}

fn table(tried: &[TriedThreading]) -> Table {
    let mut table = Table::new(["threads", "spin", "CPUs", "p50", "over the fastest", "95 % CI"]);
    for t in tried {
        let [low, high] = t.ratio_ci95;
        table.row([
            t.choice.threads.to_string(),
            if t.choice.spin { "on" } else { "off" }.into(),
            t.choice.pin.clone().unwrap_or_else(|| "any".into()),
            format::ms(t.p50_ms),
            format!("{:.3}", t.ratio),
            format!("{low:.3} to {high:.3}"),
        ]);
    }
    table
}
