//! gtn-run and other runtimes in turn: the same model, threads and input, each timing its own inferences, each in
//! its leanest way (IoBinding, or tensors made once). `peer` is ONNX Runtime's Python interface around the same
//! version of ONNX Runtime; `peers` are other engines: rten (our backend rust), tract and OpenVINO (their Python
//! packages).

use gtn_core::measure::compare::Ratio;
use gtn_core::measure::robust::median;
use gtn_core::measure::stats::Summary;
use gtn_core::rng::Rng;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_run::backend::ort::OrtBackend;
use gtn_run::backend::rten::RtenBackend;
use gtn_run::backend::{Backend, Kind, Options};
use gtn_run::judge::bench::made_up;
use gtn_run::onnx::OnnxFile;
use gtn_tests::root;
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Rounds; each loads the model anew everywhere, a Python starts anew.
const ROUNDS: u64 = 8;
/// Measuring lasts about so long a round and engine.
const ROUND_S: f64 = 1.5;
/// A burst lasts about this long.
const BURST_S: f64 = 0.02;
const MODELS: [&str; 3] = ["mobilenetv2-224", "mobilenetv2-32", "tiny"];

/// Against ONNX Runtime's Python interface, one row a model.
pub fn against_python(dir: &Path, threads: usize) -> Table {
    make_models(dir);
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
    for model in MODELS {
        let path = dir.join(format!("{model}.onnx"));
        let engines: [Engine; 2] = [Engine::ORT, Engine::Python("onnxruntime")];
        let [ours, theirs] = &rounds(&path, threads, &engines)[..] else { unreachable!() };
        let (a, b) = (Summary::of(&ours.times).unwrap(), Summary::of(&theirs.times).unwrap());
        table.row([
            model.to_owned(),
            threads.to_string(),
            format::ms(a.p50),
            format::ms(b.p50),
            ratio(&ours.medians, &theirs.medians),
            format!("{:.2}", a.p99 / a.p50),
            format!("{:.2}", b.p99 / b.p50),
            format!("{} each", ours.times.len()),
        ]);
    }
    table
}

/// Other engines on the models and `bundles`, one row a model and engine.
pub fn others(dir: &Path, bundles: &[PathBuf], threads: usize) -> Table {
    make_models(dir);
    let mut paths: Vec<PathBuf> = MODELS.iter().map(|m| dir.join(format!("{m}.onnx"))).collect();
    paths.extend(bundles.iter().map(|b| b.join("model.onnx")));
    let mut table =
        Table::new(["model", "threads", "engine", "p50", "over gtn-run's ONNX Runtime (95 % CI)"]);
    for path in &paths {
        let engines =
            [Engine::ORT, Engine::Ours(Kind::Rust), Engine::Python("tract"), Engine::Python("openvino")];
        // tract's Python package gives no say in its threads: it uses one.
        let engines: Vec<Engine> =
            engines.into_iter().filter(|e| threads == 1 || *e != Engine::Python("tract")).collect();
        let found = rounds(path, threads, &engines);
        for run in &found {
            table.row([
                name(path),
                threads.to_string(),
                run.engine.clone(),
                format::ms(Summary::of(&run.times).unwrap().p50),
                ratio(&run.medians, &found[0].medians),
            ]);
        }
    }
    table
}

/// The file's name, or the bundle's.
fn name(path: &Path) -> String {
    let file = path.file_stem().unwrap().to_string_lossy().into_owned();
    if file == "model" {
        path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned()
    } else {
        file
    }
}

/// Of rounds measured in turn: a over b.
fn ratio(a: &[f64], b: &[f64]) -> String {
    let logs: Vec<f64> = a.iter().zip(b).map(|(a, b)| (a / b).ln()).collect();
    let ratio = Ratio::of_rounds(&logs, 0.0).unwrap();
    let [low, high] = ratio.ci95.unwrap();
    format!("{:.3} ({low:.3} to {high:.3})", ratio.ratio)
}

#[derive(Clone, Copy, PartialEq)]
enum Engine {
    /// gtn-run's library.
    Ours(Kind),
    /// A Python package.
    Python(&'static str),
}

impl Engine {
    const ORT: Self = Self::Ours(Kind::Ort);

