//! The int8 recipe: which calibration, with or without equalisation and bias correction, which layers
//! stay in fp32. What the user leaves open is tried, and judged by how far the answers move on val.

use crate::int8::calibration::{Calibration, Reference};
use crate::onnx::float;
use crate::onnx::float::Describe;
use crate::onnx::qdq;
use gtn_core::data::ImageSet;
use gtn_core::device::int8::Scheme;
use gtn_core::ir::graph::Graph;
use gtn_core::ir::weights::Weights;
use gtn_core::measure::parity::correct_in_top;
use gtn_core::measure::shares::paired_share_ci95;
use gtn_core::quant::equalise::{Equalised, equalise};
use gtn_core::quant::histogram::ValueStats;
use gtn_core::quant::placement::quantisable;
use gtn_core::quant::{Int8Network, Method};
use gtn_core::text::format;
use gtn_core::{Error, Precision, Result};
use serde::Serialize;
use std::collections::BTreeSet;

/// This is what the user decided; the rest is found.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Calibration method.
    pub method: Option<Method>,
    /// Cross-layer equalisation.
    pub equalise: Option<bool>,
    /// Bias correction.
    pub bias_correction: Option<bool>,
    /// Layers in fp32, exactly these.
    pub fp32: Option<BTreeSet<String>>,
    /// Top-1 that int8 may lose on val, in points.
    pub max_drop: f64,
    /// What one class may lose, in points; none: a large loss is a warning.
    pub max_class_drop: Option<f64>,
}

/// A recipe is all that makes an int8 network out of a trained one and its calibration images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Int8Recipe {
    /// Calibration method.
    pub method: Method,
    /// Cross-layer equalisation.
    pub equalise: bool,
    /// Bias correction.
    pub bias_correction: bool,
    /// Layers in fp32.
    pub fp32: BTreeSet<String>,
}

/// This is a recipe that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct TriedRecipe {
    /// Which.
    #[serde(flatten)]
    pub recipe: Int8Recipe,
    /// Mean Kullback-Leibler divergence of its answers from fp32's, nats.
    pub divergence: f64,
}

/// This is the accuracy on val, of fp32 and of what is to replace it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Judged {
    /// Images.
    pub images: usize,
    /// Top-1 of fp32, a share.
    pub fp32_top1: f64,
    /// Top-1 of the candidate.
    pub top1: f64,
    /// Points lost.
    pub drop: f64,
}

impl Judged {
    /// Returns whether no more than `max_drop` points are lost; it never is where either is NaN.
    pub fn within(&self, max_drop: f64) -> bool {
        self.drop <= max_drop
    }
}

/// This is the accuracy on images that chose nothing, with how sure it is: what a bundle says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stated {
    /// What was found.
    #[serde(flatten)]
    pub found: Judged,
    /// 95 % interval of the points lost, on the same images (Bonett and Price 2012).
    pub drop_ci95: [f64; 2],
    /// The class that lost most, by the interval's lower end: a mean may hide one that died.
    pub worst_class: Option<ClassDrop>,
}

/// This is what one class lost on images that chose nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassDrop {
    /// Its number.
    pub class: u16,
    /// Images of it.
    pub images: usize,
    /// Points of its recall lost.
    pub drop: f64,
    /// 95 % interval of that.
    pub drop_ci95: [f64; 2],
}

/// Points that a class may lose before it is told of.
const CLASS_DROP: f64 = 5.0;

impl ClassDrop {
    /// Returns what is to be told of it: more than 5 points lost, and the interval leaves no doubt that some are.
    /// `labels` are the classes' names.
    pub fn warning(&self, labels: &[String]) -> Option<String> {
        let [low, high] = self.drop_ci95;
        let name = labels.get(usize::from(self.class)).map_or("?", String::as_str);
        (self.drop > CLASS_DROP && low > 0.0).then(|| {
            format!(
                "class `{name}` loses {:.2} points (95 % CI {low:.2} to {high:.2}) on {} val images that chose nothing",
                self.drop, self.images
            )
        })
    }
}

