//! `labels.csv` of an image folder: `file,label[,split]`, one line a picture (RFC 4180's commas and quotes).

use crate::data::listing::{Found, Listing, Part, Place, Raw};
use crate::io::artifact;
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path};

/// The file's name.
pub(super) const NAME: &str = "labels.csv";

/// Which column is which.
struct Columns {
    count: usize,
    file: usize,
    label: usize,
    split: Option<usize>,
}

/// Lists what `table` names; files are relative to `dir`, and all of them must be there.
pub(super) fn list(dir: &Path, table: &Path) -> Result<Listing> {
    let text = artifact::read_text(table)?;
    let mut lines = (1..).zip(text.trim_start_matches('\u{feff}').lines());
    let at = |line: usize, what: String| Error::input(table, format!("line {line}: {what}"));
    let header = lines.next().map_or("", |(_, line)| line);
    let columns = columns(&fields(header).map_err(|e| at(1, e))?).map_err(|e| at(1, e))?;
    let (mut raw, mut seen) = (Vec::new(), HashMap::new());
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let row = fields(line).map_err(|e| at(number, e))?;
        let one = picture(dir, &columns, &row).map_err(|e| at(number, e))?;
        if let Some(first) = seen.insert(one.name.clone(), number) {
            return Err(at(number, format!("`{}` stands in line {first} too", one.name)));
        }
        raw.push(one);
    }
    Found { root: table.to_owned(), declared: BTreeSet::new(), raw, problems: Vec::new(), numbers: true }
        .listing()
}

fn columns(header: &[String]) -> Result<Columns, String> {
    let place = |name: &str| header.iter().position(|h| h.trim().eq_ignore_ascii_case(name));
    let wanted = |name: &str| {
        place(name).ok_or_else(|| {
            format!(
                "has no column `{name}`: the header is `{}`, wanted `file,label` or `file,label,split`",
                header.join(",")
            )
        })
    };
    Ok(Columns { count: header.len(), file: wanted("file")?, label: wanted("label")?, split: place("split") })
}

fn picture(dir: &Path, columns: &Columns, row: &[String]) -> Result<Raw, String> {
    if row.len() != columns.count {
        return Err(format!("has {} fields, the header has {}", row.len(), columns.count));
    }
    let field = |i: usize| row.get(i).map_or("", |f| f.trim());
    let (file, class) = (field(columns.file), field(columns.label));
    if class.is_empty() {
        return Err("its label is empty".into());
    }
    // Inside the folder only, and one name for one file.
    let parts: Option<Vec<&str>> = Path::new(file)
        .components()
        .filter(|c| *c != Component::CurDir)
        .map(|c| if let Component::Normal(name) = c { name.to_str() } else { None })
        .collect();
    let Some(name) = parts.map(|p| p.join("/")).filter(|n| !n.is_empty()) else {
        return Err(format!("file `{file}` is not inside the folder"));
    };
    let path = dir.join(&name);
    if !path.is_file() {
        return Err(format!("there is no file `{file}`"));
    }
    let part = match columns.split.map(field) {
        None => None,
        Some(word) => {
            let part = Part::named(word);
            Some(part.ok_or_else(|| format!("split is `{word}`, wanted train, val or test"))?)
        }
    };
    Ok(Raw { name, class: class.to_owned(), part, place: Place::File(path) })
}

/// A line's fields. A quoted field keeps its commas, and `""` in it is one quote; it does not go on in the next line.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let (mut all, mut field) = (Vec::new(), String::new());
    let (mut quoted, mut was_quoted) = (false, false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() && !was_quoted => (quoted, was_quoted) = (true, true),
            ',' if !quoted => {
                all.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            other => field.push(other),
        }
    }
    if quoted {
        return Err("a quote is not closed".into());
    }
    all.push(field);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::image_folder::{self, tests::tree};
    use super::*;
    use std::fs;

    fn listed(csv: &str) -> Result<Listing> {
        let dir = tree(&["p/1.png", "p/2.png", "p/a,b.png", "é \"x\".jpg", "outside.png"]);
        fs::write(dir.path().join(NAME), csv).unwrap();
        image_folder::list(dir.path())
    }

    #[test]
    fn fields_are_as_rfc_4180_has_them() {
        let found = |line: &str| fields(line).unwrap();
        assert_eq!(found("a,,c"), ["a", "", "c"]);
        assert_eq!(found("\"a,b\",\"say \"\"x\"\"\",\"\""), ["a,b", "say \"x\"", ""]);
        assert!(fields("\"a,b").is_err());
    }

    #[test]
    fn a_table_is_read() {
        let set = listed(
            "\u{feff}label,File,note\r\n10,p/1.png,x\r\n9,./p/2.png,\r\n\r\n10,\"p/a,b.png\",\r\n9,\"é \"\"x\"\".jpg\",\r\n",
        );
        let set = set.unwrap();
        assert_eq!(set.classes, ["9", "10"]);
        let names: Vec<(&str, u16)> = set.items.iter().map(|i| (i.name.as_str(), i.label)).collect();
        assert_eq!(names, [("p/1.png", 1), ("p/2.png", 0), ("p/a,b.png", 1), ("é \"x\".jpg", 0)]);
        let set = listed("file,label,split\np/1.png,a,train\np/2.png,b,train\np/a,a,val\n");
        assert!(set.unwrap_err().to_string().contains("line 4: there is no file `p/a`"));
    }

    #[test]
    fn mistakes_have_their_line() {
        for (csv, wanted) in [
            ("", "line 1: has no column `file`"),
            ("file,class\n", "line 1: has no column `label`: the header is `file,class`"),
            ("file,label\np/1.png,a\np/9.png,b\n", "line 3: there is no file `p/9.png`"),
            ("file,label\np/1.png,a\n\n./p/1.png,b\n", "line 4: `p/1.png` stands in line 2 too"),
            ("file,label\np/1.png\n", "line 2: has 1 fields, the header has 2"),
            ("file,label\np/1.png,\n", "line 2: its label is empty"),
            ("file,label\n../x.png,a\n", "line 2: file `../x.png` is not inside the folder"),
            ("file,label\n/etc/passwd,a\n", "line 2: file `/etc/passwd` is not inside the folder"),
            ("file,label,split\np/1.png,a,dev\n", "line 2: split is `dev`, wanted train, val or test"),
            ("file,label\n\"p/1.png,a\n", "line 2: a quote is not closed"),
            ("file,label\np/1.png,a\np/2.png,a\n", "all pictures are of one class"),
        ] {
            let error = listed(csv).unwrap_err();
            assert!(error.to_string().contains(&format!("labels.csv: {wanted}")), "{csv:?}: {error}");
        }
    }
}
