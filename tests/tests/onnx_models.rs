//! Models that other people's programs write (fixtures/onnx, made by make.py): batches under any name, open sizes, every
//! element type, data in other files, functions, subgraphs, sparse constants, old and new operator sets; on every
//! backend that can, and refused by name on one that cannot.
#![allow(clippy::unwrap_used, clippy::panic)] // in a test, what cannot be is a failure

use gtn_core::io::element::Element;
use gtn_core::io::npy;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_run::backend::sizes::InputShape;
use gtn_run::backend::{Kind, Named, Options, WgpuOptions};
use gtn_run::judge::bench::inputs;
use gtn_run::subject::Subject;
use gtn_tests::{Done, root, run};
use serde_json::Value;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

const KINDS: [Kind; 3] = [Kind::Ort, Kind::Rust, Kind::Wgpu];

fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures/onnx").join(format!("{name}.onnx"))
}

fn options(kind: Kind, batch: Option<usize>, shapes: &[&str]) -> Options {
    let shapes = shapes.iter().map(|s| s.parse::<InputShape>().unwrap()).collect();
    Options {
        kind: Some(kind),
        batch: batch.and_then(NonZeroUsize::new),
        shapes,
        threads: (kind != Kind::Wgpu).then_some(1),
        wgpu: WgpuOptions::any_adapter(),
        ..Options::default()
    }
}

/// What a model answers to made-up inputs, and of what shape these were.
fn answer(path: &Path, options: &Options) -> gtn_core::Result<(Subject, Vec<Named>, Vec<Named>)> {
    let mut subject = Subject::open(path, options)?;
    let given = inputs(&subject)?;
    subject.backend.bind(&given)?;
    subject.backend.run_bound()?;
    let found = subject.backend.run(&given)?;
    Ok((subject, given, found))
}

fn floats(named: &Named) -> &[f32] {
    let Data::F32(values) = &named.tensor.data else { panic!("{named:?}") };
    values
}

