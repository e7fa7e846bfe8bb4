//! `tiny-imagenet:DIR`: Tiny ImageNet (Le and Yang 2015) as it is published: `wnids.txt`, `words.txt`,
//! `train/WNID/images/`, `val/images/` and `val/val_annotations.txt`. Its test has no labels, so val serves as test.

use super::walk::Walker;
use crate::data::listing::{Found, Listing, Part, Place, Raw};
use crate::io::artifact;
use crate::text::format;
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Lists train and val; labels are in the order of the WordNet ids, as an image folder of them has it, and classes are
/// called by their words.
pub(in crate::data) fn list(dir: &Path) -> Result<Listing> {
    let nested = dir.join("tiny-imagenet-200");
    let dir = if nested.is_dir() { nested.as_path() } else { dir };
    if !dir.is_dir() {
        return Err(Error::input(dir, "no such folder (the data set's)"));
    }
    let wnids: BTreeSet<String> = lines(&dir.join("wnids.txt"))?.into_iter().map(|(_, l)| l).collect();
    let mut walker = Walker::default();
    let mut raw = Vec::new();
    for wnid in &wnids {
        let images = dir.join("train").join(wnid).join("images");
        if !images.is_dir() {
            return Err(Error::input(images, format!("no such folder; wnids.txt has class `{wnid}`")));
        }
        let pictures = walker.pictures(&images, &format!("train/{wnid}/images"))?;
        let one = |(name, path)| Raw {
            name,
            class: wnid.clone(),
            part: Some(Part::Train),
            place: Place::File(path),
        };
        raw.extend(pictures.into_iter().map(one));
    }
    raw.extend(val(dir, &wnids, &mut walker)?);
    let found = Found {
        root: dir.to_owned(),
        declared: wnids,
        raw,
        problems: walker.into_problems(),
        numbers: false,
    };
    let mut listing = found.listing()?;
    name_classes(dir, &mut listing)?;
    Ok(listing)
}

/// The pictures of `val/val_annotations.txt`: file, class and a box, separated by tabs.
fn val(dir: &Path, wnids: &BTreeSet<String>, walker: &mut Walker) -> Result<Vec<Raw>> {
    let table = dir.join("val/val_annotations.txt");
    let mut there: HashMap<String, _> = walker.pictures(&dir.join("val/images"), "")?.into_iter().collect();
    let mut raw = Vec::new();
    for (number, line) in lines(&table)? {
        let bad = |what: String| Error::input(&table, format!("line {number}: {what}"));
        let mut fields = line.split('\t');
        let (Some(file), Some(wnid)) = (fields.next(), fields.next()) else {
            return Err(bad("wanted a file and its class, separated by a tab".into()));
        };
        if !wnids.contains(wnid) {
            return Err(bad(format!("class `{wnid}` is not in wnids.txt")));
        }
        let Some(path) = there.remove(&format!("/{file}")) else {
            return Err(bad(format!("there is no val/images/{file}, or it was named before")));
        };
        let name = format!("val/images/{file}");
        raw.push(Raw { name, class: wnid.to_owned(), part: Some(Part::Test), place: Place::File(path) });
    }
    if !there.is_empty() {
        let some = format::counted(there.len(), "picture");
        walker.problem(format!("{}: it has no label for {some}", table.display()));
    }
    Ok(raw)
}

/// WordNet ids become words where words.txt has them; where two classes have the same words, the id stands behind.
fn name_classes(dir: &Path, listing: &mut Listing) -> Result<()> {
    let path = dir.join("words.txt");
    if !path.is_file() {
        listing.problems.push(format!("{}: is not there; classes are called by their ids", path.display()));
        return Ok(());
    }
    let text = artifact::read_text(&path)?;
    let words: HashMap<&str, &str> =
        text.lines().filter_map(|line| line.trim_end().split_once('\t')).collect();
    let word = |wnid: &String| words.get(wnid.as_str()).copied().unwrap_or(wnid).to_owned();
    let names: Vec<String> = listing.classes.iter().map(word).collect();
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for name in &names {
        *uses.entry(name).or_default() += 1;
    }
    let unique = |(name, wnid): (&String, &String)| match uses.get(name.as_str()) {
        Some(1) => name.clone(),
        _ => format!("{name} ({wnid})"),
    };
    listing.classes = names.iter().zip(&listing.classes).map(unique).collect();
    Ok(())
}

/// Lines that are not empty, each with its number from 1.
fn lines(path: &Path) -> Result<Vec<(usize, String)>> {
    let text = artifact::read_text(path)?;
    let lines = (1..).zip(text.lines()).map(|(n, line)| (n, line.trim_end().to_owned()));
    Ok(lines.filter(|(_, line)| !line.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::super::image_folder::tests::tree;
    use super::*;
    use std::fs;

    fn set(val: &str) -> tempfile::TempDir {
        let dir = tree(&[
            "tiny-imagenet-200/train/n02/images/n02_0.JPEG",
            "tiny-imagenet-200/train/n02/images/n02_1.JPEG",
            "tiny-imagenet-200/train/n02/n02_boxes.txt",
            "tiny-imagenet-200/train/n01/images/n01_0.JPEG",
            "tiny-imagenet-200/train/n01/images/n01_1.JPEG",
            "tiny-imagenet-200/val/images/val_0.JPEG",
            "tiny-imagenet-200/val/images/val_1.JPEG",
            "tiny-imagenet-200/test/images/test_0.JPEG",
        ]);
        let at = |name: &str| dir.path().join("tiny-imagenet-200").join(name);
        fs::write(at("wnids.txt"), "n02\nn01\n").unwrap();
        fs::write(at("words.txt"), "n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tcrane\n").unwrap();
        fs::write(at("val/val_annotations.txt"), val).unwrap();
        dir
    }

    #[test]
    fn the_published_layout_is_read() {
        let dir = set("val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t1\t2\t3\t4\n");
        let set = list(dir.path()).unwrap();
        assert_eq!(set.classes, ["goldfish, Carassius auratus", "crane"]);
        let test: Vec<(&str, u16)> = set
            .of_part(Some(Part::Test))
            .iter()
            .map(|&i| (set.items[i as usize].name.as_str(), set.items[i as usize].label))
            .collect();
        assert_eq!(test, [("val/images/val_0.JPEG", 1), ("val/images/val_1.JPEG", 0)]);
        assert_eq!((set.of_part(Some(Part::Train)).len(), set.problems.len()), (4, 0));
        assert_eq!(set.items[0].name, "train/n01/images/n01_0.JPEG");
    }

    #[test]
    fn mistakes_are_named() {
        for (val, wanted) in [
            ("val_0.JPEG n02\n", "val_annotations.txt: line 1: wanted a file and its class"),
            ("val_0.JPEG\tn09\n", "line 1: class `n09` is not in wnids.txt"),
            (
                "val_0.JPEG\tn01\nval_0.JPEG\tn01\n",
                "line 2: there is no val/images/val_0.JPEG, or it was named",
            ),
            ("val_0.JPEG\tn01\n", "train has class `n02`, which test has not"),
        ] {
            let error = list(set(val).path()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let dir = tree(&["a/1.png"]);
        assert!(list(dir.path()).unwrap_err().to_string().contains("wnids.txt: cannot read"));
    }
}
