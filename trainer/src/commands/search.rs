//! `gtn-train search`: NAS-derived students. A seeded evolutionary search over a trained supernet: every
//! candidate's BN statistics are recalibrated on training images, then it is judged on val, never on test.

use crate::cli::SearchArgs;
use crate::commands::plan::OWN_DATA;
use crate::commands::set_up;
use crate::commands::train::SUPERNET;
use crate::engine::evaluate::evaluate;
use crate::engine::net::Mode;
use crate::engine::params::Params;
use crate::method::supernet::{PathNet, Supernet};
use gtn_core::artifacts::model_dir::ModelDir;
use gtn_core::data::preprocess::Preprocess;
use gtn_core::data::split::stratified;
use gtn_core::data::{DataSource, Dataset, ImageSet, Part};
use gtn_core::html::page::Page;
use gtn_core::html::plot;
use gtn_core::io::artifact;
use gtn_core::io::tensors::TensorMap;
use gtn_core::ir::cost::Cost;
use gtn_core::ir::weights::Weights;
use gtn_core::latency::{Prediction, Predictor};
use gtn_core::nets::family::BlockChoice;
use gtn_core::nets::pool::{GenericRecord, Path, Space, StageSpace};
use gtn_core::program::exit;
use gtn_core::program::progress::{Progress, bars};
use gtn_core::rng::Rng;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use tch::{Device, Tensor};

/// Training images that BN statistics are taken from, and in how many batches.
const RECALIBRATION: usize = 1000;
const BATCH: usize = 250;
/// Draws to find a student within the limits before giving up.
const TRIES: u64 = 20_000;
/// Chance that a mutation redraws one position.
const MUTATION: f64 = 0.15;

/// A judged student.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Pool id.
    pub student: String,
    /// Multiply-accumulates per image.
    pub macs: u64,
    /// Trained parameters.
    pub params: u64,
    /// Predicted on the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Prediction>,
    /// Of the path in the supernet, on val.
    pub val_top1: f64,
}

/// What a student may cost.
struct Limits {
    macs: Option<u64>,
    params: Option<u64>,
    latency_ms: Option<f64>,
}

/// What a student costs.
struct Price {
    macs: u64,
    params: u64,
    latency: Option<Prediction>,
}

/// A trained supernet on its data.
struct Judge {
    supernet: Supernet,
    tensors: Params,
    images: Vec<Tensor>,
    val: ImageSet,
    preprocess: Preprocess,
    device: Device,
    limits: Limits,
    predictor: Option<Predictor>,
    /// None for a student whose answers are no numbers.
    seen: BTreeMap<String, Option<Judged>>,
}

/// `gtn-train search`
pub fn run(args: &SearchArgs, cuda: bool) -> Result<()> {
    artifact::check_writable(&args.out)?;
    page_of(&args.out)?.map_or(Ok(()), |html| artifact::check_writable(&html))?;
    let (device, _) = set_up(&args.device, cuda)?;
    if let Some(ms) = args.latency_ms.filter(|ms| !(ms.is_finite() && *ms > 0.0)) {
        return Err(Error::usage(format!("--latency-ms {ms}: wanted more than 0")));
    }
    let mut judge = Judge::open(args, device)?;
    let total = args.population() + args.generations() * (args.population() / 2);
    let mut bar = Progress::new("search", total as u64);
    let mut population: Vec<(Path, f64)> = Vec::new();
    for i in 0..args.population() {
        let path = judge.draw(args.seed, i as u64)?;
        population.extend(judge.judge(&path)?.map(|top1| (path, top1)));
        bar.tick(i as u64 + 1, &best_line(&population));
    }
    for generation in 0..args.generations() {
        population.sort_by(|a, b| b.1.total_cmp(&a.1));
        population.truncate((args.population() / 2).max(2));
        if population.is_empty() {
            break; // `report` says so
        }
        for i in 0..args.population() / 2 {
            let at = (generation * args.population() + i) as u64;
            let path = judge.child(&population, args.seed, at)?;
            population.extend(judge.judge(&path)?.map(|top1| (path, top1)));
            bar.tick(
                (args.population() + generation * (args.population() / 2) + i) as u64 + 1,
                &best_line(&population),
            );
        }
    }
    bar.finish(&format!("{} students judged on {} val images", judge.seen.len(), judge.val.len()));
    report(args, judge.seen.into_values().flatten().collect())
}

fn best_line(population: &[(Path, f64)]) -> String {
    let best = population.iter().map(|p| p.1).fold(0.0, f64::max);
    format!("best val top-1 {}", format::percent(best))
}

