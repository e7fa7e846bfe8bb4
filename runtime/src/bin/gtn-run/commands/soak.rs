//! `gtn-run soak`: latency under a load that lasts.

use crate::cli::{OutputArgs, SoakArgs};
use crate::output::{check_outputs, deliver_json};
use crate::prepare::{prepare, soak_settings};
use gtn_core::html;
use gtn_core::io::artifact;
use gtn_core::measure::soak::{SCHEMA, Soak};
use gtn_core::program::exit;
use gtn_core::program::progress::Progress;
use gtn_core::program::signals::Signals;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use gtn_run::judge::soak::{Now, soak};
use gtn_run::subject::Subject;
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Runs `gtn-run soak`. A signal ends the load; what was measured by then is written all the same.
pub fn run(args: &SoakArgs) -> Result<()> {
    check_outputs(&args.output)?;
    let settings = soak_settings(args)?;
    let prepared = prepare(&args.backend)?;
    let mut subject = Subject::open(&args.model, &prepared.options)?;
    let signals = Signals::watch()?;
    let mut bar = Progress::new("soak", (settings.minutes * 60.0).ceil() as u64);
    let mut found = soak(&mut subject, settings, &mut |now: &Now| {
        bar.tick(now.at_s as u64, &format!("{}, {} inferences", format::ms(now.median_ms), now.inferences));
        signals.received().map_or(ControlFlow::Continue(()), |_| ControlFlow::Break(()))
    })?;
    found.warnings.extend(prepared.other_settings(&found.model));
    bar.finish(&format!("{} inferences in {}", found.inferences, format::seconds(found.seconds)));
    let told = deliver(&found, &args.output);
    let stopped = signals.received().filter(|_| found.ended_early);
    exit::work_first(stopped.map_or(Ok(()), |signal| Err(Error::Interrupted(signal))), told)
}

/// Writes JSON, HTML and the terminal's words. That one of them cannot be written keeps none of the others back.
pub fn deliver(soak: &Soak, output: &OutputArgs) -> Result<()> {
    let to_stdout = output.json.as_deref() == Some(Path::new("-"));
    let json = output.json.as_deref().map_or(Ok(()), |path| deliver_json(soak, path));
    let html = page(std::slice::from_ref(soak), output.html.as_deref());
    let words = if to_stdout { Ok(()) } else { exit::print(&words(soak, output.html.as_deref())) };
    exit::work_first(exit::work_first(json, html), words)
}

fn page(soaks: &[Soak], path: Option<&Path>) -> Result<()> {
    path.map_or(Ok(()), |path| artifact::write_atomic(path, html::soak::page(soaks).as_bytes()))
}

fn words(soak: &Soak, page: Option<&Path>) -> String {
    let page = page.map_or_else(String::new, |path| format!("\n{}\n", path.display()));
    format!("{}{page}", soak.terminal())
}

/// Tells saved soaks and makes their page: `gtn-run report` of files that are `gtn.soak/1`. It is `None` where none of
/// the files is one, and a usage error where only some are.
pub fn report(files: &[PathBuf], html: Option<&Path>) -> Result<Option<()>> {
    let (soaks, others): (Vec<&PathBuf>, Vec<&PathBuf>) = files.iter().partition(|path| is_soak(path));
    if soaks.is_empty() {
        return Ok(None);
    }
    if let Some(other) = others.first() {
        let what =
            format!("{}: is no {SCHEMA} as the others are: make a page of each kind", format::path(other));
        return Err(Error::usage(what));
    }
    let soaks = soaks.into_iter().map(|path| Soak::read(path)).collect::<Result<Vec<Soak>>>()?;
    let told: Vec<String> = soaks.iter().map(|s| words(s, None)).collect();
    let made = html.map_or_else(String::new, |path| format!("\n{}\n", path.display()));
    exit::work_first(page(&soaks, html), exit::print(&format!("{}{made}", told.join("\n"))))?;
    Ok(Some(()))
}

/// Whether a file says that it is a soak; what cannot be read is for others to name.
fn is_soak(path: &Path) -> bool {
    let Some(text) = path.is_file().then(|| artifact::read_text(path).ok()).flatten() else { return false };
    let value = serde_json::from_str::<Value>(&text).unwrap_or_default();
    value.get("schema").and_then(Value::as_str) == Some(SCHEMA)
}
