//! Names that a file cannot keep on another machine, and how they are put back into what comes from there.
//!
//! A path that leads out of the working folder, or a name that a shell, a terminal or a JSON text could stumble over, is
//! called `@N` there. `N` counts up, so that no two are alike, and a name that has an `@` of its own is called so, too:
//! whatever stands for `@N` in an answer is ours.

use gtn_core::text::format;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Begins the name there of what cannot have the same as here.
const MARK: char = '@';
/// An ending that is kept: programs tell a file's kind by it.
const MAX_ENDING: usize = 8;

/// This says what each `@N` stands for.
#[derive(Debug, Default)]
pub struct Names(Vec<Alias>);

#[derive(Debug)]
struct Alias {
    /// What follows `@N` in the name there.
    rest: String,
    /// What both stand for.
    here: PathBuf,
}

/// A name that is the same everywhere: plain, printable UTF-8 without our own mark.
fn is_plain(name: &OsStr) -> Option<&str> {
    let name = name.to_str()?;
    (!name.contains(MARK) && format::escape(name) == name).then_some(name)
}

impl Names {
    /// Returns the name there of a file or folder (not of a path): itself, or `@N` with its ending.
    pub fn name(&mut self, name: &OsStr) -> String {
        if let Some(same) = is_plain(name) {
            return same.to_owned();
        }
        let short =
            |ending: &&str| ending.len() <= MAX_ENDING && ending.chars().all(|c| c.is_ascii_alphanumeric());
        let ending = Path::new(name).extension().and_then(OsStr::to_str).filter(short);
        self.alias(ending.map_or(String::new(), |ending| format!(".{ending}")), name.into())
    }

    /// Returns the name there of a path on the command line. One that stays below the working folder and has
    /// plain names is the same there; any other becomes `@3/student.gtn`.
    pub fn path(&mut self, path: &Path) -> String {
        if let Some(same) = below(path) {
            return same;
        }
        let Some(name) = path.file_name() else { return self.alias(String::new(), path.into()) };
        match is_plain(name) {
            Some(name) => self.alias(format!("/{name}"), path.into()),
            None => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = parent.map(|parent| self.alias(String::new(), parent.into()) + "/");
                parent.unwrap_or_default() + &self.name(name)
            }
        }
    }

    fn alias(&mut self, rest: String, here: PathBuf) -> String {
        let there = format!("{MARK}{}{rest}", self.0.len());
        self.0.push(Alias { rest, here });
        there
    }

    /// Returns words for people with the names that files have here, safe for a terminal. Lines stay lines.
    pub fn in_words(&self, text: &str) -> String {
        self.put_back(&format::escape_lines(text), format::path)
    }

    /// Returns a JSON text whose string values have the names that files have here; all else stays as it is.
    /// The text must have been found to be JSON.
    pub fn in_json(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((between, string)) = rest.split_once('"') {
            let (token, after) = string.split_at(end_of_string(string));
            out.push_str(between);
            let is_key = after.strip_prefix('"').is_some_and(|after| after.trim_start().starts_with(':'));
            let renamed = match is_key || !token.contains(MARK) {
                true => None,
                false => serde_json::from_str::<String>(&format!("\"{token}\"")).ok(),
            };
            // As `classify` names files in its JSON.
            let name = |here: &Path| here.to_str().map_or_else(|| format::path(here), str::to_owned);
            match renamed.and_then(|value| serde_json::to_string(&self.put_back(&value, name)).ok()) {
                Some(string) => out.push_str(&string),
                None => out.push_str(&format!("\"{token}\"")),
            }
            rest = after.strip_prefix('"').unwrap_or(after);
        }
        out.push_str(rest);
        out
    }

    /// In one pass: what has been put back is not looked at again.
    fn put_back(&self, text: &str, written: impl Fn(&Path) -> String) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(MARK) {
            out.push_str(before);
            let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, after_number) = after.split_at(digits);
            let alias = number.parse().ok().and_then(|n: usize| self.0.get(n));
            match alias.and_then(|a| Some((&a.here, after_number.strip_prefix(a.rest.as_str())?))) {
                Some((here, left)) => {
                    out.push_str(&written(here));
                    rest = left;
                }
                None => {
                    out.push(MARK);
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }
}

/// Bytes up to the quote that ends a JSON string.
fn end_of_string(string: &str) -> usize {
    let mut escaped = false;
    let end = string.bytes().position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    });
    end.unwrap_or(string.len())
}

/// A relative path that stays below its folder, if all its names are plain.
fn below(path: &Path) -> Option<String> {
    use std::path::Component;
    let part = |c: Component<'_>| match c {
        Component::CurDir => Some(None),
        Component::Normal(name) => is_plain(name).map(|name| Some(name.to_owned())),
        _ => None,
    };
    let parts: Vec<String> =
        path.components().map(part).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_there_are_plain_and_come_back() {
        let mut names = Names::default();
        let mut path = |text: &str| names.path(Path::new(text));
        assert_eq!(path("./a/b.gtn"), "a/b.gtn");
        assert_eq!(path("/d/c10"), "@0/c10");
        assert_eq!(path("../l.npy"), "@1/l.npy");
        assert_eq!(path("fol\nder/p\".png"), "@2/p\".png");
        assert_eq!(path("/x/od\x1b[31md.png"), "@3/@4.png");
        assert_eq!(path("a@0/b.png"), "@5/b.png");
        assert_eq!(names.name("we\nird.jpeg".as_ref()), "@6.jpeg");
        let text = "@0/c10/x and @1/l.npy: @2/p\".png, @3/@4.png, @0/other, @99/c10 and me@host";
        assert_eq!(
            names.in_words(text),
            "/d/c10/x and ../l.npy: fol\\nder/p\".png, /x/od\\x1b[31md.png, @0/other, @99/c10 and me@host"
        );
        assert_eq!(names.in_words("one\ntwo \x1b[2J\r"), "one\ntwo \\x1b[2J\\r");
    }

    #[test]
    fn json_stays_json() {
        let mut names = Names::default();
        names.path(Path::new("/fol\nder \"x\"/a.png"));
        names.path(Path::new("/@0/a.png"));
        let text = "{\"@0/a.png\": [1.50, \"@0/a.png\", \"see \\\"@0/a.png\\\" \\u2028\", \"@1/a.png\"], \"n\": \"\\\\\"}";
        let renamed = names.in_json(text);
        assert!(renamed.starts_with("{\"@0/a.png\": [1.50, "), "{renamed}");
        let value: serde_json::Value = serde_json::from_str(&renamed).unwrap();
        let here = "/fol\nder \"x\"/a.png";
        assert_eq!(value["@0/a.png"][1], here);
        assert_eq!(value["@0/a.png"][2], format!("see \"{here}\" \u{2028}"));
        assert_eq!(value["@0/a.png"][3], "/@0/a.png", "what was put back is not looked at again");
        assert_eq!(value["n"], "\\");
    }
}
