//! Backend wgpu's convolution kernels beside what the adapter can do at most:
//!
//! ```text
//! cargo run --release -p gtn-tests --example wgpu_kernels -- [--seconds S]
//! ```
//!
//! Each row is a chain of equal layers at batch 1, in fp32 or int8. A multiply-add is two operations, and the peak is that
//! of floats. On a software adapter the CPU is
//! the GPU, and the time that its cores spent says more than the clock on a busy machine.
#![allow(clippy::unwrap_used)] // a measurement that cannot be made has no result

use gtn_core::device;
use gtn_core::host::cpu_seconds;
use gtn_core::ir::arch::{Input, Padding};
use gtn_core::ir::cost::Cost;
use gtn_core::ir::graph::{Graph, Node, NodeOp, Part, ValueId};
use gtn_core::text::table::Table;
use gtn_export::untrained;
use gtn_run::backend::{Backend, Kernels, Kind, Options, WgpuOptions};
use gtn_run::gpu::WgpuBackend;
use gtn_run::gpu::peak::Peak;
use gtn_run::judge::bench::made_up;
use gtn_run::onnx::OnnxFile;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

/// Name, kernel, channels, height and width; depthwise where it says so.
const LAYERS: [(&str, usize, usize, usize); 7] = [
    ("1x1", 1, 64, 56),
    ("1x1", 1, 384, 14),
    ("3x3", 3, 64, 56),
    ("3x3", 3, 256, 14),
    ("depthwise 3x3", 3, 144, 56),
    ("depthwise 3x3", 3, 576, 14),
    ("depthwise 5x5", 5, 576, 14),
];
const COPIES: usize = 12;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let at = args.iter().position(|a| a == "--seconds");
    let seconds: f64 = at.map_or(2.0, |i| args[i + 1].parse().unwrap());
    let peak = Peak::open(true).unwrap();
    let top = rate(seconds, || peak.run().unwrap());
    println!("{}: peak {:.1} GFLOP/s, {:.1} per CPU second\n", peak.adapter(), top.wall, top.cpu);
    let mut table =
        Table::new(["layer", "precision", "kernels", "GFLOP/s", "share", "per CPU second", "share"]);
    for (name, kernel, channels, size) in LAYERS {
        let groups = if name.starts_with("depthwise") { channels } else { 1 };
        let graph = chain(kernel, channels, groups, size);
        let flop = 2.0 * Cost::of(&graph).macs as f64;
        let host = device::resolve("host").unwrap();
        let model = |precision| untrained::write(&graph, name, precision, &host).unwrap();
        let models = [gtn_core::Precision::Fp32, gtn_core::Precision::Int8]
            .map(|precision| (precision, model(precision)));
        for (kernels, (precision, model)) in
            Kernels::ALL.iter().flat_map(|k| models.iter().map(move |m| (*k, m)))
        {
            if groups > 1 && kernels == Kernels::Tile {
                continue; // the same as block
            }
            let options = Options {
                kind: Some(Kind::Wgpu),
                wgpu: WgpuOptions { kernels: Some(kernels), ..WgpuOptions::any_adapter() },
                batch: Some(NonZeroUsize::MIN),
                ..Options::default()
            };
            let mut backend =
                WgpuBackend::load(&OnnxFile::parse(model, Path::new(name)).unwrap(), &options, "figures")
                    .unwrap();
            backend.bind(&made_up(&backend).unwrap()).unwrap();
            let found = rate(seconds, || {
                backend.run_bound().unwrap();
                flop
            });
            table.row([
                format!("{name}, {channels} x {size} x {size}"),
                (*precision).into(),
                kernels.name().into(),
                format!("{:.1}", found.wall),
                format!("{:.1} %", 100.0 * found.wall / top.wall),
                format!("{:.1}", found.cpu),
                format!("{:.1} %", 100.0 * found.cpu / top.cpu),
            ]);
        }
    }
    println!("{}", table.render());
}

/// Equal convolutions one after the other, and a classifier, so that little is read back.
fn chain(kernel: usize, channels: usize, groups: usize, size: usize) -> Graph {
    let padding = Padding::Symmetric;
    let conv = NodeOp::Conv { out: channels, kernel, stride: 1, groups, bias: true, padding };
    let layers = (0..COPIES).map(|i| (format!("conv.{i}"), conv.clone(), [channels, size, size]));
    let tail = [
        ("pool".into(), NodeOp::GlobalAvgPool, [channels, 1, 1]),
        ("flatten".into(), NodeOp::Flatten, [channels, 1, 1]),
        ("classifier".into(), NodeOp::Linear { out: 1 }, [1, 1, 1]),
    ];
    let node = |(i, (name, op, shape))| Node { name, op, inputs: vec![ValueId(i)], shape, part: Part::Stem };
    let nodes: Vec<Node> = layers.chain(tail).enumerate().map(node).collect();
    let output = ValueId(nodes.len());
    Graph { input: Input { channels, height: size, width: size }, nodes, stages: Vec::new(), output }
}

/// 10^9 operations a second: of the clock, and of the time this process had on CPUs.
struct Rate {
    wall: f64,
    cpu: f64,
}

fn rate(seconds: f64, mut run: impl FnMut() -> f64) -> Rate {
    for _ in 0..3 {
        run();
    }
    let (start, cpu) = (Instant::now(), cpu_seconds().unwrap());
    let mut flop = 0.0;
    while start.elapsed().as_secs_f64() < seconds {
        flop += run();
    }
    Rate {
        wall: flop / start.elapsed().as_secs_f64() / 1e9,
        cpu: flop / (cpu_seconds().unwrap() - cpu) / 1e9,
    }
}
