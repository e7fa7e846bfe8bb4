//! `gtn-export targets`: the device profiles.

use gtn_core::table::Table;
use gtn_core::{Result, device, exit};

/// Lists all, or prints one as TOML.
pub fn run(name: Option<&str>) -> Result<()> {
    if let Some(name) = name {
        exit::print(&device::resolve(name)?.to_toml()?);
        return Ok(());
    }
    let mut table = Table::new(["target", "device", "cores", "RAM", "architecture", "precisions"]);
    for name in device::names() {
        let d = device::resolve(name)?;
        table.row([
            d.name,
            d.title,
            d.cpu.cores.value.to_string(),
            gtn_core::format::bytes(d.memory.ram_mib.value << 20),
            d.cpu.arch.value,
            d.precisions.join(", "),
        ]);
    }
    exit::print(&table.render());
    Ok(())
}
