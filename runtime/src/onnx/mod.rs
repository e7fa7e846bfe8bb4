//! A bounded reader of ONNX files: what a model would take is counted on the wire (`wire`, `scan`) before anything is
//! decoded, only the fields we read are, and every length is checked. It looks at a model before any runtime does, brings
//! in the data that the model keeps in other files (`external`, `rewrite`), describes it for `info`, and cross-checks our
//! writer, which uses other code.

// A length or a number of a file that nobody vouches for is never cut to fit.
#![cfg_attr(not(test), deny(clippy::as_conversions))]

pub mod arithmetic;
mod attributes;
mod constant;
mod external;
mod file;
pub(crate) mod proto;
mod rewrite;
mod scan;
pub(crate) mod shapes;
mod wire;

pub(crate) use constant::{Constant, Numbers};
pub use file::{OnnxFile, read};
use gtn_core::io::element::Element;
use gtn_core::io::tensors::Tensor;
use gtn_core::io::wide;
use gtn_core::{Error, Result};
use prost::Message;
use proto::{DimProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto, ValueInfo};
pub use rewrite::with_inputs;
pub use scan::MAX_DECODED;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Models beyond this have no business on a device (protobuf ends at 2 GiB).
const MAX_BYTES: usize = 0x7fff_ffff;
const MAX_RANK: usize = 8;
const MAX_ELEMENTS: u64 = 1 << 31;

/// This is a dimension of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// Fixed.
    Size(i64),
    /// Named, or without name (-1, as Paddle's exporter writes it, is one without name).
    Open(String),
}

/// This is an input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its name.
    pub name: String,
    /// ONNX element type (1 = float).
    pub elem_type: i32,
    /// Its dimensions.
    pub dims: Vec<Dim>,
}

impl Value {
    /// Returns ONNX's name of its element type.
    pub fn type_name(&self) -> String {
        match (Element::of_onnx(self.elem_type), self.elem_type) {
            (Some(element), _) => element.name().to_owned(),
            (None, 0) => "no tensor".to_owned(),
            (None, 8) => "string".to_owned(),
            (None, other) => format!("of element type {other}"),
        }
    }
}

/// An initializer is a constant tensor, here without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initializer {
    /// Its dimensions.
    pub dims: Vec<i64>,
    /// ONNX element type (1 = float).
    pub elem_type: i32,
    /// Largest |value| of an int8 or uint8 tensor.
    pub largest: Option<u32>,
    /// Of `sparse_initializer`.
    pub sparse: bool,
}

/// A node is an operator and its wires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// May be empty.
    pub name: String,
    /// `Conv`, ...
    pub op_type: String,
    /// Empty: ONNX's own.
    pub domain: String,
    /// Value names.
    pub inputs: Vec<String>,
    /// Value names.
    pub outputs: Vec<String>,
}

/// This is what a model file says about itself.
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
    /// Operators that the model brings along, as `DOMAIN.NAME`.
    pub functions: Vec<String>,
}

impl OnnxModel {
    /// Reads and checks a model's bytes; `path` is for messages. Fails as [`OnnxFile::parse`] does.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Ok(OnnxFile::parse(bytes, path)?.model())
    }

    fn of(proto: &ModelProto, graph: &GraphProto, opset: i64) -> Self {
        let mut initializers: BTreeMap<String, Initializer> =
            graph.initializer.iter().map(|t| (t.name.clone(), initializer(t))).collect();
        initializers.extend(graph.sparse_initializer.iter().filter_map(sparse_initializer));
        let inputs: Vec<Value> =
            graph.input.iter().filter(|v| !initializers.contains_key(&v.name)).map(value).collect();
        let outputs: Vec<Value> = graph.output.iter().map(value).collect();
        let node = |n: &NodeProto| Node {
            name: n.name.clone(),
            op_type: n.op_type.clone(),
            domain: n.domain.clone(),
            inputs: n.input.clone(),
            outputs: n.output.clone(),
        };
        Self {
            ir_version: proto.ir_version,
            producer: format!("{} {}", proto.producer_name, proto.producer_version).trim().to_owned(),
            opset,
            metadata: proto.metadata_props.iter().map(|e| (e.key.clone(), e.value.clone())).collect(),
            nodes: graph.node.iter().map(node).collect(),
            initializers,
            inputs,
            outputs,
            functions: proto.functions.iter().map(|f| format!("{}.{}", f.domain, f.name)).collect(),
        }
    }

    /// Returns how many nodes there are of each operator.
    pub fn op_counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for node in &self.nodes {
            *counts.entry(node.op_type.as_str()).or_insert(0) += 1;
        }
        counts
    }
}

