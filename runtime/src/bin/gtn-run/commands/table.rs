//! `gtn-run table`: a kit measured on this device becomes its latency table.

use crate::cli::TableArgs;
use crate::prepare::{cache_dir, within};
use gtn_core::artifacts::kit::Kit;
use gtn_core::host::Host;
use gtn_core::io::artifact;
use gtn_core::latency::{Fitted, LatencyTable, NetworkRow, OpRow, Runtime, SCHEMA, Time};
use gtn_core::measure::report::BackendInfo;
use gtn_core::measure::stats::Summary;
use gtn_core::measure::warning::Warning;
use gtn_core::program::exit;
use gtn_core::program::progress::Progress;
use gtn_core::program::signals::Signals;
use gtn_core::text::format;
use gtn_core::text::table;
use gtn_core::{Error, Precision, Result};
use gtn_run::auto::{self, ChosenBackend};
use gtn_run::backend::{Kind, Options, OrtOptions, WgpuOptions};
use gtn_run::judge::bench::made_up;
use gtn_run::onnx::arithmetic::Arithmetic;
use gtn_run::onnx::{OnnxFile, OnnxModel};
use gtn_run::timing::bursts::Bursts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Schema of the file that a killed measurement goes on from.
const PART_SCHEMA: &str = "gtn.table-part/1";
/// How often it is written: what a kill costs.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// Slowest operators shown.
const SHOWN: usize = 12;

/// A measurement that is not finished, and what it must go on with.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    schema: String,
    kit_sha256: String,
    runtime: Runtime,
    host: Host,
    bursts: Bursts,
}

/// Runs `gtn-run table K.gtnkit --out DEVICE.json`.
pub fn run(args: &TableArgs) -> Result<()> {
    artifact::check_writable(&args.out)?;
    if artifact::is_stream(&args.out)? {
        return Err(Error::input(
            &args.out,
            "is no file: a measurement that a kill interrupts is kept beside the table",
        ));
    }
    if !(1.0..=86_400.0).contains(&args.seconds) {
        return Err(Error::usage(format!("--seconds {}: wanted 1 to 86400", args.seconds)));
    }
    let options = options(args)?;
    let mut kit = Kit::open(&args.kit)?;
    if !kit.unlisted.is_empty() {
        exit::note(&format!("warning: not of the kit, and not read: {}", kit.unlisted.join(", ")));
    }
    let (runtime, failures) = keep_what_runs(&mut kit, &options)?;
    let fresh = Part {
        schema: PART_SCHEMA.into(),
        kit_sha256: kit.sha256.clone(),
        runtime,
        host: Host::read(),
        bursts: Bursts::default(),
    };
    let path = part_path(&args.out);
    artifact::check_writable(&path)?;
    let mut part = start(args, &path, fresh)?;
    measure(&kit, &mut part, (&path, &options), args.seconds)?;
    let table = finish(&kit, part, &failures)?;
    artifact::write_json(&args.out, &table)?;
    std::fs::remove_file(&path).map_err(|e| Error::io(&path, "remove", e))?;
    let told = exit::print(&format!("{}\n{}\n", summary(&table, &args.out)?, args.out.display()));
    exit::work_first(exit::all_told(failures), told)
}

fn options(args: &TableArgs) -> Result<Options> {
    let kind = Kind::named(&args.backend)
        .ok_or_else(|| Error::usage(format!("--backend {}: wanted ort, wgpu or rust", args.backend)))?;
    if kind == Kind::Wgpu && args.threads.is_some() {
        return Err(Error::usage("--threads is the CPU's: not with --backend wgpu"));
    }
    if kind != Kind::Ort && args.ort_lib.is_some() {
        return Err(Error::usage(format!("--ort-lib is ONNX Runtime's: not with --backend {}", kind.name())));
    }
    let threads = match (kind, args.threads) {
        (Kind::Wgpu, _) => 1,
        (_, Some(threads)) => threads,
        (_, None) => std::thread::available_parallelism().map_or(1, usize::from),
    };
    within("--threads", threads, 1024)?;
    Ok(Options {
        kind: Some(kind),
        threads: Some(threads),
        ort: OrtOptions::with_library(args.ort_lib.clone()),
        wgpu: WgpuOptions {
            allow_software: args.allow_software,
            cache_dir: cache_dir(),
            ..WgpuOptions::default()
        },
        ..Options::default()
    })
}

/// Runs every model of the kit once. One that this device does not run is taken out of the kit with all that needs it, and
/// its error is among those returned: the others are measured all the same. Errors: no network is left.
fn keep_what_runs(kit: &mut Kit, options: &Options) -> Result<(Runtime, Vec<Error>)> {
    let choice = auto::choose(options, None)?;
    let (mut runtime, mut runs, mut errors) = (None, BTreeSet::new(), Vec::new());
    for (name, model) in &kit.models {
        match run_once(model, &kit.dir.join(name), (&choice, options)) {
            Ok(info) => {
                runtime.get_or_insert_with(|| described(&info, options));
                runs.insert(name.clone());
            }
            Err(e) => errors.push(e),
        }
    }
    kit.keep(&runs)?;
    match runtime.filter(|_| !kit.manifest.networks.is_empty()) {
        Some(runtime) => Ok((runtime, errors)),
        None => Err(errors.into_iter().next().unwrap_or_else(|| Error::input(&kit.dir, "holds no networks"))),
    }
}

