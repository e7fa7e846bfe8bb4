//! How good latency prediction is on this machine:
//!
//! ```text
//! cargo run --release -p gtn-tests --example prediction -- [--threads N] [--table-seconds S] [--seconds S]
//!     [--pools A,B] [--input CxHxW]     (res-mini,mbv2-mini and 3x32x32)
//! ```
//!
//! A kit of the pools is measured (`gtn-run table`), then 20 unseen random students of each pool, side by
//! side, and every prediction is compared with its measurement. Needs the release programs.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a measurement that cannot be made has no result

use gtn_core::Precision;
use gtn_core::artifacts::kit::Kit;
use gtn_core::device;
use gtn_core::ir::graph::Graph;
use gtn_core::latency::budget::Budget;
use gtn_core::latency::select::{StudentCandidate, choose};
use gtn_core::latency::{Basis, Fitted, LatencyTable, Prediction, Roofline, Time};
use gtn_core::measure::stats::Summary;
use gtn_core::rng::Rng;
use gtn_core::text::format;
use gtn_core::text::table;
use gtn_run::backend::Options;
use gtn_run::timing::bursts::Bursts;
use gtn_tests::run;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

/// One unseen student.
struct Student {
    name: String,
    graph: Graph,
    time: Time,
    bursts: Vec<f64>,
}

/// How far predictions are off.
struct Score {
    mape: f64,
    bias: f64,
    tau: f64,
    covered: f64,
    width: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |flag: &str, default: f64| {
        let at = args.iter().position(|a| a == flag);
        at.map_or(default, |i| args[i + 1].parse().expect("a number"))
    };
    let (threads, seconds) = (number("--threads", 1.0) as usize, number("--seconds", 40.0));
    let table_seconds = number("--table-seconds", 120.0);
    let text = |flag: &str, default: &str| {
        let at = args.iter().position(|a| a == flag);
        at.map_or(default.to_owned(), |i| args[i + 1].clone())
    };
    let (pools, input) = (text("--pools", "res-mini,mbv2-mini"), text("--input", "3x32x32"));
    let pools: String = pools.split(',').map(|pool| format!(" --pool {pool}")).collect();
    let dir = gtn_tests::root().join("target/prediction");
    std::fs::create_dir_all(&dir).unwrap();
    let d = dir.display();
    let kit = |name: &str, more: &str| {
        let args = format!("kit --target host{pools} --input {input}");
        run("gtn-export", &format!("{args} {more} --out {d}/{name}.gtnkit")).ok();
    };
    kit("seen", "");
    kit("unseen", "--networks 20 --seed 1");
    let table_path = dir.join(format!("table-{threads}.json"));
    let measured = run(
        "gtn-run",
        &format!(
            "table {d}/seen.gtnkit --out {} --threads {threads} --seconds {table_seconds} --fresh",
            table_path.display()
        ),
    );
    println!("{}", measured.ok());
    let device = device::resolve("host").unwrap();
    for precision in [Precision::Fp32, Precision::Int8] {
        let students = students(&dir, precision, threads, seconds);
        let fitted = Fitted::new(&LatencyTable::read(&table_path).unwrap(), precision, &table_path).unwrap();
        let by_table: Vec<Prediction> = students.iter().map(|s| fitted.predict(&s.graph).unwrap()).collect();
        report(precision, threads, &students, "table", &by_table);
        select(precision, &students, &by_table);
        if let Ok(roofline) = Roofline::new(&device, precision, threads) {
            let by_profile: Vec<Prediction> = students.iter().map(|s| roofline.predict(&s.graph)).collect();
            report(precision, threads, &students, "profile", &by_profile);
        }
    }
}

/// Measures the unseen kit's networks that the other kit does not hold.
fn students(dir: &Path, precision: Precision, threads: usize, seconds: f64) -> Vec<Student> {
    let (seen, unseen) =
        (Kit::open(&dir.join("seen.gtnkit")).unwrap(), Kit::open(&dir.join("unseen.gtnkit")).unwrap());
    let known: Vec<&str> = seen.manifest.networks.iter().map(|n| n.arch.name.as_str()).collect();
    let networks: Vec<_> = unseen
        .manifest
        .networks
        .iter()
        .filter(|n| n.precision == precision && !known.contains(&n.arch.name.as_str()))
        .collect();
    let models: BTreeMap<String, Vec<u8>> =
        networks.iter().map(|n| (n.model.clone(), unseen.models[&n.model].clone())).collect();
    let options = Options { threads: Some(threads), batch: Some(NonZeroUsize::MIN), ..Options::default() };
    let mut bursts = Bursts::default();
    bursts.measure(&models, (&unseen.dir, &options), seconds, |_| Ok(())).unwrap();
    let student = |n: &&gtn_core::artifacts::kit::KitNetwork| {
        let bursts = bursts.medians_us[&n.model].clone();
        let (name, graph) = (n.arch.name.clone(), Graph::lower(&n.arch).unwrap());
        Student { name, graph, time: Time::of(&bursts).unwrap(), bursts }
    };
    networks.iter().map(student).collect()
}

