//! Our own executor on any GPU with Vulkan, Metal, DX12 or OpenGL ES: `--backend wgpu`.
//!
//! One way through: a file, checked by [`crate::onnx`] -> `load` walks its nodes once and lets each operator
//! of `ops` (one file each, a `.wgsl` of the same stem beside it) infer shapes and add the steps it needs to a
//! `graph` (typed values, steps, fusion with the step before) -> `layout` gives convolutions the kernels that
//! suit the adapter, with channels in fours and packed weights -> `plan` places every value in one buffer,
//! constants first, then activations that share memory when their lives do not meet -> `executor` compiles
//! one pipeline per distinct step (`pipelines`, kept on disk by `cache`) and runs them in order, `timing` each
//! where asked; `tune` finds the fastest kernels, `peak` what any could do. `adapter` finds the GPU and turns
//! whatever goes wrong on it into an error.
//!
//! An operator, type or attribute that is not computed exactly is an error at loading, naming the node.

pub(crate) mod exec;
mod ir;
mod load;
mod ops;
mod passes;

pub use exec::adapter::quiet;
pub use exec::cache::default_dir;
pub use exec::executor::WgpuBackend;
pub use exec::peak;

use crate::backend::Options;
use gtn_core::Result;
use std::path::Path;

/// What a model takes on a GPU, found without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Of the constants that steps read.
    pub constant_bytes: usize,
    /// Of the activations, as planned.
    pub activation_bytes: usize,
    /// The least that any plan of the same steps takes.
    pub least_activation_bytes: usize,
    /// Dispatches of an inference.
    pub steps: usize,
}

/// Whether there is a GPU to run on; if not, [`gtn_core::Error::Unavailable`] says why.
pub fn look(allow_software: bool) -> Result<()> {
    exec::adapter::find(allow_software).map(drop)
}

/// Loads and plans a model as [`WgpuBackend::load`] does.
pub fn needs(model: &[u8], path: &Path, options: &Options) -> Result<Needs> {
    let mut loaded = load::load(model, path, options, &[])?;
    let bad = |what| gtn_core::Error::input(path, what);
    passes::layout::apply(&mut loaded, options.kernels.unwrap_or_default(), exec::adapter::Abilities::ALL)
        .map_err(bad)?;
    let ids =
        |ends: &[(crate::backend::Slot, ir::graph::ValueId)]| ends.iter().map(|e| e.1).collect::<Vec<_>>();
    let plan = passes::plan::plan(&loaded.graph, &ids(&loaded.inputs), &ids(&loaded.outputs));
    Ok(Needs {
        constant_bytes: 4 * (plan.constants + plan.packed),
        activation_bytes: 4 * plan.activations,
        least_activation_bytes: 4 * plan.lower_bound,
        steps: loaded.graph.steps.len(),
    })
}