fn run_once(model: &[u8], path: &Path, (choice, options): (&ChosenBackend, &Options)) -> Result<BackendInfo> {
    let mut backend = choice.load(&OnnxFile::parse(model, path)?, options)?;
    backend.run(&made_up(backend.as_ref())?)?;
    Ok(backend.info().clone())
}

/// What computes, as it tells itself; of a GPU its name and driver belong to the version.
fn described(info: &BackendInfo, options: &Options) -> Runtime {
    let version = match options.kind {
        Some(Kind::Wgpu) => format!("{} on {}, {}", info.version, info.providers.join(", "), info.library),
        _ => info.version.clone(),
    };
    Runtime { name: info.name.clone(), version, threads: options.threads.unwrap_or(1) }
}

fn part_path(out: &Path) -> PathBuf {
    let name = out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    out.with_file_name(format!("{name}.part"))
}

/// An empty measurement, or the one that was killed. One that is there is neither lost nor mixed with
/// another silently.
fn start(args: &TableArgs, path: &Path, fresh: Part) -> Result<Part> {
    if !path.exists() {
        return match args.resume {
            true => Err(Error::input(path, "is not there: nothing to resume")),
            false => Ok(fresh),
        };
    }
    if args.fresh {
        return Ok(fresh);
    }
    let part: Part = artifact::read_schema(path, PART_SCHEMA)?;
    if !args.resume {
        let seconds = format::seconds(part.bursts.seconds);
        let what = format!("holds {seconds} of measuring: --resume goes on with it, --fresh starts anew");
        return Err(Error::input(path, what));
    }
    let same = |what: &str, found: &dyn std::fmt::Debug, wanted: &dyn std::fmt::Debug| {
        let (found, wanted) = (format!("{found:?}"), format!("{wanted:?}"));
        if found == wanted {
            return Ok(());
        }
        Err(Error::input(
            path,
            format!("is of another {what}: {found}, wanted {wanted} (--fresh starts anew)"),
        ))
    };
    same("kit", &part.kit_sha256, &fresh.kit_sha256)?;
    same("runtime", &part.runtime, &fresh.runtime)?;
    same("machine", &part.host, &fresh.host)?;
    if part.bursts.medians_us.values().flatten().any(|us| !(us.is_finite() && *us > 0.0)) {
        return Err(Error::input(path, "bursts.medians_us holds a number that is no time"));
    }
    Ok(part)
}

fn measure(kit: &Kit, part: &mut Part, (path, options): (&Path, &Options), seconds: f64) -> Result<()> {
    let signals = Signals::watch()?;
    let mut bursts = std::mem::take(&mut part.bursts);
    let mut bar = Progress::new("table", seconds.ceil() as u64);
    let mut saved = Instant::now();
    let mut save = |bursts: &Bursts| {
        part.bursts.clone_from(bursts);
        artifact::write_json(path, part)
    };
    save(&bursts)?;
    bursts.measure(&kit.models, (&kit.dir, options), seconds, |bursts| {
        let rounds = bursts.rounds(kit.models.keys());
        bar.tick(bursts.seconds as u64, &format!("{} models, round {}", kit.models.len(), rounds + 1));
        let signal = signals.received();
        if signal.is_some() || saved.elapsed() >= SAVE_EVERY {
            save(bursts)?;
            saved = Instant::now();
        }
        signal.map_or(Ok(()), |s| Err(Error::Interrupted(s)))
    })?;
    let rounds = bursts.rounds(kit.models.keys());
    bar.finish(&format!(
        "{} models, {rounds} rounds in {}",
        kit.models.len(),
        format::seconds(bursts.seconds)
    ));
    part.bursts = bursts;
    Ok(())
}

