//! A network of MobileNetV2's class in int8 and fp32, and how long exports take:
//!
//! ```text
//! cargo run --release -p gtn-tests --example mobilenet_v2 -- [--threads N] [--seconds S]
//! ```
//!
//! MobileNetV2 as published, 224 x 224 and 1000 classes, with random weights: size, time and fusion do
//! not depend on them. Needs the release programs.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a measurement that cannot be made has no result

use gtn_core::device;
use gtn_core::ir::arch::Input;
use gtn_core::ir::cost::Cost;
use gtn_core::ir::graph::{Graph, NodeOp};
use gtn_core::nets::zoo;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_export::untrained;
use gtn_run::backend::ort::OrtBackend;
use gtn_run::backend::{Backend, Options};
use gtn_run::judge::bench::made_up;
use gtn_run::onnx::OnnxFile;
use gtn_tests::{random_student, root, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str, default: &str| {
        let at = args.iter().position(|a| a == name);
        at.map_or(default.to_owned(), |i| args[i + 1].clone())
    };
    let (threads, seconds) = (flag("--threads", "1"), flag("--seconds", "20"));
    let dir = root().join("target/mobilenet-v2");
    std::fs::create_dir_all(&dir).unwrap();
    let input = Input { channels: 3, height: 224, width: 224 };
    let graph = Graph::lower(&zoo::named("mobilenetv2", input, 1000).unwrap().unwrap()).unwrap();
    let device = device::resolve("host").unwrap();
    let cost = Cost::of(&graph);
    println!(
        "MobileNetV2 224 x 224: {} parameters, {} MACs",
        format::count(cost.params),
        format::count(cost.macs)
    );
    for precision in [gtn_core::Precision::Fp32, gtn_core::Precision::Int8] {
        let started = Instant::now();
        let model = untrained::write(&graph, "mobilenetv2", precision, &device).unwrap();
        let took = started.elapsed();
        let path = dir.join(format!("{precision}.onnx"));
        std::fs::write(&path, &model).unwrap();
        println!("{precision}: {} bytes, made and written in {:.2} s", model.len(), took.as_secs_f64());
        println!("{}", executed(&model, &path).render());
    }
    let wanted = |op: fn(&NodeOp) -> bool| graph.nodes.iter().filter(|n| op(&n.op)).count();
    println!(
        "of the network: {} convolutions, {} sums, 1 classifier\n",
        wanted(|op| matches!(op, NodeOp::Conv { .. })),
        wanted(|op| matches!(op, NodeOp::Add))
    );
    let d = dir.display();
    let args =
        format!("compare {d}/fp32.onnx {d}/int8.onnx --threads {threads} --seconds {seconds} --json -");
    let found: Value = serde_json::from_str(&run("gtn-run", &args).ok()).unwrap();
    println!(
        "p50, int8 over fp32, {threads} thread(s), in turn: {:.3} (95 % CI {:.3} to {:.3})",
        found["result"]["ratio"].as_f64().unwrap(),
        found["result"]["ci95"][0].as_f64().unwrap(),
        found["result"]["ci95"][1].as_f64().unwrap()
    );
    export_time(&dir);
}

/// The operators that ONNX Runtime executes after its optimisations, by kind.
fn executed(model: &[u8], path: &Path) -> Table {
    let options =
        Options { threads: Some(1), batch: Some(NonZeroUsize::MIN), profile: true, ..Options::default() };
    let mut backend = OrtBackend::load(&OnnxFile::parse(model, path).unwrap(), &options, "figures").unwrap();
    let inputs = made_up(&backend).unwrap();
    backend.run(&inputs).unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for node in backend.node_times().unwrap() {
        *counts.entry(node.op).or_default() += 1;
    }
    let mut table = Table::new(["executed operator", "nodes"]);
    for (op, n) in counts {
        table.row([op, n.to_string()]);
    }
    table
}

/// The whole command on a student of 3.5 M parameters: MobileNetV2 with a wider head, on the embedded
/// 28 x 28 images (the published network has its millions in a classifier of 1000 classes).
fn export_time(dir: &Path) {
    let input = Input { channels: 1, height: 28, width: 28 };
    let mut arch = zoo::named("mobilenetv2", input, 10).unwrap().unwrap();
    let head = arch.head.conv.as_mut().expect("MobileNetV2 has a head convolution");
    head.width = 5120;
    let params = Cost::of(&Graph::lower(&arch).unwrap()).params;
    let student = dir.join("student");
    let _ = std::fs::remove_dir_all(&student); // of an earlier run
    random_student(&student, arch, "fashion-mnist-mini", 16, 1).unwrap();
    for images in [2000, 100] {
        let started = Instant::now();
        let args = format!("--target host --precision fp32 --eval-set {images} {} --out", student.display());
        run("gtn-export", &format!("{args} {}/student.gtn", dir.display())).ok();
        println!(
            "gtn-export --precision fp32, {} parameters, proof on {images} test images: {:.2} s",
            format::count(params),
            started.elapsed().as_secs_f64()
        );
    }
}
