//! Backend wgpu as one of the processes, and the answers of ONNX Runtime's CPU.

use gtn_core::io::tensors::Data;
use gtn_core::measure::robust::median;
use gtn_run::backend::ort::OrtBackend;
use gtn_run::backend::{Backend, Kind, Named, Options, WgpuOptions};
use gtn_run::gpu::WgpuBackend;
use gtn_run::judge::bench::made_up;
use gtn_run::onnx::OnnxFile;
use std::io::BufRead;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

/// What every runtime is given.
pub fn input(model: &Path) -> Vec<f32> {
    values(&made_up(&on_cpu(model)).unwrap())
}

/// The logits that all should give.
pub fn reference(model: &Path) -> Vec<f32> {
    let mut cpu = on_cpu(model);
    let inputs = made_up(&cpu).unwrap();
    values(&cpu.run(&inputs).unwrap())
}

fn on_cpu(model: &Path) -> OrtBackend {
    let options = Options { kind: Some(Kind::Ort), batch: Some(NonZeroUsize::MIN), ..Options::default() };
    OrtBackend::load(&OnnxFile::read(model).unwrap(), &options, "reference").unwrap()
}

fn values(tensors: &[Named]) -> Vec<f32> {
    let [Named { tensor, .. }] = tensors else { unreachable!("these networks have one input and output") };
    let Data::F32(values) = &tensor.data else { unreachable!("they are of floats") };
    values.clone()
}

/// See `child.rs`. Of the arguments only the model matters: its input is made up again, the same.
pub fn serve(args: &[String]) {
    let path = Path::new(&args[0]);
    let options = Options {
        kind: Some(Kind::Wgpu),
        wgpu: WgpuOptions::any_adapter(),
        batch: Some(NonZeroUsize::MIN),
        ..Options::default()
    };
    let model = std::fs::read(path).unwrap();
    let mut backend =
        WgpuBackend::load(&OnnxFile::parse(&model, path).unwrap(), &options, "measured").unwrap();
    let inputs = made_up(&backend).unwrap();
    println!("{}\n{}", env!("CARGO_PKG_VERSION"), backend.info().providers.join(", "));
    for line in std::io::stdin().lock().lines() {
        let seconds: f64 = line.unwrap().parse().unwrap();
        let mut logits = backend.run(&inputs).unwrap();
        let (mut times, begin) = (Vec::new(), Instant::now());
        while times.len() < 3 || begin.elapsed().as_secs_f64() < seconds {
            let start = Instant::now();
            logits = backend.run(&inputs).unwrap();
            times.push(start.elapsed().as_nanos() as f64);
        }
        let logits: Vec<String> = values(&logits).iter().map(ToString::to_string).collect();
        println!("{} {}", median(&times), logits.join(" "));
    }
}
