//! `gtn-run --on`: what is given to another machine, what is believed of it, and who else may be using it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_tests::sshd::{Disk, Sshd, files, script};
use gtn_tests::{Done, program, run, small_bundle};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn bundle(dir: &Path) -> String {
    small_bundle(dir, "b", "--target host --precision fp32 --eval-set 50")
}

fn done(mut command: Command) -> Done {
    command.output().unwrap().into()
}

fn is_there(there: &Sshd, what: &[u8]) -> bool {
    files(&there.store())
        .iter()
        .any(|f| fs::read(f).is_ok_and(|bytes| bytes.windows(what.len()).any(|w| w == what)))
}

const SECRET: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";

#[test]
fn only_what_a_manifest_lists_is_given() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path());
    let there = Sshd::start(&temp.path().join("there"), Disk::Roomy).unwrap();
    let key = temp.path().join("key");
    fs::write(&key, SECRET).unwrap();
    let inside = |name: &str| Path::new(&b).join(name);
    fs::write(inside("notes.txt"), SECRET).unwrap();
    symlink(&key, inside("LICENSE")).unwrap();
    fs::create_dir(inside(".git")).unwrap();
    fs::write(inside(".git/config"), SECRET).unwrap();
    done(there.gtn_run(&format!("verify {b} --threads 1"))).ok();
    assert!(is_there(&there, b"gtn.bundle/1") && !is_there(&there, SECRET.as_bytes()));

    // A listed file that is a link, even to what the manifest says.
    let elsewhere = temp.path().join("model.onnx");
    fs::rename(inside("model.onnx"), &elsewhere).unwrap();
    symlink(&elsewhere, inside("model.onnx")).unwrap();
    let refused = done(there.gtn_run(&format!("verify {b}")));
    assert_eq!(refused.not_refused(2, &[&format!("{b}/model.onnx: --on: is a link")]), None);
    // One that is named on the command line is meant.
    done(there.gtn_run(&format!("bench {b}/model.onnx --seconds 0 --runs 1 --warmup 0"))).ok();

    // Of folders that have no manifest: links are refused, pictures alone are taken from one of pictures.
    let pictures = temp.path().join("pictures");
    fs::create_dir(&pictures).unwrap();
    fs::write(pictures.join("notes.txt"), SECRET).unwrap();
    picture(&pictures.join("a.png"));
    fs::remove_file(inside("model.onnx")).unwrap();
    fs::rename(&elsewhere, inside("model.onnx")).unwrap();
    done(there.gtn_run(&format!("classify {b} {}", pictures.display()))).ok();
    // Nor the folder of the samples, whatever lies where it leads.
    let samples = temp.path().join("samples");
    fs::rename(inside("samples"), &samples).unwrap();
    symlink(&samples, inside("samples")).unwrap();
    let refused = done(there.gtn_run(&format!("info {b}")));
    assert_eq!(refused.not_refused(2, &[&format!("{b}/samples: --on: is no folder")]), None);
    fs::remove_file(inside("samples")).unwrap();
    fs::rename(&samples, inside("samples")).unwrap();
    symlink(&key, pictures.join("b.png")).unwrap();
    let data = temp.path().join("data");
    gtn_tests::small_fashion(&data, 20, 20).unwrap();
    symlink(&key, data.join("more")).unwrap();
    for (args, link) in [
        (format!("classify {b} {}", pictures.display()), pictures.join("b.png")),
        (format!("eval {b} --data fashion-mnist:{}", data.display()), data.join("more")),
    ] {
        let refused = done(there.gtn_run(&args));
        assert_eq!(refused.not_refused(2, &[&format!("{}: --on: is a link", link.display())]), None);
    }
    assert!(!is_there(&there, SECRET.as_bytes()));
}

/// Grey, 28 x 28.
fn picture(path: &Path) {
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 28, 28);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[99; 28 * 28]).unwrap();
}

