//! The fastest way to run a model here: threads, spinning and cores, measured in turn.

use crate::affinity;
use crate::backend::Options;
use crate::judge::bench::inputs;
use crate::settings::{Threading, TriedThreading};
use crate::subject::Subject;
use gtn_core::host::{self, Host};
use gtn_core::measure::robust::{hodges_lehmann, median};
use gtn_core::program::progress::Watch;
use gtn_core::rng::Rng;
use gtn_core::{Error, Result};
use std::path::Path;
use std::time::Instant;

/// Rounds in which every choice has its turn, in random order.
const ROUNDS: u64 = 15;
/// Choices closer than this are as good as each other: the one that uses less of the machine wins.
const EQUAL: f64 = 1.02;

/// Returns the choices that there are on `host`: numbers of threads, spinning or not, on all cores or the big
/// ones.
pub fn choices(host: &Host) -> Vec<Threading> {
    let mut found = Vec::new();
    let (big, little) = (host.big_cpus(), host.little_cpus());
    let mixed = !big.is_empty() && !little.is_empty();
    let places = if mixed {
        vec![(None, host.cores), (Some(host::cpu_list(&big)), big.len())]
    } else {
        vec![(None, host.cores)]
    };
    for (pin, cores) in places {
        let mut threads: Vec<usize> =
            std::iter::successors(Some(1), |t| Some(t * 2)).take_while(|&t| t < cores).collect();
        threads.push(cores);
        for threads in threads {
            // A single thread never waits for others.
            let spins: &[bool] = if threads == 1 { &[false] } else { &[true, false] };
            found.extend(spins.iter().map(|&spin| Threading { threads, spin, pin: pin.clone() }));
        }
    }
    found
}

struct Contender {
    choice: Threading,
    cpus: Vec<usize>,
    subject: Subject,
    rounds: Vec<f64>,
}

/// Measures every choice, for `seconds` in all (loading aside). Returns the chosen one's model, all that was
/// tried with the fastest first, the choice, and the reason for it.
pub fn tune(
    path: &Path,
    base: &Options,
    host: &Host,
    seconds: f64,
    watch: Watch,
) -> Result<(Subject, Vec<TriedThreading>, Threading, String)> {
    let home = host::affinity().and_then(|list| host::parse_cpu_list(&list)).unwrap_or_default();
    let list = choices(host);
    let burst_s = seconds / (ROUNDS as f64 * list.len() as f64);
    let mut candidates = list.into_iter().map(|c| load(c, path, base, &home)).collect::<Result<Vec<_>>>()?;
    for round in 0..ROUNDS {
        for i in Rng::new(0, "tune", round).permutation(u32::try_from(candidates.len()).unwrap_or(0)) {
            if let Some(candidate) = candidates.get_mut(i as usize) {
                burst(candidate, burst_s)?;
            }
        }
        watch("tune", round + 1, ROUNDS);
    }
    move_to(&home)?;
    candidates.sort_by(|a, b| median(&a.rounds).total_cmp(&median(&b.rounds)));
    let nothing = || Error::Failed("nothing to tune".into());
    let fastest = candidates.first().map(|c| c.rounds.clone()).ok_or_else(nothing)?;
    let tried = candidates.iter().map(|c| judge(c, &fastest)).collect::<Result<Vec<_>>>()?;
    let (chosen, why) = choose(&tried).ok_or_else(nothing)?;
    let at = candidates.iter().position(|c| c.choice == chosen).ok_or_else(nothing)?;
    Ok((candidates.swap_remove(at).subject, tried, chosen, why))
}

fn move_to(cpus: &[usize]) -> Result<()> {
    if cpus.is_empty() { Ok(()) } else { affinity::pin(cpus) }
}

fn load(choice: Threading, path: &Path, base: &Options, home: &[usize]) -> Result<Contender> {
    let cpus = choice.pin.as_deref().and_then(host::parse_cpu_list).unwrap_or_else(|| home.to_vec());
    // The backend's threads are started by this one and inherit its place.
    move_to(&cpus)?;
    let mut subject = Subject::open(path, &choice.options(base))?;
    let inputs = inputs(&subject)?;
    subject.backend.bind(&inputs)?;
    let mut candidate = Contender { choice, cpus, subject, rounds: Vec::new() };
    burst(&mut candidate, 0.1)?;
    candidate.rounds.clear(); // that was the warm-up
    Ok(candidate)
}

