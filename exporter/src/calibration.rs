//! What int8 is fitted to and judged on: val images, never test ones.

use crate::lanes::{Feed, values};
use crate::onnx_writer::{self, Describe};
use gtn_core::data::{DataSource, ImageSet};
use gtn_core::graph::{Graph, ValueId};
use gtn_core::model_dir::ModelDir;
use gtn_core::parity::correct_in_top;
use gtn_core::preprocess::Preprocess;
use gtn_core::quant::histogram::ValueStats;
use gtn_core::quant::placement::{Placement, producer};
use gtn_core::split::{split, stratified};
use gtn_core::weights::Weights;
use gtn_core::{Error, Result, artifact, format};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Draws calibration images; fixed, so that two exports use the same ones.
const SEED: u64 = 1;
/// Val images that accuracy is judged on, at most.
const JUDGED: usize = 5000;
/// f32 values of all sites at once, at most (256 MiB a lane).
const MAX_VALUES: usize = 1 << 25;
/// Images of one run, at most.
const BATCH: usize = 16;

/// Images that choices are made on.
pub struct Calibration {
    /// Ranges come from these.
    pub images: ImageSet,
    /// Recipes are compared on these: others of val where it has enough.
    pub chosen_on: ImageSet,
    /// Accuracy is judged on these (all of val up to 5,000).
    pub judged_on: ImageSet,
    /// For the manifest: SHA-256 of the calibration images' bytes.
    pub sha256: String,
    /// u8 image to input.
    preprocess: Preprocess,
    ort_lib: Option<PathBuf>,
}

impl Calibration {
    /// The val part of `source`'s training images, as gtn-train cut it.
    pub fn load(
        source: &DataSource,
        student: &ModelDir,
        count: usize,
        ort_lib: Option<PathBuf>,
    ) -> Result<Self> {
        let arch = &student.file.arch;
        if count == 0 {
            return Err(Error::usage("--calib-images is 0, wanted at least 1"));
        }
        let train = source.train()?;
        if (train.input, train.classes) != (arch.input, arch.classes) {
            return Err(Error::usage(format!(
                "calibration data `{}`: {} with {} classes, the student takes {} with {}",
                source.name(),
                train.input,
                train.classes,
                arch.input,
                arch.classes
            )));
        }
        let (found, wanted) = (source.label_names()?, &student.file.labels);
        if let Some((a, b)) = found.iter().zip(wanted).find(|(a, b)| a != b) {
            return Err(Error::usage(format!(
                "calibration data `{}` has a class `{a}` where the student has `{b}`: int8 is judged by top-1, so the \
                 classes must be the student's",
                source.name()
            )));
        }
        let val = val(train, &source.name(), student)?;
        if val.is_empty() {
            let what = format!(
                "no images to calibrate on: the student was trained on all of `{}` (val_fraction 0, or too few \
                 images); give --calib with other data, or --precision fp32",
                source.name()
            );
            return Err(Error::usage(what));
        }
        let chosen = stratified(&val.labels, val.classes, count, SEED);
        let others: Vec<u32> = (0..val.len() as u32).filter(|i| chosen.binary_search(i).is_err()).collect();
        let others = val.subset(&others);
        let images = val.subset(&chosen);
        let chosen_on = if others.len() >= images.len() {
            others.subset(&stratified(&others.labels, others.classes, count, SEED))
        } else {
            images.clone()
        };
        let judged_on = val.subset(&stratified(&val.labels, val.classes, JUDGED, SEED));
        let sha256 = artifact::sha256(&images.pixels);
        Ok(Self {
            images,
            chosen_on,
            judged_on,
            sha256,
            preprocess: student.file.preprocess.clone(),
            ort_lib,
        })
    }

    /// An error if fp32 does not do on the judging images what train.json says of val: the images or their
    /// labels are not those the student was trained with. `fp32` are its logits on them. Data of another
    /// name has nothing to be compared with.
    pub fn check_labels(&self, fp32: &[f32], source: &DataSource, student: &ModelDir) -> Result<()> {
        let set = &self.judged_on;
        let Some(val) = student.train.accuracy.get("val").filter(|_| source.name() == student.train.data)
        else {
            return Ok(());
        };
        let top1 = correct_in_top(fp32, &set.labels, set.classes, 1) as f64 / set.len().max(1) as f64;
        // Five standard errors, and a point for images whose two best classes are equally likely.
        let slack = 5.0 * (val.top1 * (1.0 - val.top1) / set.len().max(1) as f64).sqrt() + 0.01;
        if (top1 - val.top1).abs() <= slack {
            return Ok(());
        }
        Err(Error::usage(format!(
            "calibration data `{}`: the trained network has {} top-1 on {} val images, train.json says {}: these are not \
             the images or labels it was trained with",
            source.name(),
            format::percent(top1),
            set.len(),
            format::percent(val.top1)
        )))
    }

