//! ONNX's own single-operator tests (PyPI onnx 1.22.0) on every backend. The list onnx-node-tests.txt is of backend wgpu's
//! operators, with a reason where a case is left out; ONNX Runtime passes it too. Backend rust passes what
//! onnx-node-tests-rust.txt lists and refuses every other case of the suite when it is loaded. NaN in an input is NaN in every
//! result that depends on it. Every failing case is told.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::io::tensors::Data;
use gtn_run::backend::ort::OrtBackend;
use gtn_run::backend::rten::RtenBackend;
use gtn_run::backend::{Backend, Named, Options, WgpuOptions};
use gtn_run::gpu::WgpuBackend;
use gtn_run::onnx::{OnnxFile, OnnxModel, read_tensor};
use gtn_tests::root;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The suite's own (onnx/backend/test/runner): |found - wanted| <= atol + rtol |wanted|.
const RTOL: f32 = 1e-3;
const ATOL: f32 = 1e-7;

/// Operators of backend wgpu.
const OPS: &str = "Add AveragePool BatchNormalization Cast Clip Concat Constant Conv ConvTranspose DequantizeLinear Div \
    Flatten Gemm GlobalAveragePool HardSigmoid HardSwish Identity MatMul MaxPool Mul Pad QuantizeLinear ReduceMean Relu \
    Reshape Resize Sigmoid Slice Softmax Squeeze Sub Transpose Unsqueeze";

/// Operators whose inputs behind the first must be known at loading (int64 ones always must).
const BOUND: &str = "Clip DequantizeLinear Pad QuantizeLinear Resize";

fn suite() -> PathBuf {
    let lib = root().join(".venv-oracles/lib");
    let python = fs::read_dir(&lib).unwrap().next().unwrap().unwrap().path(); // scripts/setup.sh --oracles
    python.join("site-packages/onnx/backend/test/data/node")
}

/// Name -> reason why it is left out, or none.
fn list() -> BTreeMap<String, Option<String>> {
    let text = include_str!("../onnx-node-tests.txt");
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (name, why) = match line.split_once(": ") {
            Some((name, why)) => (name, Some(why.to_owned())),
            None => (line, None),
        };
        assert!(all.insert(name.to_owned(), why).is_none(), "{name} is there twice");
    }
    all
}

struct Case {
    model: Vec<u8>,
    path: PathBuf,
    inputs: Vec<Named>,
    outputs: Vec<Named>,
}

fn case(dir: &Path) -> Result<Case, String> {
    let path = dir.join("model.onnx");
    let model = fs::read(&path).unwrap();
    let onnx = OnnxModel::parse(&model, &path).map_err(|e| e.to_string())?;
    let tensors = |kind: &str, names: Vec<&str>| -> Result<Vec<Named>, String> {
        let read = |(i, name): (usize, &str)| {
            let file = dir.join(format!("test_data_set_0/{kind}_{i}.pb"));
            Ok(Named { name: name.into(), tensor: read_tensor(&fs::read(file).unwrap())?.1 })
        };
        names.into_iter().enumerate().map(read).collect()
    };
    let inputs = tensors("input", onnx.inputs.iter().map(|v| v.name.as_str()).collect())?;
    let outputs = tensors("output", onnx.outputs.iter().map(|v| v.name.as_str()).collect())?;
    Ok(Case { model, path, inputs, outputs })
}

fn differ(found: &Named, wanted: &Named) -> Option<String> {
    let name = &wanted.name;
    if found.tensor.shape != wanted.tensor.shape {
        return Some(format!("`{name}` is {:?}, wanted {:?}", found.tensor.shape, wanted.tensor.shape));
    }
    let (f, w) = match (&found.tensor.data, &wanted.tensor.data) {
        (Data::F32(f), Data::F32(w)) => (f, w),
        (f, w) if f == w => return None,
        (f, w) => return Some(format!("`{name}` is {f:?}, wanted {w:?}")),
    };
    let off =
        |(f, w): &(&f32, &f32)| f != w && (*f - *w).abs() > ATOL + RTOL * w.abs() || f.is_nan() != w.is_nan();
    let (f, w) = f.iter().zip(w).find(off)?;
    Some(format!("`{name}` holds {f}, wanted {w}"))
}