fn report(
    precision: Precision,
    threads: usize,
    students: &[Student],
    basis: &str,
    predictions: &[Prediction],
) {
    let mut rows = table::Table::new(["student", "measured", "predicted", "error"]);
    for (s, p) in students.iter().zip(predictions).filter(|_| basis == "table") {
        let ms = s.time.rest_us / 1e3;
        rows.row([
            s.name.clone(),
            format::ms(ms),
            format::ms(p.ms),
            format!("{:+.1} %", 100.0 * (p.ms / ms - 1.0)),
        ]);
    }
    if basis == "table" {
        println!("{}", rows.render());
    }
    let halves = |s: &Student| {
        let even =
            |r: usize| Time::of(&s.bursts.iter().copied().skip(r).step_by(2).collect::<Vec<_>>()).unwrap();
        (even(0).rest_us / even(1).rest_us - 1.0).abs()
    };
    let noise = Summary::of(&students.iter().map(halves).collect::<Vec<_>>()).unwrap().mean;
    let mut lines =
        table::Table::new(["against", "MAPE", "bias", "Kendall tau", "in the 90 % band", "upper / lower"]);
    let rest: Vec<f64> = students.iter().map(|s| s.time.rest_us / 1e3).collect();
    let median: Vec<f64> = students.iter().map(|s| s.time.p50_us / 1e3).collect();
    for (name, measured) in [("at rest (lower quartile of bursts)", rest), ("p50 of bursts", median)] {
        let s = score(&measured, predictions);
        lines.row([
            name.to_owned(),
            format::percent(s.mape),
            format!("{:+.2} %", 100.0 * s.bias),
            format!("{:.3}", s.tau),
            format::percent(s.covered),
            format!("{:.2}", s.width),
        ]);
    }
    println!(
        "{precision}, {threads} thread(s), {} unseen students, by {basis}; repeat noise {}\n{}",
        students.len(),
        format::percent(noise),
        lines.render()
    );
}

fn score(measured: &[f64], predictions: &[Prediction]) -> Score {
    let n = measured.len() as f64;
    let errors: Vec<f64> = measured.iter().zip(predictions).map(|(m, p)| p.ms / m - 1.0).collect();
    let inside =
        measured.iter().zip(predictions).filter(|(m, p)| (p.band[0]..=p.band[1]).contains(*m)).count();
    let (mut agree, mut pairs) = (0.0, 0.0);
    for i in 0..measured.len() {
        for j in 0..i {
            agree += ((measured[i] - measured[j]) * (predictions[i].ms - predictions[j].ms)).signum();
            pairs += 1.0;
        }
    }
    Score {
        mape: errors.iter().map(|e| e.abs()).sum::<f64>() / n,
        bias: errors.iter().sum::<f64>() / n,
        tau: agree / pairs,
        covered: inside as f64 / n,
        width: predictions.iter().map(|p| p.band[1] / p.band[0]).fold(0.0, f64::max),
    }
}

/// 20 random budgets. The accuracies are made up (a student's MACs and a seeded draw): what is judged is
/// whether the choice keeps the budget when it is measured.
fn select(precision: Precision, students: &[Student], predictions: &[Prediction]) {
    let mut rng = Rng::new(0, "prediction.budgets", 0);
    let mut candidates = Vec::new();
    for (s, p) in students.iter().zip(predictions) {
        let cost = gtn_core::ir::cost::Cost::of(&s.graph);
        candidates.push(StudentCandidate {
            dir: s.name.clone(),
            arch: s.name.clone(),
            precision,
            val_top1: 0.5 + 0.02 * (cost.macs as f64).ln() + 0.02 * rng.normal(),
            val_images: 1000,
            latency: *p,
            memory_bytes: cost.weight_bytes,
            model_bytes: cost.weight_bytes,
            params: cost.params,
            macs: cost.macs,
        });
    }
    let mut all: Vec<f64> = students.iter().map(|s| s.time.rest_us / 1e3).collect();
    all.sort_by(f64::total_cmp);
    let (low, high) = (all[2], all[all.len() - 1]);
    let measured =
        |c: &StudentCandidate| students.iter().find(|s| s.name == c.dir).unwrap().time.rest_us / 1e3;
    let (mut kept, mut within, mut best, mut exactly) = (0, 0, 0, 0);
    for _ in 0..20 {
        let budget = low + (high - low) * rng.unit_f64();
        let limit = Budget { latency_ms: Some(budget), ..Budget::default() };
        let chosen =
            choose(&candidates, &limit, &[], |a, b| Ok(a.latency.clearly_below(&b.latency))).unwrap();
        let half = chosen.latency.band[1] / chosen.latency.ms;
        kept += usize::from(measured(chosen) <= budget);
        within += usize::from(measured(chosen) <= budget * half);
        let better = |c: &&StudentCandidate| c.val_top1 > chosen.val_top1;
        best += usize::from(!candidates.iter().filter(better).any(|c| c.fits(&limit)));
        exactly += usize::from(!candidates.iter().filter(better).any(|c| measured(c) <= budget));
    }
    assert!(candidates.iter().all(|c| c.latency.basis == Basis::Table));
    println!(
        "20 random budgets from {} to {}: the choice keeps the budget when measured in {kept}, within the band in {within}; \
         no more accurate student is predicted to keep it in {best}, none measured keeps it in {exactly}\n",
        format::ms(low),
        format::ms(high)
    );
}
