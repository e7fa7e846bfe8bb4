//! `gtn-run --on`: against a real sshd on loopback, and against a stand-in for adb.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::artifacts::kit::Kit;
use gtn_tests::sshd::{Disk, Sshd, files, script};
use gtn_tests::{Done, command, program, root, run, small_bundle};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn bundle(dir: &Path) -> String {
    small_bundle(dir, "b", "--target host --precision fp32 --eval-set 100")
}

fn done(mut command: Command) -> Done {
    command.output().unwrap().into()
}

/// The lines of an error are one, and nothing was printed.
fn one_line(done: &Done, code: i32, wanted: &str) {
    assert_eq!(done.not_refused(code, &["gtn-run: error: ssh:127.0.0.1:", wanted]), None);
    let lines: Vec<&str> = done.stderr.lines().collect();
    let progress = |line: &&str| line.contains(" files are there, ") || line.starts_with("copy: ");
    let others: Vec<&&str> = lines.iter().filter(|line| !progress(line)).collect();
    assert!(others.len() == 1 && done.stdout.is_empty(), "{done:?}");
}

fn soon(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(120), "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The keys of all objects, as paths; of a list its first item's.
fn shape(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().filter(|(key, _)| *key != "warnings").for_each(|(key, value)| {
            into.push(format!("{at}.{key}"));
            shape(value, &format!("{at}.{key}"), into);
        }),
        Value::Array(list) => list.first().into_iter().for_each(|v| shape(v, &format!("{at}[]"), into)),
        _ => {}
    }
}

#[test]
fn a_report_from_there_is_as_one_from_here() {
    let temp = tempfile::tempdir().unwrap();
    let (b, dir) = (bundle(temp.path()), temp.path().display());
    let there = Sshd::start(&temp.path().join("there"), Disk::Roomy).unwrap();
    let quick = "--seconds 0 --runs 20 --warmup 0 --threads 1";
    run("gtn-run", &format!("{b} {quick} --json {dir}/here.json")).ok();
    let first = done(there.gtn_run(&format!("{b} {quick} --json {dir}/there.json --html {dir}/there.html")));
    assert!(first.stderr.contains("0 of 15 files are there"), "{}", first.stderr);
    let told = first.ok();
    assert!(told.contains("top-1") && told.ends_with(&format!("\n{dir}/there.html\n")), "{told}");
    let read = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(temp.path().join(name)).unwrap()).unwrap()
    };
    let (here, came) = (read("here.json"), read("there.json"));
    let (mut wanted, mut found) = (Vec::new(), Vec::new());
    shape(&here, "", &mut wanted);
    shape(&came, "", &mut found);
    assert!(wanted.len() > 40 && wanted == found, "{wanted:?}\n{found:?}");
    for same in ["model", "parity", "accuracy"] {
        assert_eq!(here[same], came[same], "{same}");
    }
    assert!(fs::read_to_string(temp.path().join("there.html")).unwrap().contains("</html>"));
    assert_eq!(there.leftovers(), Vec::<PathBuf>::new());

    // What is there is not copied again; what was damaged there is.
    let inodes = || -> Vec<u64> {
        let mut all: Vec<u64> =
            files(&there.store()).iter().map(|f| fs::metadata(f).unwrap().ino()).collect();
        all.sort_unstable();
        all
    };
    let before = inodes();
    let args = format!("verify {b} --threads 1 --json -");
    let again = done(there.gtn_run(&args));
    assert!(again.stderr.contains("15 of 15 files are there, 0 B to copy"), "{}", again.stderr);
    assert_eq!(inodes(), before);
    let report: Value = serde_json::from_str(&again.ok()).unwrap();
    assert_eq!(report["parity"], here["parity"]);
    let model = files(&there.store()).into_iter().min_by_key(|f| fs::metadata(f).unwrap().len()).unwrap();
    fs::write(&model, "damaged").unwrap();
    let mended = done(there.gtn_run(&args));
    assert!(mended.stderr.contains("14 of 15 files are there"), "{}", mended.stderr);
    mended.ok();
    assert_eq!(there.leftovers(), Vec::<PathBuf>::new());
}