fn check(run: impl Fn(&Case) -> gtn_core::Result<Vec<Named>>) {
    let suite = suite();
    let mut failures = Vec::new();
    let mut passed = 0;
    for (name, _) in list().into_iter().filter(|(_, why)| why.is_none()) {
        let failed = case(&suite.join(&name)).and_then(|case| {
            let found = run(&case).map_err(|e| e.to_string())?;
            match case.outputs.iter().zip(&found).find_map(|(w, f)| differ(f, w)) {
                None => Ok(()),
                Some(what) => Err(what),
            }
        });
        match failed {
            Ok(()) => passed += 1,
            Err(what) => failures.push(format!("{name}: {what}")),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        failures.len() + passed,
        failures.join("\n")
    );
    assert!(passed >= 170, "only {passed} cases");
}

/// The backend, and the inputs that are not known to it at loading.
fn load_on_wgpu(case: &Case) -> gtn_core::Result<(WgpuBackend, Vec<Named>)> {
    let options = Options { wgpu: WgpuOptions::any_adapter(), ..Options::default() };
    let ops = OnnxModel::parse(&case.model, &case.path)?.nodes;
    let bound_ops = ops.iter().any(|n| BOUND.split(' ').any(|b| b == n.op_type));
    let known = |(i, n): &(usize, &Named)| matches!(n.tensor.data, Data::I64(_)) || (bound_ops && *i > 0);
    let (known, open): (Vec<_>, Vec<_>) = case.inputs.iter().enumerate().partition(known);
    let of = |pairs: Vec<(usize, &Named)>| pairs.into_iter().map(|(_, n)| n.clone()).collect::<Vec<_>>();
    let backend =
        WgpuBackend::load_bound(&OnnxFile::parse(&case.model, &case.path)?, &options, "test", &of(known))?;
    Ok((backend, of(open)))
}

#[test]
fn on_wgpu() {
    check(|case| {
        let (mut backend, inputs) = load_on_wgpu(case)?;
        backend.run(&inputs)
    });
}

#[test]
fn on_ort() {
    let options = Options { threads: Some(1), ..Options::default() };
    check(|case| {
        OrtBackend::load(&OnnxFile::parse(&case.model, &case.path)?, &options, "test")?.run(&case.inputs)
    });
}

fn load_on_rust(case: &Case) -> gtn_core::Result<RtenBackend> {
    let options = Options { threads: Some(1), ..Options::default() };
    RtenBackend::load(&OnnxFile::parse(&case.model, &case.path)?, &options, "test")
}

/// What backend rust makes of a case: none where it passes, else the first word says how it does not.
fn on_rust_one(case: &Case) -> Option<String> {
    let mut backend = match load_on_rust(case) {
        Ok(backend) => backend,
        Err(e) if e.exit_code() == 2 => return Some(format!("refused: {e}")),
        Err(e) => return Some(format!("FAILED at loading: {e}")),
    };
    match backend.run(&case.inputs) {
        Ok(found) => {
            let wrong = case.outputs.iter().zip(&found).find_map(|(w, f)| differ(f, w));
            wrong.map(|what| format!("WRONG: {what}"))
        }
        Err(e) => Some(format!("FAILED at its first inference: {e}")),
    }
}

fn rust_list() -> BTreeSet<&'static str> {
    let text = include_str!("../onnx-node-tests-rust.txt");
    text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect()
}

#[test]
fn on_rust() {
    let listed = rust_list();
    let (mut passed, mut failures, mut refused) = (BTreeSet::new(), Vec::new(), 0);
    for entry in fs::read_dir(suite()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Ends of types that our programs do not have (sequences, text) are no cases for any backend.
        let Ok(case) = case(&suite().join(&name)) else { continue };
        match on_rust_one(&case) {
            None => {
                if !listed.contains(name.as_str()) {
                    failures.push(format!("{name}: passes and is not in onnx-node-tests-rust.txt"));
                }
                passed.insert(name);
            }
            Some(what) if what.starts_with("refused") && !listed.contains(name.as_str()) => refused += 1,
            Some(what) => failures.push(format!("{name}: {what}")),
        }
    }
    let gone: Vec<_> = listed.iter().filter(|n| !passed.contains(**n)).collect();
    failures.sort();
    assert!(
        failures.is_empty() && gone.is_empty(),
        "{} pass, {refused} are refused, {} are neither:\n{}\nlisted and not passed: {gone:?}",
        passed.len(),
        failures.len(),
        failures.join("\n")
    );
    assert!(passed.len() >= 300 && refused > 0, "{} pass, {refused} are refused", passed.len());
}

