//! Seeded mutants of every file that the programs read: [`formats`] lists the formats and their readers, [`change`] makes a
//! mutant, [`repair`] puts right what only its first check would see, [`ground`] makes the good files. A mutant is a pure function of
//! its format, the seed and its number.

pub mod change;
mod fleets;
pub mod formats;
pub mod ground;
pub mod repair;

use crate::damage;
use formats::{Format, Vouched};
use gtn_core::rng::Rng;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use std::path::{Path, PathBuf};

/// Of all mutants.
pub const SEED: u64 = 13;
/// What reading one may take.
pub const MAX_BYTES: u64 = 512 << 20;
/// Likewise, of CPU time.
pub const MAX_SECONDS: f64 = 5.0;
/// A message is one line of at most 300 characters; the program's name stands before it.
pub const MAX_MESSAGE: usize = 330;

/// A format's mutants, made in a folder of their own.
pub struct Nursery {
    format: &'static Format,
    /// Where the mutant's neighbours are.
    pub dir: PathBuf,
    good: Vec<u8>,
    other: Vec<u8>,
    manifest: Vec<u8>,
}

impl Nursery {
    /// Copies the format's folder from the ground to `dir`.
    pub fn new(format: &'static Format, ground: &Path, dir: &Path) -> Result<Self> {
        let from = ground.join(format.base);
        copy(&from, dir)?;
        let read = |path: PathBuf| std::fs::read(&path).map_err(|e| Error::io(&path, "read", e));
        let good = read(from.join(format.file))?;
        let manifest = match format.vouched {
            Vouched::Nothing => Vec::new(),
            Vouched::Sealed => good.clone(),
            Vouched::Listed => read(from.join("manifest.json"))?,
        };
        Ok(Self { format, dir: dir.to_owned(), other: read(ground.join(format.other))?, good, manifest })
    }

    /// Puts mutant `i` where its reader looks; its path.
    pub fn make(&self, i: u64) -> Result<PathBuf> {
        let format = self.format;
        let mut rng = Rng::new(SEED, format.name, i);
        let is_sealed = format.vouched == Vouched::Sealed;
        let good = if is_sealed { repair::body(&self.good) } else { self.good.clone() };
        let mut bytes = match format.name.starts_with("onnx") && rng.below(2) == 0 {
            true => damage::mutate(&good, &mut rng),
            false => change::change(&good, &self.other, format.is_text, &mut rng),
        };
        if rng.below(4) > 0 {
            repair::repair(&mut bytes, format.repair);
        }
        let path = self.dir.join(format.file);
        let written = match format.vouched {
            Vouched::Nothing => std::fs::write(&path, bytes),
            Vouched::Sealed => std::fs::write(&path, repair::seal(&bytes)),
            Vouched::Listed => repair::vouch(&self.dir, &self.manifest, format.file, &bytes),
        };
        written.map_err(|e| Error::io(&path, "write", e))?;
        Ok(path)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = |e| Error::io(from, "copy", e);
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() { copy(&path, &to)? } else { std::fs::copy(&path, to).map(drop).map_err(failed)? }
    }
    Ok(())
}

/// What is wrong with how a mutant was refused.
pub fn unlike_a_refusal(error: &Error, names: &[&str]) -> Option<String> {
    // As a program tells it.
    let text = format::shorten(&format::escape(&error.to_string()), 300);
    if error.exit_code() != 2 {
        return Some(format!("exit status {}: {text}", error.exit_code()));
    }
    unlike_a_message(&text, names)
}

/// What is wrong with a message: of more than one line, too long, or without one of the names of the file.
pub fn unlike_a_message(text: &str, names: &[&str]) -> Option<String> {
    let control = text.chars().any(char::is_control);
    let wrong = match text {
        _ if control => "holds control characters",
        _ if text.chars().count() > MAX_MESSAGE => "is too long",
        _ if !names.iter().any(|name| text.contains(name)) => "does not name the file",
        _ => return None,
    };
    Some(format!("the message {wrong}: {}", text.chars().take(1000).collect::<String>()))
}
