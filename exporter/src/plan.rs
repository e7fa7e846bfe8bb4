//! What an export is to do, in the terms of the domain: every flag is judged before any work, since data are read, models
//! trained on and calibrated for minutes after this; and then nobody looks at the command line again.

use crate::cli::{ExportArgs, Int8Args, SamplesArg};
use crate::int8::search::{Asked, units};
use gtn_core::data::DataSource;
use gtn_core::device::{self, Device};
use gtn_core::ir::graph::Graph;
use gtn_core::quant::Method;
use gtn_core::{Error, Precision, Result};
use std::path::PathBuf;

/// This is an export to one device, whichever student it is of.
#[derive(Debug, Clone)]
pub struct ExportPlan {
    /// Where it is to run.
    pub device: Device,
    /// The precision that was asked for; none: the best of `precisions` is found.
    pub asked: Option<Precision>,
    /// To consider, the profile's favourite first; at least one.
    pub precisions: Vec<Precision>,
    /// Latency table to predict from.
    pub table: Option<PathBuf>,
    /// Where the test images are; none: where the student was trained.
    pub data: Option<DataSource>,
    /// How int8 (and fp16) are made and judged.
    pub int8: Int8Plan,
    /// Test images in the bundle, at least 1.
    pub eval_set: usize,
    /// Which pictures the bundle carries; none: what the data allow.
    pub samples: Option<SamplesArg>,
    /// ONNX Runtime's library; none: searched for.
    pub ort_lib: Option<PathBuf>,
    /// The export report is printed as JSON.
    pub json: bool,
}

/// This says how int8 (and fp16) are made and judged.
#[derive(Debug, Clone)]
pub struct Int8Plan {
    /// Training images whose val part calibrates and judges; none: those the student was trained on.
    pub data: Option<DataSource>,
    /// Calibration images, at least 1.
    pub images: usize,
    /// What is decided of the recipe, and what it may lose.
    pub asked: Asked,
    /// One weight scale per tensor instead of per output channel.
    pub per_tensor: bool,
}

impl ExportPlan {
    /// Makes a plan from the command line. A value that no export has is a usage error that names flag and
    /// value.
    pub fn resolve(args: &ExportArgs) -> Result<Self> {
        let mut int8 = Int8Plan::resolve(&args.int8)?;
        if args.eval_set == 0 {
            return Err(Error::usage("--eval-set is 0, wanted at least 1: a bundle proves itself"));
        }
        let data = args.data.as_ref().map(|data| data.parse::<DataSource>()).transpose()?;
        let data = data.map(|data| data.tolerating(args.max_bad)).transpose()?;
        if let Some(calib) = int8.data.take_if(|data| data.is_photos()) {
            int8.data = Some(calib.tolerating(args.max_bad)?);
        }
        for (flag, path) in [("--ort-lib", &args.ort_lib), ("--table", &args.table)] {
            if let Some(path) = path.as_ref().filter(|p| !p.is_file()) {
                return Err(Error::usage(format!("{flag} {}: no such file", path.display())));
            }
        }
        let target =
            args.target.as_deref().ok_or_else(|| Error::usage("wanted --target (gtn-export --help)"))?;
        let device = device::resolve(target)?;
        let asked = args.precision.decided();
        let precisions = precisions(asked, &device)?;
        Ok(Self {
            device,
            asked,
            precisions,
            table: args.table.clone(),
            data,
            int8,
            eval_set: args.eval_set,
            samples: args.samples,
            ort_lib: args.ort_lib.clone(),
            json: args.json,
        })
    }

    /// Returns the same plan with the precision decided.
    pub fn of_precision(&self, precision: Precision) -> Self {
        Self { asked: Some(precision), precisions: vec![precision], ..self.clone() }
    }

    /// Returns `auto`, or the precision that was asked for.
    pub fn asked_name(&self) -> &'static str {
        self.asked.map_or("auto", Precision::name)
    }
}

