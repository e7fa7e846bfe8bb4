//! A device at work: one connection, gtn-run's commands over it in turn, and their answers, each kept under what it is of, so
//! that nothing is measured twice.

use super::ledger::Ledger;
use super::turns::Turns;
use gtn_core::artifacts::kit::Kit;
use gtn_core::device::Device;
use gtn_core::fleet::Member;
use gtn_core::fleet::result::Warm;
use gtn_core::host::Host;
use gtn_core::html;
use gtn_core::io::artifact;
use gtn_core::latency::LatencyTable;
use gtn_core::measure::report::Report;
use gtn_core::measure::soak::Soak;
use gtn_core::program::exit;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use gtn_run::remote::{Address, Came, Hearer, Holds, Input, Line, Machine, Made, Output, Programs, Telling};
use gtn_run::reports;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Runs of a bundle on its device: the spread between them is what a comparison with another day needs.
pub const RUNS: usize = 5;
/// Characters of a hash in a file's name.
const SHORT: usize = 12;
/// How a line ends that says what everybody expects.
const NOTHING_TO_COPY: &str = " 0 B to copy";
/// The answer's name there.
const ANSWER: &str = "@answer.json";

/// This says for how long things are measured, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// A latency table.
    pub table: f64,
    /// Each of the [`RUNS`] of a bundle.
    pub run: f64,
}

/// This is what all devices share of their work.
#[derive(Debug)]
pub struct Shop {
    /// The result's folder.
    pub out: PathBuf,
    /// What is done.
    pub ledger: Ledger,
    /// Who may load which machine.
    pub turns: Turns,
    /// Where programs for devices come from.
    pub programs: Programs,
    /// For how long things are measured.
    pub times: Times,
}

/// This is a device that was reached.
pub struct Station<'a> {
    name: &'a str,
    shop: &'a Shop,
    machine: Machine,
    /// Tells this machine, since its start, from all others.
    turn: String,
    /// Compute threads that its bundles are run with.
    threads: usize,
    backend: String,
    /// What is there.
    pub host: Host,
    /// Tells what it measures from what others do: the kind of machine, its runtime, how programs are started.
    fingerprint: String,
}

/// What `gtn-run info --json` answers with, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Info {
    host: Host,
    onnxruntime: serde_json::Value,
}

/// The first characters of a hash over texts.
pub fn short_hash<T: AsRef<str>>(texts: &[T]) -> String {
    let whole = texts.iter().map(|text| format!("{}\n", text.as_ref())).collect::<String>();
    artifact::sha256(whole.as_bytes()).chars().take(SHORT).collect()
}

impl<'a> Station<'a> {
    /// Connects to the device and asks what it is. Fails with [`Error::Unavailable`] where it cannot be reached.
    pub fn reach(shop: &'a Shop, member: &'a Member, device: &Device, address: &Address) -> Result<Self> {
        let mut programs = shop.programs.clone();
        programs.dist = member.dist.clone().or(programs.dist);
        let machine = Machine::reach(address, &programs, &member.launcher)?;
        let turn = machine.boot_id().map_or_else(|| address.to_string(), str::to_owned);
        let mut station = Self {
            name: &member.name,
            shop,
            machine,
            turn,
            threads: 1,
            backend: device.backends.first().cloned().unwrap_or_else(|| "ort".into()),
            host: Host::default(),
            fingerprint: String::new(),
        };
        let mut line = Line { args: words(&["info", "--json"]), telling: Telling::Json, ..Line::default() };
        let came = station.run(&mut line)?;
        let Info { host, onnxruntime } =
            serde_json::from_slice(came.files.get(&0).map_or(&[][..], Vec::as_slice)).map_err(|e| {
                Error::Failed(format!("{address}: gtn-run info answers with no JSON of its own: {e}"))
            })?;
        let version = onnxruntime.get("version").and_then(|v| v.as_str()).unwrap_or("none");
        station.threads = device.cpu.threads.value.clamp(1, host.cores.max(1));
        let quota = host.cpu_quota.map_or("none".into(), |q| format!("{q:.2}"));
        let threads = station.threads.to_string();
        let about = [&host.kind(), &host.isa.join(" "), &quota, version, &station.backend, &threads];
        let launched: Vec<&str> =
            about.iter().map(|t| t as &str).chain(member.launcher.iter().map(String::as_str)).collect();
        station.fingerprint = short_hash(&launched);
        station.host = host;
        Ok(station)
    }

