//! What int8 is fitted to, judged on and told by: val images, never test ones. A third of val is set aside
//! before anything else and sees no choice: what the bundle says of its drop comes from there.

use crate::lanes::{Feed, values};
use crate::onnx::float;
use crate::onnx::float::Describe;
use crate::students::OWN_DATA;
use gtn_core::artifacts::model_dir::ModelDir;
use gtn_core::data::preprocess::Preprocess;
use gtn_core::data::split::{SplitRule, stratified};
use gtn_core::data::{DataSource, ImageSet, Part};
use gtn_core::io::artifact;
use gtn_core::ir::graph::{Graph, ValueId};
use gtn_core::ir::weights::Weights;
use gtn_core::measure::parity::correct_in_top;
use gtn_core::quant::histogram::ValueStats;
use gtn_core::quant::placement::{Placement, producer};
use gtn_core::text::format;
use gtn_core::{Error, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Draws calibration images; fixed, so that two exports use the same ones.
const SEED: u64 = 1;
/// Val images that accuracy is judged on, and that it is stated on, at most.
const JUDGED: usize = 5000;
/// One of so many val images is set aside to state the drop on.
const STATED_SHARE: usize = 3;
/// f32 values of all sites at once, at most (256 MiB a lane).
const MAX_VALUES: usize = 1 << 25;
/// Images of one run, at most.
const BATCH: usize = 16;

/// These are the images that choices are made on.
pub struct Calibration {
    /// Ranges come from these.
    pub images: ImageSet,
    /// Recipes are compared on these: others of val where it has enough.
    pub chosen_on: ImageSet,
    /// The gate judges by these: others still where there are as many, else all that are not set aside.
    pub judged_on: ImageSet,
    /// What the drop is stated on: they calibrate, choose and judge nothing. None of two val images or fewer.
    pub stated_on: ImageSet,
    /// For the manifest: SHA-256 of the calibration images' bytes.
    pub sha256: String,
    /// u8 image to input.
    /// The classes' names.
    pub labels: Vec<String>,
    preprocess: Preprocess,
    ort_lib: Option<PathBuf>,
}

/// These are fp32's logits `[n, classes]` on the images that candidates are judged and stated on.
pub struct Reference {
    /// On `judged_on`.
    pub judged: Vec<f32>,
    /// On `stated_on`.
    pub stated: Vec<f32>,
}

/// The parts of val.
struct Parts {
    images: ImageSet,
    chosen_on: ImageSet,
    judged_on: ImageSet,
    stated_on: ImageSet,
}

impl Parts {
    /// What states is cut off first; of the rest `count` images calibrate, as many others choose and all
    /// others judge, where there are enough.
    fn of(val: &ImageSet, count: usize) -> Self {
        let pick = |set: &ImageSet, n: usize| stratified(&set.labels, set.classes, n, SEED);
        let apart = |set: &ImageSet, chosen: &[u32]| {
            let others: Vec<u32> =
                (0..set.len() as u32).filter(|i| chosen.binary_search(i).is_err()).collect();
            (set.subset(chosen), set.subset(&others))
        };
        let (stated_on, rest) = apart(val, &pick(val, (val.len() / STATED_SHARE).min(JUDGED)));
        let (images, others) = apart(&rest, &pick(&rest, count));
        let all = |set: &ImageSet| set.subset(&pick(set, JUDGED));
        if others.len() < images.len() {
            return Self { chosen_on: images.clone(), images, judged_on: all(&rest), stated_on };
        }
        let (chosen_on, left) = apart(&others, &pick(&others, count));
        let judged_on = if left.len() < chosen_on.len() { all(&rest) } else { all(&left) };
        Self { images, chosen_on, judged_on, stated_on }
    }
}

impl Calibration {
    /// Loads the val part of `source`'s training images, as gtn-train cut it; `count` of them calibrate. Fails
    /// where size or classes are not the student's, the data are not those it was trained with, or val is
    /// empty.
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
        // Data of another name are meant to be others.
        if let Some(recorded) =
            student.train.data_sha256.as_ref().filter(|_| source.name() == student.train.data)
        {
            let owner = format!("{}'s training", student.file.arch.name);
            recorded.check(Part::Train, &train, (&source.name(), &owner, OWN_DATA))?;
        }
        let (found, wanted) = (source.label_names()?, &student.file.labels);
        if let Some((a, b)) = found.iter().zip(wanted).find(|(a, b)| a != b) {
            return Err(Error::usage(format!(
                "calibration data `{}` has a class `{a}` where the student has `{b}`: int8 is judged by top-1, so the \
                 classes must be the student's",
                source.name()
            )));
        }
        let val = val(&train, &source.name(), student)?;
        if val.is_empty() {
            let what = format!(
                "no images to calibrate on: the student was trained on all of `{}` (val_fraction 0, or too few \
                 images); give --calib with other data, or --precision fp32",
                source.name()
            );
            return Err(Error::usage(what));
        }
        let Parts { images, chosen_on, judged_on, stated_on } = Parts::of(&val, count);
        let sha256 = artifact::sha256(&images.all_pixels()?);
        Ok(Self {
            images,
            chosen_on,
            judged_on,
            stated_on,
            sha256,
            labels: student.file.labels.clone(),
            preprocess: student.file.preprocess.clone(),
            ort_lib,
        })
    }

    /// Returns what fp32 answers where candidates are judged and stated.
    pub fn reference(&self, fp32: &[u8]) -> Result<Reference> {
        let logits = |set: &ImageSet| self.feed(set).logits(fp32);
        Ok(Reference { judged: logits(&self.judged_on)?, stated: logits(&self.stated_on)? })
    }

    /// Fails if fp32 does not do on these images what train.json says of val: the images or their labels are
    /// not those the student was trained with. Data of another name has nothing to be compared with.
    pub fn check_labels(&self, fp32: &Reference, source: &DataSource, student: &ModelDir) -> Result<()> {
        let Some(val) = student.train.accuracy.get("val").filter(|_| source.name() == student.train.data)
        else {
            return Ok(());
        };
        let sets = [(&self.judged_on, &fp32.judged), (&self.stated_on, &fp32.stated)];
        let right = sets.map(|(set, logits)| correct_in_top(logits, &set.labels, set.classes, 1));
        let n: usize = sets.iter().map(|(set, _)| set.len()).sum();
        let top1 = right.iter().sum::<usize>() as f64 / n.max(1) as f64;
        // Five standard errors, and a point for images whose two best classes are equally likely.
        let slack = 5.0 * (val.top1 * (1.0 - val.top1) / n.max(1) as f64).sqrt() + 0.01;
        if (top1 - val.top1).abs() <= slack {
            return Ok(());
        }
        Err(Error::usage(format!(
            "calibration data `{}`: the trained network has {} top-1 on {} val images, train.json says {}: these are not \
             the images or labels it was trained with",
            source.name(),
            format::percent(top1),
            n,
            format::percent(val.top1)
        )))
    }

    /// Returns a set of images, ready to be run.
    pub fn feed<'a>(&'a self, set: &'a ImageSet) -> Feed<'a> {
        Feed { images: set, preprocess: &self.preprocess, batch: BATCH, ort_lib: self.ort_lib.clone() }
    }

    /// Returns what the network's values look like on the calibration images, by [`ValueId`]. A value that is
    /// not finite is an error that names its node.
    pub fn stats(&self, graph: &Graph, weights: &Weights, opset: i64) -> Result<Vec<Option<ValueStats>>> {
        let metadata = BTreeMap::new();
        let describe = Describe { name: "calibration", opset, metadata: &metadata };
        let sites: Vec<ValueId> =
            Placement::of(graph).sites().into_iter().filter(|v| *v != gtn_core::ir::graph::IMAGE).collect();
        let model = float::write_exposing(graph, weights, &describe, &sites)?;
        let feed = Feed { batch: batch_for(graph, &sites), ..self.feed(&self.images) };
        let lanes = feed.run(&[&model], |stats: &mut Vec<ValueStats>, _, n, outputs| {
            stats.resize(sites.len(), ValueStats::default());
            let inner = outputs.first().into_iter().flat_map(|o| o.iter().skip(1));
            for ((stats, &site), output) in stats.iter_mut().zip(&sites).zip(inner) {
                let [c, h, w] = graph.shape(site);
                let values = values(output)?.get(..n * c * h * w);
                let values =
                    values.ok_or_else(|| Error::Failed("a calibration run answers too little".into()))?;
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
        let [c, h, w] = graph.shape(gtn_core::ir::graph::IMAGE);
        for chunk in self.images.chunks(BATCH) {
            stats.add(&self.preprocess.normalise(&chunk?)?, c, h * w);
        }
        Ok(stats)
    }
}

fn batch_for(graph: &Graph, sites: &[ValueId]) -> usize {
    let per_image: usize = sites.iter().map(|&v| graph.shape(v).iter().product::<usize>()).sum();
    (MAX_VALUES / per_image.max(1)).clamp(1, BATCH)
}

/// Val as gtn-train cut it from the student's own data; of other data, the default share.
fn val(train: &ImageSet, name: &str, student: &ModelDir) -> Result<ImageSet> {
    let own = student.train.data == name;
    let rule = if own { student.split_rule()? } else { SplitRule::default() };
    Ok(rule.apply(train)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every image is one pixel, of its own value.
    fn val(n: u8) -> ImageSet {
        let input = gtn_core::ir::arch::Input { channels: 1, height: 1, width: 1 };
        let labels = (0..n).map(|i| u16::from(i % 4)).collect();
        ImageSet::new(input, 4, (0..n).collect(), labels).unwrap()
    }

    #[test]
    fn what_states_chooses_nothing() {
        for (n, count) in [(240, 20), (240, 60), (240, 100), (240, 500), (30, 4), (3, 5), (2, 1), (1, 1)] {
            let parts = Parts::of(&val(n), count);
            let ids = |set: &ImageSet| set.all_pixels().unwrap().iter().copied().collect::<BTreeSet<u8>>();
            let [images, chosen, judged, stated] =
                [&parts.images, &parts.chosen_on, &parts.judged_on, &parts.stated_on].map(ids);
            assert_eq!(stated.len(), usize::from(n) / 3, "{n} {count}");
            for (name, set) in [("images", &images), ("chosen", &chosen), ("judged", &judged)] {
                assert!(set.is_disjoint(&stated) && !set.is_empty(), "{n} {count}: {name}");
            }
            assert_eq!(images.len(), count.min(usize::from(n) - stated.len()));
            if (n, count) == (240, 20) || (n, count) == (30, 4) {
                assert!(
                    images.is_disjoint(&chosen) && judged.is_disjoint(&images) && judged.is_disjoint(&chosen)
                );
                assert_eq!(images.len() + chosen.len() + judged.len() + stated.len(), usize::from(n));
            }
        }
    }
}
