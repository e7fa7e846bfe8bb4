//! What a backend must do. One trait, so that every command and test runs on each of them.

use crate::providers::Providers;
use gtn_core::report::BackendInfo;
use gtn_core::tensors::Tensor;
use gtn_core::{Error, Result};
use std::path::PathBuf;

/// A tensor with the model's name for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Input or output name.
    pub name: String,
    /// f32, u8 or i64.
    pub tensor: Tensor,
}

/// An input or output as the model declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Element type as ONNX names it (`float`, `uint8`, `int64`, ...).
    pub dtype: String,
    /// -1 where the model leaves it open.
    pub shape: Vec<i64>,
}

/// How to load a model.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Compute threads; none: all cores.
    pub threads: Option<usize>,
    /// What the named dimension `N` becomes.
    pub batch: usize,
    /// ONNX Runtime's library; none: searched for.
    pub ort_lib: Option<PathBuf>,
    /// Where ONNX Runtime's nodes may run.
    pub providers: Providers,
    /// Whether idle compute threads wait busily; none: the backend's default (ONNX Runtime: they do).
    pub spin: Option<bool>,
    /// Time every node, for [`Backend::node_times`].
    pub profile: bool,
}

/// Times of one node over the inferences since loading.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeTime {
    /// Its name in the model, or what the backend calls it after fusing.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Provider or device it ran on.
    pub provider: String,
    /// Shapes of its inputs, weights among them.
    pub inputs: Vec<Vec<usize>>,
    /// Shape of its first output.
    pub output: Vec<usize>,
    /// Microseconds of each inference, in order.
    pub us: Vec<f64>,
}

/// A loaded model.
pub trait Backend {
    /// What computes, for reports.
    fn info(&self) -> &BackendInfo;

    /// The model's inputs.
    fn inputs(&self) -> &[Slot];

    /// The model's outputs.
    fn outputs(&self) -> &[Slot];

    /// One inference. Inputs are checked against the model's; errors name the input or node.
    fn run(&mut self, inputs: &[Named]) -> Result<Vec<Named>>;

    /// Keeps inputs where [`Self::run_bound`] uses them again and again, outputs in place.
    fn bind(&mut self, inputs: &[Named]) -> Result<()>;

    /// One inference on the bound inputs: what latency is measured on.
    fn run_bound(&mut self) -> Result<()>;

    /// Times of the nodes in order of execution, where [`Options::profile`] asked for them. Ends the
    /// timing.
    fn node_times(&mut self) -> Result<Vec<NodeTime>> {
        Err(Error::Unavailable(format!("backend {} does not time single nodes", self.info().name)))
    }
}
