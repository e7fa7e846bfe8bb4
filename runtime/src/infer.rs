//! `gtn-run infer`: arrays in, arrays out; parity checks from outside.

use crate::cli::InferArgs;
use crate::prepare::{prepare, tell_backend};
use gtn_core::table::Table;
use gtn_core::{Error, Result, artifact, exit, npy};
use gtn_run::backend::{Kind, Named, Options};
use gtn_run::subject::Subject;
use std::path::Path;

/// Runs once and writes every output.
pub fn run(args: &InferArgs) -> Result<()> {
    let prepared = prepare(&args.backend)?.options;
    // With ONNX Runtime the batch is the input's own: the model's named dimension stays open.
    let batch = if prepared.kind == Kind::Wgpu { prepared.batch } else { 0 };
    let options = Options { batch, ..prepared };
    let mut subject = Subject::open(&args.model, &options)?;
    tell_backend(&subject);
    let inputs = args.input.iter().map(|text| read_input(text, &subject)).collect::<Result<Vec<_>>>()?;
    let outputs = subject.backend.run(&inputs)?;
    artifact::create_dir(&args.out)?;
    let mut table = Table::new(["output", "shape", "file"]);
    for output in outputs {
        // Names come from the model file: they must not leave the folder.
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let stem: String = output.name.chars().map(plain).collect();
        let path = args.out.join(format!("{}.npy", stem.trim_start_matches('.')));
        npy::write(&path, &output.tensor)?;
        table.row([output.name, format!("{:?}", output.tensor.shape), path.display().to_string()]);
    }
    exit::print(&table.render());
    Ok(())
}

fn read_input(text: &str, subject: &Subject) -> Result<Named> {
    let slots = subject.backend.inputs();
    let (name, path) = match text.split_once('=') {
        Some((name, path)) => (name.to_owned(), path),
        None => match slots {
            [only] => (only.name.clone(), text),
            _ => {
                let names: Vec<&str> = slots.iter().map(|s| s.name.as_str()).collect();
                let what = format!(
                    "--input {text}: the model has several inputs, say which (NAME=FILE): {}",
                    names.join(", ")
                );
                return Err(Error::usage(what));
            }
        },
    };
    Ok(Named { name, tensor: npy::read(Path::new(path))? })
}
