//! `tar:FILES`: WebDataset's shards (Aizman, Maltby, Breuel 2019): members that differ in their ending alone are one
//! sample: `x.jpg` (or `.png`, `.webp`) with `x.cls`, a number or a name, or `x.json` with the key `cls` or `label`.

use super::tar::{Member, Tar};
use crate::data::listing::{Found, Listing, Part, Place, Raw, listed};
use crate::image::is_picture;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files that one `--data` names.
const MAX_SHARDS: usize = 100_000;

/// The members of one sample.
#[derive(Default)]
struct Sample {
    picture: Option<Member>,
    class: Option<String>,
}

/// Lists all shards. A shard with the word train, val or test in its name (or in its folder's, where the shards lie in
/// several) holds that part.
pub(in crate::data) fn list(files: &str) -> Result<Listing> {
    let paths: Vec<PathBuf> = expand(files).map_err(Error::usage)?.into_iter().map(PathBuf::from).collect();
    let root = PathBuf::from(files);
    let mut found = Found {
        root: root.clone(),
        declared: BTreeSet::new(),
        raw: Vec::new(),
        problems: Vec::new(),
        numbers: true,
    };
    let (mut says, mut says_not) = (None, None);
    for (path, name) in paths.iter().zip(short_names(&paths)) {
        let part = part_of(&name);
        *(if part.is_some() { &mut says } else { &mut says_not }) = Some(name.clone());
        read_shard(path, &name, part, &mut found)?;
    }
    if let (Some(with), Some(without)) = (says, says_not) {
        let what = format!("shard `{with}` says in its name which part it holds, `{without}` does not");
        return Err(Error::input(root, what));
    }
    check_classes(&found)?;
    found.listing()
}

fn read_shard(path: &Path, name: &str, part: Option<Part>, found: &mut Found) -> Result<()> {
    let mut tar = Tar::open(path)?;
    let mut samples: BTreeMap<String, Sample> = BTreeMap::new();
    for member in tar.members()? {
        let (key, ending) = key_and_ending(&member.name);
        let (key, ending) = (key.to_owned(), ending.to_ascii_lowercase());
        let twice =
            || Error::input(path, format!("sample `{key}` has two members of the kind of `{}`", member.name));
        if ending == "cls" || ending == "json" {
            let text = tar.small(member.offset, member.length)?;
            let class = class_of(&ending, &text)
                .map_err(|e| Error::input(path, format!("member `{}`: {e}", member.name)))?;
            let Some(class) = class else { continue };
            let sample = samples.entry(key.clone()).or_default();
            if sample.class.as_ref().is_some_and(|c| *c != class) {
                return Err(twice());
            }
            sample.class = Some(class);
        } else if is_picture(Path::new(&member.name)) {
            let sample = samples.entry(key.clone()).or_default();
            if sample.picture.is_some() {
                return Err(twice());
            }
            sample.picture = Some(member);
        }
    }
    let shard: Arc<Path> = path.into();
    let mut without = (Vec::new(), Vec::new());
    for (key, Sample { picture, class }) in samples {
        match (picture, class) {
            (Some(Member { name: member, offset, length }), Some(class)) => {
                let place = Place::Member { shard: Arc::clone(&shard), offset, length };
                found.raw.push(Raw { name: format!("{name}/{member}"), class, part, place });
            }
            (Some(_), None) => without.0.push(key),
            (None, _) => without.1.push(key),
        }
    }
    for (keys, what) in
        [(without.0, "have no label (.cls or .json)"), (without.1, "have a label and no picture")]
    {
        if let Some(keys) = listed(keys.iter().map(String::as_str)) {
            found.problems.push(format!("{}: samples {what} and are left out: {keys}", path.display()));
        }
    }
    Ok(())
}

/// All numbers from 0 on without a gap, or all names.
fn check_classes(found: &Found) -> Result<()> {
    let number = |r: &&Raw| r.class.parse::<u32>().is_ok();
    let (Some(numbered), named) = (found.raw.iter().find(number), found.raw.iter().find(|r| !number(r)))
    else {
        return Ok(());
    };
    let bad = |what: String| Err(Error::input(&found.root, what));
    if let Some(named) = named {
        return bad(format!(
            "the label of `{}` is the number {}, that of `{}` the name `{}`; wanted one kind",
            numbered.name, numbered.class, named.name, named.class
        ));
    }
    let all: BTreeSet<u32> = found.raw.iter().filter_map(|r| r.class.parse().ok()).collect();
    match (0u32..).zip(&all).find(|(wanted, label)| wanted != *label) {
        Some((missing, _)) => bad(format!(
            "no picture has label {missing}, the largest is {}; wanted every number from 0 on",
            all.last().copied().unwrap_or(0)
        )),
        None => Ok(()),
    }
}