impl Judge {
    fn open(args: &SearchArgs, device: Device) -> Result<Self> {
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
        let limits = Limits { macs: args.macs, params: args.params, latency_ms: args.latency_ms };
        let predictor = args.latency.predictor()?;
        let seen = BTreeMap::new();
        Ok(Self { supernet, tensors, images, val, preprocess, device, limits, predictor, seen })
    }

    fn price(&mut self, path: &Path) -> Result<Price> {
        let net = self.supernet.path(path, &self.tensors)?;
        let graph = &net.runner.graph;
        let cost = Cost::of(graph);
        let latency = self.predictor.as_ref().map(|p| p.predict(graph)).transpose()?;
        Ok(Price { macs: cost.macs, params: cost.params, latency })
    }

    fn fits(&mut self, path: &Path) -> Result<bool> {
        let price = self.price(path)?;
        let Limits { macs, params, latency_ms } = self.limits;
        let slow = price.latency.zip(latency_ms).is_some_and(|(found, most)| found.ms > most);
        Ok(!slow && macs.is_none_or(|m| price.macs <= m) && params.is_none_or(|p| price.params <= p))
    }

    /// A random student within the limits.
    fn draw(&mut self, seed: u64, index: u64) -> Result<Path> {
        for i in 0..TRIES {
            let path = self.supernet.space.pool.sample(seed, index * TRIES + i);
            if self.fits(&path)? {
                return Ok(path);
            }
        }
        Err(Error::usage(format!("no student of {TRIES} drawn is within {}", self.limits)))
    }

    /// Crossover of two of the fittest, mutated, within the limits.
    fn child(&mut self, fittest: &[(Path, f64)], seed: u64, at: u64) -> Result<Path> {
        for i in 0..TRIES {
            let mut rng = Rng::new(seed, "search", at * TRIES + i);
            let parent = |rng: &mut Rng| &fittest[rng.below(fittest.len() as u64) as usize].0;
            let (a, b) = (parent(&mut rng).clone(), parent(&mut rng).clone());
            let stages = self.supernet.space.stages.iter().zip(a.0.iter().zip(&b.0));
            let path = Path(stages.map(|(s, (a, b))| cross(s, a, b, &mut rng)).collect());
            if self.fits(&path)? {
                return Ok(path);
            }
        }
        self.draw(seed, at + 1_000_000)
    }

