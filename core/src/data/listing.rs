//! Sets of picture files, listed before anything is decoded: what is there, which class and part each picture
//! belongs to, and where its bytes are.
//!
//! A listing is a function of the folder's content alone: classes and pictures stand in the order of their names'
//! bytes, whatever order the file system tells them in.

use super::readers::{image_folder, tar_shards, tiny_imagenet};
use crate::io::artifact;
use crate::text::format;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::Metadata;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// Bytes of the largest picture file that is read: more than any camera writes.
pub const MAX_PICTURE: u64 = 256 << 20;
/// How many things an error or a problem names before it says how many more there are.
const NAMED: usize = 10;
/// Labels are 16 bits.
const MAX_CLASSES: usize = 65_535;

/// Where a picture set comes from: what `--data` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhotoSource {
    /// `imagefolder:DIR`: part folders of class folders, class folders alone, or `labels.csv`.
    ImageFolder(PathBuf),
    /// `tiny-imagenet:DIR`: as it is published; its val serves as test.
    TinyImagenet(PathBuf),
    /// `tar:FILES`: WebDataset's shards; `{0000..0003}` and `{a,b}` are expanded, commas separate.
    Tar(String),
}

impl FromStr for PhotoSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = "imagefolder:DIR, tiny-imagenet:DIR, tar:FILES";
        match text.split_once(':') {
            Some((name @ ("imagefolder" | "tiny-imagenet" | "tar"), "")) => {
                Err(Error::usage(format!("data `{text}` lacks its place: wanted `{name}:PATH`")))
            }
            Some(("imagefolder", dir)) => Ok(Self::ImageFolder(dir.into())),
            Some(("tiny-imagenet", dir)) => Ok(Self::TinyImagenet(dir.into())),
            Some(("tar", files)) => Ok(Self::Tar(files.to_owned())),
            _ => Err(Error::usage(format!("unknown picture set `{text}`, wanted one of: {known}"))),
        }
    }
}

impl fmt::Display for PhotoSource {
    /// As `--data` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.place())
    }
}

impl PhotoSource {
    /// The name before the colon.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ImageFolder(_) => "imagefolder",
            Self::TinyImagenet(_) => "tiny-imagenet",
            Self::Tar(_) => "tar",
        }
    }

    /// What stands behind the colon.
    pub fn place(&self) -> String {
        match self {
            Self::ImageFolder(dir) | Self::TinyImagenet(dir) => dir.display().to_string(),
            Self::Tar(files) => files.clone(),
        }
    }

    /// Looks at names, sizes and labels; no picture is opened. An error names the folder or file at fault, what was
    /// found and what was wanted.
    pub fn list(&self) -> Result<Listing> {
        match self {
            Self::ImageFolder(dir) => image_folder::list(dir),
            Self::TinyImagenet(dir) => tiny_imagenet::list(dir),
            Self::Tar(files) => tar_shards::list(files),
        }
    }
}

/// What the set itself says a picture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// To train on (val is cut from it where the set has none).
    Train,
    /// To select, search and tune on.
    Val,
    /// To state an accuracy on.
    Test,
}

impl Part {
    /// From a folder's name, a column's value or a word of a shard's name; any case.
    pub(super) fn named(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "train" => Some(Self::Train),
            "val" | "valid" | "validation" => Some(Self::Val),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        })
    }
}

/// Where a picture's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of its own.
    File(PathBuf),
    /// A stretch of a tar file.
    Member {
        /// The tar file.
        shard: Arc<Path>,
        /// Of the first byte, from the shard's start.
        offset: u64,
        /// Bytes.
        length: u64,
    },
}

/// What tells an unchanged file from a changed one without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes of the picture.
    pub length: u64,
    /// When the file (of a member: the shard) was last written, nanoseconds since 1970; 0 where it is not known.
    pub modified_ns: u64,
}

impl Place {
    /// The file that holds the bytes.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Member { shard, .. } => shard,
        }
    }

    /// The picture file's bytes, as stored. An error if it cannot be read or has more than [`MAX_PICTURE`].
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => artifact::read_at_most(path, MAX_PICTURE),
            Self::Member { shard, offset, length } => {
                if *length > MAX_PICTURE {
                    let what = format!("a member has {length} bytes, wanted at most {MAX_PICTURE}");
                    return Err(Error::input(shard, what));
                }
                let failed = |e| Error::io(shard.as_ref(), "read", e);
                let (mut file, _) = artifact::open(shard)?;
                file.seek(SeekFrom::Start(*offset)).map_err(failed)?;
                let mut bytes = vec![0; usize::try_from(*length).unwrap_or(usize::MAX)];
                file.read_exact(&mut bytes).map_err(failed)?;
                Ok(bytes)
            }
        }
    }

    /// Size and time of change.
    pub fn stamp(&self) -> Result<Stamp> {
        let meta = std::fs::metadata(self.path()).map_err(|e| Error::io(self.path(), "read", e))?;
        let length = match self {
            Self::File(_) => meta.len(),
            Self::Member { length, .. } => *length,
        };
        Ok(Stamp { length, modified_ns: modified_ns(&meta) })
    }
}

