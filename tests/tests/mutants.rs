//! Seeded mutants of every format that the programs read, through the libraries (a process for each format, so that an abort
//! names its mutant and memory and time are the format's own) and through the programs. None panics, aborts, hangs, takes
//! more than 512 MB or 5 s of CPU time, and each is taken or refused by one line that names the file.
//!
//! `GTN_MUTANTS=20000` (make fuzz) makes so many of each format instead of 1,000, and a fiftieth of it through the programs;
//! `GTN_MUTANTS_OF=PNG` those of one format. A mutant that failed is made again by
//! `GTN_MUTANTS_CHILD=FORMAT|FROM|TO|GROUND|FOLDER`: see [`mutant_process`].
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::text::table::Table;
use gtn_tests::measured::{self, Cost};
use gtn_tests::mutants::formats::{FORMATS, Format};
use gtn_tests::mutants::{MAX_BYTES, MAX_SECONDS, Nursery, ground, unlike_a_message, unlike_a_refusal};
use gtn_tests::program;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

const JOB: &str = "GTN_MUTANTS_CHILD";
/// Mutants of a process.
const BATCH: u64 = 1000;
/// Of a format through the programs.
const BY_PROGRAMS: u64 = 50;
/// Something moves at least so often, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Of each format.
fn mutants() -> u64 {
    std::env::var("GTN_MUTANTS").map_or(1000, |text| text.parse().unwrap())
}

fn chosen() -> impl Iterator<Item = &'static Format> {
    let only = std::env::var("GTN_MUTANTS_OF").ok();
    FORMATS
        .iter()
        .filter(move |format| only.as_ref().is_none_or(|only| format.name.starts_with(only.as_str())))
}

/// What came of some mutants of a format.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Outcome {
    accepted: u64,
    refused: u64,
    peak_bytes: u64,
    cpu_seconds: f64,
    longest: f64,
    failures: Vec<String>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
        self.cpu_seconds += other.cpu_seconds;
        self.longest = self.longest.max(other.longest);
        self.failures.extend(other.failures);
    }
}

/// The ground, made once for both tests.
fn the_ground() -> &'static Path {
    static GROUND: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = GROUND.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        ground::make(dir.path()).unwrap();
        dir
    });
    made.path()
}

/// Not a test of its own: what a process of [`no_mutant_harms_a_library`] does.
#[test]
fn mutant_process() {
    let Ok(job) = std::env::var(JOB) else { return };
    let [name, from, to, ground, dir]: [&str; 5] = job.split('|').collect::<Vec<_>>().try_into().unwrap();
    let format = FORMATS.iter().find(|format| format.name == name).unwrap();
    let dir = Path::new(dir);
    let nursery = Nursery::new(format, Path::new(ground), &dir.join(format.base)).unwrap();
    let now = fs::File::create(dir.join("now")).unwrap();
    let mut outcome = Outcome::default();
    for i in from.parse().unwrap()..to.parse().unwrap() {
        if i * format.of_thousand % 1000 >= format.of_thousand {
            continue;
        }
        now.write_all_at(format!("{i:8}").as_bytes(), 0).unwrap();
        judge(format, &nursery, i, &mut outcome);
    }
    fs::write(dir.join("outcome.json"), serde_json::to_string(&outcome).unwrap()).unwrap();
}

fn judge(format: &Format, nursery: &Nursery, i: u64, outcome: &mut Outcome) {
    let path = nursery.make(i).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let read = format.read.unwrap();
    let before = Cost::so_far();
    let done = std::panic::catch_unwind(|| read(&nursery.dir, &path));
    let after = Cost::so_far();
    let took = after.cpu_seconds - before.cpu_seconds;
    let mut wrong = |what: String| outcome.failures.push(format!("{} {i}: {what}", format.name));
    match done {
        Err(panic) => wrong(format!("panics: {:?}", panic.downcast_ref::<String>())),
        Ok(Ok(())) => outcome.accepted += 1,
        Ok(Err(error)) => {
            outcome.refused += 1;
            let names = [&[name], format.names].concat();
            unlike_a_refusal(&error, &names).map(&mut wrong);
        }
    }
    if took > MAX_SECONDS {
        wrong(format!("takes {took:.1} s of CPU time"));
    }
    if after.peak_bytes > MAX_BYTES && before.peak_bytes <= MAX_BYTES {
        wrong(format!("takes {} MB", after.peak_bytes >> 20));
    }
    outcome.longest = outcome.longest.max(took);
}

