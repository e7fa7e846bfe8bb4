//! Our int8 beside Python's `onnxruntime.quantization`, on one trained student:
//!
//! ```text
//! cargo run --release -p gtn-tests --example int8_peer -- STUDENT_DIR DATA [--threads N] [--seconds S]
//! ```
//!
//! Both quantise the same fp32 model with the same 512 calibration images. Theirs is made by every
//! calibration method, each with the tool's own pre-processing, and the one that is most accurate on val
//! stands for it; ours is what `gtn-export` picks by itself, on val too. Accuracy is then read on all test
//! images, latency in turn. Needs the release programs and scripts/setup.sh --oracles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement that cannot be made has no result

use gtn_core::artifacts::model_dir::ModelDir;
use gtn_core::data::split::stratified;
use gtn_core::data::{DataSource, ImageSet};
use gtn_core::device;
use gtn_core::io::artifact;
use gtn_core::io::npy;
use gtn_core::io::tensors::Tensor;
use gtn_core::measure::parity::correct_in_top;
use gtn_core::measure::stats::mean_ci95;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_export::lanes::Feed;
use gtn_tests::{root, run};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// `--calib-images`' default.
const CALIBRATION: usize = 512;
/// How gtn-export draws calibration and judging images (exporter/src/int8/calibration.rs): the manifest's hash
/// shows that these are the ones.
const SEED: u64 = 1;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [student, data, ..] = args.as_slice() else { panic!("wanted STUDENT_DIR DATA") };
    let flag = |name: &str, default: &str| {
        let at = args.iter().position(|a| a == name);
        at.map_or(default.to_owned(), |i| args[i + 1].clone())
    };
    let (threads, seconds) = (flag("--threads", "1"), flag("--seconds", "20"));
    let dir = root().join("target/int8-peer");
    let _ = std::fs::remove_dir_all(&dir); // of an earlier run
    std::fs::create_dir_all(&dir).unwrap();
    let d = dir.display();

    let export = |precision: &str| {
        let started = Instant::now();
        let args = format!(
            "--target host --precision {precision} --data {data} {student} --out {d}/{precision}.gtn"
        );
        run("gtn-export", &args).ok();
        started.elapsed().as_secs_f64()
    };
    export("fp32");
    let our_seconds = export("int8");
    let report: Value = artifact::read_document(&dir.join("int8.gtn/export-report.json")).unwrap();

    let source: DataSource = data.parse().unwrap();
    let trained = ModelDir::read(Path::new(student)).unwrap();
    let images = Images::load(&source, &trained);
    assert_eq!(
        report["int8"]["calibration_sha256"],
        artifact::sha256(&images.calibration.all_pixels().unwrap()).as_str()
    );
    let (their_best, their_seconds) = theirs(&dir, &images, &trained);

    let models = [
        ("fp32", dir.join("fp32.gtn/model.onnx")),
        ("int8, ours", dir.join("int8.gtn/model.onnx")),
        ("int8, onnxruntime.quantization", dir.join(format!("theirs/{their_best}.onnx"))),
    ];
    let logits: Vec<Vec<f32>> = models.iter().map(|(_, path)| logits(path, &images.test, &trained)).collect();
    let hits: Vec<Vec<bool>> = logits.iter().map(|l| hits(l, &images.test)).collect();
    let top1 = |h: &[bool]| h.iter().filter(|x| **x).count() as f64 / h.len() as f64;
    let mut table = Table::new(["model", "test top-1", "beside fp32", "file", "how"]);
    let hows = [String::new(), replay(&report), format!("{their_best}, U8S8, per channel")];
    for (((name, path), hits_of), how) in models.iter().zip(&hits).zip(hows) {
        let bytes = std::fs::metadata(path).unwrap().len();
        table.row([
            (*name).to_owned(),
            format::percent(top1(hits_of)),
            format!("{:+.2} points", 100.0 * (top1(hits_of) - top1(&hits[0]))),
            bytes.to_string(),
            how,
        ]);
    }
    println!(
        "{} on {}, {} test images\n\n{}",
        trained.file.arch.name,
        source.name(),
        images.test.len(),
        table.render()
    );
    let differences: Vec<f64> = hits[1]
        .iter()
        .zip(&hits[2])
        .map(|(a, b)| 100.0 * (f64::from(u8::from(*a)) - f64::from(u8::from(*b))))
        .collect();
    let (mean, half) = mean_ci95(&differences).unwrap();
    let differ = differences.iter().filter(|d| **d != 0.0).count();
    println!(
        "ours - theirs, paired: {mean:+.2} points (95 % CI {:+.2} to {:+.2}; {differ} images decided differently)",
        mean - half,
        mean + half
    );
    let compare = |a: &Path, b: &Path| -> Value {
        let args = format!(
            "compare {} {} --threads {threads} --seconds {seconds} --json -",
            a.display(),
            b.display()
        );
        serde_json::from_str(&run("gtn-run", &args).ok()).unwrap()
    };
    for (what, a, b) in [("theirs", 2, 1), ("fp32", 0, 1)] {
        let found = compare(&models[a].1, &models[b].1);
        println!(
            "p50, ours over {what}, {threads} thread(s), in turn: {:.3} (95 % CI {:.3} to {:.3})",
            found["result"]["ratio"].as_f64().unwrap(),
            found["result"]["ci95"][0].as_f64().unwrap(),
            found["result"]["ci95"][1].as_f64().unwrap()
        );
    }
    println!(
        "time with {CALIBRATION} calibration images: gtn-export {our_seconds:.1} s (recipe search, {} judging images, \
         proof included); quantize_static {their_seconds}",
        images.judging.len()
    );
}