/// Reads a tensor by itself, as ONNX's test suites keep inputs and outputs. Returns its name and its values,
/// which may be of any type that [`Data`](gtn_core::io::tensors::Data) has.
pub fn read_tensor(bytes: &[u8]) -> Result<(String, Tensor), String> {
    let proto = TensorProto::decode(bytes).map_err(|e| format!("not a tensor ({e})"))?;
    let tensor = constant::tensor(&proto)?;
    Ok((proto.name, tensor))
}

/// [`scan::scan`] with the file's name, and its size checked.
fn scanned(bytes: &[u8], path: &Path) -> Result<scan::Scan> {
    if bytes.len() > MAX_BYTES {
        let what = format!("has {} bytes, an ONNX file ends at {MAX_BYTES}", bytes.len());
        return Err(Error::input(path, what));
    }
    scan::scan(bytes).map_err(|what| Error::input(path, what))
}

/// Within the bounds, and with all its data inside: a runtime that is given it opens no other file.
fn self_contained(bytes: &[u8], path: &Path) -> Result<()> {
    match scanned(bytes, path)?.external {
        Some(name) => {
            let what = format!("tensor `{name}` keeps its data in another file: not within a bundle or kit");
            Err(Error::input(path, what))
        }
        None => Ok(()),
    }
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

/// What an input or output declares of its size is one.
fn check_ends(infos: &[ValueInfo]) -> Result<(), String> {
    for v in infos.iter().map(value) {
        let sizes: Vec<i64> =
            v.dims.iter().filter_map(|d| if let Dim::Size(n) = d { Some(*n) } else { None }).collect();
        elements(&sizes).map_err(|what| format!("`{}` {what}", v.name))?;
        if v.dims.len() > MAX_RANK {
            return Err(format!("`{}` has {} dimensions, wanted at most {MAX_RANK}", v.name, v.dims.len()));
        }
    }
    Ok(())
}

fn sparse_initializer(sparse: &SparseTensorProto) -> Option<(String, Initializer)> {
    let values = sparse.values.as_ref()?;
    let all = Initializer { dims: sparse.dims.clone(), sparse: true, ..initializer(values) };
    Some((values.name.clone(), all))
}

fn initializer(tensor: &TensorProto) -> Initializer {
    let raw = || tensor.raw_data.iter();
    let listed = tensor.int32_data.iter().map(|v| v.unsigned_abs()).max();
    let largest = match tensor.data_type {
        2 => raw().map(|&b| u32::from(b)).max().or(listed),
        3 => raw().map(|&b| u32::from(b.cast_signed().unsigned_abs())).max().or(listed),
        _ => None,
    };
    Initializer { dims: tensor.dims.clone(), elem_type: tensor.data_type, largest, sparse: false }
}

/// Bits of an element in `raw_data`, for the types whose length we can check.
fn element_bits(data_type: i32) -> Option<u64> {
    match data_type {
        17..=20 | 24 => Some(8), // float8 of several kinds
        21..=23 => Some(4),      // uint4, int4, float4
        25 | 26 => Some(2),      // uint2, int2
        known => Element::of_onnx(known).map(|e| 8 * wide(e.bytes())),
    }
}

/// How many elements dimensions make, within bounds.
fn elements(dims: &[i64]) -> Result<u64, String> {
    let size = |n: u64, &d: &i64| {
        u64::try_from(d).ok().and_then(|d| n.checked_mul(d)).filter(|&n| n <= MAX_ELEMENTS)
    };
    dims.iter().try_fold(1, size).ok_or_else(|| format!("has impossible dimensions {dims:?}"))
}

pub(crate) fn check_tensor(tensor: &TensorProto) -> Result<(), String> {
    if tensor.data_location != 0 || !tensor.external_data.is_empty() {
        return Err("keeps its data in another file: not supported".into());
    }
    if tensor.dims.len() > MAX_RANK {
        return Err(format!("has {} dimensions, wanted at most {MAX_RANK}", tensor.dims.len()));
    }
    let elements = elements(&tensor.dims)?;
    let Some(bits) = element_bits(tensor.data_type) else { return Ok(()) };
    let (raw, wanted) = (wide(tensor.raw_data.len()), (elements * bits).div_ceil(8));
    if raw > 0 && raw != wanted {
        return Err(format!("has {raw} bytes of data, {:?} wants {wanted}", tensor.dims));
    }
    let listed = wide(tensor.float_data.len());
    if raw == 0 && tensor.data_type == 1 && listed != elements {
        return Err(format!("has {listed} values, {:?} wants {elements}", tensor.dims));
    }
    Ok(())
}

pub(crate) fn value(info: &ValueInfo) -> Value {
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let dim = |d: &DimProto| match (&d.dim_value, &d.dim_param) {
        (Some(-1), _) => Dim::Open(String::new()),
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
    use prost::bytes::Bytes;

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

    fn sized(name: &str, dims: &[i64]) -> ValueInfo {
        let dim = |&n: &i64| DimProto { dim_value: Some(n), dim_param: None };
        let shape = Some(proto::ShapeProto { dim: dims.iter().map(dim).collect() });
        let tensor_type = Some(proto::TensorType { elem_type: 1, shape });
        ValueInfo { name: name.into(), r#type: Some(proto::TypeProto { tensor_type }) }
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

    /// And -1 is an open dimension.
    #[test]
    fn an_input_with_an_initializer_is_none() {
        let mut m = model();
        let graph = m.graph.as_mut().unwrap();
        graph.input = vec![sized("w", &[2, 1, 1, 1]), sized("image", &[-1, 1, 0, 7])];
        let whole = parse(&m).unwrap();
        let dims = [Dim::Open(String::new()), Dim::Size(1), Dim::Size(0), Dim::Size(7)];
        assert_eq!((whole.inputs.len(), &whole.inputs[0].dims[..]), (1, &dims[..]));
    }

    #[test]
    fn sparse_initializers_and_functions_are_let_through() {
        let mut m = model();
        let graph = m.graph.as_mut().unwrap();
        let w = graph.initializer.pop();
        graph.sparse_initializer =
            vec![SparseTensorProto { values: w, indices: None, dims: vec![3, 1, 5, 5] }];
        m.functions = vec![proto::FunctionProto { name: "Twice".into(), domain: "mine".into() }];
        let m = parse(&m).unwrap();
        assert_eq!((&m.initializers["w"].dims[..], m.initializers["w"].sparse), (&[3, 1, 5, 5][..], true));
        assert_eq!(m.functions, ["mine.Twice"]);
    }

    #[test]
    fn mistakes_are_named() {
        type Edit = fn(&mut GraphProto);
        let cases: [(Edit, &str); 11] = [
            (|g| g.input[0] = sized("image", &[1, -2]), "`image` has impossible dimensions [1, -2]"),
            (|g| g.input[0] = sized("image", &[1 << 20, 1 << 20]), "`image` has impossible dimensions"),
            (|g| g.output[0] = sized("logits", &[i64::MIN]), "`logits` has impossible dimensions"),
            (|g| g.node.clear(), "has no nodes"),
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
