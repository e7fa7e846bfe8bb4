//! `gtn-export --from RUNS_DIR --latency-ms X`: the most accurate student (on val) that fits the device's
//! budget, and the Pareto front it was chosen from. Nothing here looks at test images.

use crate::cli::ExportArgs;
use crate::{export, students, untrained};
use gtn_core::cost::Cost;
use gtn_core::device::{self, Device};
use gtn_core::html::Page;
use gtn_core::latency::{Basis, Prediction, Predictor, Time};
use gtn_core::plot::{Point, scatter};
use gtn_core::progress::Progress;
use gtn_core::select::{Budget, Candidate, choose, pareto};
use gtn_core::table::Table;
use gtn_core::{Error, Result, artifact, exit, format};
use gtn_run::backend::Options;
use gtn_run::bursts::Bursts;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Seconds of measuring per candidate on host targets (28 bursts at rest).
const SECONDS_EACH: f64 = 0.4;
/// Two sessions on one machine at rest differ by up to this share.
const SESSIONS: f64 = 0.05;

/// Chooses; exports the choice where there is an `--out`.
pub fn run(args: &ExportArgs) -> Result<()> {
    let budget = budget(args)?;
    let target = args.target.as_deref().ok_or_else(|| Error::usage("wanted --target (gtn-export --help)"))?;
    let device = device::resolve(target)?;
    let found = match (&args.from, &args.student) {
        (Some(runs), _) => students::find(runs)?,
        (None, Some(dir)) => students::one(dir)?,
        (None, None) => {
            return Err(Error::usage("wanted STUDENT_DIR or --from RUNS_DIR (gtn-export --help)"));
        }
    };
    let (latencies, threads) = latencies(args, &device, &found.students)?;
    let candidates: Vec<Candidate> =
        found.students.iter().zip(latencies).map(|(s, latency)| candidate(s, latency)).collect();
    let chosen = choose(&candidates, &budget)?;
    let basis = chosen.latency.basis;
    let front: Vec<&str> = pareto(&candidates).iter().map(|c| c.dir.as_str()).collect();
    let document = json!({
        "schema": "gtn.selection/1",
        "target": device.name,
        "precision": "fp32",
        "threads": threads,
        "budget": budget,
        "basis": basis,
        "chosen": chosen.dir,
        "pareto": front,
        "candidates": candidates,
        "skipped": found.skipped,
    });
    let Some(out) = args.out.as_deref() else {
        let text = match args.json {
            true => artifact::to_json(&document)?,
            false => text(&candidates, chosen, &budget, &found.skipped),
        };
        exit::print(&text);
        return Ok(());
    };
    if !args.json {
        exit::print(&format!("{}\n", text(&candidates, chosen, &budget, &found.skipped)));
    }
    let student = PathBuf::from(&chosen.dir);
    let bundle = export::bundle_path(out, &student, &device)?;
    export::run(&ExportArgs { student: Some(student), from: None, ..args.clone() })?;
    let beside = |ending: &str| bundle.with_extension(format!("selection.{ending}"));
    artifact::write_json(&beside("json"), &document)?;
    let title = format!("{} students for {}", candidates.len(), device.title);
    artifact::write_atomic(&beside("html"), page(&candidates, chosen, &budget, &title).as_bytes())?;
    if !args.json {
        exit::print(&format!("{}\n{}\n", beside("json").display(), beside("html").display()));
    }
    Ok(())
}

fn budget(args: &ExportArgs) -> Result<Budget> {
    for (flag, value) in [("--latency-ms", args.latency_ms), ("--memory-mb", args.memory_mb)] {
        if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
            return Err(Error::usage(format!("{flag} {value}: wanted more than 0")));
        }
    }
    Ok(Budget { latency_ms: args.latency_ms, memory_mib: args.memory_mb })
}

fn candidate(student: &students::Student, latency: Prediction) -> Candidate {
    let cost = Cost::of(&student.graph);
    Candidate {
        dir: student.dir.display().to_string(),
        arch: student.arch.name.clone(),
        val_top1: student.val.top1,
        val_images: student.val.n,
        latency,
        memory_bytes: cost.weight_bytes + cost.peak_activation_bytes,
        params: cost.params,
        macs: cost.macs,
    }
}

