//! A trained supernet on its data: what a student costs those who ask for one, and how well its path answers val.

use crate::cli::SearchArgs;
use crate::commands::plan::OWN_DATA;
use crate::commands::train::SUPERNET;
use crate::engine::evaluate::evaluate;
use crate::engine::net::Mode;
use crate::engine::params::Params;
use crate::method::supernet::{PathNet, Supernet};
use gtn_core::artifacts::model_dir::ModelDir;
use gtn_core::data::preprocess::Preprocess;
use gtn_core::data::split::stratified;
use gtn_core::data::{DataSource, Dataset, ImageSet, Part};
use gtn_core::fleet::{Budget, Price};
use gtn_core::io::tensors::TensorMap;
use gtn_core::ir::cost::Cost;
use gtn_core::ir::weights::Weights;
use gtn_core::latency::{Prediction, Predictor};
use gtn_core::nets::pool::{GenericRecord, Path, Space};
use gtn_core::program::exit;
use gtn_core::program::progress::bars;
use gtn_core::{Error, Precision, Result};
use std::borrow::Cow;
use std::collections::BTreeMap;
use tch::{Device, Tensor};

/// Training images that BN statistics are taken from, and in how many batches.
const RECALIBRATION: usize = 1000;
const BATCH: usize = 250;
/// Students drawn, at most: who finds none among them within the limits gives up.
pub const DRAWS: usize = 20_000;

/// What a student may cost somebody.
#[derive(Debug, Clone, Default)]
pub struct Need {
    /// Multiply-accumulates per image.
    pub macs: Option<u64>,
    /// Trained parameters.
    pub params: Option<u64>,
    /// On the device, if it is for one. The smallest accuracy is no cost: it counts when the choice is made.
    pub budget: Budget,
    /// In which precisions it may be served, the preferred one first, and which of the judge's predictors tells each one's
    /// latency; empty where it is for no device.
    pub served: Vec<(Precision, usize)>,
}

/// What a student costs.
#[derive(Debug, Clone)]
pub struct Priced {
    /// On any device.
    pub cost: Cost,
    /// By predictor.
    pub latencies: Vec<Prediction>,
}

/// A judged student.
pub struct Judgement {
    /// What it costs.
    pub priced: Priced,
    /// Of the path in the supernet, on val.
    pub top1: f64,
}

/// A trained supernet on its data.
pub struct Judge {
    /// The network of all students.
    pub supernet: Supernet,
    tensors: Params,
    images: Vec<Tensor>,
    /// What they are judged on.
    pub val: ImageSet,
    preprocess: Preprocess,
    device: Device,
    predictors: Vec<Predictor>,
    /// Students drawn so far, for everybody alike: each is priced once.
    drawn: Vec<(Path, Priced)>,
    /// By pool id; none for a student whose answers are no numbers.
    pub seen: BTreeMap<String, Option<Judgement>>,
}

impl Need {
    /// What a student costs in the first precision that is within the budget; none where none is.
    pub fn price(&self, priced: &Priced) -> Option<Price> {
        self.prices(priced).find(|price| self.budget.fits(price))
    }

    /// What it costs in each precision.
    pub fn prices<'a>(&'a self, priced: &'a Priced) -> impl Iterator<Item = Price> + 'a {
        let known = self.served.iter().filter_map(|(p, i)| Some((*p, *priced.latencies.get(*i)?)));
        known.map(|(precision, latency)| Price::of(&priced.cost, precision, latency))
    }

    /// Whether a student is within it.
    pub fn fits(&self, priced: &Priced) -> bool {
        (self.served.is_empty() || self.price(priced).is_some())
            && self.macs.is_none_or(|most| priced.cost.macs <= most)
            && self.params.is_none_or(|most| priced.cost.params <= most)
    }
}

