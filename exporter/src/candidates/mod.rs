//! The precisions that a bundle could ship in, each written and judged on val.

pub mod choose;
pub mod contest;
pub mod outlook;
pub mod timing;

use crate::int8::calibration::{Calibration, Reference};
use crate::int8::find::find;
use crate::int8::search::{Int8Recipe, Judged, Search, Stated, TriedRecipe, judge, state};
use crate::int8::sqnr;
use crate::int8::sqnr::LayerNoise;
use crate::onnx::float;
use crate::onnx::float::Describe;
use crate::plan::Int8Plan;
use gtn_core::device::Device;
use gtn_core::device::int8::Scheme;
use gtn_core::ir::graph::Graph;
use gtn_core::ir::weights::Weights;
use gtn_core::measure::parity::Tolerance;
use gtn_core::quant::equalise::Equalised;
use gtn_core::quant::norm_to_depthwise;
use gtn_core::{Error, Precision, Result};
use serde::Serialize;

/// This is one precision's model.
pub struct PrecisionCandidate {
    /// What it computes in.
    pub precision: Precision,
    /// model.onnx.
    pub model: Vec<u8>,
    /// How far another machine may be from its answers.
    pub tolerance: Tolerance,
    /// On the val images that the gate judges by, beside fp32; none for fp32 itself.
    pub judged: Option<Judged>,
    /// The same on those that chose nothing.
    pub stated: Option<Stated>,
    /// How int8 came about.
    pub int8: Option<Int8Report>,
}

/// This says in export-report.json how int8 came about.
#[derive(Debug, Clone, Serialize)]
pub struct Int8Report {
    /// The device's.
    pub scheme: Scheme,
    /// Images that ranges come from, and their hash.
    pub calibration_images: usize,
    /// SHA-256 of their pixels.
    pub calibration_sha256: String,
    /// What was chosen.
    pub recipe: Int8Recipe,
    /// What it was chosen from.
    pub tried: Vec<TriedRecipe>,
    /// Largest and smallest factor of each value that was equalised.
    pub equalised: Vec<EqualisedValue>,
    /// Layer by layer.
    pub layers: Vec<LayerNoise>,
}

/// These are one value's factors in short.
#[derive(Debug, Clone, Serialize)]
pub struct EqualisedValue {
    /// Its name.
    pub value: String,
    /// Smallest factor.
    pub smallest: f64,
    /// Largest factor.
    pub largest: f64,
}

/// This is what all candidates are made from.
pub struct Source<'a> {
    /// BatchNorm folded.
    pub graph: &'a Graph,
    /// BatchNorm folded.
    pub weights: &'a Weights,
    /// Written beside it.
    pub describe: &'a Describe<'a>,
    /// Made for.
    pub device: &'a Device,
    /// How int8 and fp16 are made and judged.
    pub plan: &'a Int8Plan,
}

impl Source<'_> {
    /// Makes the fp32 candidate, which there is nothing to judge of.
    pub fn fp32(&self) -> Result<PrecisionCandidate> {
        let model = float::write(self.graph, self.weights, self.describe)?;
        Ok(PrecisionCandidate {
            precision: Precision::Fp32,
            model,
            tolerance: Tolerance::FP32,
            judged: None,
            stated: None,
            int8: None,
        })
    }

    /// Makes the fp16 candidate and judges it beside fp32. It is an error if it loses more top-1 than the plan
    /// allows, or a weight is beyond fp16's range.
    pub fn fp16(&self, calibration: &Calibration, fp32: &Reference) -> Result<PrecisionCandidate> {
        let model = float::write_fp16(self.graph, self.weights, self.describe)?;
        let judged = judge(calibration, &model, fp32)?;
        if !judged.within(self.plan.asked.max_drop) {
            return Err(Error::Failed(format!(
                "fp16 loses {:.2} points of top-1 on {} val images, --max-drop allows {}",
                judged.drop, judged.images, self.plan.asked.max_drop
            )));
        }
        let stated = state(calibration, (Precision::Fp16, &model), fp32, &self.plan.asked)?;
        let tolerance = Tolerance::FP16;
        Ok(PrecisionCandidate {
            precision: Precision::Fp16,
            model,
            tolerance,
            judged: Some(judged),
            stated,
            int8: None,
        })
    }

    /// Makes the int8 candidate in the device's recipe. A profile without one is a usage error; it is an error
    /// too if every recipe loses more top-1 than the plan allows.
    pub fn int8(&self, calibration: &Calibration, fp32: &Reference) -> Result<PrecisionCandidate> {
        let Some(int8) = &self.device.int8 else {
            let what =
                format!("target {}: its profile has no [int8]: how to quantise for it?", self.device.name);
            return Err(Error::usage(what));
        };
        let scheme = Scheme { per_channel: !self.plan.per_tensor, ..int8.scheme() };
        let (graph, weights) = norm_to_depthwise::norm_to_depthwise(self.graph, self.weights)?;
        let mut search = Search::start(graph, weights, scheme, calibration, self.describe)?;
        let found = find(&mut search, &self.plan.asked, fp32)?;
        let stated = state(calibration, (Precision::Int8, &found.model), fp32, &self.plan.asked)?;
        let equalised = &search.prepared(found.recipe.equalise)?.equalised;
        let report = Int8Report {
            scheme,
            calibration_images: calibration.images.len(),
            calibration_sha256: calibration.sha256.clone(),
            recipe: found.recipe,
            tried: found.tried,
            equalised: equalised.iter().map(short).collect(),
            layers: sqnr::by_layer(&found.net, calibration, self.describe)?,
        };
        Ok(PrecisionCandidate {
            precision: Precision::Int8,
            model: found.model,
            tolerance: Tolerance::INT8,
            judged: Some(found.judged),
            stated,
            int8: Some(report),
        })
    }
}

fn short(e: &Equalised) -> EqualisedValue {
    EqualisedValue {
        value: e.value.clone(),
        smallest: e.factors.iter().copied().fold(f64::INFINITY, f64::min),
        largest: e.factors.iter().copied().fold(0.0, f64::max),
    }
}

/// Returns the flags that make the same bundle again without a search.
pub fn replay(candidate: &PrecisionCandidate, plan: &Int8Plan) -> String {
    let Some(report) = &candidate.int8 else { return format!("--precision {}", candidate.precision) };
    let on = |x: bool| if x { "on" } else { "off" };
    let r = &report.recipe;
    let fp32: Vec<&str> = r.fp32.iter().map(String::as_str).collect();
    let fp32 = if fp32.is_empty() { "none".to_owned() } else { fp32.join(",") };
    let per_tensor = if plan.per_tensor { " --per-tensor" } else { "" };
    let max_bad = plan.data.as_ref().and_then(|data| data.max_bad());
    let max_bad = max_bad.map(|share| format!(" --max-bad {share}")).unwrap_or_default();
    let calib = plan.data.as_ref().map(|data| format!(" --calib {data}{max_bad}")).unwrap_or_default();
    format!(
        "--precision int8{calib} --calib-images {} --calibration {} --equalise {} --bias-correction {} --keep-fp32 {fp32} \
         --max-drop {}{per_tensor}",
        plan.images,
        r.method.name(),
        on(r.equalise),
        on(r.bias_correction),
        plan.asked.max_drop
    )
}
