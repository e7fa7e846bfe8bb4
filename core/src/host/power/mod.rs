//! How much power the machine takes, from what the kernel, the board or a meter beside it tells. Every reader
//! takes the root of a tree that holds `sys` and `proc`. What is not there is absent, with its reason.

mod battery;
mod hwmon;
pub mod log;
mod pmic;
mod powercap;
mod sampler;

pub use pmic::parse as parse_pmic;
pub(crate) use sampler::total;
pub use sampler::{Point, Sampler, Samples, Segment};

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Watts beyond which a number is no reading: a machine that infers on an edge takes thousands of times less,
/// and a counter that was reset and not wrapped shows itself by it.
pub const MOST_WATTS: f64 = 1e4;

/// This says what a source's watts cover, the widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// A meter outside: whatever hangs on it.
    #[serde(rename = "external meter")]
    External,
    /// All that the board takes at its input.
    #[serde(rename = "whole board")]
    WholeBoard,
    /// The platform as the processor's maker defines it (Intel's psys).
    #[serde(rename = "platform")]
    Platform,
    /// The processor with what shares its chip; no memory, no disk, no converter.
    #[serde(rename = "CPU package")]
    Package,
    /// The sum of the rails that are measured; what has no sensor is left out.
    #[serde(rename = "board rails")]
    Rails,
    /// One supply line of several.
    #[serde(rename = "one rail")]
    Rail,
    /// All that the machine takes from its battery.
    #[serde(rename = "battery")]
    Battery,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::External => "external meter",
            Self::WholeBoard => "whole board",
            Self::Platform => "platform",
            Self::Package => "CPU package",
            Self::Rails => "board rails",
            Self::Rail => "one rail",
            Self::Battery => "battery",
        })
    }
}

/// This says what the numbers of a source are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantity {
    /// Power, in watts.
    Watts,
    /// Energy so far, in joules: only differences mean something.
    Joules {
        /// Joules at which the counter starts again from 0; `None` where it never does, so that a fall is a reset.
        range: Option<f64>,
    },
}

/// This is what one look at a meter gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// Power, in watts.
    Watts(f64),
    /// Energy since the meter's first reading, in joules; a fall means that the counter was reset.
    Joules(f64),
}

impl Reading {
    /// Returns the number without its unit.
    pub fn value(self) -> f64 {
        match self {
            Self::Watts(value) | Self::Joules(value) => value,
        }
    }
}

/// Returns the joules between two states of a counter; `None` where they cannot be told: a state that is
/// negative, not finite or beyond the range, or a fall without a known range (a reset). At most one wrap can
/// have happened in between: two look like one, so a counter must be read more often than it wraps.
pub fn counted(before: f64, now: f64, range: Option<f64>) -> Option<f64> {
    let sane = |state: f64| state >= 0.0 && state.is_finite() && range.is_none_or(|r| state <= r);
    if !(sane(before) && sane(now)) {
        return None;
    }
    if now >= before { Some(now - before) } else { range.map(|r| r - before + now) }
}

/// This is a source of power readings on this machine.
#[derive(Debug)]
pub struct Meter {
    source: String,
    scope: Scope,
    interval: Duration,
    step: f64,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Counters(Counters),
    Rails(Vec<Rail>),
    Pmic(PathBuf),
    Battery(battery::Battery),
}

/// Files whose numbers, each times its scale, multiply to watts: one of power, or first volts and then amperes.
#[derive(Debug)]
struct Rail(Vec<(PathBuf, f64)>);

impl Rail {
    fn watts(&self) -> Option<f64> {
        let value = |(path, scale): &(PathBuf, f64)| number(path).map(|n| n * scale);
        let (first, rest) = self.0.split_first()?;
        let first = value(first).filter(|&n| n >= 0.0)?;
        // The current of a rail at rest may be a step below 0; power and volts may not.
        rest.iter().try_fold(first, |product, factor| Some(product * value(factor)?))
    }
}

/// Counters in microjoules that are summed.
#[derive(Debug)]
struct Counters {
    counters: Vec<Counter>,
    total: f64,
}

