//! Networks with random weights: for tests here and in the other crates, and for kits (what is timed needs
//! no training). Deterministic.

use crate::graph::{Graph, Role};
use crate::rng::Rng;
use crate::weights::Weights;
#[cfg(test)]
use crate::{
    host::{Conditions, Host},
    latency_samples::{Latency, Pace, Robust},
    report::{Accuracy, BackendInfo, Model, Report, SCHEMA},
    stats::Summary,
    warning::Warning,
};

/// Weights with realistic scales: He-normal products, BN statistics away from 0 and 1, so that a
/// forgotten mean, variance or bias shows.
pub fn random_weights(graph: &Graph, seed: u64) -> Weights {
    let mut weights = Weights::default();
    for (i, spec) in graph.params().into_iter().enumerate() {
        let mut rng = Rng::new(seed, "random_weights", i as u64);
        let n: usize = spec.shape.iter().product();
        let fan_in: usize = spec.shape.iter().skip(1).product();
        let mut draw = |mean: f64, sd: f64| (0..n).map(|_| (mean + sd * rng.normal()) as f32).collect();
        let values: Vec<f32> = match spec.role {
            Role::Weight => draw(0.0, (2.0 / fan_in.max(1) as f64).sqrt()),
            Role::Bias | Role::NormShift | Role::RunningMean => draw(0.0, 0.1),
            Role::NormScale => draw(1.0, 0.1),
            Role::RunningVar => {
                let normal: Vec<f32> = draw(0.0, 0.3);
                normal.into_iter().map(|x| x.exp()).collect()
            }
        };
        weights.0.insert(spec.name, values);
    }
    weights
}

/// One standard-normal image, `[C, H, W]`.
pub fn random_image(graph: &Graph, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed, "random_image", 0);
    let n = graph.input.channels * graph.input.height * graph.input.width;
    (0..n).map(|_| rng.normal() as f32).collect()
}

/// A report of two images and 300 inferences, for tests of what shows reports.
#[cfg(test)]
pub fn report(name: &str) -> Report {
    let samples: Vec<f64> = (0..300).map(|i| 1.0 + f64::from(i % 7) * 0.01).collect();
    let names: Vec<String> = ["cat", "<dog>"].map(str::to_owned).to_vec();
    Report {
        schema: SCHEMA.into(),
        program: "gtn-run 0".into(),
        unix_time: 0,
        model: Model {
            name: name.into(),
            sha256: "00".into(),
            bytes: 1234,
            target: None,
            precision: None,
            arch: None,
            macs: Some(5_000_000),
            params: Some(44_000),
        },
        host: Host::default(),
        backend: BackendInfo {
            name: "ort".into(),
            version: "1".into(),
            library: "x".into(),
            providers: vec!["CPU".into()],
            threads: 1,
            batch: 1,
            why: "asked for".into(),
            ..BackendInfo::default()
        },
        parity: vec![],
        accuracy: Accuracy::of("test", &[1.0, 0.0, 0.0, 1.0], &[0, 1], &names).into_iter().collect(),
        latency: Some(Latency {
            batch: 1,
            init_ms: 2.0,
            first_ms: 1.0,
            warmup_runs: 3,
            warmup_s: 0.1,
            pace: Pace::BackToBack,
            io: "bound".into(),
            cpus: None,
            inferences: samples.len(),
            kept_every: 1,
            summary: Summary::of(&samples).unwrap(),
            robust: Robust::of(&samples),
            samples_ms: samples,
            before: Conditions::default(),
            after: Conditions::default(),
            during: vec![],
            disturbance: None,
        }),
        peak_rss_bytes: None,
        profile: None,
        memory: None,
        warnings: vec![Warning::FewImages { n: 2 }],
    }
}
