//! Latency: first inference, warm-up, then every inference timed by itself.

use crate::backend::sizes;
use crate::backend::{Backend, Named, Slot};
use crate::onnx::Dim;
use crate::subject::Subject;
use gtn_core::host::{self, Activity, Conditions};
use gtn_core::io::element::Element;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::measure::samples::{Io, Latency, Moment, Pace, Robust, Samples};
use gtn_core::rng::Rng;
use gtn_core::{Error, Result};
use half::{bf16, f16};
use std::time::{Duration, Instant};

/// Samples kept at most (a 10 us model gives a million in 10 s); beyond, every second one.
const MAX_SAMPLES: usize = 200_000;
/// All made-up inputs of a model together, in bytes: a video's worth, and no more than a model may have.
const MAX_MADE_UP: usize = 1 << 30;
/// Clock and temperature are looked at this often, between two inferences.
const GLANCE_S: f64 = 0.5;

/// These settings say how long to measure, and at what pace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Warm-up lasts at least this long...
    pub warmup_s: f64,
    /// ...and at least so many inferences.
    pub warmup_runs: usize,
    /// Measuring lasts at least this long...
    pub seconds: f64,
    /// ...and at least so many inferences.
    pub min_runs: usize,
    /// How inferences follow each other.
    pub pace: Pace,
    /// What is timed.
    pub io: Io,
}

impl Default for Settings {
    fn default() -> Self {
        let (pace, io) = (Pace::BackToBack, Io::Bound);
        Self { warmup_s: 0.5, warmup_runs: 10, seconds: 3.0, min_runs: 100, pace, io }
    }
}

/// Measures one inference at the model's batch size; times are in ms. Fails where no run is asked for, where
/// inputs cannot be made up, and where the model fails.
pub fn bench(subject: &mut Subject, settings: Settings) -> Result<Latency> {
    let inputs = inputs(subject)?;
    let backend = subject.backend.as_mut();
    let start = Instant::now();
    backend.bind(&inputs)?;
    let mut once = || match settings.io {
        Io::Bound => backend.run_bound(),
        Io::Copied => backend.run(&inputs).map(drop),
    };
    once()?;
    let first_ms = ms(start.elapsed());

    let start = Instant::now();
    let mut warmup_runs = 0;
    while warmup_runs < settings.warmup_runs || start.elapsed().as_secs_f64() < settings.warmup_s {
        once()?;
        warmup_runs += 1;
    }
    let warmup_s = start.elapsed().as_secs_f64();

    let before = Conditions::read();
    let activity = Activity::read();
    let measured = measure(&mut once, settings)?;
    let disturbance = activity.since();
    let after = Conditions::read();
    let samples = measured.samples;
    let summary = samples.summary().ok_or_else(|| Error::usage("nothing to measure: 0 runs in 0 s"))?;
    let (inferences, kept_every) = (samples.seen(), samples.every());
    let samples_ms = samples.kept();
    Ok(Latency {
        batch: subject.backend.info().batch,
        init_ms: subject.init_ms,
        first_ms,
        warmup_runs,
        warmup_s,
        pace: measured.pace,
        io: settings.io,
        cpus: host::affinity(),
        inferences,
        kept_every,
        summary,
        robust: Robust::of(&samples_ms),
        samples_ms,
        before,
        after,
        during: measured.during,
        disturbance,
    })
}

struct Measured {
    samples: Samples,
    during: Vec<Moment>,
    pace: Pace,
}

fn measure(once: &mut impl FnMut() -> Result<()>, settings: Settings) -> Result<Measured> {
    let mut samples = Samples::new(MAX_SAMPLES);
    let mut during = Vec::new();
    let interval = match settings.pace {
        Pace::Paced { interval_ms, .. } => Some(Duration::from_secs_f64(interval_ms / 1e3)),
        _ => None,
    };
    let mut late = 0;
    let start = Instant::now();
    let mut due = start;
    let mut glance_at = GLANCE_S;
    while samples.seen() < settings.min_runs || start.elapsed().as_secs_f64() < settings.seconds {
        if let Some(interval) = interval {
            late += usize::from(wait(&mut due, interval));
        }
        let run = Instant::now();
        once()?;
        samples.push(ms(run.elapsed()));
        let at_s = start.elapsed().as_secs_f64();
        if at_s >= glance_at {
            let now = Conditions::glance();
            if now.mhz.is_some() || now.celsius.is_some() {
                during.push(Moment { at_s, mhz: now.mhz, celsius: now.celsius });
            }
            glance_at = at_s + GLANCE_S;
        }
    }
    let pace = match settings.pace {
        Pace::Paced { interval_ms, .. } => Pace::Paced { interval_ms, late },
        other => other,
    };
    Ok(Measured { samples, during, pace })
}

/// Sleeps until the next inference is due; whether that moment had passed already. Missed moments are
/// dropped, as a camera's frames are.
fn wait(due: &mut Instant, interval: Duration) -> bool {
    let now = Instant::now();
    if now <= *due {
        std::thread::sleep(*due - now);
        *due += interval;
        return false;
    }
    while *due <= now {
        *due += interval;
    }
    true
}

/// Returns a duration in milliseconds.
pub(super) fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

