//! The ground the three GTN programs stand on: data sets, the one architecture description and its
//! lowering, cost counting, a plain reference evaluator, artifacts and reports.
//!
//! Nothing here links to libtorch, ONNX Runtime or wgpu, and nothing opens a network connection.

pub mod error;

pub use error::{Error, Result};
