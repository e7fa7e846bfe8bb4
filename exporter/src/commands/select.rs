//! `gtn-export --from RUNS_DIR --latency-ms X`: the most accurate student (on val) that fits the device's
//! budget, and the Pareto front it was chosen from. Nothing here looks at test images.

use crate::candidates::choose::Duel;
use crate::candidates::timing::{Timed, timed};
use crate::cli::ExportArgs;
use crate::commands::export;
use crate::plan::ExportPlan;
use crate::students;
use crate::students::{Skipped, Student};
use gtn_core::artifacts::model_dir::ModelDir;
use gtn_core::device::Device;
use gtn_core::error::Kind;
use gtn_core::html::page::Page;
use gtn_core::html::plot::{Point, scatter};
use gtn_core::io::artifact;
use gtn_core::latency::Basis;
use gtn_core::latency::budget::Budget;
use gtn_core::latency::select::{StudentCandidate, choose, pareto, students as students_of};
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Precision, Result};
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Chooses a student, and exports it where there is an `--out`. A choice that cannot be shipped (its accuracy
/// gate is missed, its weights are broken) is out, and the next best is taken.
pub fn run(args: &ExportArgs) -> Result<()> {
    let plan = ExportPlan::resolve(args)?;
    budget(args)?;
    args.out.as_deref().map_or(Ok(()), artifact::check_creatable)?;
    let mut selection = Selection::start(&plan, args)?;
    let mut told = Ok(()); // words that cannot be written do not end the work
    loop {
        let chosen = selection.choose()?;
        let student = PathBuf::from(&chosen.dir);
        let broken = ModelDir::read(&student).and_then(|s| students::check_finite(&s, &student)).err();
        if let Some(why) = broken {
            selection.leave_out(&chosen.dir, &why);
            continue;
        }
        if !args.json {
            told = exit::print(&selection.text(&chosen));
        }
        let Some(out) = args.out.as_deref() else {
            if args.json {
                told = exit::print(&artifact::to_json(&selection.document(&chosen))?);
            }
            return told;
        };
        let bundle = export::bundle_path(out, &student, &plan.device)?;
        let one = plan.of_precision(chosen.precision);
        match export::export(&one, &student, &bundle, Some(&selection.why(&chosen))) {
            Err(e) if e.kind() == Kind::Failed => {
                let why = e.to_string();
                selection.missed.push(Missed { dir: chosen.dir, precision: chosen.precision, why });
                continue;
            }
            Err(Error::Stdout(_)) => {} // the bundle is whole; what follows fails to be told likewise
            done => done?,
        }
        let beside = selection.deliver(&chosen, &bundle, args.json);
        return exit::work_first(beside, told);
    }
}

/// What there is to choose from, and what became of it.
struct Selection {
    budget: Budget,
    device: Device,
    /// The profile's, or the one asked for.
    precisions: Vec<Precision>,
    students: Vec<Student>,
    timed: Timed,
    skipped: Vec<Skipped>,
    missed: Vec<Missed>,
}

/// A choice that could not be shipped: its accuracy gate was missed.
#[derive(Serialize)]
struct Missed {
    dir: String,
    precision: Precision,
    why: String,
}

fn budget(args: &ExportArgs) -> Result<Budget> {
    for (flag, value) in [("--latency-ms", args.latency_ms), ("--memory-mb", args.memory_mb)] {
        if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
            return Err(Error::usage(format!("{flag} {value}: wanted more than 0")));
        }
    }
    Ok(Budget { latency_ms: args.latency_ms, memory_mib: args.memory_mb, ..Budget::default() })
}

impl Selection {
    /// Finds the students and how long each takes.
    fn start(plan: &ExportPlan, args: &ExportArgs) -> Result<Self> {
        let budget = budget(args)?;
        let found = match (&args.from, &args.student) {
            (Some(runs), _) => students::find(runs)?,
            (None, Some(dir)) => students::one(dir)?,
            (None, None) => {
                return Err(Error::usage("wanted STUDENT_DIR or --from RUNS_DIR (gtn-export --help)"));
            }
        };
        let mut timed = timed(plan, &found.students)?;
        let mut skipped = found.skipped;
        skipped.append(&mut timed.skipped);
        if timed.candidates.is_empty() {
            let what = format!("there is no student to choose from{}", students::tell(&skipped));
            return Err(Error::usage(what));
        }
        let (device, precisions) = (plan.device.clone(), plan.precisions.clone());
        Ok(Self { budget, device, precisions, students: found.students, timed, skipped, missed: Vec::new() })
    }

