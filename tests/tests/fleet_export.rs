//! `gtn-export --fleet`: every device gets its student, proved there; what is cut off goes on; devices do not wait for each
//! other.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::fleet::result::{FleetResult, Outcome, State, Verdict};
use gtn_core::ir::arch::Input;
use gtn_core::measure::robust::median;
use gtn_core::nets::pool;
use gtn_tests::sshd::script;
use gtn_tests::stand_in::Shelf;
use gtn_tests::{Done, QUICK, random_student};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const GREY: Input = Input { channels: 1, height: 28, width: 28 };
/// Tables for which a few rounds are enough.
const BRIEF: &str = "--table-seconds 3";

/// Students with random weights that claim that val top-1.
fn students(runs: &Path) {
    for (name, id, top1) in [
        ("big", "d222-k333333-e111111", 0.9),
        ("mid", "d211-k3333-e1111", 0.8),
        ("small", "d111-k333-e111", 0.7),
    ] {
        let dir = runs.join(name);
        let arch = pool::student(&format!("res-mini:{id}"), GREY, 10).unwrap();
        random_student(&dir, arch, "fashion-mnist-mini", 16, 1).unwrap();
        let path = dir.join("train.json");
        let mut train: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        train["accuracy"]["val"] = json!({"n": 1000, "top1": top1, "top5": 1.0});
        fs::write(path, train.to_string()).unwrap();
        let path = dir.join("arch.json");
        let mut arch: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        arch["pool_id"] = json!(format!("res-mini:{id}"));
        fs::write(path, arch.to_string()).unwrap();
    }
}

fn fleet(dir: &Path, devices: &[(&str, &str)]) -> PathBuf {
    let mut text = String::from("schema = \"gtn.fleet/1\"\n");
    for (name, rest) in devices {
        text.push_str(&format!("[[device]]\nname = \"{name}\"\n{rest}\n"));
    }
    let path = dir.join("fleet.toml");
    fs::write(&path, text).unwrap();
    path
}

fn export(shelf: &Shelf, dir: &Path, out: &str, more: &str) -> Done {
    shelf.gtn_export(&arguments(shelf, dir, out, 0.1, more)).output().unwrap().into()
}

fn arguments(shelf: &Shelf, dir: &Path, out: &str, run_seconds: f64, more: &str) -> String {
    let (d, dist) = (dir.display(), shelf.dist());
    format!(
        "--fleet {d}/fleet.toml --from {d}/runs --out {d}/{out} --dist {} {BRIEF} --run-seconds {run_seconds} {QUICK} {more}",
        dist.display()
    )
}

fn result(dir: &Path, out: &str) -> FleetResult {
    FleetResult::read(&dir.join(out).join("fleet.json")).unwrap()
}

fn device<'a>(result: &'a FleetResult, name: &str) -> &'a Outcome {
    result.devices.iter().find(|d| d.name == name).unwrap()
}

fn gets(outcome: &Outcome) -> String {
    outcome.delivery.as_ref().map_or("nothing".into(), |d| {
        format!("{} {}", Path::new(&d.student).file_name().unwrap().to_string_lossy(), d.precision)
    })
}

