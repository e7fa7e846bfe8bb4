//! Which candidate ships: the fastest. On the machine itself they are measured, taking turns; for
//! another device the profile's order stands.

use crate::candidate::Candidate;
use gtn_core::stats::percentile;
use gtn_core::tensors::Tensor;
use gtn_core::{Error, Result};
use gtn_run::backend::{Backend, Named, Options};
use gtn_run::ort_backend::OrtBackend;
use std::path::Path;
use std::time::{Duration, Instant};

/// Turns that each candidate takes.
const ROUNDS: usize = 30;
/// Length of a turn.
const TURN: Duration = Duration::from_millis(15);

/// Median milliseconds of one inference, by candidate; they take turns, so that a disturbance falls on
/// all alike.
pub fn measure(candidates: &[Candidate], input: &Tensor, options: &Options) -> Result<Vec<f64>> {
    let load = |c: &Candidate| -> Result<OrtBackend> {
        let mut backend = OrtBackend::load(&c.model, Path::new("model.onnx"), options, "the exporter's own")?;
        backend.bind(&[Named { name: "image".into(), tensor: input.clone() }])?;
        Ok(backend)
    };
    let mut backends = candidates.iter().map(load).collect::<Result<Vec<_>>>()?;
    let mut samples: Vec<Vec<f64>> = vec![Vec::new(); candidates.len()];
    for round in 0..=ROUNDS {
        for (backend, samples) in backends.iter_mut().zip(&mut samples) {
            let turn = Instant::now();
            let mut first = true;
            while first || turn.elapsed() < TURN {
                let start = Instant::now();
                backend.run_bound()?;
                // The first of a turn finds other data in the caches; the first round warms up.
                if round > 0 && !first {
                    samples.push(start.elapsed().as_secs_f64() * 1e3);
                }
                first = false;
            }
            if round > 0 && samples.is_empty() {
                samples.push(turn.elapsed().as_secs_f64() * 1e3); // slower than a turn
            }
        }
    }
    samples.iter_mut().for_each(|s| s.sort_by(f64::total_cmp));
    Ok(samples.iter().map(|s| percentile(s, 0.5)).collect())
}

/// Index of the smallest.
pub fn fastest(p50_ms: &[f64]) -> Result<usize> {
    let best = p50_ms.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
    best.map(|(i, _)| i).ok_or_else(|| Error::Failed("no candidate is left".into()))
}
