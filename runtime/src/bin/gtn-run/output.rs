//! Where a command's answer goes: JSON, HTML, the terminal, and the exit status.

use crate::cli::OutputArgs;
use gtn_core::html;
use gtn_core::io::artifact;
use gtn_core::measure::overview;
use gtn_core::measure::report::Report;
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use serde::Serialize;
use std::path::Path;

/// This is the program's name and version, for reports.
pub const PROGRAM: &str = concat!("gtn-run ", env!("CARGO_PKG_VERSION"));

/// Checks that results can be written: a bad path fails before the work, not after it.
pub fn check_outputs(output: &OutputArgs) -> Result<()> {
    let files = [&output.json, &output.html];
    files.into_iter().flatten().filter(|p| *p != Path::new("-")).try_for_each(|p| artifact::check_writable(p))
}

/// Writes JSON, HTML and the terminal's words. That one of them cannot be written keeps none of the others
/// back.
pub fn deliver(reports: &[Report], output: &OutputArgs) -> Result<()> {
    let to_stdout = output.json.as_deref() == Some(Path::new("-"));
    // One report as itself, several as a list.
    let json = match (&output.json, reports) {
        (Some(path), [report]) => deliver_json(report, path),
        (Some(path), reports) => deliver_json(reports, path),
        (None, _) => Ok(()),
    };
    let html = output.html.as_deref().map_or(Ok(()), |path| deliver_html(reports, path));
    let words = if to_stdout { Ok(()) } else { exit::print(&terminal(reports, output)) };
    exit::work_first(exit::work_first(json, html), words)
}

/// Writes JSON to a file, or with `-` to stdout.
pub fn deliver_json<T: Serialize + ?Sized>(value: &T, path: &Path) -> Result<()> {
    match path == Path::new("-") {
        true => exit::print(&artifact::to_json(value)?),
        false => artifact::write_json(path, value),
    }
}

fn terminal(reports: &[Report], output: &OutputArgs) -> String {
    let text: Vec<String> = reports.iter().map(html::report::terminal).collect();
    let mut text = text.join("\n");
    if reports.len() > 1 {
        text.push_str(&format!("\n{}", overview::overview(reports).terminal()));
    }
    if let Some(path) = &output.html {
        text.push_str(&format!("\n{}\n", path.display()));
    }
    text
}

/// Writes one page about all reports.
pub fn deliver_html(reports: &[Report], path: &Path) -> Result<()> {
    let title = match reports {
        [one] => one.model.name.clone(),
        _ => format!("{} reports", reports.len()),
    };
    artifact::write_atomic(path, html::report::page(reports, &title).as_bytes())
}

/// Fails with exit status 1 where a comparison of the report failed.
pub fn judge(model: &Path, report: &Report) -> Result<()> {
    match report.parity_passes() {
        true => Ok(()),
        false => Err(Error::Failed(format!("{}: parity failed (see the table)", format::path(model)))),
    }
}
