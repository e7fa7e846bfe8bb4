//! Accuracy on a split, in eval mode, without augmentation.

use crate::engine::net::{Mode, Runner};
use crate::engine::params::{Params, to_vec};
use gtn_core::Result;
use gtn_core::artifacts::model_dir::SplitAccuracy;
use gtn_core::data::ImageSet;
use gtn_core::data::preprocess::Preprocess;
use gtn_core::measure::parity::{NotFinite, correct_in_top, not_finite};
use tch::{Device, Tensor};

/// Images a batch at most: large enough to keep the cores busy, small enough for a few hundred MB.
const BATCH: usize = 250;
/// Values of a batch's input at most: 64 photographs of 224 pixels.
const VALUES: usize = 64 * 3 * 224 * 224;

fn batch_of(preprocess: &Preprocess) -> usize {
    (VALUES / preprocess.image_len().max(1)).clamp(1, BATCH)
}

/// Logits `[n, classes]` of images of the network's own size.
pub fn logits(
    (runner, params): (&Runner, &Params),
    set: &ImageSet,
    preprocess: &Preprocess,
    device: Device,
) -> Result<Vec<f32>> {
    let shape = [-1, preprocess.channels as i64, preprocess.height as i64, preprocess.width as i64];
    let mut out = Vec::new();
    tch::no_grad(|| {
        for pixels in set.chunks(batch_of(preprocess)) {
            let images = Tensor::from_slice(&preprocess.normalise(&pixels?)?).view(shape).to_device(device);
            out.extend(to_vec(&runner.forward(params, &images, Mode::Eval))?);
        }
        Ok(out)
    })
}

/// Top-1, top-5 and mean entropy of logits; every one must be finite.
pub fn accuracy(logits: &[f32], labels: &[u16], classes: usize) -> Result<SplitAccuracy, NotFinite> {
    if let Some(odd) = not_finite(logits, classes) {
        return Err(odd);
    }
    let n = labels.len().max(1) as f64;
    let share = |k| correct_in_top(logits, labels, classes, k) as f64 / n;
    let entropy = logits.chunks(classes.max(1)).map(softmax_entropy).sum::<f64>() / n;
    Ok(SplitAccuracy { n: labels.len(), top1: share(1), top5: share(5.min(classes)), entropy: Some(entropy) })
}

/// Entropy of softmax(z), nats: log sum e^z - sum p z.
fn softmax_entropy(z: &[f32]) -> f64 {
    let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted = || z.iter().map(|&v| f64::from(v - max));
    let sum: f64 = shifted().map(f64::exp).sum();
    sum.ln() - shifted().map(|v| v * v.exp()).sum::<f64>() / sum
}

/// Both in one: the accuracy, or the logit that makes it none.
pub fn evaluate(
    net: (&Runner, &Params),
    set: &ImageSet,
    preprocess: &Preprocess,
    device: Device,
) -> Result<Result<SplitAccuracy, NotFinite>> {
    Ok(accuracy(&logits(net, set, preprocess, device)?, &set.labels, set.classes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_known_distributions() {
        let close = |z: &[f32], want: f64| assert!((softmax_entropy(z) - want).abs() < 1e-6, "{z:?}");
        close(&[3.0; 8], 8f64.ln());
        close(&[200.0, 0.0, -200.0], 0.0);
        close(&[3f32.ln(), 0.0], 4f64.ln() - 0.75 * 3f64.ln()); // p = 3/4, 1/4
        let a = accuracy(&[0.0, 1.0, 1.0, 0.0], &[1, 1], 2).unwrap();
        assert_eq!((a.n, a.top1, a.top5), (2, 0.5, 1.0));
        assert!((a.entropy.unwrap() - softmax_entropy(&[0.0, 1.0])).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_finite_has_no_accuracy() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = accuracy(&[0.0, 1.0, 1.0, odd], &[1, 1], 2).unwrap_err().to_string();
            assert_eq!(error, format!("the logit of class 1 for image 1 is {odd}, wanted a finite number"));
        }
    }
}