impl Stated {
    /// Returns it as a sentence:
    /// `int8: 91.20 % on 600 val images that chose nothing, -0.17 points beside fp32 (95 % CI -0.90 to +0.55)`.
    pub fn sentence(&self, precision: Precision) -> String {
        let [low, high] = self.drop_ci95;
        format!(
            "{precision}: {} on {} val images that chose nothing, {:+.2} points beside fp32 (95 % CI {:+.2} to {:+.2})",
            format::percent(self.found.top1),
            self.found.images,
            0.0 - self.found.drop,
            -high,
            -low
        )
    }
}

/// This is a network and what calibration saw in it.
pub struct Prepared {
    /// Folded.
    pub graph: Graph,
    /// Folded, perhaps equalised.
    pub weights: Weights,
    /// By value.
    pub stats: Vec<Option<ValueStats>>,
    /// Values whose channels were evened out.
    pub equalised: Vec<Equalised>,
}

/// This is the search's ground: one network, its images, its fp32 answers.
pub struct Search<'a> {
    /// Val images.
    pub calibration: &'a Calibration,
    /// The device's.
    pub scheme: Scheme,
    /// For the files that are tried.
    pub describe: &'a Describe<'a>,
    /// Without and, once asked for, with equalisation.
    prepared: [Option<Prepared>; 2],
    /// fp32 logits on `calibration.chosen_on`.
    reference: Vec<f32>,
    classes: usize,
}

impl<'a> Search<'a> {
    /// Looks at the calibration images through the fp32 network (BatchNorm-free: see
    /// `norm_to_depthwise`).
    pub fn start(
        graph: Graph,
        weights: Weights,
        scheme: Scheme,
        calibration: &'a Calibration,
        describe: &'a Describe<'a>,
    ) -> Result<Self> {
        let fp32 = float::write(&graph, &weights, describe)?;
        let reference = calibration.feed(&calibration.chosen_on).logits(&fp32)?;
        let [classes, ..] = graph.shape(graph.output);
        let stats = calibration.stats(&graph, &weights, describe.opset)?;
        let plain = Prepared { graph, weights, stats, equalised: Vec::new() };
        Ok(Self { calibration, scheme, describe, prepared: [Some(plain), None], reference, classes })
    }

    /// Prepares the equalised network, once.
    pub(super) fn equalise(&mut self) -> Result<()> {
        if let ([Some(plain), None], opset) = (&self.prepared, self.describe.opset) {
            let mut weights = plain.weights.clone();
            let equalised = equalise(&plain.graph, &mut weights, &plain.stats)?;
            let stats = self.calibration.stats(&plain.graph, &weights, opset)?;
            let graph = plain.graph.clone();
            self.prepared[1] = Some(Prepared { graph, weights, stats, equalised });
        }
        Ok(())
    }

    /// Returns the network that a recipe starts from. It is an error if equalisation was not prepared.
    pub fn prepared(&self, equalised: bool) -> Result<&Prepared> {
        let found = self.prepared.get(usize::from(equalised)).and_then(Option::as_ref);
        found.ok_or_else(|| Error::Failed("equalisation was not prepared".into()))
    }

    /// Builds the network that a recipe makes.
    pub fn build(&self, recipe: &Int8Recipe) -> Result<Int8Network> {
        let p = self.prepared(recipe.equalise)?;
        let kind = self.scheme.activations;
        let range = |s: &Option<ValueStats>| recipe.method.range(&s.as_ref()?.histogram, kind);
        let ranges = p.stats.iter().map(range).collect();
        let mut net = Int8Network::build(&p.graph, &p.weights, &self.scheme, &ranges, &recipe.fp32)?;
        if recipe.bias_correction {
            let means: Vec<_> = p.stats.iter().map(|s| s.as_ref().map(ValueStats::means)).collect();
            net.correct_biases(&means)?;
        }
        Ok(net)
    }

    /// Writes a recipe's file.
    pub fn model(&self, recipe: &Int8Recipe) -> Result<Vec<u8>> {
        qdq::write(&self.build(recipe)?, self.describe)
    }

    /// Returns how far a recipe's answers are from fp32's, in nats.
    pub fn divergence(&self, recipe: &Int8Recipe) -> Result<f64> {
        let model = self.model(recipe)?;
        let logits = self.calibration.feed(&self.calibration.chosen_on).logits(&model)?;
        Ok(divergence(&self.reference, &logits, self.classes))
    }

