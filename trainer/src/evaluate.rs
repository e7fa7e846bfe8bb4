//! Accuracy on a split, in eval mode, without augmentation.

use crate::net::{Mode, Runner};
use crate::params::{Params, to_vec};
use gtn_core::Result;
use gtn_core::data::ImageSet;
use gtn_core::model_dir::SplitAccuracy;
use gtn_core::parity::correct_in_top;
use gtn_core::preprocess::Preprocess;
use tch::{Device, Tensor};

/// Images a batch: large enough to keep the cores busy, small enough for a few hundred MB.
const BATCH: usize = 250;

/// Logits `[n, classes]` of u8 images of the network's own size.
pub fn logits(
    (runner, params): (&Runner, &Params),
    pixels: &[u8],
    preprocess: &Preprocess,
    device: Device,
) -> Result<Vec<f32>> {
    let shape = [-1, preprocess.channels as i64, preprocess.height as i64, preprocess.width as i64];
    let mut out = Vec::new();
    tch::no_grad(|| {
        for chunk in pixels.chunks(BATCH * preprocess.image_len()) {
            let images = Tensor::from_slice(&preprocess.normalise(chunk)?).view(shape).to_device(device);
            out.extend(to_vec(&runner.forward(params, &images, Mode::Eval))?);
        }
        Ok(out)
    })
}

/// Top-1 and top-5 of logits.
pub fn accuracy(logits: &[f32], labels: &[u16], classes: usize) -> SplitAccuracy {
    let share = |k| correct_in_top(logits, labels, classes, k) as f64 / labels.len().max(1) as f64;
    SplitAccuracy { n: labels.len(), top1: share(1), top5: share(5.min(classes)) }
}

/// Both in one.
pub fn evaluate(
    net: (&Runner, &Params),
    set: &ImageSet,
    preprocess: &Preprocess,
    device: Device,
) -> Result<SplitAccuracy> {
    Ok(accuracy(&logits(net, &set.pixels, preprocess, device)?, &set.labels, set.classes))
}
