//! `imagefolder:DIR`: pictures in folders named for their class, as people keep them; or any folders, with
//! `labels.csv` beside them.

use super::{labels_csv, walk::Walker};
use crate::data::listing::{Found, Listing, Part, Place, Raw};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lists `DIR/labels.csv`, or `DIR/train/CLASS/..` with `val` (or `valid`, `validation`) and `test` beside it, or
/// `DIR/CLASS/..`.
pub(in crate::data) fn list(dir: &Path) -> Result<Listing> {
    if !dir.is_dir() {
        return Err(Error::input(dir, "no such folder (the data set's)"));
    }
    let table = dir.join(labels_csv::NAME);
    if table.is_file() {
        return labels_csv::list(dir, &table);
    }
    let mut walker = Walker::default();
    let folders = walker.folders(dir)?;
    let mut found = Found {
        root: dir.to_owned(),
        declared: BTreeSet::new(),
        raw: Vec::new(),
        problems: Vec::new(),
        numbers: false,
    };
    if !folders.iter().any(|(name, _)| Part::named(name) == Some(Part::Train)) {
        if folders.is_empty() {
            return Err(Error::input(dir, format!("has no class folders and no {}", labels_csv::NAME)));
        }
        read_classes(&mut walker, &mut found, None, "", folders)?;
    } else {
        for (part, name, path) in parts(dir, folders, &mut walker)? {
            let classes = walker.folders(&path)?;
            if classes.is_empty() {
                return Err(Error::input(path, "has no class folders"));
            }
            read_classes(&mut walker, &mut found, Some(part), &format!("{name}/"), classes)?;
        }
    }
    found.problems = walker.into_problems();
    found.listing()
}

/// The folders that are parts, one for each part.
fn parts(
    dir: &Path,
    folders: Vec<(String, PathBuf)>,
    walker: &mut Walker,
) -> Result<Vec<(Part, String, PathBuf)>> {
    let mut parts: Vec<(Part, String, PathBuf)> = Vec::new();
    for (name, path) in folders {
        match Part::named(&name) {
            None => walker.problem(format!("{}: is left out: it is no part of the set", path.display())),
            Some(part) => match parts.iter().find(|(other, ..)| *other == part) {
                Some((_, other, _)) => {
                    let what = format!("has `{other}` and `{name}`, wanted one folder for {part}");
                    return Err(Error::input(dir, what));
                }
                None => parts.push((part, name, path)),
            },
        }
    }
    Ok(parts)
}