    /// Runs a command there. An exit status that is not 0 is an error with what the program said last, unless it is 1
    /// and the command's answer came: a gate that was missed is for the caller to see.
    fn run(&mut self, line: &mut Line) -> Result<Came> {
        let (name, mut last) = (self.name, String::new());
        let mut heard = |text: &str| {
            last = text.to_owned();
            if !text.ends_with(NOTHING_TO_COPY) {
                exit::note(&format!("{name}: {text}"));
            }
        };
        let mut copied = |_, _| ();
        let mut hear = Hearer { line: &mut heard, copied: &mut copied };
        let came = self.machine.run(line, &mut hear)?;
        match self.machine.status(came.code)? {
            0 => Ok(came),
            1 if came.files.contains_key(&1) => Ok(came),
            code => {
                let why = last.split_once("error: ").map_or(last.as_str(), |(_, why)| why);
                Err(Error::Failed(format!("gtn-run there ends with {code}: {why}")))
            }
        }
    }

    /// Does `work` alone on that machine, and notes how long it took under `step`.
    fn timed<T>(&mut self, step: &str, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let shop = self.shop;
        let turn = self.turn.clone();
        shop.turns.alone(&turn, || {
            let begun = std::time::Instant::now();
            let done = work(self)?;
            let seconds = begun.elapsed().as_secs_f64();
            shop.ledger.took(step, seconds)?;
            Ok(done)
        })
    }

    /// The latency table of a kit: measured there, unless one of that kit and such a machine is there already. Its path from
    /// the result's folder on.
    pub fn table(&mut self, kit: &Kit) -> Result<String> {
        let hash = short_hash(&[&self.fingerprint, &kit.sha256]);
        let name = format!("tables/{hash}.json");
        let path = self.shop.out.join(&name);
        let shop = self.shop;
        let step = format!("table {hash}");
        if path.exists() {
            LatencyTable::read(&path)?;
            return Ok(name);
        }
        self.timed(&step, |station| {
            if path.exists() {
                return Ok(()); // another device of this kind was first
            }
            exit::note(&format!("{}: measuring a latency table", station.name));
            let mut line = Line::default();
            let there = line.names.path(&kit.dir);
            line.args =
                words(&["table", "--backend", &station.backend, "--seconds", &shop.times.table.to_string()]);
            if station.backend != "wgpu" {
                line.args.extend(words(&["--threads", &station.threads.to_string()]));
            }
            line.args.extend(words(&["--out", "@table.json", "--", &there]));
            line.inputs.push(Input { here: kit.dir.clone(), there, holds: Holds::Model });
            line.outputs.push(Output { here: None, there: "@table.json".into(), made: Made::Table });
            line.telling = Telling::Words;
            let came = station.run(&mut line)?;
            let text = station.answer(&line, came)?;
            let parse = |text: &str| LatencyTable::parse(text, Path::new("@table.json"));
            let table = parse(&text).map_err(|e| station.odd(&e))?;
            if table.kit_sha256 != kit.sha256 {
                return Err(station.odd(&"a table of another kit"));
            }
            artifact::write_json(&path, &table)
        })?;
        Ok(name)
    }

    /// Seconds that the table of a kit took, whenever that was.
    pub fn table_seconds(&self, kit: &Kit) -> f64 {
        self.shop.ledger.seconds(&format!("table {}", short_hash(&[&self.fingerprint, &kit.sha256])))
    }

    /// What a bundle does there: its answers, its accuracy and, where that says something, its times, [`RUNS`] of them. The
    /// reports, and their file from the result's folder on.
    pub fn proof(&mut self, bundle: &Path, sha256: &str, timed: bool) -> Result<(Vec<Report>, String)> {
        let seconds = self.shop.times.run;
        let settings = format!("{RUNS} runs of {seconds} s, {timed}");
        let hash = short_hash(&[self.name, &self.fingerprint, sha256, &settings]);
        let name = format!("devices/{}/proof-{hash}.json", self.name);
        let path = self.shop.out.join(&name);
        if !path.exists() {
            let reports = self.timed(&format!("proof {hash}"), |station| {
                let mut reports = station.report(bundle, sha256, timed, true)?;
                let more = if timed && reports.iter().all(Report::parity_passes) { RUNS - 1 } else { 0 };
                for _ in 0..more {
                    reports.extend(station.report(bundle, sha256, timed, false)?);
                }
                Ok(reports)
            })?;
            artifact::create_dir(path.parent().unwrap_or(Path::new("")))?;
            artifact::write_json(&path, &reports)?;
        }
        let reports = reports::parse(&artifact::read_text(&path)?, &path)?;
        match reports.iter().find(|r| r.model.sha256 != sha256) {
            Some(other) => {
                let what =
                    format!("is of model {}, wanted {sha256}", format::shorten(&other.model.sha256, 20));
                Err(Error::input(&path, what))
            }
            None => Ok((reports, name)),
        }
    }

