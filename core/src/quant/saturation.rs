//! Where sums of int8 products saturate, and which weights are safe there: one rule for profiles, programs and
//! tests.
//!
//! x86 before VNNI multiplies bytes with VPMADDUBSW, which adds two neighbouring products of an unsigned and a
//! signed byte in 16 bits and clips the sum at 32767 (Intel 64 and IA-32 Architectures Software Developer's Manual,
//! PMADDUBSW). ONNX Runtime's kernels for signed weights do so, with signed activations too, which they shift by 128.

/// Largest |weight| whose sums cannot saturate: two products of it with 255 fit 16 bits, 2 * 64 * 255 < 32768.
pub const SAFE_WEIGHT: u32 = 64;

/// Whether a processor with these instruction sets (as [`crate::host::Host`] names them) adds pairs of products in 16
/// bits.
pub fn processor_saturates(arch: &str, isa: &[String]) -> bool {
    let has = |flag: &str| isa.iter().any(|f| f == flag);
    arch.starts_with("x86") && !has("avx512_vnni") && !has("avx_vnni")
}

/// [`processor_saturates`] of the processor that runs this, asked by its own instruction and not of the system, so
/// that it also holds where there is no /proc.
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
