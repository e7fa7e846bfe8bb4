//! `gtn-export targets`: the device profiles.

use crate::cli::TargetsArgs;
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Result, device};

/// Lists all profiles, or shows one with the source of each value, or as TOML.
pub fn run(args: &TargetsArgs) -> Result<()> {
    let Some(name) = &args.name else {
        return exit::print(&list()?.render());
    };
    let device = device::resolve(name)?;
    if args.toml {
        return exit::print(&device.to_toml()?);
    }
    let mut table = Table::new(["what", "value", "who says so"]);
    for row in device.rows() {
        table.row(row);
    }
    exit::print(&table.render())
}

fn list() -> Result<Table> {
    let mut table =
        Table::new(["target", "device", "cores", "RAM", "architecture", "precisions", "int8 recipe"]);
    for name in device::names() {
        let d = device::resolve(name)?;
        let recipe =
            d.int8.map(|r| format!("{}, {} bit weights", r.activations.value.name(), r.weight_bits.value));
        table.row([
            d.name,
            d.title,
            d.cpu.cores.value.to_string(),
            format::bytes(d.memory.ram_mib.value << 20),
            d.cpu.arch.value,
            gtn_core::Precision::list(&d.precisions),
            recipe.unwrap_or_default(),
        ]);
    }
    Ok(table)
}