/// What a model keeps in other files goes with it.
#[test]
fn a_model_and_its_data_are_one_there() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    let there = Sshd::start(&temp.path().join("there"), Disk::Roomy).unwrap();
    let model = root().join("tests/fixtures/onnx/external.onnx");
    let args = format!("bench {} --seconds 0 --runs 5 --threads 1 --batch 1 --json", model.display());
    run("gtn-run", &format!("{args} {dir}/here.json")).ok();
    done(there.gtn_run(&format!("{args} {dir}/there.json"))).ok();
    let told = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(temp.path().join(name)).unwrap()).unwrap()
    };
    assert_eq!(told("here.json")["model"], told("there.json")["model"]);
}

#[test]
fn every_command_that_measures_runs_there() {
    let temp = tempfile::tempdir().unwrap();
    let (b, dir) = (bundle(temp.path()), temp.path().display());
    let there = Sshd::start(&temp.path().join("there"), Disk::Roomy).unwrap();
    let ok = |args: &str| done(there.gtn_run(&args.replace('@', &dir.to_string()))).ok();
    run("gtn-run", &format!("eval {b} --logits {dir}/here.npy --threads 1")).ok();
    ok("eval @/b.gtn --logits @/there.npy --threads 1");
    let logits = |name: &str| fs::read(temp.path().join(name)).unwrap();
    assert!(logits("here.npy") == logits("there.npy"));
    ok("eval @/b.gtn --against @/here.npy");
    let told = ok("classify @/b.gtn");
    assert!((1..=6).all(|i| told.contains(&format!("{dir}/b.gtn/samples/{i}.png"))), "{told}");
    assert!(ok("profile @/b.gtn/model.onnx --runs 5").contains("us"));
    assert!(ok("memory @/b.gtn --runs 10").contains("resident memory"));
    assert!(ok("info @/b.gtn").contains("golden images"));
    assert!(ok("compare @/b.gtn @/b.gtn --rounds 6 --seconds 1").contains("cannot tell"));
    assert!(ok("soak @/b.gtn --minutes 0.1 --threads 1 --json @/s30.json").contains("steady"));
    gtn_core::measure::soak::Soak::read(&temp.path().join("s30.json")).unwrap();
    let told = ok("tune @/b.gtn --seconds 0.5 --out @/s.json");
    assert!(told.ends_with(&format!("\n{dir}/s.json\n")), "{told}");
    ok("bench @/b.gtn --settings @/s.json --seconds 0 --runs 10 --warmup 0");
    run("gtn-export", &format!("kit --target host --pool res-tiny --input 1x28x28 --out {dir}/k.gtnkit"))
        .ok();
    assert!(Kit::open(&temp.path().join("k.gtnkit")).unwrap().models.len() > 20);
    ok("table @/k.gtnkit --seconds 1 --threads 1 --out @/t.json");
    gtn_core::io::artifact::read_schema::<Value>(&temp.path().join("t.json"), "gtn.table/1").unwrap();

    // Its failures are ours: bad input named as it is here, a missed gate with its report.
    let mut manifest = fs::read(temp.path().join("b.gtn/manifest.json")).unwrap();
    manifest[100] ^= 1;
    fs::create_dir(temp.path().join("bad.gtn")).unwrap();
    fs::write(temp.path().join("bad.gtn/manifest.json"), manifest).unwrap();
    let bad = done(there.gtn_run(&format!("verify {dir}/bad.gtn")));
    assert_eq!(bad.not_refused(2, &[&format!("error: {dir}/bad.gtn/manifest.json: checksum is")]), None);
    let mut other = logits("here.npy");
    let end = other.len() - 4;
    other[end..].copy_from_slice(&1e6f32.to_le_bytes());
    fs::write(temp.path().join("other.npy"), other).unwrap();
    let missed = done(there.gtn_run(&format!("eval {b} --against {dir}/other.npy --json {dir}/missed.json")));
    assert_eq!(missed.not_refused(1, &["parity failed"]), None);
    assert!(temp.path().join("missed.json").exists());
    assert_eq!(there.leftovers(), Vec::<PathBuf>::new());
}