/// From the table where one is given; measured here where the target is this machine; else from the
/// profile. With the compute threads that they hold for.
fn latencies(
    args: &ExportArgs,
    device: &Device,
    students: &[students::Student],
) -> Result<(Vec<Prediction>, usize)> {
    let predict = |p: &Predictor| students.iter().map(|s| p.predict(&s.graph)).collect::<Result<Vec<_>>>();
    if args.table.is_none() && device.name == "host" {
        return measured(args, device, students);
    }
    let predictor = Predictor::new(device, args.table.as_deref(), "fp32")?;
    let threads = match &predictor {
        Predictor::Table(fitted) => fitted.threads(),
        Predictor::Roofline(_) => device.cpu.threads.value,
    };
    Ok((predict(&predictor)?, threads))
}

/// All candidates side by side, with random weights: time does not depend on them.
fn measured(
    args: &ExportArgs,
    device: &Device,
    students: &[students::Student],
) -> Result<(Vec<Prediction>, usize)> {
    let threads = device.cpu.threads.value;
    let options =
        Options { threads: Some(threads), batch: 1, ort_lib: args.ort_lib.clone(), ..Options::default() };
    let mut models = BTreeMap::new();
    for (i, s) in students.iter().enumerate() {
        models.insert(format!("{i:06}"), untrained::write(&s.graph, &s.arch.name, "fp32", device)?);
    }
    let seconds = SECONDS_EACH * models.len() as f64;
    let mut bar = Progress::new("measure", seconds.ceil() as u64);
    let mut bursts = Bursts::default();
    bursts.measure(&models, (Path::new("candidate"), &options), seconds, |b| {
        bar.tick(b.seconds as u64, &format!("{} students", models.len()));
        Ok(())
    })?;
    bar.finish(&format!("{} students in {}", models.len(), format::seconds(bursts.seconds)));
    let prediction = |medians: &Vec<f64>| {
        let time = Time::of(medians).ok_or_else(|| Error::Failed("a candidate was not measured".into()))?;
        let ms = time.rest_us / 1e3;
        let half = SESSIONS + time.spread_us / time.rest_us;
        Ok(Prediction { ms, band: [ms / (1.0 + half), ms * (1.0 + half)], basis: Basis::Measured })
    };
    Ok((bursts.medians_us.values().map(prediction).collect::<Result<_>>()?, threads))
}

/// The front, most accurate first, and the choice.
fn text(
    candidates: &[Candidate],
    chosen: &Candidate,
    budget: &Budget,
    skipped: &[students::Skipped],
) -> String {
    let mut text = table(candidates, chosen).render();
    text.push_str(&format!(
        "\n{} of {} students: {} (within {budget}; latency {})\n",
        chosen.dir,
        candidates.len(),
        format::percent(chosen.val_top1),
        chosen.latency.basis
    ));
    for s in skipped {
        text.push_str(&format!("skipped {}: {}\n", s.dir, s.why));
    }
    text
}

fn table(candidates: &[Candidate], chosen: &Candidate) -> Table {
    let mut table =
        Table::new(["student", "val top-1", "latency", "90 % band", "memory", "params", "MACs", ""]);
    for c in pareto(candidates).into_iter().rev() {
        table.row([
            c.dir.clone(),
            format::percent(c.val_top1),
            format::ms(c.latency.ms),
            format!("{} to {}", format::ms(c.latency.band[0]), format::ms(c.latency.band[1])),
            format::bytes(c.memory_bytes),
            format::count(c.params),
            format::count(c.macs),
            if c.dir == chosen.dir { "chosen".into() } else { String::new() },
        ]);
    }
    table
}

fn page(candidates: &[Candidate], chosen: &Candidate, budget: &Budget, title: &str) -> String {
    let front = pareto(candidates);
    let point = |c: &Candidate| {
        let label = match (c.dir == chosen.dir, front.iter().any(|f| f.dir == c.dir)) {
            (true, _) => format!("{} (chosen)", c.arch),
            (_, true) => c.arch.clone(),
            _ => String::new(),
        };
        Point { label, x: c.latency.ms, y: 100.0 * c.val_top1, interval: None }
    };
    let points: Vec<Point> = candidates.iter().map(point).collect();
    let basis = chosen.latency.basis;
    let mut page = Page::new(title, &format!("within {budget}; latency {basis}"));
    page.heading("Accuracy against latency").plot(
        &scatter(&points, "latency, ms", "val top-1, %", "val accuracy against latency"),
        "Every student; those on the Pareto front have names.",
    );
    page.heading("The Pareto front").table(&table(candidates, chosen));
    page.finish()
}
