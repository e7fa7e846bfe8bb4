//! Static int8 quantisation: what is quantised, and with which scale.
//!
//! `affine` is the arithmetic of one tensor, `histogram` and `calibration` choose its range
//! (`entropy` and `mse` are two of the ways), `layer` quantises weights and biases, `placement` says
//! after which values a Q/DQ pair stands and which activations its saturation replaces, `network` puts
//! them together, and `eval` computes the result exactly. `equalise` and `bias_correction` lose less. `saturation`
//! says where sums of int8 products do not fit.

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
pub mod saturation;

pub use affine::{Affine, Range};
pub use calibration::Method;
pub use network::Int8Network;

use serde::{Deserialize, Serialize};

/// Type of quantised activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationType {
    /// 0 to 255, any zero point.
    Uint8,
    /// -128 to 127, any zero point.
    Int8,
    /// -128 to 127, zero point 0.
    Int8Symmetric,
}

impl ActivationType {
    /// As in a device profile.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
            Self::Int8Symmetric => "int8-symmetric",
        }
    }

    /// Smallest and largest quantised value.
    pub fn bounds(self) -> (i32, i32) {
        match self {
            Self::Uint8 => (0, 255),
            Self::Int8 | Self::Int8Symmetric => (-128, 127),
        }
    }
}

/// How a network is quantised: a device's int8 recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheme {
    /// Of every activation.
    pub activations: ActivationType,
    /// 8, or 7 where products of 8-bit weights would saturate. Weights are symmetric.
    pub weight_bits: u32,
    /// One weight scale per output channel (else one per tensor).
    pub per_channel: bool,
}