/// Returns the inputs to measure with: the bundle's first golden images, or else values made up by [`made_up`].
pub fn inputs(subject: &Subject) -> Result<Vec<Named>> {
    let backend = &subject.backend;
    let batch = subject.batch()?;
    if let (Some(bundle), Some(slot)) = (&subject.bundle, backend.inputs().first()) {
        let p = &bundle.manifest.preprocess;
        let values = p.normalise(&bundle.golden.images)?;
        let values = values.iter().copied().cycle().take(batch * p.image_len()).collect();
        let tensor = Tensor::f32(&[batch, p.channels, p.height, p.width], values);
        return Ok(vec![Named { name: slot.name.clone(), tensor }]);
    }
    // By the model's own names for its dimensions; a backend knows their numbers only.
    let open = |slot: &Slot| {
        let declared = subject.onnx.inputs.iter().find(|v| v.name == slot.name)?;
        let known = slot.shape.iter().zip(&declared.dims);
        let dims: Vec<Dim> = known.map(|(&n, d)| if n < 0 { d.clone() } else { Dim::Size(n) }).collect();
        sizes::still_open(&slot.name, &dims)
    };
    if let Some(what) = backend.inputs().iter().find_map(open) {
        return Err(Error::input(&subject.path, what));
    }
    made_up(backend.as_ref()).map_err(|e| match e {
        Error::Usage(what) => Error::input(&subject.path, what),
        other => other,
    })
}

/// Makes up seeded values: standard-normal floats, bytes from all of their range, other integers 0 or 1 (they
/// may be indices). Fails with a usage error where a dimension is still open, there is no array of a type, or
/// all take more than [`MAX_MADE_UP`] bytes.
pub fn made_up(backend: &dyn Backend) -> Result<Vec<Named>> {
    let mut rng = Rng::new(0, "bench", 0);
    let mut left = MAX_MADE_UP;
    let mut random = |slot: &Slot| {
        if let Some(what) = sizes::open_slot(slot) {
            return Err(Error::usage(what));
        }
        let bad = |what: String| Error::usage(format!("input `{}` {what}: cannot make one up", slot.name));
        let element = Element::named(&slot.dtype).ok_or_else(|| bad(format!("is {}", slot.dtype)))?;
        let shape: Vec<usize> = slot.shape.iter().filter_map(|&d| usize::try_from(d).ok()).collect();
        let n = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let bytes = n.and_then(|n| n.checked_mul(element.bytes()));
        let (Some(n), Some(rest)) = (n, bytes.and_then(|bytes| left.checked_sub(bytes))) else {
            return Err(bad(format!(
                "{shape:?} is too large, with the others more than {} MiB",
                MAX_MADE_UP >> 20
            )));
        };
        left = rest;
        Ok(Named { name: slot.name.clone(), tensor: Tensor { shape, data: values(element, n, &mut rng) } })
    };
    backend.inputs().iter().map(&mut random).collect()
}

fn values(element: Element, n: usize, rng: &mut Rng) -> Data {
    fn all<T>(n: usize, one: impl FnMut() -> T) -> Vec<T> {
        std::iter::repeat_with(one).take(n).collect()
    }
    match element {
        Element::F32 => Data::F32(all(n, || rng.normal() as f32)),
        Element::F16 => Data::F16(all(n, || f16::from_f64(rng.normal()))),
        Element::Bf16 => Data::Bf16(all(n, || bf16::from_f64(rng.normal()))),
        Element::F64 => Data::F64(all(n, || rng.normal())),
        Element::U8 => Data::U8(all(n, || rng.below(256) as u8)),
        Element::I8 => Data::I8(all(n, || (rng.below(256) as u8).cast_signed())),
        Element::Bool => Data::Bool(all(n, || rng.below(2) == 1)),
        Element::U16 => Data::U16(all(n, || rng.below(2) as u16)),
        Element::I16 => Data::I16(all(n, || rng.below(2) as i16)),
        Element::I32 => Data::I32(all(n, || rng.below(2) as i32)),
        Element::I64 => Data::I64(all(n, || rng.below(2) as i64)),
        Element::U32 => Data::U32(all(n, || rng.below(2) as u32)),
        Element::U64 => Data::U64(all(n, || rng.below(2))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(seconds: f64, min_runs: usize, pace: Pace) -> Settings {
        Settings { seconds, min_runs, pace, ..Settings::default() }
    }

    #[test]
    fn both_bounds_hold() {
        let mut runs = 0;
        let mut once = || {
            runs += 1;
            std::thread::sleep(Duration::from_millis(1));
            Ok(())
        };
        let m = measure(&mut once, settings(0.0, 30, Pace::BackToBack)).unwrap();
        assert_eq!((m.samples.seen(), m.pace), (30, Pace::BackToBack));
        let start = Instant::now();
        let m = measure(&mut once, settings(0.1, 1, Pace::BackToBack)).unwrap();
        assert!(start.elapsed().as_secs_f64() >= 0.1 && m.samples.seen() > 1);
        assert!(m.samples.summary().unwrap().min >= 1.0, "a sleep of 1 ms takes at least 1 ms");
    }

    #[test]
    fn paced_inferences_wait_and_lateness_is_counted() {
        let start = Instant::now();
        let m =
            measure(&mut || Ok(()), settings(0.0, 11, Pace::Paced { interval_ms: 5.0, late: 0 })).unwrap();
        assert!(start.elapsed().as_millis() >= 50, "eleven starts, ten intervals");
        assert_eq!(m.samples.seen(), 11);
        let mut slow = || {
            std::thread::sleep(Duration::from_millis(4));
            Ok(())
        };
        let m = measure(&mut slow, settings(0.0, 10, Pace::Paced { interval_ms: 1.0, late: 0 })).unwrap();
        // Each after the first; that one too, where the machine is busy.
        assert!(matches!(m.pace, Pace::Paced { late: 9 | 10, .. }), "{:?}", m.pace);
    }

    #[test]
    fn a_failing_inference_ends_it() {
        let mut fails = || Err(Error::Failed("node x".into()));
        assert!(measure(&mut fails, Settings::default()).is_err());
    }
}