/// Starts a long run there and waits until it measures.
fn long_run(there: &Sshd, b: &str, dir: &Path) -> Child {
    let mut command =
        there.gtn_run(&format!("bench {b} --seconds 300 --json {}", dir.join("r.json").display()));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    soon("gtn-run runs there", || there.is_running());
    assert!(!there.leftovers().is_empty(), "a run has its folder");
    child
}

/// However a run ends, nothing of it stays on either side.
fn nothing_stays(there: &Sshd, dir: &Path, but: usize) {
    soon("the program there ends", || !there.is_running());
    soon("its folder goes", || there.leftovers().is_empty());
    assert!(!dir.join("r.json").exists());
    let temporary: Vec<_> =
        fs::read_dir(dir.join("there/tmp")).unwrap().flatten().map(|e| e.path()).collect();
    assert_eq!(temporary.len(), but, "{temporary:?}");
    assert_eq!(files(dir).iter().filter(|f| f.to_string_lossy().ends_with(".tmp")).count(), 0);
}

#[test]
fn a_cut_connection_is_one_line_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path());
    let there = Sshd::start(&temp.path().join("there"), Disk::Roomy).unwrap();
    let child = long_run(&there, &b, temp.path());
    there.cut().unwrap();
    one_line(&child.wait_with_output().unwrap().into(), 3, "closed by remote host");
    nothing_stays(&there, temp.path(), 0);
}

#[test]
fn a_signal_here_ends_the_run_there() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path());
    let there = Sshd::start(&temp.path().join("there"), Disk::Roomy).unwrap();
    // After SIGKILL nobody is left here to remove the folder of ssh's socket.
    for (signal, code, left) in [("INT", Some(130), 0), ("TERM", Some(143), 0), ("KILL", None, 1)] {
        let child = long_run(&there, &b, temp.path());
        Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        let ended: Done = child.wait_with_output().unwrap().into();
        assert_eq!(ended.code, code, "{ended:?}");
        nothing_stays(&there, temp.path(), left);
    }
}

#[test]
fn a_full_disk_is_one_line_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path());
    let there = Sshd::start(&temp.path().join("there"), Disk::Small).unwrap();
    let full = done(there.gtn_run(&format!("verify {b} --json {}/r.json", temp.path().display())));
    one_line(&full, 1, "");
    let told = ["No space left on device", "File too large", "File size limit exceeded"];
    assert!(told.iter().any(|wanted| full.stderr.contains(wanted)), "{}", full.stderr);
    assert_eq!(files(&there.store()), Vec::<PathBuf>::new());
    nothing_stays(&there, temp.path(), 0);
}

#[test]
fn a_wrong_host_key_is_one_line() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path());
    let there = Sshd::start(&temp.path().join("there"), Disk::Roomy).unwrap();
    let args = format!("verify {b} --json {}/r.json", temp.path().display());
    for (key, wanted) in
        [(Some("other"), "its host key is not the one"), (None, "its host key is not known here")]
    {
        there.expect_key(key).unwrap();
        one_line(&done(there.gtn_run(&args)), 3, wanted);
        assert_eq!(files(&there.store()), Vec::<PathBuf>::new());
        nothing_stays(&there, temp.path(), 0);
    }
    drop(there);
    let nobody = run("gtn-run", &format!("--on ssh:127.0.0.1:1 verify {b}"));
    one_line(&nobody, 3, "Connection refused");
}

