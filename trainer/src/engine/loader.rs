//! Training batches. On the CPU a thread makes them beside training; on a GPU the data set is resident
//! there and a batch is one gather. Both give the same values, a pure function of (seed, epoch, index).

use gtn_core::data::ImageSet;
use gtn_core::data::augment::{Augment, Draw, epoch_order};
use gtn_core::data::preprocess::Preprocess;
use gtn_core::{Error, Result};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use tch::{Device, Kind, Tensor};

/// Batches made ahead of training.
const AHEAD: usize = 4;

/// One step's images `[n, C, H, W]` f32, normalised, and labels `[n]` i64, on the training device.
pub struct Batch {
    /// Augmented and normalised.
    pub images: Tensor,
    /// Classes.
    pub labels: Tensor,
}

/// What every batch is made from.
pub struct Source {
    /// Training images (val taken out).
    pub set: ImageSet,
    /// u8 to input.
    pub preprocess: Preprocess,
    /// Crop and flip.
    pub augment: Augment,
    /// Of order and augmentation.
    pub seed: u64,
    /// Images a batch.
    pub batch_size: usize,
}

impl Source {
    /// Steps of one epoch; the incomplete batch at its end is dropped.
    pub fn steps_per_epoch(&self) -> usize {
        self.set.len() / self.batch_size
    }

    /// The byte that stands for the channel mean (zero after normalisation, nearly).
    fn fill(&self) -> Vec<u8> {
        self.preprocess.mean.iter().map(|m| (m * 255.0).round().clamp(0.0, 255.0) as u8).collect()
    }

    /// Which images step `step` (of the whole run) sees.
    fn indices(&self, order: &[u32], step: usize) -> Vec<u32> {
        let start = step % self.steps_per_epoch() * self.batch_size;
        order[start..start + self.batch_size].to_vec()
    }

    fn host_batch(&self, order: &[u32], epoch: u64, step: usize) -> Result<(Vec<f32>, Vec<i64>)> {
        let indices = self.indices(order, step);
        let len = self.set.image_len();
        let fill = self.fill();
        let mut pixels = vec![0; indices.len() * len];
        let mut labels = Vec::with_capacity(indices.len());
        for (&i, out) in indices.iter().zip(pixels.chunks_mut(len)) {
            let draw = self.augment.draw(self.seed, epoch, i);
            self.augment.apply(self.set.image(i as usize), self.set.input, draw, &fill, out);
            labels.push(i64::from(self.set.labels[i as usize]));
        }
        Ok((self.preprocess.normalise(&pixels)?, labels))
    }
}

/// An endless supply of batches, from any step on.
pub enum Loader {
    /// Made by a thread on the host.
    Host {
        /// Filled by the thread, which ends when this is dropped.
        batches: Receiver<Result<(Vec<f32>, Vec<i64>)>>,
        /// Shape of one image.
        shape: [i64; 3],
        /// Where batches go.
        device: Device,
    },
    /// Gathered on the device.
    Resident(Box<Resident>),
}

impl Loader {
    /// Starts at `first_step` of the run. A GPU gets the resident form.
    pub fn start(source: Arc<Source>, first_step: usize, device: Device) -> Result<Self> {
        if source.steps_per_epoch() == 0 {
            let what = format!(
                "batch_size is {}, more than the {} training images",
                source.batch_size,
                source.set.len()
            );
            return Err(Error::usage(what));
        }
        let input = source.set.input;
        let shape = [input.channels as i64, input.height as i64, input.width as i64];
        if device.is_cuda() {
            return Ok(Self::Resident(Box::new(Resident::new(source, first_step, device))));
        }
        let (sender, batches) = sync_channel(AHEAD);
        let work = move || {
            let mut order = (u64::MAX, Vec::new());
            for step in first_step.. {
                let epoch = (step / source.steps_per_epoch()) as u64;
                if order.0 != epoch {
                    order = (epoch, epoch_order(source.set.len(), source.seed, epoch));
                }
                if sender.send(source.host_batch(&order.1, epoch, step)).is_err() {
                    return; // training ended
                }
            }
        };
        std::thread::Builder::new()
            .name("batches".into())
            .spawn(work)
            .map_err(|e| Error::Failed(format!("cannot start the batch thread: {e}")))?;
        Ok(Self::Host { batches, shape, device })
    }

    /// The next step's batch.
    pub fn next(&mut self) -> Result<Batch> {
        match self {
            Self::Resident(resident) => Ok(resident.next()),
            Self::Host { batches, shape: [c, h, w], device } => {
                let (images, labels) =
                    batches.recv().map_err(|_| Error::Failed("the batch thread ended early".into()))??;
                Ok(Batch {
                    images: Tensor::from_slice(&images).view([-1, *c, *h, *w]).to_device(*device),
                    labels: Tensor::from_slice(&labels).to_device(*device),
                })
            }
        }
    }
}

/// The data set as u8 on the device; crop, flip and normalisation as a few gathers and element-wise
/// operators there.
pub struct Resident {
    source: Arc<Source>,
    pixels: Tensor,
    labels: Tensor,
    fill: Tensor,
    mean: Tensor,
    std: Tensor,
    order: (u64, Vec<u32>),
    step: usize,
    device: Device,
}