    /// The best of those that can be shipped as far as is known.
    fn choose(&mut self) -> Result<StudentCandidate> {
        let missed =
            |c: &StudentCandidate| self.missed.iter().any(|m| m.dir == c.dir && m.precision == c.precision);
        let open: Vec<StudentCandidate> =
            self.timed.candidates.iter().filter(|c| !missed(c)).cloned().collect();
        let (timed, students) = (&mut self.timed, &self.students);
        let faster = |a: &&StudentCandidate, b: &&StudentCandidate| timed.clearly_faster(students, a, b);
        choose(&open, &self.budget, &self.precisions, faster).cloned().map_err(|e| {
            let missed: String = self.missed.iter().map(|m| format!("; {m}")).collect();
            match e {
                Error::Failed(text) => {
                    Error::Failed(format!("{text}{missed}{}", students::tell(&self.skipped)))
                }
                other => other,
            }
        })
    }

    /// A student that turns out to be broken.
    fn leave_out(&mut self, dir: &str, why: &Error) {
        self.timed.candidates.retain(|c| c.dir != dir);
        self.skipped.push(Skipped { dir: dir.to_owned(), why: why.to_string() });
    }

    /// For the export's report.
    fn why(&self, chosen: &StudentCandidate) -> String {
        let duels: String = self.timed.duels().map(|d| format!("; measured in turn: {d}")).collect();
        format!("chosen within {}, latency {} ({}){duels}", self.budget, chosen.latency.basis, chosen.latency)
    }

    fn deliver(&self, chosen: &StudentCandidate, bundle: &Path, quiet: bool) -> Result<()> {
        let beside = |ending: &str| bundle.with_extension(format!("selection.{ending}"));
        artifact::write_json(&beside("json"), &self.document(chosen))?;
        artifact::write_atomic(&beside("html"), self.page(chosen).as_bytes())?;
        if !quiet {
            return exit::print(&format!("{}\n{}\n", beside("json").display(), beside("html").display()));
        }
        Ok(())
    }

    fn document(&self, chosen: &StudentCandidate) -> serde_json::Value {
        let name = |c: &StudentCandidate| json!({"dir": c.dir, "precision": c.precision});
        json!({
            "schema": "gtn.selection/1.2",
            "target": self.device.name,
            "threads": self.timed.threads,
            "runtime": self.timed.runtime,
            "budget": self.budget,
            "basis": chosen.latency.basis,
            "chosen": chosen.dir,
            "precision": chosen.precision,
            "pareto": pareto(&self.timed.candidates).into_iter().map(name).collect::<Vec<_>>(),
            "candidates": self.timed.candidates,
            "measured_in_turn": self.timed.duels().collect::<Vec<&Duel>>(),
            "missed_gate": self.missed,
            "unknown_precisions": self.timed.unknown,
            "skipped": self.skipped,
        })
    }

    /// The front, most accurate first, and the choice.
    fn text(&self, chosen: &StudentCandidate) -> String {
        let mut text = self.table(chosen).render_within(80);
        text.push_str(&format!(
            "\n{} of {} students, in {}: {} as trained (within {}; latency {}, {})\n",
            chosen.dir,
            students_of(&self.timed.candidates),
            chosen.precision,
            format::percent(chosen.val_top1),
            self.budget,
            chosen.latency,
            self.whose(chosen)
        ));
        if chosen.is_doubtful(&self.budget) {
            text.push_str(
                "the band reaches beyond the limit: measure it on the device before you rely on it\n",
            );
        }
        for duel in self.timed.duels() {
            text.push_str(&format!("measured in turn: {duel}\n"));
        }
        for m in &self.missed {
            text.push_str(&format!("{m}\n"));
        }
        for precision in &self.timed.unknown {
            text.push_str(&format!("{precision} left out: no figures to predict it from\n"));
        }
        for s in &self.skipped {
            text.push_str(&format!("skipped {}: {}\n", s.dir, s.why));
        }
        text.push('\n');
        text
    }

    /// Whose latency it is: never this machine's for the target's.
    fn whose(&self, c: &StudentCandidate) -> String {
        match c.latency.basis {
            Basis::Measured => c.latency.basis.to_string(),
            basis => format!("{basis}, for {}", self.device.name),
        }
    }