/// The first value of the first input becomes NaN: wherever the results differ for -1000 and 500 there, they are NaN.
fn loses_nan(backend: &mut dyn Backend, inputs: &[Named]) -> Option<String> {
    let Data::F32(values) = &inputs.first()?.tensor.data else { return None };
    values.first()?;
    let mut with = |v: f32| {
        let mut inputs = inputs.to_vec();
        if let Data::F32(values) = &mut inputs[0].tensor.data {
            values[0] = v;
        }
        backend.run(&inputs)
    };
    let (low, high, nan) = match (with(-1000.0), with(500.0), with(f32::NAN)) {
        (Ok(low), Ok(high), Ok(nan)) => (low, high, nan),
        (a, b, c) => return a.and(b).and(c).err().map(|e| e.to_string()),
    };
    for ((low, high), nan) in low.iter().zip(&high).zip(&nan) {
        let (Data::F32(a), Data::F32(b), Data::F32(c)) =
            (&low.tensor.data, &high.tensor.data, &nan.tensor.data)
        else {
            continue;
        };
        let lost = |i: &usize| a[*i] != b[*i] && !c[*i].is_nan();
        if let Some(i) = (0..c.len()).find(lost) {
            return Some(format!("`{}` holds {} at {i}, wanted NaN", nan.name, c[i]));
        }
    }
    None
}

fn keeps_nan(names: impl Iterator<Item = String>, judge: impl Fn(&Case) -> gtn_core::Result<Option<String>>) {
    let mut lost = Vec::new();
    for name in names {
        let case = case(&suite().join(&name)).unwrap();
        if let Some(what) = judge(&case).unwrap() {
            lost.push(format!("{name}: {what}"));
        }
    }
    assert!(lost.is_empty(), "{}:\n{}", lost.len(), lost.join("\n"));
}

fn passing() -> impl Iterator<Item = String> {
    list().into_iter().filter(|(_, why)| why.is_none()).map(|(name, _)| name)
}

#[test]
fn nan_stays_nan_on_wgpu() {
    keeps_nan(passing(), |case| {
        let (mut backend, inputs) = load_on_wgpu(case)?;
        Ok(loses_nan(&mut backend, &inputs))
    });
}

#[test]
fn nan_stays_nan_on_rust() {
    let names = rust_list().into_iter().map(str::to_owned);
    keeps_nan(names, |case| Ok(loses_nan(&mut load_on_rust(case)?, &case.inputs)));
}

/// ONNX Runtime's own MaxPool skips NaN unless a whole window is NaN; nothing of ours can change that.
#[test]
fn nan_stays_nan_on_ort_but_in_max_pool() {
    let options = Options { threads: Some(1), ..Options::default() };
    keeps_nan(passing().filter(|name| !name.starts_with("test_maxpool")), |case| {
        let mut backend = OrtBackend::load(&OnnxFile::parse(&case.model, &case.path)?, &options, "test")?;
        Ok(loses_nan(&mut backend, &case.inputs))
    });
}

#[test]
fn every_case_of_our_operators_is_listed() {
    let list = list();
    let ours = |op: &str| OPS.split_whitespace().any(|o| o == op);
    let mut missing = Vec::new();
    for entry in fs::read_dir(suite()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = suite().join(&name).join("model.onnx");
        let Ok(model) = OnnxModel::parse(&fs::read(&path).unwrap(), &path) else { continue };
        if model.nodes.iter().all(|n| ours(&n.op_type)) && !list.contains_key(&name) {
            missing.push(name);
        }
    }
    missing.sort();
    assert!(missing.is_empty(), "{} are not in onnx-node-tests.txt:\n{}", missing.len(), missing.join("\n"));
    let gone: Vec<_> = list.keys().filter(|name| !suite().join(name).exists()).collect();
    assert!(gone.is_empty(), "not in the suite: {gone:?}");
}
