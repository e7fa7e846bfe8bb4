//! Random students in fp32 and int8 for three targets, through export, Python and gtn-run:
//!
//! ```text
//! cargo run --release -p gtn-tests --example random_students -- [COUNT [TARGETS]]      (300 3)
//! ```
//!
//! With fewer targets than three, the students take them in turn.
//!
//! Needs the release programs and scripts/setup.sh --oracles.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a measurement that cannot be made has no result

use gtn_tests::random_students::{TARGETS, survive};

fn main() {
    let count = std::env::args().nth(1).map_or(300, |n| n.parse().expect("a number of students"));
    let targets = std::env::args().nth(2).map_or(TARGETS.len(), |n| n.parse().expect("a number of targets"));
    let dir = gtn_tests::root().join("target/random-students");
    let _ = std::fs::remove_dir_all(&dir); // of an earlier run
    std::fs::create_dir_all(&dir).unwrap();
    let found = survive(&dir, count, targets).unwrap();
    println!(
        "{count} random students x fp32, int8 x {targets} of {}: {} bundles, {} failures",
        TARGETS.join(", "),
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