    fn load(self, path: &Path, threads: usize) -> Box<dyn Lane> {
        match self {
            Self::Ours(kind) => Box::new(Ours::new(path, threads, kind)),
            Self::Python(package) => Box::new(Theirs::new(package, path, threads)),
        }
    }
}

/// A loaded model.
trait Lane {
    /// Engine and version.
    fn name(&self) -> String;
    /// Milliseconds of each of `n` inferences, after one that finds the caches full of another's.
    fn burst(&mut self, n: usize) -> Vec<f64>;
}

struct Run {
    engine: String,
    /// One a round: the median over its bursts' medians.
    medians: Vec<f64>,
    /// All, ms.
    times: Vec<f64>,
}

/// Bursts of every engine in random order, as long for each.
fn rounds(path: &Path, threads: usize, engines: &[Engine]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for round in 0..ROUNDS {
        let mut lanes: Vec<Box<dyn Lane>> = engines.iter().map(|e| e.load(path, threads)).collect();
        let counts: Vec<usize> = lanes.iter_mut().map(|lane| warm_up(lane.as_mut())).collect();
        let mut bursts: Vec<Vec<f64>> = vec![Vec::new(); lanes.len()];
        if round == 0 {
            let run = |engine| Run { engine, medians: vec![], times: vec![] };
            runs = lanes.iter().map(|lane| run(lane.name())).collect();
        }
        let start = Instant::now();
        let mut turn = 0;
        while start.elapsed().as_secs_f64() < ROUND_S * lanes.len() as f64 {
            for i in Rng::new(round, "peer", turn).permutation(lanes.len() as u32) {
                let i = i as usize;
                let times = lanes[i].burst(counts[i]);
                bursts[i].push(median(&times));
                runs[i].times.extend(times);
            }
            turn += 1;
        }
        runs.iter_mut().zip(&bursts).for_each(|(run, bursts)| run.medians.push(median(bursts)));
    }
    runs
}

/// Inferences that a burst takes.
fn warm_up(lane: &mut dyn Lane) -> usize {
    let each = median(&lane.burst(50)).max(1e-3) / 1e3;
    ((BURST_S / each) as usize).clamp(3, 2000)
}

struct Ours {
    backend: Box<dyn Backend>,
    name: String,
}

impl Ours {
    fn new(path: &Path, threads: usize, kind: Kind) -> Self {
        let options = Options {
            kind: Some(kind),
            threads: Some(threads),
            batch: Some(NonZeroUsize::MIN),
            ..Options::default()
        };
        let file = OnnxFile::read(path).unwrap();
        let mut backend: Box<dyn Backend> = match kind {
            Kind::Rust => Box::new(RtenBackend::load(&file, &options, "measured").unwrap()),
            _ => Box::new(OrtBackend::load(&file, &options, "measured").unwrap()),
        };
        let inputs = made_up(backend.as_ref()).unwrap();
        backend.bind(&inputs).unwrap();
        let engine = if kind == Kind::Rust { "rten" } else { "ONNX Runtime" };
        let name = format!("gtn-run, {engine} {}", backend.info().version);
        Self { backend, name }
    }
}

impl Lane for Ours {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn burst(&mut self, n: usize) -> Vec<f64> {
        self.backend.run_bound().unwrap();
        let once = |_| {
            let start = Instant::now();
            self.backend.run_bound().unwrap();
            start.elapsed().as_secs_f64() * 1e3
        };
        (0..n).map(once).collect()
    }
}

struct Theirs {
    name: String,
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Theirs {
    fn new(package: &str, path: &Path, threads: usize) -> Self {
        let mut child = python()
            .args(["serve", package])
            .arg(path)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut theirs = Self { name: String::new(), child, asks, answers: BufReader::new(answers) };
        let version = theirs.line().trim().to_owned();
        if package == "onnxruntime" {
            let library = gtn_run::backend::ort::library(None).unwrap();
            assert_eq!(version, library.version, "both must be one ONNX Runtime");
        }
        theirs.name = format!("Python, {package} {version}");
        theirs
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }
}

impl Lane for Theirs {
    fn name(&self) -> String {
        self.name.clone()
    }

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

fn make_models(dir: &Path) {
    let made = python().arg("models").arg(dir).status().unwrap();
    assert!(made.success(), "peer.py models");
}

fn python() -> Command {
    let mut python = Command::new(root().join(".venv-oracles/bin/python"));
    python.arg(root().join("tests/examples/running/peer.py"));
    python
}
