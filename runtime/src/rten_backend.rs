//! Runs models with rten: Rust all the way down, for systems where ONNX Runtime's library cannot be loaded (a static
//! program on a phone). Feature `rust`, `--backend rust`.

use crate::backend::{Backend, Named, Options, Slot, check_inputs};
use crate::onnx::{Dim, OnnxModel};
use gtn_core::exit;
use gtn_core::report::BackendInfo;
use gtn_core::tensors::{Data, Tensor};
use gtn_core::{Error, Result};
use rten::{Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// rten's version, as in Cargo.toml.
pub const VERSION: &str = "0.27.0";

/// A model loaded by rten.
pub struct RtenBackend {
    model: Model,
    run: RunOptions,
    info: BackendInfo,
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
    output_ids: Vec<NodeId>,
    /// Inputs that stay where they are.
    bound: Option<Vec<(NodeId, Value)>>,
}

impl RtenBackend {
    /// Loads a model from memory; `path` is for messages. The named dimension `N` becomes `options.batch`; with a
    /// batch of 0 it stays open.
    pub fn load(model: &[u8], path: &Path, options: &Options, why: &str) -> Result<Self> {
        // Our reader first: it bounds what rten's is given.
        let onnx = OnnxModel::parse(model, path)?;
        let slots = |values: &[crate::onnx::Value]| -> Result<Vec<Slot>> {
            values.iter().map(|v| slot(v, options.batch).map_err(|what| Error::input(path, what))).collect()
        };
        let (inputs, outputs) = (slots(&onnx.inputs)?, slots(&onnx.outputs)?);
        let bad = |what: String| Error::input(path, format!("rten cannot load it: {what}"));
        let loaded = exit::contain(|| Model::load(model.to_vec())).map_err(bad)?;
        let model = loaded.map_err(|e| bad(one_line(&e)))?;
        let id = |s: &Slot| model.node_id(&s.name).map_err(|e| bad(one_line(&e)));
        let output_ids = outputs.iter().map(id).collect::<Result<_>>()?;
        let threads =
            options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let pool = Arc::new(ThreadPool::with_num_threads(threads));
        let info = BackendInfo {
            name: "rust".into(),
            version: VERSION.into(),
            library: "rten".into(),
            providers: vec!["CPU".into()],
            threads,
            batch: options.batch.max(1),
            why: why.into(),
            options: BTreeMap::new(),
            nodes: BTreeMap::new(),
        };
        let run = RunOptions::default().with_thread_pool(Some(pool));
        Ok(Self { model, run, info, inputs, outputs, output_ids, bound: None })
    }

    /// Checks inputs and gives them rten's types.
    fn values(&self, inputs: &[Named]) -> Result<Vec<(NodeId, Value)>> {
        check_inputs(&self.inputs, inputs)?;
        let value = |input: &Named| {
            let id = self.model.node_id(&input.name).map_err(|e| failed(&one_line(&e)))?;
            Ok((id, to_value(input)?))
        };
        inputs.iter().map(value).collect()
    }

    fn infer(&self, inputs: &[(NodeId, Value)]) -> Result<Vec<Value>> {
        let views = inputs.iter().map(|(id, v)| (*id, ValueOrView::from(v))).collect();
        exit::contain(|| self.model.run(views, &self.output_ids, Some(self.run.clone())))
            .map_err(|what| failed(&what))?
            .map_err(|e| failed(&one_line(&e)))
    }
}

impl Backend for RtenBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn inputs(&self) -> &[Slot] {
        &self.inputs
    }

    fn outputs(&self) -> &[Slot] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[Named]) -> Result<Vec<Named>> {
        let values = self.infer(&self.values(inputs)?)?;
        let named = |(slot, value): (&Slot, Value)| {
            Ok(Named { name: slot.name.clone(), tensor: from_value(slot, value)? })
        };
        self.outputs.iter().zip(values).map(named).collect()
    }

    fn bind(&mut self, inputs: &[Named]) -> Result<()> {
        self.bound = Some(self.values(inputs)?);
        Ok(())
    }

    fn run_bound(&mut self) -> Result<()> {
        let Some(bound) = &self.bound else { return Err(Error::Failed("no inputs are bound".into())) };
        self.infer(bound).map(drop)
    }
}

/// As the model declares it, with `batch` for `N`.
fn slot(value: &crate::onnx::Value, batch: usize) -> std::result::Result<Slot, String> {
    let dtype = match value.elem_type {
        1 => "float",
        2 => "uint8",
        7 => "int64",
        other => {
            return Err(format!("`{}` has element type {other}: wanted float, uint8 or int64", value.name));
        }
    };
    let dim = |d: &Dim| match d {
        Dim::Size(size) => *size,
        Dim::Open(name) if name == "N" && batch > 0 => i64::try_from(batch).unwrap_or(-1),
        Dim::Open(_) => -1,
    };
    Ok(Slot { name: value.name.clone(), dtype: dtype.into(), shape: value.dims.iter().map(dim).collect() })
}

/// rten computes ONNX's int64 in 32 bits.
fn to_value(input: &Named) -> Result<Value> {
    let shape = input.tensor.shape.as_slice();
    let value = match &input.tensor.data {
        Data::F32(v) => Value::from_shape(shape, v.clone()).map_err(|e| one_line(&e)),
        Data::U8(v) => Value::from_shape(shape, v.clone()).map_err(|e| one_line(&e)),
        Data::I64(v) => match v.iter().map(|&x| i32::try_from(x)).collect::<std::result::Result<Vec<_>, _>>()
        {
            Ok(v) => Value::from_shape(shape, v).map_err(|e| one_line(&e)),
            Err(_) => Err("a value is beyond 32 bits".into()),
        },
    };
    value.map_err(|what| Error::usage(format!("input `{}`: {what}", input.name)))
}

fn from_value(slot: &Slot, value: Value) -> Result<Tensor> {
    let dtype = value.dtype();
    let tensor = match slot.dtype.as_str() {
        "float" => value.into_tensor().map(|t: rten_tensor::Tensor<f32>| Tensor::f32(t.shape(), t.to_vec())),
        "uint8" => value.into_tensor().map(|t: rten_tensor::Tensor<u8>| Tensor::u8(t.shape(), t.to_vec())),
        _ => value.into_tensor().map(|t: rten_tensor::Tensor<i32>| {
            Tensor::i64(t.shape(), t.iter().map(|&x| i64::from(x)).collect())
        }),
    };
    tensor.ok_or_else(|| failed(&format!("output `{}` is {dtype}, wanted {}", slot.name, slot.dtype)))
}

fn failed(what: &str) -> Error {
    Error::Failed(format!("rten: {what}"))
}

fn one_line(e: &dyn std::error::Error) -> String {
    e.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
