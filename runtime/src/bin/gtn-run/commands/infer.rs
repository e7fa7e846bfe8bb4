//! `gtn-run infer`: arrays in, arrays out; parity checks from outside.

use crate::cli::InferArgs;
use crate::prepare::{prepare, tell_backend};
use gtn_core::io::artifact;
use gtn_core::io::npy;
use gtn_core::io::tensors::Tensor;
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};
use gtn_run::backend::Named;
use gtn_run::backend::sizes::InputShape;
use gtn_run::subject::Subject;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Runs once and writes every output.
pub fn run(args: &InferArgs) -> Result<()> {
    let mut options = prepare(&args.backend)?.options;
    let given = args.input.iter().map(|text| read_input(text)).collect::<Result<Vec<_>>>()?;
    // What the model leaves open is as the arrays have it.
    let shape = |(input, tensor): &(Option<String>, Tensor)| InputShape {
        input: input.clone(),
        dims: tensor.shape.clone(),
    };
    options.shapes.extend(given.iter().map(shape));
    let mut subject = Subject::open(&args.model, &options)?;
    tell_backend(&subject);
    let only = subject.backend.inputs().first().map(|slot| slot.name.clone()).unwrap_or_default();
    let named = |(input, tensor): (Option<String>, Tensor)| Named {
        name: input.unwrap_or_else(|| only.clone()),
        tensor,
    };
    let inputs: Vec<Named> = given.into_iter().map(named).collect();
    let names = subject.backend.outputs().iter().map(|slot| slot.name.as_str());
    let existed = args.out.is_dir();
    check_files(names, &args.out, &args.model)?;
    let outputs = subject.backend.run(&inputs).inspect_err(|_| {
        if !existed {
            let _ = std::fs::remove_dir(&args.out); // ours, and empty
        }
    })?;
    let mut table = Table::new(["output", "shape", "file"]);
    for output in outputs {
        let path = file(&args.out, &output.name);
        npy::write(&path, &output.tensor)?;
        let name = format::shorten(&output.name, 60);
        table.row([name, format!("{:?}", output.tensor.shape), format::path(&path)]);
    }
    exit::print(&table.render())
}

/// Names come from the model file: they must not leave the folder, nor take another's place.
fn file(out: &Path, name: &str) -> PathBuf {
    out.join(format!("{}.npy", artifact::file_stem(name)))
}

/// Whether every output has a file of its own that can be written, asked before anything runs.
fn check_files<'a>(names: impl Iterator<Item = &'a str>, out: &Path, model: &Path) -> Result<()> {
    artifact::create_dir(out)?;
    let mut files = HashSet::new();
    for name in names {
        let path = file(out, name);
        artifact::check_writable(&path)?;
        if !files.insert(path) {
            let name = format::shorten(name, 60);
            return Err(Error::input(model, format!("has two outputs named `{name}`")));
        }
    }
    Ok(())
}

/// The input's name, if one is said, and its values.
fn read_input(text: &str) -> Result<(Option<String>, Tensor)> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) => (Some(name.to_owned()), path),
        None => (None, text),
    };
    Ok((name, npy::read(Path::new(path))?))
}
