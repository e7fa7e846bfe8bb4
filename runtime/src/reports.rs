//! Reports read back from files: one, a list, or a folder of them.

use gtn_core::report::{Report, SCHEMA};
use gtn_core::{Error, Result, artifact, format};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Every report in `path`: a .json file with one report or a list, or a folder of such files.
pub fn read(path: &Path) -> Result<Vec<Report>> {
    let files = if path.is_dir() { json_files(path)? } else { vec![path.to_owned()] };
    let mut reports = Vec::new();
    for file in &files {
        reports.extend(read_file(file)?);
    }
    if reports.is_empty() {
        return Err(Error::input(path, "holds no report (.json of gtn-run)"));
    }
    Ok(reports)
}

fn json_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).map_err(|e| Error::io(dir, "read", e))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Vec<Report>> {
    let list = match artifact::parse_json(&artifact::read_text(path)?, path)? {
        Value::Array(list) => list,
        one => vec![one],
    };
    let report = |value: Value| {
        let schema = value.get("schema").and_then(Value::as_str).unwrap_or_default();
        if schema != SCHEMA {
            let schema = format::shorten(schema, 60);
            return Err(Error::input(path, format!("schema is `{schema}`, wanted `{SCHEMA}`")));
        }
        artifact::from_value(value, path)
    };
    list.into_iter().map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.json");
        assert!(read(dir.path()).unwrap_err().to_string().contains("holds no report"));
        for (text, wanted) in [
            ("[", "EOF"),
            ("{\"schema\":\"gtn.report/2\"}", "schema is `gtn.report/2`, wanted `gtn.report/1`"),
            ("[{\"schema\":\"gtn.report/1\"}]", "missing field"),
            ("3", "schema is ``"),
            ("[]", "holds no report"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = read(&file).unwrap_err();
            assert!(error.to_string().contains("r.json") && error.to_string().contains(wanted), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
