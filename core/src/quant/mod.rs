//! Static int8 quantisation: what is quantised, and with which scale.
//!
//! `affine` is the arithmetic of one tensor, `histogram` and `calibration` choose its range
//! (`entropy` and `mse` are two of the ways), `layer` quantises weights and biases, `placement` says
//! after which values a Q/DQ pair stands and which activations its saturation replaces, `network` puts
//! them together, and `eval` computes the result exactly. `equalise` and `bias_correction` lose less.

pub mod affine;
pub mod bias_correction;
pub mod calibration;
mod entropy;
pub mod equalise;
pub mod eval;
pub mod histogram;
pub mod layer;
mod mse;
pub mod network;
pub mod norm_to_depthwise;
pub mod placement;

pub use affine::{Affine, Range};
pub use calibration::Method;
pub use network::Int8Network;
