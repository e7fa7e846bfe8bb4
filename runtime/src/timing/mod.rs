//! Models timed beside each other: two in turn (`interleave`), many in bursts (`bursts`), and the fastest way to run one
//! (`tune`; on a GPU `gpu_tune`).

pub mod bursts;
#[cfg(feature = "wgpu")]
pub mod gpu_tune;
pub mod interleave;
pub mod tune;