    /// Returns a recipe with how far its answers are from fp32's. It is an error if that is not finite.
    pub(super) fn attempt(&self, recipe: Int8Recipe) -> Result<TriedRecipe> {
        let divergence = self.divergence(&recipe)?;
        if !divergence.is_finite() {
            return Err(Error::Failed(format!("int8: the answers' divergence from fp32's is {divergence}")));
        }
        Ok(TriedRecipe { recipe, divergence })
    }

    /// Returns a recipe's accuracy on val beside fp32's, whose logits are given.
    pub fn judge(&self, recipe: &Int8Recipe, fp32: &Reference) -> Result<Judged> {
        judge(self.calibration, &self.model(recipe)?, fp32)
    }
}

/// Returns a model's top-1 on the val images that judge, beside fp32's.
pub fn judge(calibration: &Calibration, model: &[u8], fp32: &Reference) -> Result<Judged> {
    let set = &calibration.judged_on;
    let logits = calibration.feed(set).logits(model)?;
    Ok(beside(set, &fp32.judged, &logits))
}

/// Returns the top-1 of what is to ship on the val images that chose nothing; `None` where there are none. It
/// is an error if the interval lies above what was asked for as a whole, of all images or of one class: the gate was
/// passed by luck.
pub fn state(
    calibration: &Calibration,
    (precision, model): (Precision, &[u8]),
    fp32: &Reference,
    asked: &Asked,
) -> Result<Option<Stated>> {
    let set = &calibration.stated_on;
    if set.is_empty() {
        return Ok(None);
    }
    let logits = calibration.feed(set).logits(model)?;
    let stated = stated(set, &fp32.stated, &logits);
    let [low, high] = stated.drop_ci95;
    let max_drop = asked.max_drop;
    let too_much = |class: &ClassDrop| asked.max_class_drop.is_some_and(|most| class.drop_ci95[0] > most);
    if let Some(class) = stated.worst_class.filter(too_much) {
        let [low, high] = class.drop_ci95;
        let name = calibration.labels.get(usize::from(class.class)).map_or("?", String::as_str);
        return Err(Error::Failed(format!(
            "{precision}: class `{name}` loses {:.2} points (95 % CI {low:.2} to {high:.2}) on {} val images that chose \
             nothing, --max-class-drop allows {}",
            class.drop,
            class.images,
            asked.max_class_drop.unwrap_or_default()
        )));
    }
    if low <= max_drop {
        return Ok(Some(stated));
    }
    Err(Error::Failed(format!(
        "{precision} loses {:.2} points of top-1 (95 % CI {low:.2} to {high:.2}) on {} val images that chose nothing, \
         --max-drop allows {max_drop}",
        stated.found.drop, stated.found.images
    )))
}

fn beside(set: &ImageSet, fp32: &[f32], logits: &[f32]) -> Judged {
    let share = |l: &[f32]| correct_in_top(l, &set.labels, set.classes, 1) as f64 / set.len().max(1) as f64;
    let (fp32_top1, top1) = (share(fp32), share(logits));
    Judged { images: set.len(), fp32_top1, top1, drop: 100.0 * (fp32_top1 - top1) }
}

fn stated(set: &ImageSet, fp32: &[f32], logits: &[f32]) -> Stated {
    let rows = |l: &[f32]| -> Vec<bool> {
        let right = |(row, label): (&[f32], &u16)| correct_in_top(row, &[*label], set.classes, 1) == 1;
        l.chunks(set.classes.max(1)).zip(&set.labels).map(right).collect()
    };
    let pairs: Vec<(bool, bool)> = rows(fp32).into_iter().zip(rows(logits)).collect();
    let only = |which: (bool, bool)| pairs.iter().filter(|p| **p == which).count();
    let (_, ci) = paired_share_ci95(only((true, false)), only((false, true)), set.len());
    let of_class = |class: u16| {
        let of = || pairs.iter().zip(&set.labels).filter(move |(_, label)| **label == class);
        let only = |which: (bool, bool)| of().filter(|(p, _)| **p == which).count();
        let images = of().count();
        let (drop, ci) = paired_share_ci95(only((true, false)), only((false, true)), images);
        ClassDrop { class, images, drop: 100.0 * drop, drop_ci95: ci.map(|x| 100.0 * x) }
    };
    let classes = (0u16..).take(set.classes).map(of_class).filter(|c| c.images > 0);
    let worst_class = classes.max_by(|a, b| a.drop_ci95[0].total_cmp(&b.drop_ci95[0]));
    Stated { found: beside(set, fp32, logits), drop_ci95: ci.map(|x| 100.0 * x), worst_class }
}