/// The precisions to consider, the profile's favourite first.
fn precisions(asked: Option<Precision>, device: &Device) -> Result<Vec<Precision>> {
    match asked {
        None => Ok(device.precisions.clone()),
        Some(one) if device.precisions.contains(&one) => Ok(vec![one]),
        Some(one) => {
            let have = Precision::list(&device.precisions);
            Err(Error::usage(format!("--precision {one}: target {}'s profile has {have}", device.name)))
        }
    }
}

impl Int8Plan {
    fn resolve(args: &Int8Args) -> Result<Self> {
        let method = match args.calibration.as_str() {
            "auto" => None,
            name => Some(Method::ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| {
                Error::usage(format!("--calibration {name}: wanted auto, minmax, percentile, entropy or mse"))
            })?),
        };
        if !(0.0..=100.0).contains(&args.max_drop) {
            return Err(Error::usage(format!("--max-drop {}: wanted 0 to 100 points", args.max_drop)));
        }
        if let Some(most) = args.max_class_drop.filter(|most| !(0.0..=100.0).contains(most)) {
            return Err(Error::usage(format!("--max-class-drop {most}: wanted 0 to 100 points")));
        }
        let fp32 = match args.keep_fp32.as_str() {
            "auto" => None,
            "none" => Some(Default::default()),
            names => Some(names.split(',').map(|n| n.trim().to_owned()).collect()),
        };
        if args.calib_images == 0 {
            return Err(Error::usage("--calib-images is 0, wanted at least 1"));
        }
        let asked = Asked {
            method,
            equalise: args.equalise.decided(),
            bias_correction: args.bias_correction.decided(),
            fp32,
            max_drop: args.max_drop,
            max_class_drop: args.max_class_drop,
        };
        let data = args.calib.as_ref().map(|data| data.parse()).transpose()?;
        Ok(Self { data, images: args.calib_images, asked, per_tensor: args.per_tensor })
    }

    /// Checks that `--keep-fp32`'s names are layers of the network; one that is not is a usage error.
    pub fn check_layers(&self, graph: &Graph) -> Result<()> {
        let Some(asked) = &self.asked.fp32 else { return Ok(()) };
        let known = units(graph);
        match asked.iter().find(|name| !known.contains(name)) {
            Some(name) => {
                let some = known.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
                Err(Error::usage(format!(
                    "--keep-fp32 {name}: the network has no such layer; it has {some}, ..."
                )))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    #[test]
    fn every_flag_is_judged_before_any_work() {
        let mut wrong = Vec::new();
        for (flags, wanted) in [
            ("--max-drop nan", "--max-drop NaN: wanted 0 to 100 points"),
            ("--max-drop=-1", "--max-drop -1: wanted 0 to 100 points"),
            ("--max-drop inf", "--max-drop inf: wanted"),
            ("--max-drop 101", "--max-drop 101: wanted"),
            ("--calibration best", "--calibration best: wanted auto, minmax"),
            ("--calib-images 0", "--calib-images is 0"),
            ("--calib nothing", "unknown data `nothing`"),
            ("--data nothing", "unknown data `nothing`"),
            ("--eval-set 0", "--eval-set is 0"),
            ("--ort-lib /no/lib.so", "--ort-lib /no/lib.so: no such file"),
            ("--table /no/t.json", "--table /no/t.json: no such file"),
        ] {
            let line = format!("gtn-export --target host --out x.gtn dir {flags}");
            let args = Cli::try_parse_from(line.split(' ')).unwrap().export;
            let found = ExportPlan::resolve(&args).err().map(|e| (e.exit_code(), e.to_string()));
            if !found.as_ref().is_some_and(|(code, text)| *code == 2 && text.contains(wanted)) {
                wrong.push(format!("{flags}: {found:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let args = Cli::try_parse_from("gtn-export --target host --out x.gtn dir".split(' ')).unwrap().export;
        ExportPlan::resolve(&args).unwrap();
    }
}
