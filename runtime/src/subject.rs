//! A model ready to be judged: a bundle, or a plain .onnx file, loaded by a backend.

use crate::auto;
use crate::backend::ort;
use crate::backend::ort::providers;
use crate::backend::ort::providers::Providers;
use crate::backend::{Backend, Kind, Named, Options};
use crate::onnx::{OnnxFile, OnnxModel};
use gtn_core::artifacts::bundle::Bundle;
use gtn_core::data::preprocess::Preprocess;
use gtn_core::device::Device;
use gtn_core::io::artifact;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::measure::parity;
use gtn_core::measure::report::Model;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use std::path::{Path, PathBuf};

/// This key of `metadata_props` holds the preprocessing as JSON: our exporter writes it, and it makes a plain
/// model understood.
pub const PREPROCESS_KEY: &str = "gtn.preprocess";
/// This key of `metadata_props` holds a JSON array of class names.
pub const LABELS_KEY: &str = "gtn.labels";

/// A subject is a loaded model and what is known about it.
pub struct Subject {
    /// The bundle's folder or the file, for messages.
    pub path: PathBuf,
    /// The bundle it is from.
    pub bundle: Option<Bundle>,
    /// The file, as read.
    pub onnx: OnnxModel,
    /// For reports.
    pub model: Model,
    /// u8 image to input, if the model tells.
    pub preprocess: Option<Preprocess>,
    /// Class names, if the model tells.
    pub labels: Option<Vec<String>>,
    /// Loads and runs it.
    pub backend: Box<dyn Backend>,
    /// Milliseconds that loading took.
    pub init_ms: f64,
}

impl Subject {
    /// Opens and checks a bundle or .onnx file and loads it.
    pub fn open(path: &Path, options: &Options) -> Result<Self> {
        if Bundle::is_bundle(path) {
            Self::from_bundle(Bundle::open(path)?, options)
        } else {
            Self::from_file(path, options)
        }
    }

    /// Loads an opened bundle, with its profile's execution providers unless others are asked for.
    pub fn from_bundle(bundle: Bundle, options: &Options) -> Result<Self> {
        let file = OnnxFile::parse(&bundle.model, &bundle.dir.join("model.onnx"))?;
        let m = &bundle.manifest;
        let model = Model {
            name: m.name.clone(),
            sha256: artifact::sha256(&bundle.model),
            bytes: bundle.model.len() as u64,
            target: Some(m.target.clone()),
            precision: Some(m.precision),
            arch: Some(m.arch.name.clone()),
            macs: Some(m.macs),
            params: Some(m.params),
        };
        let (preprocess, labels) = (Some(m.preprocess.clone()), Some(m.labels.clone()));
        let device = bundle.device()?;
        let mut choice = auto::choose(options, Some(&device.backends))?;
        let mut options = options.clone();
        if choice.kind == Kind::Ort && options.ort.providers == Providers::Profile {
            (options.ort.providers, choice.why) = by_profile(&bundle, &device, &options, choice.why)?;
        }
        let (backend, init_ms) = choice.load_timed(&file, &options)?;
        let (path, onnx) = (bundle.dir.clone(), file.model());
        Ok(Self { path, onnx, model, preprocess, labels, backend, init_ms, bundle: Some(bundle) })
    }

    fn from_file(path: &Path, options: &Options) -> Result<Self> {
        let file = OnnxFile::read(path)?;
        let onnx = file.model();
        let bad = |key: &str, e: String| Error::input(path, format!("metadata `{key}`: {e}"));
        let preprocess = match onnx.metadata.get(PREPROCESS_KEY) {
            Some(text) => {
                let p: Preprocess =
                    serde_json::from_str(text).map_err(|e| bad(PREPROCESS_KEY, e.to_string()))?;
                p.validate().map_err(|e| bad(PREPROCESS_KEY, e.to_string()))?;
                Some(p)
            }
            None => None,
        };
        let labels = onnx.metadata.get(LABELS_KEY).map(|text| serde_json::from_str(text));
        let labels = labels.transpose().map_err(|e| bad(LABELS_KEY, e.to_string()))?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let model = Model {
            name,
            sha256: artifact::sha256(file.bytes()),
            bytes: file.bytes().len() as u64,
            target: None,
            precision: None,
            arch: onnx.metadata.get("gtn.arch").cloned(),
            macs: None,
            params: None,
        };
        let (backend, init_ms) = auto::choose(options, None)?.load_timed(&file, options)?;
        let path = path.to_owned();
        Ok(Self { path, bundle: None, onnx, model, preprocess, labels, backend, init_ms })
    }