/// One command, four kinds of devices: proved, predicted, missed, not reached. What is done is not done again, and a device
/// that comes back goes on.
#[test]
fn every_device_gets_its_student_or_a_reason() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    students(&dir.join("runs"));
    let shelf = Shelf::new(&dir.join("shelf")).unwrap();
    shelf.cut("AWAY", true).unwrap();
    fleet(
        dir,
        &[
            (
                "desk",
                "target = \"host\"\non = \"local\"\nprecisions = [\"fp32\"]\nlauncher = [\"nice\", \"-n\", \"0\"]\nsoak_minutes = 0.1",
            ),
            // What takes that long at the median takes longer at the tail: measured, and passed over.
            (
                "phone",
                "target = \"host\"\non = \"adb:P1\"\nprecisions = [\"fp32\"]\n[device.budget]\np99_ms = 1e-3",
            ),
            (
                "board",
                "target = \"rpi5\"\ncount = 3\nprecisions = [\"fp32\"]\n[device.budget]\nmemory_mib = 0.5",
            ),
            (
                "away",
                "target = \"rpi5\"\non = \"adb:AWAY\"\nprecisions = [\"fp32\"]\n[device.budget]\nmodel_mib = 1.0",
            ),
            ("answers", "target = \"rpi5\"\non = \"adb:P2\"\ntimed = false\nprecisions = [\"fp32\"]"),
        ],
    );
    let first = export(&shelf, dir, "out", "");
    assert_eq!(first.not_refused(1, &["error: limits are missed on phone"]), None);
    let found = result(dir, "out");
    let states: Vec<State> = found.devices.iter().map(|d| d.state).collect();
    use State::{Missed, Predicted, Proved, Unreached};
    assert_eq!(states, [Proved, Missed, Predicted, Unreached, Proved], "{}", first.stderr);
    let gotten: Vec<String> = found.devices.iter().map(gets).collect();
    assert_eq!(gotten, ["big fp32", "nothing", "big fp32", "big fp32", "big fp32"]);
    let desk = device(&found, "desk").delivery.as_ref().unwrap();
    let measured = desk.measured.as_ref().unwrap();
    assert!(
        measured.rest_ms.len() == 5 && measured.latency.is_some() && measured.images == 50,
        "{measured:?}"
    );
    let warm = measured.steady.as_ref().unwrap();
    assert!(dir.join("out").join(&warm.soak).is_file() && !warm.verdict.is_empty(), "{warm:?}");
    let answers = device(&found, "answers").delivery.as_ref().unwrap().measured.as_ref().unwrap();
    assert!(answers.rest_ms.is_empty() && answers.latency.is_none() && answers.images == 50, "{answers:?}");
    assert!(device(&found, "away").why.as_ref().unwrap().contains("device 'AWAY' not found"));
    // Three students for one profile each: the shared bundle is made once.
    let bundles = fs::read_dir(dir.join("out/bundles")).unwrap().count();
    assert_eq!(bundles, 2, "{}", first.stderr);
    assert_eq!(shelf.leftovers(), Vec::<PathBuf>::new());
    let page = fs::read_to_string(dir.join("out/fleet.html")).unwrap();
    assert!(page.contains("phone: missed") && page.contains("</html>"));
    let junit = fs::read_to_string(dir.join("out/junit.xml")).unwrap();
    assert!(junit.contains("<testsuite name=\"phone\"") && junit.contains("failures=\"1\""), "{junit}");

    // Back, and with a budget that can be kept: only what is missing is done, and the bundles are the same.
    shelf.cut("AWAY", false).unwrap();
    let text = fs::read_to_string(dir.join("fleet.toml")).unwrap();
    fs::write(dir.join("fleet.toml"), text.replace("1e-3", "1000.0")).unwrap();
    let again = export(&shelf, dir, "out", "");
    let told = again.stderr.clone();
    again.ok();
    assert_eq!(told.matches("measuring a latency table").count(), 1, "that of `away` alone: {told}");
    let now = result(dir, "out");
    assert!(now.devices.iter().all(|d| matches!(d.state, Proved | Predicted)), "{told}");
    assert_eq!(gets(device(&now, "phone")), "big fp32");
    assert_eq!(device(&now, "desk").delivery, device(&found, "desk").delivery, "measured once");

    // Another day: nothing is slower than it was, unless the day before is made to have been faster.
    let against = format!("--against {}", dir.join("out/fleet.json").display());
    let earlier = fs::read_to_string(dir.join("out/fleet.json")).unwrap();
    export(&shelf, dir, "out", &against).ok();
    let same = device(&result(dir, "out"), "desk").change.clone().unwrap();
    assert!(!same.slower && same.ratio.is_some_and(|r| r.ratio == 1.0), "{same:?}");
    let mut faster: Value = serde_json::from_str(&earlier).unwrap();
    for d in faster["devices"].as_array_mut().unwrap() {
        let times = d.pointer_mut("/delivery/measured/rest_ms").and_then(Value::as_array_mut);
        times.into_iter().flatten().for_each(|ms| *ms = json!(ms.as_f64().unwrap() / 100.0));
    }
    fs::write(dir.join("faster.json"), faster.to_string()).unwrap();
    let slower = export(&shelf, dir, "out", &format!("--against {}", dir.join("faster.json").display()));
    assert_eq!(slower.not_refused(1, &["limits are missed on desk"]), None);
    let gate =
        device(&result(dir, "out"), "desk").gates.iter().find(|g| g.name == "regression").cloned().unwrap();
    assert!(gate.verdict == Verdict::Missed && gate.found.contains("% slower than on"), "{gate:?}");
}

