//! Which kernels are fastest for a model on this adapter, measured in turn and kept for the next time.

use crate::backend::{Kernels, Kind, Options, WgpuOptions};
use crate::gpu::exec::executor::VERSION;
use crate::gpu::exec::{adapter, cache};
use crate::judge::bench::inputs;
use crate::subject::Subject;
use gtn_core::io::artifact;
use gtn_core::measure::robust::median;
use gtn_core::rng::Rng;
use gtn_core::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Rounds in which every choice has its turn, in random order.
const ROUNDS: u64 = 15;

/// This is one choice of kernels and the median of its rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TriedKernels {
    /// How convolutions were computed.
    pub kernels: Kernels,
    /// Of one inference.
    pub p50_ms: f64,
}

/// This is what tuning found, the fastest first.
#[derive(Debug)]
pub struct Tuned {
    /// All of [`Kernels::ALL`].
    pub tried: Vec<TriedKernels>,
    /// Adapter and driver.
    pub adapter: String,
    /// Where the choice is kept.
    pub path: PathBuf,
}

/// Measures for `seconds` in all (loading aside) and keeps the fastest in `options.wgpu.cache_dir`, where
/// loading the same model on the same adapter with the same batch finds it. Without such a folder it fails with
/// a usage error.
pub fn tune(path: &Path, options: &Options, seconds: f64) -> Result<Tuned> {
    let dir = options.wgpu.cache_dir.as_deref();
    let dir = dir.ok_or_else(|| Error::usage("no place to keep the choice: set HOME or XDG_CACHE_HOME"))?;
    artifact::create_dir(dir)?;
    artifact::check_writable(&dir.join("kernels"))?;
    let mut candidates = Vec::new();
    for kernels in Kernels::ALL {
        let options = Options {
            kind: Some(Kind::Wgpu),
            wgpu: WgpuOptions { kernels: Some(kernels), ..options.wgpu.clone() },
            ..options.clone()
        };
        let mut subject = Subject::open(path, &options)?;
        subject.backend.bind(&inputs(&subject)?)?;
        subject.backend.run_bound()?;
        candidates.push((kernels, subject, Vec::new()));
    }
    let burst_s = seconds / (ROUNDS as f64 * candidates.len() as f64);
    for round in 0..ROUNDS {
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        Rng::new(1, "tune", round).shuffle(&mut order);
        for i in order {
            let Some((_, subject, rounds)) = candidates.get_mut(i) else { continue };
            let (start, mut times) = (Instant::now(), Vec::new());
            while times.is_empty() || start.elapsed().as_secs_f64() < burst_s {
                let one = Instant::now();
                subject.backend.run_bound()?;
                times.push(one.elapsed().as_secs_f64() * 1e3);
            }
            rounds.push(median(&times));
        }
    }
    let mut tried: Vec<TriedKernels> = candidates
        .iter()
        .map(|(kernels, _, r)| TriedKernels { kernels: *kernels, p50_ms: median(r) })
        .collect();
    tried.sort_by(|a, b| a.p50_ms.total_cmp(&b.p50_ms));
    let (Some(best), Some((_, subject, _))) = (tried.first(), candidates.first()) else {
        return Err(Error::Failed("nothing was measured".into()));
    };
    let found = adapter::find(options.wgpu.allow_software)?;
    let key = cache::key(found.info(), VERSION);
    let path = cache::choose(dir, &key, &subject.model.sha256, subject.backend.info().batch, best.kernels)?;
    Ok(Tuned { adapter: subject.backend.info().providers.join(", "), tried, path })
}
