//! The trained networks under a folder of runs.

use gtn_core::artifacts::model_dir::{ArchFile, ModelDir, SplitAccuracy, TRAIN_SCHEMA, TrainFile};
use gtn_core::io::artifact;
use gtn_core::ir::arch::ArchSpec;
use gtn_core::ir::graph::Graph;
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// This says what to do where data are not what they were.
pub const OWN_DATA: &str = "give the data as they were then, or train again";
/// Folders below RUNS_DIR that are looked into: a study's students lie three deep.
const MAX_DEPTH: usize = 8;

/// This is one trained network, as far as a choice needs it.
#[derive(Debug)]
pub struct Student {
    /// Its folder.
    pub dir: PathBuf,
    /// The network.
    pub arch: ArchSpec,
    /// Its lowering.
    pub graph: Graph,
    /// The built-in pool that it is of, or the name of one of somebody's own; none: of no pool.
    pub pool: Option<String>,
    /// Last epoch, on val.
    pub val: SplitAccuracy,
    data: String,
}

/// This is a folder that cannot be a candidate.
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    /// It.
    pub dir: String,
    /// Why not.
    pub why: String,
}

/// This is what was found below a folder.
#[derive(Debug, Default)]
pub struct FoundStudents {
    /// By folder.
    pub students: Vec<Student>,
    /// What cannot be chosen: unfinished, damaged, broken, or judged on other images than the rest.
    pub skipped: Vec<Skipped>,
}

/// Reads every folder below `runs` that holds an arch.json. What cannot be judged is left out with its reason
/// and ends nothing for the others; it is an error if nothing is left.
pub fn find(runs: &Path) -> Result<FoundStudents> {
    if !runs.is_dir() {
        return Err(Error::input(runs, "is not a folder; wanted one that holds runs of gtn-train"));
    }
    let mut found = FoundStudents::default();
    walk(runs, 0, &mut found)?;
    keep_comparable(&mut found);
    if found.students.is_empty() {
        let what = format!("holds no trained student (arch.json, train.json){}", tell(&found.skipped));
        return Err(Error::input(runs, what));
    }
    Ok(found)
}

/// Tells each with its reason on stderr, a line each, and returns `; 2 skipped` for an error's end.
pub fn tell(skipped: &[Skipped]) -> String {
    for s in skipped {
        exit::note(&format!("skipped {}: {}", s.dir, s.why));
    }
    if skipped.is_empty() { String::new() } else { format!("; {} skipped", skipped.len()) }
}

/// Val accuracies compare where they are of as many images of the same data: the largest such group stays,
/// of equal ones that with more images, then the first by folder.
fn keep_comparable(found: &mut FoundStudents) {
    let key = |s: &Student| (s.data.clone(), s.val.n);
    let mut groups: Vec<((String, usize), usize)> = Vec::new();
    for student in &found.students {
        match groups.iter_mut().find(|(k, _)| *k == key(student)) {
            Some((_, n)) => *n += 1,
            None => groups.push((key(student), 1)),
        }
    }
    groups.reverse(); // of equal ones the last is taken
    let Some(((data, n), _)) = groups.into_iter().max_by_key(|((_, images), n)| (*n, *images)) else {
        return;
    };
    let (kept, odd) = found.students.drain(..).partition(|s: &Student| key(s) == (data.clone(), n));
    found.students = kept;
    found.skipped.extend(odd.into_iter().map(|s: Student| Skipped {
        dir: s.dir.display().to_string(),
        why: format!(
            "was judged on {} val images of `{}`, the others on {n} of `{data}`: the accuracies do not compare",
            s.val.n, s.data
        ),
    }));
}

/// Reads that folder alone. It is an error if its student cannot be chosen.
pub fn one(dir: &Path) -> Result<FoundStudents> {
    let student = read(dir)?.map_err(|why| Error::input(dir, why))?;
    Ok(FoundStudents { students: vec![student], skipped: Vec::new() })
}

fn walk(dir: &Path, depth: usize, found: &mut FoundStudents) -> Result<()> {
    let skipped = |why: String| Skipped { dir: dir.display().to_string(), why };
    if dir.join("arch.json").is_file() {
        match read(dir) {
            Ok(Ok(student)) => found.students.push(student),
            Ok(Err(why)) => found.skipped.push(skipped(why)),
            Err(damaged) => found.skipped.push(skipped(damaged.to_string())),
        }
    }
    if depth == MAX_DEPTH {
        return Ok(());
    }
    match folders(dir) {
        Ok(folders) => folders.iter().try_for_each(|f| walk(f, depth + 1, found)),
        Err(e) if depth == 0 => Err(e),
        Err(e) => {
            found.skipped.push(skipped(e.to_string()));
            Ok(())
        }
    }
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).map_err(|e| Error::io(dir, "read", e))?;
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io(dir, "read", e))?;
        let kind = entry.file_type().map_err(|e| Error::io(entry.path(), "read", e))?;
        // A link may lead back up; a hidden folder is one that is being written.
        if kind.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

/// The student of a folder, or why it cannot be chosen.
fn read(dir: &Path) -> Result<std::result::Result<Student, String>> {
    let file = ArchFile::read(&dir.join("arch.json"))?;
    let train_path = dir.join("train.json");
    if !train_path.is_file() {
        return Ok(Err("has no train.json: its training is not finished".into()));
    }
    let train: TrainFile = artifact::read_schema(&train_path, TRAIN_SCHEMA)?;
    let Some(val) = train.accuracy.get("val").cloned() else {
        return Ok(Err("was trained without val images (val_fraction = 0): nothing to choose it by".into()));
    };
    if !(0.0..=1.0).contains(&val.top1) {
        return Err(Error::input(&train_path, format!("accuracy.val.top1 is {}, wanted 0 to 1", val.top1)));
    }
    let graph = Graph::lower(&file.arch)?;
    let pool = file.pool_id.as_deref().and_then(|id| Some(id.split_once(':')?.0.to_owned()));
    Ok(Ok(Student { dir: dir.to_owned(), arch: file.arch, graph, pool, val, data: train.data }))
}

/// Checks that the student's golden answers are finite: a network that diverged may have any accuracy in its
/// train.json. (Weights that are not finite are refused where they are read.)
pub fn check_finite(student: &ModelDir, dir: &Path) -> Result<()> {
    match student.golden.logits.iter().find(|x| !x.is_finite()) {
        Some(x) => {
            let what = format!("tensor `logits` holds {x}: the training diverged");
            Err(Error::input(dir.join("golden.safetensors"), what))
        }
        None => Ok(()),
    }
}