#[test]
fn odd_names_come_back_as_they_are_here() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path());
    let there = Sshd::start(&temp.path().join("there"), Disk::Roomy).unwrap();
    let folder = temp.path().join("a\n\"folder\" @0");
    fs::create_dir_all(folder.join("be\tlow")).unwrap();
    let pictures = [folder.join("a.png"), folder.join("be\tlow/re\x1bd.PNG")];
    pictures.iter().for_each(|path| picture(path));
    let json = temp.path().join("answers.json");
    for args in [vec![folder.clone()], pictures.to_vec()] {
        let mut command = there.gtn_run(&format!("classify {b} --json {}", json.display()));
        command.args(&args);
        let table = done(command).ok();
        assert!(
            table.contains("a\\n\"folder\" @0/be\\tlow/re\\x1bd.PNG") && !table.contains('\x1b'),
            "{table}"
        );
        let answers: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
        let mut named: Vec<&str> =
            answers["images"].as_array().unwrap().iter().map(|i| i["file"].as_str().unwrap()).collect();
        named.sort_unstable(); // in the order that they have there
        assert_eq!(named, pictures.iter().map(|p| p.to_str().unwrap()).collect::<Vec<_>>());
    }
    let mut command = there.gtn_run(&format!("classify {b} --json -"));
    command.args(&pictures);
    let printed = done(command).ok();
    assert_eq!(printed, fs::read_to_string(&json).unwrap());
}

/// A home folder that several machines have: what one of them runs is not another's to remove.
#[test]
fn a_live_run_is_left_alone_and_a_dead_one_goes() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path());
    let there = Sshd::start(&temp.path().join("there"), Disk::Roomy).unwrap();
    let mut long = there.gtn_run(&format!("bench {b} --seconds 300"));
    let mut long = long.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while !there.is_running() {
        assert!(begun.elapsed().as_secs() < 120, "gtn-run does not run there");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let live = folders(&there);
    assert_eq!(live.len(), 1, "{live:?}");
    // `run.TOKEN.PROCESS.START.MACHINE`
    let parts: Vec<&str> = live.first().unwrap().splitn(5, '.').collect();
    let &[_, _, _, start, machine] = parts.as_slice() else { unreachable!("{parts:?}") };
    let make = |token: &str, start: &str, machine: &str| {
        let name = format!("run.{token}.4194305.{start}.{machine}");
        fs::create_dir_all(there.store().join(&name).join("w")).unwrap();
        name
    };
    make("gone", start, machine);
    let old = make("old", "0-0", machine);
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(9 * 86_400);
    fs::File::open(there.store().join(old)).unwrap().set_modified(long_ago).unwrap();
    let elsewhere = make("elsewhere", "1-1", "another-machine");
    let namesake = make("namesake", "1-1", machine);
    let held = make("held", start, machine);
    fs::create_dir_all(there.store().join(format!("put.x.4194305.{start}.{machine}/in"))).unwrap();
    let lock = fs::File::create(there.store().join(&held).join("lock")).unwrap();
    lock.lock().unwrap();
    done(there.gtn_run(&format!("info {b}"))).ok();
    let mut kept = [live.first().unwrap().clone(), elsewhere, held, namesake];
    kept.sort();
    assert_eq!(folders(&there), kept);
    assert!(there.is_running() && long.try_wait().unwrap().is_none());
    drop(lock);
    Command::new("kill").args(["-INT", &long.id().to_string()]).status().unwrap();
    long.wait().unwrap();
    done(there.gtn_run(&format!("info {b}"))).ok();
    assert_eq!(folders(&there).len(), 2, "the other machines' alone");
}

fn folders(there: &Sshd) -> Vec<String> {
    let names = fs::read_dir(there.store()).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "files" && name != "cache").collect();
    names.sort();
    names
}

/// A device that answers what it likes: a script in the place of adb.
struct Stranger {
    dir: PathBuf,
    bundle: String,
}

impl Stranger {
    fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("bin")).unwrap();
        fs::create_dir_all(dir.join("dist")).unwrap();
        // The header of a program for this machine is all that is looked at.
        let elf = fs::read(program("gtn-run")).unwrap();
        fs::write(dir.join("dist/gtn-run"), elf.get(..64).unwrap()).unwrap();
        let answers = format!(
            "case \"$5\" in *'uname -sm'*) printf 'gtn-begin\\n'; uname -sm; echo gtn-done:0;;\n\
             *'touch -c'*) echo gtn-begin; while read -r h; do echo \"$h  $h\"; done; echo gtn-done:0;;\n\
             *) . {}/answer;; esac",
            dir.display()
        );
        script(&dir.join("bin/adb"), &answers).unwrap();
        Self { dir: dir.to_owned(), bundle: bundle(dir) }
    }

    /// `gtn-run` with little memory, while the device answers the run with what `shell` prints.
    fn answers(&self, shell: &str, args: &str) -> Done {
        fs::write(self.dir.join("answer"), shell).unwrap();
        let d = self.dir.display();
        let args = args.replace('@', &self.bundle);
        let limited = format!(
            "ulimit -v 600000; exec {} --on adb:PHONE --dist {d}/dist {args}",
            program("gtn-run").display()
        );
        let path = format!("{d}/bin:{}", std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", &limited]).env("PATH", path).current_dir(gtn_tests::root());
        done(command)
    }
}

