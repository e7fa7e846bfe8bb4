//! Bias correction (Nagel et al. 2019, section 4.2): rounding a channel's weights shifts its mean
//! output by (rounded - real) x mean input; the bias takes the shift back. Means are calibration's.

use super::layer::Int8Layer;

/// Returns the bias `[out]` that makes up for the weights' rounding. `means` are those of the input's channels,
/// `weight` is `[out, in / groups, k, k]`. Padding is ignored: at a border the shift is smaller, which the mean
/// over a plane hardly notices.
pub fn corrected(layer: &Int8Layer, weight: &[f32], bias: &[f32], means: &[f64], groups: usize) -> Vec<f32> {
    let out = layer.bias.len();
    let per_group = means.len() / groups.max(1);
    let fan_in = weight.len() / out.max(1);
    let taps = fan_in / per_group.max(1);
    let rounded = layer.dequantised();
    let shift = |o: usize| {
        let first = o / (out / groups.max(1)).max(1) * per_group;
        let channel = weight.iter().zip(&rounded).skip(o * fan_in).take(fan_in);
        let one = |(i, (w, r)): (usize, (&f32, &f32))| {
            let mean = means[first + i / taps.max(1)];
            (f64::from(*r) - f64::from(*w)) * mean
        };
        channel.enumerate().map(one).sum::<f64>()
    };
    let bias = |o: usize| if bias.is_empty() { 0.0 } else { f64::from(bias[o]) };
    (0..out).map(|o| (bias(o) - shift(o)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::int8::{ActivationType, Scheme};

    /// Two input channels of one pixel, a group each: the corrected bias gives back the exact mean.
    #[test]
    fn the_mean_comes_back() {
        let scheme = Scheme { activations: ActivationType::Uint8, weight_bits: 7, per_channel: true };
        for groups in [1, 2] {
            let weight: Vec<f32> = (0..4 / groups).map(|i| 0.1 + 0.137 * i as f32).collect();
            let means = [2.0, 5.0];
            let layer = Int8Layer::quantise(&weight, &[0.5, -0.5], 2, 1e-6, &scheme);
            let bias = corrected(&layer, &weight, &[0.5, -0.5], &means, groups);
            let mean = |w: &[f32], b: &[f32], o: usize| {
                let n = 2 / groups;
                let first = if groups == 2 { o } else { 0 };
                f64::from(b[o]) + (0..n).map(|i| f64::from(w[o * n + i]) * means[first + i]).sum::<f64>()
            };
            for o in 0..2 {
                let (want, got) = (mean(&weight, &[0.5, -0.5], o), mean(&layer.dequantised(), &bias, o));
                assert!((want - got).abs() < 1e-6, "groups {groups}, {o}: {want} {got}");
            }
        }
    }
}
