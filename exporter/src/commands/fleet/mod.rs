//! `gtn-export --fleet F --from RUNS --out DIR`: every device of a fleet gets its student, proved there.
//!
//! `stock` makes kits and bundles here, `station` runs them on a device, `walk` is one device's way through both, `turns` keeps
//! whoever is timed alone, `ledger` is what a run that was ended goes on from; `gates`, `against`, `page` and `junit` say what
//! became of it.

mod against;
mod gates;
mod junit;
mod ledger;
mod page;
mod station;
mod stock;
mod turns;
mod walk;

pub use against::is_slower;
pub use ledger::{Done, SCHEMA as LEDGER_SCHEMA};

use crate::cli::{ExportArgs, FleetArgs};
use crate::plan::ExportPlan;
use crate::students;
use gtn_core::error::Kind;
use gtn_core::fleet::result::{FleetResult, Outcome, SCHEMA, State};
use gtn_core::fleet::{Fleet, Member};
use gtn_core::io::artifact;
use gtn_core::latency::Predictor;
use gtn_core::program::exit;
use gtn_core::program::signals::Signals;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use gtn_run::remote::{Address, Programs};
use ledger::Ledger;
use station::{Shop, Times};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use stock::Stock;
use turns::Turns;
use walk::{Case, walk};

const PROGRAM: &str = concat!("gtn-export ", env!("CARGO_PKG_VERSION"));
/// Devices served at once: each has a thread and, where it is reached, a connection.
const AT_ONCE: usize = 64;
/// Devices that a line names.
const NAMED: usize = 10;
/// Held by the run that works in the result's folder.
const LOCK: &str = ".lock";

/// Serves the whole fleet. Fails, after everything is written, with status 1 where a device's limits are missed, else with
/// status 3 where one was not reached.
pub fn run(args: &ExportArgs, fleet: &FleetArgs) -> Result<()> {
    let begun = Instant::now();
    let missing = || Error::usage("--fleet wants --from RUNS and --out DIR (gtn-export --help)");
    let path = fleet.fleet.as_deref().ok_or_else(missing)?;
    let (runs, out) = (args.from.as_deref().ok_or_else(missing)?, args.out.as_deref().ok_or_else(missing)?);
    let text = artifact::read_text(path)?;
    let parsed = Fleet::parse(&text, path)?;
    let cases = cases(args, &parsed, path)?;
    let earlier = fleet.against.as_deref().map(against::Earlier::read).transpose()?;
    let found = students::find(runs)?;
    for name in ["tables", "devices", "bundles", "kits"] {
        artifact::create_dir(&out.join(name))?;
    }
    let _alone = alone(out)?;
    let shop = Shop {
        out: out.to_owned(),
        ledger: Ledger::open(out)?,
        turns: Turns::default(),
        programs: programs(fleet)?,
        times: times(fleet)?,
    };
    let here = artifact::read_text(Path::new("/proc/sys/kernel/random/boot_id"));
    let here = here.map_or_else(|_| "here".into(), |id| id.trim().to_owned());
    let stock = Stock { shop: &shop, students: &found.students, runs, here: &here };
    let mut devices = serve(&cases, &stock)?;
    if let Some(earlier) = &earlier {
        devices.iter_mut().for_each(|outcome| earlier.judge(outcome));
    }
    let result = FleetResult {
        schema: SCHEMA.into(),
        program: PROGRAM.into(),
        unix_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        fleet_sha256: artifact::sha256(text.as_bytes()),
        runs: runs.display().to_string(),
        students: found.students.len(),
        seconds: begun.elapsed().as_secs_f64(),
        devices,
    };
    artifact::write_json(&out.join("fleet.json"), &result)?;
    artifact::write_atomic(&out.join("fleet.html"), page::page(&result).as_bytes())?;
    artifact::write_atomic(&out.join("junit.xml"), junit::xml(&result)?.as_bytes())?;
    let told = match args.json {
        true => exit::print(&artifact::to_json(&result)?),
        false => {
            let skipped = students::tell(&found.skipped);
            exit::print(&format!(
                "{}{skipped}\n{}\n",
                page::terminal(&result),
                out.join("fleet.html").display()
            ))
        }
    };
    exit::work_first(verdict(&result), told)
}

