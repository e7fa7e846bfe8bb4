//! Readings in time: a thread that takes them, and what may be said of a stretch of them.

use super::{MOST_WATTS, Meter, Quantity, Scope, counted};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Readings at most: 29 hours of ten a second. Later ones are not taken.
const MOST_POINTS: usize = 1 << 20;
/// Intervals beyond which the time between two readings is a gap that nothing is known of.
const GAP: f64 = 3.0;

/// This is one reading of a meter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When, in seconds.
    pub at_s: f64,
    /// Watts or joules, as [`Samples::quantity`] says; `None` where the reading failed.
    pub value: Option<f64>,
}

/// This is a stretch of time between two good readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Its length, in seconds.
    pub seconds: f64,
    /// The energy taken in it, in joules.
    pub joules: f64,
}

/// This is a meter's readings in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// What was read, for people.
    pub source: String,
    /// What the watts cover.
    pub scope: Scope,
    /// What the values are.
    pub quantity: Quantity,
    /// Seconds between two readings when none fails.
    pub interval_s: f64,
    /// The smallest difference that a value can show, in its unit, as far as it is known.
    pub step: f64,
    /// The Unix time of second 0, in seconds.
    pub epoch_unix_s: f64,
    /// The readings.
    pub points: Vec<Point>,
}

impl Samples {
    /// Returns the energy between `from_s` and `to_s`, piece by piece, and how many readings are missing there.
    ///
    /// Power is taken as linear between two readings. A failed reading is missing, and so is each that should
    /// have been in a gap of more than three intervals, and each whose value means nothing (not finite,
    /// negative, beyond [`MOST_WATTS`], times that do not rise, a counter that was reset); no gap is filled.
    pub fn segments(&self, from_s: f64, to_s: f64) -> (Vec<Segment>, usize) {
        let sane = |x: f64| x.is_finite();
        if !(sane(from_s) && sane(to_s) && from_s < to_s && sane(self.interval_s) && self.interval_s > 0.0) {
            return (Vec::new(), 0);
        }
        let (mut segments, mut missed) = (Vec::new(), 0);
        // The good reading before, the failed ones since then, and where a known or counted time ends.
        let (mut last, mut failed, mut known_to) = (None::<(f64, f64)>, 0, from_s);
        let rises = |last: Option<(f64, f64)>, at: f64| at.is_finite() && last.is_none_or(|(t, _)| at > t);
        for point in &self.points {
            let good = point.value.filter(|&v| self.legal(v) && rises(last, point.at_s));
            let Some(value) = good else {
                failed += usize::from(point.at_s >= from_s && point.at_s <= to_s);
                continue;
            };
            let before = last.replace((point.at_s, value));
            let (start, end) = (before.map_or(known_to, |(t, _)| t), point.at_s);
            let overlap = end.min(to_s) - start.max(from_s);
            if overlap <= 0.0 {
                continue;
            }
            // The last interval of a gap between two good readings ends with one that came.
            let came = if before.is_some() { self.interval_s } else { 0.0 };
            let silent = self.silent(overlap - came, end - start);
            missed += failed.max(silent);
            failed = 0;
            known_to = end.min(to_s);
            let joules = before.filter(|_| silent == 0).map(|(_, v)| self.joules(v, value, end - start));
            match joules {
                Some(Some(joules)) => {
                    segments.push(Segment { seconds: overlap, joules: joules * overlap / (end - start) });
                }
                Some(None) => missed += 1,
                None => {}
            }
        }
        let rest = (to_s - known_to).max(0.0);
        (segments, missed + failed.max(self.silent(rest, rest)))
    }

    /// How many readings should have come in `silence`, in seconds, if the time between two good ones is a gap; at
    /// least one, so that a gap is never taken for a known time.
    fn silent(&self, silence: f64, between: f64) -> usize {
        let gap = between > GAP * self.interval_s * (1.0 + 1e-9);
        if gap { ((silence / self.interval_s).round() as usize).max(1) } else { 0 }
    }

