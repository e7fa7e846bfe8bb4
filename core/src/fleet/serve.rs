//! Who serves whom: for each device the most accurate student within its budget, or for all devices the smallest set of
//! students. Pure: accuracies and who fits where come in.

use std::cmp::Ordering;

/// Sets that are looked at before the best one found so far is taken, unproven.
const MOST_LOOKS: u64 = 5_000_000;

/// This is a student that may serve.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Accuracy on val, 0 to 1.
    pub top1: f64,
    /// Whether it is within the budget of each device, its smallest accuracy included.
    pub fits: Vec<bool>,
}

/// This is the smallest set of students that serves every device that can be served.
#[derive(Debug, Clone, PartialEq)]
pub struct Fewest {
    /// Places of the students among the offers, ascending.
    pub students: Vec<usize>,
    /// Whether no smaller set, and none as small that is more accurate, exists; else the search was given up.
    pub proven: bool,
}

/// Returns the most accurate of the `among` that fit `device`; the first of equals.
pub fn best(offers: &[Offer], among: impl IntoIterator<Item = usize>, device: usize) -> Option<usize> {
    let fitting = among.into_iter().filter_map(|i| Some((i, offers.get(i)?)));
    let fitting = fitting.filter(|(_, o)| o.fits.get(device) == Some(&true) && !o.top1.is_nan());
    let better = |a: &(usize, &Offer), b: &(usize, &Offer)| match a.1.top1.total_cmp(&b.1.top1) {
        Ordering::Equal => b.0.cmp(&a.0),
        other => other,
    };
    fitting.max_by(better).map(|(i, _)| i)
}

/// Returns the smallest set of students that serves every device which any student can serve; of several as small the one
/// with the highest accuracy over all devices, each counted `counts` times. Exact, by branch and bound, unless it is
/// told to be unproven.
pub fn fewest(offers: &[Offer], counts: &[u32]) -> Fewest {
    let all: Vec<usize> = (0..counts.len()).filter(|&d| best(offers, 0..offers.len(), d).is_some()).collect();
    let useful: Vec<usize> = undominated(offers, &all);
    let mut search = Search { offers, counts, all: &all, useful: &useful, best: None, looks: 0 };
    if all.is_empty() {
        return Fewest { students: Vec::new(), proven: true };
    }
    for size in 1..=useful.len() {
        search.extend(&mut Vec::new(), size);
        if search.best.is_some() || search.looks > MOST_LOOKS {
            break;
        }
    }
    let proven = search.looks <= MOST_LOOKS;
    let mut students = match search.best {
        Some((_, students)) => students,
        // Given up before any was found: each device's own.
        None => all.iter().filter_map(|&d| best(offers, useful.iter().copied(), d)).collect(),
    };
    students.sort_unstable();
    students.dedup();
    Fewest { students, proven }
}

/// Those that no other equals or beats in accuracy and in the devices that it fits.
fn undominated(offers: &[Offer], devices: &[usize]) -> Vec<usize> {
    let fits = |o: &Offer, d: usize| o.fits.get(d) == Some(&true) && !o.top1.is_nan();
    let covers = |a: &Offer, b: &Offer| devices.iter().all(|&d| fits(a, d) || !fits(b, d));
    let beaten = |(i, o): (usize, &Offer)| {
        offers.iter().enumerate().any(|(j, other)| {
            j != i
                && other.top1 >= o.top1
                && covers(other, o)
                && (j < i || other.top1 > o.top1 || !covers(o, other))
        })
    };
    let some = |o: &Offer| devices.iter().any(|&d| fits(o, d));
    offers.iter().enumerate().filter(|&(i, o)| some(o) && !beaten((i, o))).map(|(i, _)| i).collect()
}

struct Search<'a> {
    offers: &'a [Offer],
    counts: &'a [u32],
    /// Devices to be served.
    all: &'a [usize],
    /// Students worth a thought.
    useful: &'a [usize],
    best: Option<(f64, Vec<usize>)>,
    looks: u64,
}

