//! The trained networks under a folder of runs.

use gtn_core::arch::ArchSpec;
use gtn_core::graph::Graph;
use gtn_core::model_dir::{ArchFile, SplitAccuracy, TRAIN_SCHEMA, TrainFile};
use gtn_core::{Error, Result, artifact};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Folders below RUNS_DIR that are looked into: a study's students lie three deep.
const MAX_DEPTH: usize = 8;

/// One trained network, as far as a choice needs it.
#[derive(Debug)]
pub struct Student {
    /// Its folder.
    pub dir: PathBuf,
    /// The network.
    pub arch: ArchSpec,
    /// Its lowering.
    pub graph: Graph,
    /// Last epoch, on val.
    pub val: SplitAccuracy,
    data: String,
}

/// A folder that cannot be a candidate.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// It.
    pub dir: String,
    /// Why not.
    pub why: String,
}

/// All of a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// By folder.
    pub students: Vec<Student>,
    /// Unfinished runs, and those without val images.
    pub skipped: Vec<Skipped>,
}

/// Every folder below `runs` that holds an arch.json. Those that are damaged, and those whose val
/// accuracies cannot be compared, are errors.
pub fn find(runs: &Path) -> Result<Found> {
    if !runs.is_dir() {
        return Err(Error::input(runs, "is not a folder; wanted one that holds runs of gtn-train"));
    }
    let mut found = Found::default();
    walk(runs, 0, &mut found)?;
    let Some(first) = found.students.first() else {
        let unfit = match found.skipped.len() {
            0 => String::new(),
            n => format!(" ({n} skipped: {})", found.skipped[0].why),
        };
        return Err(Error::input(runs, format!("holds no trained student (arch.json, train.json){unfit}")));
    };
    let (data, n) = (first.data.clone(), first.val.n);
    match found.students.iter().find(|s| (&s.data, s.val.n) != (&data, n)) {
        Some(odd) => Err(Error::input(
            &odd.dir,
            format!(
                "was judged on {} val images of `{}`, {} on {n} of `{data}`: their accuracies cannot be compared",
                odd.val.n,
                odd.data,
                first.dir.display()
            ),
        )),
        None => Ok(found),
    }
}

/// That folder alone.
pub fn one(dir: &Path) -> Result<Found> {
    let student = read(dir)?.map_err(|why| Error::input(dir, why))?;
    Ok(Found { students: vec![student], skipped: Vec::new() })
}

fn walk(dir: &Path, depth: usize, found: &mut Found) -> Result<()> {
    if dir.join("arch.json").is_file() {
        match read(dir)? {
            Ok(student) => found.students.push(student),
            Err(why) => found.skipped.push(Skipped { dir: dir.display().to_string(), why }),
        }
    }
    if depth == MAX_DEPTH {
        return Ok(());
    }
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
    folders.iter().try_for_each(|f| walk(f, depth + 1, found))
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
    Ok(Ok(Student { dir: dir.to_owned(), arch: file.arch, graph, val, data: train.data }))
}