fn read_classes(
    walker: &mut Walker,
    found: &mut Found,
    part: Option<Part>,
    prefix: &str,
    folders: Vec<(String, PathBuf)>,
) -> Result<()> {
    for (class, path) in folders.into_iter().filter(|(name, _)| !name.starts_with('.')) {
        let pictures = walker.pictures(&path, &format!("{prefix}{class}"))?;
        if pictures.is_empty() {
            walker.problem(format!("{}: holds no picture", path.display()));
        }
        // An empty folder of a part is told as a class that the part has not.
        if part.is_none_or(|p| p == Part::Train) {
            found.declared.insert(class.clone());
        }
        let raw = |(name, path)| Raw { name, class: class.clone(), part, place: Place::File(path) };
        found.raw.extend(pictures.into_iter().map(raw));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;

    /// Files with their own names as content, and folders (names that end in `/`).
    pub(in crate::data::readers) fn tree(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if name.ends_with('/') {
                fs::create_dir_all(path).unwrap()
            } else {
                fs::write(path, name).unwrap()
            }
        }
        dir
    }

    fn names(set: &Listing) -> Vec<(&str, u16, Option<Part>)> {
        set.items.iter().map(|i| (i.name.as_str(), i.label, i.part)).collect()
    }

    #[test]
    fn classes_alone() {
        let dir = tree(&[
            "b/2.PNG",
            "b/x y/é.jpg",
            "b/notes.txt",
            "a/1.jpeg",
            "a/0.webp",
            ".git/config",
            "a/.DS_Store",
            "read.me",
        ]);
        let set = list(dir.path()).unwrap();
        assert_eq!(set.classes, ["a", "b"]);
        assert_eq!(
            names(&set),
            [("a/0.webp", 0, None), ("a/1.jpeg", 0, None), ("b/2.PNG", 1, None), ("b/x y/é.jpg", 1, None)]
        );
        assert_eq!(set.problems, ["files that are no pictures are left out: 1 of .txt"]);
        assert_eq!(set.items[3].place.read().unwrap(), "b/x y/é.jpg".as_bytes());
        let stamp = set.items[0].place.stamp().unwrap();
        assert!(stamp.length == 8 && stamp.modified_ns > 1_500_000_000_000_000_000);
    }

    #[test]
    fn parts_of_classes() {
        let dir = tree(&["train/a/1.png", "train/b/1.png", "valid/a/1.png", "valid/b/1.png", "other/x.png"]);
        let set = list(dir.path()).unwrap();
        let (train, val) = (Some(Part::Train), Some(Part::Val));
        assert_eq!(
            names(&set),
            [
                ("train/a/1.png", 0, train),
                ("train/b/1.png", 1, train),
                ("valid/a/1.png", 0, val),
                ("valid/b/1.png", 1, val)
            ]
        );
        assert!(
            set.problems[0].ends_with("other: is left out: it is no part of the set"),
            "{:?}",
            set.problems
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (files, wanted) in [
            (&["a/1.png", "a/2.png"][..], "all pictures are of one class, `a`"),
            (&["a/1.png", "a/2.png", "b/"], "no picture is of class `b`"),
            (&["a/1.png", "a/2.png", "b/x.gif"], "no picture is of class `b`"),
            (&["a/1.png", "a/2.png", "b/1.png"], "only one picture to train on is of class `b`"),
            (&["1.png", "2.png"], "has no class folders and no labels.csv"),
            (&["train/1.png"], "train: has no class folders"),
            (
                &["train/a/1.png", "val/a/1.png", "valid/a/1.png"],
                "has `val` and `valid`, wanted one folder for val",
            ),
            (
                &["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"],
                "test has class `c`, which train has not",
            ),
            (
                &[
                    "train/a/1.png",
                    "train/a/2.png",
                    "train/b/1.png",
                    "train/b/2.png",
                    "test/a/1.png",
                    "test/b/",
                ],
                "train has class `b`, which test has not",
            ),
        ] {
            let error = list(tree(files).path()).unwrap_err();
            assert!(error.to_string().contains(wanted) && error.exit_code() == 2, "{files:?}: {error}");
        }
        assert!(list(Path::new("/no/such")).unwrap_err().to_string().contains("no such folder"));
    }

    /// Links to folders are followed, once each; a loop ends.
    #[cfg(unix)]
    #[test]
    fn links_and_names_that_are_no_text() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;
        let dir = tree(&[
            "set/a/1.png",
            "set/a/2.png",
            "set/b/1.png",
            "set/b/2.png",
            "aside/c1.png",
            "aside/c2.png",
        ]);
        let at = |name: &str| dir.path().join("set").join(name);
        symlink("..", at("a/up")).unwrap();
        symlink("../a", at("b/twin")).unwrap();
        symlink("nowhere.png", at("b/gone.png")).unwrap();
        symlink(dir.path().join("aside"), at("c")).unwrap();
        symlink("1.png", at("a/3.png")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("b/pipe.png")).status().unwrap().success());
        fs::write(at("b").join(OsStr::from_bytes(b"\xff.png")), "x").unwrap();
        let set = list(&at("")).unwrap();
        assert_eq!(set.items.len(), 7, "{:?}", names(&set));
        let all = set.problems.join("\n");
        for wanted in [
            "a/up: links to a folder",
            "b/twin: links to a folder",
            "gone.png: cannot be",
            "pipe.png: is no regular",
            "not UTF-8",
        ] {
            assert!(all.contains(wanted), "{wanted}: {all}");
        }
    }
}
