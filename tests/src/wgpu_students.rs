//! Random students on backend wgpu beside ONNX Runtime.

use crate::{QUICK, random_student, run};
use gtn_core::arch::Input;
use gtn_core::parity::{Parity, Tolerance, compare};
use gtn_core::{Error, Result, pool};
use gtn_run::backend::{Kernels, Kind, Options};
use gtn_run::subject::Subject;
use std::path::Path;

/// Sums in another order, a hundred layers deep; the top class must agree where it is no near-tie.
pub const BOUND: Tolerance = Tolerance { relative: 1e-3, margin: 1e-2 };

/// Student `i` of a pool in both precisions: how far the two backends' logits on its golden images are apart, by
/// [`BOUND`] and by int8's own. Its bundles stay in `dir`.
pub fn apart(dir: &Path, pool: &str, i: u64, kernels: Option<Kernels>) -> Result<[[Parity; 2]; 2]> {
    let input = Input { channels: 1, height: 28, width: 28 };
    let p = pool::named(pool)?;
    let student = dir.join(format!("{pool}-{i}"));
    random_student(&student, p.arch(&p.sample(23, i), input, 10)?, "fashion-mnist-mini", 16, i)?;
    Ok([bundle_apart(&student, "fp32", kernels)?, bundle_apart(&student, "int8", kernels)?])
}

fn bundle_apart(student: &Path, precision: &str, kernels: Option<Kernels>) -> Result<[Parity; 2]> {
    let out = format!("{}-{precision}.gtn", student.display());
    let args = format!("--target host {} --precision {precision} {QUICK} --out {out}", student.display());
    let done = run("gtn-export", &args);
    if done.code != Some(0) {
        return Err(Error::Failed(done.stderr));
    }
    let out = Path::new(&out);
    let (ort, wgpu) = (logits(out, Kind::Ort, None)?, logits(out, Kind::Wgpu, kernels)?);
    Ok([BOUND, Tolerance::INT8].map(|tolerance| compare(&ort, &wgpu, 10, tolerance)))
}

/// Of a bundle's golden images.
pub fn logits(bundle: &Path, kind: Kind, kernels: Option<Kernels>) -> Result<Vec<f32>> {
    let options =
        Options { kind, allow_software: true, kernels, threads: Some(1), batch: 4, ..Options::default() };
    let mut subject = Subject::open(bundle, &options)?;
    let golden = subject.bundle.as_ref().map(|b| b.golden.images.clone());
    let golden = golden.ok_or_else(|| Error::Failed(format!("{} is no bundle", bundle.display())))?;
    subject.logits(&golden, |_| ())
}