fn finish(kit: &Kit, part: Part, failures: &[Error]) -> Result<LatencyTable> {
    let Part { runtime, host, bursts, kit_sha256, .. } = part;
    let missing = |model: &str| Error::Failed(format!("{model} was not measured"));
    let medians = |model: &str| bursts.medians_us.get(model).ok_or_else(|| missing(model));
    let time = |model: &str| Time::of(medians(model)?).ok_or_else(|| missing(model));
    let op = |o: &gtn_core::artifacts::kit::KitOp| {
        Ok(OpRow { op: o.op.clone(), time: time(&o.model)?.beyond(&time(&o.reference)?, o.copies) })
    };
    let network = |n: &gtn_core::artifacts::kit::KitNetwork| {
        let bursts = medians(&n.model)?;
        let (first, second) = bursts.split_at(bursts.len() / 2);
        let drift = Summary::of(second).zip(Summary::of(first)).map_or(1.0, |(b, a)| b.p50 / a.p50);
        Ok(NetworkRow { arch: n.arch.clone(), precision: n.precision, time: time(&n.model)?, drift })
    };
    let ops = kit.manifest.ops.iter().map(op).collect::<Result<_>>()?;
    let networks: Vec<NetworkRow> = kit.manifest.networks.iter().map(network).collect::<Result<_>>()?;
    let mut warnings = warnings(&bursts, &networks, &host);
    warnings.extend(failures.iter().map(|e| format!("left out: {e}")));
    if runtime.name == "ort" && saturates(kit)? {
        warnings.push(Warning::Saturates { exact: true }.to_string());
    }
    Ok(LatencyTable {
        schema: SCHEMA.into(),
        program: concat!("gtn-run ", env!("CARGO_PKG_VERSION")).into(),
        unix_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        kit_sha256,
        target: kit.manifest.target.clone(),
        host,
        backend: runtime,
        seconds: bursts.seconds,
        rounds: bursts.rounds(kit.models.keys()),
        ops,
        networks,
        conditions: bursts.conditions,
        warnings,
        ext: std::collections::BTreeMap::new(),
    })
}

/// Whether sums of one of its models would saturate here.
fn saturates(kit: &Kit) -> Result<bool> {
    for (name, model) in &kit.models {
        if Arithmetic::of(&OnnxModel::parse(model, &kit.dir.join(name))?).saturates_here() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn warnings(bursts: &Bursts, networks: &[NetworkRow], host: &Host) -> Vec<String> {
    let mut found = Vec::new();
    let of = |f: &dyn Fn(&gtn_core::host::Conditions) -> Option<f64>| {
        Summary::of(&bursts.conditions.iter().filter_map(f).collect::<Vec<_>>())
    };
    if let Some(flags) = bursts.conditions.iter().filter_map(|c| c.throttled).find(|f| f & 0xf != 0) {
        found.push(format!("the firmware reported throttling or under-voltage (flags {flags:#x})"));
    }
    if let Some(mhz) = of(&|c| c.mhz).filter(|s| s.max > 1.1 * s.min) {
        found.push(format!("the clock changed: {:.0} to {:.0} MHz", mhz.min, mhz.max));
    }
    if let Some(heat) = of(&|c| c.celsius).filter(|s| s.max - s.min > 15.0) {
        found.push(format!("the temperature rose: {:.0} to {:.0} °C", heat.min, heat.max));
    }
    let spreads: Vec<f64> = networks.iter().map(|n| n.time.spread_us / n.time.p50_us).collect();
    if let Some(spread) = Summary::of(&spreads).map(|s| s.p50).filter(|&s| s > 0.05) {
        let load = of(&|c| c.load1)
            .map_or(String::new(), |l| format!("; load {:.1} on {} cores", l.p50, host.cores));
        let percent = format::percent(spread);
        found.push(format!(
            "bursts of one network differ by ± {percent} (median): the machine was not at rest{load}"
        ));
    }
    found
}

/// What the table is worth: its slowest operators, and how well it predicts its own networks.
fn summary(measured: &LatencyTable, path: &Path) -> Result<String> {
    let mut slowest: Vec<&OpRow> = measured.ops.iter().collect();
    slowest.sort_by(|a, b| b.time.rest_us.total_cmp(&a.time.rest_us));
    let mut ops = table::Table::new(["operator", "p50", "spread", "bursts"]);
    let us = |x: f64| format!("{x:.2} us");
    for row in slowest.iter().take(SHOWN) {
        ops.row([row.op.clone(), us(row.time.p50_us), us(row.time.spread_us), row.time.n.to_string()]);
    }
    let mut text = ops.render();
    if let Some(more) = slowest.len().checked_sub(SHOWN).filter(|&n| n > 0) {
        text.push_str(&format!("and {more} faster ones\n"));
    }
    let precisions: BTreeSet<Precision> = measured.networks.iter().map(|n| n.precision).collect();
    let mut fits =
        table::Table::new(["precision", "networks", "overhead", "scale", "mean error", "worst", "90 % band"]);
    for precision in precisions {
        let fit = Fitted::new(measured, precision, path)?;
        let sizes: Vec<f64> = fit.errors().iter().map(|e| e.abs()).collect();
        let Some(errors) = Summary::of(&sizes) else { continue };
        let [overhead, scale] = fit.line();
        fits.row([
            precision.name().to_owned(),
            sizes.len().to_string(),
            us(overhead),
            format!("{scale:.3}"),
            format::percent(errors.mean),
            format::percent(errors.max),
            format!("/ or x {:.3}", 1.0 + fit.band),
        ]);
    }
    text.push_str(&format!("\n{}", fits.render()));
    for warning in &measured.warnings {
        text.push_str(&format!("\nwarning: {warning}\n"));
    }
    Ok(text)
}
