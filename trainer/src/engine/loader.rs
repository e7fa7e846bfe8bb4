//! Training batches. On the CPU threads make them beside training; on a GPU a data set that is only cropped and mirrored
//! is resident there and a batch is one gather. Both give the same values, a pure function of (seed, epoch, index).

use gtn_core::data::augment::{Draw, Visit};
use gtn_core::data::feed::Feed;
use gtn_core::data::preprocess::Preprocess;
use gtn_core::{Error, Result};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use tch::{Device, Kind, Tensor};

/// Batches made ahead of training, by all threads together; one by each at least.
const AHEAD: usize = 4;

/// One step's images and what is known of them, on the training device. `n` images of `[C, H, W]`.
pub struct Batch {
    /// Augmented and normalised, f32 `[n, C, H, W]`.
    pub images: Tensor,
    /// The same parts of the same pictures as the teacher sees them; none: just as the network does.
    pub teacher_images: Option<Tensor>,
    /// Classes, i64 `[n]`.
    pub labels: Tensor,
    /// Where images are mixed.
    pub mixed: Option<MixedLabels>,
    /// Which image had its turn in which epoch: what a teacher's answers are kept under.
    pub turns: Vec<(u64, Visit)>,
}

/// The labels of what images are mixed with.
pub struct MixedLabels {
    /// Classes of the partners, i64 `[n]`.
    pub partners: Tensor,
    /// Share of each image's own label, f32 `[n]`; 1 where it is not mixed.
    pub shares: Tensor,
}

/// What every batch is made from.
pub struct Source {
    /// Training images (val taken out) and what is done to them.
    pub feed: Feed,
    /// u8 to the network's input.
    pub preprocess: Preprocess,
    /// u8 to the teacher's, where that is another size or normalised otherwise.
    pub teacher: Option<Preprocess>,
    /// Images a batch.
    pub batch_size: usize,
}

/// A batch as threads make it.
pub struct HostBatch {
    images: Vec<f32>,
    teacher_images: Option<Vec<f32>>,
    labels: Vec<i64>,
    mixed: Option<(Vec<i64>, Vec<f32>)>,
    turns: Vec<(u64, Visit)>,
}

impl Source {
    /// Steps of one epoch; the incomplete batch at its end is dropped.
    pub fn steps_per_epoch(&self) -> usize {
        self.feed.set.len() / self.batch_size
    }

    /// Which images step `step` (of the whole run) sees.
    fn turns(&self, order: &[Visit], step: usize) -> Vec<Visit> {
        let start = step % self.steps_per_epoch() * self.batch_size;
        order[start..start + self.batch_size].to_vec()
    }

    fn label(&self, index: u32) -> i64 {
        i64::from(self.feed.set.labels[index as usize])
    }

    fn host_batch(&self, order: &[Visit], epoch: u64, step: usize) -> Result<HostBatch> {
        let turns = self.turns(order, step);
        let sizes: Vec<(usize, usize)> = [Some(&self.preprocess), self.teacher.as_ref()]
            .into_iter()
            .flatten()
            .map(|p| (p.height, p.width))
            .collect();
        let mut pixels = vec![Vec::new(); sizes.len()];
        let mut labels = Vec::with_capacity(turns.len());
        let (mut partners, mut shares) = (Vec::new(), Vec::new());
        for &turn in &turns {
            let sample = self.feed.sample(epoch, turn, &sizes)?;
            pixels.iter_mut().zip(sample.views).for_each(|(pixels, view)| pixels.extend(view));
            let label = self.label(turn.index);
            labels.push(label);
            partners.push(sample.mixed.map_or(label, |m| self.label(m.partner)));
            shares.push(sample.mixed.map_or(1.0, |m| m.share as f32));
        }
        let mut pixels = pixels.into_iter();
        let mut normal = |preprocess: &Preprocess| preprocess.normalise(&pixels.next().unwrap_or_default());
        let images = normal(&self.preprocess)?;
        let teacher_images = self.teacher.as_ref().map(normal).transpose()?;
        let mixed = self.feed.augment.mixes().then_some((partners, shares));
        let turns = turns.into_iter().map(|turn| (epoch, turn)).collect();
        Ok(HostBatch { images, teacher_images, labels, mixed, turns })
    }
}

fn shape(p: &Preprocess) -> [i64; 4] {
    [-1, p.channels as i64, p.height as i64, p.width as i64]
}

