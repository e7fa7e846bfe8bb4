//! fp16 and int8 beside fp32 on backend wgpu: time by turns, and memory as planned.
//!
//! ```text
//! cargo run --release -p gtn-tests --example wgpu_precisions -- [--seconds S]
//! ```
//!
//! Random weights; each turn loads a model anew and measures for a few milliseconds or five inferences.
#![allow(clippy::unwrap_used)] // a measurement that cannot be made has no result

use gtn_core::Precision;
use gtn_core::device;
use gtn_core::ir::arch::Input;
use gtn_core::ir::graph::Graph;
use gtn_core::measure::stats::Summary;
use gtn_core::nets::pool;
use gtn_core::nets::zoo;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_export::untrained;
use gtn_run::backend::{Kind, Options, WgpuOptions};
use gtn_run::gpu;
use gtn_run::onnx::OnnxFile;
use gtn_run::timing::bursts::Bursts;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

const PRECISIONS: [Precision; 3] = Precision::ALL;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let at = args.iter().position(|a| a == "--seconds");
    let seconds: f64 = at.map_or(60.0, |i| args[i + 1].parse().unwrap());
    let options = Options {
        kind: Some(Kind::Wgpu),
        wgpu: WgpuOptions { cache_dir: gpu::default_dir(), ..WgpuOptions::any_adapter() },
        batch: Some(NonZeroUsize::MIN),
        ..Options::default()
    };
    let grey = Input { channels: 1, height: 28, width: 28 };
    let colour = Input { channels: 3, height: 224, width: 224 };
    let student = pool::student("res-mini:d111-k333-e111", grey, 10).unwrap();
    let network = |name| zoo::named(name, colour, 1000).unwrap().unwrap();
    let archs = [
        ("student, 28 x 28", student),
        ("mobilenetv2, 224 x 224", network("mobilenetv2")),
        ("resnet18, 224 x 224", network("resnet18")),
    ];
    let mut models = BTreeMap::new();
    for (name, arch) in &archs {
        let graph = Graph::lower(arch).unwrap();
        for precision in PRECISIONS {
            let model = untrained::write(&graph, name, precision, &device::resolve("host").unwrap()).unwrap();
            models.insert(format!("{name} {precision}"), model);
        }
    }
    let mut bursts = Bursts::default();
    bursts.measure(&models, (Path::new("made up"), &options), seconds, |_| Ok(())).unwrap();
    let mut table =
        Table::new(["network", "precision", "p50", "over fp32", "weights", "activations", "steps"]);
    for (name, _) in &archs {
        for precision in PRECISIONS {
            let of = |precision: Precision| &bursts.medians_us[&format!("{name} {precision}")];
            let turns = of(precision).iter().zip(of(Precision::Fp32));
            let ratios: Vec<f64> = turns.map(|(us, fp32)| us / fp32).collect();
            let ratio = Summary::of(&ratios).unwrap();
            let model = &models[&format!("{name} {precision}")];
            let needs = gpu::needs(&OnnxFile::parse(model, Path::new(name)).unwrap(), &options).unwrap();
            table.row([
                (*name).into(),
                precision.name().into(),
                format::ms(Summary::of(of(precision)).unwrap().p50 / 1e3),
                format!("{:.3} ({:.3} to {:.3})", ratio.p50, ratio.min, ratio.max),
                format::bytes(needs.constant_bytes as u64),
                format::bytes(needs.activation_bytes as u64),
                needs.steps.to_string(),
            ]);
        }
    }
    println!("{}", table.render());
    println!("{} turns", bursts.rounds(models.keys()));
}
