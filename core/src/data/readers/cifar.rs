//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009), as both are published: the binary version, records of label byte(s) and
//! 3072 planar bytes R, G, B; and the Python version, pickled dictionaries of the same bytes. Where a folder has both,
//! the binary one is read.

use super::pickle::Pickle;
use crate::data::{ImageSet, find_file};
use crate::io::artifact;
use crate::io::wide;
use crate::ir::arch::Input;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Class names of CIFAR-10, in label order.
pub(in crate::data) const CIFAR10_LABELS: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const INPUT: Input = Input { channels: 3, height: 32, width: 32 };
const PIXELS: usize = 3072;
/// Bytes of the largest file of the Python version, with room.
const MAX_PICKLE: u64 = 256 << 20;

/// Reads `data_batch_1..5.bin` or `test_batch.bin`; or the same names without an ending.
pub(in crate::data) fn read_cifar10(dir: &Path, train: bool) -> Result<ImageSet> {
    let names: Vec<String> =
        if train { (1..=5).map(|i| format!("data_batch_{i}")).collect() } else { vec!["test_batch".into()] };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for name in names {
        match find(dir, ("cifar-10-batches-bin", "cifar-10-batches-py"), &name)? {
            (path, true) => read_records(&path, 1, 10, 10_000, &mut pixels, &mut labels)?,
            (path, false) => read_pickle(&path, "labels", 10, 10_000, &mut pixels, &mut labels)?,
        }
    }
    ImageSet::new(INPUT, 10, pixels, labels)
}

/// Reads `train.bin` or `test.bin`, or the same names without an ending; labels are the fine ones.
pub(in crate::data) fn read_cifar100(dir: &Path, train: bool) -> Result<ImageSet> {
    let (name, count) = if train { ("train", 50_000) } else { ("test", 10_000) };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    match find(dir, ("cifar-100-binary", "cifar-100-python"), name)? {
        (path, true) => read_records(&path, 2, 100, count, &mut pixels, &mut labels)?,
        (path, false) => read_pickle(&path, "fine_labels", 100, count, &mut pixels, &mut labels)?,
    }
    ImageSet::new(INPUT, 100, pixels, labels)
}

/// `fine_label_names.txt` or the Python version's `meta` if it is there, else `class 0` to `class 99`.
pub(in crate::data) fn cifar100_labels(dir: &Path) -> Result<Vec<String>> {
    let path = inner(dir, "cifar-100-binary").join("fine_label_names.txt");
    let meta = inner(dir, "cifar-100-python").join("meta");
    let (path, names): (_, Vec<String>) = if path.is_file() {
        let text = artifact::read_text(&path)?;
        let names = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
        (path, names)
    } else if meta.is_file() {
        let bytes = artifact::read_at_most(&meta, MAX_PICKLE)?;
        let names = Pickle::read(&bytes).and_then(|p| p.texts(p.get("fine_label_names")?));
        (meta.clone(), names.map_err(|e| Error::input(&meta, e))?)
    } else {
        return Ok((0..100).map(|i| format!("class {i}")).collect());
    };
    if names.len() != 100 {
        return Err(Error::input(path, format!("has {} names, wanted 100", names.len())));
    }
    Ok(names)
}

/// The folder itself, or the one that the published archive unpacks to within it.
fn inner(dir: &Path, name: &str) -> PathBuf {
    let nested = dir.join(name);
    if nested.is_dir() { nested } else { dir.to_owned() }
}

/// `NAME.bin` (true) or, where that is not there, the Python version's `NAME` (false); each in the folder itself or in
/// the one that its archive unpacks to.
fn find(dir: &Path, (binary, python): (&str, &str), name: &str) -> Result<(PathBuf, bool)> {
    let in_python = inner(dir, python).join(name);
    match find_file(&inner(dir, binary), &[format!("{name}.bin"), name.to_owned()]) {
        Ok(path) => {
            let is_binary = path.extension().is_some();
            Ok((path, is_binary))
        }
        Err(_) if in_python.is_file() => Ok((in_python, false)),
        Err(error) => Err(error),
    }
}

/// Appends the `count` images of a file of the Python version; `key` is its labels'.
fn read_pickle(
    path: &Path,
    key: &str,
    classes: u8,
    count: usize,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u16>,
) -> Result<()> {
    let file = artifact::read_at_most(path, MAX_PICKLE)?;
    let bad = |what: String| Error::input(path, what);
    let pickle =
        Pickle::read(&file).map_err(|e| bad(format!("is no pickle of CIFAR's Python version: {e}")))?;
    let data = pickle.get("data").map_err(bad)?;
    let data = pickle.rows(data).map_err(|e| bad(format!("`data` {e}")))?;
    if (data.rows, data.columns) != (count, PIXELS) {
        return Err(bad(format!("`data` is {} x {}, wanted {count} x {PIXELS}", data.rows, data.columns)));
    }
    let found = pickle.get(key).map_err(bad)?;
    let found = pickle.numbers(found).map_err(|e| bad(format!("`{key}` {e}")))?;
    if found.len() != count {
        return Err(bad(format!("`{key}` has {} labels, wanted {count}", found.len())));
    }
    for (i, label) in found.into_iter().enumerate() {
        let label = u16::try_from(label).ok().filter(|l| *l < u16::from(classes));
        let what = || bad(format!("label of image {i} is not 0 to {}", classes - 1));
        labels.push(label.ok_or_else(what)?);
    }
    pixels.extend(data.bytes);
    Ok(())
}

