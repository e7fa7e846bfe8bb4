//! What a backend must do. One trait, so that every command and test runs on each of them.

use gtn_core::Result;
use gtn_core::report::BackendInfo;
use gtn_core::tensors::Tensor;
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
}