impl HostBatch {
    fn into_batch(self, source: &Source, device: Device) -> Batch {
        let images =
            |values: &[f32], p: &Preprocess| Tensor::from_slice(values).view(shape(p)).to_device(device);
        let teacher = self.teacher_images.as_ref().zip(source.teacher.as_ref());
        Batch {
            images: images(&self.images, &source.preprocess),
            teacher_images: teacher.map(|(values, p)| images(values, p)),
            labels: Tensor::from_slice(&self.labels).to_device(device),
            mixed: self.mixed.as_ref().map(|(partners, shares)| MixedLabels {
                partners: Tensor::from_slice(partners).to_device(device),
                shares: Tensor::from_slice(shares).to_device(device),
            }),
            turns: self.turns,
        }
    }
}

/// An endless supply of batches, from any step on.
pub enum Loader {
    /// Made by threads on the host.
    Host {
        /// Step by step one thread after the other makes a batch; each ends when this is dropped.
        threads: Vec<Receiver<Result<HostBatch>>>,
        /// Whose turn it is.
        next: usize,
        /// What they are made from.
        source: Arc<Source>,
        /// Where batches go.
        device: Device,
    },
    /// Gathered on the device.
    Resident(Box<Resident>),
}

impl Loader {
    /// Starts at `first_step` of the run. A GPU gets the resident form where images are held and no more than cropped
    /// and mirrored.
    pub fn start(source: Arc<Source>, first_step: usize, device: Device) -> Result<Self> {
        let feed = &source.feed;
        if source.steps_per_epoch() == 0 {
            let (batch, images) = (source.batch_size, feed.set.len());
            return Err(Error::usage(format!(
                "batch_size is {batch}, more than the {images} training images"
            )));
        }
        let plain = feed.augment.is_pad_and_flip() && source.teacher.is_none() && feed.set.is_held();
        if device.is_cuda() && plain {
            return Ok(Self::Resident(Box::new(Resident::new(source, first_step, device)?)));
        }
        // Cropping a few small images takes no time; photographs keep every core busy.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = if plain { 1 } else { cores };
        let threads =
            (0..count).map(|i| batch_thread(&source, first_step + i, count)).collect::<Result<_>>()?;
        Ok(Self::Host { threads, next: 0, source, device })
    }

    /// The next step's batch.
    pub fn next(&mut self) -> Result<Batch> {
        match self {
            Self::Resident(resident) => Ok(resident.next()),
            Self::Host { threads, next, source, device } => {
                let thread = threads.get(*next).map(Receiver::recv);
                *next = (*next + 1) % threads.len().max(1);
                let ended = || Error::Failed("a batch thread ended early".into());
                let batch = thread.ok_or_else(ended)?.map_err(|_| ended())??;
                Ok(batch.into_batch(source, *device))
            }
        }
    }
}

/// A thread that makes every `count`-th batch from `first` on.
fn batch_thread(source: &Arc<Source>, first: usize, count: usize) -> Result<Receiver<Result<HostBatch>>> {
    let (sender, batches) = sync_channel((AHEAD / count).max(1));
    let source = Arc::clone(source);
    let work = move || {
        let mut order = (u64::MAX, Vec::new());
        for step in (first..).step_by(count) {
            let epoch = (step / source.steps_per_epoch()) as u64;
            if order.0 != epoch {
                order = (epoch, source.feed.order(epoch));
            }
            if sender.send(source.host_batch(&order.1, epoch, step)).is_err() {
                return; // training ended
            }
        }
    };
    let started = std::thread::Builder::new().name("batches".into()).spawn(work);
    started.map(|_| batches).map_err(|e| Error::Failed(format!("cannot start a batch thread: {e}")))
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
    order: (u64, Vec<Visit>),
    step: usize,
    device: Device,
}

impl Resident {
    fn new(source: Arc<Source>, first_step: usize, device: Device) -> Result<Self> {
        let set = &source.feed.set;
        let input = set.input;
        let (c, h, w) = (input.channels as i64, input.height as i64, input.width as i64);
        let labels: Vec<i64> = set.labels.iter().map(|&l| i64::from(l)).collect();
        let channel = |values: &[f32]| Tensor::from_slice(values).view([1, c, 1, 1]).to_device(device);
        let pixels = Tensor::from_slice(&set.all_pixels()?);
        Ok(Self {
            pixels: pixels.view([-1, c, h, w]).to_device(device),
            labels: Tensor::from_slice(&labels).to_device(device),
            fill: Tensor::from_slice(&source.feed.fill).view([1, c, 1, 1]).to_device(device),
            mean: channel(&source.preprocess.mean),
            std: channel(&source.preprocess.std),
            order: (u64::MAX, Vec::new()),
            step: first_step,
            device,
            source,
        })
    }

