//! Runs models with rten: Rust all the way down, for systems where ONNX Runtime's library cannot be loaded (a static
//! program on a phone). Feature `rust`, `--backend rust`.

mod integers;
mod ops;
mod rewrite;

use crate::backend::rten::rewrite::Rewrite;
use crate::backend::sizes::Sizes;
use crate::backend::{Backend, Named, Options, Slot, check_inputs};
use crate::onnx::proto::{GraphProto, ModelProto, TensorProto};
use crate::onnx::shapes::{Known, walk};
use crate::onnx::{Constant, Dim, Numbers, OnnxFile};
use gtn_core::io::element::Element;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::measure::report::BackendInfo;
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use prost::Message;
use rten::{Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// This is rten's version, as in Cargo.toml.
pub const VERSION: &str = "0.27.0";

/// This is a model loaded by rten.
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
    /// Loads a model; open dimensions become what `options` say. Fails with an input error where the model has
    /// an operator, attribute or type that is not proved, or rten cannot load it.
    pub fn load(file: &OnnxFile, options: &Options, why: &str) -> Result<Self> {
        let (path, onnx) = (file.path(), file.model());
        if let Some((name, _)) = onnx.initializers.iter().find(|(_, i)| i.sparse) {
            let what = format!("sparse_initializer `{name}`: not supported by backend rust");
            return Err(Error::input(path, what));
        }
        let sizes = Sizes::of(&onnx.inputs, options).map_err(|what| Error::input(path, what))?;
        let written = rewritten(file, &sizes)?;
        let slots = |values: &[crate::onnx::Value]| -> Result<Vec<Slot>> {
            values.iter().map(|v| slot(&sizes.fill(v)).map_err(|what| Error::input(path, what))).collect()
        };
        let (inputs, outputs) = (slots(&onnx.inputs)?, slots(&onnx.outputs)?);
        let bad = |what: String| Error::input(path, format!("rten cannot load it: {what}"));
        let loaded = exit::contain(|| Model::load(written)).map_err(bad)?;
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
            batch: sizes.images(&inputs, options.batch).map_err(|what| Error::input(path, what))?,
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

/// The model as rten is given it: ONNX's defaults filled in, and only what is proved (`ops`).
fn rewritten(file: &OnnxFile, sizes: &Sizes) -> Result<Vec<u8>> {
    let (path, mut graph, opset) = (file.path(), file.graph().clone(), file.opset());
    let inputs = sizes.inputs.iter().map(|v| (v.name.clone(), known(v))).collect();
    let values = walk(&graph, opset, inputs).values;
    wide(&graph).map_err(|what| Error::input(path, format!("{what} (backend rust)")))?;
    let mut rewrite = Rewrite { opset, values: &values, nodes: Vec::new(), constants: Vec::new() };
    for (i, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        let at = node.at(i);
        ops::add(&mut rewrite, node).map_err(|what| Error::Node {
            path: path.to_owned(),
            node: Box::new(at),
            what: format!("{what} (backend rust)"),
        })?;
    }
    let (nodes, constants) = integers::apply(rewrite.nodes, &graph, &values);
    graph.initializer.extend(rewrite.constants.into_iter().chain(constants));
    graph.node = nodes;
    Ok(ModelProto { graph: Some(graph), ..file.proto().clone() }.encode_to_vec())
}

/// Type and, where nothing is open, shape of an input.
fn known(v: &crate::onnx::Value) -> Known {
    let dim = |d: &Dim| match d {
        Dim::Size(size) => u64::try_from(*size).ok(),
        Dim::Open(_) => None,
    };
    let dims = v.dims.iter().map(dim).collect();
    Known { dims, elem_type: v.elem_type, numbers: None }
}

/// rten keeps int64 in 32 bits. Bounds of a Slice may be beyond them ("to the end"); nothing else may.
fn wide(graph: &GraphProto) -> std::result::Result<(), String> {
    let beyond = |t: &TensorProto| match Constant::read(t).map(|c| c.numbers) {
        Ok(Numbers::I64(v)) => v.iter().any(|&x| i32::try_from(x).is_err()),
        _ => false,
    };
    let listed = graph.initializer.iter().filter(|t| t.data_type == 7 && beyond(t)).map(|t| t.name.as_str());
    let mut names: HashSet<&str> = listed.collect();
    for node in graph.node.iter().filter(|n| n.op_type == "Constant") {
        let tensor = node.attribute("value").and_then(|a| a.t.as_ref());
        let list = node.ints("value_ints").unwrap_or_default().iter().copied().chain(node.int("value_int"));
        if tensor.is_some_and(|t| t.data_type == 7 && beyond(t)) || { list }
            .any(|x| i32::try_from(x).is_err())
        {
            names.extend(node.output.iter().map(String::as_str));
        }
    }
    for (i, node) in graph.node.iter().enumerate() {
        let bounds = |k: usize| node.op_type == "Slice" && (k == 1 || k == 2);
        let read =
            node.input.iter().enumerate().find(|&(k, name)| names.contains(name.as_str()) && !bounds(k));
        if let Some((_, name)) = read {
            let who = format!("node {i} `{}` ({})", node.name, node.op_type);
            return Err(format!("{who}: `{name}` holds an integer beyond 32 bits: not supported"));
        }
    }
    Ok(())
}

/// Types of inputs and outputs: rten has float, int32, int8 and uint8, and takes int64 and bool for int32.
const TYPES: [Element; 6] =
    [Element::F32, Element::U8, Element::I8, Element::I32, Element::I64, Element::Bool];

/// As it is declared.
fn slot(value: &crate::onnx::Value) -> std::result::Result<Slot, String> {
    let element = Element::of_onnx(value.elem_type).filter(|e| TYPES.contains(e));
    let Some(element) = element else {
        let names = TYPES.map(Element::name).join(", ");
        return Err(format!("`{}` is {}, backend rust has {names}", value.name, value.type_name()));
    };
    let dim = |d: &Dim| match d {
        Dim::Size(size) => *size,
        Dim::Open(_) => -1,
    };
    let shape = value.dims.iter().map(dim).collect();
    Ok(Slot { name: value.name.clone(), dtype: element.name().into(), shape })
}

/// rten computes ONNX's int64 in 32 bits.
fn to_value(input: &Named) -> Result<Value> {
    let shape = input.tensor.shape.as_slice();
    let value = match &input.tensor.data {
        Data::F32(v) => Value::from_shape(shape, v.clone()).map_err(|e| one_line(&e)),
        Data::U8(v) => Value::from_shape(shape, v.clone()).map_err(|e| one_line(&e)),
        Data::I8(v) => Value::from_shape(shape, v.clone()).map_err(|e| one_line(&e)),
        Data::I32(v) => Value::from_shape(shape, v.clone()).map_err(|e| one_line(&e)),
        Data::Bool(v) => Value::from_shape(shape, v.iter().map(|&b| i32::from(b)).collect::<Vec<_>>())
            .map_err(|e| one_line(&e)),
        Data::I64(v) => match v.iter().map(|&x| i32::try_from(x)).collect::<std::result::Result<Vec<_>, _>>()
        {
            Ok(v) => Value::from_shape(shape, v).map_err(|e| one_line(&e)),
            Err(_) => Err("a value is beyond 32 bits".into()),
        },
        other => Err(format!("is {}, not supported", other.element().name())), // load says so
    };
    value.map_err(|what| Error::usage(format!("input `{}`: {what}", input.name)))
}

fn from_value(slot: &Slot, value: Value) -> Result<Tensor> {
    let dtype = value.dtype();
    let tensor = match slot.dtype.as_str() {
        "float" => value.into_tensor().map(|t: rten_tensor::Tensor<f32>| Tensor::f32(t.shape(), t.to_vec())),
        "uint8" => value.into_tensor().map(|t: rten_tensor::Tensor<u8>| Tensor::u8(t.shape(), t.to_vec())),
        "int8" => value.into_tensor().map(|t: rten_tensor::Tensor<i8>| Tensor {
            shape: t.shape().to_vec(),
            data: Data::I8(t.to_vec()),
        }),
        name => value.into_tensor().map(|t: rten_tensor::Tensor<i32>| {
            let data = match name {
                "int32" => Data::I32(t.to_vec()),
                "bool" => Data::Bool(t.iter().map(|&x| x != 0).collect()),
                _ => Data::I64(t.iter().map(|&x| i64::from(x)).collect()),
            };
            Tensor { shape: t.shape().to_vec(), data }
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
