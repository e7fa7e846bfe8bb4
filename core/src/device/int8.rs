//! A device's int8 recipe, and where sums of int8 products saturate, with the weights that are safe there: one rule for
//! profiles, programs and tests.
//!
//! x86 before VNNI multiplies bytes with VPMADDUBSW, which adds two neighbouring products of an unsigned and a
//! signed byte in 16 bits and clips the sum at 32767 (Intel 64 and IA-32 Architectures Software Developer's Manual,
//! PMADDUBSW). ONNX Runtime's kernels for signed weights do so, with signed activations too, which they shift by 128.

use serde::{Deserialize, Serialize};

/// This is the type of quantised activations.
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
    /// Returns the name that a device profile has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
            Self::Int8Symmetric => "int8-symmetric",
        }
    }

    /// Returns the smallest and largest quantised value.
    pub fn bounds(self) -> (i32, i32) {
        match self {
            Self::Uint8 => (0, 255),
            Self::Int8 | Self::Int8Symmetric => (-128, 127),
        }
    }
}

/// This says how a network is quantised: a device's int8 recipe.
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

/// This is the largest |weight| whose sums cannot saturate: two products of it with 255 fit 16 bits, 2 * 64 *
/// 255 < 32768.
pub const SAFE_WEIGHT: u32 = 64;

/// Returns whether a processor with these instruction sets (as [`crate::host::Host`] names them) adds pairs of
/// products in 16 bits.
pub fn processor_saturates(arch: &str, isa: &[String]) -> bool {
    let has = |flag: &str| isa.iter().any(|f| f == flag);
    arch.starts_with("x86") && !has("avx512_vnni") && !has("avx_vnni")
}

/// Returns what [`processor_saturates`] does of the processor that runs this. It is asked by its own
/// instruction and not of the system, so that it also holds where there is no /proc.
pub fn this_processor_saturates() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return !std::arch::is_x86_feature_detected!("avx512vnni")
        && !std::arch::is_x86_feature_detected!("avxvnni");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;

    #[test]
    fn the_safe_weight_is_the_largest_that_fits() {
        let fits = |weight: u32| 2 * weight * 255 <= i16::MAX.unsigned_abs().into();
        assert!(fits(SAFE_WEIGHT) && !fits(SAFE_WEIGHT + 1));
    }

    #[test]
    fn x86_without_vnni_saturates_and_nothing_else() {
        let of = |arch: &str, isa: &[&str]| {
            processor_saturates(arch, &isa.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>())
        };
        assert!(of("x86_64", &["avx2", "fma"]) && of("x86_64", &["avx512f"]) && of("x86", &[]));
        assert!(!of("x86_64", &["avx2", "avx512_vnni"]) && !of("x86_64", &["avx2", "avx_vnni"]));
        assert!(!of("aarch64", &["asimd", "asimddp"]) && !of("aarch64", &["asimd"]));
    }

    /// What the processor says of itself and what the system says of it agree.
    #[cfg(target_os = "linux")]
    #[test]
    fn processor_and_system_agree() {
        let host = Host::read();
        assert_eq!(this_processor_saturates(), processor_saturates(&host.arch, &host.isa), "{:?}", host.isa);
    }
}
