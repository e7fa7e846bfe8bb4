//! `teacher` and `student`: from arguments to trained folders.

use crate::cli::{KdMethod, StudentArgs, TeacherArgs, TeacherMethod};
use crate::commands::finish::{finish, finish_again};
use crate::commands::init::Init;
use crate::commands::plan::{Output, Plan};
use crate::commands::save;
use crate::commands::save::{Diverged, Finished, Judges, Saved};
use crate::commands::teacher::Opened;
use crate::commands::{resolve_recipe, set_up, warn_of_one_class, warn_of_pictures};
use crate::engine::device;
use crate::engine::learner::Learner;
use crate::engine::loader::Source;
use crate::engine::run_dir::{Config, NUMERICS_VERSION, RunDir};
use crate::engine::train_loop::{Outcome, Training};
use crate::method::classifiers::{Classifiers, Lesson};
use crate::method::generic::Generic;
use crate::method::teacher::Teacher;
use crate::recipe::{ClassWeights, Recipe, Sampling};
use gtn_core::artifacts::model_dir::{ARCH_SCHEMA, ArchFile, TRAIN_SCHEMA};
use gtn_core::data::feed::Feed;
use gtn_core::data::preprocess::{Preprocess, Resize};
use gtn_core::data::{DataSha256, DataSource, Dataset, ImageSet};
use gtn_core::fleet::record::FleetSearch;
use gtn_core::io::artifact;
use gtn_core::ir::graph::Graph;
use gtn_core::ir::weights::Weights;
use gtn_core::nets;
use gtn_core::nets::pool::{self, GenericRecord, Pools, Space};
use gtn_core::program::progress::bars;
use gtn_core::program::signals::Signals;
use gtn_core::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tch::Device;

/// The supernet that a generic teacher was trained with: what `search` starts from.
pub const SUPERNET: &str = "supernet.safetensors";

/// `gtn-train teacher`
pub fn teacher(args: &TeacherArgs, cuda: bool) -> Result<()> {
    let space = match (args.method, &args.pool, &args.student) {
        (TeacherMethod::Vanilla, None, None) => None,
        (TeacherMethod::Gtn, Some(name), None) => Some(Space::whole(pool::resolve(name)?)),
        (TeacherMethod::Sftn, of, Some(id)) => {
            let id = id.strip_prefix("pool:").unwrap_or(id);
            let pool = match of {
                Some(of) => pool::resolve(of)?,
                None => pool::named(id.split(':').next().unwrap_or_default())?,
            };
            let path = pool.parse(id)?;
            Some(Space::single(pool, &path))
        }
        (TeacherMethod::Vanilla, ..) => {
            return Err(Error::usage("--method vanilla takes neither --pool nor --student"));
        }
        (TeacherMethod::Gtn, ..) => {
            return Err(Error::usage("--method gtn wants --pool POOL (and no --student)"));
        }
        (TeacherMethod::Sftn, ..) => {
            return Err(Error::usage(
                "--method sftn wants --student pool:ID (and --pool FILE.toml for a pool of your own)",
            ));
        }
    };
    let archs = std::slice::from_ref(&args.teacher);
    let (method, kd) = (args.method.name(), KdMethod::None);
    let mut pools = Pools::default();
    space.iter().try_for_each(|space| pools.add(space.pool.clone()))?;
    train(Plan { command: "teacher", method, archs, run: &args.run, teacher: None, kd, space, pools }, cuda)
}

/// `gtn-train student`
pub fn student(args: &StudentArgs, cuda: bool) -> Result<()> {
    let teacher = match (args.kd, &args.teacher.teacher) {
        (KdMethod::None, _) => None,
        (_, Some(_)) => Some(&args.teacher),
        (kd, None) => {
            let kd = kd.name();
            return Err(Error::usage(format!("--kd {kd} wants --teacher DIR (or say --kd none)")));
        }
    };
    let mut pools = Pools::with(&args.pool)?;
    if let Some(dir) = args.teacher.teacher.as_deref().filter(|path| path.is_dir()) {
        // A generic teacher's students need no --pool.
        let path = dir.join("train.json");
        pools.add_of(&artifact::read_schema(&path, TRAIN_SCHEMA)?, &path)?;
    }
    let chosen = args.fleet.as_deref().map(|path| chosen(path, &pools)).transpose()?;
    let (method, archs) = (args.kd.name(), chosen.as_deref().unwrap_or(&args.arch));
    let (kd, run) = (args.kd, &args.run);
    train(Plan { command: "student", method, archs, run, teacher, kd, space: None, pools }, cuda)
}

