//! `gtn-train eval`: a trained folder's accuracy on a data set.

use super::{set_up, warn_of_one_class, warn_of_pictures};
use crate::cli::EvalArgs;
use crate::engine::evaluate;
use crate::engine::net::Net;
use gtn_core::artifacts::model_dir::ModelDir;
use gtn_core::data::{DataSource, Part};
use gtn_core::io::artifact;
use gtn_core::io::npy;
use gtn_core::io::tensors::Tensor as CoreTensor;
use gtn_core::measure::confusion::Confusion;
use gtn_core::program::exit;
use gtn_core::program::progress::bars;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result};

/// Classes that are told, the worst first.
const WORST: usize = 20;

/// `gtn-train eval`
pub fn eval(args: &EvalArgs, cuda: bool) -> Result<()> {
    args.logits.as_deref().map_or(Ok(()), artifact::check_writable)?;
    let (device, _) = set_up(&args.device, cuda)?;
    let dir = ModelDir::read(&args.dir)?;
    let source = args.data.parse::<DataSource>()?.tolerating(args.max_bad)?;
    let source = dir.train.tolerated(source)?;
    source.prepare(&mut bars("pictures"))?;
    let test = source.test()?;
    let arch = &dir.file.arch;
    if (test.input, test.classes) != (arch.input, arch.classes) {
        let what = format!(
            "--data {}: {} with {} classes, the model takes {} with {} classes",
            args.data, test.input, test.classes, arch.input, arch.classes
        );
        return Err(Error::usage(what));
    }
    if let Some(recorded) = dir.train.data_sha256.as_ref().filter(|_| !args.other_data) {
        let owner = format!("{}'s training", args.dir.display());
        let remedy = "give those, or --other-data if these are meant";
        recorded.check(Part::Test, &test, (&args.data, &owner, remedy))?;
    }
    warn_of_pictures(&test);
    warn_of_one_class("test", &test, &dir.file.labels);
    let net = Net::from_weights(dir.graph.clone(), &dir.weights, device, false)?;
    let logits = evaluate::logits((&net.runner, &net.params), &test, &dir.file.preprocess, device)?;
    let a = evaluate::accuracy(&logits, &test.labels, test.classes);
    let a = a.map_err(|odd| Error::Failed(format!("{}: on test, {odd}", args.dir.display())))?;
    let confusion = Confusion::of(&logits, &test.labels, test.classes)?;
    if let Some(path) = &args.logits {
        npy::write(path, &CoreTensor::f32(&[test.len(), test.classes], logits))?;
    }
    if args.json {
        exit::print(&artifact::to_json(&a)?)
    } else {
        let mut table = Table::new(["model", "split", "images", "top-1", "top-5", "macro-F1", "entropy"]);
        let name = arch.name.clone();
        let mut row = vec![name, "test".into(), a.n.to_string()];
        row.extend([format::percent(a.top1), format::percent(a.top5)]);
        row.push(confusion.macro_f1().map_or("-".into(), |f1| format!("{f1:.3}")));
        row.push(a.entropy.map_or("-".into(), |e| format!("{e:.3} nats")));
        table.row(row);
        let classes = confusion.table(&dir.file.labels, WORST);
        exit::print(&format!("{}\n{}", table.render(), classes.render()))
    }
}
