//! Runs models over many images on a fixed number of lanes, a thread and a session of one thread each.
//! What a lane sees depends on the images alone, so that the result does not depend on the machine's
//! number of cores.

use gtn_core::data::ImageSet;
use gtn_core::data::preprocess::Preprocess;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::measure::parity::{NotFinite, not_finite};
use gtn_core::{Error, Result};
use gtn_run::backend::ort::OrtBackend;
use gtn_run::backend::{Backend, Named, Options, OrtOptions};
use gtn_run::onnx::OnnxFile;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

const LANES: usize = 4;

/// This says how models are fed.
pub struct Feed<'a> {
    /// Of the network's size.
    pub images: &'a ImageSet,
    /// u8 image to input.
    pub preprocess: &'a Preprocess,
    /// Images at once.
    pub batch: usize,
    /// ONNX Runtime's library; none: searched for.
    pub ort_lib: Option<PathBuf>,
}

impl Feed<'_> {
    /// Feeds each batch to all `models`; `each` is given a lane's state, the index of the batch's first
    /// image, the number of images, and every model's outputs (of `batch` rows; those beyond the images
    /// are padding). States come back in lane order.
    pub fn run<S: Default + Send>(
        &self,
        models: &[&[u8]],
        each: impl Fn(&mut S, usize, usize, &[Vec<Named>]) -> Result<()> + Sync,
    ) -> Result<Vec<S>> {
        let lane = |lane: usize| -> Result<S> {
            let options = Options {
                threads: Some(1),
                batch: NonZeroUsize::new(self.batch),
                ort: OrtOptions::with_library(self.ort_lib.clone()),
                ..Options::default()
            };
            let load = |m: &&[u8]| {
                let file = OnnxFile::parse(m, Path::new("model.onnx"))?;
                OrtBackend::load(&file, &options, "the exporter's own")
            };
            let mut backends = models.iter().map(load).collect::<Result<Vec<_>>>()?;
            let mut state = S::default();
            let p = self.preprocess;
            let shape = [self.batch, p.channels, p.height, p.width];
            for first in (lane * self.batch..self.images.len()).step_by(LANES * self.batch) {
                let n = self.batch.min(self.images.len() - first);
                let mut values = p.normalise(&self.images.pixels_of(first..first + n)?)?;
                values.resize(self.batch * p.image_len(), 0.0);
                let input = [Named { name: "image".into(), tensor: Tensor::f32(&shape, values) }];
                let outputs = backends.iter_mut().map(|b| b.run(&input)).collect::<Result<Vec<_>>>()?;
                each(&mut state, first, n, &outputs)?;
            }
            Ok(state)
        };
        std::thread::scope(|scope| {
            let lane = &lane;
            let lanes: Vec<_> = (0..LANES).map(|i| scope.spawn(move || lane(i))).collect();
            let join = |l: std::thread::ScopedJoinHandle<'_, Result<S>>| {
                l.join().map_err(|_| Error::Failed("a thread of the exporter panicked".into()))?
            };
            lanes.into_iter().map(join).collect()
        })
    }

    /// Returns a model's logits `[n, classes]`. One that is not finite is an error that names its image.
    pub fn logits(&self, model: &[u8]) -> Result<Vec<f32>> {
        let lanes = self.run(&[model], |rows: &mut Vec<(usize, Vec<f32>)>, first, n, outputs| {
            let nothing = || Error::Failed("a model on a lane gives no logits".into());
            let logits = values(outputs.first().and_then(|o| o.first()).ok_or_else(nothing)?)?;
            let width = (logits.len() / self.batch).max(1);
            let logits = logits.get(..n * width).ok_or_else(nothing)?;
            if let Some(NotFinite { image, value, .. }) = not_finite(logits, width) {
                let image = first + image;
                return Err(Error::Failed(format!(
                    "a logit is {value} on image {image}: the network is broken"
                )));
            }
            rows.push((first, logits.to_vec()));
            Ok(())
        })?;
        let mut rows: Vec<(usize, Vec<f32>)> = lanes.into_iter().flatten().collect();
        rows.sort_by_key(|(first, _)| *first);
        Ok(rows.into_iter().flat_map(|(_, logits)| logits).collect())
    }
}

/// Returns an output's f32 values; another type is an error.
pub fn values(output: &Named) -> Result<&[f32]> {
    match &output.tensor.data {
        Data::F32(values) => Ok(values),
        _ => Err(Error::Failed(format!("output `{}` is not f32", output.name))),
    }
}
