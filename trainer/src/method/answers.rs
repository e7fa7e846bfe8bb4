//! A teacher's answers, kept: logits by (epoch, image), in one file that many runs may share.
//!
//! What an image looks like in an epoch is a function of the augmentation's seed, the epoch and the image alone, so its
//! answer is too: the file holds numbers, no pictures. It begins with what the answers depend on, as one line of JSON;
//! another teacher, other data or another augmentation is an error. Then comes a row for each epoch and image: the
//! logits and a checksum of them. A row that is not there yet, or that a kill cut short, fails its checksum and is asked
//! for anew.

use gtn_core::data::augment::{Augment, Visit};
use gtn_core::data::preprocess::Preprocess;
use gtn_core::data::split::SplitRule;
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Of [`Key`].
pub const SCHEMA: &str = "gtn.kept-answers/1";
/// Bytes before the first row.
const HEADER: usize = 4096;

/// What answers depend on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Key {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// SHA-256 of the teacher's weights or model file.
    pub teacher_sha256: String,
    /// Of the training images.
    pub data_sha256: String,
    /// How val was cut from them.
    pub split: SplitRule,
    /// What is done to them, with its seed.
    pub augment: Augment,
    /// What the teacher makes of them.
    pub preprocess: Preprocess,
    /// Images to train on.
    pub images: usize,
    /// Logits of each.
    pub classes: usize,
}

/// An open file of answers.
pub struct Answers {
    path: PathBuf,
    file: File,
    images: u64,
    classes: usize,
    /// Rows read, rows written by this process.
    counts: (u64, u64),
}

impl Answers {
    /// Opens the file, or begins one. A file of other answers is an error that names what differs.
    pub fn open(path: &Path, key: &Key) -> Result<Self> {
        let failed = |what: &'static str| move |e| Error::io(path, what, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed("open"))?;
        file.lock().map_err(failed("lock"))?;
        let mut line = serde_json::to_vec(key).map_err(|e| Error::Failed(format!("answers: {e}")))?;
        if line.len() >= HEADER {
            return Err(Error::Failed(format!("answers: a header of {} bytes", line.len())));
        }
        line.resize(HEADER - 1, b' ');
        line.push(b'\n');
        let size = file.metadata().map_err(failed("read"))?.len();
        if size < HEADER as u64 {
            // New, or killed before its first line was whole.
            file.set_len(0).map_err(failed("write"))?;
            file.write_all(&line).and_then(|()| file.sync_data()).map_err(failed("write"))?;
        } else {
            let mut found = vec![0; HEADER];
            file.read_exact(&mut found).map_err(failed("read"))?;
            same(path, &found, key)?;
        }
        file.unlock().map_err(failed("unlock"))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            images: key.images as u64,
            classes: key.classes,
            counts: (0, 0),
        })
    }

    fn row(&self) -> usize {
        self.classes * 4 + 4
    }

    /// Where a turn's row is; none for a second turn in an epoch, which is kept nowhere.
    fn place(&self, (epoch, visit): (u64, Visit)) -> Option<u64> {
        let row = epoch * self.images + u64::from(visit.index);
        (visit.repeat == 0).then(|| HEADER as u64 + row * self.row() as u64)
    }

    /// Logits `[n, classes]` of these turns, if all are there.
    pub fn read(&mut self, turns: &[(u64, Visit)]) -> Result<Option<Vec<f32>>> {
        let mut all = Vec::with_capacity(turns.len() * self.classes);
        let mut row = vec![0; self.row()];
        for &turn in turns {
            let Some(place) = self.place(turn) else { return Ok(None) };
            let read = self.file.seek(SeekFrom::Start(place)).and_then(|_| self.file.read_exact(&mut row));
            match read {
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
                other => other.map_err(|e| Error::io(&self.path, "read", e))?,
            }
            let (values, sum) = row.split_at(self.classes * 4);
            if sum != checksum(values) {
                return Ok(None);
            }
            all.extend(values.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)));
        }
        self.counts.0 += turns.len() as u64;
        Ok(Some(all))
    }

    /// Keeps logits `[n, classes]` of these turns.
    pub fn write(&mut self, turns: &[(u64, Visit)], logits: &[f32]) -> Result<()> {
        if logits.len() != turns.len() * self.classes {
            let (found, wanted) = (logits.len(), turns.len() * self.classes);
            return Err(Error::Failed(format!("the teacher gave {found} logits, wanted {wanted}")));
        }
        for (&turn, values) in turns.iter().zip(logits.chunks_exact(self.classes)) {
            if let Some(odd) = values.iter().find(|x| !x.is_finite()) {
                return Err(Error::Failed(format!("the teacher answers {odd} for image {}", turn.1.index)));
            }
            let Some(place) = self.place(turn) else { continue };
            let mut row: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            row.extend(checksum(&row));
            let written = self.file.seek(SeekFrom::Start(place)).and_then(|_| self.file.write_all(&row));
            written.map_err(|e| Error::io(&self.path, "write", e))?;
            self.counts.1 += 1;
        }
        Ok(())
    }
}

