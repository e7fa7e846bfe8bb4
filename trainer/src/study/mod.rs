//! `gtn-train study`: arms x students x seeds. A cell is one (arm, teacher seed): a teacher, then all of
//! its students in one teacher pass. Cells share nothing, so each may run on another machine; the study
//! file and the folder are all the coordination there is. Every run is a process of its own, resumable,
//! in its own folder.

mod cell;
mod table;

use crate::cli::StudyArgs;
use crate::commands::plan::LAST_FILE;
use crate::engine::run_dir;
use crate::recipe::merge;
use crate::study::cell::name_some;
use gtn_core::data::{DataSource, Dataset};
use gtn_core::io::artifact;
use gtn_core::nets::pool::Pools;
use gtn_core::program::exit;
use gtn_core::program::progress::bars;
use gtn_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use toml::Table;

/// The study file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// As `--data`.
    pub data: String,
    /// As `--max-bad`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bad: Option<f64>,
    /// Teacher's architecture.
    pub teacher: String,
    /// Pool of the generic teachers, as `--pool`; students may be of it too.
    pub pool: String,
    /// As `--arch` each: `pool:ID`, or a name.
    pub students: Vec<String>,
    /// Teacher seeds; a student takes its teacher's.
    pub seeds: Vec<u64>,
    /// Of every run.
    #[serde(default)]
    pub recipe: Table,
    /// Of teachers, over `recipe`.
    #[serde(default)]
    pub teacher_recipe: Table,
    /// Of students, over `recipe`.
    #[serde(default)]
    pub student_recipe: Table,
    /// What is compared; the first is what the others are compared with.
    pub arms: Vec<Arm>,
    /// The command line's, over every recipe.
    #[serde(skip)]
    pub sets: Vec<String>,
    /// Its own, for messages.
    #[serde(skip)]
    pub path: PathBuf,
    /// Where its students' ids are looked up.
    #[serde(skip)]
    pub pools: Pools,
}

/// One way to make students.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// In tables and folders.
    pub name: String,
    /// `vanilla`, `sftn`, `gtn`; `none` trains students without a teacher.
    pub method: String,
    /// `kd` or `dkd`.
    #[serde(default = "kd")]
    pub kd: String,
    /// Over the study's students (an SFTN arm: the one it is specialised for).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub students: Option<Vec<String>>,
    /// Over the study's seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<Vec<u64>>,
    /// Of its teachers, over `teacher_recipe`.
    #[serde(default)]
    pub teacher_recipe: Table,
    /// Of its students, over `student_recipe`.
    #[serde(default)]
    pub student_recipe: Table,
}

fn kd() -> String {
    "kd".into()
}

/// One (arm, teacher seed).
#[derive(Debug, Clone)]
pub struct Cell<'a> {
    /// Which arm.
    pub arm: &'a Arm,
    /// Of teacher and students.
    pub seed: u64,
    /// Its folder.
    pub dir: PathBuf,
}

/// One process.
struct Job {
    dir: PathBuf,
    done: PathBuf,
    args: Vec<String>,
}

impl Study {
    /// Reads and checks a study file.
    pub fn read(path: &Path) -> Result<Self> {
        let mut study: Self = artifact::read_document(path)?;
        path.clone_into(&mut study.path);
        let bad = |what: String| Err(Error::input(path, what));
        if study.arms.is_empty() || study.seeds.is_empty() || study.students.is_empty() {
            return bad("arms, seeds and students want at least one entry each".into());
        }
        study.pools = Pools::with(std::slice::from_ref(&study.pool))
            .map_err(|e| Error::input(path, format!("pool: {e}")))?;
        for arm in &study.arms {
            if !artifact::is_plain(&arm.name, "+") {
                return bad(format!(
                    "arms: name is `{}`, wanted letters, digits, `-`, `_`, `.`, `+`",
                    arm.name
                ));
            }
            if study.arms.iter().filter(|a| a.name == arm.name).count() > 1 {
                return bad(format!("arms: `{}` is there twice", arm.name));
            }
            for (key, found, known) in [
                ("method", &arm.method, &["vanilla", "sftn", "gtn", "none"][..]),
                ("kd", &arm.kd, &["kd", "dkd"][..]),
            ] {
                if !known.contains(&found.as_str()) {
                    return bad(format!(
                        "arm `{}`: {key} is `{found}`, wanted {}",
                        arm.name,
                        known.join(", ")
                    ));
                }
            }
            let students = study.students_of(arm);
            if arm.method == "sftn" && students.len() != 1 {
                let what =
                    format!("arm `{}`: an sftn teacher has one student, found {}", arm.name, students.len());
                return bad(what);
            }
            if arm.method == "sftn" && students.iter().any(|s| !s.starts_with("pool:")) {
                return bad(format!("arm `{}`: student `{}`, wanted pool:ID", arm.name, students.join(" ")));
            }
        }
        Ok(study)
    }