#[test]
fn the_batch_reaches_the_model_on_every_backend() {
    for kind in KINDS {
        for (name, asked, wanted) in [
            ("fixed4", None, 4),
            ("fixed4", Some(4), 4),
            ("batch_size", None, 1),
            ("batch_size", Some(8), 8),
            ("nameless", Some(8), 8),
            ("nameless", None, 1),
        ] {
            let (subject, given, found) = answer(&fixture(name), &options(kind, asked, &[])).unwrap();
            let told = (subject.backend.info().batch, given[0].tensor.shape[0], &found[0].tensor.shape[..]);
            assert_eq!(told, (wanted, wanted, &[wanted, 10][..]), "{kind:?} {name} {asked:?}");
        }
        let error = Subject::open(&fixture("fixed4"), &options(kind, Some(8), &[])).err().unwrap();
        assert!(
            error.to_string().ends_with("--batch 8: input `image` is [4, 3, 8, 8], its batch is 4"),
            "{error}"
        );
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn open_sizes_are_asked_for_and_taken_by_every_command() {
    let temp = tempfile::tempdir().unwrap();
    let (at, model) = (temp.path().display(), fixture("open_hw").display().to_string());
    npy::write(&temp.path().join("x.npy"), &Tensor::f32(&[2, 3, 5, 4], vec![0.5; 120])).unwrap();
    let quick = "--seconds 0.05 --runs 5 --warmup 0 --json -";
    let ask = ["open_hw.onnx: input `image` [1, 3, H, W] leaves H, W open", "--shape image=1x3x224x224"];
    for command in [
        format!("bench {model} {quick}"),
        format!("profile {model} --runs 5"),
        format!("memory {model} --runs 5"),
        format!("compare {model} {model} --rounds 6 --seconds 0.1"),
        format!("tune {model} --seconds 0.1"),
    ] {
        assert_eq!(run("gtn-run", &command).not_refused(2, &ask), None, "{command}");
        run("gtn-run", &format!("{command} --shape image=2x3x6x7 --batch 2")).ok();
        let other = run("gtn-run", &format!("{command} --shape 2x3x6x7 --batch 3"));
        assert_eq!(other.not_refused(2, &["--batch 3", "[2, 3, 6, 7]", "its batch is 2"]), None, "{command}");
    }
    let report: Value =
        serde_json::from_str(&run("gtn-run", &format!("bench {model} {quick} --shape 3,3,6,7")).ok())
            .unwrap();
    assert_eq!((&report["latency"]["batch"], &report["backend"]["batch"]), (&3.into(), &3.into()));
    // The arrays say it for infer, on wgpu as well.
    for backend in ["ort", "rust", "wgpu --allow-software"] {
        run("gtn-run", &format!("infer {model} --input {at}/x.npy --out {at}/o --backend {backend}")).ok();
        assert_eq!(npy::read(&temp.path().join("o/logits.npy")).unwrap().shape, [2, 10], "{backend}");
    }
    let wrong = run("gtn-run", &format!("infer {model} --input {at}/x.npy --out {at}/o --shape 1x3x5x4"));
    assert_eq!(wrong.not_refused(2, &["not [2, 3, 5, 4]: dimension 0 is 1, not 2"]), None);
    let open = run("gtn-export", &format!("check {model} --target host"));
    assert_eq!(open.not_refused(1, &["leaves H, W open", "--shape image=1x3x224x224"]), None);
    let checked = run("gtn-export", &format!("check {model} --target host --shape 1x3x9x9")).ok();
    assert!(checked.contains("is tried at [1, 3, 9, 9]"), "{checked}");
}

/// Types that a backend beside ONNX Runtime takes as inputs.
fn takes(kind: Kind, element: Element) -> bool {
    use Element::{Bool, F32, I8, I32, I64, U8};
    match kind {
        Kind::Rust => [F32, U8, I8, I32, I64, Bool].contains(&element),
        Kind::Wgpu => [F32, U8].contains(&element),
        _ => true,
    }
}

#[test]
fn every_element_type_is_made_up_read_and_written() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path().display();
    let names = "float16 bfloat16 double int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool";
    for name in names.split(' ') {
        let (element, path) = (Element::named(name).unwrap(), fixture(&format!("same_{name}")));
        for kind in KINDS {
            match answer(&path, &options(kind, Some(4), &[])) {
                Ok((_, given, found)) => {
                    assert!(takes(kind, element), "{kind:?} {name}");
                    assert_eq!(given[0].tensor.data.element(), element);
                    assert_eq!(found[0].tensor, given[0].tensor, "{kind:?} {name}");
                    let file = temp.path().join("x.npy");
                    npy::write(&file, &given[0].tensor).unwrap();
                    assert_eq!(npy::read(&file).unwrap(), given[0].tensor, "{name}");
                }
                Err(e) => {
                    assert!(!takes(kind, element), "{kind:?} {name}: {e}");
                    assert!(e.exit_code() == 2 && e.to_string().contains(name), "{kind:?} {name}: {e}");
                }
            }
        }
    }
    let model = fixture("same_float16").display().to_string();
    run("gtn-run", &format!("infer {} --input {at}/x.npy --out {at}/o", fixture("same_bool").display())).ok();
    assert_eq!(fs::read(temp.path().join("o/y.npy")).unwrap(), fs::read(temp.path().join("x.npy")).unwrap());
    // The verdict does not end at a type.
    for name in ["float16", "int32", "bool", "string"] {
        let path = fixture(&format!("same_{name}"));
        let done = run("gtn-export", &format!("check {} --target host", path.display()));
        assert!([Some(0), Some(1)].contains(&done.code), "{name}: {}{}", done.stdout, done.stderr);
        assert!(done.stdout.contains(&format!("x {name} [N, 3]")), "{name}: {}", done.stdout);
        let tried = done.stdout.contains("measured here");
        assert_eq!(tried, name != "string", "{name}: {}", done.stdout);
    }
    let string = run("gtn-run", &format!("bench {}", fixture("same_string").display()));
    assert_eq!(string.not_refused(2, &["input `x` is string: cannot make one up"]), None);
    let wrong = run("gtn-run", &format!("infer {model} --input {at}/x.npy --out {at}/o"));
    assert_eq!(
        wrong.not_refused(2, &["same_float16.onnx: input `x` is bool [4, 3], the model wants float16"]),
        None
    );
}

#[test]
fn data_in_another_file_are_run_hashed_and_kept_in_their_folder() {
    let temp = tempfile::tempdir().unwrap();
    let (model, data) = (temp.path().join("external.onnx"), temp.path().join("external.onnx.data"));
    fs::copy(fixture("external"), &model).unwrap();
    fs::copy(fixture("external").with_extension("onnx.data"), &data).unwrap();
    let (subject, given, wanted) = answer(&model, &options(Kind::Ort, Some(2), &[])).unwrap();
    assert_eq!(wanted[0].tensor.shape, [2, 10]);
    for kind in KINDS {
        let mut other = Subject::open(&model, &options(kind, Some(2), &[])).unwrap();
        assert_eq!(other.model.sha256, subject.model.sha256);
        let found = other.backend.run(&given).unwrap();
        let near = floats(&found[0]).iter().zip(floats(&wanted[0])).all(|(f, w)| (f - w).abs() < 1e-4);
        assert!(near, "{kind:?}: {found:?} for {wanted:?}");
    }
    let m = model.display();
    run("gtn-export", &format!("check {m} --target host")).ok();
    for backend in ["ort", "rust", "wgpu --allow-software"] {
        let quick = "--seconds 0 --runs 2 --warmup 0 --warmup-runs 0";
        run("gtn-run", &format!("bench {m} {quick} --backend {backend}")).ok();
    }
    for backend in ["ort", "wgpu --allow-software"] {
        run("gtn-run", &format!("profile {m} --runs 2 --backend {backend}")).ok();
    }
    assert!(run("gtn-run", &format!("info {m}")).ok().contains("1 Gemm"));
    // What is hashed is what is computed with: the other file's bytes too.
    let mut bytes = fs::read(&data).unwrap();
    bytes[3] ^= 1;
    fs::write(&data, &bytes).unwrap();
    let other = Subject::open(&model, &options(Kind::Ort, None, &[])).unwrap();
    assert_ne!(other.model.sha256, subject.model.sha256);
    fs::write(&data, &bytes[..bytes.len() - 1]).unwrap();
    let cut = run("gtn-run", &format!("bench {m}"));
    assert_eq!(
        cut.not_refused(2, &["external.onnx: tensor `", "of `external.onnx.data`, which has 1255"]),
        None
    );
    fs::remove_file(&data).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(fixture("external").with_extension("onnx.data"), &data).unwrap();
        let link = run("gtn-run", &format!("bench {m}"));
        assert_eq!(link.not_refused(2, &["external.onnx: ", "a link out of the model's folder"]), None);
    }
}

