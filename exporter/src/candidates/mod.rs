//! The precisions that a bundle could ship in, each written and judged on val.

pub mod choose;
pub mod contest;
pub mod outlook;
pub mod timing;

use crate::cli::Int8Args;
use crate::int8::calibration::{Calibration, Reference};
use crate::int8::search::{Asked, Judged, Recipe, Search, Stated, Tried, judge, state};
use crate::int8::sqnr;
use crate::int8::sqnr::LayerNoise;
use crate::onnx::float;
use crate::onnx::float::Describe;
use gtn_core::device::Device;
use gtn_core::device::int8::Scheme;
use gtn_core::ir::graph::Graph;
use gtn_core::ir::weights::Weights;
use gtn_core::measure::parity::Tolerance;
use gtn_core::quant::Method;
use gtn_core::quant::equalise::Equalised;
use gtn_core::quant::norm_to_depthwise;
use gtn_core::{Error, Result};
use serde::Serialize;

/// One precision's model.
pub struct Candidate {
    /// `fp32`, `fp16`, `int8`.
    pub precision: &'static str,
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

/// For export-report.json.
#[derive(Debug, Clone, Serialize)]
pub struct Int8Report {
    /// The device's.
    pub scheme: Scheme,
    /// Images that ranges come from, and their hash.
    pub calibration_images: usize,
    /// SHA-256 of their pixels.
    pub calibration_sha256: String,
    /// What was chosen.
    pub recipe: Recipe,
    /// What it was chosen from.
    pub tried: Vec<Tried>,
    /// Largest and smallest factor of each value that was equalised.
    pub equalised: Vec<EqualisedValue>,
    /// Layer by layer.
    pub layers: Vec<LayerNoise>,
}

/// One value's factors in short.
#[derive(Debug, Clone, Serialize)]
pub struct EqualisedValue {
    /// Its name.
    pub value: String,
    /// Smallest factor.
    pub smallest: f64,
    /// Largest factor.
    pub largest: f64,
}

/// What all candidates are made from.
pub struct Source<'a> {
    /// BatchNorm folded.
    pub graph: &'a Graph,
    /// BatchNorm folded.
    pub weights: &'a Weights,
    /// Written beside it.
    pub describe: &'a Describe<'a>,
    /// Made for.
    pub device: &'a Device,
    /// `--max-drop`, ...
    pub args: &'a Int8Args,
}

impl Source<'_> {
    /// fp32: nothing to judge.
    pub fn fp32(&self) -> Result<Candidate> {
        let model = float::write(self.graph, self.weights, self.describe)?;
        Ok(Candidate {
            precision: "fp32",
            model,
            tolerance: Tolerance::FP32,
            judged: None,
            stated: None,
            int8: None,
        })
    }

    /// fp16, judged beside fp32.
    pub fn fp16(&self, calibration: &Calibration, fp32: &Reference) -> Result<Candidate> {
        let model = float::write_fp16(self.graph, self.weights, self.describe)?;
        let judged = judge(calibration, &model, fp32)?;
        if !judged.within(self.args.max_drop) {
            return Err(Error::Failed(format!(
                "fp16 loses {:.2} points of top-1 on {} val images, --max-drop allows {}",
                judged.drop, judged.images, self.args.max_drop
            )));
        }
        let stated = state(calibration, ("fp16", &model), fp32, self.args.max_drop)?;
        let tolerance = Tolerance::FP16;
        Ok(Candidate { precision: "fp16", model, tolerance, judged: Some(judged), stated, int8: None })
    }

    /// int8 in the device's recipe.
    pub fn int8(&self, calibration: &Calibration, fp32: &Reference) -> Result<Candidate> {
        let Some(int8) = &self.device.int8 else {
            let what =
                format!("target {}: its profile has no [int8]: how to quantise for it?", self.device.name);
            return Err(Error::usage(what));
        };
        let scheme = Scheme { per_channel: !self.args.per_tensor, ..int8.scheme() };
        let (graph, weights) = norm_to_depthwise::norm_to_depthwise(self.graph, self.weights)?;
        let mut search = Search::start(graph, weights, scheme, calibration, self.describe)?;
        let found = search.find(&asked(self.args)?, fp32)?;
        let stated = state(calibration, ("int8", &found.model), fp32, self.args.max_drop)?;
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
        Ok(Candidate {
            precision: "int8",
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

/// What the flags decide; a value that no recipe has is an error.
pub fn asked(args: &Int8Args) -> Result<Asked> {
    let method = match args.calibration.as_str() {
        "auto" => None,
        name => Some(Method::ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| {
            Error::usage(format!("--calibration {name}: wanted auto, minmax, percentile, entropy or mse"))
        })?),
    };
    if !(0.0..=100.0).contains(&args.max_drop) {
        return Err(Error::usage(format!("--max-drop {}: wanted 0 to 100 points", args.max_drop)));
    }
    let fp32 = match args.keep_fp32.as_str() {
        "auto" => None,
        "none" => Some(Default::default()),
        names => Some(names.split(',').map(|n| n.trim().to_owned()).collect()),
    };
    Ok(Asked {
        method,
        equalise: args.equalise.decided(),
        bias_correction: args.bias_correction.decided(),
        fp32,
        max_drop: args.max_drop,
    })
}

/// Flags that make the same bundle again without a search.
pub fn replay(candidate: &Candidate, args: &Int8Args) -> String {
    let Some(report) = &candidate.int8 else { return format!("--precision {}", candidate.precision) };
    let on = |x: bool| if x { "on" } else { "off" };
    let r = &report.recipe;
    let fp32: Vec<&str> = r.fp32.iter().map(String::as_str).collect();
    let fp32 = if fp32.is_empty() { "none".to_owned() } else { fp32.join(",") };
    let per_tensor = if args.per_tensor { " --per-tensor" } else { "" };
    let calib = args.calib.as_ref().map(|data| format!(" --calib {data}")).unwrap_or_default();
    format!(
        "--precision int8{calib} --calib-images {} --calibration {} --equalise {} --bias-correction {} --keep-fp32 {fp32} \
         --max-drop {}{per_tensor}",
        args.calib_images,
        r.method.name(),
        on(r.equalise),
        on(r.bias_correction),
        args.max_drop
    )
}
