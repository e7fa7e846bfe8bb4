//! A bounded reader of ONNX files: only the fields we read, no recursion, every length checked. It
//! looks at a model before ONNX Runtime does, describes it for `info`, and cross-checks our writer,
//! which uses other code.

mod attributes;
mod constant;
pub(crate) mod proto;

use crate::backend::Named;
pub(crate) use constant::{Constant, Numbers};
use gtn_core::tensors::{Data, Tensor};
use gtn_core::{Error, Result};
use prost::Message;
use prost::bytes::Bytes;
use proto::{DimProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Models beyond this have no business on a device (protobuf ends at 2 GiB).
const MAX_BYTES: usize = 0x7fff_ffff;
const MAX_NODES: usize = 100_000;
const MAX_RANK: usize = 8;
const MAX_ELEMENTS: u64 = 1 << 31;

/// A dimension of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// Fixed.
    Size(i64),
    /// Named, or without name.
    Open(String),
}

/// An input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its name.
    pub name: String,
    /// ONNX element type (1 = float).
    pub elem_type: i32,
    /// Its dimensions.
    pub dims: Vec<Dim>,
}

/// A constant tensor, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initializer {
    /// Its dimensions.
    pub dims: Vec<i64>,
    /// ONNX element type (1 = float).
    pub elem_type: i32,
    /// Largest |value| of an int8 or uint8 tensor.
    pub largest: Option<u32>,
}

/// A node's operator and wires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// May be empty.
    pub name: String,
    /// `Conv`, ...
    pub op_type: String,
    /// Value names.
    pub inputs: Vec<String>,
    /// Value names.
    pub outputs: Vec<String>,
}

/// What a model file says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxModel {
    /// Of the file format.
    pub ir_version: i64,
    /// Who wrote it.
    pub producer: String,
    /// Of the default domain.
    pub opset: i64,
    /// `metadata_props`.
    pub metadata: BTreeMap<String, String>,
    /// In file order.
    pub nodes: Vec<Node>,
    /// By name.
    pub initializers: BTreeMap<String, Initializer>,
    /// Graph inputs that are not initializers.
    pub inputs: Vec<Value>,
    /// Graph outputs.
    pub outputs: Vec<Value>,
}

impl OnnxModel {
    /// Reads and checks a model's bytes; `path` is for messages.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let (proto, graph, opset) = decode(bytes, path)?;
        let initializers: BTreeMap<String, Initializer> =
            graph.initializer.iter().map(|t| (t.name.clone(), initializer(t))).collect();
        let inputs: Vec<Value> =
            graph.input.iter().filter(|v| !initializers.contains_key(&v.name)).map(value).collect();
        let outputs: Vec<Value> = graph.output.iter().map(value).collect();
        let node =
            |n: NodeProto| Node { name: n.name, op_type: n.op_type, inputs: n.input, outputs: n.output };
        Ok(Self {
            ir_version: proto.ir_version,
            producer: format!("{} {}", proto.producer_name, proto.producer_version).trim().to_owned(),
            opset,
            metadata: proto.metadata_props.into_iter().map(|e| (e.key, e.value)).collect(),
            nodes: graph.node.into_iter().map(node).collect(),
            initializers,
            inputs,
            outputs,
        })
    }

    /// How many nodes of each operator.
    pub fn op_counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for node in &self.nodes {
            *counts.entry(node.op_type.as_str()).or_insert(0) += 1;
        }
        counts
    }
}

/// A tensor by itself, as ONNX's test suites keep inputs and outputs; f32, u8 or i64.
pub fn read_tensor(bytes: &[u8]) -> Result<Named, String> {
    let proto = TensorProto::decode(bytes).map_err(|e| format!("not a tensor ({e})"))?;
    let Constant { elem_type, shape, numbers } = Constant::read(&proto)?;
    let data = match (elem_type, numbers) {
        (1, Numbers::F32(v)) => Data::F32(v),
        (2, Numbers::I32(v)) => Data::U8(v.into_iter().filter_map(|x| u8::try_from(x).ok()).collect()),
        (7, Numbers::I64(v)) => Data::I64(v),
        _ => return Err(format!("element type {elem_type}: wanted float, uint8 or int64")),
    };
    Ok(Named { name: proto.name, tensor: Tensor { shape, data } })
}