/// One turn: the median of the inferences that fit, at least five.
fn burst(candidate: &mut Contender, seconds: f64) -> Result<()> {
    move_to(&candidate.cpus)?;
    candidate.subject.backend.run_bound()?; // caches are the last candidate's
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 5 || start.elapsed().as_secs_f64() < seconds {
        let run = Instant::now();
        candidate.subject.backend.run_bound()?;
        times.push(run.elapsed().as_secs_f64() * 1e3);
    }
    candidate.rounds.push(median(&times));
    Ok(())
}

fn judge(candidate: &Contender, fastest: &[f64]) -> Result<TriedThreading> {
    let logs: Vec<f64> = candidate.rounds.iter().zip(fastest).map(|(a, b)| (a / b).ln()).collect();
    let ratio = hodges_lehmann(&logs).ok_or_else(|| Error::Failed("too few rounds to judge".into()))?;
    Ok(TriedThreading {
        choice: candidate.choice.clone(),
        p50_ms: median(&candidate.rounds),
        ratio: ratio.estimate.exp(),
        ratio_ci95: ratio.ci95.map(f64::exp),
    })
}

/// Of those as good as the fastest, or not to be told from it, the one with the fewest threads, then without
/// spinning, then without pinning: noise never chooses the one that uses more of the machine.
fn choose(tried: &[TriedThreading]) -> Option<(Threading, String)> {
    let fastest = tried.first()?;
    let as_good = tried.iter().filter(|t| t.ratio_ci95[0] < EQUAL);
    let chosen = as_good.min_by_key(|t| (t.choice.threads, t.choice.spin, t.choice.pin.is_some()))?;
    let why = if chosen.choice == fastest.choice {
        "the fastest, and none that uses less of the machine is as good".to_owned()
    } else {
        let percent = |ratio: f64| 100.0 * (ratio - 1.0);
        let [low, high] = chosen.ratio_ci95;
        let distance = if chosen.ratio < EQUAL {
            format!("{:.1} % from the fastest, within {:.0} %", percent(chosen.ratio), percent(EQUAL))
        } else {
            format!(
                "not to be told from the fastest (95 % CI {:+.1} to {:+.1} %)",
                percent(low),
                percent(high)
            )
        };
        format!("{distance}, and uses less of the machine")
    };
    Some((chosen.choice.clone(), why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::host::Cluster;

    #[test]
    fn what_there_is_to_try() {
        let plain = Host { cores: 4, ..Host::default() };
        let list: Vec<(usize, bool)> = choices(&plain).iter().map(|c| (c.threads, c.spin)).collect();
        assert_eq!(list, [(1, false), (2, true), (2, false), (4, true), (4, false)]);
        let cluster =
            |cpus: &[usize], c| Cluster { cpus: cpus.to_vec(), capacity: Some(c), ..Cluster::default() };
        let mixed = Host {
            cores: 6,
            clusters: vec![cluster(&[0, 1, 2, 3], 300), cluster(&[4, 5], 1024)],
            ..Host::default()
        };
        let pinned: Vec<_> = choices(&mixed).into_iter().filter(|c| c.pin.is_some()).collect();
        assert!(
            pinned.iter().all(|c| c.pin.as_deref() == Some("4-5") && c.threads <= 2) && pinned.len() == 3
        );
    }

    #[test]
    fn the_cheaper_of_equals_is_chosen() {
        let t = |threads, spin, ratio: f64, ci95| TriedThreading {
            choice: Threading { threads, spin, pin: None },
            p50_ms: ratio,
            ratio,
            ratio_ci95: ci95,
        };
        let tried =
            [t(4, true, 1.0, [1.0, 1.0]), t(4, false, 1.01, [0.99, 1.02]), t(1, false, 2.0, [1.9, 2.1])];
        assert_eq!(choose(&tried).unwrap().0, tried[1].choice);
        let tried = [t(4, true, 1.0, [1.0, 1.0]), t(4, false, 1.05, [1.04, 1.06])];
        assert_eq!(choose(&tried).unwrap().0, tried[0].choice);
        // Noise cannot tell: the cheaper, and the reason says so.
        let tried = [t(4, true, 1.0, [1.0, 1.0]), t(4, false, 1.05, [0.99, 1.11])];
        let (chosen, why) = choose(&tried).unwrap();
        assert_eq!(chosen, tried[1].choice);
        assert!(why.contains("not to be told from the fastest (95 % CI -1.0 to +11.0 %)"), "{why}");
        let tried = [t(4, true, 1.0, [1.0, 1.0]), t(1, false, f64::NAN, [f64::NAN; 2])];
        assert_eq!(choose(&tried).unwrap().0, tried[0].choice);
    }
}
