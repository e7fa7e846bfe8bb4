//! Good files of a fleet: what a search found for it, what an export brought about, and what a run noted.

use gtn_core::Precision;
use gtn_core::fleet::record::{self, Choice, Fewest, FleetSearch, Judged, Served};
use gtn_core::fleet::result::{
    self, Change, Delivery, FleetResult, Gate, Measured, Outcome, PassedOver, Spent, State, Verdict,
};
use gtn_core::fleet::{Budget, Price};
use gtn_core::host::Host;
use gtn_core::io::artifact;
use gtn_core::latency::{Basis, Prediction};
use gtn_core::measure::compare::Ratio;
use gtn_export::commands::fleet::{Done, LEDGER_SCHEMA};
use std::collections::BTreeMap;

/// What a search for a fleet of one found.
pub fn found() -> FleetSearch {
    let student = || "res-mini:d111-k333-e111".to_owned();
    let latency = Prediction { ms: 0.5, band: [0.25, 1.0], basis: Basis::Roofline };
    let price = Price { precision: Precision::Int8, latency, memory_bytes: 90_000, model_bytes: 44_000 };
    let choice = Choice { student: student(), val_top1: 0.75, price };
    FleetSearch {
        schema: record::SCHEMA.into(),
        fleet_sha256: artifact::sha256(b"fleet"),
        seed: 0,
        students: vec![student()],
        fewest: Some(Fewest { proven: true, gives_up: 0.0 }),
        devices: vec![Served {
            name: "pi".into(),
            target: "rpi5".into(),
            count: 3,
            budget: Budget { latency_ms: Some(0.9), ..Budget::default() },
            basis: Basis::Roofline,
            best: Some(choice.clone()),
            chosen: Some(choice.clone()),
            front: vec![choice],
        }],
        judged: vec![Judged { student: student(), macs: 5_280_000, params: 44_000, val_top1: 0.75 }],
    }
}

/// What an export for a fleet of one brought about.
pub fn brought_about() -> FleetResult {
    let predicted = Prediction { ms: 0.5, band: [0.25, 1.0], basis: Basis::Table };
    let rest_ms = vec![0.51, 0.5, 0.52, 0.5, 0.5];
    let ratio = Ratio::of_runs(&rest_ms, &[0.6, 0.61, 0.6, 0.6, 0.6], 0.05).ok();
    let measured = Measured {
        reports: "devices/pi/proof-0.json".into(),
        unix_time: 1_700_000_000,
        latency: Some(Prediction { basis: Basis::Measured, ..predicted }),
        rest_ms,
        p50_ms: Some(0.55),
        p99_ms: Some(0.75),
        top1: 0.75,
        top1_ci95: [0.7, 0.8],
        images: 2000,
        peak_rss_bytes: Some(40 << 20),
        energy_mj: Some([0.5, 0.4, 0.6]),
        steady: None,
    };
    let delivery = Delivery {
        student: "runs/s".into(),
        arch: "res-mini:d111-k333-e111".into(),
        precision: Precision::Int8,
        val_top1: 0.75,
        predicted,
        memory_bytes: 90_000,
        model_bytes: 44_000,
        bundle: "bundles/s-rpi5-int8.gtn".into(),
        model_sha256: artifact::sha256(b"model"),
        measured: Some(measured),
    };
    let gate = Gate { name: "latency".into(), limit: None, found: "0.500 ms".into(), verdict: Verdict::Kept };
    let why = "slower".to_owned();
    let passed_over =
        PassedOver { student: "runs/t".into(), precision: Precision::Fp32, val_top1: 0.8, why: why.clone() };
    let change = Change {
        then_unix_time: 1_600_000_000,
        days_ms: vec![0.5],
        ratio,
        slower: true,
        verdict: why.clone(),
    };
    FleetResult {
        schema: result::SCHEMA.into(),
        program: "gtn-export 0.1.0".into(),
        unix_time: 1_700_000_000,
        fleet_sha256: artifact::sha256(b"fleet"),
        runs: "runs".into(),
        students: 2,
        seconds: 12.5,
        devices: vec![Outcome {
            name: "pi".into(),
            target: "rpi5".into(),
            count: 3,
            on: Some("ssh:pi".into()),
            budget: Budget { latency_ms: Some(0.9), steady_ms: Some(1.5), ..Budget::default() },
            state: State::Missed,
            why: Some(why),
            host: Some(Host::default()),
            table: Some("tables/0.json".into()),
            delivery: Some(delivery),
            passed_over: vec![passed_over],
            gates: vec![gate],
            change: Some(change),
            warnings: vec!["busy".into()],
            seconds: Spent { table: 150.0, export: 12.0, proof: 10.5, soak: 0.0 },
        }],
    }
}

/// What a run for that fleet noted.
pub fn ledger() -> Done {
    let one = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    Done {
        schema: LEDGER_SCHEMA.into(),
        bundles: one("bundles/s-rpi5-int8.gtn", "0123456789ab"),
        unfit: one("ba9876543210", "loses 3 points"),
        seconds: BTreeMap::from([("table 0".to_owned(), 150.0)]),
    }
}
