//! Our own executor on any GPU with Vulkan, Metal, DX12 or OpenGL ES: `--backend wgpu`.
//!
//! A small compiler, one way through. A file, checked by [`crate::onnx`], becomes a graph of values and typed operators
//! (`ir`): `load` walks its nodes once and lets each operator's `lower` (`ops`, one file each) check attributes and infer
//! shapes. `passes` change that graph: `quantise` makes operators of dequantised integers operators of the integers, `fuse`
//! lets an operator take in the one behind it, `tables` adds the numbers that kernels read from memory; then, for an
//! adapter, `layout` puts channels in fours and packs weights, and `plan` places every value in one buffer: constants first,
//! then activations that share memory when their lives do not meet. `kernels`, the last stage, asks each operator for its
//! shader, constants and invocations (a `.wgsl` beside the operator's file). What comes out is a `program`: kernels, places
//! and labels, all that `exec` sees.
//!
//! `exec`: `executor` compiles one pipeline for each distinct kernel (`pipelines`, kept on disk by `cache`) and runs them in
//! order, `timing` each where asked; `peak` says what any could do; `adapter` finds the GPU and turns whatever goes wrong on
//! it into an error.
//!
//! An operator, type or attribute that is not computed exactly is an error at loading, naming the node.

pub(crate) mod exec;
mod ir;
mod kernel;
mod kernels;
mod load;
mod ops;
mod passes;
mod program;

pub use exec::adapter::quiet;
pub use exec::cache::default_dir;
pub use exec::executor::WgpuBackend;
pub use exec::peak;

use crate::backend::Options;
use crate::onnx::OnnxFile;
use gtn_core::Result;

/// This is what a model takes on a GPU, found without one.
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

/// Checks that there is a GPU to run on; if not, [`gtn_core::Error::Unavailable`] says why.
pub fn look(allow_software: bool) -> Result<()> {
    exec::adapter::find(allow_software).map(drop)
}

/// Loads and plans a model as [`WgpuBackend::load`] does.
pub fn needs(file: &OnnxFile, options: &Options) -> Result<Needs> {
    let loaded = program::read(file, options, &[])?;
    let kernels = options.wgpu.kernels.unwrap_or_default();
    let program = program::compile(loaded, kernels, kernel::Abilities::ALL)
        .map_err(|what| gtn_core::Error::input(file.path(), what))?;
    let memory = program.memory;
    Ok(Needs {
        constant_bytes: 4 * (memory.constants + memory.packed),
        activation_bytes: 4 * memory.activations,
        least_activation_bytes: 4 * memory.least_activations,
        steps: program.steps.len(),
    })
}