/// A model's message without its graph, the graph, checked, and the default domain's operator set.
pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<(ModelProto, GraphProto, i64)> {
    let bad = |what: String| Error::input(path, what);
    if bytes.len() > MAX_BYTES {
        return Err(bad(format!("has {} bytes, an ONNX file ends at {MAX_BYTES}", bytes.len())));
    }
    let mut proto = ModelProto::decode(Bytes::copy_from_slice(bytes))
        .map_err(|e| bad(format!("not a valid ONNX file ({e})")))?;
    let graph = proto.graph.take().ok_or_else(|| bad("not a valid ONNX file (it has no graph)".into()))?;
    if graph.node.is_empty() || graph.node.len() > MAX_NODES {
        return Err(bad(format!("has {} nodes, wanted 1 to {MAX_NODES}", graph.node.len())));
    }
    let opset = proto.opset_import.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx");
    let opset = opset.ok_or_else(|| bad("names no operator set (opset_import)".into()))?.version;
    let mut initializers = BTreeSet::new();
    for tensor in &graph.initializer {
        check_tensor(tensor).map_err(|what| bad(format!("initializer `{}` {what}", tensor.name)))?;
        if !initializers.insert(tensor.name.as_str()) {
            return Err(bad(format!("initializer `{}` is there twice", tensor.name)));
        }
    }
    check_wires(&graph, &initializers).map_err(bad)?;
    Ok((proto, graph, opset))
}

/// Every wire comes from the graph's inputs, an initializer, or an earlier node.
fn check_wires(graph: &GraphProto, initializers: &BTreeSet<&str>) -> Result<(), String> {
    let mut known = initializers.clone();
    known.extend(graph.input.iter().map(|v| v.name.as_str()));
    for (i, node) in graph.node.iter().enumerate() {
        let who = || format!("node {i} `{}` ({})", node.name, node.op_type);
        if node.op_type.is_empty() {
            return Err(format!("{} has no operator", who()));
        }
        if let Some(odd) = node.input.iter().find(|n| !n.is_empty() && !known.contains(n.as_str())) {
            return Err(format!("{} reads `{odd}`, which nothing before it makes", who()));
        }
        for output in node.output.iter().filter(|n| !n.is_empty()) {
            if !known.insert(output) {
                return Err(format!("{} writes `{output}`, which exists already", who()));
            }
        }
    }
    match graph.output.iter().find(|v| !known.contains(v.name.as_str())) {
        Some(odd) => Err(format!("output `{}` is made by no node", odd.name)),
        None => Ok(()),
    }
}

fn initializer(tensor: &TensorProto) -> Initializer {
    let raw = || tensor.raw_data.iter();
    let listed = tensor.int32_data.iter().map(|v| v.unsigned_abs()).max();
    let largest = match tensor.data_type {
        2 => raw().map(|&b| u32::from(b)).max().or(listed),
        3 => raw().map(|&b| u32::from(b.cast_signed().unsigned_abs())).max().or(listed),
        _ => None,
    };
    Initializer { dims: tensor.dims.clone(), elem_type: tensor.data_type, largest }
}

/// Size of an element in `raw_data`, for the types whose length we can check.
fn element_bytes(data_type: i32) -> Option<u64> {
    match data_type {
        1 | 6 | 12 => Some(4),      // float, int32, uint32
        2 | 3 | 9 => Some(1),       // uint8, int8, bool
        4 | 5 | 10 | 16 => Some(2), // uint16, int16, float16, bfloat16
        7 | 11 | 13 => Some(8),     // int64, double, uint64
        _ => None,
    }
}

pub(crate) fn check_tensor(tensor: &TensorProto) -> Result<(), String> {
    if tensor.data_location != 0 || !tensor.external_data.is_empty() {
        return Err("keeps its data in another file: not supported".into());
    }
    if tensor.dims.len() > MAX_RANK {
        return Err(format!("has {} dimensions, wanted at most {MAX_RANK}", tensor.dims.len()));
    }
    let size = |n: u64, &d: &i64| {
        u64::try_from(d).ok().and_then(|d| n.checked_mul(d)).filter(|&n| n <= MAX_ELEMENTS)
    };
    let Some(elements) = tensor.dims.iter().try_fold(1, size) else {
        return Err(format!("has impossible dimensions {:?}", tensor.dims));
    };
    let Some(bytes) = element_bytes(tensor.data_type) else { return Ok(()) };
    let raw = tensor.raw_data.len() as u64;
    if raw > 0 && raw != elements * bytes {
        return Err(format!("has {raw} bytes of data, {:?} wants {}", tensor.dims, elements * bytes));
    }
    let listed = tensor.float_data.len() as u64;
    if raw == 0 && tensor.data_type == 1 && listed != elements {
        return Err(format!("has {listed} values, {:?} wants {elements}", tensor.dims));
    }
    Ok(())
}

