//! What the programs say and where they put it: exit statuses whatever becomes of the words, strangers' names, devices and
//! pipes in the place of files.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::io::artifact;
use gtn_core::io::npy;
use gtn_core::io::tensors::Tensor;
use gtn_tests::{Done, command, run, small_bundle};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::Stdio;

const FP32: &str = "--target host --precision fp32 --eval-set 40";

fn png(path: &Path) {
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), 28, 28);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[7; 784]).unwrap();
}

fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A full disk behind stdout is one line and status 1 of whatever answers; a reader that is gone is none.
#[test]
fn the_status_is_the_work_s_whatever_becomes_of_its_words() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    let verify = format!("verify {bundle}");
    let quick = format!("bench {bundle} --seconds 0 --runs 1 --warmup 0");
    let json = format!("{quick} --json -");
    let mut failures = Vec::new();
    for (program, args) in [
        ("gtn-run", "info"),
        ("gtn-run", "info --json"),
        ("gtn-run", "--help"),
        ("gtn-run", "--version"),
        ("gtn-run", verify.as_str()),
        ("gtn-run", json.as_str()),
        ("gtn-export", "targets"),
        ("gtn-export", "targets rpi5 --toml"),
        ("gtn-export", "--help"),
        ("gtn-train", "pool list"),
        ("gtn-train", "data fashion-mnist-mini"),
        ("gtn-train", "--version"),
    ] {
        let full = Stdio::from(File::options().write(true).open("/dev/full").unwrap());
        let done = Done::from(command(program, args).stdout(full).output().unwrap());
        failures.extend(
            done.not_refused(1, &["error: standard output: cannot write"]).map(|w| format!("{args}: {w}")),
        );
        // Its reader is gone before it starts.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = Done::from(command(program, args).stdout(writer).output().unwrap());
        if done.code != Some(0) || done.stderr.contains("error") || done.stderr.contains("panicked") {
            failures.push(format!("{args}, closed pipe: {done:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Work that failed stays failed when nobody reads its table, and when nobody reads its errors.
#[test]
fn failed_work_fails_without_readers() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    let wrong = Tensor::f32(&[40, 10], vec![0.0; 400]);
    npy::write(&temp.path().join("wrong.npy"), &wrong).unwrap();
    let args = format!("eval {bundle} --against {}/wrong.npy", temp.path().display());
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    assert_eq!(Done::from(command("gtn-run", &args).stdout(closed()).output().unwrap()).code, Some(1));
    assert_eq!(Done::from(command("gtn-run", &args).stderr(closed()).output().unwrap()).code, Some(1));
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    assert_eq!(Done::from(command("gtn-run", &args).stderr(full()).output().unwrap()).code, Some(1));
    let done = Done::from(command("gtn-run", &args).stdout(full()).output().unwrap());
    assert_eq!(done.not_refused(1, &["standard output", "parity failed"]), None);
    assert_eq!(
        Done::from(command("gtn-run", "verify /no/such").stderr(full()).output().unwrap()).code,
        Some(2)
    );
}

#[test]
fn what_is_no_file_is_written_to_and_stays() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    let at = |name: &str| temp.path().join(name);
    symlink("/dev/null", at("null")).unwrap();
    pipe(&at("pipe"));
    symlink("real.json", at("link.json")).unwrap();
    fs::write(at("real.json"), "old").unwrap();
    let reader = {
        let pipe = at("pipe");
        std::thread::spawn(move || fs::read_to_string(pipe).unwrap())
    };
    let bench = format!("bench {bundle} --seconds 0 --runs 1 --warmup 0");
    for to in ["null", "pipe", "link.json"] {
        run("gtn-run", &format!("{bench} --json {}", at(to).display())).ok();
    }
    let schema =
        |text: &str| serde_json::from_str::<Value>(text).unwrap()["schema"].as_str().unwrap().to_owned();
    assert_eq!(schema(&reader.join().unwrap()), "gtn.report/1");
    assert!(fs::metadata(at("pipe")).unwrap().file_type().is_fifo());
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    assert!(fs::symlink_metadata(at("null")).unwrap().is_symlink());
    assert!(fs::symlink_metadata(at("link.json")).unwrap().is_symlink());
    assert_eq!(schema(&fs::read_to_string(at("real.json")).unwrap()), "gtn.report/1");
    // stdout, and a file behind it, which its holder goes on writing to.
    let out = run("gtn-run", &format!("{bench} --json /dev/stdout")).ok();
    assert_eq!(schema(&out[..=out.rfind("\n}\n").unwrap() + 1]), "gtn.report/1");
    let file = File::create(at("out")).unwrap();
    let status = command("gtn-run", &format!("{bench} --json /dev/fd/1")).stdout(file).status().unwrap();
    assert!(status.success());
    let text = fs::read_to_string(at("out")).unwrap();
    assert!(text.starts_with('{') && text.contains("p50"), "{text}");
}

/// Names that are no text, that would act on a terminal, that are no pictures: each is told, and the others are answered.
#[test]
fn odd_pictures_never_keep_the_others_back() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    let dir = temp.path().join("pictures");
    fs::create_dir_all(dir.join("empty.png")).unwrap();
    let names: [&[u8]; 3] = [b"a.png", b"b\xff.png", b"c\x1b[31mred\nline\xe2\x80\xaeturned.png"];
    for name in names {
        png(&dir.join(OsStr::from_bytes(name)));
    }
    pipe(&dir.join("d.jpg"));
    symlink("/dev/zero", dir.join("e.png")).unwrap();
    let args = format!("classify {bundle} {} {}/none", dir.display(), temp.path().display());
    let done = run("gtn-run", &format!("{args} --json -"));
    let found: Value = serde_json::from_str(&done.stdout).unwrap();
    let found: Vec<&str> =
        found["images"].as_array().unwrap().iter().map(|i| i["file"].as_str().unwrap()).collect();
    let named = |name: &str| format!("{}/{name}", dir.display());
    assert_eq!(found, [named("a.png"), named("b\\xff.png"), named("c\u{1b}[31mred\nline\u{202e}turned.png")]);
    let wanted =
        ["d.jpg: is a pipe, wanted a file", "e.png: is a device, wanted a file", "none: cannot read"];
    assert_eq!(done.not_refused(2, &wanted), None);
    assert!(!done.stdout.contains(['\u{1b}', '\u{202e}']));

    let done = run("gtn-run", &args);
    assert!(!done.stdout.contains(['\u{1b}', '\u{202e}']), "{}", done.stdout);
    assert!(done.stdout.contains("c\\x1b[31mred\\nline\\u202eturned.png"), "{}", done.stdout);
    assert_eq!(done.stdout.lines().count(), 2 + 3, "{}", done.stdout);
    assert_eq!(done.stderr.lines().filter(|l| l.contains("error: ")).count(), 3, "{}", done.stderr);
}

/// An output's name must not lead out of the folder, and has a file of its own.
#[test]
fn outputs_have_files_of_their_own() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    let mut model = fs::read(Path::new(&bundle).join("model.onnx")).unwrap();
    while let Some(at) = model.windows(6).position(|w| w == b"logits") {
        model[at..at + 6].copy_from_slice(b"../y:0");
    }
    fs::write(temp.path().join("m.onnx"), model).unwrap();
    npy::write(&temp.path().join("x.npy"), &Tensor::f32(&[1, 1, 28, 28], vec![0.0; 784])).unwrap();
    let d = temp.path().display();
    run("gtn-run", &format!("infer {d}/m.onnx --input {d}/x.npy --out {d}/o")).ok();
    let names: Vec<_> =
        fs::read_dir(temp.path().join("o")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["%2E.%2Fy%3A0.npy"]);
    // What cannot be written is refused before anything runs: no line about a backend.
    fs::write(temp.path().join("file"), "x").unwrap();
    let done = run("gtn-run", &format!("infer {d}/m.onnx --input {d}/x.npy --out {d}/file"));
    assert_eq!(done.not_refused(2, &["file: cannot create"]), None);
}

