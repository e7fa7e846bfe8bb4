//! The method end to end: a generic teacher, search, a study that survives kills.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::rng::Rng;
use gtn_tests::{command, run, small_fashion};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const KILLS: usize = 10;

fn study(dir: &Path) -> String {
    small_fashion(&dir.join("data"), 240, 60).unwrap();
    let text = format!(
        r#"
data = "fashion-mnist:{0}/data"
teacher = "resnet8"
pool = "res-mini"
seeds = [0, 1]
students = ["pool:res-mini:d111-k333-e111", "pool:res-mini:d111-k353-e121"]

[recipe]
epochs = 4
batch_size = 24

[[arms]]
name = "vanilla"
method = "vanilla"

[[arms]]
name = "gtn"
method = "gtn"
teacher_recipe = {{ gtn = {{ w_kl = 1.0, w_0 = 0.0 }} }}

[[arms]]
name = "sftn"
method = "sftn"
students = ["pool:res-mini:d111-k333-e111"]
seeds = [1]
"#,
        dir.display()
    );
    fs::write(dir.join("study.toml"), text).unwrap();
    format!("study --config {0}/study.toml --threads 1", dir.display())
}

#[test]
fn a_study_killed_ten_times_ends_with_the_same_table() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    let args = study(temp.path());
    let out = run("gtn-train", &format!("{args} --out {dir}/whole")).ok();
    assert!(out.contains("5 cells of 5 finished"), "{out}");
    let mut rng = Rng::new(4, "study", 0);
    for kill in 0..KILLS {
        let mut child =
            command("gtn-train", &format!("{args} --out {dir}/cut")).process_group(0).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300 + rng.below(1500)));
        if child.try_wait().unwrap().is_some() {
            break; // finished before the blow
        }
        // The whole group, or the study alone: its orphan goes on, and the next study waits for it.
        let whom = if kill % 2 == 0 { format!("-{}", child.id()) } else { child.id().to_string() };
        Command::new("kill").args(["-KILL", "--", &whom]).status().unwrap();
        child.wait().unwrap();
    }
    // As a cluster would: one cell alone, then the rest, then the table again.
    run("gtn-train", &format!("{args} --out {dir}/cut --cell 1")).ok();
    run("gtn-train", &format!("{args} --out {dir}/cut --jobs 2")).ok();
    run("gtn-train", &format!("{args} --out {dir}/cut --table")).ok();
    for file in ["study.md", "study.json"] {
        let read = |out: &str| fs::read_to_string(temp.path().join(out).join(file)).unwrap();
        assert_eq!(read("whole"), read("cut"), "{file}");
    }
    let list = run("gtn-train", &format!("{args} --out {dir}/cut --list")).ok();
    assert_eq!(list.matches("yes").count(), 5, "{list}");
    let html = fs::read_to_string(temp.path().join("whole/study.html")).unwrap();
    assert!(html.contains("<svg") && html.contains("minimum detectable"));
}

#[test]
fn a_generic_teacher_is_searched_and_distilled() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    let recipe = "--data fashion-mnist-mini --batch-size 50 --set max_steps=20 --set train_images=1000";
    let gtn = "--teacher resnet8 --method gtn --pool mbv2-mini";
    run("gtn-train", &format!("teacher {recipe} {gtn} --set gtn.paths=2 --out {dir}/t")).ok();
    let log = fs::read_to_string(temp.path().join("t/loss.jsonl")).unwrap();
    assert!(log.contains("\"cond\"") && log.contains("\"whole\"") && log.contains("stages.0.depth"), "{log}");
    let search = "--data fashion-mnist-mini --macs 3000000 --population 6 --generations 1";
    run("gtn-train", &format!("search --teacher {dir}/t {search} --out {dir}/found.json")).ok();
    let text = fs::read_to_string(temp.path().join("found.json")).unwrap();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    let id = found["student"].as_str().unwrap();
    assert!(found["pareto"].as_array().unwrap().iter().all(|s| s["macs"].as_u64().unwrap() <= 3_000_000));
    run("gtn-train", &format!("search --teacher {dir}/t {search} --out {dir}/again.json")).ok();
    assert_eq!(text, fs::read_to_string(temp.path().join("again.json")).unwrap(), "seeded");

    let students =
        format!("student {recipe} --teacher {dir}/t --arch pool:{id} --arch resnet8 --kd dkd --out {dir}/s");
    run("gtn-train", &students).ok();
    let folder = temp.path().join("s").join(id.replace(':', "_"));
    run("gtn-export", &format!("--target host --precision fp32 {} --out {dir}/b.gtn", folder.display())).ok();
    run("gtn-run", &format!("verify {dir}/b.gtn")).ok();

    for (args, wanted) in [
        ("--method gtn", "wants --pool"),
        ("--method sftn --pool mbv2-mini", "wants --student"),
        ("--pool mbv2-mini", "takes neither"),
        ("--method gtn --pool mbv2-mini --set gtn.tau=0", "gtn.tau"),
    ] {
        let done = run("gtn-train", &format!("teacher {recipe} --teacher resnet8 {args} --out {dir}/x"));
        assert_eq!(done.not_refused(2, &[wanted]), None);
    }
    let plain =
        run("gtn-train", &format!("search --teacher {} {search} --out {dir}/no.json", folder.display()));
    assert_eq!(plain.not_refused(2, &["train.json", "no supernet"]), None);
    // The page has a name of its own, and none beside a device.
    let page = run("gtn-train", &format!("search --teacher {dir}/t {search} --out {dir}/no.html"));
    assert_eq!(page.not_refused(2, &["no.html: wanted a name for JSON"]), None);
    let told = run("gtn-train", &format!("search --teacher {dir}/t {search} --out /dev/null")).ok();
    assert!(told.ends_with("\n/dev/null\n") && !Path::new("/dev/null.html").exists(), "{told}");
}
