//! `gtn-peer-burn MODEL.onnx CHANNELS HEIGHT WIDTH`: burn-wgpu as one of the processes of the example wgpu_peers
//! (tests/examples/wgpu_peers/child.rs has what they say). The models are compiled in (build.rs); the file's name
//! says which, and beside it lies the input.

use burn::backend::Wgpu;
use burn::backend::wgpu::{RuntimeOptions, WgpuDevice, graphics, init_setup};
use burn::tensor::{Tensor, TensorData};
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

/// burn's module of each ONNX file.
#[allow(clippy::all, dead_code)] // as burn generates them
mod models {
    pub mod student {
        include!(concat!(env!("OUT_DIR"), "/models/student.rs"));
    }
    pub mod mobilenetv2 {
        include!(concat!(env!("OUT_DIR"), "/models/mobilenetv2.rs"));
    }
    pub mod resnet18 {
        include!(concat!(env!("OUT_DIR"), "/models/resnet18.rs"));
    }
}

const BURN: &str = "0.21.0";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let model = Path::new(&args[0]);
    let shape: Vec<usize> = args[1..].iter().map(|d| d.parse().expect("a dimension")).collect();
    let bytes = std::fs::read(model.with_extension("f32")).expect("the input");
    let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")));
    let image = TensorData::new(values.collect::<Vec<f32>>(), [1, shape[0], shape[1], shape[2]]);

    let device = WgpuDevice::default();
    let setup = init_setup::<graphics::Vulkan>(&device, RuntimeOptions::default());
    let adapter = setup.adapter.get_info().name;
    // The input is sent and the logits are read back, each time.
    let send = || Tensor::<Wgpu, 4>::from_data(image.clone(), &device);
    let read = |logits: Tensor<Wgpu, 2>| logits.into_data().to_vec::<f32>().expect("floats");
    match model.file_stem().and_then(|s| s.to_str()) {
        Some("student") => {
            let net = models::student::Model::<Wgpu>::default();
            serve(&adapter, || read(net.forward(send())));
        }
        Some("mobilenetv2") => {
            let net = models::mobilenetv2::Model::<Wgpu>::default();
            serve(&adapter, || read(net.forward(send())));
        }
        Some("resnet18") => {
            let net = models::resnet18::Model::<Wgpu>::default();
            serve(&adapter, || read(net.forward(send())));
        }
        _ => panic!("{}: not compiled in", model.display()),
    }
}

fn serve(adapter: &str, infer: impl Fn() -> Vec<f32>) {
    println!("{BURN}\n{adapter}");
    for line in std::io::stdin().lock().lines() {
        let seconds: f64 = line.expect("a line").parse().expect("seconds");
        let mut logits = infer();
        let (mut times, begin) = (Vec::new(), Instant::now());
        while times.len() < 3 || begin.elapsed().as_secs_f64() < seconds {
            let start = Instant::now();
            logits = infer();
            times.push(start.elapsed().as_nanos());
        }
        times.sort_unstable();
        let logits: Vec<String> = logits.iter().map(ToString::to_string).collect();
        println!("{} {}", times[times.len() / 2], logits.join(" "));
    }
}