    fn table(&self, chosen: &StudentCandidate) -> Table {
        let latency = match chosen.latency.basis {
            Basis::Measured => "measured here".to_owned(),
            _ => format!("predicted for {}", self.device.name),
        };
        let band = match chosen.latency.basis {
            Basis::Roofline => "band, assumed",
            _ => "90 % band",
        };
        let headings = ["student", "precision", "val top-1", &latency, band, "", "memory", "params", "MACs"];
        let mut table = Table::new(headings);
        let mut shown = pareto(&self.timed.candidates);
        if let Some(missing) = self.timed.candidates.iter().find(|c| is_same(c, chosen))
            && !shown.iter().any(|c| is_same(c, chosen))
        {
            shown.push(missing);
        }
        shown.sort_by(|a, b| b.latency.ms.total_cmp(&a.latency.ms));
        for c in shown {
            table.row([
                c.dir.clone(),
                c.precision.name().into(),
                format::percent(c.val_top1),
                format::ms(c.latency.ms),
                format!("{} to {}", format::ms(c.latency.band[0]), format::ms(c.latency.band[1])),
                if is_same(c, chosen) { "chosen".into() } else { String::new() },
                format::bytes(c.memory_bytes),
                format::count(c.params),
                format::count(c.macs),
            ]);
        }
        table
    }

    fn page(&self, chosen: &StudentCandidate) -> String {
        let front = pareto(&self.timed.candidates);
        let point = |c: &StudentCandidate| {
            let label = match (is_same(c, chosen), front.iter().any(|f| is_same(f, c))) {
                (true, _) => format!("{}, {} (chosen)", c.arch, c.precision),
                (_, true) => format!("{}, {}", c.arch, c.precision),
                _ => String::new(),
            };
            Point { label, x: c.latency.ms, y: 100.0 * c.val_top1, interval: None }
        };
        let points: Vec<Point> = self.timed.candidates.iter().map(point).collect();
        let title = format!("{} students for {}", students_of(&self.timed.candidates), self.device.title);
        let whose = self.whose(chosen);
        let mut page = Page::new(&title, &format!("within {}; latency {whose}", self.budget));
        page.heading("Accuracy against latency").plot(
            &scatter(
                &points,
                &format!("latency {whose}, ms"),
                "val top-1 as trained, %",
                "val accuracy against latency",
            ),
            "Every student in every precision; those on the Pareto front have names.",
        );
        page.heading("The Pareto front").table(&self.table(chosen));
        page.finish()
    }
}

fn is_same(a: &StudentCandidate, b: &StudentCandidate) -> bool {
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
    use gtn_core::latency::Prediction;

    /// What missed its gate in int8 is weighed in fp32; when nothing is left, every reason is told.
    #[test]
    fn a_choice_that_misses_its_gate_makes_way() {
        let candidate = |dir: &str, precision: Precision, val_top1: f64, ms: f64| StudentCandidate {
            dir: dir.into(),
            arch: dir.into(),
            precision,
            val_top1,
            val_images: 1000,
            latency: Prediction { ms, band: [ms, ms], basis: Basis::Table },
            memory_bytes: 1,
            model_bytes: 1,
            params: 1,
            macs: 1,
        };
        let mut selection = Selection {
            budget: Budget { latency_ms: Some(1.0), ..Budget::default() },
            device: gtn_core::device::resolve("rpi5").unwrap(),
            precisions: vec![Precision::Int8, Precision::Fp32],
            students: Vec::new(),
            timed: Timed {
                candidates: vec![
                    candidate("big", Precision::Int8, 0.9, 0.9),
                    candidate("big", Precision::Fp32, 0.9, 2.0),
                    candidate("small", Precision::Int8, 0.8, 0.4),
                    candidate("small", Precision::Fp32, 0.8, 0.8),
                ],
                ..Timed::default()
            },
            skipped: vec![Skipped { dir: "odd".into(), why: "has no train.json".into() }],
            missed: Vec::new(),
        };
        let mut shipped = Vec::new();
        let error = loop {
            match selection.choose() {
                Err(error) => break error,
                Ok(StudentCandidate { dir, precision, .. }) => {
                    shipped.push(format!("{dir} {precision}"));
                    selection.missed.push(Missed { dir, precision, why: "loses 3 points".into() });
                }
            }
        };
        assert_eq!(shipped, ["big int8", "small int8", "small fp32"]);
        let text = error.to_string();
        let wanted = "none of 1 students is within 1.00 ms; the nearest is big (big, fp32)";
        assert!(text.contains(wanted) && text.contains("small is out in int8: loses 3 points"), "{text}");
        assert!(text.ends_with("; 1 skipped"), "{text}");
        assert_eq!(error.exit_code(), 1);
    }
}
