//! `gtn-export --from RUNS_DIR --latency-ms X`: the most accurate student (on val) that fits the device's
//! budget, and the Pareto front it was chosen from. Nothing here looks at test images.

use crate::cli::{ExportArgs, Precision};
use crate::{export, students, untrained};
use clap::ValueEnum;
use gtn_core::cost::Cost;
use gtn_core::device::{self, Device};
use gtn_core::html::Page;
use gtn_core::latency::{Basis, Known, Prediction, Predictor, Runtime, Time};
use gtn_core::plot::{Point, scatter};
use gtn_core::progress::Progress;
use gtn_core::select::{Budget, Candidate, choose, pareto, students as students_of};
use gtn_core::table::Table;
use gtn_core::{Error, Result, artifact, exit, format};
use gtn_run::backend::{Kind, Options};
use gtn_run::bursts::Bursts;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Seconds of measuring per candidate on host targets (28 bursts at rest).
const SECONDS_EACH: f64 = 0.4;
/// Two sessions on one machine at rest differ by up to this share.
const SESSIONS: f64 = 0.05;

/// Chooses; exports the choice where there is an `--out`. Where that misses the accuracy gate in its
/// precision it is out, and the next best is taken.
pub fn run(args: &ExportArgs) -> Result<()> {
    let budget = budget(args)?;
    let target = args.target.as_deref().ok_or_else(|| Error::usage("wanted --target (gtn-export --help)"))?;
    let device = device::resolve(target)?;
    let precisions = export::precisions(args.precision, &device)?;
    args.out.as_deref().map_or(Ok(()), artifact::check_creatable)?;
    let found = match (&args.from, &args.student) {
        (Some(runs), _) => students::find(runs)?,
        (None, Some(dir)) => students::one(dir)?,
        (None, None) => {
            return Err(Error::usage("wanted STUDENT_DIR or --from RUNS_DIR (gtn-export --help)"));
        }
    };
    let timed = timed(args, &device, &precisions, &found.students)?;
    let mut selection = Selection {
        budget,
        device,
        threads: timed.threads,
        runtime: timed.runtime,
        candidates: timed.candidates,
        skipped: found.skipped,
        unknown: timed.unknown,
        missed: Vec::new(),
    };
    let mut told = Ok(()); // words that cannot be written do not end the work
    loop {
        let chosen = selection.choose()?.clone();
        if !args.json {
            told = exit::print(&selection.text(&chosen));
        }
        let Some(out) = args.out.as_deref() else {
            if args.json {
                told = exit::print(&artifact::to_json(&selection.document(&chosen))?);
            }
            return told;
        };
        let student = PathBuf::from(&chosen.dir);
        let bundle = export::bundle_path(out, &student, &selection.device)?;
        let precision = Precision::from_str(&chosen.precision, true).map_err(Error::usage)?;
        match export::run(&ExportArgs { student: Some(student), from: None, precision, ..args.clone() }) {
            Err(Error::Failed(why)) if precision != Precision::Fp32 => {
                selection.missed.push(Missed { dir: chosen.dir, precision: chosen.precision, why });
                continue;
            }
            Err(Error::Stdout(_)) => {} // the bundle is whole; what follows fails to be told likewise
            done => done?,
        }
        let beside = |ending: &str| bundle.with_extension(format!("selection.{ending}"));
        artifact::write_json(&beside("json"), &selection.document(&chosen))?;
        artifact::write_atomic(&beside("html"), selection.page(&chosen).as_bytes())?;
        if !args.json {
            told = exit::print(&format!("{}\n{}\n", beside("json").display(), beside("html").display()));
        }
        return told;
    }
}

/// What there is to choose from, and what became of it.
struct Selection {
    budget: Budget,
    device: Device,
    threads: usize,
    runtime: Option<Runtime>,
    candidates: Vec<Candidate>,
    skipped: Vec<students::Skipped>,
    unknown: Vec<String>,
    missed: Vec<Missed>,
}

/// A choice that could not be shipped: its accuracy gate was missed.
#[derive(Serialize)]
struct Missed {
    dir: String,
    precision: String,
    why: String,
}

fn budget(args: &ExportArgs) -> Result<Budget> {
    for (flag, value) in [("--latency-ms", args.latency_ms), ("--memory-mb", args.memory_mb)] {
        if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
            return Err(Error::usage(format!("{flag} {value}: wanted more than 0")));
        }
    }
    Ok(Budget { latency_ms: args.latency_ms, memory_mib: args.memory_mb })
}

fn candidate(student: &students::Student, precision: &str, latency: Prediction) -> Candidate {
    let cost = Cost::of(&student.graph);
    let bytes_per_value = match precision {
        "int8" => 1,
        "fp16" => 2,
        _ => 4,
    };
    Candidate {
        dir: student.dir.display().to_string(),
        arch: student.arch.name.clone(),
        precision: precision.into(),
        val_top1: student.val.top1,
        val_images: student.val.n,
        latency,
        memory_bytes: (cost.weight_bytes + cost.peak_activation_bytes) / 4 * bytes_per_value,
        params: cost.params,
        macs: cost.macs,
    }
}

