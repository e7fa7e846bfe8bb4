//! From flags to how a model is run: what clap cannot check, settings files, pinning.

use crate::cli::{BackendArgs, BenchSettings, Int8Switch, SoakArgs, Switch};
use gtn_core::host::{self, Host};
use gtn_core::measure::report::{Model, Report};
use gtn_core::measure::samples::{Io, Pace};
use gtn_core::measure::warning::Warning;
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use gtn_run::affinity;
use gtn_run::backend::ort::providers::Providers;
use gtn_run::backend::{Int8, Kernels, Kind, Options, OrtOptions, WgpuOptions};
use gtn_run::judge::prove::known;
use gtn_run::judge::{bench, soak};
use gtn_run::settings::TunedSettings;
use gtn_run::subject::Subject;
use std::num::NonZeroUsize;

/// This says how models are run, after this process has been confined to its CPUs.
#[derive(Debug)]
pub struct Prepared {
    /// For loading.
    pub options: Options,
    settings: Option<TunedSettings>,
}

/// Images in an inference, at most.
pub const MAX_BATCH: usize = 4096;

/// Checks the flags, reads the settings file (flags win over it), and pins this process.
pub fn prepare(args: &BackendArgs) -> Result<Prepared> {
    let kind = match (args.backend.as_str(), Kind::named(&args.backend)) {
        ("auto", _) => None,
        (_, Some(kind)) => Some(kind),
        (other, None) => {
            return Err(Error::usage(format!("--backend {other}: wanted auto, ort, wgpu or rust")));
        }
    };
    only_onnx_runtime_s(kind, args)?;
    if kind != Some(Kind::Wgpu) && args.kernels.is_some() {
        return Err(Error::usage("--kernels is backend wgpu's: with --backend wgpu only"));
    }
    within("--threads", args.threads.unwrap_or(1), 1024)?;
    within("--batch", args.batch.unwrap_or(1), MAX_BATCH)?;
    if args.max_memory_mb.is_some_and(|mb| !(1..=1 << 20).contains(&mb)) {
        return Err(Error::usage("--max-memory-mb: wanted 1 to 1048576"));
    }
    let host = Host::read();
    let settings = args.settings.as_deref().map(|path| TunedSettings::read(path, &host)).transpose()?;
    let choice = settings.as_ref().map(|s| &s.choice);
    let pin = args.pin.as_ref().or(choice.and_then(|c| c.pin.as_ref()));
    if let Some(cpus) = pin.map(|text| affinity::cpus(text, &host)).transpose()? {
        affinity::pin(&cpus)?;
        exit::note(&format!("running on CPUs {}", host::affinity().unwrap_or_else(|| host::cpu_list(&cpus))));
    }
    let options = Options {
        kind,
        threads: args.threads.or(choice.map(|c| c.threads)),
        batch: args.batch.and_then(NonZeroUsize::new),
        shapes: args.shape.clone(),
        profile: false,
        max_memory_mb: args.max_memory_mb,
        ort: OrtOptions {
            library: args.ort_lib.clone(),
            providers: providers(&args.ep)?,
            spin: args.spin.map(|s| s == Switch::On).or(choice.map(|c| c.spin)),
            int8: match args.int8 {
                Int8Switch::Exact => Int8::Exact,
                Int8Switch::Fast => Int8::Fast,
            },
        },
        wgpu: WgpuOptions {
            allow_software: args.allow_software,
            kernels: args.kernels.as_deref().map(kernels).transpose()?,
            cache_dir: cache_dir(),
        },
    };
    Ok(Prepared { options, settings })
}

/// Returns the folder in which backend wgpu keeps what it compiles; `None` without that backend or a home
/// folder.
pub fn cache_dir() -> Option<std::path::PathBuf> {
    #[cfg(feature = "wgpu")]
    return gtn_run::gpu::default_dir();
    #[cfg(not(feature = "wgpu"))]
    None
}

fn kernels(name: &str) -> Result<Kernels> {
    let known = || Kernels::ALL.map(Kernels::name).join(", ");
    Kernels::named(name).ok_or_else(|| Error::usage(format!("--kernels {name}: wanted one of {}", known())))
}