    fn next(&mut self) -> Batch {
        let source = Arc::clone(&self.source);
        let epoch = (self.step / source.steps_per_epoch()) as u64;
        if self.order.0 != epoch {
            self.order = (epoch, source.feed.order(epoch));
        }
        let turns = source.turns(&self.order.1, self.step);
        self.step += 1;
        let (augment, seed) = (&source.feed.augment, source.feed.augment.seed.unwrap_or(source.feed.seed));
        let draws: Vec<Draw> = turns.iter().map(|t| augment.draw(seed, t.drawn_in(epoch), t.index)).collect();
        let n = turns.len() as i64;
        let index: Vec<i64> = turns.iter().map(|t| i64::from(t.index)).collect();
        let index = Tensor::from_slice(&index).to_device(self.device);
        let images = self.window(&index, &draws, n);
        let normal = (images.to_kind(Kind::Float) / 255.0 - &self.mean) / &self.std;
        Batch {
            images: normal,
            teacher_images: None,
            labels: self.labels.index_select(0, &index),
            mixed: None,
            turns: turns.into_iter().map(|turn| (epoch, turn)).collect(),
        }
    }

    /// u8 `[n, C, H, W]`: the drawn windows, padding filled.
    fn window(&self, index: &Tensor, draws: &[Draw], n: i64) -> Tensor {
        let input = self.source.feed.set.input;
        let (c, h, w) = (input.channels as i64, input.height as i64, input.width as i64);
        let pad = self.source.feed.augment.pad as i64;
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
    use gtn_core::data::ImageSet;
    use gtn_core::data::augment::Augment;
    use gtn_core::data::augment::mix::Mix;
    use gtn_core::ir::arch::Input;

    fn source(augment: Augment, balanced: bool) -> Arc<Source> {
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
        let feed = Feed { set, augment, seed: 9, balanced, fill: preprocess.fill() };
        Arc::new(Source { feed, preprocess, teacher: None, batch_size: 6 })
    }

    /// The resident path (run on the CPU here) gives the host path's values bit for bit, over epoch
    /// borders and from any first step.
    #[test]
    fn resident_equals_host() {
        let plain = |pad, flip| Augment::pad_and_flip(pad, flip);
        for (augment, balanced) in [(plain(2, true), false), (plain(0, false), false), (plain(2, true), true)]
        {
            for first in [0, 2, 7] {
                let mut host = Loader::start(source(augment, balanced), first, Device::Cpu).unwrap();
                let mut resident = Resident::new(source(augment, balanced), first, Device::Cpu).unwrap();
                for step in 0..5 {
                    let (a, b) = (host.next().unwrap(), resident.next());
                    assert_eq!(to_vec(&a.images).unwrap(), to_vec(&b.images).unwrap(), "step {step}");
                    assert_eq!(to_vec(&a.labels).unwrap(), to_vec(&b.labels).unwrap());
                }
            }
        }
    }

    /// One thread or several, from any step on, mixed or not.
    #[test]
    fn starting_later_gives_the_same_batches() {
        let mixed =
            Augment { mix: Some(Mix { mixup: 0.4, ..Mix::default() }), ..Augment::pad_and_flip(1, true) };
        for augment in [Augment::pad_and_flip(1, true), mixed] {
            let mut a = Loader::start(source(augment, false), 0, Device::Cpu).unwrap();
            for _ in 0..4 {
                a.next().unwrap();
            }
            let mut b = Loader::start(source(augment, false), 4, Device::Cpu).unwrap();
            let (a, b) = (a.next().unwrap(), b.next().unwrap());
            assert_eq!(to_vec(&a.images).unwrap(), to_vec(&b.images).unwrap());
            assert_eq!(a.turns, b.turns);
            assert_eq!(a.mixed.is_some(), augment.mixes());
            let shares = |batch: &Batch| batch.mixed.as_ref().map(|m| to_vec(&m.shares).unwrap());
            assert_eq!(shares(&a), shares(&b));
        }
    }
}
