//! A finished cache, mapped into memory.

use super::index::{HEADER, Header, RECORD, Record};
use super::{BROKEN, Broken, FINISHED, Finished, INDEX, PIXELS, SCHEMA};
use crate::data::duplicates::Look;
use crate::data::listing::Listing;
use crate::io::artifact;
use crate::{Error, Result};
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Bytes of the largest index: 6 million pictures.
const MAX_INDEX: u64 = 2 << 30;

/// Every picture of a listing, by its place there. Pixels are read from disk when they are looked at, and the system
/// keeps as many of them in memory as it has room for.
#[derive(Debug)]
pub struct Pictures {
    dir: PathBuf,
    header: Header,
    classes: Vec<String>,
    records: Vec<Record>,
    broken: Vec<Broken>,
    pixels: Mmap,
}

impl Pictures {
    /// Opens a finished cache's folder. Errors: it is not finished, or a file in it is not what `finished.json` says.
    pub fn open(dir: &Path) -> Result<Self> {
        let (path, text) = (dir.join(FINISHED), artifact::read_text(&dir.join(FINISHED))?);
        let finished: Finished =
            serde_json::from_str(&text).map_err(|e| Error::input(&path, e.to_string()))?;
        if finished.schema != SCHEMA {
            return Err(Error::input(path, format!("schema is `{}`, wanted `{SCHEMA}`", finished.schema)));
        }
        let (header, records) = read_index(&dir.join(INDEX), &finished)?;
        let broken = read_broken(&dir.join(BROKEN), &finished)?;
        let path = dir.join(PIXELS);
        let (file, size) = artifact::open(&path)?;
        if size != finished.pixel_bytes {
            let what = format!("has {size} bytes, wanted {}: truncated or changed", finished.pixel_bytes);
            return Err(Error::input(path, what));
        }
        // SAFETY: the file is finished: our programs never write to it again, they make another folder. Should somebody
        // else change it, pixels change, and shortening it ends the program by SIGBUS; no reference of ours outlives
        // the map, and every byte is a valid u8.
        let pixels = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(&path, "map", e))?;
        Ok(Self { dir: dir.to_owned(), header, classes: finished.classes, records, broken, pixels })
    }

    /// The cache's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many pictures there are, broken ones too.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// 3 (RGB) or 1 (grey).
    pub fn channels(&self) -> usize {
        self.header.channels as usize
    }

    /// The short side of pictures that were larger, pixels.
    pub fn side(&self) -> usize {
        self.header.side as usize
    }

    /// One name per class.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Pixels, planar `[channels, height, width]`, width and height. None for a broken picture, and beyond the last.
    pub fn get(&self, i: usize) -> Option<(&[u8], usize, usize)> {
        let record = self.records.get(i).filter(|r| r.good)?;
        let start = usize::try_from(record.offset).ok()?;
        let end = usize::try_from(record.end(self.header.channels)?).ok()?;
        Some((self.pixels.get(start..end)?, record.width as usize, record.height as usize))
    }

    /// The label of picture `i`, broken or not.
    pub fn label(&self, i: usize) -> Option<u16> {
        Some(self.records.get(i)?.label)
    }

    /// SHA-256 of picture `i`'s file, as stored in the set.
    pub fn file_sha256(&self, i: usize) -> Option<[u8; 32]> {
        Some(self.records.get(i)?.file_sha256)
    }

    /// What picture `i` looks like, whatever size it is kept at; none for a broken one.
    pub fn look(&self, i: usize) -> Option<Look> {
        self.records.get(i).filter(|r| r.good).map(|r| r.look)
    }

    /// Indices of pictures that can be read, ascending.
    pub fn good(&self) -> Vec<u32> {
        (0u32..).zip(&self.records).filter(|(_, r)| r.good).map(|(i, _)| i).collect()
    }

    /// Those that cannot, ascending.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// Lower-case hex SHA-256 over the classes' number and of each picture of `indices` in turn its name, its label and
    /// its file's hash: what a record of a training calls its data, whatever size the pictures are cached at.
    /// `listing` is the one that the cache was made of.
    pub fn data_sha256(&self, listing: &Listing, indices: &[u32]) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("gtn.pictures/1 {} {}\n", self.classes.len(), indices.len()));
        for &i in indices {
            let name = listing.items.get(i as usize).map_or("", |item| item.name.as_str());
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update(self.label(i as usize).unwrap_or(u16::MAX).to_le_bytes());
            hash.update(self.file_sha256(i as usize).unwrap_or_default());
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Reads every byte and compares it with its hash. The error names the first picture that has changed.
    pub fn verify(&self) -> Result<()> {
        for (i, record) in self.records.iter().enumerate() {
            let pixels = self.get(i).map_or(&[][..], |(pixels, ..)| pixels);
            if Sha256::digest(pixels)[..] != record.pixel_sha256 {
                let what = format!("picture {i} (at byte {}) has changed: delete the folder", record.offset);
                return Err(Error::input(self.dir.join(PIXELS), what));
            }
        }
        Ok(())
    }
}

fn read_index(path: &Path, finished: &Finished) -> Result<(Header, Vec<Record>)> {
    let bytes = artifact::read_at_most(path, MAX_INDEX)?;
    let found = artifact::sha256(&bytes);
    if found != finished.index_sha256 {
        let what = format!("its SHA-256 is {found}, {FINISHED} says {}: damaged", finished.index_sha256);
        return Err(Error::input(path, what));
    }
    let bad = |what: String| Error::input(path, what);
    let header = Header::parse(&bytes).ok_or_else(|| bad("is no picture cache's index".into()))?;
    let rest = bytes.get(HEADER..).unwrap_or_default();
    let whole = |(i, b): (usize, &[u8])| {
        let record = Record::parse(b).filter(|r| usize::from(r.label) < finished.classes.len().max(1));
        let inside = record.filter(|r| r.end(header.channels).is_some_and(|e| e <= finished.pixel_bytes));
        inside.ok_or_else(|| bad(format!("record {i} is damaged")))
    };
    let records = rest.chunks(RECORD).enumerate().map(whole).collect::<Result<Vec<Record>>>()?;
    if records.len() as u64 != finished.pictures || header.pictures != finished.pictures {
        let what = format!("has {} records, {FINISHED} says {}", records.len(), finished.pictures);
        return Err(bad(what));
    }
    Ok((header, records))
}

fn read_broken(path: &Path, finished: &Finished) -> Result<Vec<Broken>> {
    let text = artifact::read_text(path)?;
    let parse = |(i, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| Error::input(path, format!("line {}: {e}", i + 1)))
    };
    let broken = text.lines().enumerate().map(parse).collect::<Result<Vec<Broken>>>()?;
    if broken.len() as u64 != finished.broken {
        let what = format!("has {} lines, {FINISHED} says {}", broken.len(), finished.broken);
        return Err(Error::input(path, what));
    }
    Ok(broken)
}
