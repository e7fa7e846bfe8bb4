//! Bad input: exit status 2, a message that names file, key or node with what was found, no panic,
//! nothing left behind. Every failing case is reported.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::io::tensors::{Tensor, TensorMap};
use gtn_tests::{Done, command, run, small_bundle, small_fashion, small_student};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// (program, arguments, what the message must hold); `@` stands for the test's folder.
type Case<'a> = (&'a str, &'a str, &'a [&'a str]);

fn check(dir: &Path, cases: &[Case]) {
    let at = dir.display().to_string();
    let failed = |(program, args, wanted): &Case| {
        let done = run(program, &args.replace('@', &at));
        done.not_refused(2, wanted).map(|why| format!("{program} {args}: {why}"))
    };
    let failures: Vec<String> = cases.iter().filter_map(failed).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn bundle(dir: &Path) -> PathBuf {
    small_bundle(dir, "b", "--target host --precision fp32 --eval-set 50").into()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn names_and_keys() {
    let temp = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(temp.path().join(name), text).unwrap();
    write("recipe.toml", "epochs = 3\n[optimizer]\nlearning_rate = 0.1\n");
    write("broken.toml", "epochs = = 3\n");
    write("wrong-type.toml", "epochs = \"many\"\n");
    write("device.toml", "schema = \"gtn.device/1\"\nname = \"x\"\ncolour = \"red\"\n");
    write("arch.json", "{\"schema\": \"gtn.arch/9\"}");
    small_student(temp.path());
    let t = "teacher --data fashion-mnist-mini --teacher resnet8 --out @/o";
    let with = |more: &str| format!("{t} {more}");
    check(
        temp.path(),
        &[
            ("gtn-train", "teacher --data mnist --teacher resnet8 --out @/o", &["unknown data `mnist`"]),
            ("gtn-train", "teacher --data cifar10 --teacher resnet8 --out @/o", &["cifar10:DIR"]),
            (
                "gtn-train",
                "teacher --data cifar10:@/no --teacher resnet8 --out @/o",
                &["/no", "no such folder"],
            ),
            (
                "gtn-train",
                "teacher --data fashion-mnist:@/no --teacher resnet8 --out @/o",
                &["/no", "no such folder"],
            ),
            ("gtn-train", "teacher --data fashion-mnist-mini --teacher resnet9 --out @/o", &["resnet9"]),
            ("gtn-train", "teacher --data fashion-mnist-mini --teacher vgg --out @/o", &["vgg"]),
            ("gtn-train", "student --data fashion-mnist-mini --arch pool:x --kd none --out @/o", &["`x`"]),
            (
                "gtn-train",
                "student --data fashion-mnist-mini --arch pool:res-mini:d9-k3-e1 --kd none --out @/o",
                &["d9"],
            ),
            ("gtn-train", "student --data fashion-mnist-mini --arch resnet8 --out @/o", &["--teacher DIR"]),
            (
                "gtn-train",
                "student --data fashion-mnist-mini --arch resnet8 --teacher @/no --out @/o",
                &["/no"],
            ),
            (
                "gtn-train",
                "student --data fashion-mnist-mini --arch @/arch.json --kd none --out @/o",
                &["arch.json", "gtn.arch/9"],
            ),
            ("gtn-train", &with("--config @/recipe.toml"), &["recipe.toml", "learning_rate"]),
            ("gtn-train", &with("--config @/broken.toml"), &["broken.toml", "line 1"]),
            ("gtn-train", &with("--config @/wrong-type.toml"), &["wrong-type.toml", "epochs"]),
            ("gtn-train", &with("--config @/no.toml"), &["no.toml"]),
            ("gtn-train", &with("--set optimizer.speed=9"), &["speed"]),
            ("gtn-train", &with("--set optimizer.lr=-1"), &["lr"]),
            ("gtn-train", &with("--set lr"), &["lr"]),
            ("gtn-train", &with("--epochs 0"), &["epochs"]),
            ("gtn-train", &with("--batch-size 100000"), &["batch_size"]),
            ("gtn-train", &with("--threads 0"), &["--threads 0"]),
            ("gtn-train", &with("--device tpu"), &["tpu"]),
            ("gtn-train", &with("--init @/no.safetensors"), &["no.safetensors"]),
            ("gtn-train", "teacher --teacher resnet8", &["--data"]),
            ("gtn-train", "pool show nope:d1", &["nope"]),
            ("gtn-train", "data fashion-mnist:@", &["train-images-idx3-ubyte"]),
            ("gtn-export", "--target toaster @/s --out @/b", &["unknown target `toaster`", "host"]),
            ("gtn-export", "--target @/device.toml @/s --out @/b", &["device.toml", "colour"]),
            ("gtn-export", "--target @/no.toml @/s --out @/b", &["no.toml"]),
            ("gtn-export", "--target host @/no --out @/b", &["/no"]),
            ("gtn-export", "--target host @/s --out @/b --eval-set 0", &["--eval-set"]),
            ("gtn-export", "--target host @/s --out @/b --data mnist", &["unknown data `mnist`"]),
            (
                "gtn-export",
                "--target host @/s --out @/b --data cifar10:@",
                &["cifar10", "fashion-mnist-mini"],
            ),
            ("gtn-export", "--target host @/s", &["--out"]),
            ("gtn-run", "@/no.gtn", &["no.gtn"]),
            ("gtn-run", "verify @/s", &["manifest.json"]),
            ("gtn-run", "bench @/no.onnx", &["no.onnx"]),
            ("gtn-run", "@/s --backend cuda", &["cuda"]),
            ("gtn-run", "@/s --threads 0", &["--threads 0"]),
            ("gtn-run", "@/s --batch 0", &["--batch 0"]),
            ("gtn-run", "@/s --seconds 99999", &["--seconds"]),
            ("gtn-run", "frobnicate now", &["frobnicate"]),
        ],
    );
    assert!(!temp.path().join("o").exists(), "a refused run leaves no folder");
    assert!(!temp.path().join("b").exists(), "a refused export leaves no folder");
}

#[test]
fn damaged_data_sets() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let data = |name: &str, edit: &dyn Fn(&Path)| {
        let to = dir.join(name);
        small_fashion(&to, 40, 20).unwrap();
        edit(&to);
    };
    let cut = |path: PathBuf, n: usize| {
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..n.min(bytes.len())]).unwrap();
    };
    data("cut-images", &|d| cut(d.join("train-images-idx3-ubyte"), 5000));
    data("cut-header", &|d| cut(d.join("train-images-idx3-ubyte"), 9));
    data("cut-labels", &|d| cut(d.join("t10k-labels-idx1-ubyte"), 20));
    data("no-labels", &|d| fs::remove_file(d.join("train-labels-idx1-ubyte")).unwrap());
    data("count", &|d| {
        fs::copy(d.join("t10k-labels-idx1-ubyte"), d.join("train-labels-idx1-ubyte")).unwrap();
    });
    data("label", &|d| {
        let path = d.join("train-labels-idx1-ubyte");
        let mut bytes = fs::read(&path).unwrap();
        bytes[8 + 3] = 77;
        fs::write(path, bytes).unwrap();
    });
    let cifar = |name: &str, files: &[(&str, usize)]| {
        fs::create_dir(dir.join(name)).unwrap();
        for (file, len) in files {
            fs::write(dir.join(name).join(file), vec![1u8; *len]).unwrap();
        }
    };
    let batches: Vec<String> = (1..=5).map(|i| format!("data_batch_{i}.bin")).collect();
    let mut ten: Vec<(&str, usize)> = batches.iter().map(|b| (b.as_str(), 2 * 3073)).collect();
    ten.push(("test_batch.bin", 3073));
    cifar("cifar10-missing", &ten[1..]);
    ten[0].1 = 3073 + 5;
    cifar("cifar10-cut", &ten);
    cifar("cifar100-cut", &[("train.bin", 3074 * 2 - 1), ("test.bin", 3074)]);
    check(
        dir,
        &[
            ("gtn-train", "data fashion-mnist:@/cut-images", &["train-images-idx3-ubyte", "truncated"]),
            (
                "gtn-train",
                "data fashion-mnist:@/cut-header",
                &["train-images-idx3-ubyte", "header ends before"],
            ),
            ("gtn-train", "data fashion-mnist:@/cut-labels", &["t10k-labels-idx1-ubyte", "truncated"]),
            ("gtn-train", "data fashion-mnist:@/no-labels", &["no-labels", "train-labels-idx1-ubyte"]),
            (
                "gtn-train",
                "data fashion-mnist:@/count",
                &["train-labels-idx1-ubyte", "20 labels", "40 images"],
            ),
            ("gtn-train", "data fashion-mnist:@/label", &["train-labels-idx1-ubyte", "label 3 is 77"]),
            ("gtn-train", "data cifar10:@/cifar10-missing", &["cifar10-missing", "data_batch_1.bin"]),
            ("gtn-train", "data cifar10:@/cifar10-cut", &["data_batch_1.bin", "3078"]),
            ("gtn-train", "data cifar100:@/cifar100-cut", &["train.bin", "6147"]),
        ],
    );
}