    /// Returns the preprocessing, or an error saying that the model does not tell it.
    pub fn preprocess(&self) -> Result<&Preprocess> {
        self.preprocess.as_ref().ok_or_else(|| {
            Error::input(&self.path, format!("does not tell its preprocessing (metadata `{PREPROCESS_KEY}`)"))
        })
    }

    /// Returns the class names, or an error saying that the model does not tell them.
    pub fn labels(&self) -> Result<&[String]> {
        self.labels.as_deref().ok_or_else(|| {
            Error::input(&self.path, format!("does not tell its labels (metadata `{LABELS_KEY}`)"))
        })
    }

    /// Returns the number of images in an inference. A model whose first input is empty is an error.
    pub fn batch(&self) -> Result<usize> {
        match self.backend.info().batch {
            0 => Err(Error::input(&self.path, "its first input is empty")),
            batch => Ok(batch),
        }
    }

    /// Returns logits `[n, classes]` of u8 images of the model's own size, run a batch at a time; `tick` is
    /// told how many images are done. A logit that is not a finite number is an error that names model and
    /// image.
    pub fn logits(&mut self, pixels: &[u8], mut tick: impl FnMut(usize)) -> Result<Vec<f32>> {
        let preprocess = self.preprocess()?.clone();
        let len = preprocess.image_len();
        let batch = self.batch()?;
        let mut out = Vec::new();
        let mut done = 0;
        for chunk in pixels.chunks(batch * len) {
            let n = chunk.len() / len;
            let logits = self.forward(preprocess.normalise(chunk)?, n)?;
            parity::check_finite(&format::path(&self.path), &logits, logits.len() / n.max(1), done)?;
            out.extend(logits);
            done += n;
            tick(done);
        }
        Ok(out)
    }

    /// Returns logits `[n, classes]` of `n` preprocessed images, at most a batch. Fails where the model does
    /// not take `[N, C, H, W]` or its first output is not f32 `[N, classes]`.
    pub(crate) fn forward(&mut self, mut values: Vec<f32>, n: usize) -> Result<Vec<f32>> {
        let p = self.preprocess()?;
        let batch = self.batch()?;
        let shape = [batch, p.channels, p.height, p.width];
        values.resize(batch * p.image_len(), 0.0); // the last batch is filled up
        let slot = self.backend.inputs().first().filter(|s| s.shape.len() == 4);
        let Some(slot) = slot else {
            return Err(Error::input(&self.path, "does not take images [N,C,H,W]"));
        };
        let input = Named { name: slot.name.clone(), tensor: Tensor::f32(&shape, values) };
        let outputs = self.backend.run(&[input])?;
        let logits = outputs.into_iter().next().map(|o| o.tensor);
        let Some(Tensor { data: Data::F32(mut logits), shape }) = logits.filter(|t| t.shape.len() == 2)
        else {
            let what = format!("{}: the first output is not f32 [N, classes]", format::path(&self.path));
            return Err(Error::Failed(what));
        };
        if shape.first() != Some(&batch) {
            let path = format::path(&self.path);
            return Err(Error::Failed(format!("{path}: {} rows of logits for {batch} images", shape[0])));
        }
        logits.truncate(n * shape[1]);
        Ok(logits)
    }
}

/// What the bundle's profile prefers to the CPU, so far as the library has it. A profile none of whose
/// providers is there is an error: a latency on the CPU would not be what the bundle is for.
fn by_profile(
    bundle: &Bundle,
    device: &Device,
    options: &Options,
    why: String,
) -> Result<(Providers, String)> {
    if device.execution_providers.is_empty() {
        return Ok((Providers::Cpu, why));
    }
    ort::start(options.ort.library.as_deref())?;
    let have = providers::available();
    let wanted = &device.execution_providers;
    let found: Vec<String> = wanted.iter().filter(|p| have.contains(&p.as_str())).cloned().collect();
    if found.is_empty() {
        return Err(Error::Unavailable(format!(
            "{}: its profile `{}` wants {}, this ONNX Runtime has {} only: --ort-lib names another library, --ep cpu runs \
             it on the CPU",
            bundle.dir.display(),
            device.name,
            wanted.join(" or "),
            have.join(", ")
        )));
    }
    let why = format!("the profile `{}` prefers {}", device.name, found.join(", "));
    Ok((Providers::Named(found), why))
}