fn modified_ns(meta: &Metadata) -> u64 {
    let since = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    since.and_then(|d| u64::try_from(d.as_nanos()).ok()).unwrap_or(0)
}

/// One picture of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Unique within the set, with `/` between folders, and the same wherever the set lies: `train/rose/12.jpg`.
    pub name: String,
    /// Index into the listing's classes.
    pub label: u16,
    /// What the set says it is for; none where it does not say.
    pub part: Option<Part>,
    /// Where its bytes are.
    pub place: Place,
}

/// A picture set, listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Where it was found, for messages.
    pub root: PathBuf,
    /// One name per class, in label order.
    pub classes: Vec<String>,
    /// Every picture, by name.
    pub items: Vec<Item>,
    /// What a person should know and what does not stop the work: a sentence each, with the file's name.
    pub problems: Vec<String>,
}

impl Listing {
    /// Indices of the items of a part, ascending; `None` is what the set does not say.
    pub fn of_part(&self, part: Option<Part>) -> Vec<u32> {
        (0u32..).zip(&self.items).filter(|(_, item)| item.part == part).map(|(i, _)| i).collect()
    }

    /// One label for each item.
    pub fn labels(&self) -> Vec<u16> {
        self.items.iter().map(|item| item.label).collect()
    }
}

/// A picture as a reader finds it: its class by name.
pub(super) struct Raw {
    pub name: String,
    pub class: String,
    pub part: Option<Part>,
    pub place: Place,
}

/// What a reader finds.
pub(super) struct Found {
    pub root: PathBuf,
    /// Classes that must have pictures, beside those that do.
    pub declared: BTreeSet<String>,
    pub raw: Vec<Raw>,
    pub problems: Vec<String>,
    /// Classes that are numbers stand in the order of numbers.
    pub numbers: bool,
}

impl Found {
    /// Sorts, numbers the classes, and checks that the set can be trained on.
    pub(super) fn listing(self) -> Result<Listing> {
        let Self { root, declared, mut raw, mut problems, numbers } = self;
        let bad = |what: String| Err(Error::input(&root, what));
        if raw.is_empty() {
            return bad(format!("holds no picture (wanted .png, .jpg, .jpeg or .webp){}", also(&problems)));
        }
        raw.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        if let Some(twice) = raw.windows(2).find(|w| matches!(w, [a, b] if a.name == b.name)) {
            let name = twice.first().map_or("", |r| r.name.as_str());
            return bad(format!("two pictures have the name `{name}`"));
        }
        let used: BTreeSet<&str> = raw.iter().map(|r| r.class.as_str()).collect();
        let empty = declared.iter().map(String::as_str).filter(|c| !used.contains(c));
        if let Some(names) = listed(empty) {
            let wanted = "wanted at least two of each class, or the class removed";
            return bad(format!("no picture is of class {names}{}; {wanted}", also(&problems)));
        }
        let mut classes: Vec<String> = used.into_iter().map(str::to_owned).collect();
        if numbers && classes.iter().all(|c| c.parse::<u32>().is_ok()) {
            classes.sort_by_key(|c| c.parse::<u32>().unwrap_or(u32::MAX));
        }
        match classes.as_slice() {
            [only] => return bad(format!("all pictures are of one class, `{only}`; wanted at least two")),
            many if many.len() > MAX_CLASSES => {
                return bad(format!("has {} classes, wanted at most {MAX_CLASSES}", many.len()));
            }
            _ => {}
        }
        check_parts(&raw, &classes, &mut problems).map_err(|e| Error::input(&root, e))?;
        let label_of: BTreeMap<&str, u16> = classes.iter().map(String::as_str).zip(0..).collect();
        let item = |r: Raw| {
            let label = label_of.get(r.class.as_str()).copied().unwrap_or(u16::MAX);
            Item { name: r.name, label, part: r.part, place: r.place }
        };
        let items = raw.into_iter().map(item).collect();
        Ok(Listing { root, classes, items, problems })
    }
}

