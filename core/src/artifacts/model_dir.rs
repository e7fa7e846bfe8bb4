//! A teacher's or student's folder: arch.json, weights.safetensors, golden.safetensors, train.json.

use crate::data::preprocess::Preprocess;
use crate::data::split::SplitRule;
use crate::data::{DataSha256, DataSource};
use crate::io::artifact;
use crate::io::tensors::{Tensor, TensorMap};
use crate::ir::arch::ArchSpec;
use crate::ir::graph::Graph;
use crate::ir::weights::Weights;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// This is the schema of arch.json.
pub const ARCH_SCHEMA: &str = "gtn.arch/1";
/// This is the schema of train.json.
pub const TRAIN_SCHEMA: &str = "gtn.train/1";

/// This is what arch.json holds: the network and everything needed to feed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchFile {
    /// [`ARCH_SCHEMA`].
    pub schema: String,
    /// The network.
    pub arch: ArchSpec,
    /// u8 image to input.
    pub preprocess: Preprocess,
    /// One name per class.
    pub labels: Vec<String>,
    /// The pool student it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_id: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ext: BTreeMap<String, serde_json::Value>,
}

/// This says what a network's answers on one split are worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitAccuracy {
    /// Images.
    pub n: usize,
    /// Share, 0 to 1.
    pub top1: f64,
    /// Share, 0 to 1.
    pub top5: f64,
    /// Mean entropy of softmax(logits), nats: how soft a teacher's answers are (absent in older files).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entropy: Option<f64>,
}

/// This is what train.json holds: where the weights come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainFile {
    /// [`TRAIN_SCHEMA`].
    pub schema: String,
    /// `vanilla`, `kd`, ...
    pub method: String,
    /// As given to `--data`, folders left out.
    pub data: String,
    /// What that was, by content (absent in older files).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<DataSha256>,
    /// Share of the pictures that `--max-bad` allowed to be unreadable; absent where it was not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bad: Option<f64>,
    /// Seed of everything random.
    pub seed: u64,
    /// Epochs trained (the last one is what is saved).
    pub epochs: usize,
    /// By split (`train`, `val`, `test`), last epoch.
    pub accuracy: BTreeMap<String, SplitAccuracy>,
    /// Best val top-1 of any epoch, for comparison only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_val_top1: Option<f64>,
    /// SHA-256 of the teacher's weights.safetensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher_sha256: Option<String>,
    /// The teacher's architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher_arch: Option<String>,
    /// Wall seconds of training.
    pub seconds: f64,
    /// The resolved recipe.
    pub recipe: serde_json::Value,
    /// Anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ext: BTreeMap<String, serde_json::Value>,
}

impl TrainFile {
    /// Returns `source` with as large a share of unreadable pictures allowed as this training allowed, unless it says its
    /// own or is data of another name. Which pictures are read is not left to it: `data_sha256` holds those.
    pub fn tolerated(&self, source: DataSource) -> Result<DataSource> {
        let same = source.max_bad().is_none() && source.name() == self.data;
        source.tolerating(self.max_bad.filter(|_| same))
    }
}

/// These are images with known answers: at least 16 u8 images, labels, the trainer's logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// `[n, C, H, W]`, u8.
    pub images: Vec<u8>,
    /// One per image.
    pub labels: Vec<u16>,
    /// `[n, classes]`, fp32, of the network as trained.
    pub logits: Vec<f32>,
}

/// This is a checked folder.
#[derive(Debug, Clone)]
pub struct ModelDir {
    /// Its path.
    pub dir: PathBuf,
    /// arch.json.
    pub file: ArchFile,
    /// Its lowering.
    pub graph: Graph,
    /// weights.safetensors.
    pub weights: Weights,
    /// golden.safetensors.
    pub golden: Golden,
    /// train.json.
    pub train: TrainFile,
    /// SHA-256 of weights.safetensors.
    pub weights_sha256: String,
    /// SHA-256 of arch.json.
    pub arch_sha256: String,
}