#[test]
fn damaged_students() {
    let temp = tempfile::tempdir().unwrap();
    let good = small_student(temp.path());
    let edit_weights = |name: &str, edit: &dyn Fn(&mut TensorMap)| {
        let to = temp.path().join(name);
        copy(&good, &to);
        let path = to.join("weights.safetensors");
        let mut map = TensorMap::read(&path).unwrap();
        edit(&mut map);
        map.write(&path).unwrap();
    };
    edit_weights("missing", &|m| drop(m.0.remove("stem.conv.weight")));
    edit_weights("extra", &|m| m.insert("stem.conv.bias", Tensor::f32(&[1], vec![0.0])));
    edit_weights("shape", &|m| m.insert("stem.conv.weight", Tensor::f32(&[2, 2], vec![0.0; 4])));
    edit_weights("dtype", &|m| m.insert("head.classifier.bias", Tensor::i64(&[10], vec![0; 10])));
    edit_weights("nan", &|m| m.insert("head.classifier.bias", Tensor::f32(&[10], vec![f32::NAN; 10])));
    let edit_file = |name: &str, file: &str, edit: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let to = temp.path().join(name);
        copy(&good, &to);
        let bytes = fs::read(to.join(file)).unwrap();
        fs::write(to.join(file), edit(bytes)).unwrap();
    };
    edit_file("cut", "weights.safetensors", &|b| b[..b.len() / 2].to_vec());
    edit_file("garbage", "weights.safetensors", &|_| b"not safetensors at all".to_vec());
    edit_file("golden-cut", "golden.safetensors", &|b| b[..b.len() - 7].to_vec());
    let replace = |from: &'static str, to: &'static str| {
        move |b: Vec<u8>| String::from_utf8(b).unwrap().replacen(from, to, 1).into_bytes()
    };
    edit_file("schema", "arch.json", &replace("gtn.arch/1", "gtn.arch/2"));
    edit_file("key", "arch.json", &replace("\"labels\"", "\"lables\""));
    edit_file("classes", "arch.json", &replace("\"classes\": 10", "\"classes\": 11"));
    edit_file("json", "train.json", &|b| b[..b.len() - 9].to_vec());
    let mut cases: Vec<(&str, &str, &[&str])> = Vec::new();
    let wanted: [(&str, &[&str]); 12] = [
        ("missing", &["weights.safetensors", "`stem.conv.weight` is missing"]),
        ("extra", &["weights.safetensors", "`stem.conv.bias` does not belong"]),
        ("shape", &["weights.safetensors", "`stem.conv.weight` has shape [2, 2], wanted"]),
        ("dtype", &["weights.safetensors", "`head.classifier.bias` has dtype I64, wanted F32"]),
        ("nan", &["weights.safetensors", "`head.classifier.bias` holds NaN"]),
        ("cut", &["weights.safetensors", "not a valid safetensors file"]),
        ("garbage", &["weights.safetensors", "not a valid safetensors file"]),
        ("golden-cut", &["golden.safetensors", "not a valid safetensors file"]),
        ("schema", &["arch.json", "gtn.arch/2", "gtn.arch/1"]),
        ("key", &["arch.json", "lables"]),
        ("classes", &["arch.json", "labels"]),
        ("json", &["train.json", "line"]),
    ];
    let args: Vec<(String, String)> = wanted
        .iter()
        .map(|(name, _)| {
            (
                format!("--target host @/{name} --out @/out"),
                format!("eval --data fashion-mnist-mini @/{name}"),
            )
        })
        .collect();
    for ((_, message), (export, eval)) in wanted.iter().zip(&args) {
        cases.push(("gtn-export", export, message));
        cases.push(("gtn-train", eval, message));
    }
    check(temp.path(), &cases);
    assert!(!temp.path().join("out").exists(), "a refused export leaves no folder");

    // Weights of another training than the golden answers: the gate is missed, nothing is written.
    edit_weights("swapped", &|m| {
        let Some(t) = m.0.get_mut("head.classifier.bias") else { return };
        *t = Tensor::f32(&[10], (0u8..10).map(f32::from).collect());
    });
    let done = run("gtn-export", &format!("--target host {0}/swapped --out {0}/out", temp.path().display()));
    assert_eq!(done.not_refused(1, &["does not answer as the trained one"]), None);
    assert_eq!(fs::read_dir(temp.path().join("out")).unwrap().count(), 0);
}

