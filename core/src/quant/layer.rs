//! A convolution's or classifier's weights as integers: symmetric, one scale per output channel; the
//! bias in 32 bits with scale (input scale) x (weight scale), so that it adds to the sum of products.

use crate::device::int8::Scheme;

/// |bias| in steps may not exceed this, so that no sum of products on top of it leaves 32 bits.
const MAX_BIAS: f64 = (1u64 << 30) as f64;

/// These are the quantised weights of one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8Layer {
    /// As the fp32 weight, output channel first.
    pub weight: Vec<i8>,
    /// One per output channel, or one for all.
    pub scales: Vec<f32>,
    /// One per output channel.
    pub bias: Vec<i32>,
    /// Input scale times weight scale; one per output channel, or one for all.
    pub bias_scales: Vec<f32>,
}

impl Int8Layer {
    /// Quantises `weight` `[out, ...]` and `bias` `[out]` (empty: none) of a layer whose input has
    /// `input_scale`.
    pub fn quantise(weight: &[f32], bias: &[f32], out: usize, input_scale: f32, scheme: &Scheme) -> Self {
        let zeros;
        let bias = if bias.is_empty() {
            zeros = vec![0.0; out];
            &zeros
        } else {
            bias
        };
        let fan_in = (weight.len() / out.max(1)).max(1);
        let top = f64::from((1i32 << (scheme.weight_bits - 1)) - 1);
        let mut scales: Vec<f32> = weight
            .chunks(fan_in)
            .zip(bias)
            .map(|(channel, &b)| channel_scale(channel, b, input_scale, top))
            .collect();
        if !scheme.per_channel {
            scales = vec![scales.iter().copied().fold(0.0, f32::max)];
        }
        let to_i8 = |(c, channel): (usize, &[f32])| {
            let s = f64::from(of_channel(&scales, c));
            let q = move |&w: &f32| (f64::from(w) / s).round_ties_even().clamp(-top, top) as i8;
            channel.iter().map(q).collect::<Vec<i8>>()
        };
        let bias_scales: Vec<f32> = scales.iter().map(|s| s * input_scale).collect();
        let to_i32 = |(c, &b): (usize, &f32)| {
            (f64::from(b) / f64::from(of_channel(&bias_scales, c)))
                .round_ties_even()
                .clamp(-MAX_BIAS, MAX_BIAS) as i32
        };
        Self {
            weight: weight.chunks(fan_in).enumerate().flat_map(to_i8).collect(),
            bias: bias.iter().enumerate().map(to_i32).collect(),
            scales,
            bias_scales,
        }
    }

    /// Returns the weight scale of output channel `c`.
    pub fn scale(&self, c: usize) -> f32 {
        of_channel(&self.scales, c)
    }

    /// Returns the weights that the integers stand for.
    pub fn dequantised(&self) -> Vec<f32> {
        let fan_in = (self.weight.len() / self.bias.len().max(1)).max(1);
        let real = |(c, channel): (usize, &[i8])| {
            let s = self.scale(c);
            channel.iter().map(move |&q| f32::from(q) * s).collect::<Vec<f32>>()
        };
        self.weight.chunks(fan_in).enumerate().flat_map(real).collect()
    }
}

/// The largest |weight| becomes `top`, unless the bias would then leave 32 bits (a channel whose
/// weights all but vanish): then the scale is as small as the bias allows.
fn channel_scale(channel: &[f32], bias: f32, input_scale: f32, top: f64) -> f32 {
    let largest = channel.iter().fold(0.0f64, |m, &w| m.max(f64::from(w).abs()));
    let for_bias = f64::from(bias).abs() / (f64::from(input_scale) * MAX_BIAS);
    let scale = (largest / top).max(for_bias) as f32;
    // The product with the input's scale must be a normal number too.
    if scale.is_normal() && (scale * input_scale).is_normal() { scale } else { 1.0 }
}

/// One scale for all channels, or one each.
fn of_channel(scales: &[f32], c: usize) -> f32 {
    if scales.len() == 1 { scales[0] } else { scales[c] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::int8::ActivationType;

    const SCHEME: Scheme = Scheme { activations: ActivationType::Uint8, weight_bits: 8, per_channel: true };

    #[test]
    fn channels_have_their_own_scale() {
        let l = Int8Layer::quantise(&[1.27, -0.5, 0.0127, 0.005], &[0.1, -0.2], 2, 0.5, &SCHEME);
        assert_eq!(l.weight, [127, -50, 127, 50]);
        assert_eq!(l.bias, [20, -4000]); // 0.1 / (0.5 * 0.01), -0.2 / (0.5 * 0.0001)
        let back = l.dequantised();
        assert!((back[1] + 0.5).abs() < 1e-6 && (back[3] - 0.005).abs() < 1e-8, "{back:?}");
        let one = Int8Layer::quantise(
            &[1.27, -0.5, 0.0127, 0.005],
            &[0.1, -0.2],
            2,
            0.5,
            &Scheme { per_channel: false, ..SCHEME },
        );
        assert_eq!((one.weight, one.scales.len()), (vec![127, -50, 1, 0], 1));
        let seven = Int8Layer::quantise(&[1.0, -1.0], &[], 1, 1.0, &Scheme { weight_bits: 7, ..SCHEME });
        assert_eq!((seven.weight, seven.bias), (vec![63, -63], vec![0]));
    }

    /// A dead channel: weights all but vanish, the bias does not. 32 bits must hold it all the same.
    #[test]
    fn a_bias_never_overflows() {
        for weight in [0.0, 1e-30, 1e-12, 1e-6] {
            let l = Int8Layer::quantise(&[weight], &[3.0], 1, 0.01, &SCHEME);
            let back = f64::from(l.bias[0]) * f64::from(l.bias_scales[0]);
            assert!(l.bias[0].unsigned_abs() <= 1 << 30, "{weight}: {}", l.bias[0]);
            assert!((back - 3.0).abs() < 0.006, "{weight}: bias {back}"); // half a step of 0.01 at worst
        }
    }
}
