//! `make demo`'s script, with a few steps of training.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_tests::{root, run};
use std::process::Command;

/// Every bundle agrees with the trainer, and one table tells of all four.
#[test]
fn the_demo_ends_with_its_table() {
    let temp = tempfile::tempdir().unwrap();
    let mut demo = Command::new("bash");
    demo.arg(root().join("scripts/demo.sh"))
        .env("BIN", root().join("target/debug"))
        .env("OUT", temp.path())
        .env("STEPS", "12");
    let done = demo.output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}\n{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(text.matches("parity with").count(), 3, "{text}");
    let table: Vec<&str> = text.lines().skip_while(|l| !l.starts_with("4 reports, all: ")).collect();
    for who in ["teacher ", "student-kd ", "student-kd-auto ", "student-plain "] {
        let row = |l: &&&str| l.trim_start_matches([' ', '1', '2', '3', '4']).starts_with(who);
        let cells = table.iter().filter(row).copied().collect::<Vec<_>>().join("   ");
        assert!(cells.contains("   pass"), "{who}: {cells}\n{text}");
    }
    let page = temp.path().join("report.html");
    assert!(page.is_file() && text.lines().any(|l| l == page.display().to_string()), "{text}");
    // What it ends with is a command that works.
    let next = text.lines().last().unwrap().trim().to_owned();
    let args = next.strip_prefix(&format!("{} ", root().join("target/debug/gtn-run").display())).unwrap();
    assert_eq!(args, format!("classify {}/student-kd-auto.gtn", temp.path().display()));
    let told = run("gtn-run", args);
    assert!((1..=6).all(|i| told.stdout.contains(&format!("samples/{i}.png"))), "{told:?}");
    told.ok();
}
