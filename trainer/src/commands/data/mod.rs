//! `gtn-train data`: whether a data set is what it should be.

mod page;
mod survey;

use crate::cli::DataArgs;
use gtn_core::data::photos::Photos;
use gtn_core::data::{DataSource, Dataset, ImageSet};
use gtn_core::io::artifact;
use gtn_core::program::exit;
use gtn_core::program::progress::bars;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};
use std::sync::Arc;
use survey::Survey;

/// Judges the set that is named; of a set of pictures also a page, if one is wanted.
pub fn run(args: &DataArgs) -> Result<()> {
    let source = args.data.parse::<DataSource>()?.tolerating(args.max_bad)?;
    match source.is_photos() {
        true => {
            args.html.as_deref().map_or(Ok(()), artifact::check_writable)?;
            judge(args, &source.photos(&mut bars("pictures"))?)
        }
        _ if args.json || args.html.is_some() => Err(Error::usage(format!(
            "--json and --html are for sets of pictures; `{}` is a published set",
            args.data
        ))),
        _ => published(&source),
    }
}

fn judge(args: &DataArgs, photos: &Arc<Photos>) -> Result<()> {
    let survey = Survey::of(&args.data, photos)?;
    // Without a val of the set's own there is nothing to say of it yet.
    let own_val = survey.classes.iter().any(|c| c.val > 0);
    let columns = |name: &str, train: &str, val: &str, test: &str| match own_val {
        true => vec![name.to_owned(), train.to_owned(), val.to_owned(), test.to_owned()],
        false => vec![name.to_owned(), train.to_owned(), test.to_owned()],
    };
    let mut counts = Table::new(columns("class", "train", "val", "test"));
    for c in &survey.classes {
        counts.row(columns(&c.name, &c.train.to_string(), &c.val.to_string(), &c.test.to_string()));
    }
    if let Some(path) = &args.html {
        artifact::write_atomic(path, page::page(&survey, photos, &counts)?.as_bytes())?;
    }
    if args.json {
        return exit::print(&artifact::to_json(&survey)?);
    }
    let [low, middle, high] = survey.short_side;
    let mut text = format!("{}\n\n{}\n{}\n", survey.data, counts.render(), survey.parted);
    text.push_str(&format!(
        "short side in the cache: {low} to {high} pixels, half of them below {middle}; long side over short {:.2} to {:.2}\n",
        survey.aspect[0], survey.aspect[2]
    ));
    text.push_str(&format!("channel means {}, std {}\n", numbers(&survey.mean), numbers(&survey.std)));
    text.push_str(&format!(
        "{} of equal files, {} that look alike, {} that cannot be read\n",
        format::counted(survey.equal.len(), "pair"),
        format::counted(survey.near.len(), "pair"),
        format::counted(survey.broken.len(), "picture")
    ));
    text.push_str(&format!("cache: {}\n", photos.pictures.dir().display()));
    for warning in &survey.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    exit::print(&text)
}

/// One row for each part.
fn published(source: &DataSource) -> Result<()> {
    let data = Dataset::open(source, &mut bars("pictures"))?;
    let mut table =
        Table::new(["part", "images", "size", "classes", "images per class", "channel means", "std"]);
    for (part, set) in [("train", &data.train), ("test", &data.test)] {
        let (mean, std) = set.channel_mean_std()?;
        table.row([
            part.to_owned(),
            set.len().to_string(),
            set.input.to_string(),
            set.classes.to_string(),
            balance(set),
            numbers(&mean),
            numbers(&std),
        ]);
    }
    exit::print(&format!("{}\n\n{}", data.name, table.render()))
}

fn balance(set: &ImageSet) -> String {
    let counts = set.class_counts();
    match (counts.iter().min(), counts.iter().max()) {
        (Some(low), Some(high)) if low == high => format!("{low} each"),
        (Some(low), Some(high)) => format!("{low} to {high}"),
        _ => "-".into(),
    }
}

fn numbers(values: &[f32]) -> String {
    values.iter().map(|v| format!("{v:.4}")).collect::<Vec<_>>().join(" ")
}