/// One process's mutants.
fn in_a_process(format: &Format, from: u64, to: u64) -> Outcome {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let job = [
        format.name,
        &from.to_string(),
        &to.to_string(),
        the_ground().to_str().unwrap(),
        dir.to_str().unwrap(),
    ];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["mutant_process", "--exact", "--nocapture", "--test-threads", "1"]).env(JOB, job.join("|"));
    command.env("XDG_CACHE_HOME", dir.join("cache")).env("ORT_DISABLE_TELEMETRY", "1");
    let now = || fs::read_to_string(dir.join("now")).unwrap_or_default();
    let ended = measured::run(&mut command, PATIENCE, || now().trim().parse().unwrap_or(0)).unwrap();
    let outcome =
        fs::read_to_string(dir.join("outcome.json")).ok().and_then(|text| serde_json::from_str(&text).ok());
    let mut outcome: Outcome = outcome.unwrap_or_else(|| {
        let how = match (ended.stuck, ended.signal) {
            (true, _) => "hangs".into(),
            (_, Some(signal)) => format!("ends the process by signal {signal}"),
            _ => format!("ends the process: {:?}", ended.code),
        };
        let said: String =
            ended.stderr.chars().rev().take(600).collect::<Vec<_>>().into_iter().rev().collect();
        Outcome {
            failures: vec![format!("{} {}: {how}: {said}", format.name, now().trim())],
            ..Outcome::default()
        }
    });
    (outcome.peak_bytes, outcome.cpu_seconds) = (ended.cost.peak_bytes, ended.cost.cpu_seconds);
    outcome
}