/// Whether the parts' classes are the same, and whether each class can be trained on and checked.
fn check_parts(raw: &[Raw], classes: &[String], problems: &mut Vec<String>) -> Result<(), String> {
    let mut counts: BTreeMap<(Option<Part>, &str), usize> = BTreeMap::new();
    for r in raw {
        *counts.entry((r.part, r.class.as_str())).or_default() += 1;
    }
    let count = |part: Option<Part>, class: &str| counts.get(&(part, class)).copied().unwrap_or(0);
    let has = |part: Part| raw.iter().any(|r| r.part == Some(part));
    let to_train = |class: &str| count(None, class) + count(Some(Part::Train), class);
    let names = || classes.iter().map(String::as_str);
    for part in [Part::Val, Part::Test].into_iter().filter(|p| has(*p)) {
        if let Some(extra) = listed(names().filter(|c| count(Some(part), c) > 0 && to_train(c) == 0)) {
            return Err(format!("{part} has class {extra}, which train has not; wanted the same classes"));
        }
        if let Some(missing) = listed(names().filter(|c| count(Some(part), c) == 0)) {
            let what = format!("train has class {missing}, which {part} has not");
            match part {
                Part::Val => problems.push(what),
                _ => return Err(format!("{what}; wanted the same classes")),
            }
        }
    }
    let wanted = if has(Part::Val) { 1 } else { 2 };
    match listed(names().filter(|c| to_train(c) < wanted)) {
        Some(few) if wanted == 2 => Err(format!(
            "only one picture to train on is of class {few}; wanted two, one of them to check on"
        )),
        Some(none) => Err(format!("no picture to train on is of class {none}")),
        None => Ok(()),
    }
}

/// `` `a`, `b` and 7 more``; none where there is nothing to name.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let some = format::some(names.map(|n| format!("`{n}`")), ", ", NAMED);
    (!some.is_empty()).then_some(some)
}

/// What was met on the way explains why nothing was found.
fn also(problems: &[String]) -> String {
    problems.first().map_or_else(String::new, |p| format!(" ({p})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(raw: &[(&str, &str, Option<Part>)]) -> Result<Listing> {
        let raw = raw.iter().map(|&(name, class, part)| Raw {
            name: name.into(),
            class: class.into(),
            part,
            place: Place::File(name.into()),
        });
        let (declared, problems) = (BTreeSet::new(), Vec::new());
        Found { root: "set".into(), declared, raw: raw.collect(), problems, numbers: true }.listing()
    }

    #[test]
    fn order_is_that_of_bytes_and_of_numbers() {
        let set = found(&[("z", "10", None), ("B", "9", None), ("a", "10", None), ("é", "9", None)]).unwrap();
        assert_eq!(set.items.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["B", "a", "z", "é"]);
        assert_eq!(
            (set.classes.as_slice(), set.labels()),
            (&["9".into(), "10".into()][..], vec![0, 1, 1, 0])
        );
    }

    #[test]
    fn a_set_that_cannot_be_trained_on_is_refused() {
        use Part::{Test, Train, Val};
        let (train, val, test) = (Some(Train), Some(Val), Some(Test));
        for (raw, wanted) in [
            (&[][..], "set: holds no picture"),
            (&[("a", "x", None), ("b", "x", None)], "all pictures are of one class, `x`"),
            (&[("a", "x", None), ("a", "y", None)], "two pictures have the name `a`"),
            (
                &[("a", "x", None), ("b", "x", None), ("c", "y", None)],
                "only one picture to train on is of class `y`",
            ),
            (
                &[("a", "x", train), ("b", "y", train), ("c", "x", test), ("d", "z", test), ("e", "y", test)],
                "test has class `z`, which train has not",
            ),
            (
                &[("a", "x", train), ("b", "y", train), ("c", "x", test)],
                "train has class `y`, which test has not",
            ),
        ] {
            let error = found(raw).unwrap_err();
            assert!(error.to_string().contains(wanted) && error.exit_code() == 2, "{error}");
        }
        let set = found(&[("a", "x", train), ("b", "y", train), ("c", "x", val)]).unwrap();
        assert_eq!(set.problems, ["train has class `y`, which val has not"]);
        assert_eq!((set.of_part(val), set.of_part(None)), (vec![2], vec![]));
    }

    #[test]
    fn sources_parse() {
        for text in ["imagefolder:/a:b", "tiny-imagenet:/x", "tar:a-{00..03}.tar,b.tar"] {
            assert_eq!(text.parse::<PhotoSource>().unwrap().to_string(), text);
        }
        for (text, wanted) in [("tar:", "wanted `tar:PATH`"), ("gif:x", "unknown picture set `gif:x`")] {
            assert!(text.parse::<PhotoSource>().unwrap_err().to_string().contains(wanted));
        }
    }
}