/// What only ONNX Runtime heeds is a mistake with another backend, and not silently without effect.
fn only_onnx_runtime_s(kind: Option<Kind>, args: &BackendArgs) -> Result<()> {
    let given: &[(&str, bool)] = &[
        ("--ep", !args.ep.is_empty()),
        ("--spin", args.spin.is_some()),
        ("--settings", args.settings.is_some()),
        ("--ort-lib", args.ort_lib.is_some()),
        ("--int8 fast", args.int8 == Int8Switch::Fast),
    ];
    if kind == Some(Kind::Wgpu) && args.threads.is_some() {
        return Err(Error::usage("--threads is the CPU's: not with --backend wgpu"));
    }
    let other = kind.filter(|&k| k != Kind::Ort);
    match (other, given.iter().find(|(_, given)| *given)) {
        (Some(other), Some((flag, _))) => {
            Err(Error::usage(format!("{flag} is ONNX Runtime's: not with --backend {}", other.name())))
        }
        _ => Ok(()),
    }
}

/// `--ep`: none, `cpu`, or a list of providers.
fn providers(names: &[String]) -> Result<Providers> {
    match names {
        [] => Ok(Providers::Profile),
        [only] if only == "cpu" => Ok(Providers::Cpu),
        list if list.iter().any(|n| n == "cpu") => {
            Err(Error::usage("--ep: what no provider takes runs on the CPU anyway; `cpu` stands alone"))
        }
        list => Ok(Providers::Named(list.to_vec())),
    }
}

impl Prepared {
    /// Adds what a reader must know of the settings.
    pub fn note(&self, report: &mut Report) {
        report.warnings.extend(self.other_settings(&report.model));
    }

    /// Returns a warning where the settings were tuned for another model.
    pub fn other_settings(&self, model: &Model) -> Option<Warning> {
        let other = self.settings.as_ref().filter(|s| s.model_sha256 != model.sha256);
        other.map(|s| Warning::OtherSettings { model: s.model.clone() })
    }
}

/// Tells on stderr what computes and why: this is for commands whose answer has no place for it.
pub fn tell_backend(subject: &Subject) {
    let b = subject.backend.info();
    exit::note(&format!("backend {} {} on {} ({})", b.name, b.version, b.providers.join(", "), b.why));
    tell_warnings(subject);
}

/// Tells on stderr what a reader must know of a loaded model.
pub fn tell_warnings(subject: &Subject) {
    known(subject).iter().for_each(|w| exit::note(&format!("warning: {w}")));
}

/// Checks that a flag's value is 1 to `most`; any other is a usage error.
pub fn within(flag: &str, value: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::usage(format!("{flag} {value}: wanted 1 to {most}")))
}

/// Checks that a flag's time is 0 to 3600 s, as long as a person would wait; any other is a usage error.
pub fn seconds(flag: &str, value: f64) -> Result<()> {
    if (0.0..=3600.0).contains(&value) {
        return Ok(());
    }
    Err(Error::usage(format!("{flag} {value}: wanted 0 to 3600")))
}

/// Checks `--interval-ms` and returns the pace that it asks for.
fn pace(interval_ms: Option<f64>) -> Result<Pace> {
    match interval_ms {
        Some(ms) if !(0.01..=60_000.0).contains(&ms) => {
            Err(Error::usage(format!("--interval-ms {ms}: wanted 0.01 to 60000")))
        }
        Some(interval_ms) => Ok(Pace::Paced { interval_ms, late: 0 }),
        None => Ok(Pace::BackToBack),
    }
}

/// Checks the flags and returns how long the load lasts, and how it is made.
pub fn soak_settings(args: &SoakArgs) -> Result<soak::Settings> {
    if !(0.1..=720.0).contains(&args.minutes) {
        return Err(Error::usage(format!("--minutes {}: wanted 0.1 to 720", args.minutes)));
    }
    let io = if args.copy_io { Io::Copied } else { Io::Bound };
    Ok(soak::Settings { minutes: args.minutes, pace: pace(args.interval_ms)?, io })
}

/// MLPerf Mobile's rules for a single stream.
const MLPERF: (f64, usize) = (60.0, 1024);

/// Checks the flags and returns how to measure. With `--mlperf` MLPerf Mobile's rules for a single stream hold.
pub fn bench_settings(args: &BenchSettings) -> Result<bench::Settings> {
    seconds("--seconds", args.seconds)?;
    seconds("--warmup", args.warmup)?;
    within("--runs", args.runs, 100_000)?;
    if args.warmup_runs > 1_000_000 {
        return Err(Error::usage(format!("--warmup-runs {}: wanted 0 to 1000000", args.warmup_runs)));
    }
    let pace = pace(args.interval_ms)?;
    let pace = if args.mlperf { Pace::SingleStream } else { pace };
    let (seconds, min_runs) = if args.mlperf { MLPERF } else { (args.seconds, args.runs) };
    let io = if args.copy_io { Io::Copied } else { Io::Bound };
    Ok(bench::Settings { warmup_s: args.warmup, warmup_runs: args.warmup_runs, seconds, min_runs, pace, io })
}
