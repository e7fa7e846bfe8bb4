//! Kit, table, prediction and the choice within a budget, over the built programs.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::Precision;
use gtn_core::artifacts::kit::{Kit, KitManifest, KitOp};
use gtn_core::artifacts::model_dir::ArchFile;
use gtn_core::host::{Conditions, Host};
use gtn_core::io::artifact;
use gtn_core::ir::arch::{ArchSpec, Input};
use gtn_core::ir::fold::fold_graph;
use gtn_core::ir::graph::Graph;
use gtn_core::latency::{Fitted, LatencyTable, NetworkRow, OpRow, Runtime, SCHEMA, Time, fused_ops};
use gtn_core::nets::pool;
use gtn_tests::mutants::repair::vouch;
use gtn_tests::{Done, command, random_student, run, small_student};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

/// Small and quick: 38 operators of 8x8 and less, and nine networks.
const KIT: &str = "kit --target host --pool res-mini --input 1x8x8 --precision fp32 --networks 9";
const GREY: Input = Input { channels: 1, height: 28, width: 28 };

/// The same kit twice is the same bytes; a table measured from it is complete and predicts; a table of
/// other shapes says what it lacks.
#[test]
fn a_kit_becomes_a_table_that_predicts() {
    let temp = tempfile::tempdir().unwrap();
    let d = temp.path().display();
    for name in ["one", "two"] {
        run("gtn-export", &format!("{KIT} --out {d}/{name}.gtnkit")).ok();
    }
    let kit = Kit::open(&temp.path().join("one.gtnkit")).unwrap();
    assert_eq!(kit.sha256, Kit::open(&temp.path().join("two.gtnkit")).unwrap().sha256);
    assert_eq!(kit.manifest.networks.len(), 9);
    let shown =
        run("gtn-run", &format!("table {d}/one.gtnkit --out {d}/t.json --seconds 1 --threads 1")).ok();
    assert!(shown.contains("90 % band") && !temp.path().join("t.json.part").exists(), "{shown}");
    let path = temp.path().join("t.json");
    let table = LatencyTable::read(&path).unwrap();
    assert_eq!((table.kit_sha256.as_str(), table.ops.len()), (kit.sha256.as_str(), kit.manifest.ops.len()));
    assert!(table.rounds >= 4 && table.conditions.len() >= 4, "{} rounds", table.rounds);
    Fitted::new(&table, Precision::Fp32, &path).unwrap();
    let sample = |more: &str| {
        run("gtn-train", &format!("pool sample res-mini --target host --table {d}/t.json {more}"))
    };
    let shown = sample("--input 1x8x8 -n 5").ok();
    assert!(shown.contains("90 % band") && shown.matches(" to ").count() == 5, "{shown}");
    let other = sample("--input 3x32x32");
    assert_eq!(other.not_refused(2, &["table lacks 17 of", "conv k", "gtn-export kit"]), None);
}

