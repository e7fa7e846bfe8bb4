//! docs/limits.md names every bound in the code, with its value and what it is for, taken from the code itself.
//! `GTN_WRITE_LIMITS=1 cargo test -p gtn-tests --test limits` writes the table anew.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_tests::root;
use std::fs;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- the table: written by tests/tests/limits.rs -->\n";
const END: &str = "<!-- the table's end -->\n";
/// How the name of a bound begins.
const NAMES: [&str; 5] = ["MAX", "MOST", "GRACE", "SHARED", "KEPT"];

/// Every source file of the programs and their libraries, sorted.
fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// `NAME` and its value of a line that makes a constant of a number or a time.
fn bound(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let rest = ["pub const ", "pub(crate) const ", "pub(super) const ", "const "]
        .iter()
        .find_map(|p| line.strip_prefix(p))?;
    let (name, rest) = rest.split_once(": ")?;
    let (kind, value) = rest.strip_suffix(';')?.split_once(" = ")?;
    // One of a table of them: `limit("nodes", 100_000, 256)`.
    if let Some(limit) = value.strip_prefix("limit(") {
        return Some((name, limit.split(", ").nth(1)?));
    }
    let counts = ["usize", "u64", "u32", "u16", "i64", "f64", "Duration"].contains(&kind);
    (counts && NAMES.iter().any(|begin| name.starts_with(begin))).then_some((name, value))
}

/// `1 << 20` and `Duration::from_secs(60)` as people write them; any other as it is.
fn readable(value: &str) -> String {
    if let Some(seconds) = value.strip_prefix("Duration::from_secs(").and_then(|v| v.strip_suffix(')')) {
        return format!("{seconds} s");
    }
    let (number, shift) = value.split_once(" << ").unwrap_or((value, "0"));
    match (number.trim_matches(['(', ')']).replace('_', "").parse::<u64>(), shift.parse::<u32>()) {
        (Ok(number), Ok(0)) => number.to_string(),
        (Ok(number), Ok(shift)) if shift < 64 => match shift {
            30.. => format!("{} Gi", number << (shift - 30)),
            20.. => format!("{} Mi", number << (shift - 20)),
            10.. => format!("{} Ki", number << (shift - 10)),
            _ => (number << shift).to_string(),
        },
        _ => format!("`{value}`"),
    }
}

fn table() -> String {
    let mut files = Vec::new();
    for part in ["core", "runtime", "exporter", "trainer"] {
        sources(&root().join(part).join("src"), &mut files);
    }
    files.sort();
    let mut rows = String::from("| where | bound | value | of what |\n| --- | --- | --- | --- |\n");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(root()).unwrap().display().to_string().replace("/src/", "/");
        let mut about: Vec<&str> = Vec::new();
        for line in text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")) {
            if let Some(comment) = line.trim_start().strip_prefix("///") {
                about.push(comment.trim());
                continue;
            }
            if let Some((name, value)) = bound(line) {
                let about = about.join(" ").replace('|', "\\|");
                rows.push_str(&format!("| {place} | `{name}` | {} | {about} |\n", readable(value)));
            }
            about.clear();
        }
    }
    rows
}

#[test]
fn the_document_names_every_bound() {
    let path = root().join("docs/limits.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    let wanted = table();
    if std::env::var_os("GTN_WRITE_LIMITS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    let odd: Vec<&str> = wanted.lines().filter(|line| !found.contains(line)).collect();
    let stale: Vec<&str> = found.lines().filter(|line| !wanted.contains(line)).collect();
    assert!(
        odd.is_empty() && stale.is_empty(),
        "GTN_WRITE_LIMITS=1 writes it anew; missing {odd:#?}, stale {stale:#?}"
    );
    assert!(wanted.lines().count() > 40);
}

#[test]
fn values_are_read_as_people_write_them() {
    assert_eq!(bound("pub const MAX_A: usize = 1 << 20;"), Some(("MAX_A", "1 << 20")));
    assert_eq!(bound("const MAXIMAL: Shader = shader!(1);"), None);
    for (value, wanted) in [
        ("1 << 20", "1 Mi"),
        ("2 << 30", "2 Gi"),
        ("10_000", "10000"),
        ("Duration::from_secs(60)", "60 s"),
        ("(1u64 << 30) as f64", "`(1u64 << 30) as f64`"),
    ] {
        assert_eq!(readable(value), wanted);
    }
}
