//! Training on photographs: whole pictures cropped and mixed, every part of a recipe, teachers of other sizes and of
//! other frameworks, and weights that others trained.
#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test, what cannot be is a failure

use gtn_tests::command;
use gtn_tests::pictures::{data, folder, run};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Every key that photographs brought.
const RECIPE: &str = r#"
epochs = 4
batch_size = 8
eval_every = 1
ema = 0.9
patience = 3
sampling = "balanced"
class_weights = "balanced"

[optimizer]
kind = "adamw"
lr = 2e-3
clip_norm = 1.0
accumulate = 2
backbone_lr = 0.5
freeze_epochs = 1

[schedule]
kind = "cosine"
warmup_epochs = 1.0
end = 0.01

[augment]
pad = 0
flip = true
seed = 5
trivial = true
crop = { scale = [0.35, 1.0] }
jitter = { brightness = 0.2 }
erasing = { probability = 0.3 }
mix = { cutmix = 1.0, mixup = 0.2, probability = 0.5 }
"#;

const ARCH: &str = "pool:res-mini:d111-k333-e111";

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A run stopped and gone on with is the run that was never stopped, byte for byte: the average, the best weights, the
/// moments and the half-gathered gradients too.
#[test]
fn a_stopped_run_goes_on_to_the_same_bytes() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, root) = (temp.path(), folder(temp.path(), 40));
    let recipe = dir.join("recipe.toml");
    fs::write(&recipe, RECIPE).unwrap();
    let (data, recipe) = (data(&root, 24), recipe.display().to_string());
    let args = |out: &str| -> Vec<String> {
        let out = dir.join(out).display().to_string();
        let list = [
            "student",
            "--arch",
            ARCH,
            "--kd",
            "none",
            "--data",
            &data,
            "--config",
            &recipe,
            "--threads",
            "1",
        ];
        list.iter().map(|&a| a.to_owned()).chain(["--out".to_owned(), out]).collect()
    };
    let run_args =
        |list: &[String]| run(dir, "gtn-train", &list.iter().map(String::as_str).collect::<Vec<_>>());
    run_args(&args("whole")).ok();
    for stop in 1..=3u64 {
        let mut program = command("gtn-train", "");
        program.args(args("cut")).env("XDG_CACHE_HOME", dir.join("cache"));
        let mut child = program.args((stop > 1).then_some("--resume")).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(250 * stop));
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        child.wait().unwrap();
    }
    run_args(&[args("cut"), vec!["--resume".to_owned()]].concat()).ok();
    for file in ["loss.jsonl", "weights.safetensors", "golden.safetensors"] {
        let read = |run: &str| fs::read(dir.join(run).join(file)).unwrap();
        assert!(read("whole") == read("cut"), "{file} differs");
    }
    let record = json(&dir.join("whole/train.json"));
    assert_eq!(record["recipe"]["optimizer"]["kind"], "adamw");
    // What is saved is what the best evaluation saw.
    assert_eq!(record["best_val_top1"], record["accuracy"]["val"]["top1"], "{record}");
}

