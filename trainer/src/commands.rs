//! `teacher`, `student` and `eval`: from arguments to a trained folder.

use crate::cli::{DeviceArgs, EvalArgs, KdMethod, RunArgs, StudentArgs, TeacherArgs, TeacherMethod};
use crate::loader::{Batch, Source};
use crate::net::Net;
use crate::recipe::Recipe;
use crate::run_dir::{Config, RunDir};
use crate::signals::Signals;
use crate::train_loop::{Losses, Outcome, Training};
use crate::{checkpoint, device, distill, evaluate, save};
use gtn_core::arch::ArchSpec;
use gtn_core::cost::Cost;
use gtn_core::data::{DataSource, Dataset, ImageSet};
use gtn_core::graph::Graph;
use gtn_core::model_dir::{ArchFile, ModelDir};
use gtn_core::preprocess::Preprocess;
use gtn_core::split::split;
use gtn_core::table::Table;
use gtn_core::tensors::Tensor as CoreTensor;
use gtn_core::weights::Weights;
use gtn_core::{Error, Result, artifact, exit, fold, format, npy, training_report};
use std::path::Path;
use std::sync::Arc;
use tch::Device;

/// A frozen teacher with BN folded.
struct Teacher {
    net: Net,
    dir: ModelDir,
}

/// Everything about one run but its data.
struct Plan<'a> {
    command: &'static str,
    method: &'static str,
    arch: &'a str,
    run: &'a RunArgs,
    teacher: Option<Teacher>,
}

/// `gtn-train teacher`
pub fn teacher(args: &TeacherArgs, cuda: bool) -> Result<()> {
    let method = match args.method {
        TeacherMethod::Vanilla => "vanilla",
    };
    train(Plan { command: "teacher", method, arch: &args.teacher, run: &args.run, teacher: None }, cuda)
}

/// `gtn-train student`
pub fn student(args: &StudentArgs, cuda: bool) -> Result<()> {
    let device = device::select(&args.run.device.device, cuda)?;
    let (method, teacher) = match (args.kd, &args.teacher) {
        (KdMethod::None, _) => ("none", None),
        (KdMethod::Kd, Some(dir)) => ("kd", Some(load_teacher(dir, device)?)),
        (KdMethod::Kd, None) => return Err(Error::usage("--kd kd wants --teacher DIR (or say --kd none)")),
    };
    train(Plan { command: "student", method, arch: &args.arch, run: &args.run, teacher }, cuda)
}

fn load_teacher(path: &Path, device: Device) -> Result<Teacher> {
    let dir = ModelDir::read(path)?;
    let (graph, weights) = fold::fold_batch_norm(&dir.graph, &dir.weights)?;
    Ok(Teacher { net: Net::from_weights(graph, &weights, device, false)?, dir })
}

fn resolve_recipe(run: &RunArgs) -> Result<Recipe> {
    let mut recipe = Recipe::resolve(run.config.as_deref(), &run.sets)?;
    recipe.seed = run.seed.unwrap_or(recipe.seed);
    recipe.epochs = run.epochs.unwrap_or(recipe.epochs);
    recipe.batch_size = run.batch_size.unwrap_or(recipe.batch_size);
    recipe.validate()?;
    Ok(recipe)
}

/// Sets libtorch's threads and returns (device, threads).
fn set_up(args: &DeviceArgs, cuda: bool) -> Result<(Device, usize)> {
    let device = device::select(&args.device, cuda)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or(cores);
    match i32::try_from(threads) {
        Ok(n) if (1..=1024).contains(&n) => tch::set_num_threads(n),
        _ => return Err(Error::usage(format!("--threads {threads}: wanted 1 to 1024"))),
    }
    Ok((device, threads))
}

/// Mean and std of the training part (all of it: they are data of the set, not of the split), rounded
/// to four digits as papers print them.
fn preprocess_for(data: &Dataset) -> Preprocess {
    let (mean, std) = data.train.channel_mean_std();
    let round = |v: Vec<f32>| v.into_iter().map(|x| (x * 1e4).round() / 1e4).collect();
    let input = data.train.input;
    let (channels, height, width) = (input.channels, input.height, input.width);
    Preprocess { channels, height, width, resize_short: None, mean: round(mean), std: round(std) }
}

fn train(plan: Plan, cuda: bool) -> Result<()> {
    let run = plan.run;
    let recipe = resolve_recipe(run)?;
    let (device, threads) = set_up(&run.device, cuda)?;
    let data = Dataset::open(&run.data)?;
    let arch = ArchSpec::resolve(plan.arch, data.train.input, data.train.classes)?;
    let preprocess = preprocess_for(&data);
    check_teacher(plan.teacher.as_ref(), &preprocess, &data)?;
    let graph = Graph::lower(&arch)?;
    let mut net = match &run.init {
        Some(path) => Net::from_weights(graph.clone(), &Weights::read(path, &graph)?, device, true)?,
        None => Net::new(graph, recipe.seed, device)?,
    };
    let config = Config {
        command: plan.command,
        method: plan.method,
        data: data.name.as_str(),
        arch: &arch.name,
        teacher_sha256: plan.teacher.as_ref().map(|t| t.dir.weights_sha256.as_str()),
        init_sha256: run.init.as_deref().map(artifact::sha256_file).transpose()?,
        device: device::name(device),
        threads,
        recipe: &recipe,
    };
    let mut dir = RunDir::open(&run.out, &config, run.resume)?;
    if run.resume && run.out.join("train.json").exists() {
        eprintln!("gtn-train: {} is already finished", run.out.display());
        return Ok(());
    }
    let parts = split(&data.train.labels, data.train.classes, recipe.val_fraction, recipe.seed)?;
    let val = data.train.subset(&parts.val);
    let source = Arc::new(Source {
        set: data.train.subset(&parts.train),
        preprocess: preprocess.clone(),
        augment: recipe.augment,
        seed: recipe.seed,
        batch_size: recipe.batch_size,
    });
    let label = format!("{} {}", plan.command, arch.name);
    let loss = |net: &Net, batch: &Batch| losses(net, batch, plan.teacher.as_ref(), &recipe);
    let mut training =
        Training { net: &mut net, source, val: &val, recipe: &recipe, device, loss: &loss, label: &label };
    let outcome = training.run(&mut dir, run.resume, &Signals::watch()?)?;
    let file = ArchFile {
        schema: gtn_core::model_dir::ARCH_SCHEMA.into(),
        pool_id: plan.arch.strip_prefix("pool:").map(str::to_owned),
        labels: data.label_names.clone(),
        arch,
        preprocess,
        ext: Default::default(),
    };
    finish(&plan, &run.out, &net, file, &data.test, &val, &recipe, outcome, device)
}

