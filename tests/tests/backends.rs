//! The three backends tell the truth: a broken network never looks sound, what a backend does not compute as ONNX says is
//! refused, a model that asks for too much memory is refused before it gets any, and a dependency's panic is one line.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::io::npy;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_tests::{command, root, run};
use std::fs;
use std::path::{Path, PathBuf};

const BACKENDS: [&str; 3] = ["ort", "rust", "wgpu --allow-software"];

fn fixture(name: &str) -> String {
    root().join("tests/fixtures").join(name).display().to_string()
}

fn picture(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    let mut encoder = png::Encoder::new(fs::File::create(&path).unwrap(), 16, 16);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[90; 16 * 16 * 3]).unwrap();
    path
}

#[test]
fn a_network_of_nan_is_an_error_on_every_backend() {
    let temp = tempfile::tempdir().unwrap();
    let picture = picture(temp.path(), "a.png");
    let (broken, sound) = (fixture("nan_weight.onnx"), fixture("sound_weight.onnx"));
    let mut failures = Vec::new();
    for backend in BACKENDS {
        let eval = run("gtn-run", &format!("eval {broken} --data fashion-mnist-mini --backend {backend}"));
        failures.extend(eval.not_refused(1, &["nan_weight.onnx", "image 0 is NaN"]));
        let classify = format!("classify {broken} {} --backend {backend}", picture.display());
        let classify = run("gtn-run", &classify);
        failures.extend(classify.not_refused(1, &["NaN"]));
        run("gtn-run", &format!("eval {sound} --data fashion-mnist-mini --backend {backend}")).ok();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn infer(dir: &Path, model: &str, backend: &str) -> gtn_tests::Done {
    let (model, input) = (fixture(&format!("{model}.onnx")), fixture(&format!("{model}.npy")));
    run("gtn-run", &format!("infer {model} --input {input} --out {} --backend {backend}", dir.display()))
}

fn output(dir: &Path) -> Tensor {
    npy::read(&dir.join("y.npy")).unwrap()
}

#[test]
fn nan_stays_nan_in_relu_alone_and_behind_a_convolution() {
    let temp = tempfile::tempdir().unwrap();
    for model in ["nan_relu", "nan_conv_relu"] {
        let mut found = Vec::new();
        for backend in BACKENDS {
            infer(temp.path(), model, backend).ok();
            let Data::F32(values) = output(temp.path()).data else { panic!("floats") };
            assert!(values.iter().any(|v| v.is_nan()), "{model} {backend}: {values:?}");
            found.push(values.iter().map(|v| v.is_nan()).collect::<Vec<_>>());
        }
        assert!(found.iter().all(|f| *f == found[0]), "{model}: {found:?}");
    }
}

#[test]
fn what_onnx_leaves_out_has_its_default_on_rust() {
    let temp = tempfile::tempdir().unwrap();
    for model in ["conv_default_attributes", "maxpool_default_strides"] {
        let [wanted, found] = ["ort", "rust"].map(|backend| {
            infer(temp.path(), model, backend).ok();
            output(temp.path())
        });
        assert_eq!(found.shape, wanted.shape);
        let (Data::F32(f), Data::F32(w)) = (found.data, wanted.data) else { panic!("floats") };
        assert!(f.iter().zip(&w).all(|(f, w)| (f - w).abs() <= 1e-5), "{model}: {f:?} {w:?}");
    }
}

#[test]
fn what_rust_would_compute_wrongly_is_refused() {
    let model = fixture("resize_cubic_half_pixel_floor_z.onnx");
    let done = run("gtn-run", &format!("bench {model} --backend rust --runs 1 --seconds 0"));
    assert_eq!(done.not_refused(2, &["resize_cubic", "(Resize): mode `cubic` is not supported"]), None);
}

#[test]
fn a_panic_of_a_library_is_one_line_with_the_file() {
    let model = fixture("pool_255.onnx");
    for backend in BACKENDS {
        let done = run("gtn-run", &format!("bench {model} --backend {backend} --runs 1 --seconds 0"));
        assert_eq!(done.not_refused(2, &["pool_255.onnx: "]), None, "{backend}");
        assert_eq!(done.stderr.lines().filter(|l| !l.starts_with("backend ")).count(), 1, "{}", done.stderr);
    }
}

#[test]
fn memory_is_judged_before_it_is_taken() {
    let mut failures = Vec::new();
    for backend in BACKENDS {
        // The one beyond what a tensor may hold is refused when the file is read.
        for (model, why) in [("dim_1e12", "impossible dimensions"), ("dim_3e8", "--max-memory-mb")] {
            let bench = format!(
                "bench {} --backend {backend} --runs 1 --seconds 0",
                fixture(&format!("{model}.onnx"))
            );
            let wanted = [model, why];
            failures
                .extend(run("gtn-run", &bench).not_refused(2, &wanted).map(|w| format!("{backend}: {w}")));
        }
        // The flag is the bound: a network that runs by default is refused below what it takes.
        let sound =
            format!("bench {} --backend {backend} --runs 1 --seconds 0", fixture("sound_weight.onnx"));
        run("gtn-run", &sound).ok();
        let batch = format!("{sound} --max-memory-mb 1 --batch 4096");
        failures.extend(run("gtn-run", &batch).not_refused(2, &["sound_weight.onnx", "the budget is 1 MiB"]));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn success_says_nothing_of_errors() {
    let model = fixture("sound_weight.onnx");
    let args = format!("bench {model} --backend wgpu --allow-software --runs 1 --seconds 0");
    let done = command("gtn-run", &args).env_remove("XDG_RUNTIME_DIR").output().unwrap();
    let done = gtn_tests::Done::from(done);
    assert!(!done.stderr.contains("error"), "{}", done.stderr);
    done.ok();
}
