//! `gtn-train data`: whether a data set is what it should be.

use gtn_core::Result;
use gtn_core::data::{Dataset, ImageSet};
use gtn_core::program::exit;
use gtn_core::text::table::Table;

/// Prints a table with one row per part.
pub fn run(spec: &str) -> Result<()> {
    let data = Dataset::open(spec)?;
    let mut table =
        Table::new(["part", "images", "size", "classes", "images per class", "channel means", "std"]);
    for (part, set) in [("train", &data.train), ("test", &data.test)] {
        let (mean, std) = set.channel_mean_std();
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