/// The students that a search chose for a fleet, as `--arch` takes them.
fn chosen(path: &Path, pools: &Pools) -> Result<Vec<String>> {
    let arch = |id: &String| match pools.find(id) {
        Ok(_) => Ok(format!("pool:{id}")),
        Err(e) => Err(Error::input(path, format!("students: {e}"))),
    };
    FleetSearch::read(path)?.students.iter().map(arch).collect()
}

/// A generic teacher's students, and the content of each pool in use that came from a file, which may change. None
/// for students of built-in pools.
fn space_line(plan: &Plan) -> Result<Option<String>> {
    let count = |s: &Space| format!("{} ({} students)", s.pool.name, s.count());
    let mut parts: Vec<String> = plan.space.iter().map(count).collect();
    for pool in plan.pools.own() {
        let prefix = format!("pool:{}:", pool.name);
        let trained = plan.space.as_ref().is_some_and(|s| s.pool.name == pool.name);
        if trained || plan.archs.iter().any(|arch| arch.starts_with(&prefix)) {
            let sha256 = artifact::sha256(pool.to_toml()?.as_bytes());
            parts.push(format!("{} of SHA-256 {sha256}", pool.name));
        }
    }
    Ok((!parts.is_empty()).then(|| parts.join(", ")))
}

/// Mean and std of the training part (all of it: they are data of the set, not of the split), rounded
/// to four digits as papers print them; or those of the weights that are started from.
fn preprocess_for(data: &Dataset, taken_over: Option<(Vec<f32>, Vec<f32>)>) -> Result<Preprocess> {
    let round = |v: Vec<f32>| -> Vec<f32> { v.into_iter().map(|x| (x * 1e4).round() / 1e4).collect() };
    let (mean, std) = match taken_over {
        Some(scaling) => scaling,
        None => {
            let (mean, std) = data.train.channel_mean_std()?;
            (round(mean), round(std))
        }
    };
    let input = data.train.input;
    let (channels, height, width) = (input.channels, input.height, input.width);
    Ok(Preprocess {
        channels,
        height,
        width,
        resize_short: data.resize_short,
        resize: Some(Resize::PIL),
        mean,
        std,
    })
}

fn train(plan: Plan, cuda: bool) -> Result<()> {
    let run = plan.run;
    let recipe = resolve_recipe(run)?;
    check_method(&plan, &recipe)?;
    let (device, threads) = set_up(&run.device, cuda)?;
    let data =
        Dataset::open(&run.data.parse::<DataSource>()?.tolerating(run.max_bad)?, &mut bars("pictures"))?;
    let data_sha256 = data.sha256()?;
    let init = match (&run.init, plan.archs) {
        (None, _) => None,
        (Some(path), [one]) => {
            let arch = nets::resolve_among(&plan.pools, one, data.train.input, data.train.classes)?;
            Some(Init::read(path, &arch, &data)?)
        }
        _ => return Err(Error::usage("--init is for one network")),
    };
    let init_sha256 = init.as_ref().map(|i| i.sha256.clone());
    let preprocess = preprocess_for(&data, init.as_ref().and_then(|i| i.scaling.clone()))?;
    let outputs = outputs(&plan, &data, &preprocess)?;
    let teacher = match plan.teacher.and_then(|source| Some((source, source.teacher.as_deref()?))) {
        Some((source, path)) => {
            let how = (threads, recipe.batch_size);
            Some(Opened::open(source, path, (&data, &data_sha256), &preprocess, how)?)
        }
        None => None,
    };
    let told = teacher.as_ref().map(|t| (t.sha256().to_owned(), t.name().to_owned()));
    let (source, val) = sources(&data, &preprocess, teacher.as_ref(), &recipe)?;
    let kept = match (&teacher, plan.teacher.and_then(|source| source.answers.as_deref())) {
        (Some(teacher), Some(path)) => {
            Some(teacher.answers(path, &source, recipe.split_rule(), &data_sha256)?)
        }
        _ => None,
    };
    let teacher = teacher.map(|t| t.into_teacher(kept, device)).transpose()?;
    let mut learner = Trained::new(&plan, &outputs, (teacher, init.map(|i| i.weights)), &recipe, device)?;
    learner.weigh(&source.feed.set);
    let names: Vec<&str> = outputs.iter().map(|o| o.file.arch.name.as_str()).collect();
    let config = Config {
        command: plan.command,
        method: plan.method,
        numerics: NUMERICS_VERSION,
        data: data.name.as_str(),
        arch: &names.join(" "),
        space: space_line(&plan)?,
        teacher_sha256: told.as_ref().map(|(sha256, _)| sha256.as_str()),
        init_sha256,
        device: device::name(device),
        threads,
        data_sha256: &data_sha256,
        recipe: &recipe,
    };
    let mut dir = RunDir::open(&run.out, &config, run.resume)?;
    if run.resume && outputs.iter().all(Output::is_written) {
        return finish_again(&plan, &outputs, &recipe, &data.train);
    }
    warn_of_pictures(&data.train);
    warn_of_one_class("training", &data.train, &data.label_names);
    warn_of_one_class("test", &data.test, &data.label_names);
    let label = match names.as_slice() {
        [one] => format!("{} {one}", plan.command),
        several => format!("{} {}s", several.len(), plan.command),
    };
    let mut training =
        Training { learner: learner.as_dyn(), source, val: &val, recipe: &recipe, device, label: &label };
    let outcome = training.run(&mut dir, run.resume, &Signals::watch()?)?;
    let record = RunRecord { data_sha256, max_bad: run.max_bad, teacher: told };
    let judges = Judges { train: &data.train, val: &val, test: &data.test };
    save_all(&plan, &learner, &outputs, judges, &record, (&recipe, &outcome), device)?;
    finish(&plan, &outputs, &recipe, &data.train)
}

