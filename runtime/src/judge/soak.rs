//! Latency under a load that lasts: block by block, until the time is over or whoever listens has heard enough.

mod recorder;

use crate::judge::bench;
use crate::judge::prove::{context, known};
use crate::subject::Subject;
use gtn_core::Result;
use gtn_core::host::{self, Activity, Conditions, Host};
use gtn_core::measure::samples::{Io, Pace};
use gtn_core::measure::soak::{self, SCHEMA, Soak, block_seconds, judge_blocks};
use recorder::{Recorded, Recorder};
use std::ops::ControlFlow;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Whoever listens is told this often, and may end it.
const HEAR_S: f64 = 0.25;
/// Inferences after the first that tell how long one takes, before the soak begins.
const PACE_RUNS: usize = 3;

/// These settings say how long the load lasts, and how it is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Minutes.
    pub minutes: f64,
    /// How inferences follow each other.
    pub pace: Pace,
    /// What is timed.
    pub io: Io,
}

/// This is how far a soak is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Now {
    /// Seconds since it began.
    pub at_s: f64,
    /// Seconds in all.
    pub of_s: f64,
    /// Inferences so far.
    pub inferences: usize,
    /// Median of the last whole block, ms; before there is one, the last inference.
    pub median_ms: f64,
}

/// This hears how far a soak is, a few times a second; with `Break` the soak ends, and what was measured is judged.
pub type Hear<'a> = &'a mut dyn FnMut(&Now) -> ControlFlow<()>;

/// Runs one inference after the other for `settings.minutes` and judges when its latency became steady. There is no
/// warm-up: it is part of what is measured. Fails where inputs cannot be made up, and where the model fails.
pub fn soak(subject: &mut Subject, settings: Settings, hear: Hear) -> Result<Soak> {
    let inputs = bench::inputs(subject)?;
    let backend = subject.backend.as_mut();
    let first = Instant::now();
    backend.bind(&inputs)?;
    let mut once = || match settings.io {
        Io::Bound => backend.run_bound(),
        Io::Copied => backend.run(&inputs).map(drop),
    };
    once()?;
    let first_ms = bench::ms(first.elapsed());
    let total_s = settings.minutes * 60.0;
    let every_s = match settings.pace {
        Pace::Paced { interval_ms, .. } => interval_ms / 1e3,
        Pace::BackToBack | Pace::SingleStream => fastest(&mut once)?,
    };
    let block_s = block_seconds(total_s, every_s);

    let (before, activity) = (Conditions::read(), Activity::read());
    let recorded = record(&mut once, settings, block_s, hear)?;
    let (disturbance, after) = (activity.since(), Conditions::read());
    let Recorded { blocks, first_minute, seconds, ended_early } = recorded;
    let (steady, change) = judge_blocks(&blocks, &first_minute, seconds);
    let late = blocks.iter().map(|b| b.late).sum();
    let pace = match settings.pace {
        Pace::Paced { interval_ms, .. } => Pace::Paced { interval_ms, late },
        other => other,
    };
    let host = Host::read();
    let mut found = Soak {
        schema: SCHEMA.into(),
        program: concat!("gtn-run ", env!("CARGO_PKG_VERSION")).into(),
        unix_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        model: subject.model.clone(),
        backend: subject.backend.info().clone(),
        settings: soak::Settings { minutes: settings.minutes, pace, io: settings.io, block_s },
        cpus: host::affinity(),
        init_ms: subject.init_ms,
        first_ms,
        seconds,
        inferences: blocks.iter().map(|b| b.inferences).sum(),
        ended_early,
        blocks,
        first_minute,
        steady,
        change,
        before,
        after,
        disturbance,
        warnings: known(subject),
        host,
    };
    found.warnings.extend(found.disturbed(found.host.cores));
    found.warnings.extend(context(subject, true));
    Ok(found)
}

