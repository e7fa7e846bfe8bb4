//! Writes a trained folder: arch.json, weights, golden set, and train.json last (its presence says the
//! run is finished).

use crate::commands::worst::{WORST, Worst};
use crate::engine::evaluate::{self, logits};
use crate::engine::net::Runner;
use crate::engine::params::{Params, to_vec};
use crate::engine::train_loop::Outcome;
use crate::recipe::Recipe;
use gtn_core::artifacts::model_dir::{ArchFile, Golden, TRAIN_SCHEMA, TrainFile};
use gtn_core::data::split::stratified;
use gtn_core::data::{DataSha256, ImageSet};
use gtn_core::io::artifact;
use gtn_core::ir::weights::Weights;
use gtn_core::measure::confusion::Confusion;
use gtn_core::measure::parity::not_finite;
use gtn_core::{Error, Result};
use serde::{Deserialize, Serialize};
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
    /// Its content.
    pub data_sha256: &'a DataSha256,
    /// As `--max-bad` said.
    pub max_bad: Option<f64>,
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

/// Which classes are taken for which, on val and test.
pub const CLASSES: &str = "classes.json";
/// Of [`Classes`].
pub const CLASSES_SCHEMA: &str = "gtn.classes/1";

/// classes.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    schema: String,
    /// By part: val, test.
    pub confusion: BTreeMap<String, Confusion>,
}

/// What became of a network at the end of its run.
pub enum Saved {
    /// Its folder is written.
    Finished,
    /// It answers what is no number: nothing is written, and why.
    Diverged(String),
}

/// Written in place of train.json where one of several networks left the run.
pub const DIVERGED: &str = "diverged.json";
const DIVERGED_SCHEMA: &str = "gtn.diverged/1";

/// diverged.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diverged {
    schema: String,
    /// The network's name.
    pub network: String,
    /// Which number, and at which step.
    pub why: String,
}

impl Diverged {
    /// Records it in the network's folder.
    pub fn write(out: &Path, network: &str, why: &str) -> Result<()> {
        artifact::create_dir(out)?;
        let record = Self { schema: DIVERGED_SCHEMA.into(), network: network.into(), why: why.into() };
        artifact::write_json(&out.join(DIVERGED), &record)
    }

    /// Of a network's folder, if it diverged.
    pub fn read(out: &Path) -> Result<Option<Self>> {
        let path = out.join(DIVERGED);
        if path.exists() { artifact::read_schema(&path, DIVERGED_SCHEMA).map(Some) } else { Ok(None) }
    }
}

/// The images that a network is judged by.
#[derive(Clone, Copy)]
pub struct Judges<'a> {
    /// What val was cut from.
    pub train: &'a ImageSet,
    /// May be empty.
    pub val: &'a ImageSet,
    /// Read once, here.
    pub test: &'a ImageSet,
}

/// Evaluates the last epoch's weights and writes the folder. Golden images come from val (from test
/// where there is no val).
pub fn save(
    out: &Path,
    (runner, params): (&Runner, &Params),
    finished: Finished,
    Judges { train: whole, val, test }: Judges,
    device: Device,
) -> Result<Saved> {
    let Finished { file, method, data, data_sha256, max_bad, recipe, teacher, outcome, which, ext } =
        finished;
    let steps = outcome.state.step;
    let diverged =
        |set: &str, odd| Ok(Saved::Diverged(format!("on {set}, {odd} after step {steps}, the last")));
    let net = (runner, params);
    let preprocess = &file.preprocess;
    let (mut accuracy, mut confusion, mut worst) = (BTreeMap::new(), BTreeMap::new(), None);
    for (name, set) in [("val", val), ("test", test)].into_iter().filter(|(_, set)| !set.is_empty()) {
        let logits = logits(net, set, preprocess, device)?;
        match evaluate::accuracy(&logits, &set.labels, set.classes) {
            Ok(found) => accuracy.insert(name.to_owned(), found),
            Err(odd) => return diverged(name, odd),
        };
        confusion.insert(name.to_owned(), Confusion::of(&logits, &set.labels, set.classes)?);
        // Mistakes are looked for on val, which choices are made on; test is only stated.
        if name == "val" {
            let places = recipe.split_rule().places(whole)?.val;
            worst = Some(Worst::of(&logits, val, (whole, &places), &file.labels)?);
        }
    }

    let golden_set = if val.is_empty() { test } else { val };
    let golden_set =
        golden_set.subset(&stratified(&golden_set.labels, golden_set.classes, GOLDEN, recipe.seed));
    let golden = Golden {
        logits: logits(net, &golden_set, preprocess, device)?,
        images: golden_set.all_pixels()?.into_owned(),
        labels: golden_set.labels,
    };
    if let Some(odd) = not_finite(&golden.logits, file.arch.classes) {
        return diverged("the golden images", odd);
    }
    let (teacher_sha256, teacher_arch) = teacher.unzip();
    let train = TrainFile {
        schema: TRAIN_SCHEMA.into(),
        method: method.into(),
        data,
        data_sha256: Some(data_sha256.clone()),
        max_bad,
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
    artifact::write_json(&out.join(CLASSES), &Classes { schema: CLASSES_SCHEMA.into(), confusion })?;
    worst.map_or(Ok(()), |worst| artifact::write_json(&out.join(WORST), &worst))?;
    artifact::write_json(&out.join("train.json"), &train)?;
    Ok(Saved::Finished)
}