/// Works through jobs on as many threads as there are cores; results in the jobs' order.
fn side_by_side<T: Send, R: Send>(jobs: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let (queue, done) =
        (Mutex::new(VecDeque::from_iter(jobs.into_iter().enumerate())), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some((i, job)) = queue.lock().unwrap().pop_front() else { return };
                    let result = work(job);
                    done.lock().unwrap().push((i, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Prints the table and asserts that nothing failed.
fn told(what: &str, jobs: &[&'static Format], outcomes: Vec<Outcome>) {
    let mut all: Vec<(&str, Outcome)> = Vec::new();
    for (format, outcome) in jobs.iter().zip(outcomes) {
        match all.last_mut().filter(|(name, _)| *name == format.name) {
            Some((_, sum)) => sum.add(outcome),
            None => all.push((format.name, outcome)),
        }
    }
    let mut table = Table::new([what, "mutants", "accepted", "refused", "peak MB", "CPU s", "longest s"]);
    for (name, o) in &all {
        let sum = o.accepted + o.refused;
        let numbers = [sum, o.accepted, o.refused, o.peak_bytes >> 20].map(|n| n.to_string());
        let [sum, accepted, refused, peak] = numbers;
        let (cpu, longest) = (format!("{:.1}", o.cpu_seconds), format!("{:.2}", o.longest));
        table.row([(*name).to_owned(), sum, accepted, refused, peak, cpu, longest]);
    }
    println!("{}", table.render());
    let failures: Vec<String> = all.into_iter().flat_map(|(_, outcome)| outcome.failures).collect();
    assert!(failures.is_empty(), "{} mutants:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn no_mutant_harms_a_library() {
    if std::env::var_os(JOB).is_some() {
        return;
    }
    let all = mutants();
    let jobs: Vec<(&'static Format, u64, u64)> = chosen()
        .filter(|format| format.read.is_some())
        .flat_map(|format| {
            (0..all).step_by(BATCH as usize).map(move |from| (format, from, all.min(from + BATCH)))
        })
        .collect();
    let formats: Vec<&'static Format> = jobs.iter().map(|(format, ..)| *format).collect();
    told(
        "through the library",
        &formats,
        side_by_side(jobs, |(format, from, to)| in_a_process(format, from, to)),
    );
}

#[test]
fn no_mutant_harms_a_program() {
    if std::env::var_os(JOB).is_some() {
        return;
    }
    let jobs: Vec<&'static Format> = chosen().filter(|format| !format.programs.is_empty()).collect();
    told("through the programs", &jobs, side_by_side(jobs.clone(), by_programs));
}

fn by_programs(format: &'static Format) -> Outcome {
    let mut outcome = Outcome::default();
    for i in (0..mutants() / BY_PROGRAMS).step_by(format.every) {
        let temp = tempfile::tempdir().unwrap();
        // What is beside the folder is beside it here.
        for entry in fs::read_dir(the_ground()).unwrap().flatten().filter(|e| *e.file_name() != *format.base)
        {
            std::os::unix::fs::symlink(entry.path(), temp.path().join(entry.file_name())).unwrap();
        }
        let nursery = Nursery::new(format, the_ground(), &temp.path().join(format.base)).unwrap();
        let path = nursery.make(i).unwrap();
        let line = format.programs.get(i as usize % format.programs.len()).unwrap();
        one_program(format, line, (&nursery.dir, &path, temp.path().join("cache")), &mut outcome)
            .into_iter()
            .for_each(|what| outcome.failures.push(format!("{} {i}: {line}: {what}", format.name)));
    }
    outcome
}

/// Runs one command; what is wrong with how it ended.
fn one_program(
    format: &Format,
    line: &str,
    (dir, path, cache): (&Path, &Path, PathBuf),
    outcome: &mut Outcome,
) -> Vec<String> {
    let line = line.replace('@', &dir.display().to_string()).replace('%', &path.display().to_string());
    let mut words = line.split_whitespace();
    let mut command = Command::new(program(words.next().unwrap()));
    command.args(words).env("OMP_WAIT_POLICY", "passive").env("XDG_CACHE_HOME", cache);
    let ended = measured::run(&mut command, PATIENCE, || 0).unwrap();
    let mut wrong = Vec::new();
    let cost = ended.cost;
    outcome.peak_bytes = outcome.peak_bytes.max(cost.peak_bytes);
    outcome.cpu_seconds += cost.cpu_seconds;
    outcome.longest = outcome.longest.max(cost.cpu_seconds);
    if cost.peak_bytes > MAX_BYTES {
        wrong.push(format!("takes {} MB", cost.peak_bytes >> 20));
    }
    if cost.cpu_seconds > MAX_SECONDS {
        wrong.push(format!("takes {:.1} s of CPU time", cost.cpu_seconds));
    }
    if ended.stuck {
        wrong.push("hangs".into());
    }
    match ended.code {
        Some(0) => {
            outcome.accepted += 1;
            return wrong;
        }
        Some(code) if code == 2 || format.codes.contains(&code) => outcome.refused += 1,
        _ => {
            wrong.push(format!("exit status {:?}, signal {:?}: {}", ended.code, ended.signal, ended.stderr));
            return wrong;
        }
    }
    let errors: Vec<&str> = ended.stderr.lines().filter(|line| line.contains(": error: ")).collect();
    match errors.as_slice() {
        [one] => {
            let name = path.file_name().unwrap().to_str().unwrap();
            let folder = dir.file_name().unwrap().to_str().unwrap();
            wrong.extend(unlike_a_message(one, &[&[name, folder], format.names].concat()));
        }
        _ => wrong.push(format!("{} lines of errors: {}", errors.len(), ended.stderr)),
    }
    if ["panicked", "internal error"].iter().any(|bad| ended.stderr.contains(bad)) {
        wrong.push(ended.stderr);
    }
    wrong
}