/// The one file of a folder.
fn only(dir: &Path, folder: &str) -> PathBuf {
    let files: Vec<PathBuf> = fs::read_dir(dir.join(folder)).unwrap().flatten().map(|e| e.path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// Killed here, and cut off there, at seeded moments: in the end the same choices, states and bundles as undisturbed, and
/// nothing stays on a device but its store.
#[test]
fn kills_and_cuts_change_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    students(&dir.join("runs"));
    let shelf = Shelf::new(&dir.join("shelf")).unwrap();
    let one = "target = \"host\"\non = \"local\"\nprecisions = [\"fp32\"]";
    fleet(dir, &[("desk", one)]);
    export(&shelf, dir, "one", "").ok();
    // Measured once: which moments are hit is then for the moments to say.
    let with_table = |rest: &str| format!("{rest}\ntable = \"{}\"", only(dir, "one/tables").display());
    let phone = with_table("target = \"host\"\non = \"adb:P1\"\nprecisions = [\"fp32\"]");
    fleet(
        dir,
        &[
            ("desk", &with_table(one)),
            ("phone", &format!("{phone}\n[device.budget]\nmodel_mib = 0.3")),
            ("board", "target = \"rpi5\"\nprecisions = [\"fp32\"]"),
        ],
    );
    let told = |out: &str| -> Vec<(State, String, Option<String>)> {
        let of = |d: &Outcome| (d.state, gets(d), d.delivery.as_ref().map(|d| d.model_sha256.clone()));
        result(dir, out).devices.iter().map(of).collect()
    };
    export(&shelf, dir, "whole", "").ok();
    let wanted = told("whole");
    let args = arguments(&shelf, dir, "cut", 0.1, "");
    let mut rng = gtn_core::rng::Rng::new(0, "fleet kills", 0);
    for blow in 0..4 {
        let mut command = shelf.gtn_export(&args);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300 + rng.below(5000)));
        if blow % 2 == 0 {
            child.kill().unwrap();
            child.wait().unwrap();
        } else {
            // The phone goes with all that runs on it.
            shelf.cut("P1", true).unwrap();
            let pattern = format!("{}/shelf/P1", dir.display());
            Command::new("pkill").args(["-KILL", "-f", &pattern]).status().unwrap();
            let code = child.wait().unwrap().code();
            assert!(matches!(code, Some(0 | 3)), "a device that is cut off ends nothing else: {code:?}");
            shelf.cut("P1", false).unwrap();
        }
    }
    export(&shelf, dir, "cut", "").ok();
    assert_eq!(told("cut"), wanted);
    for bundle in fs::read_dir(dir.join("whole/bundles")).unwrap().flatten() {
        for file in fs::read_dir(bundle.path()).unwrap().flatten().filter(|f| f.path().is_file()) {
            let other = dir.join("cut/bundles").join(bundle.file_name()).join(file.file_name());
            // The export's report holds what was measured here.
            if file.file_name() != "export-report.json" {
                assert!(fs::read(file.path()).unwrap() == fs::read(&other).unwrap(), "{}", other.display());
            }
        }
    }
    let begun = Instant::now();
    while !shelf.leftovers().is_empty() && begun.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(100));
    }
    // Folders of runs that were killed there go at the next run, as `kill` leaves nobody to remove them.
    let again: Done = shelf.gtn_export(&arguments(&shelf, dir, "cut", 0.11, "")).output().unwrap().into();
    again.ok();
    assert_eq!(shelf.leftovers(), Vec::<PathBuf>::new());
}

