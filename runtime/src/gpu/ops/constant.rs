//! Constant.

use super::file_node::FileNode;
use crate::onnx::{Constant, Numbers};

/// Lowers ONNX Constant: a tensor, a number, or a list of numbers.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    let constant = |elem_type, shape, numbers| Constant { elem_type, shape, numbers };
    let name = n.attributes().next().ok_or("has no value")?;
    let found = match name {
        "value" => n.tensor(name)?.ok_or("has no value")?,
        "value_float" => constant(1, vec![], Numbers::F32(vec![n.float(name, 0.0)?])),
        "value_int" => constant(7, vec![], Numbers::I64(vec![n.int(name, 0)?])),
        "value_floats" => {
            let v = n.floats(name)?.unwrap_or_default().to_vec();
            constant(1, vec![v.len()], Numbers::F32(v))
        }
        _ => {
            let v = n.ints(name)?.unwrap_or_default().to_vec();
            constant(7, vec![v.len()], Numbers::I64(v))
        }
    };
    n.constant(0, found).map(drop)
}
