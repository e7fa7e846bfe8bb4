//! Repeatability, what `compare` finds, and what a process costs.

use gtn_core::Result;
use gtn_core::measure::compare::{Ratio, Verdict};
use gtn_core::measure::stats::{Summary, mean_sd};
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_run::backend::Options;
use gtn_run::judge::bench::inputs;
use gtn_run::subject::Subject;
use gtn_run::timing::interleave::{Plan, Runner, interleave};
use gtn_tests::run;
use serde_json::Value;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

/// Runs of 10 s, each a process of its own.
const RUNS: usize = 20;
/// Trials of `compare`, as short as this many seconds of measuring in 16 rounds.
const TRIALS: u64 = 100;
const TRIAL_S: f64 = 0.8;
/// Of each backend, after its warm-up.
const INFERENCES: usize = 10_000;
const STARTS: usize = 200;

/// The spread of p50 over runs.
pub fn repeat(bundle: &str, threads: usize) -> String {
    let once = |_| {
        let args = format!("bench {bundle} --threads {threads} --seconds 10 --json -");
        let report: Value = serde_json::from_str(&run("gtn-run", &args).ok()).unwrap();
        report["latency"]["summary"]["p50"].as_f64().unwrap()
    };
    let p50: Vec<f64> = (0..RUNS).map(once).collect();
    let (s, (mean, sd)) = (Summary::of(&p50).unwrap(), mean_sd(&p50));
    format!(
        "p50 over {RUNS} runs of 10 s, {threads} thread(s): median {}, {} to {} ({:+.1} % to {:+.1} %), sd {:.2} % of the mean",
        format::ms(s.p50),
        format::ms(s.min),
        format::ms(s.max),
        100.0 * (s.min / s.p50 - 1.0),
        100.0 * (s.max / s.p50 - 1.0),
        100.0 * sd / mean
    )
}

/// Verdicts on the bundle against itself made `slower` (1: not at all).
pub fn trials(bundle: &Path, threads: usize, slower: f64) -> Table {
    let options = Options { threads: Some(threads), batch: Some(NonZeroUsize::MIN), ..Options::default() };
    let load = |slower: f64| -> Result<Runner> {
        let mut subject = Subject::open(bundle, &options)?;
        let inputs = inputs(&subject)?;
        subject.backend.bind(&inputs)?;
        Ok(Box::new(move || {
            let start = Instant::now();
            subject.backend.run_bound()?;
            // Exactly so much longer as the inference itself took.
            let until = start.elapsed().mul_f64(slower);
            while start.elapsed() < until {
                std::hint::spin_loop();
            }
            Ok(())
        }))
    };
    let mut table =
        Table::new(["true ratio", "trials", "faster", "cannot tell", "slower", "ratios found", "a trial"]);
    let start = Instant::now();
    let found: Vec<Ratio> = (0..TRIALS)
        .map(|seed| {
            let plan = Plan { rounds: 16, seconds: TRIAL_S, seed };
            let rounds = interleave([&mut || load(1.0), &mut || load(slower)], plan, |_| ()).unwrap();
            Ratio::of_rounds(&rounds.log_ratios, 0.01).unwrap()
        })
        .collect();
    let count = |v: Verdict| found.iter().filter(|r| r.verdict == v).count().to_string();
    let ratios = Summary::of(&found.iter().map(|r| r.ratio).collect::<Vec<_>>()).unwrap();
    table.row([
        format!("{slower:.2}"),
        TRIALS.to_string(),
        count(Verdict::Faster),
        count(Verdict::CannotTell),
        count(Verdict::Slower),
        format!("{:.3} to {:.3}", ratios.min, ratios.max),
        format!("{:.1} s", start.elapsed().as_secs_f64() / TRIALS as f64),
    ]);
    table
}

/// Memory growth, exit statuses of many starts, wall time of `verify`; one row a backend.
pub fn process(bundle: &str) -> Table {
    let growth = format!("growth over {INFERENCES} inferences");
    let verify = format!("{STARTS} x verify: exit 0");
    let mut table = Table::new(["backend", growth.as_str(), verify.as_str(), "wall time p50", "longest"]);
    // A software adapter is a GPU here, so that the backend is tried everywhere.
    for backend in ["ort", "rust", "wgpu --allow-software"] {
        let report =
            run("gtn-run", &format!("memory {bundle} --backend {backend} --runs {INFERENCES} --json -")).ok();
        let memory = serde_json::from_str::<Value>(&report).unwrap()["memory"].take();
        let at = |key: &str| memory[key].as_f64().unwrap();
        let (mut wall, mut good) = (Vec::new(), 0);
        for _ in 0..STARTS {
            let start = Instant::now();
            let done = run("gtn-run", &format!("verify {bundle} --backend {backend}"));
            good += usize::from(done.code == Some(0));
            wall.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let s = Summary::of(&wall).unwrap();
        table.row([
            backend.to_owned(),
            format!("{:+.0} KiB", (at("end") - at("warm")) / 1024.0),
            good.to_string(),
            format::ms(s.p50),
            format::ms(s.max),
        ]);
    }
    table
}