    /// Val top-1 with statistics of its own; none where its answers are no numbers: it is named and left out.
    fn judge(&mut self, path: &Path) -> Result<Option<f64>> {
        let id = self.supernet.space.pool.id(path);
        if let Some(known) = self.seen.get(&id) {
            return Ok(known.as_ref().map(|k| k.val_top1));
        }
        let net = self.supernet.path(path, &self.tensors)?;
        recalibrate(&net, &self.tensors, &self.images);
        let val = evaluate((&net.runner, &self.tensors), &self.val, &self.preprocess, self.device)?;
        let val_top1 = match val {
            Ok(val) => val.top1,
            Err(odd) => {
                exit::note(&format!("gtn-train: warning: {id} is left out: on val, {odd}"));
                self.seen.insert(id, None);
                return Ok(None);
            }
        };
        let Price { macs, params, latency } = self.price(path)?;
        self.seen.insert(id.clone(), Some(Judged { student: id, macs, params, latency, val_top1 }));
        Ok(Some(val_top1))
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

/// One stage of a child: depth and choices from either parent, some redrawn.
fn cross(stage: &StageSpace, a: &[BlockChoice], b: &[BlockChoice], rng: &mut Rng) -> Vec<BlockChoice> {
    let pick = |rng: &mut Rng, n: usize| rng.below(n as u64) as usize;
    let mut depth = if pick(rng, 2) == 0 { a.len() } else { b.len() };
    if rng.unit_f64() < MUTATION {
        depth = stage.depths[pick(rng, stage.depths.len())];
    }
    let choice = |(i, known): (usize, &Vec<BlockChoice>)| {
        let (first, second) = if pick(rng, 2) == 0 { (a, b) } else { (b, a) };
        let inherited = first.get(i).or_else(|| second.get(i)).copied();
        match inherited {
            Some(c) if rng.unit_f64() >= MUTATION => c,
            _ => known[pick(rng, known.len())],
        }
    };
    stage.choices.iter().take(depth).enumerate().map(choice).collect()
}

impl std::fmt::Display for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let limits = [
            self.macs.map(|m| format!("--macs {m}")),
            self.params.map(|p| format!("--params {p}")),
            self.latency_ms.map(|ms| format!("--latency-ms {ms}")),
        ];
        f.write_str(&limits.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl Judged {
    /// Milliseconds on the target where one is named, else millions of MACs.
    fn cost(&self) -> f64 {
        self.latency.map_or(self.macs as f64 / 1e6, |l| l.ms)
    }
}

/// Those that no cheaper one beats.
pub fn pareto(judged: &[Judged]) -> Vec<Judged> {
    let mut sorted = judged.to_vec();
    sorted.sort_by(|a, b| a.cost().total_cmp(&b.cost()).then(b.val_top1.total_cmp(&a.val_top1)));
    let mut front: Vec<Judged> = Vec::new();
    for j in sorted {
        if front.last().is_none_or(|best| j.val_top1 > best.val_top1) {
            front.push(j);
        }
    }
    front
}

fn report(args: &SearchArgs, judged: Vec<Judged>) -> Result<()> {
    let front = pareto(&judged);
    let best = front.last().cloned().ok_or_else(|| Error::Failed("no student was judged".into()))?;
    let json = serde_json::json!({
        "schema": "gtn.search/1",
        "student": best.student,
        "limits": {"macs": args.macs, "params": args.params, "latency_ms": args.latency_ms},
        "target": args.latency.target,
        "seed": args.seed,
        "pareto": front,
        "judged": judged,
    });
    artifact::write_json(&args.out, &json)?;
    let table = table(&front);
    let on_front = |j: &Judged| front.iter().any(|f| f.student == j.student);
    let point = |j: &Judged| plot::Point {
        label: if on_front(j) {
            j.student.split(':').nth(1).unwrap_or_default().to_owned()
        } else {
            String::new()
        },
        x: j.cost(),
        y: 100.0 * j.val_top1,
        interval: None,
    };
    let points: Vec<_> = judged.iter().map(point).collect();
    let mut page = Page::new("Search", &format!("{} students of {}", judged.len(), args.teacher.display()));
    page.table(&table);
    let x_label = if best.latency.is_some() { "latency, ms" } else { "MACs, millions" };
    let svg = plot::scatter(&points, x_label, "val top-1, %", "accuracy against cost");
    page.plot(&svg, "Every student judged; those on the Pareto front have names.");
    let mut told = format!("{}\n{}\n", table.render(), args.out.display());
    if let Some(html) = page_of(&args.out)? {
        artifact::write_atomic(&html, page.finish().as_bytes())?;
        told.push_str(&format!("{}\n", html.display()));
    }
    exit::print(&told)
}

/// Where the page goes: beside the file, if that is one.
fn page_of(out: &std::path::Path) -> Result<Option<std::path::PathBuf>> {
    let html = out.with_extension("html");
    if html == out {
        return Err(Error::usage(format!(
            "--out {}: wanted a name for JSON; the page is its own",
            out.display()
        )));
    }
    Ok((!artifact::is_stream(out)?).then_some(html))
}

/// The front, most accurate first.
fn table(front: &[Judged]) -> Table {
    let mut table = Table::new(["student", "params", "MACs", "latency", "val top-1 in the supernet"]);
    for j in front.iter().rev() {
        table.row([
            j.student.clone(),
            format::count(j.params),
            format::count(j.macs),
            j.latency.map_or("-".into(), |l| l.to_string()),
            format::percent(j.val_top1),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::nets::pool::named;

    #[test]
    fn the_front_holds_what_nothing_cheaper_beats() {
        let j = |name: &str, macs, val_top1| Judged {
            student: name.into(),
            macs,
            params: 1,
            latency: None,
            val_top1,
        };
        let all = [j("a", 5, 0.5), j("b", 3, 0.6), j("c", 9, 0.7), j("d", 9, 0.65), j("e", 12, 0.7)];
        let front: Vec<String> = pareto(&all).into_iter().map(|j| j.student).collect();
        assert_eq!(front, ["b", "c"]);
    }

    #[test]
    fn children_stay_in_the_space() {
        let space = Space::whole(named("mbv2-mini").unwrap());
        let mut rng = Rng::new(1, "t", 0);
        for i in 0..300 {
            let (a, b) = (space.pool.sample(1, i), space.pool.sample(2, i));
            for ((stage, a), b) in space.stages.iter().zip(&a.0).zip(&b.0) {
                let child = cross(stage, a, b, &mut rng);
                assert!(stage.depths.contains(&child.len()));
                assert!(child.iter().zip(&stage.choices).all(|(c, known)| known.contains(c)));
            }
        }
    }
}