#[test]
fn what_a_device_answers_is_bounded() {
    let temp = tempfile::tempdir().unwrap();
    let stranger = Stranger::new(temp.path());
    let out = temp.path().join("r.json");
    let args = format!("verify @ --json {}", out.display());
    for (shell, wanted) in [
        (
            "echo gtn-begin; echo exit 0; echo file 1 1500000000; exec head -c 1500000000 /dev/zero",
            "answers with more than",
        ),
        ("exec head -c 1500000000 /dev/zero", "answers with more than"),
        ("exec head -c 1500000000 /dev/zero >&2", "answers with more than"),
        (
            "echo gtn-begin; echo exit 0; echo file 1 99999999999; echo gtn-done:0",
            "what came back is not what was sent",
        ),
        (
            "echo gtn-begin; echo exit 0; echo file 7 1; echo xgtn-done:0",
            "what came back is not what was sent",
        ),
        ("echo gtn-begin; echo exit 0; echo gtn-done:0", "did not write"),
        ("echo gtn-begin; echo exit 0; echo file 1 1; echo '[gtn-done:0'", "no gtn.report/1"),
        ("echo gtn-begin; echo exit 0; echo file 1 2; echo '[]gtn-done:0'", "no gtn.report/1"),
        (
            "echo gtn-begin; echo exit 0; echo file 1 21; echo '{\"schema\":\"other/1\" }gtn-done:0'",
            "no gtn.report/1",
        ),
    ] {
        let done = stranger.answers(shell, &args);
        assert_eq!(done.not_refused(1, &["adb:PHONE: ", wanted]), None, "{shell}");
        assert!(done.stdout.is_empty() && !out.exists(), "{shell}: {done:?}");
    }
    let nested = "printf 'gtn-begin\\nexit 0\\nfile 1 1000000\\n'; head -c 1000000 /dev/zero | tr '\\0' '['; echo gtn-done:0";
    assert_eq!(stranger.answers(nested, &args).not_refused(1, &["no gtn.report/1"]), None);
}

#[test]
fn what_a_device_answers_is_told_safely() {
    let temp = tempfile::tempdir().unwrap();
    let stranger = Stranger::new(temp.path());
    let d = temp.path().display();
    run(
        "gtn-run",
        &format!("bench {} --seconds 0 --runs 20 --warmup 0 --json {d}/true.json", stranger.bundle),
    )
    .ok();
    let mut report: Value =
        serde_json::from_str(&fs::read_to_string(temp.path().join("true.json")).unwrap()).unwrap();
    let name = "\x1b]0;owned\x07<script>alert(1)</script>";
    report["model"]["name"] = name.into();
    fs::write(temp.path().join("false.json"), report.to_string()).unwrap();
    let shell = format!(
        "printf '\\033[2Jwiped\\r\\n\\302\\233 31m and more\\n' >&2; echo gtn-begin; echo exit 0; \
         echo file 1 $(wc -c < {d}/false.json); cat {d}/false.json; echo gtn-done:0"
    );
    let told = stranger.answers(&shell, &format!("bench @ --json {d}/r.json --html {d}/r.html"));
    assert_eq!(told.code, Some(0), "{told:?}");
    let control = |c: char| c != '\n' && c.is_control();
    assert!(!told.stderr.contains(control) && told.stderr.contains("\\x1b[2Jwiped"), "{told:?}");
    assert!(!told.stdout.contains(control) && told.stdout.contains("owned"), "{told:?}");
    let page = fs::read_to_string(temp.path().join("r.html")).unwrap();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>alert") && !page.contains('\x1b'));
    let kept: Value = serde_json::from_str(&fs::read_to_string(temp.path().join("r.json")).unwrap()).unwrap();
    assert_eq!(kept["model"]["name"], name, "JSON keeps data as they are");

    // What is printed for people, and JSON that is printed.
    let words = |words: &str| {
        format!(
            "printf 'gtn-begin\\nexit 0\\n'; w=$(printf '{words}'); echo file 0 ${{#w}}; echo \"${{w}}gtn-done:0\""
        )
    };
    let info = stranger.answers(&words("board \\033[31mPi"), "info @").ok();
    assert!(info.contains("board \\x1b[31mPi") && !info.contains('\x1b'), "{info}");
    let no_json = stranger.answers(&words("board Pi"), "info @ --json");
    assert_eq!(no_json.not_refused(1, &["no JSON"]), None);
}