#[test]
fn functions_subgraphs_sparse_constants_and_operator_sets() {
    let one = |values: Vec<f32>| Named { name: "x".into(), tensor: Tensor::f32(&[1, 3], values) };
    let more =
        |yes| Named { name: "more".into(), tensor: Tensor { shape: vec![], data: Data::Bool(vec![yes]) } };
    let x = || one(vec![1.0, -2.0, 0.5]);
    for (name, given, wanted) in [
        ("function", vec![x()], [2.0, -4.0, 1.0]),
        ("branches", vec![x(), more(true)], [2.0, 0.0, 3.5]),
        ("branches", vec![x(), more(false)], [0.0, -4.0, -2.5]),
        ("sparse", vec![x()], [3.0, -2.0, 3.5]),
    ] {
        for kind in KINDS {
            let loaded = Subject::open(&fixture(name), &options(kind, None, &[]));
            match loaded.and_then(|mut subject| subject.backend.run(&given)) {
                Ok(found) => assert_eq!(floats(&found[0]), wanted, "{kind:?} {name}"),
                Err(e) => {
                    assert!(kind != Kind::Ort && e.exit_code() == 2, "{kind:?} {name}: {e}");
                    assert!(e.to_string().contains(&format!("{name}.onnx: ")), "{e}");
                }
            }
        }
    }
    // One network under three operator sets.
    let kinds = KINDS.into_iter().flat_map(|kind| ["opset11", "opset13", "opset21"].map(|name| (kind, name)));
    for (kind, name) in kinds {
        let (_, _, found) = answer(&fixture(name), &options(kind, Some(2), &[])).unwrap();
        assert_eq!(found[0].tensor.shape, [2, 10], "{kind:?} {name}");
    }
}

#[test]
fn what_fails_says_which_model_node_and_shapes() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path().display();
    npy::write(&temp.path().join("x.npy"), &Tensor::f32(&[1, 3], vec![0.0; 3])).unwrap();
    npy::write(&temp.path().join("shape.npy"), &Tensor::i64(&[2], vec![5, 5])).unwrap();
    let reshape = fixture("reshape").display().to_string();
    let given = format!("--input x={at}/x.npy --input shape={at}/shape.npy --out {at}/o");
    let wanted =
        ["reshape.onnx: ONNX Runtime: Reshape node `fold`: ", "(with x float [1, 3], shape int64 [2])"];
    let running = run("gtn-run", &format!("infer {reshape} {given} --backend ort"));
    assert_eq!(running.not_refused(1, &wanted), None);
    let rust = run("gtn-run", &format!("infer {reshape} {given} --backend rust"));
    assert_eq!(rust.not_refused(1, &["reshape.onnx: rten: ", "fold", wanted[1]]), None);
    // Of two models, the one at fault.
    let (good, bad) = (fixture("batch_size").display().to_string(), fixture("unlike").display().to_string());
    let quick = "--seconds 0 --runs 1 --warmup 0";
    let loading = run("gtn-run", &format!("bench {bad} {quick} --shape a=1x2 --shape b=1x3"));
    assert_eq!(
        loading.not_refused(2, &["unlike.onnx: ONNX Runtime cannot load it: Node (sum) Op (Add)"]),
        None
    );
    let both: Done = run("gtn-run", &format!("compare {good} {bad} --rounds 6 --seconds 0.1"));
    assert_eq!(both.not_refused(2, &["unlike.onnx: input `a` [1, K] leaves K open"]), None);
}
