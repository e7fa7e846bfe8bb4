//! Kills gtn-train at seeded moments and starts it again, half of them while it makes a picture cache, half while it
//! trains on it; then compares cache and weights, byte for byte, with those of undisturbed runs:
//!
//! ```text
//! cargo run --release -p gtn-tests --example photo_kills -- [KILLS [SEED]]
//! ```
//!
//! 20 kills unless said otherwise. Needs the programs of the same profile (`make build`).
#![allow(clippy::unwrap_used)] // a measurement that cannot be made has no result

use gtn_tests::kills::Scene;

/// Pictures of each class: nine checkpoints of the cache in all.
const EACH: u64 = 1500;
const EPOCHS: usize = 60;

fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let (kills, seed) =
        (arguments.first().copied().unwrap_or(20) as usize, arguments.get(1).copied().unwrap_or(1));
    let temp = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(temp.path(), EACH, seed);
    println!("{} pictures", 3 * EACH);
    let caching = scene.caching(kills / 2);
    println!("caching: {caching:?}; every cache has the undisturbed one's bytes");
    let training = scene.training(kills - kills / 2, EPOCHS);
    println!(
        "training: {training:?}; every run has the undisturbed one's record, weights and golden answers"
    );
}