/// What a method cannot do with a recipe is an error, and not silently without effect.
fn check_method(plan: &Plan, recipe: &Recipe) -> Result<()> {
    let no = |what: &str| Err(Error::usage(format!("recipe: {what}")));
    let o = &recipe.optimizer;
    match (plan.kd, &plan.space) {
        (KdMethod::Dkd, _) if recipe.augment.mixes() => no(
            "augment.mix with --kd dkd: a mixed image has no one target class, which DKD parts from the others",
        ),
        (_, Some(_)) if recipe.augment.mixes() => no("augment.mix is not for a generic teacher"),
        (_, Some(_)) if recipe.class_weights != ClassWeights::None => {
            no("class_weights is not for a generic teacher: sampling = \"balanced\" is")
        }
        (_, Some(_)) if o.freeze_epochs > 0 || o.backbone_lr != 1.0 => {
            no("optimizer.freeze_epochs and backbone_lr are not for a generic teacher")
        }
        _ => Ok(()),
    }
}

/// The training part and val.
fn sources(
    data: &Dataset,
    preprocess: &Preprocess,
    teacher: Option<&Opened>,
    recipe: &Recipe,
) -> Result<(Arc<Source>, ImageSet)> {
    let (set, val) =
        recipe.split_rule().apply(&data.train).map_err(|e| Error::usage(format!("recipe: {e}")))?;
    if recipe.augment.crop.is_some() && set.photos().is_none() {
        let what = "recipe: augment.crop is for photographs (imagefolder, tiny-imagenet, tar)";
        return Err(Error::usage(format!(
            "{what}, `{}` is none: give --set augment.pad=2 without crop",
            data.name
        )));
    }
    let feed = Feed {
        set,
        augment: recipe.augment,
        seed: recipe.seed,
        balanced: recipe.sampling == Sampling::Balanced,
        fill: preprocess.fill(),
    };
    let own_eyes = |t: &&Opened| !t.preprocess().same_input(preprocess);
    let size = |p: &Preprocess| (p.height, p.width);
    if recipe.augment.crop.is_none()
        && let Some(teacher) = teacher.filter(|t| size(t.preprocess()) != size(preprocess))
    {
        let (theirs, ours) = (size(teacher.preprocess()), size(preprocess));
        return Err(Error::usage(format!(
            "teacher {} sees {theirs:?} pixels (height, width), the student {ours:?}: only a random crop of the whole \
             picture can be had at both (--recipe photos, or --set augment.crop.scale=[0.35,1.0] --set augment.pad=0)",
            teacher.name()
        )));
    }
    let source = Source {
        feed,
        preprocess: preprocess.clone(),
        teacher: teacher.filter(own_eyes).map(|t| t.preprocess().clone()),
        batch_size: recipe.batch_size,
    };
    Ok((Arc::new(source), val))
}

/// What is saved where: one network in `--out` itself, several each in a folder named for it.
fn outputs(plan: &Plan, data: &Dataset, preprocess: &Preprocess) -> Result<Vec<Output>> {
    let mut outputs: Vec<Output> = Vec::new();
    for text in plan.archs {
        let arch = nets::resolve_among(&plan.pools, text, data.train.input, data.train.classes)?;
        let dir = match plan.archs.len() {
            1 => plan.run.out.clone(),
            _ => plan
                .run
                .out
                .join(arch.name.replace(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)), "_")),
        };
        if outputs.iter().any(|o| o.dir == dir) {
            return Err(Error::usage(format!("--arch {text} is given twice")));
        }
        let file = ArchFile {
            schema: ARCH_SCHEMA.into(),
            pool_id: text.strip_prefix("pool:").map(str::to_owned),
            labels: data.label_names.clone(),
            arch,
            preprocess: preprocess.clone(),
            ext: BTreeMap::new(),
        };
        outputs.push(Output { dir, file });
    }
    Ok(outputs)
}