/// How long an inference takes, seconds.
fn fastest(once: &mut impl FnMut() -> Result<()>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..PACE_RUNS {
        let start = Instant::now();
        once()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}

/// When the next inference is due.
struct Metronome {
    due: Instant,
    interval: Option<Duration>,
}

impl Metronome {
    fn new(pace: Pace, start: Instant) -> Self {
        let interval = match pace {
            Pace::Paced { interval_ms, .. } => Some(Duration::from_secs_f64(interval_ms / 1e3)),
            Pace::BackToBack | Pace::SingleStream => None,
        };
        Self { due: start, interval }
    }

    /// Sleeps towards the next beat, for a moment at most. `None`: there is more to sleep; else whether the inference begins
    /// late. Missed beats are dropped, as a camera's frames are.
    fn wait(&mut self) -> Option<bool> {
        let Some(interval) = self.interval else { return Some(false) };
        let now = Instant::now();
        let left = self.due.saturating_duration_since(now);
        if left > Duration::from_secs_f64(HEAR_S) {
            std::thread::sleep(Duration::from_secs_f64(HEAR_S));
            return None;
        }
        if now <= self.due {
            std::thread::sleep(left);
            self.due += interval;
            return Some(false);
        }
        while self.due <= now {
            self.due += interval;
        }
        Some(true)
    }
}

fn record(
    once: &mut impl FnMut() -> Result<()>,
    settings: Settings,
    block_s: f64,
    hear: Hear,
) -> Result<Recorded> {
    let of_s = settings.minutes * 60.0;
    let start = Instant::now();
    let mut metronome = Metronome::new(settings.pace, start);
    let mut recorder = Recorder::new(block_s);
    let (mut heard_s, mut is_ended) = (0.0, false);
    let elapsed = || start.elapsed().as_secs_f64();
    while !is_ended && elapsed() < of_s {
        let beat = metronome.wait();
        let at_s = elapsed();
        if at_s >= of_s {
            break; // the next beat is after the end
        }
        if let Some(is_late) = beat {
            let run = Instant::now();
            once()?;
            recorder.push(at_s, bench::ms(run.elapsed()), is_late);
        }
        let at_s = elapsed();
        if at_s - heard_s >= HEAR_S {
            heard_s = at_s;
            recorder.glance();
            let (inferences, median_ms) = (recorder.inferences, recorder.last_ms);
            is_ended = hear(&Now { at_s: at_s.min(of_s), of_s, inferences, median_ms }).is_break();
        }
    }
    Ok(recorder.finish(elapsed(), is_ended))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::Error;

    fn settings(seconds: f64, pace: Pace) -> Settings {
        Settings { minutes: seconds / 60.0, pace, io: Io::Bound }
    }

    fn on(_: &Now) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn sleepy() -> Result<()> {
        std::thread::sleep(Duration::from_millis(2));
        Ok(())
    }

    #[test]
    fn every_inference_is_in_a_block() {
        let mut runs = 0;
        let mut once = || {
            runs += 1;
            sleepy()
        };
        let r = record(&mut once, settings(0.5, Pace::BackToBack), 0.05, &mut on).unwrap();
        assert_eq!(r.blocks.iter().map(|b| b.inferences).sum::<usize>(), runs);
        assert!((8..=10).contains(&r.blocks.len()) && !r.ended_early && r.seconds >= 0.5, "{r:?}");
        assert!(r.blocks.iter().all(|b| b.min_ms >= 2.0 && b.late == 0), "{r:?}");
        assert!(r.first_minute.ms >= 2.0);
    }

    #[test]
    fn a_paced_load_keeps_its_beat_and_ends_in_time() {
        let paced = |interval_ms| Pace::Paced { interval_ms, late: 0 };
        let r = record(&mut || Ok(()), settings(0.3, paced(20.0)), 0.1, &mut on).unwrap();
        let n: usize = r.blocks.iter().map(|b| b.inferences).sum();
        assert!((5..=16).contains(&n), "{n} in 15 intervals");
        let start = Instant::now();
        let r = record(&mut || Ok(()), settings(0.3, paced(60_000.0)), 0.1, &mut on).unwrap();
        assert_eq!(r.blocks.iter().map(|b| b.inferences).sum::<usize>(), 1);
        assert!(start.elapsed().as_secs_f64() < 10.0, "no waiting for a beat after the end");
        let r = record(&mut sleepy, settings(0.2, paced(1.0)), 0.1, &mut on).unwrap();
        assert!(r.blocks.iter().map(|b| b.late).sum::<usize>() > 0, "{r:?}");
    }

    #[test]
    fn the_listener_may_end_it() {
        let mut stop = |now: &Now| {
            assert!(now.at_s < now.of_s && now.inferences > 0 && now.median_ms >= 2.0, "{now:?}");
            ControlFlow::Break(())
        };
        let r = record(&mut sleepy, settings(600.0, Pace::BackToBack), 2.0, &mut stop).unwrap();
        assert!(r.ended_early && r.blocks.len() == 1 && r.blocks[0].to_s < 2.0, "{r:?}");
        let mut fails = || Err(Error::Failed("node x".into()));
        assert!(record(&mut fails, settings(1.0, Pace::BackToBack), 0.1, &mut on).is_err());
    }
}
