//! TOML and JSON to typed values; a mistake is one line that names its place and key.

use super::read_text;
use crate::text::format;
use crate::{Error, Result};
use serde::{Deserialize, de::DeserializeOwned};
use std::path::Path;

/// Characters of a message about a mistake; a parser may quote a whole file in its own.
const MOST: usize = 200;
/// Characters of a key.
const MOST_KEY: usize = 60;

/// Reads TOML (by its ending) or JSON; the error gives file, line, column and key.
pub fn read_document<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = read_text(path)?;
    if path.extension().is_some_and(|e| e == "toml") {
        parse_toml(&text, path)
    } else {
        parse_json(&text, path)
    }
}

/// Parses TOML in memory; `path` is for messages. An error gives line, column and key.
pub fn parse_toml<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T> {
    toml::from_str(text).map_err(|e| Error::input(path, toml_mistake(text, e)))
}

/// Parses JSON in memory; `path` is for messages. An error gives line, column and key.
pub fn parse_json<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut parser)
        .map_err(|e| Error::input(path, json_mistake(&e.path().to_string(), e.inner())))?;
    parser.end().map_err(|e| Error::input(path, json_mistake(".", &e)))?;
    Ok(value)
}

/// Turns a JSON value into what it should be; `path` is for messages. An error gives the key.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value, path: &Path) -> Result<T> {
    serde_path_to_error::deserialize(value)
        .map_err(|e| Error::input(path, json_mistake(&e.path().to_string(), e.inner())))
}

/// Checks that a file whose schema is `found` can be read by who reads up to `wanted`: `NAME/MAJOR`, or `NAME/MAJOR.MINOR`
/// where keys have been added. The minor may be lower (such a file lacks the keys); the error says what is wrong.
pub fn check_schema(found: &str, wanted: &str) -> Result<(), String> {
    let parts = |schema: &str| {
        let (name, version) = schema.rsplit_once('/')?;
        let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
        Some((name.to_owned(), major.to_owned(), minor.parse::<u32>().ok()?))
    };
    let shown = format::shorten(found, MOST_KEY);
    match (parts(found), parts(wanted)) {
        _ if found == wanted => Ok(()),
        (Some((name, major, minor)), Some((known_name, known_major, known)))
            if name == known_name && major == known_major =>
        {
            match minor <= known {
                true => Ok(()),
                false => {
                    Err(format!("schema is `{shown}`, written by a newer program: wanted up to `{wanted}`"))
                }
            }
        }
        _ => Err(format!("schema is `{shown}`, wanted `{wanted}`")),
    }
}

/// Reads JSON whose `schema` key must be `wanted` (`gtn.arch/1`), as [`check_schema`] has it; it is an error if it is any
/// other, whatever else is in the file.
pub fn read_schema<T: DeserializeOwned>(path: &Path, wanted: &str) -> Result<T> {
    parse_schema(&read_text(path)?, path, wanted)
}

/// Does what [`read_schema`] does with text in memory; `path` is for messages.
pub fn parse_schema<T: DeserializeOwned>(text: &str, path: &Path, wanted: &str) -> Result<T> {
    #[derive(Deserialize)]
    struct Head {
        schema: Option<String>,
    }
    let head: Head = parse_json(text, path)?;
    let found = head.schema.unwrap_or_default();
    check_schema(&found, wanted).map_err(|what| Error::input(path, what))?;
    parse_json(text, path)
}