#[test]
fn a_temporary_folder_that_cannot_be_written_is_told_first() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = small_bundle(temp.path(), "b", FP32);
    let out =
        command("gtn-run", &format!("profile {bundle} --runs 100000")).env("TMPDIR", "/nonexistent").output();
    let done = Done::from(out.unwrap());
    assert_eq!(done.not_refused(2, &["/nonexistent: cannot create a folder in: No such file"]), None);
}

/// A line of stderr is one, and bounded, whatever a file holds.
#[test]
fn errors_are_one_short_line() {
    let temp = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(temp.path().join(name), text).unwrap();
    let long = "k".repeat(100_000);
    write("long.toml", &format!("{long} = 1\n"));
    write("lines.toml", "schema = \"gtn.device/1\"\ncores = [1,\n2,\n\"\"\"\x1b\n");
    write("name.toml", &format!("schema = \"gtn.device/1\"\nname = \"{long}\"\n"));
    write("long.json", &format!("{{\"{long}\": 1}}"));
    write("odd.json", "{\"schema\": \"\\u001b[31m\\n\"}");
    let d = temp.path().display();
    for (program, args) in [
        ("gtn-export", format!("--target {d}/long.toml {d}/s --out {d}/o")),
        ("gtn-export", format!("--target {d}/lines.toml {d}/s --out {d}/o")),
        ("gtn-export", format!("--target {d}/name.toml {d}/s --out {d}/o")),
        (
            "gtn-train",
            format!("teacher --data fashion-mnist-mini --teacher resnet8 --out {d}/o --config {d}/long.toml"),
        ),
        ("gtn-train", format!("study --config {d}/long.toml --out {d}/o")),
        ("gtn-run", format!("report {d}/long.json")),
        ("gtn-run", format!("report {d}/odd.json")),
        ("gtn-run", format!("bench {d}/{}", "n".repeat(5000))),
    ] {
        let done = run(program, &args);
        assert_eq!(done.not_refused(2, &["error: "]), None, "{args}");
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        assert!(done.stderr.chars().count() <= 301 && !done.stderr.contains('\u{1b}'), "{}", done.stderr);
    }
}

/// A description's name would lead out of `--out`.
#[test]
fn a_network_s_name_is_plain() {
    let temp = tempfile::tempdir().unwrap();
    gtn_tests::small_student(temp.path());
    let text = fs::read_to_string(temp.path().join("s/arch.json")).unwrap();
    for (i, name) in ["..", ".hidden", "a/b", "a\\nb"].iter().enumerate() {
        let edited = text.replace("res-mini:d111-k333-e111", name);
        assert_ne!(edited, text);
        fs::write(temp.path().join(format!("{i}.json")), edited).unwrap();
        let d = temp.path().display();
        let args = format!(
            "student --data fashion-mnist-mini --kd none --out {d}/o --arch {d}/{i}.json --arch pool:res-mini:d111-k333-e111"
        );
        let done = run("gtn-train", &args);
        assert_eq!(done.not_refused(2, &[&format!("{i}.json"), "name is `", "wanted letters"]), None);
        assert!(!temp.path().join("o").exists());
    }
    artifact::check_writable(&temp.path().join("o")).unwrap();
}