/// A teacher at another size, as our own folder and as an ONNX file that gtn-run answers for; live, kept and replayed.
#[test]
fn any_onnx_classifier_teaches_and_is_asked_once() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, root) = (temp.path(), folder(temp.path(), 40));
    let path = |name: &str| dir.join(name).display().to_string();
    let (large, small) = (data(&root, 32), data(&root, 24));
    let teacher = ["student", "--arch", "resnet8", "--kd", "none", "--data", &large, "--set", "max_steps=20"];
    run(dir, "gtn-train", &[&teacher[..], &["--batch-size", "16", "--out", &path("teacher")]].concat()).ok();
    let export = [
        "--target",
        "host",
        "--precision",
        "fp32",
        "--data",
        &large,
        &path("teacher"),
        "--out",
        &path("t.gtn"),
    ];
    run(dir, "gtn-export", &export).ok();
    let model = path("t.gtn/model.onnx");
    let recipe = path("recipe.toml");
    fs::write(&recipe, RECIPE.replace("epochs = 4", "epochs = 2").replace("patience = 3", "patience = 0"))
        .unwrap();
    let student = |name: &str, teacher: &str, more: &[&str]| {
        let list = ["student", "--arch", ARCH, "--data", &small, "--config", &recipe, "--threads", "1"];
        let out = path(name);
        let args = [&list[..], &["--teacher", teacher, "--out", &out], more].concat();
        run(dir, "gtn-train", &args)
    };
    let (kept, ours) = (path("kept"), path("ours"));
    let folder_said = student("folder", &path("teacher"), &["--answers", &ours]);
    assert!(folder_said.stderr.contains(" 0 answers taken"), "{}", folder_said.stderr);
    folder_said.ok();
    student("live", &model, &[]).ok();
    let filled = student("filled", &model, &["--answers", &kept]);
    assert!(filled.stderr.contains(" 0 answers taken"), "{}", filled.stderr);
    filled.ok();
    // The answers are there: the teacher is not asked, in this seed or another.
    let replayed = student("replayed", &model, &["--answers", &kept]);
    let of_second_turns = |text: &str| text.contains("answers taken") && !text.contains(" 0 answers taken");
    assert!(of_second_turns(&replayed.stderr), "{}", replayed.stderr);
    replayed.ok();
    let weights = |name: &str| fs::read(dir.join(name).join("weights.safetensors")).unwrap();
    assert!(weights("live") == weights("filled"), "kept answers are the live ones");
    assert!(weights("live") == weights("replayed"), "replayed answers are the live ones");
    let record = json(&dir.join("live/train.json"));
    assert_eq!(record["teacher_arch"], "model.onnx");
    // ONNX Runtime's and libtorch's answers agree, so that what is learnt agrees.
    let top1 =
        |name: &str| json(&dir.join(name).join("train.json"))["accuracy"]["test"]["top1"].as_f64().unwrap();
    assert!((top1("live") - top1("folder")).abs() <= 0.2, "{} and {}", top1("live"), top1("folder"));

    // Mistakes.
    let refused = |done: gtn_tests::Done, wanted: &[&str]| assert_eq!(done.not_refused(2, wanted), None);
    refused(student("x", &model, &["--answers", &ours]), &["holds other answers", "teacher_sha256"]);
    refused(student("x", &path("teacher"), &["--gtn-run", "y"]), &["--gtn-run: only with an ONNX --teacher"]);
    let labels = path("labels.txt");
    fs::write(&labels, "across\nalong\nelse\n").unwrap();
    refused(student("x", &model, &["--teacher-labels", &labels]), &["has no class `slanting ones`"]);
    fs::write(path("no.onnx"), "no model").unwrap();
    refused(student("x", &path("no.onnx"), &[]), &["no.onnx", "does not answer for it"]);
    let plain = ["--set", "augment.pad=1"];
    let list = ["student", "--arch", ARCH, "--data", &small, "--teacher", &model, "--out", &path("x")];
    refused(run(dir, "gtn-train", &[&list[..], &plain].concat()), &["only a random crop of the whole"]);
}

/// The pretrained weights of a whole folder start another network of other classes, scaled as they were.
#[test]
fn a_network_starts_from_weights_of_other_classes() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, root) = (temp.path(), folder(temp.path(), 30));
    let path = |name: &str| dir.join(name).display().to_string();
    let train = |data: &str, name: &str, more: &[&str]| {
        let list = ["teacher", "--teacher", "mobilenetv3-small", "--data", data, "--set", "max_steps=2"];
        let out = path(name);
        let more = [&["--batch-size", "8", "--recipe", "finetune", "--out", &out], more].concat();
        run(dir, "gtn-train", &[&list[..], &more].concat())
    };
    train(&data(&root, 32), "three", &[]).ok();
    fs::remove_dir_all(root.join("along")).unwrap();
    let said = train(&data(&root, 32), "two", &["--init", &path("three")]);
    let wanted =
        ["weights as", "its classifier is for other classes and drawn anew", "head.classifier.weight"];
    assert!(wanted.iter().all(|w| said.stderr.contains(w)), "{}", said.stderr);
    said.ok();
    let scaling = |name: &str| json(&dir.join(name).join("arch.json"))["preprocess"]["mean"].clone();
    assert_eq!(scaling("two"), scaling("three"));
    let other = ["teacher", "--teacher", "resnet8", "--data", &data(&root, 32), "--init", &path("three")];
    let refused = run(dir, "gtn-train", &[&other[..], &["--out", &path("x")]].concat());
    assert_eq!(refused.not_refused(2, &["holds no weights of `resnet8`"]), None);
}

