//! `eval`, and what every command sets up.

use crate::cli::{DeviceArgs, EvalArgs, RunArgs};
use crate::net::Net;
use crate::recipe::Recipe;
use crate::{device, evaluate};
use gtn_core::artifacts::model_dir::ModelDir;
use gtn_core::data::{DataSource, ImageSet, Part, only_class};
use gtn_core::io::artifact;
use gtn_core::io::npy;
use gtn_core::io::tensors::Tensor as CoreTensor;
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};
use tch::Device;

/// Defaults, file, `--set`, flags.
pub fn resolve_recipe(run: &RunArgs) -> Result<Recipe> {
    let mut recipe = Recipe::resolve(run.config.as_deref(), &run.sets)?;
    recipe.seed = run.seed.unwrap_or(recipe.seed);
    recipe.epochs = run.epochs.unwrap_or(recipe.epochs);
    recipe.batch_size = run.batch_size.unwrap_or(recipe.batch_size);
    recipe.validate()?;
    Ok(recipe)
}

/// Sets libtorch's threads and returns (device, threads).
pub fn set_up(args: &DeviceArgs, cuda: bool) -> Result<(Device, usize)> {
    let device = device::select(&args.device, cuda)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or(cores);
    match i32::try_from(threads) {
        Ok(n) if (1..=1024).contains(&n) => tch::set_num_threads(n),
        _ => return Err(Error::usage(format!("--threads {threads}: wanted 1 to 1024"))),
    }
    Ok((device, threads))
}

/// Where every image is of one class, a network that always says it is always right.
pub fn warn_of_one_class(part: &str, set: &ImageSet, names: &[String]) {
    if let Some(class) = only_class(&set.labels) {
        let name = names.get(usize::from(class)).map_or("?", String::as_str);
        exit::note(&format!(
            "gtn-train: warning: all {} {part} images are of class `{name}`: accuracy on them says nothing",
            set.len()
        ));
    }
}

/// `gtn-train eval`
pub fn eval(args: &EvalArgs, cuda: bool) -> Result<()> {
    args.logits.as_deref().map_or(Ok(()), artifact::check_writable)?;
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
    if let Some(recorded) = dir.train.data_sha256.as_ref().filter(|_| !args.other_data) {
        let owner = format!("{}'s training", args.dir.display());
        let remedy = "give those, or --other-data if these are meant";
        recorded.check(Part::Test, &test, (&args.data, &owner, remedy))?;
    }
    warn_of_one_class("test", &test, &dir.file.labels);
    let net = Net::from_weights(dir.graph.clone(), &dir.weights, device, false)?;
    let logits = evaluate::logits((&net.runner, &net.params), &test.pixels, &dir.file.preprocess, device)?;
    let a = evaluate::accuracy(&logits, &test.labels, test.classes);
    let a = a.map_err(|odd| Error::Failed(format!("{}: on test, {odd}", args.dir.display())))?;
    if let Some(path) = &args.logits {
        npy::write(path, &CoreTensor::f32(&[test.len(), test.classes], logits))?;
    }
    if args.json {
        exit::print(&artifact::to_json(&a)?)
    } else {
        let mut table = Table::new(["model", "split", "images", "top-1", "top-5", "entropy"]);
        let name = arch.name.clone();
        let mut row = vec![name, "test".into(), a.n.to_string()];
        row.extend([format::percent(a.top1), format::percent(a.top5)]);
        row.push(a.entropy.map_or("-".into(), |e| format!("{e:.3} nats")));
        table.row(row);
        exit::print(&table.render())
    }
}