/// kill -9 loses two seconds at most; what is there is not mixed with anything else.
#[test]
fn a_killed_table_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let d = temp.path().display();
    run("gtn-export", &format!("{KIT} --out {d}/k.gtnkit")).ok();
    run("gtn-export", &format!("{KIT} --seed 5 --out {d}/other.gtnkit")).ok();
    let table = |kit: &str, more: &str| format!("table {d}/{kit}.gtnkit --out {d}/t.json {more}");
    let part = temp.path().join("t.json.part");
    let seconds = || {
        let part: Option<Value> = fs::read(&part).ok().and_then(|b| serde_json::from_slice(&b).ok());
        part.and_then(|p| p["bursts"]["seconds"].as_f64()).unwrap_or(0.0)
    };
    let measured_more = |child: &mut Child, than: f64| {
        while seconds() <= than {
            std::thread::sleep(Duration::from_millis(50));
            assert!(child.try_wait().unwrap().is_none(), "ended early");
        }
    };
    let mut child = command("gtn-run", &table("k", "--threads 1 --seconds 600")).spawn().unwrap();
    measured_more(&mut child, 0.0);
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let before = fs::read(&part).unwrap();
    let refused = [
        (table("k", "--threads 1"), &["t.json.part", "--resume goes on with it"][..]),
        (table("other", "--threads 1 --resume"), &["t.json.part", "another kit"]),
        (table("k", "--threads 2 --resume"), &["t.json.part", "another runtime"]),
    ];
    for (args, wanted) in refused {
        assert_eq!(run("gtn-run", &args).not_refused(2, wanted), None, "{args}");
    }
    assert_eq!(fs::read(&part).unwrap(), before, "a refusal changes nothing");
    let mut child = command("gtn-run", &table("k", "--threads 1 --seconds 600 --resume")).spawn().unwrap();
    let so_far = seconds();
    measured_more(&mut child, so_far);
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(!temp.path().join("t.json").exists());
    run("gtn-run", &table("k", "--threads 1 --seconds 1 --resume")).ok();
    assert!(!part.exists());
    LatencyTable::read(&temp.path().join("t.json")).unwrap();
    let nothing = run("gtn-run", &table("k", "--threads 1 --resume"));
    assert_eq!(nothing.not_refused(2, &["t.json.part", "nothing to resume"]), None);
}

/// Networks of no pool: their operators are there, and they themselves; alone they must be enough for a band.
#[test]
fn a_kit_covers_named_networks() {
    let temp = tempfile::tempdir().unwrap();
    let d = temp.path().display();
    let own = small_student(temp.path());
    let named = format!("--arch resnet8 --arch {}", own.display());
    let few = run("gtn-export", &format!("kit --target host {named} --input 1x28x28 --out {d}/k.gtnkit"));
    assert_eq!(
        few.not_refused(2, &["a kit of 2 whole networks, wanted at least 9: name more with --arch"]),
        None
    );
    let kit = |more: &str, name: &str| {
        let line = format!(
            "kit --target host {more} --input 1x28x28 --precision fp32 --networks 9 --out {d}/{name}"
        );
        run("gtn-export", &line).ok();
        Kit::open(&temp.path().join(name)).unwrap().manifest
    };
    let (pool, both) =
        (kit("--pool res-tiny", "p.gtnkit"), kit(&format!("--pool res-tiny {named}"), "b.gtnkit"));
    let keys = |m: &KitManifest| -> BTreeSet<String> { m.ops.iter().map(|o| o.op.clone()).collect() };
    let own = ArchFile::read(&own.join("arch.json")).unwrap().arch;
    let resnet8 = gtn_core::nets::resolve("resnet8", GREY, 10).unwrap();
    for arch in [&own, &resnet8] {
        assert!(both.networks.iter().any(|n| n.arch == *arch), "{}", arch.name);
        let graph = fold_graph(&Graph::lower(arch).unwrap());
        let missing = |keys: &BTreeSet<String>| {
            fused_ops(&graph).iter().filter(|op| !keys.contains(&op.key(Precision::Fp32))).count()
        };
        assert!(missing(&keys(&pool)) > 0 && missing(&keys(&both)) == 0, "{}", arch.name);
    }
    assert_eq!(both.networks.len(), pool.networks.len() + 2);
    let other =
        run("gtn-export", &format!("kit --target host --arch no-such --input 1x28x28 --out {d}/k.gtnkit"));
    assert_eq!(other.not_refused(2, &["unknown architecture `no-such`"]), None);
}

