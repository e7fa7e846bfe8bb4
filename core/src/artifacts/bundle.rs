//! A bundle (`NAME.gtn/`): the ONNX model, the proof of what it should answer, and the manifest that
//! hashes them. gtn-export writes it, gtn-run opens it.

use crate::artifacts::files::{FileEntry, check_names, read_checked, unlisted};
use crate::artifacts::kit;
use crate::artifacts::model_dir::{Golden, read_images};
use crate::artifacts::samples::{self, Sample, SamplePicture};
use crate::data::DataSha256;
use crate::data::preprocess::Preprocess;
use crate::device::{self, Device};
use crate::io::artifact;
use crate::io::tensors::TensorMap;
use crate::ir::arch::{ArchSpec, Input};
use crate::measure::parity::Tolerance;
use crate::text::format;
use crate::{Error, Precision, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// This is the schema of manifest.json. Bundles of `gtn.bundle/1` have no samples, and are read.
pub const SCHEMA: &str = "gtn.bundle/1.1";
/// This is the manifest's file name. The file is sealed (see [`artifact::seal`]).
pub const MANIFEST: &str = "manifest.json";
/// This is the export report's file name. It is measured, so not part of what is reproducible, but sealed too.
pub const EXPORT_REPORT: &str = "export-report.json";
/// These are the files that every bundle's manifest lists.
pub const FILES: [&str; 5] =
    ["model.onnx", "device.toml", "golden.safetensors", "eval.safetensors", "MODEL_CARD.md"];

/// These are the hashes of what the bundle was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parents {
    /// The student's arch.json.
    pub arch_sha256: String,
    /// The student's weights.safetensors.
    pub weights_sha256: String,
    /// The teacher's weights.safetensors, for a distilled student.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher_sha256: Option<String>,
    /// The data it was trained on, by content (absent in older bundles).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<DataSha256>,
}

/// This is what manifest.json holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleManifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// For people: `STUDENT-TARGET`.
    pub name: String,
    /// Device profile.
    pub target: String,
    /// What it computes in.
    pub precision: Precision,
    /// ONNX operator set.
    pub opset: i64,
    /// Input `image` f32 `[N, C, H, W]`, `N` named.
    pub input: Input,
    /// Output `logits` f32 `[N, classes]`.
    pub classes: usize,
    /// The network the model was written from.
    pub arch: ArchSpec,
    /// Multiply-accumulates per image.
    pub macs: u64,
    /// Trained parameters before folding.
    pub params: u64,
    /// u8 image to input.
    pub preprocess: Preprocess,
    /// One name per class.
    pub labels: Vec<String>,
    /// What it was made from.
    pub parents: Parents,
    /// SHA-256 of the calibration images, for int8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_sha256: Option<String>,
    /// How far a correct runtime may be from `logits_shipped`.
    pub tolerance: Tolerance,
    /// Pictures with the shipped model's classes (absent in older bundles).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// Every other file but [`EXPORT_REPORT`].
    pub files: BTreeMap<String, FileEntry>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ext: BTreeMap<String, serde_json::Value>,
}

/// This is an opened bundle: every hash has been checked.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Its folder.
    pub dir: PathBuf,
    /// manifest.json.
    pub manifest: BundleManifest,
    /// model.onnx, as hashed.
    pub model: Vec<u8>,
    /// Golden images, labels, and the logits of the network as trained.
    pub golden: Golden,
    /// What the shipped model answers on the golden images, `[n, classes]`.
    pub logits_shipped: Vec<f32>,
    /// Pictures with what the shipped model answers; older bundles have none.
    pub samples: Vec<SamplePicture>,
    /// Names of what lies in the folder beside it: no part of the bundle, and never read.
    pub unlisted: Vec<String>,
    eval: Vec<u8>,
    device: Vec<u8>,
}

impl Bundle {
    /// Returns whether `path` looks like a bundle (a folder with a manifest).
    pub fn is_bundle(path: &Path) -> bool {
        path.is_dir()
    }