impl Judge {
    /// Opens the teacher's supernet, its data and val.
    pub fn open(args: &SearchArgs, device: Device, predictors: Vec<Predictor>) -> Result<Self> {
        let dir = ModelDir::read(&args.teacher)?;
        let path = args.teacher.join(SUPERNET);
        let train_path = args.teacher.join("train.json");
        let bad = |what: &str| Error::input(&train_path, what.to_owned());
        let pool = GenericRecord::of(&dir.train, &train_path)?.pool(&train_path)?;
        if dir.train.recipe["gtn"]["w_0"].as_f64().is_none_or(|w| w <= 0.0) {
            return Err(bad("was trained with gtn.w_0 = 0: whole paths never learnt, so none can be judged"));
        }
        let arch = &dir.file.arch;
        let supernet = Supernet::new(Space::whole(pool), arch.input, arch.classes);
        let (specs, _) = supernet.initial(0)?;
        let weights = Weights::from_map(TensorMap::read(&path)?, &specs, &path)?;
        let tensors = Params::new(specs, &weights, device, false)?;
        let source = args.data.parse::<DataSource>()?.tolerating(args.max_bad)?;
        let data = Dataset::open(&dir.train.tolerated(source)?, &mut bars("pictures"))?;
        if (data.train.input, data.train.classes) != (arch.input, arch.classes) || data.name != dir.train.data
        {
            let what = format!("--data is {}, the teacher was trained on {}", data.name, dir.train.data);
            return Err(Error::usage(what));
        }
        if let Some(recorded) = &dir.train.data_sha256 {
            let owner = format!("{}'s training", args.teacher.display());
            recorded.check(Part::Train, &data.train, (&args.data, &owner, OWN_DATA))?;
        }
        // The teacher's own val.
        let (train, val) = dir.split_rule()?.apply(&data.train)?;
        if val.is_empty() {
            return Err(bad("was trained with val_fraction = 0: there is nothing to judge students on"));
        }
        let chosen = train.subset(&stratified(&train.labels, train.classes, RECALIBRATION, 0));
        let preprocess = dir.file.preprocess;
        let shape = [-1, preprocess.channels as i64, preprocess.height as i64, preprocess.width as i64];
        let batch = |pixels: Result<Cow<'_, [u8]>>| {
            Ok(Tensor::from_slice(&preprocess.normalise(&pixels?)?).view(shape).to_device(device))
        };
        let images = chosen.chunks(BATCH).map(batch).collect::<Result<_>>()?;
        let seen = BTreeMap::new();
        Ok(Self { supernet, tensors, images, val, preprocess, device, predictors, drawn: Vec::new(), seen })
    }

    /// What a student costs, on each device that is asked for.
    pub fn price(&self, path: &Path) -> Result<Priced> {
        let graph = self.supernet.graph(path)?;
        let latencies = self.predictors.iter().map(|p| p.predict(&graph)).collect::<Result<_>>()?;
        Ok(Priced { cost: Cost::of(&graph), latencies })
    }

    /// The next random student within somebody's limits, from the `from`-th drawn on, and its place; none where none of
    /// [`DRAWS`] is.
    pub fn draw(&mut self, need: &Need, seed: u64, from: usize) -> Result<Option<(usize, Path)>> {
        for i in from..DRAWS {
            if i == self.drawn.len() {
                let path = self.supernet.space.pool.sample(seed, i as u64);
                let priced = self.price(&path)?;
                self.drawn.push((path, priced));
            }
            let (path, priced) = &self.drawn[i];
            if need.fits(priced) {
                return Ok(Some((i, path.clone())));
            }
        }
        Ok(None)
    }

    /// Judges a student on val, with statistics of its own; none where its answers are no numbers: it is named and left
    /// out.
    pub fn judge(&mut self, path: &Path) -> Result<Option<&Judgement>> {
        let id = self.supernet.space.pool.id(path);
        if !self.seen.contains_key(&id) {
            let net = self.supernet.path(path, &self.tensors)?;
            recalibrate(&net, &self.tensors, &self.images);
            let val = evaluate((&net.runner, &self.tensors), &self.val, &self.preprocess, self.device)?;
            let judged = match val {
                Ok(val) => Some(Judgement { priced: self.price(path)?, top1: val.top1 }),
                Err(odd) => {
                    exit::note(&format!("gtn-train: warning: {id} is left out: on val, {odd}"));
                    None
                }
            };
            self.seen.insert(id.clone(), judged);
        }
        Ok(self.seen.get(&id).and_then(Option::as_ref))
    }
}

/// A path's BN statistics become the plain mean over these batches: the shared ones are a blend of all
/// paths that ever used a block.
fn recalibrate(net: &PathNet, tensors: &Params, images: &[Tensor]) {
    tch::no_grad(|| {
        for (i, batch) in images.iter().enumerate() {
            let _ = net.runner.forward(tensors, batch, Mode::Recalibrate(1.0 / (i + 1) as f64));
        }
    });
}
