//! `gtn-run profile` and `memory`: a look inside a model's run.

use crate::cli::{BackendArgs, MemoryArgs, ProfileArgs};
use crate::commands::{PROGRAM, check_outputs, deliver};
use crate::prepare::{prepare, within};
use gtn_core::report::{Memory, Report};
use gtn_core::{Error, Result};
use gtn_run::prove::blank;
use gtn_run::{memory, profile};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

/// `gtn-run profile`
pub fn profile(args: &ProfileArgs) -> Result<()> {
    check_outputs(&args.output)?;
    within("--runs", args.runs, 100_000)?;
    let prepared = prepare(&args.backend)?;
    let (subject, ops) = profile::profile(&args.model, &prepared.options, args.runs)?;
    let mut report = Report { profile: Some(ops), ..blank(&subject, PROGRAM) };
    prepared.note(&mut report);
    deliver(&[report], &args.output)
}

/// `gtn-run memory`
pub fn memory(args: &MemoryArgs) -> Result<()> {
    check_outputs(&args.output)?;
    within("--runs", args.runs, 100_000_000)?;
    let prepared = prepare(&args.backend)?;
    let (subject, found) = memory::measure(&args.model, &prepared.options, args.runs)?;
    deliver(&[Report { memory: Some(found), ..blank(&subject, PROGRAM) }], &args.output)
}

/// [`memory`] in a process of its own, with the same flags; `None` where memory cannot be read.
pub fn memory_pass(model: &Path, args: &BackendArgs) -> Result<Option<Memory>> {
    let failed = |what: String| Error::Failed(format!("the memory pass of {}: {what}", model.display()));
    let program = std::env::current_exe().map_err(|e| failed(e.to_string()))?;
    let mut command = Command::new(program);
    command.arg("memory").args(["--json", "-"]).args(flags(args)).arg("--").arg(model);
    let out = command.stderr(Stdio::piped()).output().map_err(|e| failed(e.to_string()))?;
    match out.status.code() {
        Some(0) => {}
        Some(3) if gtn_core::host::rss_bytes().is_none() => return Ok(None),
        _ => return Err(failed(String::from_utf8_lossy(&out.stderr).trim().to_owned())),
    }
    let report: Report = serde_json::from_slice(&out.stdout).map_err(|e| failed(e.to_string()))?;
    Ok(report.memory)
}

/// The flags that made `args`.
fn flags(args: &BackendArgs) -> Vec<OsString> {
    let mut flags: Vec<OsString> = vec!["--backend".into(), args.backend.clone().into()];
    let mut flag = |name: &str, value: Option<OsString>| {
        if let Some(value) = value {
            flags.extend([name.into(), value]);
        }
    };
    flag("--ep", (!args.ep.is_empty()).then(|| args.ep.join(",").into()));
    flag("--threads", args.threads.map(|t| t.to_string().into()));
    flag("--batch", Some(args.batch.to_string().into()));
    flag("--pin", args.pin.clone().map(Into::into));
    flag("--spin", args.spin.map(|s| if s == crate::cli::Switch::On { "on" } else { "off" }.into()));
    flag("--settings", args.settings.clone().map(Into::into));
    flag("--int8", (args.int8 == crate::cli::Int8Switch::Fast).then(|| "fast".into()));
    flag("--max-memory-mb", args.max_memory_mb.map(|mb| mb.to_string().into()));
    flag("--ort-lib", args.ort_lib.clone().map(Into::into));
    if args.allow_software {
        flags.push("--allow-software".into());
    }
    flags
}
