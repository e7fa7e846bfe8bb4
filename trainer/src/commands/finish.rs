//! The end of a run: its page, its table, and away with the checkpoints; all of it from the folders and, for pictures, from
//! the training images.

use crate::commands::plan::{LAST_FILE, Output, Plan};
use crate::commands::save::{CLASSES, CLASSES_SCHEMA, Classes, Diverged};
use crate::commands::worst::{WORST, WORST_SCHEMA, Worst};
use crate::engine::{checkpoint, report};
use crate::recipe::Recipe;
use gtn_core::artifacts::model_dir::{TRAIN_SCHEMA, TrainFile};
use gtn_core::data::ImageSet;
use gtn_core::io::artifact;
use gtn_core::ir::cost::Cost;
use gtn_core::ir::graph::Graph;
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};
use std::path::Path;

/// Classes that a page shows, the worst first.
const CLASSES_SHOWN: usize = 30;

/// A run whose networks are all written: what a kill kept from being done after them is done now.
pub fn finish_again(plan: &Plan, outputs: &[Output], recipe: &Recipe, train: &ImageSet) -> Result<()> {
    let out = plan.run.out.as_path();
    if !out.join(LAST_FILE).exists() {
        return finish(plan, outputs, recipe, train);
    }
    checkpoint::clear(out)?;
    exit::note(&format!("gtn-train: {} is already finished", out.display()));
    verdict(out, outputs)
}

/// From the folders and the images that val was cut from: report.html, the table, and away with the checkpoints.
pub fn finish(plan: &Plan, outputs: &[Output], recipe: &Recipe, images: &ImageSet) -> Result<()> {
    let out = plan.run.out.as_path();
    let mut table =
        Table::new(["network", "params", "MACs", "split", "images", "top-1", "top-5", "macro-F1"]);
    let mut networks = Vec::new();
    let mut epochs = 0;
    for output in outputs {
        let path = output.dir.join("train.json");
        if !path.exists() {
            continue; // it diverged
        }
        let train: TrainFile = artifact::read_schema(&path, TRAIN_SCHEMA)?;
        epochs = train.epochs;
        let cost = Cost::of(&Graph::lower(&output.file.arch)?);
        // Folders of an older program have none.
        let path = output.dir.join(CLASSES);
        let known: Option<Classes> =
            path.exists().then(|| artifact::read_schema(&path, CLASSES_SCHEMA)).transpose()?;
        for (split, a) in train.accuracy {
            let confusion = known.as_ref().and_then(|c| c.confusion.get(&split));
            table.row([
                output.file.arch.name.clone(),
                format::count(cost.params),
                format::count(cost.macs),
                split,
                a.n.to_string(),
                format::percent(a.top1),
                format::percent(a.top5),
                confusion.and_then(|c| c.macro_f1()).map_or("-".into(), |f1| format!("{f1:.3}")),
            ]);
        }
        // Choices are made on val; test is only stated.
        if let Some(val) = known.as_ref().and_then(|c| c.confusion.get("val")) {
            let (name, path) = (output.file.arch.name.clone(), output.dir.join(WORST));
            let worst: Option<Worst> =
                path.exists().then(|| artifact::read_schema(&path, WORST_SCHEMA)).transpose()?;
            networks.push(report::Network {
                name,
                classes: val.table(&output.file.labels, CLASSES_SHOWN),
                worst: worst.filter(|w| !w.worst.is_empty()).map(|w| w.shown(images)).transpose()?,
            });
        }
    }
    let title = format!("{} ({})", plan.command, plan.method);
    let subtitle = format!("{}, {epochs} epochs, seed {}", plan.data_name(), recipe.seed);
    report::write(out, &title, &subtitle, &table, &networks)?;
    checkpoint::clear(out)?;
    let told = exit::print(&format!("{}\n{}\n", table.render(), out.display()));
    exit::work_first(verdict(out, outputs), told)
}

/// An error that names the networks that diverged, if any did.
fn verdict(out: &Path, outputs: &[Output]) -> Result<()> {
    let mut gone = Vec::new();
    for output in outputs {
        gone.extend(Diverged::read(&output.dir)?.map(|d| format!("{}: {}", d.network, d.why)));
    }
    let Some(first) = gone.first() else { return Ok(()) };
    Err(Error::Failed(format!(
        "{} of {} networks diverged ({first}); the others are in {}",
        gone.len(),
        outputs.len(),
        out.display()
    )))
}