    /// An arm's own, else the study's.
    pub fn students_of<'a>(&'a self, arm: &'a Arm) -> &'a [String] {
        arm.students.as_deref().unwrap_or(&self.students)
    }

    /// All cells, seed by seed, so that a study cut short has compared something.
    pub fn cells(&self, out: &Path) -> Vec<Cell<'_>> {
        let seeds = |arm: &Arm| arm.seeds.clone().unwrap_or_else(|| self.seeds.clone());
        let most = self.arms.iter().map(|a| seeds(a).len()).max().unwrap_or(0);
        let cell = |(i, arm)| {
            let seed = *seeds(arm).get(i)?;
            Some(Cell { arm, seed, dir: out.join("runs").join(format!("{}-seed{seed}", arm.name)) })
        };
        (0..most).flat_map(|i| self.arms.iter().map(move |arm| (i, arm))).filter_map(cell).collect()
    }

    /// Whether a student is of a pool that is not built in.
    fn is_own(&self, id: &str) -> bool {
        self.pools.own().iter().any(|pool| id.starts_with(&format!("pool:{}:", pool.name)))
    }

    /// A cell's processes, in order.
    fn jobs(&self, cell: &Cell, args: &StudyArgs) -> Result<Vec<Job>> {
        let (teacher, students) = (cell.dir.join("teacher"), cell.dir.join("students"));
        let mut own = Vec::new();
        if !self.pools.own().is_empty() {
            own.extend(["--pool".to_owned(), self.pool.clone()]);
        }
        let arm = cell.arm;
        let common = |out: &Path, recipe: &Path| {
            let mut list: Vec<String> = ["--data", &self.data, "--resume", "--seed", &cell.seed.to_string()]
                .iter()
                .map(|s| (*s).to_owned())
                .collect();
            list.extend(self.max_bad.iter().flat_map(|share| ["--max-bad".into(), share.to_string()]));
            list.extend(["--out".into(), out.display().to_string()]);
            list.extend(["--config".into(), recipe.display().to_string()]);
            list.extend(["--device".into(), args.device.device.clone()]);
            list.extend(args.device.threads.iter().flat_map(|t| ["--threads".into(), t.to_string()]));
            list.extend(args.sets.iter().flat_map(|s| ["--set".into(), s.clone()]));
            list
        };
        artifact::create_dir(&cell.dir)?;
        let mut jobs = Vec::new();
        let ids = self.students_of(arm);
        if arm.method != "none" {
            let recipe = cell.dir.join("teacher.toml");
            write_recipe(&recipe, [&self.recipe, &self.teacher_recipe, &arm.teacher_recipe])?;
            let mut list = vec!["teacher".to_owned(), "--teacher".into(), self.teacher.clone()];
            list.extend(["--method".into(), arm.method.clone()]);
            match arm.method.as_str() {
                "gtn" => list.extend(["--pool".into(), self.pool.clone()]),
                "sftn" => {
                    list.extend(["--student".into(), ids[0].clone()]);
                    if self.is_own(&ids[0]) {
                        list.extend(own.iter().cloned());
                    }
                }
                _ => {}
            }
            list.extend(common(&teacher, &recipe));
            jobs.push(Job { done: teacher.join(LAST_FILE), dir: teacher.clone(), args: list });
        }
        let recipe = cell.dir.join("students.toml");
        write_recipe(&recipe, [&self.recipe, &self.student_recipe, &arm.student_recipe])?;
        let mut list = vec!["student".to_owned()];
        list.extend(ids.iter().flat_map(|id| ["--arch".to_owned(), id.clone()]));
        list.extend(own.iter().cloned());
        if arm.method == "none" {
            list.extend(["--kd".to_owned(), "none".into()]);
        } else {
            list.extend([
                "--kd".to_owned(),
                arm.kd.clone(),
                "--teacher".into(),
                teacher.display().to_string(),
            ]);
        }
        list.extend(common(&students, &recipe));
        jobs.push(Job { done: students.join(LAST_FILE), dir: students, args: list });
        Ok(jobs)
    }
}