/// A model of the kit that this device does not run costs its own row only, and the exit status.
#[test]
fn a_model_that_does_not_run_costs_its_row() {
    let temp = tempfile::tempdir().unwrap();
    let d = temp.path().display();
    run("gtn-export", &format!("{KIT} --out {d}/k.gtnkit")).ok();
    let dir = temp.path().join("k.gtnkit");
    let manifest = Kit::open(&dir).unwrap().manifest;
    // An operator that fewest networks have.
    let with = |op: &KitOp| {
        let has = |arch: &ArchSpec| {
            let graph = fold_graph(&Graph::lower(arch).unwrap());
            fused_ops(&graph).iter().any(|o| o.key(Precision::Fp32) == op.op)
        };
        manifest.networks.iter().filter(|n| has(&n.arch)).count()
    };
    let odd = manifest.ops.iter().filter(|op| op.op.starts_with("conv")).min_by_key(|op| with(op)).unwrap();
    let model = fs::read(dir.join(&odd.model)).unwrap();
    // The operator's name, one letter off.
    let at = model.windows(4).position(|w| w == b"Conv").unwrap();
    let model = [&model[..at], b"Corn", &model[at + 4..]].concat();
    vouch(&dir, &fs::read(dir.join("manifest.json")).unwrap(), &odd.model, &model).unwrap();
    let done = run("gtn-run", &format!("table {d}/k.gtnkit --out {d}/t.json --seconds 1 --threads 1"));
    assert_eq!(done.not_refused(2, &[&odd.model, "Corn"]), None);
    let table = LatencyTable::read(&temp.path().join("t.json")).unwrap();
    assert!(
        table.networks.len() + with(odd) == manifest.networks.len()
            && table.ops.iter().all(|row| row.op != odd.op)
            && !table.ops.is_empty()
            && !table.networks.is_empty()
    );
    assert!(table.warnings.iter().any(|w| w.contains("left out") && w.contains(&odd.model)));
    let stream = run("gtn-run", &format!("table {d}/k.gtnkit --out /dev/null --seconds 1"));
    assert_eq!(stream.not_refused(2, &["/dev/null: is no file"]), None);
}

fn students() -> Vec<ArchSpec> {
    let ids = ["d111-k333-e111", "d111-k555-e222", "d222-k333333-e111111", "d333-k555555555-e222222222"];
    ids.map(|id| pool::student(&format!("res-mini:{id}"), GREY, 10).unwrap()).to_vec()
}

/// The other backends' tables name what computed, and predict.
#[test]
fn a_table_is_measured_with_each_backend() {
    let temp = tempfile::tempdir().unwrap();
    let d = temp.path().display();
    run("gtn-export", &format!("{KIT} --out {d}/k.gtnkit")).ok();
    let table =
        |more: &str| run("gtn-run", &format!("table {d}/k.gtnkit --out {d}/t.json --seconds 1 {more}"));
    for (backend, more, version) in [("rust", "--threads 1", "0."), ("wgpu", "--allow-software", " on ")] {
        let args = format!("--backend {backend} {more}");
        // Other work on the machine can spoil a second of measuring: gtn-run says so, and it is measured again.
        let spoilt = |done: &Done| done.code == Some(2) && done.stderr.contains("measure again");
        let done = (0..5).map(|_| table(&args)).find(|done| !spoilt(done));
        done.unwrap().ok();
        let path = temp.path().join("t.json");
        let table = LatencyTable::read(&path).unwrap();
        assert_eq!((table.backend.name.as_str(), table.backend.threads), (backend, 1));
        assert!(table.backend.version.contains(version), "{}", table.backend.version);
        assert!(Fitted::new(&table, Precision::Fp32, &path).is_ok());
    }
    let refused: [(&str, &[&str]); 4] = [
        ("--backend auto", &["--backend auto: wanted ort, wgpu or rust"]),
        ("--backend wgpu --threads 2", &["--threads is the CPU's"]),
        ("--backend rust --ort-lib x.so", &["--ort-lib is ONNX Runtime's"]),
        ("--threads 0", &["--threads 0: wanted 1 to 1024"]),
    ];
    for (more, told) in refused {
        assert_eq!(table(more).not_refused(2, told), None);
    }
}

