//! `gtn-run soak`: blocks that add up, a verdict, a page; ended early, what was measured is kept.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::measure::samples::Pace;
use gtn_core::measure::soak::Soak;
use gtn_core::measure::steady::Verdict;
use gtn_tests::{Done, command, run, small_bundle};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_load_that_lasts_is_judged_block_by_block() {
    let temp = tempfile::tempdir().unwrap();
    let b = small_bundle(temp.path(), "b", "--target host --precision fp32 --eval-set 50");
    let d = temp.path().display();
    let told =
        run("gtn-run", &format!("soak {b} --minutes 0.1 --threads 1 --json {d}/s.json --html {d}/s.html"))
            .ok();
    let soak = Soak::read(&temp.path().join("s.json")).unwrap();
    let sum: usize = soak.blocks.iter().map(|b| b.inferences).sum();
    assert!(
        sum == soak.inferences && soak.blocks.len() > 100 && !soak.ended_early,
        "{} blocks",
        soak.blocks.len()
    );
    assert!((5.9..9.0).contains(&soak.seconds), "{}", soak.seconds);
    assert!(!matches!(soak.steady.verdict, Verdict::TooFew { .. }));
    assert!(
        told.lines().next().unwrap().contains("ms") && told.lines().all(|l| l.chars().count() <= 110),
        "{told}"
    );
    let page = fs::read_to_string(temp.path().join("s.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("</html>"));
    // Told again from the file.
    let again = run("gtn-run", &format!("report {d}/s.json --html {d}/again.html")).ok();
    assert!(again.starts_with(told.lines().next().unwrap()), "{again}");
    assert!(fs::read_to_string(temp.path().join("again.html")).unwrap().contains("<svg"));

    // As a camera delivers, and stopped before its time.
    let args = format!("soak {b} --minutes 5 --interval-ms 10 --threads 1 --json {d}/p.json");
    let mut paced = command("gtn-run", &args);
    let begun = Instant::now();
    let child = paced.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ended: Done = child.wait_with_output().unwrap().into();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let soak = Soak::read(&temp.path().join("p.json")).unwrap();
    assert!(soak.ended_early && soak.seconds <= begun.elapsed().as_secs_f64(), "{}", soak.seconds);
    assert!(matches!(soak.settings.pace, Pace::Paced { interval_ms: 10.0, .. }));
    // 100 a second at the most; a busy machine begins some of them late, or not at all.
    assert!(soak.inferences as f64 <= 100.0 * soak.seconds + 2.0, "{} in {}", soak.inferences, soak.seconds);

    for (flags, wanted) in [
        ("--minutes 0.01", "--minutes 0.01: wanted 0.1 to 720"),
        ("--minutes nan", "--minutes NaN"),
        ("--interval-ms 0", "--interval-ms 0: wanted"),
        ("--json /no/such/dir/s.json", "/no/such/dir"),
    ] {
        assert_eq!(run("gtn-run", &format!("soak {b} {flags}")).not_refused(2, &[wanted]), None, "{flags}");
    }
}