/// The worst pictures of val, for people and for scripts; the page is made again from what is there.
#[test]
fn the_page_shows_the_worst_pictures() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, root) = (temp.path(), folder(temp.path(), 40));
    let photos = data(&root, 24);
    let train = |data: &str, out: &str, more: &[&str]| {
        let out = dir.join(out).display().to_string();
        let list = [
            "student",
            "--arch",
            ARCH,
            "--kd",
            "none",
            "--threads",
            "1",
            "--set",
            "max_steps=1",
            "--batch-size",
            "16",
        ];
        run(dir, "gtn-train", &[&list[..], &["--data", data, "--out", &out], more].concat()).ok()
    };
    let fashion = ["--set", "train_images=500", "--set", "val_fraction=0.2"];
    for (data, out, more) in
        [(photos.as_str(), "photos", &[][..]), ("fashion-mnist-mini", "fashion", &fashion)]
    {
        train(data, out, more);
        let out = dir.join(out);
        let (told, page) =
            (json(&out.join("worst.json")), fs::read_to_string(out.join("report.html")).unwrap());
        let confusion = json(&out.join("classes.json"))["confusion"]["val"]["counts"].clone();
        let count = |wanted: fn(&Value) -> bool| -> u64 {
            confusion.as_array().unwrap().iter().filter(|c| wanted(c)).map(|c| c[2].as_u64().unwrap()).sum()
        };
        assert_eq!(told["schema"], "gtn.worst/1");
        assert_eq!(
            (told["images"].as_u64(), told["wrong"].as_u64()),
            (Some(count(|_| true)), Some(count(|c| c[0] != c[1])))
        );
        let worst = told["worst"].as_array().unwrap();
        // After one step it guesses.
        assert!(!worst.is_empty() && worst.len() as u64 == count(|c| c[0] != c[1]).min(24), "{told}");
        assert_eq!(page.matches("data:image/png;base64,").count(), worst.len());
        let loss = |w: &Value| w["loss"].as_f64().unwrap();
        assert!(worst.windows(2).all(|w| loss(&w[0]) >= loss(&w[1])), "{told}");
        for image in worst {
            let (class, answer) = (image["class"].as_str().unwrap(), image["answer"].as_str().unwrap());
            let probability = image["probability"].as_f64().unwrap();
            assert!(class != answer && probability > 0.0 && probability <= 1.0, "{image}");
            match image["file"].as_str() {
                Some(file) => {
                    assert!(file.starts_with(&format!("{class}/")) && root.join(file).is_file(), "{image}");
                    assert!(page.contains(&format!("<br>{file}</figcaption>")), "{image}");
                }
                None => assert!(page.contains(&format!("<br>training image {}<", image["index"])), "{image}"),
            }
        }
        assert_eq!(worst[0]["file"].is_string(), data == photos);
        // What a kill kept from being written is made again, the same.
        fs::remove_file(out.join("report.html")).unwrap();
        let name = out.file_name().unwrap().to_str().unwrap();
        train(data, name, &[more, &["--resume"]].concat());
        assert!(fs::read_to_string(out.join("report.html")).unwrap() == page, "the page differs");
    }
    train(&photos, "again", &[]);
    let bytes = |run: &str| fs::read(dir.join(run).join("worst.json")).unwrap();
    assert!(bytes("photos") == bytes("again"), "the same run tells the same");
}