/// A table by a rule (10 MACs a nanosecond and 2 us an operator), for the choice alone. Of each precision,
/// so many times as long.
fn table_by_rule(precisions: &[(Precision, f64)]) -> LatencyTable {
    let pool = pool::named("res-mini").unwrap();
    let folded = |arch: &ArchSpec| fold_graph(&Graph::lower(arch).unwrap());
    let us = |op: &gtn_core::latency::FusedOp| 2.0 + op.macs() as f64 / 1e4;
    let time = |us: f64| Time { p50_us: us, rest_us: us, spread_us: 0.0, n: 9 };
    let (mut ops, mut networks) = (BTreeMap::new(), Vec::new());
    for &(precision, times) in precisions {
        for path in pool.coverage() {
            for op in fused_ops(&folded(&pool.arch(&path, GREY, 10).unwrap())) {
                ops.insert(op.key(precision), time(times * us(&op)));
            }
        }
        networks.extend((0..12).map(|i| {
            let arch = pool.arch(&pool.sample(1, i), GREY, 10).unwrap();
            let sum: f64 = fused_ops(&folded(&arch)).iter().map(us).sum();
            NetworkRow { arch, precision, time: time(times * (5.0 + sum)), drift: 1.0 }
        }));
    }
    LatencyTable {
        schema: SCHEMA.into(),
        program: "rule".into(),
        unix_time: 0,
        kit_sha256: String::new(),
        target: "rpi5".into(),
        host: Host::default(),
        backend: Runtime { name: "ort".into(), version: "1".into(), threads: 4 },
        seconds: 1.0,
        rounds: 9,
        ops: ops.into_iter().map(|(op, time)| OpRow { op, time }).collect(),
        networks,
        conditions: vec![Conditions::default()],
        warnings: Vec::new(),
        ext: BTreeMap::new(),
    }
}

/// Sets keys of a student's train.json.
fn edit_train(dir: &Path, edit: impl Fn(&mut Value)) {
    let path = dir.join("train.json");
    let mut train: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut train);
    fs::write(path, train.to_string()).unwrap();
}

/// Four students with made-up val accuracies under runs/, and the table.
fn runs(dir: &Path) {
    let runs = dir.join("runs");
    for (i, (arch, val)) in students().into_iter().zip([0.70, 0.80, 0.75, 0.90]).enumerate() {
        let at = runs.join(format!("deep/s{i}"));
        random_student(&at, arch, "fashion-mnist-mini", 16, i as u64).unwrap();
        edit_train(&at, |t| t["accuracy"]["val"] = json!({"n": 1000, "top1": val, "top5": 1.0}));
    }
    fs::create_dir_all(runs.join("unfinished")).unwrap();
    fs::copy(runs.join("deep/s0/arch.json"), runs.join("unfinished/arch.json")).unwrap();
    artifact::write_json(&dir.join("t.json"), &table_by_rule(&[(Precision::Fp32, 1.0)])).unwrap();
}