impl Drop for Answers {
    /// People want to know whether the teacher was asked.
    fn drop(&mut self) {
        let (taken, asked) = self.counts;
        let path = self.path.display();
        exit::note(&format!("gtn-train: {path}: {taken} answers taken, {asked} asked for and kept"));
    }
}

/// CRC-32C, which no hole in the file (zeros) has.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    CRC.checksum(bytes).to_le_bytes()
}

fn same(path: &Path, header: &[u8], key: &Key) -> Result<()> {
    let found: serde_json::Value = serde_json::from_slice(header)
        .map_err(|e| Error::input(path, format!("is no file of a teacher's answers: {e}")))?;
    // By way of text, as the other came: an f32 is not the f64 of the same digits.
    let wanted: serde_json::Value = serde_json::to_vec(key)
        .and_then(|text| serde_json::from_slice(&text))
        .map_err(|e| Error::Failed(format!("answers: {e}")))?;
    let (Some(found), Some(wanted)) = (found.as_object(), wanted.as_object()) else {
        return Err(Error::input(path, "is no file of a teacher's answers"));
    };
    let differs = wanted.iter().find(|(key, value)| found.get(*key) != Some(value));
    match differs {
        None => Ok(()),
        Some((key, value)) => {
            let was = found.get(key).map_or_else(|| "nothing".into(), ToString::to_string);
            Err(Error::input(
                path,
                format!("holds other answers: its {key} is {was}, this run's {value}: give another file"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        let preprocess = Preprocess {
            channels: 1,
            height: 4,
            width: 4,
            resize_short: None,
            resize: None,
            mean: vec![0.5644],
            std: vec![0.1852],
        };
        Key {
            schema: SCHEMA,
            teacher_sha256: "t".into(),
            data_sha256: "d".into(),
            split: SplitRule::default(),
            augment: Augment { seed: Some(5), ..Augment::pad_and_flip(2, true) },
            preprocess,
            images: 10,
            classes: 3,
        }
    }

    fn turns(list: &[u32]) -> Vec<(u64, Visit)> {
        list.iter().map(|&index| (2, Visit { index, repeat: 0 })).collect()
    }

    /// What was written is read, bit for bit, by another run too; what was not, or was cut short, is not there.
    #[test]
    fn rows_are_there_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut a = Answers::open(&path, &key()).unwrap();
        assert_eq!(a.read(&turns(&[1])).unwrap(), None);
        let values = [1.5, -0.0, f32::MIN_POSITIVE, 4.0, 5.0, 6.0];
        a.write(&turns(&[7, 1]), &values).unwrap();
        let mut b = Answers::open(&path, &key()).unwrap();
        let read = b.read(&turns(&[1, 7])).unwrap().unwrap();
        assert_eq!(read, [4.0, 5.0, 6.0, 1.5, -0.0, f32::MIN_POSITIVE]);
        assert_eq!(read[4].to_bits(), (-0.0f32).to_bits());
        for missing in [0, 2, 8] {
            assert_eq!(b.read(&turns(&[1, missing])).unwrap(), None, "{missing}");
        }
        let second = [(2, Visit { index: 1, repeat: 1 })];
        b.write(&second, &[0.0; 3]).unwrap();
        assert_eq!(b.read(&second).unwrap(), None);
        assert!(b.write(&turns(&[1]), &[0.0; 2]).is_err() && b.write(&turns(&[1]), &[f32::NAN; 3]).is_err());
        // Killed while row 7, the last, was written.
        let size = std::fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(size - 5).unwrap();
        assert_eq!(b.read(&turns(&[7])).unwrap(), None);
        assert!(b.read(&turns(&[1])).unwrap().is_some());
    }

    #[test]
    fn other_answers_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        Answers::open(&path, &key()).unwrap();
        let augment = Augment { seed: Some(6), ..key().augment };
        for (other, wanted) in [
            (Key { teacher_sha256: "u".into(), ..key() }, "its teacher_sha256 is \"t\", this run's \"u\""),
            (Key { data_sha256: "e".into(), ..key() }, "its data_sha256"),
            (Key { augment, ..key() }, "its augment"),
            (Key { images: 11, ..key() }, "its images is 10, this run's 11"),
        ] {
            let error = Answers::open(&path, &other).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(wanted) && error.exit_code() == 2, "{error}");
        }
        std::fs::write(&path, vec![b'x'; 5000]).unwrap();
        let error = Answers::open(&path, &key()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("is no file of a teacher's answers"), "{error}");
    }
}