/// Every device's profile and address, all of them judged before any work.
fn cases<'a>(args: &ExportArgs, fleet: &'a Fleet, path: &Path) -> Result<Vec<Case<'a>>> {
    let case = |member: &'a Member| -> Result<Case<'a>> {
        let own =
            ExportArgs { target: Some(member.target.clone()), table: member.table.clone(), ..args.clone() };
        let mut plan = ExportPlan::resolve(&own)?;
        plan.precisions = member.device()?.precisions;
        let address = member.on.as_deref().map(str::parse::<Address>).transpose()?;
        if member.table.is_some() || address.is_none() || !member.timed {
            Predictor::known(&plan.device, member.table.as_deref(), &plan.precisions)?; // or nothing could be chosen
        }
        if let Some(dist) = member.dist.as_ref().filter(|dist| !dist.exists()) {
            return Err(Error::usage(format!("dist = {}: no such file or folder", dist.display())));
        }
        Ok(Case { member, plan, address })
    };
    let named = |member: &'a Member| {
        case(member).map_err(|e| Error::input(path, format!("device `{}`: {e}", member.name)))
    };
    fleet.devices.iter().map(named).collect()
}

fn times(fleet: &FleetArgs) -> Result<Times> {
    let seconds = [("--table-seconds", fleet.table_seconds), ("--run-seconds", fleet.run_seconds)];
    for (flag, value) in seconds {
        if !(0.05..=3600.0).contains(&value) {
            return Err(Error::usage(format!("{flag} {value}: wanted 0.05 to 3600")));
        }
    }
    Ok(Times { table: fleet.table_seconds.max(1.0), run: fleet.run_seconds })
}

/// The gtn-run that stands beside this program, and what `make dist` made.
fn programs(fleet: &FleetArgs) -> Result<Programs> {
    let own = std::env::current_exe();
    let own = own.map_err(|e| Error::Failed(format!("this program's own file: {e}")))?;
    let ours = own.with_file_name(format!("gtn-run{}", std::env::consts::EXE_SUFFIX));
    Ok(Programs { ours, dist: fleet.dist.clone() })
}

/// Two runs in one folder would undo each other's work.
fn alone(out: &Path) -> Result<std::fs::File> {
    let path: PathBuf = out.join(LOCK);
    let failed = |e| Error::io(&path, "lock", e);
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Error::usage(format!("{}: another run works there: wait for its end", out.display())))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(failed(e)),
    }
}

/// All devices, those that are reached at the same time; what ends one ends no other.
fn serve(cases: &[Case], stock: &Stock) -> Result<Vec<Outcome>> {
    let signals = Signals::watch()?;
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let held = || done.lock().unwrap_or_else(PoisonError::into_inner);
    let threads = cases.len().min(AT_ONCE);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((i, case)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    cases.get(i).map(|case| (i, case))
                } {
                    let outcome = match signals.received() {
                        Some(signal) => Err(Error::Stopped(signal)),
                        None => walk(case, stock, &signals),
                    };
                    held().push((i, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(i, _)| *i);
    // A signal is told before what it brought about.
    if let Some(stop) = done.iter().position(|(_, o)| o.as_ref().is_err_and(|e| e.kind() == Kind::Stopped)) {
        done.swap(0, stop);
    }
    let outcomes: Vec<Outcome> = done.into_iter().map(|(_, outcome)| outcome).collect::<Result<_>>()?;
    match outcomes.len() == cases.len() {
        true => Ok(outcomes),
        false => Err(Error::Failed("a device's thread ended before its work".into())),
    }
}

/// The command's own outcome.
fn verdict(result: &FleetResult) -> Result<()> {
    let names = |state: State| {
        let of = result.devices.iter().filter(|d| d.state == state).map(|d| d.name.clone());
        format::some(of, ", ", NAMED)
    };
    match (names(State::Missed), names(State::Unreached)) {
        (missed, _) if !missed.is_empty() => Err(Error::Failed(format!("limits are missed on {missed}"))),
        (_, unreached) if !unreached.is_empty() => {
            Err(Error::Unavailable(format!("not reached: {unreached}; the same command goes on with it")))
        }
        _ => Ok(()),
    }
}
