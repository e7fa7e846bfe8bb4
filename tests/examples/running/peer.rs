//! gtn-run's library and ONNX Runtime's Python interface in turn: the same version of ONNX Runtime, model,
//! threads and input shape, both with IoBinding, each timing its own inferences.

use gtn_core::compare::Ratio;
use gtn_core::format;
use gtn_core::robust::median;
use gtn_core::stats::Summary;
use gtn_core::table::Table;
use gtn_run::backend::{Backend, Options};
use gtn_run::bench::made_up;
use gtn_run::ort_backend::OrtBackend;
use gtn_tests::root;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Rounds; each starts a Python of its own and loads the model anew on both sides.
const ROUNDS: usize = 8;
/// Measuring lasts about so long a round.
const ROUND_S: f64 = 4.0;
/// A burst lasts about this long.
const BURST_S: f64 = 0.02;

/// One row a model.
pub fn measure(dir: &Path, threads: usize) -> Table {
    let made = python().arg("models").arg(dir).status().unwrap();
    assert!(made.success(), "peer.py models");
    let mut table = Table::new([
        "model",
        "threads",
        "p50 gtn-run",
        "p50 Python",
        "ratio of p50 (95 % CI)",
        "p99/p50 gtn-run",
        "p99/p50 Python",
        "inferences",
    ]);
    for model in ["mobilenetv2-224", "mobilenetv2-32", "tiny"] {
        let found = rounds(&dir.join(format!("{model}.onnx")), threads);
        let [ours, theirs] = found.times.map(|t| Summary::of(&t).unwrap());
        let ratio = Ratio::of_rounds(&found.log_ratios, 0.0).unwrap();
        let [low, high] = ratio.ci95.unwrap();
        table.row([
            model.to_owned(),
            threads.to_string(),
            format::ms(ours.p50),
            format::ms(theirs.p50),
            format!("{:.3} ({low:.3} to {high:.3})", ratio.ratio),
            format!("{:.2}", ours.p99 / ours.p50),
            format!("{:.2}", theirs.p99 / theirs.p50),
            format!("{} each", found.inferences),
        ]);
    }
    table
}

struct Found {
    /// ln(ours / theirs), one a round.
    log_ratios: Vec<f64>,
    /// All times of each side, ms.
    times: [Vec<f64>; 2],
    inferences: usize,
}

fn rounds(path: &Path, threads: usize) -> Found {
    let mut found = Found { log_ratios: Vec::new(), times: [Vec::new(), Vec::new()], inferences: 0 };
    for round in 0..ROUNDS {
        let (mut ours, mut theirs) = (Ours::new(path, threads), Theirs::new(path, threads));
        let each = median(&ours.burst(50)).max(1e-3) / 1e3;
        theirs.burst(50);
        let n = ((BURST_S / each) as usize).clamp(3, 2000);
        let mut logs = Vec::new();
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < ROUND_S {
            let (a, b);
            if (logs.len() + round) % 2 == 0 {
                a = ours.burst(n);
                b = theirs.burst(n);
            } else {
                b = theirs.burst(n);
                a = ours.burst(n);
            }
            logs.push((median(&a) / median(&b)).ln());
            found.inferences += a.len();
            found.times[0].extend(a);
            found.times[1].extend(b);
        }
        found.log_ratios.push(median(&logs));
    }
    found
}

struct Ours(OrtBackend);

impl Ours {
    fn new(path: &Path, threads: usize) -> Self {
        let options = Options { threads: Some(threads), batch: 1, ..Options::default() };
        let mut backend =
            OrtBackend::load(&std::fs::read(path).unwrap(), path, &options, "measured").unwrap();
        let inputs = made_up(&backend).unwrap();
        backend.bind(&inputs).unwrap();
        Self(backend)
    }

    /// Milliseconds of each of `n` inferences, after one that finds the caches full of the other's.
    fn burst(&mut self, n: usize) -> Vec<f64> {
        self.0.run_bound().unwrap();
        let once = |_| {
            let start = Instant::now();
            self.0.run_bound().unwrap();
            start.elapsed().as_secs_f64() * 1e3
        };
        (0..n).map(once).collect()
    }
}

struct Theirs {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Theirs {
    fn new(path: &Path, threads: usize) -> Self {
        let mut child = python()
            .arg("serve")
            .arg(path)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut theirs = Self { child, asks, answers: BufReader::new(answers) };
        let library = gtn_run::ort_backend::library(None).unwrap();
        assert_eq!(theirs.line().trim(), library.version, "both must be one ONNX Runtime");
        theirs
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }

    /// As [`Ours::burst`].
    fn burst(&mut self, n: usize) -> Vec<f64> {
        writeln!(self.asks, "{}", n + 1).unwrap();
        let line = self.line();
        line.split_whitespace().skip(1).map(|ns| ns.parse::<f64>().unwrap() / 1e6).collect()
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.child.kill(); // its work is done
        let _ = self.child.wait();
    }
}

fn python() -> Command {
    let mut python = Command::new(root().join(".venv-oracles/bin/python"));
    python.arg(root().join("tests/examples/running/peer.py"));
    python
}
