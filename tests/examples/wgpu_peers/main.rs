//! Backend wgpu and other GPU runtimes in turn, on the same adapter, ONNX files, input and batch of 1:
//!
//! ```text
//! scripts/wgpu-peers.sh [--seconds S] [--rounds R] [--model NAME] [--torch cuda|cpu]
//! ```
//!
//! Each runtime is a process of its own (`child.rs` has what they say to each other). Every inference of every
//! one of them sends the input to the adapter and reads the logits back. A peer whose logits are not those of
//! ONNX Runtime's CPU computes something else and is no peer: the largest difference, as a share of the
//! largest logit, stands beside its time.
#![allow(clippy::unwrap_used)] // a measurement that cannot be made has no result

mod child;
mod engines;
mod ours;

use child::Child;
use engines::Engine;
use gtn_core::device;
use gtn_core::ir::arch::Input;
use gtn_core::ir::cost::Cost;
use gtn_core::ir::graph::Graph;
use gtn_core::measure::robust::median;
use gtn_core::nets::pool;
use gtn_core::nets::zoo;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_export::untrained;
use gtn_tests::root;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The demo's student, and two networks of the literature.
const MODELS: [&str; 3] = ["student", "mobilenetv2", "resnet18"];
/// An engine is warm when two measurements in a row differ by less than this share, or after so many of them.
const WARM: f64 = 0.05;
const WARM_UPS: usize = 20;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = root().join("target/wgpu-peers");
    match args.first().map(String::as_str) {
        Some("models") => models(&dir),
        Some("serve") => ours::serve(&args[1..]),
        _ => {
            let flag = |name: &str| args.iter().position(|a| a == name).map(|i| args[i + 1].clone());
            let seconds = flag("--seconds").map_or(2.0, |s| s.parse().unwrap());
            let rounds = flag("--rounds").map_or(7, |s| s.parse().unwrap());
            let engines = engines::all(&dir, flag("--torch").as_deref().unwrap_or("none"));
            for model in MODELS.into_iter().filter(|m| flag("--model").is_none_or(|wanted| wanted == *m)) {
                compare(&dir, model, &engines, seconds, rounds);
            }
        }
    }
}

/// Writes each model and its input (normal values, f32, little-endian).
fn models(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    for name in MODELS {
        let model = untrained::write(
            &graph(name),
            name,
            gtn_core::Precision::Fp32,
            &device::resolve("host").unwrap(),
        )
        .unwrap();
        let path = onnx(dir, name);
        // Unchanged files keep their times: what was made of them need not be made again.
        if fs::read(&path).ok().as_ref() != Some(&model) {
            fs::write(&path, &model).unwrap();
        }
        let bytes: Vec<u8> = ours::input(&path).iter().flat_map(|v| v.to_le_bytes()).collect();
        fs::write(path.with_extension("f32"), bytes).unwrap();
    }
}

/// Weights do not change a float network's time: none of them is trained.
fn graph(name: &str) -> Graph {
    let large = Input { channels: 3, height: 224, width: 224 };
    let small = Input { channels: 1, height: 28, width: 28 };
    let arch = match name {
        "student" => pool::student("res-mini:d111-k333-e111", small, 10).unwrap(),
        _ => zoo::named(name, large, 1000).unwrap().unwrap(),
    };
    Graph::lower(&arch).unwrap()
}

fn onnx(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.onnx"))
}

/// Prints a table of one model: a row an engine, the first of which is ours; and why an engine has no figures.
fn compare(dir: &Path, model: &str, engines: &[Engine], seconds: f64, rounds: usize) {
    let path = onnx(dir, model);
    let shape = graph(model).input;
    println!("{model}, {} x {} x {}, {} MACs", shape.channels, shape.height, shape.width, macs(model));
    let reference = ours::reference(&path);
    let mut started: Vec<(&Engine, Result<Child, String>)> =
        engines.iter().map(|e| (e, e.start(&path, shape).and_then(|child| warm(child, seconds)))).collect();
    // Of those that run: p50 of each round, ms; the largest difference of all rounds.
    let mut p50s: Vec<Vec<f64>> = vec![Vec::new(); started.len()];
    let mut differences = vec![0f32; started.len()];
    for round in 0..rounds {
        for turn in 0..started.len() {
            let i = (turn + round) % started.len();
            let (_, child) = &mut started[i];
            match child.as_mut().map(|c| c.measure(seconds)) {
                Ok(Ok((p50, logits))) => {
                    p50s[i].push(p50);
                    differences[i] = differences[i].max(difference(&logits, &reference));
                }
                Ok(Err(why)) => *child = Err(why),
                Err(_) => {} // it has its row
            }
        }
    }
    let head = ["runtime", "p50", "peer / ours, median (smallest to largest)", "largest difference", "on"];
    let mut table = Table::new(head);
    let mut failed = String::new();
    for (((engine, child), own), difference) in started.iter().zip(&p50s).zip(&differences) {
        table.row(match child {
            Ok(c) => [
                format!("{} {}", engine.name, c.version),
                format::ms(median(own)),
                ratios(own, &p50s[0]),
                format!("{difference:.1e}"),
                c.adapter.clone(),
            ],
            Err(why) => {
                writeln!(failed, "{}: {why}", engine.name).unwrap();
                [engine.name.into(), "-".into(), "did not run, see below".into(), "-".into(), "-".into()]
            }
        });
    }
    println!("{}\n{failed}", table.render());
}

fn macs(model: &str) -> String {
    format::count(Cost::of(&graph(model)).macs)
}

/// Measures until nothing is tuned, compiled or allocated any more.
fn warm(mut child: Child, seconds: f64) -> Result<Child, String> {
    let (mut before, _) = child.measure(seconds)?;
    for _ in 0..WARM_UPS {
        let (now, _) = child.measure(seconds)?;
        if (now / before - 1.0).abs() < WARM {
            break;
        }
        before = now;
    }
    Ok(child)
}

/// Of rounds measured in turn.
fn ratios(peer: &[f64], ours: &[f64]) -> String {
    let mut all: Vec<f64> = peer.iter().zip(ours).map(|(p, o)| p / o).collect();
    all.sort_by(f64::total_cmp);
    match (all.first(), all.last()) {
        (Some(low), Some(high)) => format!("{:.2} ({low:.2} to {high:.2})", median(&all)),
        _ => "ours did not run".into(),
    }
}

/// The largest, as a share of the largest logit; infinite where one is no number.
fn difference(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len(), "as many logits as ONNX Runtime gives");
    if found.iter().any(|v| !v.is_finite()) {
        return f32::INFINITY;
    }
    let top = wanted.iter().fold(0f32, |m, v| m.max(v.abs()));
    found.iter().zip(wanted).fold(0f32, |m, (f, w)| m.max((f - w).abs())) / top
}