    /// Opens and checks a bundle: sizes, hashes, schema, the golden set. It is an error if a file is not what
    /// the manifest says; the first such file is named.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        if !path.is_file() {
            return Err(Error::input(dir, format!("is not a bundle: it has no {MANIFEST}")));
        }
        let text = artifact::unseal(&artifact::read_text(&path)?, &path)?;
        let manifest: BundleManifest = artifact::parse_schema(&text, &path, SCHEMA)?;
        manifest.check(&path)?;
        let report = dir.join(EXPORT_REPORT);
        if report.exists() {
            artifact::unseal(&artifact::read_text(&report)?, &report)?;
        }
        let mut contents = BTreeMap::new();
        let of_a_sample = |name: &str| manifest.samples.iter().any(|sample| sample.file == name);
        for (name, entry) in manifest.files.iter().filter(|(name, _)| !of_a_sample(name)) {
            contents.insert(name.as_str(), read_checked(&dir.join(name), entry)?);
        }
        let mut take = |name: &str| contents.remove(name).unwrap_or_default();
        let golden_path = dir.join("golden.safetensors");
        let map = TensorMap::from_bytes(&take("golden.safetensors"), &golden_path)?;
        let (images, labels) = read_images(&map, &golden_path, &manifest.arch)?;
        let shape = [Some(labels.len()), Some(manifest.classes)];
        let logits = map.f32s(&golden_path, "logits", &shape)?.to_vec();
        let logits_shipped = map.f32s(&golden_path, "logits_shipped", &shape)?.to_vec();
        let (model, eval, device) = (take("model.onnx"), take("eval.safetensors"), take("device.toml"));
        let samples = samples::read(dir, &manifest, &map, &golden_path)?;
        let golden = Golden { images, labels, logits };
        let unlisted = unlisted(dir, &manifest.files, &[MANIFEST, EXPORT_REPORT])?;
        let dir = dir.to_owned();
        Ok(Self { dir, manifest, model, golden, logits_shipped, samples, unlisted, eval, device })
    }

    /// Returns the evaluation images (u8 `[n, C, H, W]`) and labels; their split is `test`.
    pub fn eval_set(&self) -> Result<(Vec<u8>, Vec<u16>)> {
        let path = self.dir.join("eval.safetensors");
        read_images(&TensorMap::from_bytes(&self.eval, &path)?, &path, &self.manifest.arch)
    }

    /// Returns the profile of the device that it was made for. A damaged one is an error.
    pub fn device(&self) -> Result<Device> {
        let path = self.dir.join("device.toml");
        let text = std::str::from_utf8(&self.device).map_err(|_| Error::input(&path, "is not UTF-8 text"))?;
        device::parse(text, &path)
    }

    /// Returns the size of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.manifest.files.values().map(|f| f.size).sum()
    }
}

impl BundleManifest {
    fn check(&self, path: &Path) -> Result<()> {
        for name in FILES {
            if !self.files.contains_key(name) {
                return Err(Error::input(path, format!("files lacks `{name}`")));
            }
        }
        check_names(&self.files, &[samples::FOLDER], path)?;
        samples::check(self, path)?;
        check_tolerance(self.tolerance, self.precision, path)?;
        let bad = |e: Error| Error::input(path, e.to_string());
        self.arch.validate().map_err(bad)?;
        self.preprocess.validate().map_err(bad)?;
        let p = &self.preprocess;
        let preprocessed = Input { channels: p.channels, height: p.height, width: p.width };
        let agree = self.arch.input == self.input && preprocessed == self.input;
        if !agree || self.arch.classes != self.classes || self.labels.len() != self.classes {
            return Err(Error::input(path, "input, classes, arch, preprocess and labels do not agree"));
        }
        Ok(())
    }
}

/// A file does not set its own gate: no more than the bound of its precision.
fn check_tolerance(found: Tolerance, precision: Precision, path: &Path) -> Result<()> {
    let bound = Tolerance::of(precision);
    if found.is_within(bound) {
        return Ok(());
    }
    let what = format!(
        "tolerance is {:e} (margin {:e}), wanted 0 to {:e} (margin 0 to {:e}) in {precision}",
        found.relative, found.margin, bound.relative, bound.margin
    );
    Err(Error::input(path, what))
}

/// Returns the names of the files that a bundle or a kit consists of: its manifest, what that lists, and a
/// bundle's report of its export if it has one. Nothing else in the folder belongs to it. Fails where the
/// manifest is damaged or of another schema.
pub fn listed(dir: &Path) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Listing {
        schema: String,
        files: BTreeMap<String, FileEntry>,
    }
    let path = dir.join(MANIFEST);
    let text = artifact::unseal(&artifact::read_text(&path)?, &path)?;
    let Listing { schema, files } =
        serde_json::from_str(&text).map_err(|e| Error::input(&path, e.to_string()))?;
    let mut names = vec![MANIFEST.to_owned()];
    if schema == kit::SCHEMA {
        check_names(&files, &[], &path)?;
    } else if artifact::check_schema(&schema, SCHEMA).is_ok() {
        check_names(&files, &[samples::FOLDER], &path)?;
        names.extend(dir.join(EXPORT_REPORT).exists().then(|| EXPORT_REPORT.to_owned()));
    } else {
        let found = format::shorten(&schema, 60);
        let what = format!("schema is `{found}`, wanted `{SCHEMA}` or `{}`", kit::SCHEMA);
        return Err(Error::input(path, what));
    }
    names.extend(files.into_keys());
    Ok(names)
}
