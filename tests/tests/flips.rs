//! One flipped byte anywhere in a bundle is refused, and the file is named.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::ir::arch::Input;
use gtn_core::nets::pool;
use gtn_core::rng::Rng;
use gtn_tests::sshd::files;
use gtn_tests::{random_student, run};
use std::fs;

const FLIPS: usize = 200;

#[test]
fn every_flipped_byte_is_noticed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    let input = Input { channels: 1, height: 28, width: 28 };
    random_student(
        &temp.path().join("s"),
        pool::student("mbv2-mini:d111-k333-e333", input, 10).unwrap(),
        "fashion-mnist-mini",
        16,
        1,
    )
    .unwrap();
    run("gtn-export", &format!("--target rpi5 {dir}/s --out {dir}/b.gtn --eval-set 200")).ok();
    let bundle = temp.path().join("b.gtn");
    let mut files = files(&bundle);
    files.sort();
    assert_eq!(files.len(), 13);
    let mut rng = Rng::new(3, "flips", 0);
    let mut failures = Vec::new();
    for i in 0..FLIPS {
        // Each file in turn: by size alone, the small ones would hardly be met.
        let path = &files[i % files.len()];
        let good = fs::read(path).unwrap();
        let mut bad = good.clone();
        let at = rng.below(bad.len() as u64) as usize;
        bad[at] ^= 1 << rng.below(8);
        fs::write(path, &bad).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let done = run("gtn-run", &format!("verify {dir}/b.gtn"));
        failures.extend(done.not_refused(2, &[name]).map(|why| format!("{name} byte {at}: {why}")));
        fs::write(path, &good).unwrap();
    }
    assert!(failures.is_empty(), "{} of {FLIPS}:\n{}", failures.len(), failures.join("\n"));
    run("gtn-run", &format!("verify {dir}/b.gtn")).ok();

    fs::remove_file(bundle.join("device.toml")).unwrap();
    assert_eq!(run("gtn-run", &format!("verify {dir}/b.gtn")).not_refused(2, &["device.toml"]), None);
}