pub(crate) fn value(info: &ValueInfo) -> Value {
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let dim = |d: &DimProto| match (&d.dim_value, &d.dim_param) {
        (Some(size), _) => Dim::Size(*size),
        (None, name) => Dim::Open(name.clone().unwrap_or_default()),
    };
    let dims = tensor.and_then(|t| t.shape.as_ref()).map(|s| s.dim.iter().map(dim).collect());
    Value {
        name: info.name.clone(),
        elem_type: tensor.map_or(0, |t| t.elem_type),
        dims: dims.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::proto::OperatorSetId;
    use super::*;

    /// image -> Conv(w) -> logits.
    fn model() -> ModelProto {
        let value = |name: &str| ValueInfo { name: name.into(), r#type: None };
        let weight = TensorProto {
            name: "w".into(),
            dims: vec![2, 1, 1, 1],
            data_type: 1,
            raw_data: Bytes::from_static(&[0; 8]),
            ..Default::default()
        };
        let node = NodeProto {
            input: vec!["image".into(), "w".into()],
            output: vec!["logits".into()],
            name: "conv".into(),
            op_type: "Conv".into(),
            ..Default::default()
        };
        let graph = GraphProto {
            node: vec![node],
            initializer: vec![weight],
            input: vec![value("image")],
            output: vec![value("logits")],
            ..Default::default()
        };
        let opset = OperatorSetId { domain: String::new(), version: 17 };
        ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() }
    }

    fn parse(m: &ModelProto) -> Result<OnnxModel> {
        OnnxModel::parse(&m.encode_to_vec(), Path::new("m.onnx"))
    }

    #[test]
    fn reads_a_model() {
        let m = parse(&model()).unwrap();
        assert_eq!((m.opset, m.nodes.len(), &m.inputs[0].name[..]), (17, 1, "image"));
        assert_eq!(m.initializers["w"].dims, [2, 1, 1, 1]);
        assert_eq!(m.op_counts()["Conv"], 1);
    }

    #[test]
    fn mistakes_are_named() {
        type Edit = fn(&mut GraphProto);
        let cases: [(Edit, &str); 8] = [
            (|g| g.node.clear(), "has 0 nodes"),
            (|g| g.node[0].input[0] = "ghost".into(), "node 0 `conv` (Conv) reads `ghost`"),
            (|g| g.node[0].output[0] = "image".into(), "writes `image`, which exists already"),
            (|g| g.output[0].name = "other".into(), "output `other` is made by no node"),
            (|g| g.initializer[0].dims = vec![3], "initializer `w` has 8 bytes of data, [3] wants 12"),
            (|g| g.initializer[0].dims = vec![-1], "initializer `w` has impossible dimensions [-1]"),
            (|g| g.initializer[0].dims = vec![i64::MAX, i64::MAX], "impossible dimensions"),
            (|g| g.initializer[0].data_location = 1, "keeps its data in another file"),
        ];
        for (edit, wanted) in cases {
            let mut m = model();
            edit(m.graph.as_mut().unwrap());
            let error = parse(&m).unwrap_err().to_string();
            assert!(error.starts_with("m.onnx: ") && error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn no_truncation_or_flip_panics() {
        let bytes = model().encode_to_vec();
        for n in 0..bytes.len() {
            let _ = OnnxModel::parse(&bytes[..n], Path::new("m.onnx"));
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[n] ^= 1 << bit;
                let _ = OnnxModel::parse(&flipped, Path::new("m.onnx"));
            }
        }
        assert!(OnnxModel::parse(b"", Path::new("m.onnx")).unwrap_err().to_string().contains("no graph"));
        assert!(OnnxModel::parse(b"hello", Path::new("m.onnx")).is_err());
    }
}