/// Later layers win, key by key.
fn write_recipe<const N: usize>(path: &Path, layers: [&Table; N]) -> Result<()> {
    let mut all = Table::new();
    layers.into_iter().for_each(|layer| merge(&mut all, layer.clone()));
    let text = toml::to_string(&all).map_err(|e| Error::Failed(format!("recipe: {e}")))?;
    artifact::write_atomic(path, text.as_bytes())
}

/// `gtn-train study`
pub fn run(args: &StudyArgs) -> Result<()> {
    let mut study = Study::read(&args.config)?;
    study.sets.clone_from(&args.sets);
    let cells = study.cells(&args.out);
    cells.iter().try_for_each(|cell| study.wanted(cell).map(|_| ()))?;
    if args.list {
        return table::list(&study, &cells);
    }
    if !args.table {
        artifact::create_dir(&args.out)?;
        let chosen: Vec<&Cell> = match args.cell {
            Some(i) => vec![cells.get(i).ok_or_else(|| {
                Error::usage(format!("--cell {i}: the study has {} cells, from 0", cells.len()))
            })?],
            None => cells.iter().collect(),
        };
        refuse_or_remove(&study, &chosen, args.retrain)?;
        train(&study, &chosen, args)?;
        if args.cell.is_some() {
            return Ok(());
        }
    }
    table::write(&study, &cells, &args.out)
}

/// Cells of another recipe, other data or other numerics are named before any work, or with `--retrain`
/// removed, to be trained anew.
fn refuse_or_remove(study: &Study, cells: &[&Cell], retrain: bool) -> Result<()> {
    let source = study.data.parse::<DataSource>()?.tolerating(study.max_bad)?;
    let data = Dataset::open(&source, &mut bars("pictures"))?.sha256()?;
    let mut odd = Vec::new();
    for cell in cells {
        let Some(why) = study.odd(cell, Some(&data))? else { continue };
        if retrain {
            exit::note(&format!("study: {} seed {}: removed ({why})", cell.arm.name, cell.seed));
            let runs = ["teacher", "students"].map(|run| cell.dir.join(run));
            // Nobody is at work in it.
            let held = runs.iter().filter(|dir| dir.is_dir()).map(|dir| run_dir::lock(dir));
            let _held = held.collect::<Result<Vec<_>>>()?;
            std::fs::remove_dir_all(&cell.dir).map_err(|e| Error::io(&cell.dir, "remove", e))?;
        } else {
            odd.push(why);
        }
    }
    if odd.is_empty() {
        return Ok(());
    }
    let what = "was not trained by this study file, these data and this gtn-train; --retrain trains it anew, another --out \
                keeps it";
    Err(Error::usage(format!("{}: {what}", name_some(&odd))))
}