#[derive(Debug)]
struct Counter {
    path: PathBuf,
    range: Option<f64>,
    last: Option<f64>,
}

impl Counters {
    fn new(counters: Vec<Counter>) -> Self {
        Self { counters, total: 0.0 }
    }

    /// Joules since the first reading, each counter unwrapped by itself: they wrap at different times.
    fn joules(&mut self) -> Option<f64> {
        // All or nothing: one that failed may not lag behind the others.
        let now: Vec<f64> =
            self.counters.iter().map(|c| number(&c.path).map(|uj| uj * 1e-6)).collect::<Option<_>>()?;
        if !self.counters.iter().zip(&now).all(|(c, &now)| counted(now, now, c.range).is_some()) {
            return None;
        }
        let mut step = Some(0.0);
        for (counter, &now) in self.counters.iter_mut().zip(&now) {
            let joules = counter.last.map_or(Some(0.0), |before| counted(before, now, counter.range));
            step = step.zip(joules).map(|(a, b)| a + b);
            counter.last = Some(now);
        }
        // After a reset from the start again: whoever reads on sees the fall.
        self.total = step.map_or(0.0, |step| self.total + step);
        Some(self.total)
    }
}

/// The finite number that a file holds.
fn number(path: &Path) -> Option<f64> {
    super::sysfs::number(Path::new(""), path.to_str()?)
}

impl Meter {
    /// Returns the best source in a tree ("/" in life): the whole board before the processor, rails before the
    /// battery.
    ///
    /// # Errors
    /// Returns why each source is absent, one sentence each, where there is none.
    pub fn find(root: &Path) -> Result<Self, Vec<String>> {
        let (meters, absent) = Self::all(root);
        meters.into_iter().next().ok_or(absent)
    }

    /// Returns all sources in a tree, the best first, and why others are absent.
    pub fn all(root: &Path) -> (Vec<Self>, Vec<String>) {
        let (mut meters, mut absent) = (Vec::new(), Vec::new());
        for kind in [hwmon::ina3221, powercap::find, pmic::find, hwmon::find, battery::find] {
            match kind(root) {
                Ok(found) => meters.extend(found),
                Err(reason) => absent.push(reason),
            }
        }
        meters.sort_by_key(|meter| meter.scope); // stable: equal scopes stay in the order above
        (meters, absent)
    }

    /// Reads the meter once; `None` where it cannot be read now, or says something that is no reading.
    pub fn read(&mut self) -> Option<Reading> {
        let watts = match &mut self.reader {
            Reader::Counters(counters) => return counters.joules().map(Reading::Joules),
            Reader::Rails(rails) => rails.iter().map(Rail::watts).sum::<Option<f64>>(),
            Reader::Pmic(command) => {
                pmic::run(command, pmic::PATIENCE).ok().and_then(|text| pmic::parse(&text))
            }
            Reader::Battery(battery) => match battery.read()? {
                Reading::Watts(watts) => Some(watts),
                joules => return Some(joules),
            },
        }?;
        (0.0..=MOST_WATTS).contains(&watts).then_some(Reading::Watts(watts))
    }

    /// Returns what is read, for people: `powercap package-0`, `ina3221 VDD_IN`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns what the watts cover.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Returns how often reading it is worth while: more often gives the same number again.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Returns the smallest difference that a reading can show, in its unit (watts or joules), as far as the
    /// kernel or the chip's data sheet tells.
    pub fn step(&self) -> f64 {
        self.step
    }

    /// Returns what its readings are.
    pub fn quantity(&self) -> Quantity {
        match &self.reader {
            Reader::Counters(_) => Quantity::Joules { range: None }, // unwrapped by the meter
            Reader::Battery(battery) => battery.quantity(),
            _ => Quantity::Watts,
        }
    }
}

/// Why a file cannot be read, with the right that is missing.
fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let right = match error.kind() {
        std::io::ErrorKind::PermissionDenied => "; only root may (see docs/energy.md)",
        _ => "",
    };
    format!("{} cannot be read: {error}{right}", crate::text::format::path(path))
}

#[cfg(test)]
mod tests;