/// Every student in every precision.
struct Timed {
    candidates: Vec<Candidate>,
    /// Compute threads that the latencies hold for.
    threads: usize,
    /// What the table was measured with, where there is one.
    runtime: Option<Runtime>,
    /// Precisions of the profile that nothing is known of.
    unknown: Vec<String>,
}

/// From the table where one is given; measured here where the target is this machine; else from the
/// profile.
fn timed(
    args: &ExportArgs,
    device: &Device,
    precisions: &[&str],
    students: &[students::Student],
) -> Result<Timed> {
    if args.table.is_none() && device.name == "host" {
        return measured(args, device, precisions, students);
    }
    let Known { predictors, unknown } = Predictor::known(device, args.table.as_deref(), precisions)?;
    let threads = predictors.first().map_or(1, |(_, p)| p.threads(device));
    let runtime = predictors.first().and_then(|(_, p)| p.runtime()).cloned();
    if let (Some(runtime), Some(first)) = (&runtime, device.backends.first())
        && runtime.name != *first
    {
        exit::note(&format!(
            "the table was measured with {}: its times hold for gtn-run --backend {0}, {}'s profile has {first} first",
            runtime.name, device.name
        ));
    }
    let mut candidates = Vec::new();
    for student in students {
        for (precision, predictor) in &predictors {
            candidates.push(candidate(student, precision, predictor.predict(&student.graph)?));
        }
    }
    Ok(Timed { candidates, threads, runtime, unknown: unknown.into_iter().map(str::to_owned).collect() })
}

/// All candidates side by side, with random weights: time does not depend on them.
fn measured(
    args: &ExportArgs,
    device: &Device,
    precisions: &[&str],
    students: &[students::Student],
) -> Result<Timed> {
    let threads = device.cpu.threads.value;
    let options = Options {
        kind: Kind::Ort,
        threads: Some(threads),
        batch: 1,
        ort_lib: args.ort_lib.clone(),
        ..Options::default()
    };
    let all: Vec<(&students::Student, &str)> =
        students.iter().flat_map(|s| precisions.iter().map(move |p| (s, *p))).collect();
    let mut models = BTreeMap::new();
    for (i, (s, precision)) in all.iter().enumerate() {
        models.insert(format!("{i:06}"), untrained::write(&s.graph, &s.arch.name, precision, device)?);
    }
    let seconds = SECONDS_EACH * models.len() as f64;
    let mut bar = Progress::new("measure", seconds.ceil() as u64);
    let mut bursts = Bursts::default();
    bursts.measure(&models, (Path::new("candidate"), &options), seconds, |b| {
        bar.tick(b.seconds as u64, &format!("{} candidates", models.len()));
        Ok(())
    })?;
    bar.finish(&format!("{} candidates in {}", models.len(), format::seconds(bursts.seconds)));
    let timed = |((student, precision), medians): (&(&students::Student, &str), &Vec<f64>)| {
        let time = Time::of(medians).ok_or_else(|| Error::Failed("a candidate was not measured".into()))?;
        let ms = time.rest_us / 1e3;
        let half = SESSIONS + time.spread_us / time.rest_us;
        let band = [ms / (1.0 + half), ms * (1.0 + half)];
        Ok(candidate(student, precision, Prediction { ms, band, basis: Basis::Measured }))
    };
    let candidates = all.iter().zip(bursts.medians_us.values()).map(timed).collect::<Result<_>>()?;
    Ok(Timed { candidates, threads, runtime: None, unknown: Vec::new() })
}

impl Selection {
    /// The best of those that did not miss their gate.
    fn choose(&self) -> Result<&Candidate> {
        let missed = |c: &Candidate| self.missed.iter().any(|m| m.dir == c.dir && m.precision == c.precision);
        let open: Vec<Candidate> = self.candidates.iter().filter(|c| !missed(c)).cloned().collect();
        let chosen = choose(&open, &self.budget).map_err(|e| match self.missed.as_slice() {
            [] => e,
            missed => {
                let list = missed.iter().map(Missed::to_string).collect::<Vec<_>>();
                Error::Failed(format!("{e}; {}", list.join("; ")))
            }
        })?;
        self.candidates
            .iter()
            .find(|c| is_same(c, chosen))
            .ok_or_else(|| Error::Failed("the choice is no candidate".into()))
    }

    fn document(&self, chosen: &Candidate) -> serde_json::Value {
        let name = |c: &Candidate| json!({"dir": c.dir, "precision": c.precision});
        json!({
            "schema": "gtn.selection/1",
            "target": self.device.name,
            "threads": self.threads,
            "runtime": self.runtime,
            "budget": self.budget,
            "basis": chosen.latency.basis,
            "chosen": chosen.dir,
            "precision": chosen.precision,
            "pareto": pareto(&self.candidates).into_iter().map(name).collect::<Vec<_>>(),
            "candidates": self.candidates,
            "missed_gate": self.missed,
            "unknown_precisions": self.unknown,
            "skipped": self.skipped,
        })
    }

