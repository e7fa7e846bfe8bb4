//! f32 to IEEE 754 binary16, rounding half to even.

/// The largest finite binary16.
pub const MAX: f32 = 65504.0;

/// Bits of the nearest binary16; beyond [`MAX`] infinity.
pub fn from_f32(x: f32) -> u16 {
    let sign = ((x.to_bits() >> 16) & 0x8000) as u16;
    let magnitude = f64::from(x).abs();
    if x.is_nan() {
        return sign | 0x7e00;
    }
    // One unit in the last place at this magnitude: 2^-24 for subnormals, else 2^(exponent - 10).
    let exponent = (((x.to_bits() >> 23) & 0xff) as i32 - 127).max(-14);
    let steps = (magnitude * 2f64.powi(10 - exponent)).round_ties_even();
    if magnitude >= 65520.0 {
        return sign | 0x7c00;
    }
    // A carry out of the mantissa lands in the exponent, which is where it belongs.
    let bits = (((exponent + 14) as u32) << 10) + steps as u32;
    sign | bits as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_f64(h: u16) -> f64 {
        let (e, m) = (i32::from(h >> 10 & 31), f64::from(h & 1023));
        let magnitude = if e == 0 { m * 2f64.powi(-24) } else { (1024.0 + m) * 2f64.powi(e - 25) };
        if h & 0x8000 == 0 { magnitude } else { -magnitude }
    }

    #[test]
    fn every_half_comes_back_and_the_middle_goes_to_even() {
        for h in (0..0x7c00u16).chain(0x8000..0xfc00) {
            let x = to_f64(h);
            assert_eq!(from_f32(x as f32), h, "{h:#06x}");
            if h & 0x7fff < 0x7bff {
                let middle = (x + to_f64(h + 1)) / 2.0;
                assert_eq!(from_f32(middle as f32), if h & 1 == 0 { h } else { h + 1 }, "above {h:#06x}");
            }
        }
        assert_eq!([65519.0, 65520.0, f32::INFINITY, -1e9].map(from_f32), [0x7bff, 0x7c00, 0x7c00, 0xfc00]);
        assert_eq!(from_f32(f32::NAN) & 0x7c00, 0x7c00);
    }
}
