//! A command as it runs on another machine, and what comes back of it: plain types, whoever asks.

use super::names::Names;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// This is something that the command reads: where it is here, and where in the folder that the command runs in
/// there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// As given.
    pub here: PathBuf,
    /// Relative, with `/`.
    pub there: String,
    /// What of it travels.
    pub holds: Holds,
}

/// This says what the command reads a path as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A model's file, or the folder of a bundle or kit.
    Model,
    /// A picture, or a folder of pictures.
    Pictures,
    /// A data set's folder.
    Data,
    /// One file.
    File,
}

/// This is a file that the command writes there and that is wanted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// As given; none: it is only looked at.
    pub here: Option<PathBuf>,
    /// Relative, with `/`.
    pub there: String,
    /// What it must be.
    pub made: Made,
}

/// This says what a file that comes back must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// What the command answers with, as JSON.
    Answer,
    /// `.npy`, f32.
    Logits,
    /// `gtn.settings/1`.
    Settings,
    /// `gtn.table/1`.
    Table,
}

/// This says how a command's answer is told here. An answer that has a report is told from that alone: tables
/// and pages are made here, so that nothing a device says reaches the terminal or a browser as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Telling {
    /// `gtn.report/1`, one or a list.
    #[default]
    Reports,
    /// `gtn.compare/1`.
    Comparison,
    /// `gtn.soak/1`.
    Soak,
    /// Classes of pictures.
    Pictures,
    /// What it printed: lines for people.
    Words,
    /// What it printed: JSON.
    Json,
}

/// This is a command as it runs there.
#[derive(Debug, Default)]
pub struct Line {
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// Read by the command.
    pub inputs: Vec<Input>,
    /// Written by it.
    pub outputs: Vec<Output>,
    /// What its answer is.
    pub telling: Telling,
    /// What has another name there.
    pub names: Names,
}

/// What a command prints for people.
pub const MAX_WORDS: u64 = 1 << 20;
/// A report: the samples of one are some hundred KiB.
const MAX_JSON: u64 = 32 << 20;
/// Logits of 50,000 images of 1,000 classes are 200 MB.
const MAX_LOGITS: u64 = 256 << 20;

/// This is what came back of a run.
#[derive(Debug, Default)]
pub struct Came {
    /// Exit status.
    pub code: u8,
    /// 0: what was printed; `I`: the output before `I`.
    pub files: BTreeMap<usize, Vec<u8>>,
}

/// Returns how many bytes a file that comes back may have.
pub fn most(made: Made) -> u64 {
    match made {
        Made::Logits => MAX_LOGITS,
        Made::Answer | Made::Settings | Made::Table => MAX_JSON,
    }
}
