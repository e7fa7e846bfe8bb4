//! Reports read back from files: one, a list, or a folder of them.

use gtn_core::io::artifact;
use gtn_core::measure::report::{Report, SCHEMA};
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// This is what a path holds: reports, and files or entries that are none.
#[derive(Debug, Default)]
pub struct ReadReports {
    /// At least one.
    pub reports: Vec<Report>,
    /// Of a folder or a list: what in it is no report, and why. It ends nothing for the others.
    pub left_out: Vec<Error>,
}

/// Reads every report in `path`: a .json file with one report or a list, or a folder of such files. It is an
/// error if there is none.
pub fn read(path: &Path) -> Result<ReadReports> {
    let files = if path.is_dir() { json_files(path)? } else { vec![path.to_owned()] };
    let mut found = ReadReports::default();
    for file in &files {
        match read_file(file) {
            Ok(all) => all.into_iter().for_each(|one| match one {
                Ok(report) => found.reports.push(report),
                Err(why) => found.left_out.push(why),
            }),
            Err(why) => found.left_out.push(why),
        }
    }
    if !found.reports.is_empty() {
        return Ok(found);
    }
    match <[Error; 1]>::try_from(found.left_out) {
        Ok([only]) => Err(only),
        Err(several) => {
            for why in &several {
                exit::note(&format!("left out: {why}"));
            }
            Err(Error::input(path, "holds no report (.json of gtn-run)"))
        }
    }
}

fn json_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).map_err(|e| Error::io(dir, "read", e))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Vec<Result<Report>>> {
    each(&artifact::read_text(path)?, path)
}

/// Reads a text that holds one report or a list, all of them sound; `path` is for messages.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Report>> {
    let reports = each(text, path)?.into_iter().collect::<Result<Vec<_>>>()?;
    match reports.is_empty() {
        true => Err(Error::input(path, "holds no report")),
        false => Ok(reports),
    }
}

fn each(text: &str, path: &Path) -> Result<Vec<Result<Report>>> {
    let list = match artifact::parse_json(text, path)? {
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
    Ok(list.into_iter().map(report).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::host::Host;
    use gtn_core::measure::report::{BackendInfo, Model};

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

    fn empty_report() -> Report {
        let model = Model {
            name: "m".into(),
            sha256: "00".into(),
            bytes: 1,
            target: None,
            precision: None,
            arch: None,
            macs: None,
            params: None,
        };
        Report {
            schema: SCHEMA.into(),
            program: "gtn-run 0".into(),
            unix_time: 0,
            model,
            host: Host::default(),
            backend: BackendInfo::default(),
            parity: vec![],
            accuracy: vec![],
            latency: None,
            peak_rss_bytes: None,
            profile: None,
            memory: None,
            warnings: vec![],
        }
    }

    /// One report, another program's file and a torn one in a folder: the report is read, the others are named.
    #[test]
    fn one_odd_file_ends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("a.json", &serde_json::to_string(&empty_report()).unwrap());
        write("b.json", "{\"schema\":\"gtn.compare/1\"}");
        write("c.json", "[");
        write("d.txt", "no .json: not looked at");
        let found = read(dir.path()).unwrap();
        assert_eq!((found.reports.len(), found.left_out.len()), (1, 2));
        assert!(
            found.left_out[0].to_string().contains("b.json")
                && found.left_out[1].to_string().contains("c.json")
        );
        std::fs::remove_file(dir.path().join("a.json")).unwrap();
        let none = read(dir.path()).unwrap_err().to_string();
        assert!(none.contains("holds no report"), "{none}");
    }
}