/// A sample's label; none where a .json does not have one.
fn class_of(ending: &str, text: &[u8]) -> Result<Option<String>, String> {
    if ending == "cls" {
        let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8 text".to_owned())?.trim();
        return match text {
            "" => Err("is empty, wanted a label".into()),
            number if number.parse::<u32>().is_ok() => Ok(number.parse::<u32>().ok().map(|n| n.to_string())),
            name => Ok(Some(name.to_owned())),
        };
    }
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|e| format!("is not JSON ({e})"))?;
    match value.get("cls").or_else(|| value.get("label")) {
        None => Ok(None),
        Some(serde_json::Value::String(name)) if !name.trim().is_empty() => Ok(Some(name.trim().to_owned())),
        Some(other) => match other.as_u64().filter(|n| *n <= u64::from(u32::MAX)) {
            Some(number) => Ok(Some(number.to_string())),
            None => Err(format!("its label is {other}, wanted a number from 0 on or a name")),
        },
    }
}

/// `dir/x.y.jpg` is sample `dir/x`, ending `y.jpg`: the first dot of the last name counts.
fn key_and_ending(name: &str) -> (&str, &str) {
    let start = name.rfind('/').map_or(0, |i| i + 1);
    match name.get(start..).and_then(|base| base.find('.')) {
        Some(dot) => (name.get(..start + dot).unwrap_or(name), name.get(start + dot + 1..).unwrap_or("")),
        None => (name, ""),
    }
}

/// Paths below their common folder: what tells the shards apart, wherever they lie.
fn short_names(paths: &[PathBuf]) -> Vec<String> {
    let parents: Vec<&Path> = paths.iter().map(|p| p.parent().unwrap_or(Path::new(""))).collect();
    let mut common = parents.first().copied().unwrap_or(Path::new("")).to_owned();
    while !parents.iter().all(|p| p.starts_with(&common)) && common.pop() {}
    let below = |p: &PathBuf| p.strip_prefix(&common).unwrap_or(p).to_string_lossy().replace('\\', "/");
    paths.iter().map(below).collect()
}

/// The first word of a shard's name that is a part's.
fn part_of(name: &str) -> Option<Part> {
    name.split(|c: char| !c.is_ascii_alphabetic()).find_map(Part::named)
}

