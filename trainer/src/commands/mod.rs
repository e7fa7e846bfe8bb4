//! What a command line asks for, and what every command sets up.

pub mod cost;
pub mod data;
pub mod eval;
pub mod finish;
pub mod init;
pub mod plan;
pub mod pool;
pub mod save;
pub mod search;
pub mod teacher;
pub mod train;
pub mod worst;

use crate::cli::{DeviceArgs, RunArgs};
use crate::engine::{device, memory};
use crate::recipe::Recipe;
use gtn_core::data::{ImageSet, only_class};
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use tch::Device;

/// Defaults, file, `--set`, flags.
pub fn resolve_recipe(run: &RunArgs) -> Result<Recipe> {
    let mut recipe = Recipe::resolve(run.recipe.as_deref(), run.config.as_deref(), &run.sets)?;
    recipe.seed = run.seed.unwrap_or(recipe.seed);
    recipe.epochs = run.epochs.unwrap_or(recipe.epochs);
    recipe.batch_size = run.batch_size.unwrap_or(recipe.batch_size);
    recipe.patience = run.patience.unwrap_or(recipe.patience);
    recipe.validate()?;
    Ok(recipe)
}

/// Sets libtorch's threads and returns (device, threads).
pub fn set_up(args: &DeviceArgs, cuda: bool) -> Result<(Device, usize)> {
    memory::keep_freed();
    let device = device::select(&args.device, cuda)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or(cores);
    match i32::try_from(threads) {
        Ok(n) if (1..=1024).contains(&n) => tch::set_num_threads(n),
        _ => return Err(Error::usage(format!("--threads {threads}: wanted 1 to 1024"))),
    }
    Ok((device, threads))
}

/// What a person should know of a picture set's files; nothing of the published sets.
pub fn warn_of_pictures(set: &ImageSet) {
    for warning in set.photos().into_iter().flat_map(|chosen| chosen.photos.warnings()) {
        exit::note(&format!("gtn-train: warning: {warning}"));
    }
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