/// Fifty real sittings of five runs each, of one bundle on a machine where builds ran beside: a pair of days in which nothing
/// but the day is different is hardly ever told apart, and the shift that is found is printed.
#[test]
fn days_are_not_regressions() {
    let path = gtn_tests::root().join("tests/fixtures/fleet/sittings.json");
    let sittings: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let sittings: Vec<Vec<f64>> = serde_json::from_value(sittings["rest_ms"].clone()).unwrap();
    assert!(sittings.len() >= 50 && sittings.iter().all(|s| s.len() == 5));
    let found = |shift: f64, history: usize| -> usize {
        let mut rng = gtn_core::rng::Rng::new(0, "fleet days", 0);
        let mut draw = || sittings[rng.below(sittings.len() as u64) as usize].clone();
        let pairs = (0..100).filter(|_| {
            let (then, mut now) = (draw(), draw());
            let mut days: Vec<f64> = (0..history).map(|_| median(&draw())).collect();
            days.push(median(&then));
            now.iter_mut().for_each(|ms| *ms *= 1.0 + shift);
            gtn_export::commands::fleet::is_slower(&then, &now, &days)
        });
        pairs.count()
    };
    println!("shift   of 100 found slower, no earlier days   five earlier days");
    for percent in [0, 5, 10, 20, 50, 75, 100, 150] {
        let shift = f64::from(percent) / 100.0;
        println!("{percent:>4} %   {:>30}   {:>25}", found(shift, 0), found(shift, 5));
    }
    assert!(found(0.0, 0) <= 5 && found(0.0, 5) <= 5, "{} and {}", found(0.0, 0), found(0.0, 5));
    assert!(found(1.5, 0) >= 95, "{}", found(1.5, 0));
}

/// Eight devices whose commands wait, and hardly compute: all together take hardly longer than one.
#[test]
fn devices_do_not_wait_for_each_other() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    students(&dir.join("runs"));
    let shelf = Shelf::new(&dir.join("shelf")).unwrap();
    let one = "target = \"host\"\non = \"local\"\nprecisions = [\"fp32\"]";
    fleet(dir, &[("desk", one)]);
    export(&shelf, dir, "one", "").ok();
    // What it answered with is what all eight answer with, after a while.
    let reports: Value = serde_json::from_slice(&fs::read(only(dir, "one/devices/desk")).unwrap()).unwrap();
    fs::write(dir.join("report.json"), reports[0].to_string()).unwrap();
    let d = dir.display();
    let info = gtn_tests::run("gtn-run", "info --json").ok();
    fs::write(dir.join("info.json"), info).unwrap();
    let waits = format!(
        "shift; out=; for a in \"$@\"; do [ \"$last\" = --out ] && out=$a; [ \"$last\" = --json ] && json=$a; last=$a; done\n\
         case \"$1\" in info) cat {d}/info.json;; table) sleep 6; cp {} \"$out\";; *) sleep 1; cp {d}/report.json \"$json\";; esac",
        only(dir, "one/tables").display()
    );
    script(&dir.join("waits"), &waits).unwrap();
    // What is copied there is not the point either: any program will do.
    fs::create_dir(dir.join("little")).unwrap();
    fs::copy("/bin/true", dir.join("little/gtn-run")).unwrap();
    let slow = format!(
        "target = \"host\"\nprecisions = [\"fp32\"]\ndist = \"{d}/little\"\nlauncher = [\"sh\", \"{d}/waits\"]"
    );
    let time = |n: usize, out: &str| {
        let devices: Vec<(String, String)> =
            (0..n).map(|i| (format!("d{i}"), format!("{slow}\non = \"adb:W{i}\""))).collect();
        let devices: Vec<(&str, &str)> = devices.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        fleet(dir, &devices);
        fs::create_dir_all(dir.join(out)).unwrap();
        let begun = Instant::now();
        export(&shelf, dir, out, "").ok();
        let seconds = begun.elapsed().as_secs_f64();
        assert!(result(dir, out).devices.iter().all(|d| d.state == State::Proved));
        seconds
    };
    let (alone, all) = (time(1, "w1"), time(8, "w8"));
    println!("one device: {alone:.1} s, eight: {all:.1} s");
    // Commands that wait take 11 s of either; one after the other the eight would take 88 s. What they should take is for a
    // quiet machine to say.
    assert!(all < 2.5 * alone, "one device: {alone:.1} s, eight: {all:.1} s");
}