/// What trains.
enum Trained {
    Classifiers(Box<Classifiers>),
    Generic(Box<Generic>),
}

impl Trained {
    fn new(
        plan: &Plan,
        outputs: &[Output],
        (teacher, init): (Option<Teacher>, Option<Weights>),
        recipe: &Recipe,
        device: Device,
    ) -> Result<Self> {
        let graphs = outputs.iter().map(|o| Graph::lower(&o.file.arch)).collect::<Result<Vec<_>>>()?;
        if let (Some(space), Some(output), Some(graph)) = (&plan.space, outputs.first(), graphs.first()) {
            let classes = output.file.arch.classes;
            let generic =
                Generic::new(graph.clone(), space.clone(), init.as_ref(), recipe, (classes, device))?;
            return Ok(Self::Generic(Box::new(generic)));
        }
        let lesson = match (plan.kd, teacher) {
            (KdMethod::Kd, Some(teacher)) => Lesson::Kd(teacher),
            (KdMethod::Dkd, Some(teacher)) => Lesson::Dkd(teacher),
            _ => Lesson::Labels,
        };
        let classifiers = Classifiers::new(graphs, init.as_ref(), lesson, recipe, device)?;
        Ok(Self::Classifiers(Box::new(classifiers)))
    }

    /// Classes weigh as the recipe says, for these images.
    fn weigh(&mut self, set: &ImageSet) {
        if let Self::Classifiers(c) = self {
            c.weigh(&set.labels, set.classes);
        }
    }

    fn as_dyn(&mut self) -> &mut dyn Learner {
        match self {
            Self::Classifiers(c) => c.as_mut(),
            Self::Generic(g) => g.as_mut(),
        }
    }

    fn as_ref(&self) -> &dyn Learner {
        match self {
            Self::Classifiers(c) => c.as_ref(),
            Self::Generic(g) => g.as_ref(),
        }
    }
}

/// What train.json tells of where a run's networks come from.
struct RunRecord {
    data_sha256: DataSha256,
    /// As `--max-bad` said.
    max_bad: Option<f64>,
    /// SHA-256 of its weights, and its name.
    teacher: Option<(String, String)>,
}

/// Writes every network's folder; one that diverged has its record in place of its weights.
fn save_all(
    plan: &Plan,
    learner: &Trained,
    outputs: &[Output],
    judges: Judges,
    record: &RunRecord,
    (recipe, outcome): (&Recipe, &Outcome),
    device: Device,
) -> Result<()> {
    let mut ext = BTreeMap::new();
    if let Trained::Generic(generic) = learner {
        let record = save_supernet(&plan.run.out, generic)?;
        let record = serde_json::to_value(record).map_err(|e| Error::Failed(format!("train.json: {e}")))?;
        ext.insert(GenericRecord::KEY.to_owned(), record);
    }
    let learner = learner.as_ref();
    let mut gone = outcome.state.diverged.len();
    for (which, (runner, output)) in learner.networks().iter().zip(outputs).enumerate() {
        let name = &output.file.arch.name;
        if let Some(why) = outcome.state.diverged.get(&which) {
            Diverged::write(&output.dir, name, why)?;
            continue;
        }
        artifact::create_dir(&output.dir)?;
        let finished = Finished {
            file: output.file.clone(),
            method: plan.method,
            data: plan.data_name().to_owned(),
            data_sha256: &record.data_sha256,
            max_bad: record.max_bad,
            recipe,
            teacher: record.teacher.clone(),
            outcome,
            which,
            ext: ext.clone(),
        };
        match save::save(&output.dir, (*runner, learner.params()), finished, judges, device)? {
            Saved::Finished => {}
            Saved::Diverged(why) => {
                gone += 1;
                if gone == outputs.len() {
                    return Err(Error::Failed(format!("training diverged: {name}: {why}; nothing is saved")));
                }
                Diverged::write(&output.dir, name, &why)?;
            }
        }
    }
    Ok(())
}

/// Writes the trained supernet; returns what train.json tells of it.
fn save_supernet(out: &Path, generic: &Generic) -> Result<GenericRecord> {
    let mut map = gtn_core::io::tensors::TensorMap::default();
    let params = generic.params();
    for (spec, tensor) in params.specs.iter().zip(&params.tensors) {
        if spec.name.starts_with(crate::method::supernet::PREFIX) {
            let values = crate::engine::params::to_vec(tensor)?;
            map.insert(&spec.name, gtn_core::io::tensors::Tensor::f32(&spec.shape, values));
        }
    }
    map.write(&out.join(SUPERNET))?;
    let space = &generic.supernet.space;
    let record = generic.record().unwrap_or_default();
    Ok(GenericRecord::new(&space.pool, space.count(), record["arch"].clone()))
}