impl ArchFile {
    /// Reads and checks arch.json.
    pub fn read(path: &Path) -> Result<Self> {
        let file: Self = artifact::read_schema(path, ARCH_SCHEMA)?;
        let bad = |e: Error| Error::input(path, e.to_string());
        file.arch.validate().map_err(bad)?;
        file.preprocess.validate().map_err(bad)?;
        let (input, p) = (file.arch.input, &file.preprocess);
        if (input.channels, input.height, input.width) != (p.channels, p.height, p.width) {
            let what =
                format!("arch.input is {input}, preprocess gives {}x{}x{}", p.channels, p.height, p.width);
            return Err(Error::input(path, what));
        }
        if file.labels.len() != file.arch.classes {
            let what =
                format!("labels has {} names, arch.classes is {}", file.labels.len(), file.arch.classes);
            return Err(Error::input(path, what));
        }
        Ok(file)
    }
}

impl ModelDir {
    /// Returns how the run cut val from its training images: two keys of its recipe, which every run's has.
    pub fn split_rule(&self) -> Result<SplitRule> {
        SplitRule::deserialize(&self.train.recipe).map_err(|e| {
            Error::input(self.dir.join("train.json"), format!("recipe does not say how val was cut: {e}"))
        })
    }

    /// Reads and checks the whole folder.
    pub fn read(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::input(dir, "is not a folder; wanted one written by gtn-train"));
        }
        let arch_path = dir.join("arch.json");
        let file = ArchFile::read(&arch_path)?;
        let graph = Graph::lower(&file.arch)?;
        let weights_path = dir.join("weights.safetensors");
        let weights = Weights::read(&weights_path, &graph)?;
        let golden = Golden::read(&dir.join("golden.safetensors"), &file.arch)?;
        let train = artifact::read_schema(&dir.join("train.json"), TRAIN_SCHEMA)?;
        let weights_sha256 = artifact::sha256_file(&weights_path)?;
        let arch_sha256 = artifact::sha256_file(&arch_path)?;
        Ok(Self { dir: dir.to_owned(), file, graph, weights, golden, train, weights_sha256, arch_sha256 })
    }
}

impl Golden {
    /// Reads `images`, `labels`, `logits`.
    pub fn read(path: &Path, arch: &ArchSpec) -> Result<Self> {
        let map = TensorMap::read(path)?;
        let (images, labels) = read_images(&map, path, arch)?;
        let logits = map.f32s(path, "logits", &[Some(labels.len()), Some(arch.classes)])?.to_vec();
        Ok(Self { images, labels, logits })
    }

    /// Returns them as named tensors.
    pub fn to_map(&self, arch: &ArchSpec) -> TensorMap {
        let mut map = images_map(&self.images, &self.labels, arch);
        map.insert("logits", Tensor::f32(&[self.labels.len(), arch.classes], self.logits.clone()));
        map
    }
}

/// Returns `images` u8 `[n, C, H, W]` and `labels` i64 `[n]`, as golden and evaluation sets hold them.
pub fn images_map(images: &[u8], labels: &[u16], arch: &ArchSpec) -> TensorMap {
    let input = arch.input;
    let mut map = TensorMap::default();
    let shape = [labels.len(), input.channels, input.height, input.width];
    map.insert("images", Tensor::u8(&shape, images.to_vec()));
    map.insert("labels", Tensor::i64(&[labels.len()], labels.iter().map(|&l| i64::from(l)).collect()));
    map
}

/// Returns the images and labels that [`images_map`] put into `map`. It is an error if there are none, their
/// shape is not the network's, or a label is no class.
pub fn read_images(map: &TensorMap, path: &Path, arch: &ArchSpec) -> Result<(Vec<u8>, Vec<u16>)> {
    let input = arch.input;
    let shape = [None, Some(input.channels), Some(input.height), Some(input.width)];
    let images = map.u8s(path, "images", &shape)?.to_vec();
    let n = images.len() / (input.channels * input.height * input.width);
    if n == 0 {
        return Err(Error::input(path, "tensor `images` is empty"));
    }
    let labels = map.i64s(path, "labels", &[Some(n)])?;
    let check = |(i, &label): (usize, &i64)| match u16::try_from(label) {
        Ok(l) if usize::from(l) < arch.classes => Ok(l),
        _ => {
            let what = format!("tensor `labels`: label {i} is {label}, wanted 0 to {}", arch.classes - 1);
            Err(Error::input(path, what))
        }
    };
    let labels = labels.iter().enumerate().map(check).collect::<Result<_>>()?;
    Ok((images, labels))
}
