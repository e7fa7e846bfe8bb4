//! The pictures that a bundle carries: whole files, as a camera or a disk has them, so that a device is held to what it makes
//! of a file (decoding, turning, resizing, cropping) and not only to what its network makes of pixels.

use crate::artifacts::bundle::BundleManifest;
use crate::artifacts::files::{FileEntry, read_checked};
use crate::io::tensors::TensorMap;
use crate::measure::parity::{not_finite, top_and_margin};
use crate::text::format;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// This is the bundle's folder that holds them; its manifest lists each as `samples/NAME`.
pub const FOLDER: &str = "samples";
/// This tensor of golden.safetensors, f32 `[samples, classes]`, holds what the shipped model answered.
pub const LOGITS: &str = "logits_samples";
/// More show nothing new; a manifest that asks for more is refused before a picture is read.
pub const MAX_SAMPLES: usize = 64;
/// Bytes of one picture's file: more than nearly all photographs have.
pub const MAX_SAMPLE: u64 = 32 << 20;

/// This is what manifest.json says of a sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// `samples/NAME`, one of the manifest's files.
    pub file: String,
    /// The class that the shipped model gives it: the largest of its logits, not what a person says it shows.
    pub class: usize,
}

/// This is a sample of an opened bundle. Its hash has been checked, and its file let go: a board need not hold photographs
/// beside the network.
#[derive(Debug, Clone)]
pub struct SamplePicture {
    /// `samples/NAME`.
    pub file: String,
    /// Where it was read.
    pub path: PathBuf,
    /// What its file must be.
    pub entry: FileEntry,
    /// The class that the shipped model gives it.
    pub class: usize,
    /// What the shipped model answers, one for each class.
    pub logits: Vec<f32>,
}

impl SamplePicture {
    /// Returns the picture's file. It is an error if it is no longer what the manifest says.
    pub fn read(&self) -> Result<Vec<u8>> {
        read_checked(&self.path, &self.entry)
    }
}

/// Checks what a manifest says of its samples: their number, classes and sizes, that each is a file of its own, and that
/// no other file lies beside them.
pub(super) fn check(manifest: &BundleManifest, path: &Path) -> Result<()> {
    let bad = |what: String| Err(Error::input(path, what));
    let samples = &manifest.samples;
    if samples.len() > MAX_SAMPLES {
        return bad(format!("samples has {} pictures, wanted at most {MAX_SAMPLES}", samples.len()));
    }
    let channels = manifest.input.channels;
    if !samples.is_empty() && channels != 1 && channels != 3 {
        return bad(format!("samples are pictures, input has {channels} channels, wanted 1 or 3"));
    }
    let mut names = BTreeSet::new();
    for Sample { file, class } in samples {
        let name = format::shorten(file, 60);
        let Some(entry) = manifest.files.get(file).filter(|_| is_below(file)) else {
            return bad(format!("samples: `{name}` is not one of the files in {FOLDER}/"));
        };
        if !names.insert(file) {
            return bad(format!("samples: `{name}` is there twice"));
        }
        if *class >= manifest.classes {
            return bad(format!(
                "samples: `{name}` is of class {class}, wanted 0 to {}",
                manifest.classes.saturating_sub(1)
            ));
        }
        if entry.size > MAX_SAMPLE {
            return bad(format!("samples: `{name}` has {} bytes, wanted at most {MAX_SAMPLE}", entry.size));
        }
    }
    match manifest.files.keys().find(|file| is_below(file) && !names.contains(file)) {
        Some(file) => bad(format!("files: `{}` is none of the samples", format::shorten(file, 60))),
        None => Ok(()),
    }
}

/// Whether a manifest's file lies in the samples' folder.
fn is_below(file: &str) -> bool {
    file.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/'))
}

/// Reads the samples of the bundle in `dir` and the answers to them in its golden.safetensors (`golden`, read from
/// `golden_path`). An answer that is not finite, or whose class is not what the manifest says, is an error.
pub(super) fn read(
    dir: &Path,
    manifest: &BundleManifest,
    golden: &TensorMap,
    golden_path: &Path,
) -> Result<Vec<SamplePicture>> {
    let samples = &manifest.samples;
    if samples.is_empty() {
        return Ok(Vec::new());
    }
    let classes = manifest.classes;
    let logits = golden.f32s(golden_path, LOGITS, &[Some(samples.len()), Some(classes)])?;
    if let Some(odd) = not_finite(logits, classes) {
        return Err(Error::input(golden_path, format!("tensor `{LOGITS}`: {odd}")));
    }
    let picture = |(sample, logits): (&Sample, &[f32])| {
        let Sample { file, class } = sample;
        let top = top_and_margin(logits).0;
        if top != *class {
            let what =
                format!("tensor `{LOGITS}`: of {file} class {top} is the largest, the manifest says {class}");
            return Err(Error::input(golden_path, what));
        }
        let path = dir.join(file);
        let entry = manifest.files.get(file).cloned();
        let entry = entry.ok_or_else(|| Error::input(&path, "is not one of the manifest's files"))?;
        let picture =
            SamplePicture { file: file.clone(), path, entry, class: *class, logits: logits.to_vec() };
        picture.read()?;
        Ok(picture)
    };
    samples.iter().zip(logits.chunks(classes.max(1))).map(picture).collect()
}
