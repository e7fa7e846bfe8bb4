//! Writes a trained folder: arch.json, weights, golden set, and train.json last (its presence says the
//! run is finished).

use crate::evaluate::{evaluate, logits};
use crate::net::Runner;
use crate::params::{Params, to_vec};
use crate::recipe::Recipe;
use crate::train_loop::Outcome;
use gtn_core::data::ImageSet;
use gtn_core::model_dir::{ArchFile, Golden, TRAIN_SCHEMA, TrainFile};
use gtn_core::split::stratified;
use gtn_core::weights::Weights;
use gtn_core::{Error, Result, artifact};
use std::collections::BTreeMap;
use std::path::Path;
use tch::Device;

/// Golden images: a few of each class of CIFAR-100 would be 400; 64 are enough to catch any wrong
/// operator and keep a bundle small.
const GOLDEN: usize = 64;

/// What train.json tells beside the accuracies.
pub struct Finished<'a> {
    /// arch.json.
    pub file: ArchFile,
    /// `vanilla`, `none`, `kd`.
    pub method: &'static str,
    /// Data set's name.
    pub data: String,
    /// Resolved.
    pub recipe: &'a Recipe,
    /// SHA-256 of its weights, and its architecture's name.
    pub teacher: Option<(String, String)>,
    /// How the run ended.
    pub outcome: &'a Outcome,
    /// Which of the run's networks this is.
    pub which: usize,
    /// More for train.json.
    pub ext: BTreeMap<String, serde_json::Value>,
}

/// Evaluates the last epoch's weights and writes the folder. Golden images come from val (from test
/// where there is no val).
pub fn save(
    out: &Path,
    (runner, params): (&Runner, &Params),
    finished: Finished,
    test: &ImageSet,
    val: &ImageSet,
    device: Device,
) -> Result<TrainFile> {
    let Finished { file, method, data, recipe, teacher, outcome, which, ext } = finished;
    let net = (runner, params);
    let preprocess = &file.preprocess;
    let mut accuracy = BTreeMap::new();
    if !val.is_empty() {
        accuracy.insert("val".to_owned(), evaluate(net, val, preprocess, device)?);
    }
    accuracy.insert("test".to_owned(), evaluate(net, test, preprocess, device)?);

    let golden_set = if val.is_empty() { test } else { val };
    let golden_set =
        golden_set.subset(&stratified(&golden_set.labels, golden_set.classes, GOLDEN, recipe.seed));
    let golden = Golden {
        logits: logits(net, &golden_set.pixels, preprocess, device)?,
        images: golden_set.pixels,
        labels: golden_set.labels,
    };
    let (teacher_sha256, teacher_arch) = teacher.unzip();
    let train = TrainFile {
        schema: TRAIN_SCHEMA.into(),
        method: method.into(),
        data,
        seed: recipe.seed,
        epochs: outcome.epochs,
        accuracy,
        best_val_top1: outcome.state.best_val_top1.get(which).copied(),
        teacher_sha256,
        teacher_arch,
        seconds: outcome.state.seconds,
        recipe: serde_json::to_value(recipe).map_err(|e| Error::Failed(format!("recipe: {e}")))?,
        ext,
    };
    let mut weights = Weights::default();
    for (spec, &place) in runner.graph.params().into_iter().zip(&runner.index) {
        weights.0.insert(spec.name, to_vec(&params.tensors[place])?);
    }
    weights.write(&out.join("weights.safetensors"), &runner.graph)?;
    golden.to_map(&file.arch).write(&out.join("golden.safetensors"))?;
    artifact::write_json(&out.join("arch.json"), &file)?;
    artifact::write_json(&out.join("train.json"), &train)?;
    Ok(train)
}