    /// A set of images, ready to be run.
    pub fn feed<'a>(&'a self, set: &'a ImageSet) -> Feed<'a> {
        Feed {
            images: &set.pixels,
            preprocess: &self.preprocess,
            batch: BATCH,
            ort_lib: self.ort_lib.clone(),
        }
    }

    /// What the network's values look like on the calibration images, by [`ValueId`].
    pub fn stats(&self, graph: &Graph, weights: &Weights, opset: i64) -> Result<Vec<Option<ValueStats>>> {
        let metadata = BTreeMap::new();
        let describe = Describe { name: "calibration", opset, metadata: &metadata };
        let sites: Vec<ValueId> =
            Placement::of(graph).sites().into_iter().filter(|v| *v != gtn_core::graph::IMAGE).collect();
        let model = onnx_writer::write_exposing(graph, weights, &describe, &sites)?;
        let feed = Feed { batch: batch_for(graph, &sites), ..self.feed(&self.images) };
        let lanes = feed.run(&[&model], |stats: &mut Vec<ValueStats>, _, n, outputs| {
            stats.resize(sites.len(), ValueStats::default());
            let inner = outputs.first().into_iter().flat_map(|o| o.iter().skip(1));
            for ((stats, &site), output) in stats.iter_mut().zip(&sites).zip(inner) {
                let [c, h, w] = graph.shape(site);
                let values = values(output)?.get(..n * c * h * w).unwrap_or_default();
                if !stats.add(values, c, h * w) {
                    let name = producer(graph, site).map_or("image", |n| &n.name);
                    return Err(Error::Failed(format!(
                        "`{name}` is not finite on a calibration image: the network cannot be quantised"
                    )));
                }
            }
            Ok(())
        })?;
        let mut all: Vec<Option<ValueStats>> = vec![None; graph.nodes.len() + 1];
        for lane in lanes {
            for (stats, site) in lane.into_iter().zip(&sites) {
                if let Some(slot) = all.get_mut(site.0) {
                    slot.get_or_insert_with(ValueStats::default).merge(&stats);
                }
            }
        }
        if let Some(slot) = all.first_mut() {
            *slot = Some(self.image_stats(graph)?);
        }
        Ok(all)
    }

    /// The input's own statistics need no network.
    fn image_stats(&self, graph: &Graph) -> Result<ValueStats> {
        let mut stats = ValueStats::default();
        let [c, h, w] = graph.shape(gtn_core::graph::IMAGE);
        for chunk in self.images.pixels.chunks(BATCH * c * h * w) {
            stats.add(&self.preprocess.normalise(chunk)?, c, h * w);
        }
        Ok(stats)
    }
}

fn batch_for(graph: &Graph, sites: &[ValueId]) -> usize {
    let per_image: usize = sites.iter().map(|&v| graph.shape(v).iter().product::<usize>()).sum();
    (MAX_VALUES / per_image.max(1)).clamp(1, BATCH)
}

/// Val as gtn-train cut it from `train`: the recipe in train.json says how. A folder without a recipe
/// gets the trainer's default, a tenth.
fn val(train: ImageSet, name: &str, student: &ModelDir) -> Result<ImageSet> {
    let recipe = &student.train.recipe;
    let (mut taken, mut fraction) = (0, 0.1);
    if student.train.data == name {
        taken = recipe.get("train_images").and_then(serde_json::Value::as_u64).unwrap_or(0) as usize;
        fraction = recipe.get("val_fraction").and_then(serde_json::Value::as_f64).unwrap_or(fraction);
    }
    let train = match taken {
        0 => train,
        n => train.subset(&stratified(&train.labels, train.classes, n, 0)),
    };
    let parts = split(&train.labels, train.classes, fraction, 0)?;
    Ok(train.subset(&parts.val))
}
