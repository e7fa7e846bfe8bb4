//! Networks in PyTorch's files answer as PyTorch does: scripts/pretrained-peer.sh writes them with an input and PyTorch's
//! logits, this reads them as `gtn-train --init` does and asks the reference evaluator.
//!
//! ```text
//! cargo run --release -p gtn-tests --example pretrained_peer -- DIR
//! ```
//!
//! DIR/NAME.FROM.pth, NAME.FROM.input.npy (`[1, 3, S, S]`), NAME.FROM.logits.npy (`[1, classes]`) each; FROM says whose
//! names and weights they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement that cannot be made has no result

use gtn_core::io::npy;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::ir::arch::{Input, NormEpsilon};
use gtn_core::ir::eval;
use gtn_core::ir::graph::Graph;
use gtn_core::nets::{pretrained, zoo};
use std::path::Path;

/// |difference| over the largest |logit|.
const BOUND: f32 = 1e-4;

fn main() {
    let dir = std::env::args().nth(1).expect("a folder");
    let files = std::fs::read_dir(&dir).expect("the folder").map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|p| p.extension().is_some_and(|e| e == "pth")).collect();
    files.sort();
    assert!(!files.is_empty(), "{dir}: no .pth");
    println!("{:20} {:24} {:>5} {:>12} {:>9}", "network", "names of", "size", "difference", "top class");
    let mut worst = 0f32;
    for file in files {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let (name, origin) = stem.rsplit_once('.').expect("NAME.FROM.pth");
        let (shape, pixels) = array(&file.with_file_name(format!("{stem}.input.npy")));
        let (out, wanted) = array(&file.with_file_name(format!("{stem}.logits.npy")));
        let input = Input { channels: shape[1], height: shape[2], width: shape[3] };
        let mut spec = zoo::named(name, input, out[1]).unwrap().expect("a network we know");
        if origin == "timm" && name.starts_with("mobilenetv3") {
            spec.norm_epsilon = NormEpsilon::default(); // timm's mobilenetv3_.._100, unlike torchvision's and its own tf_..
        }
        let read = pretrained::read(&file, &spec).unwrap();
        let logits = eval::run(&Graph::lower(&spec).unwrap(), &read.weights, &pixels).unwrap();
        let largest = wanted.iter().fold(0f32, |a, &b| a.max(b.abs()));
        let pairs = || logits.iter().zip(&wanted);
        assert!(logits.len() == wanted.len() && pairs().all(|(a, b)| a.is_finite() && b.is_finite()));
        let difference = pairs().fold(0f32, |m, (a, b)| m.max((a - b).abs())) / largest;
        worst = worst.max(difference);
        let top = |v: &[f32]| (0..v.len()).max_by(|&a, &b| v[a].total_cmp(&v[b])).unwrap();
        let (ours, theirs) = (top(&logits), top(&wanted));
        let verdict = if ours == theirs { format!("{ours}") } else { format!("{ours} ({theirs})") };
        println!(
            "{name:20} {:24} {:>5} {difference:>12.2e} {verdict:>9}",
            read.naming.as_str(),
            input.height
        );
    }
    println!("largest difference: {worst:.2e} of the largest logit (bound {BOUND:e})");
    assert!(worst <= BOUND, "beyond the bound");
}

/// Shape and values.
fn array(path: &Path) -> (Vec<usize>, Vec<f32>) {
    match npy::read(path).unwrap() {
        Tensor { shape, data: Data::F32(values) } => (shape, values),
        other => panic!("{}: {:?}, wanted f32", path.display(), other.data.element()),
    }
}
