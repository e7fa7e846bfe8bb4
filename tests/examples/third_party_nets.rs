//! Networks that others made (scripts/third-party-nets.sh fetches them): backend wgpu answers as ONNX Runtime does.
//!
//! ```text
//! scripts/third-party-nets.sh && cargo run --release -p gtn-tests --example third_party_nets
//! ```
#![allow(clippy::unwrap_used)] // a measurement that cannot be made has no result

use gtn_core::io::tensors::Data;
use gtn_core::text::table::Table;
use gtn_run::backend::ort::OrtBackend;
use gtn_run::backend::{Backend, Kernels, Kind, Options, WgpuOptions};
use gtn_run::gpu::{WgpuBackend, needs};
use gtn_run::judge::bench::made_up;
use gtn_run::onnx::OnnxFile;
use gtn_tests::root;
use std::num::NonZeroUsize;
use std::path::Path;

/// Of the largest number of an output: sums in another order, a hundred layers deep.
const BOUND: f32 = 1e-3;

fn main() {
    let dir = root().join("target/third-party");
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "onnx"));
    files.sort();
    let mut table =
        Table::new(["network", "steps", "kernels", "largest difference", "of the largest number"]);
    let mut failed = 0;
    for file in &files {
        let model = std::fs::read(file).unwrap();
        let steps = needs(&OnnxFile::parse(&model, file).unwrap(), &Options::default()).unwrap().steps;
        for kernels in Kernels::ALL {
            let (most, worst) = differ(&model, file, kernels);
            failed += usize::from(worst.is_nan() || worst > BOUND * most);
            table.row([
                file.file_stem().unwrap().to_string_lossy().into_owned(),
                steps.to_string(),
                kernels.name().into(),
                format!("{worst:.2e}"),
                format!("{:.1e}", worst / most),
            ]);
        }
    }
    println!("{}", table.render());
    assert!(files.len() >= 4 && failed == 0, "{} networks, {failed} beyond {BOUND:e}", files.len());
}

/// The largest number of ONNX Runtime's first output, and the largest difference.
fn differ(model: &[u8], path: &Path, kernels: Kernels) -> (f32, f32) {
    let options = |kind| Options {
        kind: Some(kind),
        wgpu: WgpuOptions { kernels: (kind == Kind::Wgpu).then_some(kernels), ..WgpuOptions::any_adapter() },
        threads: (kind == Kind::Ort).then_some(1),
        batch: Some(NonZeroUsize::MIN),
        ..Options::default()
    };
    let mut ort =
        OrtBackend::load(&OnnxFile::parse(model, path).unwrap(), &options(Kind::Ort), "figures").unwrap();
    let mut wgpu =
        WgpuBackend::load(&OnnxFile::parse(model, path).unwrap(), &options(Kind::Wgpu), "figures").unwrap();
    let inputs = made_up(&ort).unwrap();
    let (wanted, found) = (ort.run(&inputs).unwrap(), wgpu.run(&inputs).unwrap());
    let mut result = (0.0f32, 0.0f32);
    for (a, b) in wanted.iter().zip(&found) {
        let (Data::F32(a), Data::F32(b)) = (&a.tensor.data, &b.tensor.data) else { return (0.0, f32::NAN) };
        assert_eq!(a.len(), b.len());
        let most = a.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
        // NaN is as large as can be.
        if b.iter().any(|v| !v.is_finite()) {
            return (most, f32::NAN);
        }
        if worst / most >= result.1 / result.0.max(f32::MIN_POSITIVE) {
            result = (most, worst);
        }
    }
    result
}