/// The choice follows the table and val accuracy; what was chosen is what is exported; nothing that fits:
/// exit status 1, the nearest named, no bundle.
#[test]
fn the_most_accurate_student_that_fits_is_exported() {
    let temp = tempfile::tempdir().unwrap();
    let d = temp.path().display();
    runs(temp.path());
    let path = temp.path().join("t.json");
    let fitted = Fitted::new(&LatencyTable::read(&path).unwrap(), Precision::Fp32, &path).unwrap();
    let ms: Vec<f64> =
        students().iter().map(|a| fitted.predict(&Graph::lower(a).unwrap()).unwrap().ms).collect();
    assert!(ms[0] < ms[2] && ms[2] < ms[1] && ms[1] < ms[3], "{ms:?}");
    let choose = |ms: f64, more: &str| {
        run(
            "gtn-export",
            &format!("--target rpi5 --from {d}/runs --table {d}/t.json --latency-ms {ms} {more}"),
        )
    };
    for (budget, wanted) in
        [(ms[3], "s3"), (ms[3] * 0.999, "s1"), (ms[1] * 0.999, "s2"), (ms[2] * 0.999, "s0")]
    {
        let found: Value = serde_json::from_str(&choose(budget * 1.000_001, "--json").ok()).unwrap();
        let chosen = found["chosen"].as_str().unwrap();
        assert!(chosen.ends_with(wanted), "budget {budget}: {chosen}, wanted {wanted}");
        assert_eq!(found["pareto"].as_array().unwrap().len(), 4);
        assert_eq!((found["basis"].as_str(), found["threads"].as_u64()), (Some("table"), Some(4)));
        assert_eq!(found["runtime"]["name"], "ort");
        assert_eq!(found["skipped"].as_array().unwrap().len(), 1);
    }
    let none = choose(ms[0] / 2.0, &format!("--out {d}/none.gtn"));
    assert_eq!(none.not_refused(1, &["none of 4 students", "the nearest is", "s0"]), None);
    assert!(!temp.path().join("none.gtn").exists());
    let memory = choose(1e3, "--memory-mb 0.001");
    assert_eq!(memory.not_refused(1, &["none of 4 students", "of memory"]), None);

    choose(ms[1] * 0.999, &format!("--out {d}/b.gtn --eval-set 50")).ok();
    let manifest = fs::read_to_string(temp.path().join("b.gtn/manifest.json")).unwrap();
    assert!(manifest.contains("res-mini:d222-k333333-e111111"), "{manifest}");
    let page = fs::read_to_string(temp.path().join("b.selection.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("(chosen)"));
    let found: Value =
        serde_json::from_slice(&fs::read(temp.path().join("b.selection.json")).unwrap()).unwrap();
    assert!(found["chosen"].as_str().unwrap().ends_with("s2"));

    // By the profile, and measured here: no table.
    let roofline: Value = serde_json::from_str(
        &run("gtn-export", &format!("--target rpi5 --from {d}/runs --latency-ms 100 --json")).ok(),
    )
    .unwrap();
    assert_eq!(
        (roofline["basis"].as_str(), roofline["precision"].as_str()),
        (Some("roofline"), Some("int8"))
    );
    assert_eq!(roofline["candidates"].as_array().unwrap().len(), 8);
    let measured: Value = serde_json::from_str(
        &run("gtn-export", &format!("--target host --from {d}/runs --latency-ms 1000 --json")).ok(),
    )
    .unwrap();
    assert_eq!(measured["basis"].as_str(), Some("measured"));
    assert!(measured["chosen"].as_str().unwrap().ends_with("s3"));
}

/// Every student in every precision of the profile that the table knows: int8 makes room for a better
/// student.
#[test]
fn int8_makes_room_for_a_better_student() {
    let temp = tempfile::tempdir().unwrap();
    let d = temp.path().display();
    runs(temp.path());
    let path = temp.path().join("t.json");
    artifact::write_json(&path, &table_by_rule(&[(Precision::Int8, 0.1), (Precision::Fp32, 1.0)])).unwrap();
    let predict = |precision: Precision, student: usize| {
        let fitted = Fitted::new(&LatencyTable::read(&path).unwrap(), precision, &path).unwrap();
        fitted.predict(&Graph::lower(&students()[student]).unwrap()).unwrap().ms
    };
    // s3 fits in int8 only, s1 in fp32 as well.
    let budget = predict(Precision::Fp32, 1) * 1.001;
    assert!(predict(Precision::Int8, 3) < budget && budget < predict(Precision::Fp32, 3));
    let choose = |more: &str| {
        let args = format!("--target rpi5 --from {d}/runs --table {d}/t.json --latency-ms {budget} {more}");
        run("gtn-export", &args)
    };
    let chosen = |more: &str| -> (String, String) {
        let found: Value = serde_json::from_str(&choose(&format!("--json {more}")).ok()).unwrap();
        let text = |key: &str| found[key].as_str().unwrap().to_owned();
        (text("chosen").split('/').next_back().unwrap().to_owned(), text("precision"))
    };
    assert_eq!(chosen(""), ("s3".into(), "int8".into()));
    assert_eq!(chosen("--precision fp32"), ("s1".into(), "fp32".into()));
    let all: Value = serde_json::from_str(&choose("--json").ok()).unwrap();
    assert_eq!(all["candidates"].as_array().unwrap().len(), 8);
}

#[test]
fn bad_candidates_tables_and_kits_are_refused_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let d = temp.path().display();
    runs(temp.path());
    let table = fs::read_to_string(temp.path().join("t.json")).unwrap();
    let write = |name: &str, from: &str, to: &str| {
        assert!(table.contains(from), "{from}");
        fs::write(temp.path().join(name), table.replacen(from, to, 1)).unwrap();
    };
    write("schema.json", "gtn.table/1", "gtn.table/2");
    write("short.json", "global_avg_pool 48x7x7", "global_avg_pool 49x7x7");
    write("number.json", "\"rest_us\": ", "\"rest_us\": 1e300, \"x\": ");
    let mut few = table_by_rule(&[(Precision::Fp32, 1.0)]);
    few.networks.truncate(5);
    artifact::write_json(&temp.path().join("few.json"), &few).unwrap();
    let mut slow = table_by_rule(&[(Precision::Fp32, 1.0)]);
    slow.networks.iter_mut().for_each(|n| n.time.rest_us *= 9.0);
    artifact::write_json(&temp.path().join("slow.json"), &slow).unwrap();
    let mut absurd = table_by_rule(&[(Precision::Fp32, 1.0)]);
    absurd.ops[3].time.rest_us = 1e12;
    artifact::write_json(&temp.path().join("absurd.json"), &absurd).unwrap();
    fs::create_dir(temp.path().join("empty")).unwrap();
    run("gtn-export", &format!("{KIT} --out {d}/k.gtnkit")).ok();
    let kit = |name: &str, edit: &dyn Fn(&Path)| {
        let to = temp.path().join(name);
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(temp.path().join("k.gtnkit")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
        edit(&to);
    };
    let reseal = |dir: &Path, edit: &dyn Fn(&mut Value)| {
        let path = dir.join("manifest.json");
        let text = artifact::unseal(&fs::read_to_string(&path).unwrap(), &path).unwrap();
        let mut manifest: Value = serde_json::from_str(&text).unwrap();
        edit(&mut manifest);
        fs::write(&path, artifact::seal(&manifest).unwrap()).unwrap();
    };
    kit("flipped", &|d| {
        let path = d.join("op-003-fp32.onnx");
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    kit("gone", &|d| fs::remove_file(d.join("op-003-fp32.onnx")).unwrap());
    kit("up", &|d| reseal(d, &|m| m["files"]["../../etc/passwd"] = json!({"size": 1, "sha256": "0"})));
    kit("copies", &|d| reseal(d, &|m| m["ops"][0]["copies"] = json!(0)));
    kit("twice", &|d| reseal(d, &|m| m["ops"][1]["op"] = m["ops"][0]["op"].clone()));
    kit("unnamed", &|d| reseal(d, &|m| m["ops"][0]["model"] = json!("ghost.onnx")));
    kit("garbage", &|d| {
        fs::write(d.join("op-000-fp32.onnx"), "not onnx").unwrap();
        let sha256 = artifact::sha256(b"not onnx");
        reseal(d, &|m| m["files"]["op-000-fp32.onnx"] = json!({"size": 8, "sha256": sha256}));
    });
    kit("edited", &|d| {
        let path = d.join("manifest.json");
        fs::write(&path, fs::read_to_string(&path).unwrap().replacen("host", "rpi5", 1)).unwrap();
    });
    let from = |table: &str| format!("--target rpi5 --from {d}/runs --latency-ms 1 --table {d}/{table}.json");
    let measure = |kit: &str| format!("table {d}/{kit} --out {d}/o.json --seconds 1 --threads 1");
    let cases: Vec<(&str, String, Vec<&str>)> = vec![
        ("gtn-export", from("schema"), vec!["schema.json", "gtn.table/2"]),
        (
            "gtn-export",
            from("short"),
            vec!["table lacks 1 of the network's operators", "global_avg_pool 48x7x7"],
        ),
        ("gtn-export", from("number"), vec!["number.json", "x"]),
        ("gtn-export", from("few"), vec!["few.json", "5 whole networks", "at least 9"]),
        ("gtn-export", from("slow"), vec!["slow.json", "times the sum of their operators"]),
        ("gtn-export", from("absurd"), vec!["absurd.json", "finite microseconds"]),
        ("gtn-export", from("none"), vec!["none.json"]),
        ("gtn-export", format!("--target rpi5 --from {d}/no --latency-ms 1"), vec!["/no", "not a folder"]),
        ("gtn-export", format!("--target rpi5 --from {d}/empty --latency-ms 1"), vec!["no trained student"]),
        ("gtn-export", format!("--target rpi5 --from {d}/runs --latency-ms 0"), vec!["--latency-ms 0"]),
        ("gtn-export", format!("--target rpi5 --from {d}/runs --latency-ms nan"), vec!["--latency-ms NaN"]),
        (
            "gtn-export",
            format!("--target rpi4 --from {d}/runs --latency-ms 9"),
            vec!["rpi4", "[performance]"],
        ),
        ("gtn-export", format!("{KIT} --out {d}/k.zip"), vec!["k.zip", "NAME.gtnkit"]),
        ("gtn-export", format!("{KIT} --pool nope --out {d}/n.gtnkit"), vec!["unknown pool `nope`"]),
        (
            "gtn-export",
            format!("kit --target host --pool res-mini --input 3x32 --out {d}/n.gtnkit"),
            vec!["3x32"],
        ),
        (
            "gtn-export",
            format!("kit --target host --pool res-mini --input 3x0x32 --out {d}/n.gtnkit"),
            vec!["input"],
        ),
        ("gtn-run", measure("runs"), vec!["/runs", "is not a kit"]),
        ("gtn-run", measure("flipped"), vec!["op-003-fp32.onnx", "SHA-256"]),
        ("gtn-run", measure("gone"), vec!["op-003-fp32.onnx"]),
        ("gtn-run", measure("up"), vec!["manifest.json", "../../etc/passwd"]),
        ("gtn-run", measure("copies"), vec!["manifest.json", "copies 0"]),
        ("gtn-run", measure("twice"), vec!["manifest.json", "there twice"]),
        ("gtn-run", measure("unnamed"), vec!["manifest.json", "ghost.onnx"]),
        (
            "gtn-run",
            measure("garbage").replace("o.json", "what-runs.json"),
            vec!["op-000-fp32.onnx", "not a valid ONNX file"],
        ),
        ("gtn-run", measure("edited"), vec!["manifest.json", "checksum"]),
        ("gtn-run", format!("table {d}/k.gtnkit --out {d}/no/o.json"), vec!["/no/"]),
        ("gtn-run", format!("table {d}/k.gtnkit --out {d}/o.json --seconds 0"), vec!["--seconds 0"]),
        ("gtn-run", format!("table {d}/k.gtnkit --out {d}/o.json --threads 0"), vec!["--threads 0"]),
        ("gtn-train", "pool sample res-mini --target toaster".into(), vec!["unknown target `toaster`"]),
        ("gtn-train", format!("pool sample res-mini --table {d}/t.json"), vec!["--target"]),
    ];
    let failed = |(program, args, wanted): &(&str, String, Vec<&str>)| {
        run(program, args).not_refused(2, wanted).map(|why| format!("{program} {args}: {why}"))
    };
    let failures: Vec<String> = cases.iter().filter_map(failed).collect();
    assert!(!temp.path().join("n.gtnkit").exists() && !temp.path().join("o.json").exists());

    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
}