    fn legal(&self, value: f64) -> bool {
        match self.quantity {
            Quantity::Watts => (0.0..=MOST_WATTS).contains(&value),
            Quantity::Joules { range } => counted(value, value, range).is_some(),
        }
    }

    fn joules(&self, before: f64, now: f64, seconds: f64) -> Option<f64> {
        match self.quantity {
            Quantity::Watts => Some((before + now) / 2.0 * seconds),
            Quantity::Joules { range } => counted(before, now, range),
        }
        .filter(|joules| *joules <= MOST_WATTS * seconds)
    }

    /// Returns the mean power between two times, in watts; `None` where good readings cover less than half of
    /// it.
    pub fn mean_between(&self, from_s: f64, to_s: f64) -> Option<f64> {
        let (segments, _) = self.segments(from_s, to_s);
        let (seconds, joules) = total(&segments);
        (seconds > 0.0 && seconds >= 0.5 * (to_s - from_s)).then(|| joules / seconds)
    }

    /// Returns the step of the values between two times: what is known of the source or, where it is larger, the
    /// smallest difference that two values there have.
    pub fn step_between(&self, from_s: f64, to_s: f64) -> f64 {
        let inside = self.points.iter().filter(|p| p.at_s >= from_s && p.at_s <= to_s);
        let mut values: Vec<f64> = inside.filter_map(|p| p.value).filter(|&v| self.legal(v)).collect();
        values.sort_by(f64::total_cmp);
        let known = if self.step.is_finite() { self.step.max(0.0) } else { 0.0 };
        if matches!(self.quantity, Quantity::Joules { .. }) {
            return known; // a counter's differences are the load
        }
        let differences = values.windows(2).filter_map(|w| Some(w.get(1)? - w.first()?));
        let smallest = differences.filter(|&d| d > 0.0).reduce(f64::min);
        smallest.map_or(known, |d| d.max(known))
    }
}

/// Seconds and joules of segments together.
pub(crate) fn total(segments: &[Segment]) -> (f64, f64) {
    segments.iter().fold((0.0, 0.0), |(s, j), segment| (s + segment.seconds, j + segment.joules))
}

/// This is a thread that reads a meter until it is stopped.
#[derive(Debug)]
pub struct Sampler {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Samples>,
    started: Instant,
    empty: Samples,
}

impl Sampler {
    /// Starts reading, at once and then at the meter's interval.
    pub fn start(mut meter: Meter) -> Self {
        let (stop, stopped) = mpsc::channel();
        let started = Instant::now();
        let empty = Samples {
            source: meter.source().to_owned(),
            scope: meter.scope(),
            quantity: meter.quantity(),
            interval_s: meter.interval().as_secs_f64(),
            step: meter.step(),
            epoch_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64()),
            points: Vec::new(),
        };
        let mut samples = empty.clone();
        let thread = std::thread::spawn(move || {
            let interval = meter.interval();
            let mut next = started;
            loop {
                let end = stopped.recv_timeout(next.saturating_duration_since(Instant::now()));
                if samples.points.len() < MOST_POINTS {
                    samples.points.push(look(&mut meter, started));
                }
                if !matches!(end, Err(RecvTimeoutError::Timeout)) {
                    return samples;
                }
                next = following(next, interval, Instant::now());
            }
        });
        Self { stop, thread, started, empty }
    }

    /// Returns the seconds since the start: the clock of the samples.
    pub fn now_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Reads once more, ends the thread and returns all readings. It waits for a reading that is under way (one
    /// second at most).
    pub fn stop(self) -> Samples {
        self.stop.send(()).ok();
        self.thread.join().unwrap_or(self.empty)
    }
}

/// One reading; its time is the middle of the look.
fn look(meter: &mut Meter, started: Instant) -> Point {
    let before = started.elapsed().as_secs_f64();
    let value = meter.read().map(super::Reading::value);
    Point { at_s: before.midpoint(started.elapsed().as_secs_f64()), value }
}

/// The next time of the raster that is not past: what was slept through is not made up for.
fn following(last: Instant, interval: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(last).as_secs_f64() / interval.as_secs_f64().max(1e-3);
    last + interval.mul_f64(late.floor() + 1.0)
}