#[test]
fn wrong_addresses_and_arguments_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path());
    let cases = [
        ("--on ssh:-oProxyCommand=x verify @".to_owned(), "ssh:-oProxyCommand=x"),
        ("verify @ --on adb:-s".to_owned(), "adb:-s"),
        ("verify @ --on ssh:h:70000".to_owned(), "ssh:h:70000"),
        ("verify @ --on telnet:h".to_owned(), "wanted ssh:[USER@]HOST[:PORT] (an IPv6"),
        ("verify @ --dist x".to_owned(), "--on"),
        ("verify no.gtn --on ssh:h".to_owned(), "no.gtn"),
        ("verify @ --on ssh:h --json no/such/r.json".to_owned(), "no/such/r.json"),
        ("report r.json --on ssh:h".to_owned(), "not for gtn-run report"),
        ("--profile verify @".to_owned(), "`profile` before verify"),
    ];
    let refused =
        |(args, wanted): &(String, &str)| run("gtn-run", &args.replace('@', &b)).not_refused(2, &[wanted]);
    let failures: Vec<String> = cases.iter().filter_map(refused).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The protocol only: a script takes the place of adb and of the phone. It says nothing of a real one.
#[test]
fn a_stand_in_for_adb_is_spoken_to_as_adb() {
    let temp = tempfile::tempdir().unwrap();
    let (b, dir) = (bundle(temp.path()), temp.path().display());
    for sub in ["bin", "data", "dist", "tmp"] {
        fs::create_dir(temp.path().join(sub)).unwrap();
    }
    let stand_in = format!(
        "[ \"$1 $2\" = '-s PHONE-1' ] || {{ echo \"adb: device '$2' not found\" >&2; exit 1; }}\n\
         [ \"$3 $4\" = 'shell -T' ] && [ $# = 5 ] || exit 64\n\
         cd / && exec sh -c \"$(echo \"$5\" | sed 's#/data/local/tmp#{dir}/data#')\""
    );
    script(&temp.path().join("bin/adb"), &stand_in).unwrap();
    // As make dist packs it.
    let folder = temp.path().join("dist/gtn-run-x");
    fs::create_dir(&folder).unwrap();
    fs::copy(program("gtn-run"), folder.join("gtn-run")).unwrap();
    let library = fs::read_dir(root().join("lib")).unwrap().flatten().map(|e| e.path());
    let library = library.into_iter().find(|p| p.to_string_lossy().contains("libonnxruntime.so")).unwrap();
    fs::copy(&library, folder.join(library.file_name().unwrap())).unwrap();
    let pack = format!("tar -C {dir}/dist -c gtn-run-x | gzip -1 > {dir}/dist.tar.gz");
    assert!(Command::new("sh").args(["-c", &pack]).status().unwrap().success());
    let adb = |serial: &str, args: &str| {
        let mut command = command("gtn-run", &format!("--on adb:{serial} {args}"));
        command.env("PATH", format!("{dir}/bin:{}", std::env::var("PATH").unwrap()));
        done(command)
    };
    let args = format!("verify {b} --dist {dir}/dist.tar.gz --json {dir}/r.json");
    assert!(adb("PHONE-1", &args).ok().contains("pass"));
    let again = adb("PHONE-1", &args);
    assert!(again.stderr.contains("15 of 15 files are there"), "{}", again.stderr);
    let report: Value = serde_json::from_str(&fs::read_to_string(format!("{dir}/r.json")).unwrap()).unwrap();
    assert!(report["parity"].as_array().is_some_and(|p| p.len() == 3), "{report}");
    let left: Vec<_> =
        fs::read_dir(format!("{dir}/data/gtn-run")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.len() == 2 && left.contains(&"files".into()) && left.contains(&"cache".into()), "{left:?}");
    assert_eq!(adb("OTHER", &args).not_refused(3, &["adb:OTHER: adb: device 'OTHER' not found"]), None);
}