/// Runs the cells, `--jobs` at once. A cell that fails is named at the end and stops no other.
fn train(study: &Study, cells: &[&Cell], args: &StudyArgs) -> Result<()> {
    let next = Mutex::new(cells.iter().enumerate());
    let stop = AtomicBool::new(false);
    let failures = Mutex::new(Vec::new());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let item = next.lock().map(|mut n| n.next()).unwrap_or(None);
            let Some((i, cell)) = item else { break };
            exit::note(&format!(
                "study: cell {} of {}: {} seed {}",
                i + 1,
                cells.len(),
                cell.arm.name,
                cell.seed
            ));
            if let Err(e) = train_cell(study, cell, args) {
                if matches!(e, Error::Interrupted(_)) {
                    stop.store(true, Ordering::Relaxed);
                } else {
                    exit::note(&format!("study: warning: {} seed {} failed: {e}", cell.arm.name, cell.seed));
                }
                if let Ok(mut all) = failures.lock() {
                    all.push(e);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.clamp(1, 256) {
            scope.spawn(work);
        }
    });
    let mut all = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = all.iter().position(|e| matches!(e, Error::Interrupted(_))) {
        return Err(all.swap_remove(at));
    }
    match all.len() {
        0 => Ok(()),
        1 => Err(all.remove(0)),
        n => Err(Error::Failed(format!("{n} of {} cells failed; the first: {}", cells.len(), all[0]))),
    }
}

fn train_cell(study: &Study, cell: &Cell, args: &StudyArgs) -> Result<()> {
    for job in study.jobs(cell, args)? {
        if job.done.is_file() {
            continue;
        }
        let program = std::env::current_exe().map_err(|e| Error::Failed(format!("own path: {e}")))?;
        let log = job.dir.with_extension("log");
        let file = std::fs::File::create(&log).map_err(|e| Error::io(&log, "write", e))?;
        let copy = file.try_clone().map_err(|e| Error::io(&log, "write", e))?;
        let status = Command::new(program).args(&job.args).stdout(copy).stderr(file).status();
        let status =
            status.map_err(|e| Error::Failed(format!("{}: cannot start: {e}", job.dir.display())))?;
        if let Some(code) = status.code().filter(|c| *c > 128) {
            return Err(Error::Interrupted(code - 128));
        }
        if !status.success() {
            let text = artifact::read_text(&log).unwrap_or_default();
            let last = text.lines().rfind(|l| l.contains("error: ")).unwrap_or("it tells no reason");
            return Err(Error::Failed(format!(
                "{}: {last} ({status}; {})",
                job.dir.display(),
                log.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: &str = r#"
data = "fashion-mnist-mini"
teacher = "resnet8"
pool = "res-mini"
students = ["pool:res-mini:d111-k333-e111"]
seeds = [0, 1]
[[arms]]
name = "vanilla"
method = "vanilla"
[[arms]]
name = "sftn"
method = "sftn"
seeds = [5]
"#;

    fn parse(text: &str) -> Result<Study> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("study.toml");
        std::fs::write(&path, text).unwrap();
        Study::read(&path)
    }

    #[test]
    fn cells_go_seed_by_seed() {
        let study = parse(STUDY).unwrap();
        let cells = study.cells(Path::new("out"));
        let names: Vec<String> = cells.iter().map(|c| c.dir.display().to_string()).collect();
        assert_eq!(names, ["out/runs/vanilla-seed0", "out/runs/sftn-seed5", "out/runs/vanilla-seed1"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, wanted) in [
            ("\"vanilla\"\nmethod", "\"va/nilla\"\nmethod", "name is `va/nilla`"),
            ("name = \"sftn\"", "name = \"vanilla\"", "`vanilla` is there twice"),
            ("method = \"sftn\"", "method = \"magic\"", "arm `sftn`: method is `magic`"),
            ("method = \"sftn\"", "method = \"sftn\"\nstudents = []", "has one student, found 0"),
            ("pool = \"res-mini\"", "pool = \"no\"", "unknown pool `no`"),
            ("seeds = [0, 1]", "seeds = []", "want at least one entry"),
            ("teacher = ", "teecher = ", "unknown field `teecher`"),
        ] {
            assert!(STUDY.contains(from));
            let error = parse(&STUDY.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains("study.toml"), "{error}");
        }
    }
}
