//! A report for tests.

use super::report::{Accuracy, BackendInfo, Model, Report, SCHEMA};
use super::samples::{Io, Latency, Pace, Robust};
use super::stats::Summary;
use super::warning::Warning;
use crate::host::{Conditions, Host};

/// A report of two images and 300 inferences, for tests of what shows reports.
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
            io: Io::Bound,
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
