//! What one training run is to do, and what it writes where.

use crate::cli::{KdMethod, RunArgs, TeacherSource};
use crate::commands::save::DIVERGED;
use gtn_core::artifacts::model_dir::ArchFile;
use gtn_core::nets::pool::{Pools, Space};
use std::path::PathBuf;

/// Everything about one run but its data.
pub struct Plan<'a> {
    /// `teacher` or `student`.
    pub command: &'static str,
    /// As in train.json.
    pub method: &'static str,
    /// As `--arch` or `--teacher` names them.
    pub archs: &'a [String],
    /// What every run takes.
    pub run: &'a RunArgs,
    /// Who teaches.
    pub teacher: Option<&'a TeacherSource>,
    /// What a student learns from.
    pub kd: KdMethod,
    /// Of a generic teacher's students.
    pub space: Option<Space>,
    /// Where ids are looked up.
    pub pools: Pools,
}

impl Plan<'_> {
    /// The data set's, without its folder.
    pub fn data_name(&self) -> &str {
        self.run.data.split(':').next().unwrap_or_default()
    }
}

/// One network to be saved.
pub struct Output {
    /// Its folder.
    pub dir: PathBuf,
    /// Its arch.json.
    pub file: ArchFile,
}

impl Output {
    /// Whether all that is written of a network is there: train.json comes last.
    pub fn is_written(&self) -> bool {
        self.dir.join("train.json").exists() || self.dir.join(DIVERGED).exists()
    }
}

/// What to do where data are not what they were.
pub const OWN_DATA: &str = "give the data as they were then, or train it anew";
/// Written last of all: a run that has it is finished.
pub const LAST_FILE: &str = "report.html";