/// Returns the mean over images of KL(softmax(reference) || softmax(logits)), in nats.
pub fn divergence(reference: &[f32], logits: &[f32], classes: usize) -> f64 {
    let log_softmax = |row: &[f32]| {
        let top = row.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(f64::from(x)));
        let sum = row.iter().map(|&x| (f64::from(x) - top).exp()).sum::<f64>().ln() + top;
        row.iter().map(|&x| f64::from(x) - sum).collect::<Vec<f64>>()
    };
    let one = |(p, q): (&[f32], &[f32])| {
        log_softmax(p).iter().zip(log_softmax(q)).map(|(p, q)| p.exp() * (p - q)).sum::<f64>()
    };
    let rows = reference.len() / classes.max(1);
    reference.chunks(classes).zip(logits.chunks(classes)).map(one).sum::<f64>() / rows.max(1) as f64
}

/// Returns the names of the nodes that could stay in fp32, in order.
pub fn units(graph: &Graph) -> Vec<String> {
    graph.nodes.iter().filter(|n| quantisable(&n.op)).map(|n| n.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_by_hand() {
        assert_eq!(divergence(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], 3), 0.0);
        // A shift of all logits changes nothing; p = (1/2, 1/2) against q = (1/4, 3/4).
        let found = divergence(&[0.0, 0.0, 5.0, 6.0], &[0.0, 3f32.ln(), 7.0, 8.0], 2);
        let wanted = (0.5 * 2f64.ln() + 0.5 * (2.0 / 3.0f64).ln()) / 2.0;
        assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
    }

    #[test]
    fn a_drop_is_within_or_not_and_nan_never_is() {
        let judged = |drop| Judged { images: 1, fp32_top1: 1.0, top1: 1.0, drop };
        assert!(judged(0.5).within(0.5) && !judged(0.6).within(0.5));
        assert!(!judged(f64::NAN).within(0.5) && !judged(0.1).within(f64::NAN));
    }

    /// Ten images: fp32 has all right, int8 loses two of them.
    #[test]
    fn what_is_stated_by_hand() {
        let input = gtn_core::ir::arch::Input { channels: 1, height: 1, width: 1 };
        let set = ImageSet::new(input, 2, vec![0; 10], vec![0; 10]).unwrap();
        let fp32 = [1.0, 0.0].repeat(10);
        let int8: Vec<f32> = (0..10).flat_map(|i| if i < 2 { [0.0, 1.0] } else { [1.0, 0.0] }).collect();
        let found = stated(&set, &fp32, &int8);
        assert_eq!((found.found.images, found.found.fp32_top1, found.found.top1), (10, 1.0, 0.8));
        let (_, wanted) = paired_share_ci95(2, 0, 10);
        assert_eq!(found.drop_ci95, wanted.map(|x| 100.0 * x));
        let class = found.worst_class.unwrap();
        assert_eq!((class.class, class.images, class.drop), (0, 10, 20.0));
        assert_eq!(class.drop_ci95, found.drop_ci95);
        assert_eq!(class.warning(&["a".into()]), None, "2 of 10 may be chance");
        let sure = ClassDrop { drop_ci95: [1.0, 39.0], ..class };
        assert!(sure.warning(&["a".into()]).unwrap().starts_with("class `a` loses 20.00 points"));
        let text = found.sentence(Precision::Int8);
        assert!(
            text.starts_with("int8: 80.00 % on 10 val images that chose nothing, -20.00 points"),
            "{text}"
        );
    }
}
