//! CIFAR-10 and CIFAR-100, binary version (Krizhevsky 2009): records of label byte(s) and 3072 planar
//! bytes R, G, B.

use crate::data::{ImageSet, find_file};
use crate::io::artifact;
use crate::ir::arch::Input;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Class names of CIFAR-10, in label order.
pub(in crate::data) const CIFAR10_LABELS: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const INPUT: Input = Input { channels: 3, height: 32, width: 32 };
const PIXELS: usize = 3072;

/// Reads `data_batch_1..5.bin` or `test_batch.bin`.
pub(in crate::data) fn read_cifar10(dir: &Path, train: bool) -> Result<ImageSet> {
    let dir = inner(dir, "cifar-10-batches-bin");
    let names: Vec<String> = if train {
        (1..=5).map(|i| format!("data_batch_{i}.bin")).collect()
    } else {
        vec!["test_batch.bin".into()]
    };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for name in names {
        let path = find_file(&dir, &[name])?;
        read_records(&path, 1, 10, 10_000, &mut pixels, &mut labels)?;
    }
    ImageSet::new(INPUT, 10, pixels, labels)
}

/// Reads `train.bin` or `test.bin`; labels are the fine ones.
pub(in crate::data) fn read_cifar100(dir: &Path, train: bool) -> Result<ImageSet> {
    let dir = inner(dir, "cifar-100-binary");
    let (name, count) = if train { ("train.bin", 50_000) } else { ("test.bin", 10_000) };
    let path = find_file(&dir, &[name.into()])?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    read_records(&path, 2, 100, count, &mut pixels, &mut labels)?;
    ImageSet::new(INPUT, 100, pixels, labels)
}

/// `fine_label_names.txt` if it is there, else `class 0` to `class 99`.
pub(in crate::data) fn cifar100_labels(dir: &Path) -> Result<Vec<String>> {
    let path = inner(dir, "cifar-100-binary").join("fine_label_names.txt");
    if !path.is_file() {
        return Ok((0..100).map(|i| format!("class {i}")).collect());
    }
    let names: Vec<String> = artifact::read_text(&path)?
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .map(str::to_owned)
        .collect();
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
    let want = (record * count) as u64;
    if size != want {
        let what = format!(
            "has {size} bytes ({} records of {record} and {} bytes), wanted {want} ({count} records): truncated, or \
             not CIFAR's binary version",
            size / record as u64,
            size % record as u64
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
    fn missing_files_and_short_label_lists_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_cifar10(dir.path(), true).unwrap_err().to_string();
        assert!(error.contains("looked for: data_batch_1.bin"), "{error}");
        assert_eq!(cifar100_labels(dir.path()).unwrap()[99], "class 99");
        std::fs::write(dir.path().join("fine_label_names.txt"), "apple\n").unwrap();
        assert!(cifar100_labels(dir.path()).unwrap_err().to_string().contains("has 1 names, wanted 100"));
    }
}
