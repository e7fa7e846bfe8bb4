//! Latency: first inference, warm-up, then every inference timed by itself.

use crate::backend::Named;
use crate::subject::Subject;
use gtn_core::host::Conditions;
use gtn_core::report::Latency;
use gtn_core::rng::Rng;
use gtn_core::stats::Summary;
use gtn_core::tensors::Tensor;
use gtn_core::{Error, Result};
use std::time::{Duration, Instant};

/// Samples kept at most (a 10 us model would give a million in 10 s).
const MAX_SAMPLES: usize = 200_000;

/// How long to measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Warm-up lasts at least this long...
    pub warmup_s: f64,
    /// ...and at least so many inferences.
    pub warmup_runs: usize,
    /// Measuring lasts at least this long...
    pub seconds: f64,
    /// ...and at least so many inferences.
    pub min_runs: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { warmup_s: 0.5, warmup_runs: 10, seconds: 3.0, min_runs: 100 }
    }
}

/// Measures one inference at the model's batch size.
pub fn bench(subject: &mut Subject, settings: Settings) -> Result<Latency> {
    let inputs = inputs(subject)?;
    let backend = &mut subject.backend;
    let start = Instant::now();
    backend.bind(&inputs)?;
    backend.run_bound()?;
    let first_ms = ms(start.elapsed());

    let start = Instant::now();
    let mut warmup_runs = 0;
    while warmup_runs < settings.warmup_runs || start.elapsed().as_secs_f64() < settings.warmup_s {
        backend.run_bound()?;
        warmup_runs += 1;
    }
    let warmup_s = start.elapsed().as_secs_f64();

    let before = Conditions::read();
    let mut samples_ms = Vec::with_capacity(4096);
    let start = Instant::now();
    while samples_ms.len() < MAX_SAMPLES
        && (samples_ms.len() < settings.min_runs || start.elapsed().as_secs_f64() < settings.seconds)
    {
        let run = Instant::now();
        backend.run_bound()?;
        samples_ms.push(ms(run.elapsed()));
    }
    let after = Conditions::read();
    let summary =
        Summary::of(&samples_ms).ok_or_else(|| Error::usage("nothing to measure: 0 runs in 0 s"))?;
    let batch = backend.info().batch;
    Ok(Latency {
        batch,
        init_ms: subject.init_ms,
        first_ms,
        warmup_runs,
        warmup_s,
        summary,
        samples_ms,
        before,
        after,
    })
}

fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

/// The bundle's first golden images, else seeded standard-normal values; open dimensions become 1.
fn inputs(subject: &Subject) -> Result<Vec<Named>> {
    let backend = &subject.backend;
    let batch = backend.info().batch;
    if let (Some(bundle), Some(slot)) = (&subject.bundle, backend.inputs().first()) {
        let p = &bundle.manifest.preprocess;
        let values = p.normalise(&bundle.golden.images)?;
        let values = values.iter().copied().cycle().take(batch * p.image_len()).collect();
        let tensor = Tensor::f32(&[batch, p.channels, p.height, p.width], values);
        return Ok(vec![Named { name: slot.name.clone(), tensor }]);
    }
    let mut rng = Rng::new(0, "bench", 0);
    let random = |slot: &crate::backend::Slot| {
        let shape: Vec<usize> = slot.shape.iter().map(|&d| usize::try_from(d).unwrap_or(1)).collect();
        let n: usize = shape.iter().product();
        let tensor = match slot.dtype.as_str() {
            "float" => Tensor::f32(&shape, (0..n).map(|_| rng.normal() as f32).collect()),
            "uint8" => Tensor::u8(&shape, (0..n).map(|_| rng.below(256) as u8).collect()),
            "int64" => Tensor::i64(&shape, vec![0; n]),
            other => {
                return Err(Error::usage(format!("input `{}` is {other}: cannot make one up", slot.name)));
            }
        };
        Ok(Named { name: slot.name.clone(), tensor })
    };
    backend.inputs().iter().map(random).collect()
}
