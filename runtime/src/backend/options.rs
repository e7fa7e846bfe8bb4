//! How a model is loaded: what every backend heeds, and beside it what is one backend's alone.

use crate::backend::ort::providers::Providers;
use crate::backend::sizes::InputShape;
use crate::backend::{Kernels, Kind};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// This says how int8 models are computed where their sums would saturate (gtn_core::device::int8); elsewhere
/// both ways give the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Int8 {
    /// As the operators are defined, which takes longer there.
    #[default]
    Exact,
    /// As the runtime does unless told otherwise: answers may be wrong.
    Fast,
}

/// These options say how to load a model.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What computes; none: [`crate::auto`] chooses.
    pub kind: Option<Kind>,
    /// Compute threads; none: all cores.
    pub threads: Option<usize>,
    /// Images in an inference: the first dimension, whatever it is called. None: the model's own where it is fixed,
    /// else 1.
    pub batch: Option<NonZeroUsize>,
    /// Shapes of inputs, for the other dimensions that a model leaves open ([`crate::backend::sizes`]).
    pub shapes: Vec<InputShape>,
    /// Time every node, for [`crate::backend::Backend::node_times`].
    pub profile: bool,
    /// What a model's values may take at once, MiB; none: [`crate::backend::budget::DEFAULT_MB`].
    pub max_memory_mb: Option<u64>,
    /// Heeded by ONNX Runtime alone.
    pub ort: OrtOptions,
    /// Heeded by backend wgpu alone.
    pub wgpu: WgpuOptions,
}

/// These are the options that ONNX Runtime alone heeds.
#[derive(Debug, Clone, Default)]
pub struct OrtOptions {
    /// Its library; none: searched for.
    pub library: Option<PathBuf>,
    /// Where its nodes may run.
    pub providers: Providers,
    /// Whether idle compute threads wait busily; none: its default (they do).
    pub spin: Option<bool>,
    /// Where sums would saturate.
    pub int8: Int8,
}

/// These are the options that backend wgpu alone heeds.
#[derive(Debug, Clone, Default)]
pub struct WgpuOptions {
    /// It may use an adapter that is the CPU.
    pub allow_software: bool,
    /// How convolutions of floats are computed; none: as suits the adapter.
    pub kernels: Option<Kernels>,
    /// Where compiled pipelines and what tuning chose are kept; none: nowhere.
    pub cache_dir: Option<PathBuf>,
}

impl Options {
    /// Returns the options by which measurements and comparisons load one model: one thread, one image.
    pub fn single() -> Self {
        Self { threads: Some(1), batch: Some(NonZeroUsize::MIN), ..Self::default() }
    }
}

impl OrtOptions {
    /// Returns the defaults with this library; `None`: it is searched for.
    pub fn with_library(library: Option<PathBuf>) -> Self {
        Self { library, ..Self::default() }
    }
}

impl WgpuOptions {
    /// Returns the defaults, but with any adapter allowed, the CPU's as well.
    pub fn any_adapter() -> Self {
        Self { allow_software: true, ..Self::default() }
    }
}
