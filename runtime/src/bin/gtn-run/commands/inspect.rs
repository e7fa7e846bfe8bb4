//! `gtn-run profile` and `memory`: a look inside a model's run.

use crate::cli::{MemoryArgs, ProfileArgs};
use crate::output::{PROGRAM, check_outputs, deliver};
use crate::prepare::{prepare, within};
use gtn_core::measure::report::{Memory, Report};
use gtn_core::{Error, Result};
use gtn_run::judge::prove::blank;
use gtn_run::judge::{memory, profile};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `gtn-run profile`.
pub fn profile(args: &ProfileArgs) -> Result<()> {
    check_outputs(&args.output)?;
    within("--runs", args.runs, 100_000)?;
    let prepared = prepare(&args.backend)?;
    let (subject, ops) = profile::profile(&args.model, &prepared.options, args.runs)?;
    let mut report = Report { profile: Some(ops), ..blank(&subject, PROGRAM) };
    prepared.note(&mut report);
    deliver(&[report], &args.output)
}

/// Runs `gtn-run memory`.
pub fn memory(args: &MemoryArgs) -> Result<()> {
    check_outputs(&args.output)?;
    within("--runs", args.runs, 100_000_000)?;
    let prepared = prepare(&args.backend)?;
    let (subject, found) = memory::measure(&args.model, &prepared.options, args.runs)?;
    deliver(&[Report { memory: Some(found), ..blank(&subject, PROGRAM) }], &args.output)
}

/// Runs [`memory`] in a process of its own, with the same flags, which `words` are. Returns `None` where memory
/// cannot be read.
pub fn memory_pass(model: &Path, words: &[OsString]) -> Result<Option<Memory>> {
    let failed = |what: String| Error::Failed(format!("the memory pass of {}: {what}", model.display()));
    let program = std::env::current_exe().map_err(|e| failed(e.to_string()))?;
    let mut command = Command::new(program);
    command.arg("memory").args(["--json", "-"]).args(words).arg("--").arg(model);
    let out = command.stderr(Stdio::piped()).output().map_err(|e| failed(e.to_string()))?;
    match out.status.code() {
        Some(0) => {}
        Some(3) if gtn_core::host::rss_bytes().is_none() => return Ok(None),
        _ => return Err(failed(String::from_utf8_lossy(&out.stderr).trim().to_owned())),
    }
    let report: Report = serde_json::from_slice(&out.stdout).map_err(|e| failed(e.to_string()))?;
    Ok(report.memory)
}
