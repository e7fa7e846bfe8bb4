//! ONNX's own single-operator tests (PyPI onnx 1.22.0), by the list onnx-node-tests.txt, on both backends. A
//! case of an operator of ours is in the list, with a reason where it is left out. Every failing case is told.
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::tensors::Data;
use gtn_run::backend::{Backend, Named, Options};
use gtn_run::gpu::WgpuBackend;
use gtn_run::onnx::{OnnxModel, read_tensor};
use gtn_run::ort_backend::OrtBackend;
use gtn_tests::root;
use std::collections::BTreeMap;
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
            Ok(Named { name: name.into(), ..read_tensor(&fs::read(file).unwrap())? })
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

fn check(run: impl Fn(&Case, &[String]) -> gtn_core::Result<Vec<Named>>) {
    let suite = suite();
    let mut failures = Vec::new();
    let mut passed = 0;
    for (name, _) in list().into_iter().filter(|(_, why)| why.is_none()) {
        let failed = case(&suite.join(&name)).and_then(|case| {
            let onnx = OnnxModel::parse(&case.model, &case.path).map_err(|e| e.to_string())?;
            let ops: Vec<String> = onnx.nodes.iter().map(|n| n.op_type.clone()).collect();
            let found = run(&case, &ops).map_err(|e| e.to_string())?;
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

#[test]
fn on_wgpu() {
    let options = Options { batch: 1, allow_software: true, ..Options::default() };
    check(|case, ops| {
        let bound_ops = ops.iter().any(|op| BOUND.split(' ').any(|b| b == op));
        let known = |(i, n): &(usize, &Named)| matches!(n.tensor.data, Data::I64(_)) || (bound_ops && *i > 0);
        let (known, open): (Vec<_>, Vec<_>) = case.inputs.iter().enumerate().partition(known);
        let of = |pairs: Vec<(usize, &Named)>| pairs.into_iter().map(|(_, n)| n.clone()).collect::<Vec<_>>();
        let mut backend = WgpuBackend::load_bound(&case.model, &case.path, &options, "test", &of(known))?;
        backend.run(&of(open))
    });
}

#[test]
fn on_ort() {
    let options = Options { threads: Some(1), ..Options::default() };
    check(|case, _| OrtBackend::load(&case.model, &case.path, &options, "test")?.run(&case.inputs));
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
