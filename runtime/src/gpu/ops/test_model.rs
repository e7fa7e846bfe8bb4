//! Small models for tests, as a file has them.

use crate::backend::Options;
use crate::gpu::ir::graph::Graph;
use crate::gpu::program;
use crate::onnx::OnnxFile;
use crate::onnx::proto::{
    AttributeProto, DimProto, GraphProto, ModelProto, NodeProto, OperatorSetId, ShapeProto, TensorProto,
    TensorType, TypeProto, ValueInfo,
};
use half::f16;
use prost::Message;
use std::path::Path;

/// A node with one output.
pub fn node(op: &str, input: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: input.iter().map(|s| s.to_string()).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

/// Cast to float (1) or float16 (10).
pub fn cast(input: &str, output: &str, to: i64) -> NodeProto {
    NodeProto { attribute: vec![int("to", to)], ..node("Cast", &[input], output) }
}

/// An integer attribute.
pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 2, i, ..Default::default() }
}

/// An attribute of integers.
pub fn ints(name: &str, v: &[usize]) -> AttributeProto {
    let ints = v.iter().map(|&x| x as i64).collect();
    AttributeProto { name: name.into(), r#type: 7, ints, ..Default::default() }
}

/// An initializer of floats, or of the nearest float16s.
pub fn tensor(name: &str, dims: &[usize], v: &[f32], half: bool) -> TensorProto {
    let bytes = |x: &f32| match half {
        true => f16::from_f32(*x).to_le_bytes().to_vec(),
        false => x.to_le_bytes().to_vec(),
    };
    raw(name, dims, if half { 10 } else { 1 }, v.iter().flat_map(bytes).collect())
}

/// An initializer of ONNX's type `data_type`, as a file has its bytes.
pub fn raw(name: &str, dims: &[usize], data_type: i32, bytes: Vec<u8>) -> TensorProto {
    let dims = dims.iter().map(|&d| d as i64).collect();
    TensorProto { name: name.into(), dims, data_type, raw_data: bytes.into(), ..Default::default() }
}

/// An input or output of floats.
pub fn value(name: &str, shape: &[usize]) -> ValueInfo {
    let dim = |&d: &usize| DimProto { dim_value: Some(d as i64), dim_param: None };
    let shape = Some(ShapeProto { dim: shape.iter().map(dim).collect() });
    let tensor_type = Some(TensorType { elem_type: 1, shape });
    ValueInfo { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

/// The file, of opset 17.
pub fn encode(graph: GraphProto) -> Vec<u8> {
    let opset = OperatorSetId { domain: String::new(), version: 17 };
    ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() }
        .encode_to_vec()
}

/// A model's graph, simplified as for every adapter.
pub fn graph(model: &[u8]) -> Graph {
    program::read(&OnnxFile::parse(model, Path::new("m.onnx")).unwrap(), &Options::default(), &[])
        .unwrap()
        .graph
}
