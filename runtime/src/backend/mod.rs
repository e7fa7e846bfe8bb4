//! What a backend must do. One trait, so that every command and test runs on each of them.

pub mod budget;
pub(crate) mod guard;
pub mod located;
pub mod options;
pub mod ort;
#[cfg(feature = "rust")]
pub mod rten;
pub mod sizes;

pub use options::{Int8, Options, OrtOptions, WgpuOptions};

use gtn_core::io::tensors::Tensor;
use gtn_core::measure::report::BackendInfo;
use gtn_core::{Error, Result};

/// This is a tensor with the model's name for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Input or output name.
    pub name: String,
    /// Its values.
    pub tensor: Tensor,
}

/// A slot is an input or output as the model declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Element type as ONNX names it (`float`, `uint8`, `int64`, ...).
    pub dtype: String,
    /// -1 where the model leaves it open.
    pub shape: Vec<i64>,
}

/// This says which backend computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ONNX Runtime.
    Ort,
    /// Our own executor on a GPU.
    Wgpu,
    /// rten, on the CPU.
    Rust,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Ort, Self::Wgpu, Self::Rust];

    /// Returns the name that `--backend` and profiles have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ort => "ort",
            Self::Wgpu => "wgpu",
            Self::Rust => "rust",
        }
    }

    /// Returns the backend of that name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// This says how backend wgpu computes convolutions of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernels {
    /// One kernel for all.
    General,
    /// In registers: for small GPUs and for CPUs that play one.
    #[default]
    Block,
    /// In shared memory: for large GPUs.
    Tile,
}

impl Kernels {
    /// These are all kinds of kernels.
    pub const ALL: [Self; 3] = [Self::General, Self::Block, Self::Tile];

    /// Returns the name that flags and files have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Block => "block",
            Self::Tile => "tile",
        }
    }

    /// Returns the kernels of that name, if there are any.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// These are the times of one node over the inferences since loading.
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

/// A backend is a loaded model that can be run.
pub trait Backend {
    /// Returns what computes, for reports.
    fn info(&self) -> &BackendInfo;

    /// Returns the model's inputs.
    fn inputs(&self) -> &[Slot];

    /// Returns the model's outputs.
    fn outputs(&self) -> &[Slot];

    /// Runs one inference. Inputs are checked against the model's; errors name the input or node.
    fn run(&mut self, inputs: &[Named]) -> Result<Vec<Named>>;

    /// Keeps inputs where [`Self::run_bound`] uses them again and again, outputs in place.
    fn bind(&mut self, inputs: &[Named]) -> Result<()>;

    /// Runs one inference on the bound inputs: this is what latency is measured on.
    fn run_bound(&mut self) -> Result<()>;

    /// Returns the times of the nodes in order of execution, where [`Options::profile`] asked for them, and
    /// ends the timing. Fails with [`Error::Unavailable`] where the backend cannot time nodes.
    fn node_times(&mut self) -> Result<Vec<NodeTime>> {
        Err(Error::Unavailable(format!("backend {} does not time single nodes", self.info().name)))
    }
}

/// Checks that every input of the model is given, with its type and shape, and no other. Fails with a usage
/// error that names the input.
pub fn check_inputs(slots: &[Slot], inputs: &[Named]) -> Result<()> {
    for slot in slots {
        let Some(given) = inputs.iter().find(|i| i.name == slot.name) else {
            let have: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
            return Err(Error::usage(format!(
                "input `{}` ({} {:?}) is missing (given: {})",
                slot.name,
                slot.dtype,
                slot.shape,
                have.join(", ")
            )));
        };
        let fits = |(&found, &wanted): (&usize, &i64)| wanted < 0 || i64::try_from(found) == Ok(wanted);
        let shape = &given.tensor.shape;
        let dtype = given.tensor.data.element().name();
        if shape.len() != slot.shape.len() || !shape.iter().zip(&slot.shape).all(fits) || dtype != slot.dtype
        {
            return Err(Error::usage(format!(
                "input `{}` is {dtype} {shape:?}, the model wants {} {:?} (-1: any)",
                slot.name, slot.dtype, slot.shape
            )));
        }
    }
    match inputs.iter().find(|i| !slots.iter().any(|s| s.name == i.name)) {
        Some(odd) => {
            let have: Vec<&str> = slots.iter().map(|s| s.name.as_str()).collect();
            Err(Error::usage(format!("the model has no input `{}` (it has: {})", odd.name, have.join(", "))))
        }
        None => Ok(()),
    }
}
