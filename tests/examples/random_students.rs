//! Random students in fp32 and int8 for three targets, through export, Python and gtn-run:
//!
//! ```text
//! cargo run --release -p gtn-tests --example random_students -- [COUNT [TARGETS [POOLS [BACKENDS]]]]
//! ```
//!
//! (300 3, every pool, ort). With fewer targets than three, the students take them in turn. Pools and backends (ort,
//! rust, wgpu on any adapter) are names with commas between them: `100 1 mbv2-photo,res-photo ort,rust,wgpu`.
//!
//! Needs the release programs and scripts/setup.sh --oracles. Where something fails the bundles stay in
//! target/random-students.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a measurement that cannot be made has no result

use gtn_tests::random_students::{TARGETS, Trial, survive};

fn main() {
    let argument = |i: usize| std::env::args().nth(i);
    let names = |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let count = argument(1).map_or(300, |n| n.parse().expect("a number of students"));
    let targets = argument(2).map_or(TARGETS.len(), |n| n.parse().expect("a number of targets"));
    let mut trial = Trial::every_pool(count, targets);
    trial.pools = argument(3).map_or(trial.pools, names);
    trial.backends = argument(4).map_or(trial.backends, names);
    let dir = gtn_tests::root().join("target/random-students");
    let _ = std::fs::remove_dir_all(&dir); // of an earlier run
    std::fs::create_dir_all(&dir).unwrap();
    let found = survive(&dir, &trial).unwrap();
    println!(
        "{count} random students of {} x fp32, int8 x {targets} of {}, on {}: {} bundles, {} failures",
        trial.pools.join(", "),
        TARGETS.join(", "),
        trial.backends.join(", "),
        found.bundles,
        found.failures.len()
    );
    found.failures.iter().for_each(|f| println!("{f}"));
    let wanted = count as usize * 2 * targets;
    assert!(
        found.failures.is_empty() && found.bundles == wanted,
        "wanted {wanted} bundles without a failure"
    );
    std::fs::remove_dir_all(&dir).unwrap();
}