impl Search<'_> {
    fn fits(&self, student: usize, device: usize) -> bool {
        self.offers.get(student).is_some_and(|o| o.fits.get(device) == Some(&true))
    }

    /// Every set of `size` students that begins with `chosen` and serves all: whatever serves the device that the fewest
    /// can serve is in it.
    fn extend(&mut self, chosen: &mut Vec<usize>, size: usize) {
        self.looks += 1;
        if self.looks > MOST_LOOKS {
            return;
        }
        let open: Vec<usize> =
            self.all.iter().copied().filter(|&d| !chosen.iter().any(|&s| self.fits(s, d))).collect();
        if open.is_empty() {
            return self.judge(chosen);
        }
        let left = size.saturating_sub(chosen.len());
        let served = |&s: &usize| open.iter().filter(|&&d| self.fits(s, d)).count();
        if self.useful.iter().map(served).max().unwrap_or(0) * left < open.len() {
            return;
        }
        let able =
            |d: &usize| -> Vec<usize> { self.useful.iter().copied().filter(|&s| self.fits(s, *d)).collect() };
        let Some(hardest) = open.iter().map(able).min_by_key(Vec::len) else { return };
        for student in hardest {
            chosen.push(student);
            self.extend(chosen, size);
            chosen.pop();
        }
    }

    fn judge(&mut self, chosen: &[usize]) {
        let top1 =
            |d: usize| best(self.offers, chosen.iter().copied(), d).map_or(0.0, |s| self.offers[s].top1);
        let sum = self.all.iter().map(|&d| f64::from(self.counts[d]) * top1(d)).sum::<f64>();
        if self.best.as_ref().is_none_or(|(most, _)| sum > *most) {
            self.best = Some((sum, chosen.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// All sets, smallest first.
    fn brute_force(offers: &[Offer], counts: &[u32]) -> (usize, f64) {
        let can: Vec<usize> =
            (0..counts.len()).filter(|&d| best(offers, 0..offers.len(), d).is_some()).collect();
        let mut found: Option<(usize, f64)> = None;
        for set in 0u32..1 << offers.len() {
            let members = || (0..offers.len()).filter(|i| set >> i & 1 == 1);
            let size = members().count();
            let served: Option<f64> = can
                .iter()
                .map(|&d| best(offers, members(), d).map(|s| f64::from(counts[d]) * offers[s].top1))
                .sum();
            if let Some(sum) = served
                && found.is_none_or(|(n, most)| size < n || (size == n && sum > most))
            {
                found = Some((size, sum));
            }
        }
        found.unwrap()
    }

    #[test]
    fn the_fewest_are_those_of_brute_force() {
        let mut sizes = std::collections::BTreeMap::new();
        for fleet in 0..400 {
            let mut rng = Rng::new(fleet, "fleet", 0);
            let (students, devices) = (1 + rng.below(11) as usize, 1 + rng.below(9) as usize);
            let share = 0.05 + 0.7 * rng.unit_f64();
            let offers: Vec<Offer> = (0..students)
                .map(|_| Offer {
                    top1: (rng.unit_f64() * 20.0).round() / 20.0, // some alike
                    fits: (0..devices).map(|_| rng.unit_f64() < share).collect(),
                })
                .collect();
            let counts: Vec<u32> = (0..devices).map(|_| 1 + rng.below(5) as u32).collect();
            let found = fewest(&offers, &counts);
            let top1 = |d: usize| best(&offers, found.students.iter().copied(), d).map(|s| offers[s].top1);
            let can = (0..devices).filter(|&d| best(&offers, 0..students, d).is_some());
            let sum: f64 = can.map(|d| f64::from(counts[d]) * top1(d).unwrap()).sum();
            let wanted = brute_force(&offers, &counts);
            assert!(found.proven);
            assert_eq!(found.students.len(), wanted.0, "fleet {fleet}: {offers:?}");
            assert!((sum - wanted.1).abs() < 1e-9, "fleet {fleet}: {sum}, wanted {}", wanted.1);
            *sizes.entry(wanted.0).or_insert(0) += 1;
        }
        assert!(sizes.len() >= 5, "{sizes:?}");
    }

    #[test]
    fn the_best_is_the_most_accurate_that_fits_and_never_nan() {
        let offer = |top1: f64, fits: [bool; 2]| Offer { top1, fits: fits.to_vec() };
        let offers = [
            offer(0.5, [true, true]),
            offer(0.9, [false, true]),
            offer(0.9, [false, true]),
            offer(f64::NAN, [true, true]),
        ];
        assert_eq!(best(&offers, 0..4, 0), Some(0));
        assert_eq!(best(&offers, 0..4, 1), Some(1));
        assert_eq!(best(&offers, [3], 0), None);
        assert_eq!(best(&offers, 0..4, 2), None);
        assert_eq!(fewest(&offers, &[1, 1]), Fewest { students: vec![0], proven: true });
        assert_eq!(fewest(&[], &[1, 1]), Fewest { students: vec![], proven: true });
    }

    /// Budgets that are nested, as latency limits are: a thousand needs take no time.
    #[test]
    fn a_thousand_devices_are_served_at_once() {
        let mut rng = Rng::new(1, "large", 0);
        let costs: Vec<(f64, f64)> = (0..300)
            .map(|_| {
                let cost = rng.unit_f64();
                (cost, 0.5 * cost.sqrt() + 0.1 * rng.unit_f64())
            })
            .collect();
        let limits: Vec<f64> = (0..1000).map(|_| 0.02 + rng.unit_f64()).collect();
        let offers: Vec<Offer> = costs
            .iter()
            .map(|(cost, top1)| Offer { top1: *top1, fits: limits.iter().map(|l| cost <= l).collect() })
            .collect();
        let found = fewest(&offers, &vec![1; 1000]);
        assert!(found.proven && found.students.len() == 1, "{found:?}");
    }
}
