//! `gtn-train pool`: what students there are.

use crate::cli::PoolAction;
use gtn_core::arch::{ArchSpec, Input};
use gtn_core::cost::Cost;
use gtn_core::graph::Graph;
use gtn_core::table::Table;
use gtn_core::{Error, Result, exit, format, pool};

/// Prints a table.
pub fn run(action: &PoolAction) -> Result<()> {
    let table = match action {
        PoolAction::List => list(),
        PoolAction::Show { id, input, classes } => {
            let id = id.strip_prefix("pool:").unwrap_or(id);
            students(&[pool::student(id, parse_input(input)?, *classes)?])?
        }
        PoolAction::Sample { pool, n, seed, input, classes } => {
            let pool = pool::named(pool)?;
            let input = parse_input(input)?;
            let specs: Result<Vec<ArchSpec>> =
                (0..*n).map(|i| pool.arch(&pool.sample(*seed, i), input, *classes)).collect();
            students(&specs?)?
        }
    };
    exit::print(&table.render());
    Ok(())
}

fn list() -> Table {
    let mut table = Table::new(["pool", "family", "students", "kernels", "expansions", "widths"]);
    for p in pool::all() {
        let widths: Vec<usize> = p.stages.iter().map(|s| s.width).collect();
        table.row([
            p.name.clone(),
            p.family.name.into(),
            p.count().to_string(),
            format!("{:?}", p.kernels),
            format!("{:?}", p.expansions),
            format!("{widths:?}"),
        ]);
    }
    table
}

fn students(specs: &[ArchSpec]) -> Result<Table> {
    let mut table = Table::new(["student", "params", "MACs", "weights", "activations"]);
    for spec in specs {
        let cost = Cost::of(&Graph::lower(spec)?);
        table.row([
            spec.name.clone(),
            format::count(cost.params),
            format::count(cost.macs),
            format::bytes(cost.weight_bytes),
            format::bytes(cost.peak_activation_bytes),
        ]);
    }
    Ok(table)
}

/// `3x32x32`.
pub fn parse_input(text: &str) -> Result<Input> {
    let sides: Vec<Option<usize>> = text.split('x').map(|s| s.parse().ok()).collect();
    match sides.as_slice() {
        [Some(channels), Some(height), Some(width)] => {
            Ok(Input { channels: *channels, height: *height, width: *width })
        }
        _ => Err(Error::usage(format!("--input {text}: wanted CxHxW, such as 3x32x32"))),
    }
}