/// Appends all records: `label_bytes` (the last one counts) and pixels.
fn read_records(
    path: &Path,
    label_bytes: usize,
    classes: u8,
    count: usize,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u16>,
) -> Result<()> {
    let record = label_bytes + PIXELS;
    let (_, size) = artifact::open(path)?;
    let want = wide(record * count);
    if size != want {
        let what = format!(
            "has {size} bytes ({} records of {record} and {} bytes), wanted {want} ({count} records): truncated, or \
             not CIFAR's binary version",
            size / wide(record),
            size % wide(record)
        );
        return Err(Error::input(path, what));
    }
    let bytes = artifact::read_at_most(path, want)?;
    for (i, record) in bytes.chunks_exact(record).enumerate() {
        let (head, image) = record.split_at(label_bytes);
        let label = head.last().copied().unwrap_or(u8::MAX);
        if label >= classes {
            return Err(Error::input(
                path,
                format!("label of record {i} is {label}, wanted 0 to {}", classes - 1),
            ));
        }
        labels.push(u16::from(label));
        pixels.extend_from_slice(image);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::pickle::tests::python2;
    use super::*;

    #[test]
    fn records_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.bin");
        let mut bytes = vec![7u8; 2 * 3074];
        bytes[1] = 99;
        std::fs::write(&path, &bytes).unwrap();
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        read_records(&path, 2, 100, 2, &mut pixels, &mut labels).unwrap();
        assert_eq!((pixels.len(), &labels[..]), (2 * 3072, &[99, 7][..]));

        bytes[3075] = 100;
        std::fs::write(&path, &bytes).unwrap();
        let error = read_records(&path, 2, 100, 2, &mut pixels, &mut labels).unwrap_err().to_string();
        assert!(error.ends_with("label of record 1 is 100, wanted 0 to 99"), "{error}");

        std::fs::write(&path, &bytes[..6000]).unwrap();
        let error = read_records(&path, 2, 100, 2, &mut pixels, &mut labels).unwrap_err().to_string();
        assert!(error.contains("has 6000 bytes (1 records of 3074 and 2926 bytes), wanted 6148"), "{error}");
    }

    #[test]
    fn pickles_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test");
        let data: Vec<u8> = (0..2 * PIXELS).map(|i| (i % 251) as u8).collect();
        let read = |file: &[u8], count| {
            std::fs::write(&path, file).unwrap();
            let (mut pixels, mut labels) = (Vec::new(), Vec::new());
            read_pickle(&path, "fine_labels", 100, count, &mut pixels, &mut labels).map(|()| (pixels, labels))
        };
        let good = python2("fine_labels", &[99, 7], 3072, &data);
        assert_eq!(read(&good, 2).unwrap(), (data.clone(), vec![99, 7]));
        for (file, count, wanted) in [
            (good.clone(), 3, "`data` is 2 x 3072, wanted 3 x 3072"),
            (python2("labels", &[99, 7], 3072, &data), 2, "has no key `fine_labels`"),
            (python2("fine_labels", &[100, 7], 3072, &data), 2, "label of image 0 is not 0 to 99"),
            (good[..4000].to_vec(), 2, "is no pickle of CIFAR's Python version: at byte"),
        ] {
            let error = read(&file, count).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn either_version_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let python = dir.path().join("cifar-100-python");
        std::fs::create_dir(&python).unwrap();
        std::fs::write(python.join("test"), "x").unwrap();
        let names = ("cifar-100-binary", "cifar-100-python");
        assert_eq!(find(dir.path(), names, "test").unwrap(), (python.join("test"), false));
        assert_eq!(find(&python, names, "test").unwrap(), (python.join("test"), false));
        std::fs::write(python.join("test.bin"), "x").unwrap();
        assert_eq!(find(&python, names, "test").unwrap(), (python.join("test.bin"), true));
        std::fs::write(python.join("meta"), b"}U\x10fine_label_names](U\x05appleU\x04bearesX").unwrap();
        let error = cifar100_labels(dir.path()).unwrap_err().to_string();
        assert!(error.contains("meta: at byte") && error.contains("cut off"), "{error}");
        std::fs::write(python.join("meta"), b"}U\x10fine_label_names](U\x05appleU\x04beares.").unwrap();
        assert!(
            cifar100_labels(dir.path()).unwrap_err().to_string().contains("meta: has 2 names, wanted 100")
        );
    }

    #[test]
    fn missing_files_and_short_label_lists_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_cifar10(dir.path(), true).unwrap_err().to_string();
        assert!(error.contains("looked for: data_batch_1.bin"), "{error}");
        assert_eq!(cifar100_labels(dir.path()).unwrap()[99], "class 99");
        std::fs::write(dir.path().join("fine_label_names.txt"), "apple\n").unwrap();
        assert!(cifar100_labels(dir.path()).unwrap_err().to_string().contains("has 1 names, wanted 100"));
    }
}