/// Returns the files that a text names. Commas outside braces separate them; `{0000..0003}` counts (with the first number's
/// width), `{a,b}` lists.
pub fn expand(text: &str) -> Result<Vec<String>, String> {
    let (mut all, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (i, letter) in text.char_indices().chain([(text.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.checked_sub(1).ok_or_else(|| format!("`{text}`: a brace is not opened"))?,
            ',' if depth == 0 => {
                let one = text.get(start..i).unwrap_or("").trim();
                if one.is_empty() {
                    return Err(format!("`{text}`: a file's name is empty"));
                }
                expand_one(one, &mut all)?;
                start = i + 1;
            }
            _ => {}
        }
    }
    if depth > 0 { Err(format!("`{text}`: a brace is not closed")) } else { Ok(all) }
}

/// One path with any number of braces, side by side.
fn expand_one(path: &str, all: &mut Vec<String>) -> Result<(), String> {
    let mut found = vec![String::new()];
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (inner, after) =
            after.split_once('}').ok_or_else(|| format!("`{path}`: a brace is not closed"))?;
        if inner.contains('{') {
            return Err(format!("`{path}`: braces within braces"));
        }
        let choices = choices(inner)
            .ok_or_else(|| format!("`{path}`: `{{{inner}}}` is neither `{{000..123}}` nor `{{a,b}}`"))?;
        if found.len().saturating_mul(choices.len()) > MAX_SHARDS {
            return Err(format!("`{path}` names more than {MAX_SHARDS} files"));
        }
        found = found.iter().flat_map(|f| choices.iter().map(move |c| format!("{f}{before}{c}"))).collect();
        rest = after;
    }
    all.extend(found.into_iter().map(|f| f + rest));
    if all.len() > MAX_SHARDS { Err(format!("more than {MAX_SHARDS} files")) } else { Ok(()) }
}

fn choices(inner: &str) -> Option<Vec<String>> {
    let Some((first, last)) = inner.split_once("..") else {
        return inner.contains(',').then(|| inner.split(',').map(str::to_owned).collect());
    };
    let (from, to): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    let count = to.checked_sub(from).filter(|n| *n < MAX_SHARDS)?;
    let width = if first.starts_with('0') { first.len() } else { 0 };
    Some((from..=from + count).map(|n| format!("{n:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tar::tests::archive;
    use super::*;
    use std::fs;

    #[test]
    fn braces_and_commas() {
        for (text, wanted) in [
            ("a.tar", &["a.tar"][..]),
            ("x-{008..010}.tar,b.tar", &["x-008.tar", "x-009.tar", "x-010.tar", "b.tar"]),
            ("{train,val}/{0..1}.tar", &["train/0.tar", "train/1.tar", "val/0.tar", "val/1.tar"]),
        ] {
            assert_eq!(expand(text).unwrap(), wanted, "{text}");
        }
        for (text, wanted) in [
            ("{0..999999}.tar", "is neither"),
            ("{0..9999}{0..9999}.tar", "more than 100000 files"),
            ("{3..1}.tar", "is neither"),
            ("a{b", "not closed"),
            ("a}b", "not opened"),
            ("a,,b", "name is empty"),
            ("{{a,b},c}", "braces within braces"),
        ] {
            let error = expand(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert_eq!(key_and_ending("a.b/c.d.jpg"), ("a.b/c", "d.jpg"));
    }

    type Members<'a> = &'a [(&'a str, &'a [u8])];

    /// Shards by name in a folder, and the listing of `files` (`D` is the folder).
    fn shards(files: &str, shards: &[(&str, Members)]) -> (tempfile::TempDir, Result<Listing>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, members) in shards {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, archive(members)).unwrap();
        }
        let listing = list(&files.replace('D', dir.path().to_str().unwrap()));
        (dir, listing)
    }

    const FIRST: Members =
        &[("k/1.jpg", b"one"), ("k/1.cls", b"1\n"), ("k/2.json", b"{\"cls\": 0}"), ("k/2.png", b"two")];

    #[test]
    fn samples_of_all_forms() {
        let (_dir, set) = shards(
            "D/train-{0..1}.tar,D/test.tar",
            &[
                ("train-0.tar", FIRST),
                (
                    "train-1.tar",
                    &[
                        ("3.webp", b"three"),
                        ("3.json", b"{\"label\": 1}"),
                        ("4.png", b"4"),
                        ("5.cls", b"1"),
                        ("3.txt", b"?"),
                    ],
                ),
                (
                    "test.tar",
                    &[
                        ("1.jpg", b""),
                        ("1.cls", b"0"),
                        ("2.jpg", b""),
                        ("2.cls", b"01"),
                        ("6.cls", b"0"),
                        ("6.jpg", b"six"),
                    ],
                ),
            ],
        );
        let error = set.unwrap_err().to_string();
        assert!(error.contains("only one picture to train on is of class `0`"), "{error}");
        let (_dir, set) = shards(
            "D/train-{0..1}.tar,D/test.tar",
            &[
                ("train-0.tar", FIRST),
                (
                    "train-1.tar",
                    &[
                        ("3.webp", b"three"),
                        ("3.json", b"{\"label\": 1}"),
                        ("4.png", b"4"),
                        ("5.cls", b"1"),
                        ("9.png", b""),
                        ("9.cls", b"0"),
                    ],
                ),
                ("test.tar", &[("1.jpg", b""), ("1.cls", b"0"), ("2.jpg", b""), ("2.cls", b"01")]),
            ],
        );
        let set = set.unwrap();
        let found: Vec<(&str, u16, Option<Part>)> =
            set.items.iter().map(|i| (i.name.as_str(), i.label, i.part)).collect();
        let (train, test) = (Some(Part::Train), Some(Part::Test));
        let wanted = [
            ("test.tar/1.jpg", 0, test),
            ("test.tar/2.jpg", 1, test),
            ("train-0.tar/k/1.jpg", 1, train),
            ("train-0.tar/k/2.png", 0, train),
            ("train-1.tar/3.webp", 1, train),
            ("train-1.tar/9.png", 0, train),
        ];
        assert_eq!(found, wanted);
        assert_eq!(set.items[4].place.read().unwrap(), b"three");
        assert_eq!(set.items[4].place.stamp().unwrap().length, 5);
        let problems = set.problems.join("\n");
        assert!(problems.contains("no label (.cls or .json) and are left out: `4`"), "{problems}");
        assert!(problems.contains("a label and no picture and are left out: `5`"), "{problems}");
    }

    #[test]
    fn mistakes_are_named() {
        let two: Members = &[("1.jpg", b""), ("1.cls", b"a"), ("2.jpg", b""), ("2.cls", b"b")];
        for (members, wanted) in [
            (
                &[("1.jpg", &b""[..]), ("1.cls", b"a"), ("2.jpg", b""), ("2.cls", b"7")][..],
                "is the number 7, that of",
            ),
            (
                &[("1.jpg", b""), ("1.cls", b"0"), ("2.jpg", b""), ("2.cls", b"2")],
                "no picture has label 1, the largest is 2",
            ),
            (&[("1.jpg", b""), ("1.cls", b"")], "member `1.cls`: is empty"),
            (&[("1.jpg", b""), ("1.json", b"{\"cls\": -1}")], "its label is -1"),
            (&[("1.jpg", b""), ("1.json", b"{")], "member `1.json`: is not JSON"),
            (&[("1.jpg", b""), ("1.png", b""), ("1.cls", b"0")], "sample `1` has two members"),
            (&[("1.jpg", b"")], "holds no picture"),
        ] {
            let (_dir, set) = shards("D/a.tar", &[("a.tar", members)]);
            let error = set.unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let (_dir, set) = shards("D/train.tar,D/b.tar", &[("train.tar", two), ("b.tar", two)]);
        assert!(set.unwrap_err().to_string().contains("`b.tar` does not"));
        let (_dir, set) = shards("D/a/0.tar,D/b/0.tar", &[("a/0.tar", two), ("b/0.tar", two)]);
        assert_eq!(set.unwrap().items[0].name, "a/0.tar/1.jpg");
        assert!(list("/no/such.tar").unwrap_err().to_string().contains("/no/such.tar: cannot read"));
    }
}
