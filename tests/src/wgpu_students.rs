//! Random students on backend wgpu beside ONNX Runtime.

use crate::{QUICK, random_student, run};
use gtn_core::ir::arch::Input;
use gtn_core::measure::parity::{Parity, Tolerance, compare};
use gtn_core::nets::pool;
use gtn_core::{Error, Result};
use gtn_run::backend::ort::providers::Providers;
use gtn_run::backend::{Kernels, Kind, Options, OrtOptions, WgpuOptions};
use gtn_run::subject::Subject;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Sums in another order, a hundred layers deep; the top class must agree where it is no near-tie.
pub const BOUND: Tolerance = Tolerance { relative: 1e-3, margin: 1e-2 };

/// The bundle of student `i` of a pool, in `dir`; the student itself stays beside it.
pub fn bundle(dir: &Path, pool: &str, i: u64, precision: &str) -> Result<PathBuf> {
    let student = dir.join(format!("{pool}-{i}"));
    if !student.exists() {
        let input = Input { channels: 1, height: 28, width: 28 };
        let p = pool::named(pool)?;
        random_student(&student, p.arch(&p.sample(23, i), input, 10)?, "fashion-mnist-mini", 16, i)?;
    }
    // The host's profile has no fp16.
    let target = if precision == "fp16" { "jetson-orin-nano" } else { "host" };
    let out = format!("{}-{precision}.gtn", student.display());
    let args = format!("--target {target} {} --precision {precision} {QUICK} --out {out}", student.display());
    let done = run("gtn-export", &args);
    if done.code == Some(0) { Ok(out.into()) } else { Err(Error::Failed(done.stderr)) }
}

/// How far the two backends' logits on a bundle's golden images are apart, by each bound.
pub fn apart<const N: usize>(
    bundle: &Path,
    kernels: Option<Kernels>,
    bounds: [Tolerance; N],
) -> Result<[Parity; N]> {
    let (ort, wgpu) = (logits(bundle, Kind::Ort, None)?, logits(bundle, Kind::Wgpu, kernels)?);
    Ok(bounds.map(|bound| compare(&ort, &wgpu, 10, bound)))
}

/// Of a bundle's golden images.
pub fn logits(bundle: &Path, kind: Kind, kernels: Option<Kernels>) -> Result<Vec<f32>> {
    let options = Options {
        kind: Some(kind),
        wgpu: WgpuOptions { kernels, ..WgpuOptions::any_adapter() },
        threads: Some(1),
        batch: NonZeroUsize::new(4),
        ort: OrtOptions { providers: Providers::Cpu, ..OrtOptions::default() },
        ..Options::default()
    };
    let mut subject = Subject::open(bundle, &options)?;
    let golden = subject.bundle.as_ref().map(|b| b.golden.images.clone());
    let golden = golden.ok_or_else(|| Error::Failed(format!("{} is no bundle", bundle.display())))?;
    subject.logits(&golden, |_| ())
}