    /// The front, most accurate first, and the choice.
    fn text(&self, chosen: &Candidate) -> String {
        let mut text = self.table(chosen).render();
        text.push_str(&format!(
            "\n{} of {} students, in {}: {} as trained (within {}; latency {})\n",
            chosen.dir,
            students_of(&self.candidates),
            chosen.precision,
            format::percent(chosen.val_top1),
            self.budget,
            chosen.latency.basis
        ));
        for m in &self.missed {
            text.push_str(&format!("{m}\n"));
        }
        for precision in &self.unknown {
            text.push_str(&format!("{precision} left out: no figures to predict it from\n"));
        }
        for s in &self.skipped {
            text.push_str(&format!("skipped {}: {}\n", s.dir, s.why));
        }
        text.push('\n');
        text
    }

    fn table(&self, chosen: &Candidate) -> Table {
        let mut table = Table::new([
            "student",
            "precision",
            "val top-1",
            "latency",
            "90 % band",
            "memory",
            "params",
            "MACs",
            "",
        ]);
        for c in pareto(&self.candidates).into_iter().rev() {
            table.row([
                c.dir.clone(),
                c.precision.clone(),
                format::percent(c.val_top1),
                format::ms(c.latency.ms),
                format!("{} to {}", format::ms(c.latency.band[0]), format::ms(c.latency.band[1])),
                format::bytes(c.memory_bytes),
                format::count(c.params),
                format::count(c.macs),
                if is_same(c, chosen) { "chosen".into() } else { String::new() },
            ]);
        }
        table
    }

    fn page(&self, chosen: &Candidate) -> String {
        let front = pareto(&self.candidates);
        let point = |c: &Candidate| {
            let label = match (is_same(c, chosen), front.iter().any(|f| is_same(f, c))) {
                (true, _) => format!("{}, {} (chosen)", c.arch, c.precision),
                (_, true) => format!("{}, {}", c.arch, c.precision),
                _ => String::new(),
            };
            Point { label, x: c.latency.ms, y: 100.0 * c.val_top1, interval: None }
        };
        let points: Vec<Point> = self.candidates.iter().map(point).collect();
        let title = format!("{} students for {}", students_of(&self.candidates), self.device.title);
        let mut page =
            Page::new(&title, &format!("within {}; latency {}", self.budget, chosen.latency.basis));
        page.heading("Accuracy against latency").plot(
            &scatter(&points, "latency, ms", "val top-1 as trained, %", "val accuracy against latency"),
            "Every student in every precision; those on the Pareto front have names.",
        );
        page.heading("The Pareto front").table(&self.table(chosen));
        page.finish()
    }
}

fn is_same(a: &Candidate, b: &Candidate) -> bool {
    (&a.dir, &a.precision) == (&b.dir, &b.precision)
}

impl std::fmt::Display for Missed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is out in {}: {}", self.dir, self.precision, self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What missed its gate in int8 is weighed in fp32; when nothing is left, every reason is told.
    #[test]
    fn a_choice_that_misses_its_gate_makes_way() {
        let candidate = |dir: &str, precision: &str, val_top1: f64, ms: f64| Candidate {
            dir: dir.into(),
            arch: dir.into(),
            precision: precision.into(),
            val_top1,
            val_images: 1000,
            latency: Prediction { ms, band: [ms, ms], basis: Basis::Table },
            memory_bytes: 1,
            params: 1,
            macs: 1,
        };
        let mut selection = Selection {
            budget: Budget { latency_ms: Some(1.0), memory_mib: None },
            device: device::resolve("rpi5").unwrap(),
            threads: 4,
            runtime: None,
            candidates: vec![
                candidate("big", "fp32", 0.9, 2.0),
                candidate("big", "int8", 0.9, 0.9),
                candidate("small", "fp32", 0.8, 0.8),
                candidate("small", "int8", 0.8, 0.4),
            ],
            skipped: Vec::new(),
            unknown: Vec::new(),
            missed: Vec::new(),
        };
        let mut shipped = Vec::new();
        let error = loop {
            match selection.choose().cloned() {
                Err(error) => break error,
                Ok(Candidate { dir, precision, .. }) => {
                    shipped.push(format!("{dir} {precision}"));
                    selection.missed.push(Missed { dir, precision, why: "loses 3 points".into() });
                }
            }
        };
        assert_eq!(shipped, ["big int8", "small int8", "small fp32"]);
        let text = error.to_string();
        let wanted = "none of 1 students is within 1.00 ms; the nearest is big (big, fp32)";
        assert!(text.contains(wanted) && text.contains("small is out in int8: loses 3 points"), "{text}");
        assert_eq!(error.exit_code(), 1);
    }
}
