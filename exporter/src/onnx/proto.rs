//! The pieces of an ONNX file (onnx/onnx.proto), as short constructors.

use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{
    AttributeProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto,
    type_proto,
};

/// This is ONNX's TensorProto.DataType.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum DataType {
    /// f32.
    Float = 1,
    /// u8.
    Uint8 = 2,
    /// i8.
    Int8 = 3,
    /// i32.
    Int32 = 6,
    /// IEEE 754 binary16.
    Float16 = 10,
}

/// Makes a node with one output.
pub fn node(
    op: &str,
    name: &str,
    inputs: Vec<String>,
    output: String,
    attributes: Vec<AttributeProto>,
) -> NodeProto {
    let mut node = NodeProto::new();
    (node.op_type, node.name) = (op.into(), name.into());
    (node.input, node.output, node.attribute) = (inputs, vec![output], attributes);
    node
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    let mut a = AttributeProto::new();
    a.name = name.into();
    a.type_ = kind.into();
    a
}

/// Makes an attribute that is an integer (INT).
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::INT) }
}

/// Makes an attribute that is a list of integers (INTS).
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::INTS) }
}

/// Makes an attribute that is a float (FLOAT).
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::FLOAT) }
}

/// Makes a constant tensor; `bytes` are little-endian.
pub fn initializer(name: &str, kind: DataType, shape: &[usize], bytes: Vec<u8>) -> TensorProto {
    let mut t = TensorProto::new();
    t.name = name.into();
    t.data_type = kind as i32;
    t.dims = shape.iter().map(|&d| d as i64).collect();
    t.raw_data = bytes;
    t
}

/// Returns f32 values as [`initializer`] wants them.
pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Declares a tensor `[N, dims...]`, `N` named.
pub fn value_info(name: &str, kind: DataType, dims: &[usize]) -> ValueInfoProto {
    let mut shape = TensorShapeProto::new();
    let mut batch = tensor_shape_proto::Dimension::new();
    batch.set_dim_param("N".into());
    shape.dim.push(batch);
    for &d in dims {
        let mut dim = tensor_shape_proto::Dimension::new();
        dim.set_dim_value(d as i64);
        shape.dim.push(dim);
    }
    let mut tensor = type_proto::Tensor::new();
    tensor.elem_type = kind as i32;
    tensor.shape = Some(shape).into();
    let mut of = TypeProto::new();
    of.set_tensor_type(tensor);
    let mut info = ValueInfoProto::new();
    info.name = name.into();
    info.type_ = Some(of).into();
    info
}