/// `line 3, column 5, `cpu.cores`: invalid type: ...`
fn toml_mistake(text: &str, mut error: toml::de::Error) -> String {
    let place = error.span().map(|span| {
        let before = text.get(..span.start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    });
    let message = error.message().to_owned();
    // Without the text, which it would quote, it tells the key: behind the message, in a line of its own.
    error.set_input(None);
    let told = error.to_string();
    let key =
        told.strip_prefix(&message).and_then(|rest| rest.trim().strip_prefix("in `")?.strip_suffix('`'));
    mistake(place, key.unwrap_or_default(), &message)
}

fn json_mistake(key: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (line, column) = (error.line(), error.column());
    let message = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    mistake((line > 0).then_some((line, column)), if key == "." { "" } else { key }, message)
}

fn mistake(place: Option<(usize, usize)>, key: &str, message: &str) -> String {
    let place = place.map(|(line, column)| format!("line {line}, column {column}"));
    let key = (!key.is_empty()).then(|| format!("`{}`", format::shorten(key, MOST_KEY)));
    let place: Vec<String> = place.into_iter().chain(key).collect();
    let message = format::shorten(message, MOST);
    let message = format::escape(&message);
    if place.is_empty() { message.into_owned() } else { format!("{}: {message}", place.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by serde alone")]
    struct Outer {
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by serde alone")]
    struct Inner {
        list: Vec<u32>,
    }

    #[test]
    fn a_reader_takes_its_major_up_to_its_own_minor() {
        for found in ["gtn.x/1", "gtn.x/1.0", "gtn.x/1.1", "gtn.x/1.2"] {
            assert_eq!(check_schema(found, "gtn.x/1.2"), Ok(()), "{found}");
        }
        for (found, wanted, told) in [
            (
                "gtn.x/1.3",
                "gtn.x/1.2",
                "schema is `gtn.x/1.3`, written by a newer program: wanted up to `gtn.x/1.2`",
            ),
            ("gtn.x/1.1", "gtn.x/1", "written by a newer program"),
            ("gtn.x/2", "gtn.x/1.2", "schema is `gtn.x/2`, wanted `gtn.x/1.2`"),
            ("gtn.y/1.2", "gtn.x/1.2", "wanted `gtn.x/1.2`"),
            ("gtn.x/1.-1", "gtn.x/1.2", "wanted `gtn.x/1.2`"),
            ("", "gtn.x/1", "schema is ``, wanted"),
        ] {
            let error = check_schema(found, wanted).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    fn toml(text: &str) -> String {
        parse_toml::<Outer>(text, Path::new("a.toml")).unwrap_err().to_string()
    }

    fn json(text: &str) -> String {
        parse_json::<Outer>(text, Path::new("a.json")).unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_is_one_line_with_place_and_key() {
        assert_eq!(
            toml("[inner]\nlist = [1, \"two\"]\n"),
            "a.toml: line 2, column 12, `inner.list`: invalid type: string \"two\", expected u32"
        );
        assert_eq!(
            json("{\"inner\":\n {\"list\": [1, \"two\"]}}"),
            "a.json: line 2, column 19, `inner.list[1]`: invalid type: string \"two\", expected u32"
        );
        assert_eq!(json("{\"inner\":{\"list\":[]}} x"), "a.json: line 1, column 23: trailing characters");
        for (text, wanted) in [
            ("x", "a.toml: line 1, column 2"),
            ("inner = {list = []}\n[odd]\n", "a.toml: line 2"),
            ("[inner]\n", "missing field `list`"),
        ] {
            let error = toml(text);
            assert!(error.contains(wanted) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_mistake_is_short_whatever_the_file_holds() {
        let long = "k".repeat(100_000);
        for error in [
            toml(&format!("{long} = 1")),
            toml(&format!("[inner]\nlist = \"{long}\"")),
            toml(&format!("inner = {long}")),
            toml(&format!("[inner.list.{long}]\na = 1")),
            json(&format!("{{\"{long}\": 1}}")),
            json(&format!("{{\"inner\": {{\"list\": \"{long}\"}}}}")),
            parse_schema::<Outer>(&format!("{{\"schema\":\"{long}\"}}"), Path::new("a"), "b")
                .unwrap_err()
                .to_string(),
        ] {
            assert!(error.chars().count() < 320 && !error.contains('\n'), "{}", error.len());
        }
    }

    #[test]
    fn an_unknown_schema_is_refused_by_name() {
        let error = parse_schema::<serde_json::Value>(
            r#"{"schema":"gtn.arch/2"}"#,
            Path::new("a.json"),
            "gtn.arch/1",
        );
        assert_eq!(error.unwrap_err().to_string(), "a.json: schema is `gtn.arch/2`, wanted `gtn.arch/1`");
    }
}
