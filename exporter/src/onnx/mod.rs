//! Writing ONNX: nodes from the pieces in `nodes` and `proto`, a network of floats (`float`) or of integers (`qdq`).

pub mod float;
pub mod nodes;
pub mod proto;
pub mod qdq;