impl Resident {
    fn new(source: Arc<Source>, first_step: usize, device: Device) -> Self {
        let input = source.set.input;
        let (c, h, w) = (input.channels as i64, input.height as i64, input.width as i64);
        let labels: Vec<i64> = source.set.labels.iter().map(|&l| i64::from(l)).collect();
        let channel = |values: &[f32]| Tensor::from_slice(values).view([1, c, 1, 1]).to_device(device);
        Self {
            pixels: Tensor::from_slice(&source.set.pixels).view([-1, c, h, w]).to_device(device),
            labels: Tensor::from_slice(&labels).to_device(device),
            fill: Tensor::from_slice(&source.fill()).view([1, c, 1, 1]).to_device(device),
            mean: channel(&source.preprocess.mean),
            std: channel(&source.preprocess.std),
            order: (u64::MAX, Vec::new()),
            step: first_step,
            device,
            source,
        }
    }

    fn next(&mut self) -> Batch {
        let source = Arc::clone(&self.source);
        let epoch = (self.step / source.steps_per_epoch()) as u64;
        if self.order.0 != epoch {
            self.order = (epoch, epoch_order(source.set.len(), source.seed, epoch));
        }
        let indices = source.indices(&self.order.1, self.step);
        self.step += 1;
        let draws: Vec<Draw> = indices.iter().map(|&i| source.augment.draw(source.seed, epoch, i)).collect();
        let n = indices.len() as i64;
        let index: Vec<i64> = indices.iter().map(|&i| i64::from(i)).collect();
        let index = Tensor::from_slice(&index).to_device(self.device);
        let images = self.window(&index, &draws, n);
        let normal = (images.to_kind(Kind::Float) / 255.0 - &self.mean) / &self.std;
        Batch { images: normal, labels: self.labels.index_select(0, &index) }
    }

    /// u8 `[n, C, H, W]`: the drawn windows, padding filled.
    fn window(&self, index: &Tensor, draws: &[Draw], n: i64) -> Tensor {
        let input = self.source.set.input;
        let (c, h, w) = (input.channels as i64, input.height as i64, input.width as i64);
        let pad = self.source.augment.pad as i64;
        let column = |f: &dyn Fn(&Draw) -> i64| {
            let values: Vec<i64> = draws.iter().map(f).collect();
            Tensor::from_slice(&values).to_device(self.device).view([n, 1])
        };
        let options = (Kind::Int64, self.device);
        let rows = Tensor::arange(h, options).view([1, h]) + column(&|d| d.dy as i64 - pad);
        let x = Tensor::arange(w, options).view([1, w]);
        let flip = column(&|d| i64::from(d.flip));
        // Window column of output column x: x, or w - 1 - x when mirrored.
        let mirrored = &x + &flip * ((w - 1) - &x * 2);
        let cols = mirrored + column(&|d| d.dx as i64 - pad);
        let inside = |t: &Tensor, side: i64| t.ge(0).logical_and(&t.lt(side));
        let seen = inside(&rows, h).view([n, 1, h, 1]).logical_and(&inside(&cols, w).view([n, 1, 1, w]));
        let channels = Tensor::arange(c, options).view([1, c, 1, 1]);
        let pixels = self.pixels.index(&[
            Some(index.view([n, 1, 1, 1])),
            Some(channels),
            Some(rows.clamp(0, h - 1).view([n, 1, h, 1])),
            Some(cols.clamp(0, w - 1).view([n, 1, 1, w])),
        ]);
        pixels.where_self(&seen, &self.fill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::params::to_vec;
    use gtn_core::ir::arch::Input;

    fn source(augment: Augment) -> Arc<Source> {
        let input = Input { channels: 3, height: 5, width: 6 };
        let pixels = (0..20 * 90).map(|i| (i * 31 % 256) as u8).collect();
        let labels = (0..20).map(|i| (i % 4) as u16).collect();
        let set = ImageSet::new(input, 4, pixels, labels).unwrap();
        let preprocess = Preprocess {
            channels: 3,
            height: 5,
            width: 6,
            resize_short: None,
            resize: None,
            mean: vec![0.4914, 0.4822, 0.4465],
            std: vec![0.2470, 0.2435, 0.2616],
        };
        Arc::new(Source { set, preprocess, augment, seed: 9, batch_size: 6 })
    }

    /// The resident path (run on the CPU here) gives the host path's values bit for bit, over epoch
    /// borders and from any first step.
    #[test]
    fn resident_equals_host() {
        for augment in [Augment { pad: 2, flip: true }, Augment { pad: 0, flip: false }] {
            for first in [0, 2, 7] {
                let mut host = Loader::start(source(augment), first, Device::Cpu).unwrap();
                let mut resident = Resident::new(source(augment), first, Device::Cpu);
                for step in 0..5 {
                    let (a, b) = (host.next().unwrap(), resident.next());
                    assert_eq!(to_vec(&a.images).unwrap(), to_vec(&b.images).unwrap(), "step {step}");
                    assert_eq!(to_vec(&a.labels).unwrap(), to_vec(&b.labels).unwrap());
                }
            }
        }
    }

    #[test]
    fn starting_later_gives_the_same_batches() {
        let augment = Augment { pad: 1, flip: true };
        let mut a = Loader::start(source(augment), 0, Device::Cpu).unwrap();
        for _ in 0..4 {
            a.next().unwrap();
        }
        let mut b = Loader::start(source(augment), 4, Device::Cpu).unwrap();
        assert_eq!(to_vec(&a.next().unwrap().images).unwrap(), to_vec(&b.next().unwrap().images).unwrap());
    }
}