    /// Seconds that proving it took, whenever that was.
    pub fn proof_seconds(&self, reports: &str) -> f64 {
        let hash = reports.rsplit_once("proof-").map_or("", |(_, rest)| rest.trim_end_matches(".json"));
        self.shop.ledger.seconds(&format!("proof {hash}"))
    }

    /// One run: all of it, or its times alone.
    fn report(&mut self, bundle: &Path, sha256: &str, timed: bool, whole: bool) -> Result<Vec<Report>> {
        let seconds = self.shop.times.run.to_string();
        let mut line = Line::default();
        let there = line.names.path(bundle);
        let commands: &[&str] = match (whole, timed) {
            (true, true) => &[],
            (true, false) => &["eval"],
            (false, _) => &["bench"],
        };
        line.args = words(commands);
        if timed {
            line.args.extend(words(&["--seconds", &seconds]));
        }
        line.args.extend(words(&["--json", ANSWER, "--", &there]));
        line.inputs.push(Input { here: bundle.to_owned(), there, holds: Holds::Model });
        line.outputs.push(Output { here: None, there: ANSWER.into(), made: Made::Answer });
        let came = self.run(&mut line)?;
        let text = self.answer(&line, came)?;
        let reports = reports::parse(&text, Path::new(ANSWER)).map_err(|e| self.odd(&e))?;
        match reports.iter().all(|r| r.model.sha256 == sha256) {
            true => Ok(reports),
            false => Err(self.odd(&"a report of another model")),
        }
    }

    /// What the bundle does under a load of `minutes`, and the seconds that this took, whenever that was. A load on the machine
    /// that bundles are made on (`here`) waits until no device wants one.
    pub fn soak(
        &mut self,
        (bundle, sha256): (&Path, &str),
        minutes: f64,
        here: &str,
        stopped: &dyn Fn() -> Option<Error>,
    ) -> Result<(Warm, f64)> {
        let hash = short_hash(&[self.name, &self.fingerprint, sha256, &minutes.to_string()]);
        let name = format!("devices/{}/soak-{hash}.json", self.name);
        let (path, step) = (self.shop.out.join(&name), format!("soak {hash}"));
        if !path.exists() {
            if self.turn == here {
                self.shop.turns.until_idle(stopped)?;
            }
            exit::note(&format!("{}: {minutes} min under load", self.name));
            let soak = self.timed(&step, |station| {
                let mut line = Line { telling: Telling::Soak, ..Line::default() };
                let there = line.names.path(bundle);
                line.args =
                    words(&["soak", "--minutes", &minutes.to_string(), "--json", ANSWER, "--", &there]);
                line.inputs.push(Input { here: bundle.to_owned(), there, holds: Holds::Model });
                line.outputs.push(Output { here: None, there: ANSWER.into(), made: Made::Answer });
                let came = station.run(&mut line)?;
                let text = station.answer(&line, came)?;
                Soak::parse(&text, Path::new(ANSWER)).map_err(|e| station.odd(&e))
            })?;
            if soak.model.sha256 != sha256 {
                return Err(self.odd(&"a soak of another model"));
            }
            artifact::create_dir(path.parent().unwrap_or(Path::new("")))?;
            artifact::write_json(&path, &soak)?;
            artifact::write_atomic(&path.with_extension("html"), html::soak::page(&[soak]).as_bytes())?;
        }
        let soak = Soak::read(&path)?;
        let steady = soak.steady.steady;
        let warm = Warm {
            soak: name,
            verdict: soak.sentence(),
            steady_ms: steady.map(|level| level.ms),
            steady_ci95: steady.map(|level| level.ci95.unwrap_or([level.ms; 2])),
            over_first: soak.change.map(|change| change.ratio),
        };
        Ok((warm, self.shop.ledger.seconds(&step)))
    }

    /// The file that came, as text in which paths are those of here.
    fn answer(&self, line: &Line, mut came: Came) -> Result<String> {
        let bytes = came.files.remove(&1).ok_or_else(|| self.odd(&"nothing"))?;
        let text = String::from_utf8(bytes).map_err(|e| self.odd(&e))?;
        serde_json::from_str::<serde::de::IgnoredAny>(&text).map_err(|e| self.odd(&e))?;
        Ok(line.names.in_json(&text))
    }

    /// What came is not what the command writes.
    fn odd(&self, why: &dyn std::fmt::Display) -> Error {
        Error::Failed(format!("gtn-run there answers with what it should not: {why}"))
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
