//! Backend wgpu takes the memory it planned.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::device;
use gtn_core::ir::arch::Input;
use gtn_core::ir::graph::Graph;
use gtn_core::nets::zoo;
use gtn_run::backend::{Backend, Options, WgpuOptions};
use gtn_run::gpu::WgpuBackend;
use gtn_run::onnx::OnnxFile;
use std::path::Path;

/// What the driver allocated beside the plan: offsets, what is read back, alignment.
#[test]
fn the_gpu_holds_weights_and_plan_and_little_else() {
    for name in ["mobilenetv2", "resnet18"] {
        let input = Input { channels: 3, height: 224, width: 224 };
        let graph = Graph::lower(&zoo::named(name, input, 1000).unwrap().unwrap()).unwrap();
        let model = gtn_export::untrained::write(
            &graph,
            name,
            gtn_core::Precision::Fp32,
            &device::resolve("host").unwrap(),
        )
        .unwrap();
        let options = Options { wgpu: WgpuOptions::any_adapter(), ..Options::default() };
        let mut backend =
            WgpuBackend::load(&OnnxFile::parse(&model, Path::new("m.onnx")).unwrap(), &options, "test")
                .unwrap();
        backend.bind(&gtn_run::judge::bench::made_up(&backend).unwrap()).unwrap();
        backend.run_bound().unwrap();
        let (allocated, planned) = backend.device_memory().unwrap();
        println!("{name}: {allocated} bytes allocated, {planned} planned, file {}", model.len());
        assert!(allocated >= planned && allocated * 10 <= planned * 11, "{name}: {allocated}, {planned}");
    }
}
