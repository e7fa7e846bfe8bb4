//! The network that a command line names.

use crate::artifacts::model_dir::ArchFile;
use crate::io::artifact;
use crate::ir::arch::{ArchSpec, Input};
use crate::nets::pool::Pools;
use crate::nets::zoo;
use crate::{Error, Result};
use std::path::Path;

/// Finds the network that a command line names: `pool:ID`, a teacher's name, or an arch file (a trained
/// folder's arch.json, or TOML or JSON holding an `ArchSpec`). It is an error if the name is unknown, or a
/// file's input and classes do not fit the data.
pub fn resolve(text: &str, input: Input, classes: usize) -> Result<ArchSpec> {
    resolve_among(&Pools::default(), text, input, classes)
}

/// Does what [`resolve`] does, and looks ids up among these pools.
pub fn resolve_among(pools: &Pools, text: &str, input: Input, classes: usize) -> Result<ArchSpec> {
    if let Some(id) = text.strip_prefix("pool:") {
        return pools.student(id, input, classes);
    }
    if let Some(spec) = zoo::named(text, input, classes)? {
        return Ok(spec);
    }
    let path = Path::new(text);
    if !path.is_file() {
        return Err(Error::usage(format!(
            "unknown architecture `{text}`: wanted pool:ID (pools: {}), a name ({}), or an arch file",
            pools.names().join(", "),
            zoo::PATTERNS
        )));
    }
    let spec = read(path)?;
    spec.validate().map_err(|e| Error::input(path, e.to_string()))?;
    if (spec.input, spec.classes) != (input, classes) {
        return Err(Error::input(
            path,
            format!(
                "is for {} with {} classes, the data has {} with {} classes",
                spec.input, spec.classes, input, classes
            ),
        ));
    }
    Ok(spec)
}

/// An arch file, with or without the envelope that gtn-train puts around it.
fn read(path: &Path) -> Result<ArchSpec> {
    let is_json = path.extension().is_none_or(|e| e != "toml");
    if is_json && artifact::read_document::<serde_json::Value>(path)?.get("schema").is_some() {
        return Ok(ArchFile::read(path)?.arch);
    }
    artifact::read_document(path)
}