#[test]
fn damaged_models() {
    let temp = tempfile::tempdir().unwrap();
    let bytes = fs::read(bundle(temp.path()).join("model.onnx")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(temp.path().join(name), bytes).unwrap();
    write("empty.onnx", b"");
    write("garbage.onnx", b"this is no model");
    // An operator that exists nowhere: a valid file that only the backend can refuse.
    let mut odd = bytes.clone();
    let at = odd.windows(4).position(|w| w == b"Gemm").unwrap();
    odd[at..at + 4].copy_from_slice(b"Gimm");
    write("operator.onnx", &odd);
    check(
        temp.path(),
        &[
            ("gtn-run", "bench @/empty.onnx", &["empty.onnx", "not a valid ONNX file"]),
            ("gtn-run", "bench @/garbage.onnx", &["garbage.onnx", "not a valid ONNX file"]),
            ("gtn-run", "bench @/operator.onnx", &["operator.onnx", "ONNX Runtime cannot load it", "Gimm"]),
            ("gtn-run", "info @/empty.onnx", &["empty.onnx"]),
            ("gtn-run", "verify @/b.gtn/model.onnx", &["is not a bundle"]),
            ("gtn-run", "eval @/b.gtn/model.onnx", &["give --data"]),
            ("gtn-run", "infer @/b.gtn --input @/empty.onnx --out @/o", &["empty.onnx", "not a .npy file"]),
            ("gtn-run", "infer @/b.gtn --input x=@/s/arch.json --out @/o", &["arch.json"]),
            ("gtn-run", "@/b.gtn --json @/no/r.json", &["/no/r.json"]),
        ],
    );
    let mut failures = Vec::new();
    for i in 1..40 {
        write("cut.onnx", &bytes[..bytes.len() * i / 40]);
        let done = run(
            "gtn-run",
            &format!("bench {}/cut.onnx --seconds 0 --runs 1 --warmup 0", temp.path().display()),
        );
        failures.extend(done.not_refused(2, &["cut.onnx"]).map(|why| format!("{i}/40: {why}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    let wrong = Tensor::f32(&[1, 1, 27, 28], vec![0.0; 27 * 28]);
    gtn_core::io::npy::write(&temp.path().join("x.npy"), &wrong).unwrap();
    check(
        temp.path(),
        &[
            ("gtn-run", "infer @/b.gtn --input @/x.npy --out @/o", &["input `image`", "[1, 1, 27, 28]"]),
            ("gtn-run", "infer @/b.gtn --input ghost=@/x.npy --out @/o", &["`image`", "ghost"]),
        ],
    );
}

/// The version is read before anything else is called: an old library, one of a future major version,
/// a library that is something else, and none at all.
#[test]
fn wrong_onnx_runtime() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let model = format!("bench {}/model.onnx", bundle(dir).display());
    let fake = |name: &str, version: &str| {
        let source = format!(
            "#include <stddef.h>\nstatic const char* version(void) {{ return \"{version}\"; }}\n\
             static const void* api(unsigned v) {{ (void)v; return NULL; }}\n\
             struct Base {{ const void* (*get)(unsigned); const char* (*version)(void); }};\n\
             static const struct Base base = {{ api, version }};\n\
             const struct Base* OrtGetApiBase(void) {{ return &base; }}\n"
        );
        fs::write(dir.join("fake.c"), source).unwrap();
        let out = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(dir.join(name))
            .arg(dir.join("fake.c"))
            .output();
        Done::from(out.unwrap()).ok();
    };
    fake("old.so", "1.17.3");
    fake("future.so", "2.0.0");
    fs::write(dir.join("text.so"), "no library").unwrap();
    let with = |lib: &str| format!("{model} --ort-lib @/{lib}");
    check(
        dir,
        &[
            ("gtn-run", &with("old.so"), &["old.so", "1.17.3", "wanted 1.24 or newer"]),
            ("gtn-run", &with("future.so"), &["future.so", "2.0.0"]),
            ("gtn-run", &with("text.so"), &["text.so", "not ONNX Runtime's library"]),
            ("gtn-run", &with("absent.so"), &["absent.so", "no such file"]),
        ],
    );
    let from_environment =
        command("gtn-run", &model).env("ORT_DYLIB_PATH", dir.join("old.so")).output().unwrap();
    assert_eq!(Done::from(from_environment).not_refused(2, &["old.so", "1.17.3"]), None);

    // A copy of the program far from lib/: none is found, which is exit status 3 with where it looked.
    let lonely = dir.join("bin/gtn-run");
    fs::create_dir_all(dir.join("bin")).unwrap();
    let lib = fs::read_dir(gtn_tests::root().join("lib")).unwrap().map(|e| e.unwrap().path());
    let lib = lib.into_iter().find(|p| p.to_string_lossy().contains("libonnxruntime.")).unwrap();
    let name = lib.file_name().unwrap();
    // Whoever owns the working folder does not choose what is run.
    fs::create_dir_all(dir.join("here/lib")).unwrap();
    fs::hard_link(&lib, dir.join("here/lib").join(name))
        .or_else(|_| fs::copy(&lib, dir.join("here/lib").join(name)).map(drop))
        .unwrap();
    fs::copy(gtn_tests::program("gtn-run"), &lonely).unwrap();
    let mut run = Command::new(&lonely);
    run.args(model.split(' '))
        .args(["--backend", "ort"])
        .current_dir(dir.join("here"))
        .env_remove("ORT_DYLIB_PATH");
    let done = Done::from(run.output().unwrap());
    assert_eq!(done.not_refused(3, &["was not found", "--ort-lib", "bin"]), None);
    // Unfit ones beside the program are told, with the loader's own reason.
    fs::copy(dir.join("old.so"), dir.join("bin/libonnxruntime.so.1.9.0")).unwrap();
    fs::write(dir.join("bin/libonnxruntime.so.1.99.0"), "no library").unwrap();
    let done = Done::from(run.output().unwrap());
    assert_eq!(done.not_refused(3, &["so.1.99.0", "file too short"]), None);
    // Beside them the newest that fits is found.
    fs::rename(dir.join("here/lib").join(name), dir.join("bin").join(name)).unwrap();
    let out = Command::new(&lonely).args(["info", "--json"]).env_remove("ORT_DYLIB_PATH").output().unwrap();
    let found: serde_json::Value = serde_json::from_str(&Done::from(out).ok()).unwrap();
    assert_eq!(found["onnxruntime"]["path"], dir.join("bin").join(name).display().to_string());
    assert!(found["onnxruntime"]["passed_over"][0].as_str().unwrap().contains("so.1.99.0"), "{found}");
    assert_eq!(run.arg("--seconds").arg("0").output().unwrap().status.code(), Some(0));
}

/// ONNX Runtime's own library would keep a device id and a database there.
#[test]
fn nothing_is_left_in_the_home_folder() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join("home");
    fs::create_dir(&home).unwrap();
    small_student(temp.path());
    let t = temp.path().display();
    for (program, args) in [
        ("gtn-export", format!("--target host --precision fp32 {t}/s --out {t}/b.gtn --eval-set 50")),
        ("gtn-run", format!("verify {t}/b.gtn")),
    ] {
        let out = command(program, &args).env("HOME", &home).env_remove("XDG_CACHE_HOME").output().unwrap();
        Done::from(out).ok();
    }
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
}

/// /sys refuses new files even to root; a limit on file size stands for a full disk (both are errors of
/// write(2)).
#[test]
#[cfg(target_os = "linux")]
fn read_only_and_full_output() {
    let temp = tempfile::tempdir().unwrap();
    let b = bundle(temp.path());
    check(
        temp.path(),
        &[
            (
                "gtn-train",
                "teacher --data fashion-mnist-mini --teacher resnet8 --out /sys/gtn",
                &["/sys/gtn"],
            ),
            ("gtn-export", "--target host @/s --out /sys/gtn", &["/sys/gtn"]),
            ("gtn-run", "@/b.gtn --json /sys/gtn.json", &["/sys/gtn.json"]),
            ("gtn-run", "eval @/b.gtn --logits /sys/gtn.npy", &["/sys/gtn.npy"]),
        ],
    );
    let limited = |program: &str, args: &str, kib: u32| {
        let script =
            format!("trap '' XFSZ; ulimit -f {kib}; exec {} {args}", gtn_tests::program(program).display());
        Done::from(Command::new("bash").args(["-c", &script]).output().unwrap())
    };
    let d = temp.path().display();
    let done = limited("gtn-export", &format!("--target host --precision fp32 {d}/s --out {d}/full"), 64);
    assert_eq!(done.not_refused(2, &["cannot write", "model.onnx"]), None);
    assert_eq!(fs::read_dir(temp.path().join("full")).unwrap().count(), 0, "no draft is left");
    let t = "teacher --data fashion-mnist-mini --teacher resnet8 --set max_steps=2";
    let done = limited("gtn-train", &format!("{t} --out {d}/t"), 64);
    assert_eq!(done.not_refused(2, &["cannot write", "weights.safetensors"]), None);
    let done = limited("gtn-run", &format!("eval {} --logits {d}/x.npy", b.display()), 1);
    assert_eq!(done.not_refused(2, &["cannot write", "x.npy"]), None);
    assert!(!temp.path().join("x.npy").exists());
}
