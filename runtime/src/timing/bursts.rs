//! Many models timed side by side: round after round every model is loaded anew, warmed up and timed for a
//! few milliseconds, in an order drawn per round. So whatever drifts falls on all alike, each model's time
//! is over many placements in memory, and no thread of one model's session spins while another is timed.

use crate::auto::{self, ChosenBackend};
use crate::backend::Options;
use crate::judge::bench::made_up;
use crate::onnx::OnnxFile;
use gtn_core::host::Conditions;
use gtn_core::measure::stats::Summary;
use gtn_core::rng::Rng;
use gtn_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// A burst's warm-up: first inferences allocate, and wake the session's threads.
const WARM_UP: Duration = Duration::from_millis(3);
const WARM_UP_RUNS: usize = 3;
/// A burst: long enough for its median to ignore a preemption, short enough for many rounds.
const BURST: Duration = Duration::from_millis(8);
const BURST_RUNS: usize = 5;
/// Of a model that takes a microsecond more would only fill memory.
const MOST_RUNS: usize = 4096;
/// Rounds below which quartiles say nothing: made even when time is up.
const FEWEST_ROUNDS: usize = 4;

/// This is what has been measured so far; as JSON it survives a kill.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// By model: each burst's median, microseconds.
    pub medians_us: BTreeMap<String, Vec<f64>>,
    /// At the start of each round.
    pub conditions: Vec<Conditions>,
    /// Wall seconds so far.
    pub seconds: f64,
}

impl Bursts {
    /// Returns the number of complete rounds over these models.
    pub fn rounds<'a>(&self, models: impl IntoIterator<Item = &'a String>) -> usize {
        models.into_iter().map(|m| self.count(m)).min().unwrap_or(0)
    }

    fn count(&self, model: &str) -> usize {
        self.medians_us.get(model).map_or(0, Vec::len)
    }

    /// Goes on for `seconds` in all, and at least four rounds. `tick` is called after every burst; the
    /// error that it returns ends the work. `dir` is for messages.
    pub fn measure(
        &mut self,
        models: &BTreeMap<String, Vec<u8>>,
        (dir, options): (&Path, &Options),
        seconds: f64,
        mut tick: impl FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        let before = self.seconds;
        let choice = auto::choose(options, None)?;
        let start = Instant::now();
        loop {
            let round = self.rounds(models.keys());
            if self.conditions.len() <= round {
                self.conditions.push(Conditions::read());
            }
            let mut order: Vec<(&String, &Vec<u8>)> = models.iter().collect();
            Rng::new(0, "bursts", round as u64).shuffle(&mut order);
            for (name, model) in order {
                if self.count(name) > round {
                    continue; // before a kill
                }
                if self.seconds >= seconds && round >= FEWEST_ROUNDS {
                    return Ok(());
                }
                let median = burst(model, &dir.join(name), (&choice, options))?;
                self.medians_us.entry(name.clone()).or_default().push(median);
                self.seconds = before + start.elapsed().as_secs_f64();
                tick(self)?;
            }
        }
    }
}

/// Median of one burst, microseconds.
fn burst(model: &[u8], path: &Path, (choice, options): (&ChosenBackend, &Options)) -> Result<f64> {
    let mut backend = choice.load(&OnnxFile::parse(model, path)?, options)?;
    backend.bind(&made_up(backend.as_ref())?)?;
    let start = Instant::now();
    let mut runs = 0;
    while runs < WARM_UP_RUNS || start.elapsed() < WARM_UP {
        backend.run_bound()?;
        runs += 1;
    }
    let mut samples = Vec::with_capacity(256);
    let start = Instant::now();
    while samples.len() < BURST_RUNS || (start.elapsed() < BURST && samples.len() < MOST_RUNS) {
        let run = Instant::now();
        backend.run_bound()?;
        samples.push(run.elapsed().as_secs_f64() * 1e6);
    }
    Summary::of(&samples)
        .map(|s| s.p50)
        .ok_or_else(|| Error::Failed(format!("{}: no samples", path.display())))
}