fn check_teacher(teacher: Option<&Teacher>, preprocess: &Preprocess, data: &Dataset) -> Result<()> {
    let Some(teacher) = teacher else { return Ok(()) };
    let file = &teacher.dir.file;
    if file.arch.classes != data.train.classes || file.preprocess != *preprocess {
        return Err(Error::usage(format!(
            "teacher {} was trained on other data: {} with {} classes and mean {:?}; {} is {} with {} classes and \
             mean {:?}",
            file.arch.name,
            file.arch.input,
            file.arch.classes,
            file.preprocess.mean,
            data.name,
            data.train.input,
            data.train.classes,
            preprocess.mean
        )));
    }
    Ok(())
}

/// The method's loss on one batch; teacher and student see the same crop.
fn losses(net: &Net, batch: &Batch, teacher: Option<&Teacher>, recipe: &Recipe) -> Losses {
    let logits = net.forward(&batch.images, true);
    match teacher {
        None => vec![("loss", distill::cross_entropy(&logits, &batch.labels, recipe.label_smoothing))],
        Some(teacher) => {
            let answers = tch::no_grad(|| teacher.net.forward(&batch.images, false));
            let (total, ce, kl) =
                distill::kd_loss(&logits, &answers, &batch.labels, recipe.label_smoothing, &recipe.kd);
            vec![("loss", total), ("ce", ce), ("kl", kl)]
        }
    }
}

#[allow(clippy::too_many_arguments)] // what a finished run consists of
fn finish(
    plan: &Plan,
    out: &Path,
    net: &Net,
    file: ArchFile,
    test: &ImageSet,
    val: &ImageSet,
    recipe: &Recipe,
    outcome: Outcome,
    device: Device,
) -> Result<()> {
    let teacher = plan.teacher.as_ref().map(|t| (t.dir.weights_sha256.clone(), t.dir.file.arch.name.clone()));
    let data = plan.run.data.split(':').next().unwrap_or_default().to_owned();
    let name = file.arch.name.clone();
    let saved = save::Finished { file, method: plan.method, data, recipe, teacher, outcome };
    let train = save::save(out, net, saved, test, val, device)?;
    checkpoint::clear(out)?;
    let mut table = Table::new(["split", "images", "top-1", "top-5"]);
    for (split, a) in &train.accuracy {
        table.row([split.clone(), a.n.to_string(), format::percent(a.top1), format::percent(a.top5)]);
    }
    let cost = Cost::of(&net.graph);
    let size = format!("{} parameters, {} MACs", format::count(cost.params), format::count(cost.macs));
    let title = format!("{} {} ({})", plan.command, name, plan.method);
    let subtitle = format!("{size}; {}, {} epochs, seed {}", train.data, train.epochs, train.seed);
    training_report::write(out, &title, &subtitle, &table)?;
    exit::print(&format!("{title}, {size}\n\n{}\n{}\n", table.render(), out.display()));
    Ok(())
}

/// `gtn-train eval`
pub fn eval(args: &EvalArgs, cuda: bool) -> Result<()> {
    let (device, _) = set_up(&args.device, cuda)?;
    let dir = ModelDir::read(&args.dir)?;
    let test = args.data.parse::<DataSource>()?.test()?;
    let arch = &dir.file.arch;
    if (test.input, test.classes) != (arch.input, arch.classes) {
        let what = format!(
            "--data {}: {} with {} classes, the model takes {} with {} classes",
            args.data, test.input, test.classes, arch.input, arch.classes
        );
        return Err(Error::usage(what));
    }
    let net = Net::from_weights(dir.graph.clone(), &dir.weights, device, false)?;
    let logits = evaluate::logits(&net, &test.pixels, &dir.file.preprocess, device)?;
    let a = evaluate::accuracy(&logits, &test.labels, test.classes);
    if let Some(path) = &args.logits {
        npy::write(path, &CoreTensor::f32(&[test.len(), test.classes], logits))?;
    }
    if args.json {
        exit::print(&artifact::to_json(&a)?);
    } else {
        let mut table = Table::new(["model", "split", "images", "top-1", "top-5"]);
        let name = arch.name.clone();
        table.row([name, "test".into(), a.n.to_string(), format::percent(a.top1), format::percent(a.top5)]);
        exit::print(&table.render());
    }
    Ok(())
}
