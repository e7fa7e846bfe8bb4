//! A kill at any moment costs only the work since the last checkpoint: the resumed run's record equals
//! the uninterrupted run's, byte for byte.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::rng::Rng;
use gtn_tests::{command, run, small_fashion};
use std::fs;
use std::time::{Duration, Instant};

const KILLS: usize = 20;

#[test]
fn kill_9_at_random_moments_changes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    small_fashion(&temp.path().join("data"), 320, 50).unwrap();
    // A checkpoint at each epoch's end: 9 steps.
    let args = format!(
        "teacher --data fashion-mnist:{dir}/data --teacher resnet8 --epochs 36 --batch-size 32 --threads 1"
    );
    let start = Instant::now();
    run("gtn-train", &format!("{args} --out {dir}/whole")).ok();
    // Twenty blows on average take two thirds of the run, however fast the machine.
    let longest = start.elapsed().as_millis() as u64 / 16;
    let mut rng = Rng::new(7, "kill", 0);
    let mut killed = 0;
    let mut resume = "";
    for _ in 0..400 {
        let mut child = command("gtn-train", &format!("{args} --out {dir}/cut {resume}")).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150 + rng.below(longest)));
        resume = "--resume";
        if child.try_wait().unwrap().is_some() {
            break; // finished before the blow
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        killed += 1;
        if killed == KILLS {
            break;
        }
    }
    assert_eq!(killed, KILLS, "the run ended before it was killed {KILLS} times: make it longer");
    run("gtn-train", &format!("{args} --out {dir}/cut --resume")).ok();
    let read = |run: &str, file: &str| fs::read(temp.path().join(run).join(file)).unwrap();
    for file in ["loss.jsonl", "weights.safetensors", "golden.safetensors", "config.toml"] {
        assert!(read("whole", file) == read("cut", file), "{file} differs");
    }
    assert!(!temp.path().join("cut/ckpt").exists(), "checkpoints of a finished run are removed");
}
