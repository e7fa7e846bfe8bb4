//! The memory that a model's values may take, judged from the file before any of it is allocated.
//!
//! Weights are bounded by their file; what the nodes make of them and of the inputs is bounded here: by the shapes as far
//! as they can be told before running (`shapes`), at the moment when the most of them are needed at once. What a backend
//! takes beside them (packed weights, scratch for a convolution) is not counted.

use crate::backend::sizes::Sizes;
use crate::backend::{Named, Options};
use crate::onnx::proto::{GraphProto, TensorProto, ValueInfo};
use crate::onnx::shapes::{Known, walk};
use crate::onnx::{Dim, Numbers, OnnxFile, Value, value};
use gtn_core::io::tensors::Data;
use gtn_core::{Error, Result};
use prost::bytes::Bytes;
use std::collections::HashMap;
use std::path::PathBuf;

/// This is the budget of a model's values, in MiB, where nobody says otherwise: 2 GiB.
pub const DEFAULT_MB: u64 = 2048;
/// Constants up to this size are kept: they may be shapes.
const SMALL: usize = 1024;
/// ONNX's element type of shapes.
const INT64: i32 = 7;

/// Fails where a plan of the values takes more than the budget of `options`.
pub fn within(bytes: u64, options: &Options) -> Result<(), String> {
    let most = most(options);
    if bytes <= most {
        return Ok(());
    }
    Err(format!("its values take {}, the budget is {} (--max-memory-mb)", mib(bytes), mib(most)))
}

fn most(options: &Options) -> u64 {
    options.max_memory_mb.unwrap_or(DEFAULT_MB).saturating_mul(1 << 20)
}

/// A budget is a model's graph without its weights, and the bytes that its values may take.
#[derive(Debug)]
pub struct Budget {
    path: PathBuf,
    graph: GraphProto,
    opset: i64,
    bytes: u64,
    /// Whether sizes may depend on what is given: an open dimension, or integers that may say a shape.
    open: bool,
}

impl Budget {
    /// Judges a model by the sizes that it declares, with what `options` say of open ones. Fails where the
    /// values that are needed at once take more than the budget; the error names file and node.
    pub fn check(file: &OnnxFile, options: &Options) -> Result<Self> {
        let (path, graph) = (file.path(), file.graph());
        let bytes = most(options);
        let weights: Vec<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let weights: std::collections::HashSet<&str> = weights.into_iter().collect();
        let inputs: Vec<ValueInfo> =
            graph.input.iter().filter(|i| !weights.contains(i.name.as_str())).cloned().collect();
        let open = inputs.iter().map(value).any(|v| {
            v.elem_type == INT64 || v.dims.is_empty() || v.dims.iter().any(|d| matches!(d, Dim::Open(_)))
        });
        let initializer = graph.initializer.iter().map(without_values).collect();
        let graph = GraphProto {
            initializer,
            input: inputs,
            node: graph.node.clone(),
            name: graph.name.clone(),
            output: graph.output.clone(),
            sparse_initializer: graph.sparse_initializer.clone(),
        };
        let budget = Self { path: path.to_owned(), graph, opset: file.opset(), bytes, open };
        let inputs: Vec<Value> = budget.graph.input.iter().map(value).collect();
        let sizes = Sizes::of(&inputs, options).map_err(|what| Error::input(path, what))?;
        budget.judge(sizes.inputs.iter().map(|v| (v.name.clone(), declared(v))).collect())?;
        Ok(budget)
    }

    /// Judges the sizes that follow from what is given, where the model leaves some open. Fails as
    /// [`Self::check`] does.
    pub fn check_inputs(&self, inputs: &[Named]) -> Result<()> {
        if !self.open {
            return Ok(());
        }
        let known = |i: &Named| {
            let declared =
                self.graph.input.iter().find(|v| v.name == i.name).map_or(0, |v| value(v).elem_type);
            let dims = i.tensor.shape.iter().map(|&d| d as u64).collect();
            let numbers = match &i.tensor.data {
                Data::I64(v) if v.len() <= SMALL => Some(Numbers::I64(v.clone())),
                _ => None,
            };
            (i.name.clone(), Known { numbers, ..Known::of(dims, declared) })
        };
        self.judge(inputs.iter().map(known).collect())
    }

    fn judge(&self, inputs: HashMap<String, Known>) -> Result<()> {
        let walk = walk(&self.graph, self.opset, inputs);
        if walk.peak <= self.bytes {
            return Ok(());
        }
        let node = walk.at.and_then(|i| Some((i, self.graph.node.get(i)?)));
        let at = match node {
            Some((i, n)) => format!("at node {i} `{}` ({}) its values take", n.name, n.op_type),
            None => "its inputs take".into(),
        };
        let needed = if walk.peak == u64::MAX { "more than can be counted".into() } else { mib(walk.peak) };
        Err(Error::input(
            &self.path,
            format!("{at} {needed}, the budget is {} (--max-memory-mb)", mib(self.bytes)),
        ))
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// What is open still is 1 until an input says it.
fn declared(v: &Value) -> Known {
    let dim = |d: &Dim| match d {
        Dim::Size(size) => u64::try_from(*size).unwrap_or(1),
        Dim::Open(_) => 1,
    };
    Known::of(v.dims.iter().map(dim).collect(), v.elem_type)
}

fn without_values(tensor: &TensorProto) -> TensorProto {
    let small = tensor.raw_data.len() <= SMALL;
    let few = |n: usize| n <= SMALL / 8;
    TensorProto {
        dims: tensor.dims.clone(),
        data_type: tensor.data_type,
        name: tensor.name.clone(),
        // Copied, for a slice would keep the whole file.
        raw_data: if small { Bytes::copy_from_slice(&tensor.raw_data) } else { Bytes::new() },
        float_data: if few(tensor.float_data.len()) { tensor.float_data.clone() } else { Vec::new() },
        int32_data: if few(tensor.int32_data.len()) { tensor.int32_data.clone() } else { Vec::new() },
        int64_data: if few(tensor.int64_data.len()) { tensor.int64_data.clone() } else { Vec::new() },
        ..TensorProto::default()
    }
}
