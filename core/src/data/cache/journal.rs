//! A cache under construction: what is finished of it survives a kill at any moment.
//!
//! Pixels are written first, then made durable, then the reasons of broken pictures, then the records. A record is
//! believed only if all records before it are whole and the pixels they name are there; so whatever a crash left behind
//! the last believed record is cut off, and the next bytes are what they would have been.

use super::index::{HEADER, Header, RECORD, Record};
use super::{BROKEN, Broken, FINISHED, Finished, INDEX, PIXELS, SCHEMA};
use crate::io::artifact;
use crate::{Error, Result};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The open files of a half-made cache.
pub(super) struct Journal {
    dir: PathBuf,
    header: Header,
    pixels: BufWriter<File>,
    index: File,
    /// Pictures whose records are durable.
    pub(super) saved: u64,
    /// Records that are not written yet.
    waiting: Vec<u8>,
    /// Where the next picture's pixels start.
    pub(super) end: u64,
    pub(super) broken: Vec<Broken>,
    broken_changed: bool,
}

impl Journal {
    /// A new cache in `dir`, or what is there of it.
    pub(super) fn open(dir: &Path, header: Header) -> Result<Self> {
        let open = |name: &str| {
            let path = dir.join(name);
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            file.map_err(|e| Error::io(&path, "write", e))
        };
        let (pixels, index) = (open(PIXELS)?, open(INDEX)?);
        let pixel_bytes = pixels.metadata().map_err(|e| Error::io(dir.join(PIXELS), "read", e))?.len();
        let mut broken = read_broken(dir);
        let (saved, end) = believed(&index, &header, pixel_bytes, &broken)
            .map_err(|e| Error::io(dir.join(INDEX), "read", e))?;
        broken.retain(|b| u64::from(b.index) < saved);
        let mut journal = Self {
            dir: dir.to_owned(),
            header,
            pixels: BufWriter::with_capacity(1 << 20, pixels),
            index,
            saved,
            waiting: Vec::new(),
            end,
            broken,
            broken_changed: true,
        };
        journal.cut().map_err(|e| Error::io(dir, "write in", e))?;
        Ok(journal)
    }

    /// Everything behind what is believed.
    fn cut(&mut self) -> std::io::Result<()> {
        self.pixels.get_ref().set_len(self.end)?;
        self.pixels.seek(SeekFrom::Start(self.end))?;
        if self.saved == 0 {
            self.index.set_len(0)?;
            self.index.seek(SeekFrom::Start(0))?;
            self.index.write_all(&self.header.bytes())?;
        }
        let length = HEADER as u64 + self.saved * RECORD as u64;
        self.index.set_len(length)?;
        self.index.seek(SeekFrom::Start(length)).map(|_| ())
    }

    /// Pictures so far, durable or not.
    pub(super) fn done(&self) -> u64 {
        self.saved + self.waiting_pictures()
    }

    /// Pictures since the last checkpoint.
    pub(super) fn waiting_pictures(&self) -> u64 {
        (self.waiting.len() / RECORD) as u64
    }

    /// The next picture; `record.offset` is filled in here.
    pub(super) fn append(&mut self, record: Record, pixels: &[u8], broken: Option<Broken>) -> Result<()> {
        self.pixels.write_all(pixels).map_err(|e| Error::io(self.dir.join(PIXELS), "write", e))?;
        self.waiting.extend(Record { offset: self.end, ..record }.bytes());
        self.end += pixels.len() as u64;
        self.broken_changed |= broken.is_some();
        self.broken.extend(broken);
        Ok(())
    }

    /// Makes everything so far durable.
    pub(super) fn checkpoint(&mut self) -> Result<()> {
        let pixels = self.pixels.flush().and_then(|()| self.pixels.get_ref().sync_data());
        pixels.map_err(|e| Error::io(self.dir.join(PIXELS), "write", e))?;
        if self.broken_changed {
            self.write_broken()?;
        }
        let index = self.index.write_all(&self.waiting).and_then(|()| self.index.sync_data());
        index.map_err(|e| Error::io(self.dir.join(INDEX), "write", e))?;
        self.saved = self.done();
        self.waiting.clear();
        Ok(())
    }

    fn write_broken(&mut self) -> Result<()> {
        let mut text = Vec::new();
        for broken in &self.broken {
            serde_json::to_writer(&mut text, broken).map_err(|e| Error::Failed(format!("JSON: {e}")))?;
            text.push(b'\n');
        }
        artifact::write_atomic(&self.dir.join(BROKEN), &text)?;
        self.broken_changed = false;
        Ok(())
    }

    /// The last thing that is written.
    pub(super) fn finish(mut self, classes: &[String]) -> Result<()> {
        self.checkpoint()?;
        let finished = Finished {
            schema: SCHEMA.to_owned(),
            classes: classes.to_vec(),
            pictures: self.saved,
            broken: self.broken.len() as u64,
            pixel_bytes: self.end,
            index_sha256: artifact::sha256_file(&self.dir.join(INDEX))?,
        };
        artifact::write_json(&self.dir.join(FINISHED), &finished)
    }
}

/// How many records are whole, one behind the other, and covered by pixels or by a reason; and where the last one's
/// pixels end.
fn believed(
    index: &File,
    header: &Header,
    pixel_bytes: u64,
    broken: &[Broken],
) -> std::io::Result<(u64, u64)> {
    let reasons: HashSet<u64> = broken.iter().map(|b| u64::from(b.index)).collect();
    let mut reader = std::io::BufReader::with_capacity(1 << 20, index);
    let mut head = Vec::new();
    reader.by_ref().take(HEADER as u64).read_to_end(&mut head)?;
    if Header::parse(&head) != Some(*header) {
        return Ok((0, 0));
    }
    let (mut saved, mut end) = (0, 0);
    let mut bytes = Vec::with_capacity(RECORD);
    while saved < header.pictures {
        bytes.clear();
        reader.by_ref().take(RECORD as u64).read_to_end(&mut bytes)?;
        let record = Record::parse(&bytes).filter(|r| r.offset == end && r.good != reasons.contains(&saved));
        match record.and_then(|r| r.end(header.channels)).filter(|e| *e <= pixel_bytes) {
            Some(next) => (saved, end) = (saved + 1, next),
            None => break,
        }
    }
    Ok((saved, end))
}

/// What can be read of the reasons.
fn read_broken(dir: &Path) -> Vec<Broken> {
    let text = artifact::read_text(&dir.join(BROKEN)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