fn replay(report: &Value) -> String {
    let recipe = &report["int8"]["recipe"];
    let on =
        |key: &str| if recipe[key] == true { format!(", {}", key.replace('_', " ")) } else { String::new() };
    let kept = recipe["fp32"].as_array().map_or(0, Vec::len);
    format!(
        "{}{}{}, {kept} layers in fp32",
        recipe["method"].as_str().unwrap(),
        on("equalise"),
        on("bias_correction")
    )
}

struct Images {
    calibration: ImageSet,
    judging: ImageSet,
    test: ImageSet,
}

impl Images {
    /// The val images that gtn-export calibrates and judges on, and test.
    fn load(source: &DataSource, student: &ModelDir) -> Self {
        let (_, val) = student.split_rule().unwrap().apply(&source.train().unwrap()).unwrap();
        let of = |n: usize| val.subset(&stratified(&val.labels, val.classes, n, SEED));
        Self { calibration: of(CALIBRATION), judging: of(5000), test: source.test().unwrap() }
    }
}

/// Python's models; the method that is most accurate on val, and the seconds that each took.
fn theirs(dir: &Path, images: &Images, student: &ModelDir) -> (String, String) {
    let p = &student.file.preprocess;
    let n = images.calibration.len();
    let inputs = Tensor::f32(
        &[n, p.channels, p.height, p.width],
        p.normalise(&images.calibration.all_pixels().unwrap()).unwrap(),
    );
    npy::write(&dir.join("calibration.npy"), &inputs).unwrap();
    let saturates = device::resolve("host").unwrap().int8.is_some_and(|r| r.weight_bits.value == 7);
    let out = Command::new(root().join(".venv-oracles/bin/python"))
        .arg(root().join("scripts/peer-quantise.py"))
        .args([dir.join("fp32.gtn/model.onnx"), dir.join("calibration.npy"), dir.join("theirs")])
        .args(saturates.then_some("--reduce-range"))
        .output();
    let done: gtn_tests::Done = out.unwrap().into();
    done.ok();
    let seconds: Value = artifact::read_document(&dir.join("theirs/seconds.json")).unwrap();
    let methods: Vec<(&String, f64)> =
        seconds.as_object().unwrap().iter().map(|(m, s)| (m, s.as_f64().unwrap())).collect();
    let on_val = |method: &str| {
        let logits = logits(&dir.join(format!("theirs/{method}.onnx")), &images.judging, student);
        correct_in_top(&logits, &images.judging.labels, images.judging.classes, 1)
    };
    let best = methods.iter().map(|(m, _)| (on_val(m), *m)).max_by_key(|(hits, _)| *hits).unwrap();
    let list: Vec<String> = methods.iter().map(|(m, s)| format!("{m} {s:.1} s")).collect();
    (best.1.clone(), list.join(", "))
}

fn logits(model: &Path, set: &ImageSet, student: &ModelDir) -> Vec<f32> {
    let feed = Feed { images: set, preprocess: &student.file.preprocess, batch: 1, ort_lib: None };
    feed.logits(&std::fs::read(model).unwrap()).unwrap()
}

fn hits(logits: &[f32], set: &ImageSet) -> Vec<bool> {
    let one = |(row, label): (&[f32], &u16)| correct_in_top(row, &[*label], set.classes, 1) == 1;
    logits.chunks(set.classes).zip(&set.labels).map(one).collect()
}
