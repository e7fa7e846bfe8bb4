//! What gtn-run costs and how far its numbers can be trusted, on this machine:
//!
//! ```text
//! cargo run --release -p gtn-tests --example running -- [peer|peers|repeat|same|slower|process]... [--threads N]
//! ```
//!
//! `peer`: against ONNX Runtime's Python interface, in turn. `peers`: beside rten, tract and OpenVINO. `repeat`: the spread of p50 over 20 runs of 10 s.
//! `same`, `slower`: how often `compare` is right about a network against itself, and against itself made
//! 5 % slower. `process`: memory growth, 200 starts, the wall time of `verify`. Without a name: all. Needs the
//! release programs and the Python oracles (scripts/setup.sh --peers); a quiet machine.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a measurement that cannot be made has no result

mod peer;
mod trust;

use gtn_core::ir::arch::Input;
use gtn_tests::{random_student, root, run};
use std::path::Path;

fn main() {
    let mut parts: Vec<String> = std::env::args().skip(1).collect();
    let threads = match parts.iter().position(|a| a == "--threads") {
        Some(at) => parts.drain(at..at + 2).nth(1).unwrap().parse().expect("a number of threads"),
        None => 1,
    };
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    let dir = root().join("target/running");
    std::fs::create_dir_all(&dir).unwrap();
    if wants("peer") {
        println!("{}", peer::against_python(&dir, threads).render());
    }
    let bundle = bundle(&dir, "fp32");
    if wants("peers") {
        let bundles = [bundle.clone().into(), self::bundle(&dir, "int8").into()];
        println!("{}", peer::others(&dir, &bundles, threads).render());
    }
    if wants("repeat") {
        println!("{}\n", trust::repeat(&bundle, threads));
    }
    for (part, slower) in [("same", 1.0), ("slower", 1.05)] {
        if wants(part) {
            println!("{}", trust::trials(Path::new(&bundle), threads, slower).render());
        }
    }
    if wants("process") {
        println!("{}", trust::process(&bundle).render());
    }
}

/// The demo's student with random weights: what is measured here does not depend on them.
fn bundle(dir: &Path, precision: &str) -> String {
    let path = dir.join(format!("student-{precision}.gtn"));
    let input = Input { channels: 1, height: 28, width: 28 };
    let arch = gtn_core::nets::pool::student("res-mini:d111-k333-e111", input, 10).unwrap();
    random_student(&dir.join("student"), arch, "fashion-mnist-mini", 64, 1).unwrap();
    let _ = std::fs::remove_dir_all(&path); // an older one
    let flags = format!("--precision {precision} --max-drop 100 --calib-images 64 --out {}", path.display());
    run("gtn-export", &format!("--target host {}/student {flags}", dir.display())).ok();
    path.display().to_string()
}
