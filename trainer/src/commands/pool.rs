//! `gtn-train pool`: what students there are.

use crate::cli::PoolAction;
use gtn_core::ir::arch::{ArchSpec, Input};
use gtn_core::ir::cost::Cost;
use gtn_core::ir::graph::Graph;
use gtn_core::latency::Predictor;
use gtn_core::nets::pool::{self, Pools};
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};
use std::path::Path;

/// Students drawn to show how far a pool reaches.
const DRAWN: u64 = 1000;

/// Prints a table, or a pool as TOML.
pub fn run(action: &PoolAction) -> Result<()> {
    let table = match action {
        PoolAction::List => list(),
        PoolAction::Show { id, pool, toml, input, classes } => {
            let id = id.strip_prefix("pool:").unwrap_or(id);
            // A student's id has a colon; a path may have one too.
            let is_pool = !id.contains(':') || id.ends_with(".toml") || Path::new(id).is_dir();
            match (is_pool, *toml) {
                (true, true) => return exit::print(&pool::resolve(id)?.to_toml()?),
                (true, false) => {
                    students(&pool::resolve(id)?.spread(input.parse()?, *classes, DRAWN)?, None)?
                }
                (false, false) => {
                    students(&[Pools::with(pool)?.student(id, input.parse()?, *classes)?], None)?
                }
                (false, true) => {
                    return Err(Error::usage(format!("--toml is a pool's, `{id}` is a student")));
                }
            }
        }
        PoolAction::Sample { pool, n, seed, input, classes, latency } => {
            let predictor = latency.predictor()?;
            let pool = pool::resolve(pool)?;
            let input: Input = input.parse()?;
            let specs: Result<Vec<ArchSpec>> =
                (0..*n).map(|i| pool.arch(&pool.sample(*seed, i), input, *classes)).collect();
            students(&specs?, predictor.as_ref())?
        }
    };
    exit::print(&table.render())
}

fn list() -> Table {
    let mut table = Table::new(["pool", "family", "students", "kernels", "expansions", "widths"]);
    for p in pool::all() {
        let list = |numbers: &[usize]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let widths: Vec<usize> = p.stages.iter().map(|s| s.width).collect();
        let count = p.count();
        table.row([
            p.name.clone(),
            p.family.name.into(),
            if count < 1 << 40 { count.to_string() } else { format!("{:.1e}", count as f64) },
            list(&p.kernels),
            list(&p.expansions),
            list(&widths),
        ]);
    }
    table
}

/// With a predictor also their latency and its 90 % band.
fn students(specs: &[ArchSpec], predictor: Option<&Predictor>) -> Result<Table> {
    let mut headings = vec!["student", "params", "MACs", "weights", "activations"];
    if predictor.is_some() {
        headings.extend(["latency", "90 % band"]);
    }
    let mut table = Table::new(headings);
    for spec in specs {
        let graph = Graph::lower(spec)?;
        let cost = Cost::of(&graph);
        let mut cells = vec![
            spec.name.clone(),
            format::count(cost.params),
            format::count(cost.macs),
            format::bytes(cost.weight_bytes),
            format::bytes(cost.peak_activation_bytes),
        ];
        if let Some(predictor) = predictor {
            let p = predictor.predict(&graph)?;
            cells.push(format::ms(p.ms));
            cells.push(format!("{} to {}", format::ms(p.band[0]), format::ms(p.band[1])));
        }
        table.row(cells);
    }
    Ok(table)
}
