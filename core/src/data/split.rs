//! Val: a seeded, class-stratified share of the training images; pictures that belong together stay together.

use crate::data::ImageSet;
use crate::rng::Rng;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Val is the same for every run of one data set and rule, whatever the run's seed: runs are compared on it.
const SEED: u64 = 0;

/// How a run cuts val from the training images: two keys of its recipe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SplitRule {
    /// Training images taken before val is cut, equally many of each class (0: all).
    pub train_images: usize,
    /// Share of them that becomes val, 0 to 0.5.
    pub val_fraction: f64,
}

impl Default for SplitRule {
    fn default() -> Self {
        Self { train_images: 0, val_fraction: 0.1 }
    }
}

impl SplitRule {
    /// What is left to train on, and val: the set's own, where it has one (then `val_fraction` says nothing). An error names the key that asks for more than there is.
    pub fn apply(&self, train: &ImageSet) -> Result<(ImageSet, ImageSet)> {
        let Split { train: taken, val } = self.places(train)?;
        Ok((train.subset(&taken), train.subset(&val)))
    }

    /// [`Self::apply`] as places in `train`.
    pub fn places(&self, train: &ImageSet) -> Result<Split> {
        // The set's own val stands at the end.
        let own_val = train.origin.as_ref().map_or(0, |origin| origin.val);
        let to_train = train.len().saturating_sub(own_val);
        let labels = train.labels.get(..to_train).unwrap_or_default();
        let taken = match self.train_images {
            0 => (0u32..).take(to_train).collect(),
            n if n <= to_train => stratified(labels, train.classes, n, SEED),
            n => {
                let what = format!("train_images is {n}, there are {to_train} training images");
                return Err(Error::usage(what));
            }
        };
        if own_val > 0 {
            let val: Vec<u32> = (0u32..).take(train.len()).skip(to_train).collect();
            return Ok(Split { train: taken, val });
        }
        let labels: Vec<u16> = taken.iter().filter_map(|&i| labels.get(i as usize).copied()).collect();
        let parts = match &train.origin {
            Some(origin) => {
                let group = |&i: &u32| origin.groups.get(i as usize).copied().unwrap_or(i);
                let groups: Vec<u32> = taken.iter().map(group).collect();
                split_groups(&labels, &groups, train.classes, self.val_fraction, SEED)?
            }
            None => split(&labels, train.classes, self.val_fraction, SEED)?,
        };
        let places = |part: &[u32]| -> Vec<u32> {
            part.iter().filter_map(|&i| taken.get(i as usize).copied()).collect()
        };
        Ok(Split { train: places(&parts.train), val: places(&parts.val) })
    }
}

/// Sorted and disjoint; together complete, unless a rule takes fewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// To train on.
    pub train: Vec<u32>,
    /// To select, search, tune, calibrate and gate on.
    pub val: Vec<u32>,
}

/// Splits by label: `round(fraction * n_class)` of each class go to val. A pure function of its
/// arguments; `fraction` 0 leaves val empty.
pub fn split(labels: &[u16], classes: usize, fraction: f64, seed: u64) -> Result<Split> {
    check(labels, classes, fraction)?;
    let mut val = Vec::new();
    for class in 0..classes {
        let share = class_members(labels, class, seed, "split");
        let take = (share.len() as f64 * fraction).round() as usize;
        val.extend(share.into_iter().take(take));
    }
    Ok(parts(labels.len(), val))
}

fn check(labels: &[u16], classes: usize, fraction: f64) -> Result<()> {
    if !(0.0..=0.5).contains(&fraction) {
        return Err(Error::usage(format!("val_fraction is {fraction}, wanted 0 to 0.5")));
    }
    if let Some((i, label)) = labels.iter().enumerate().find(|(_, l)| usize::from(**l) >= classes) {
        return Err(Error::usage(format!("label {i} is {label}, wanted 0 to {}", classes.saturating_sub(1))));
    }
    Ok(())
}

/// Val as given, sorted; train is the rest of `0..n`.
fn parts(n: usize, mut val: Vec<u32>) -> Split {
    val.sort_unstable();
    let mut is_val = vec![false; n];
    for &i in &val {
        if let Some(flag) = is_val.get_mut(i as usize) {
            *flag = true;
        }
    }
    let train = (0u32..).zip(&is_val).filter(|(_, v)| !**v).map(|(i, _)| i).collect();
    Split { train, val }
}

/// [`split`] that keeps every group on one side: `groups` has a number for each image, and images with the same number
/// belong together (`crate::data::duplicates` makes such numbers). A group counts for the class that most of it has
/// (the lowest, where several have as many). Groups come in the order in which `split` takes images, and go to val as
/// long as they fit into `round(fraction * n_class)` images; so a class may get fewer, never more, and where no image has
/// a twin, the answer is `split`'s. A pure function of its arguments.
pub fn split_groups(
    labels: &[u16],
    groups: &[u32],
    classes: usize,
    fraction: f64,
    seed: u64,
) -> Result<Split> {
    check(labels, classes, fraction)?;
    if groups.len() != labels.len() {
        return Err(Error::usage(format!("{} images have {} group numbers", labels.len(), groups.len())));
    }
    let mut members: HashMap<u32, Vec<u32>> = HashMap::new();
    for (i, &group) in (0u32..).zip(groups) {
        members.entry(group).or_default().push(i);
    }
    let label = |i: u32| labels.get(i as usize).copied().unwrap_or(0);
    let class_of: HashMap<u32, u16> =
        members.iter().map(|(&g, all)| (g, most(all.iter().map(|&i| label(i))))).collect();
    // What `split` would shuffle: an image by its group's class.
    let group = |i: u32| groups.get(i as usize).copied().unwrap_or(0);
    let by_group: Vec<u16> = groups.iter().map(|g| class_of.get(g).copied().unwrap_or(0)).collect();
    let mut val = Vec::new();
    for class in 0..classes {
        let share = class_members(&by_group, class, seed, "split");
        let mut room = (share.len() as f64 * fraction).round() as usize;
        for i in share {
            // Asked for at the first of a group's images that comes up, and then gone.
            let Some(all) = members.remove(&group(i)) else { continue };
            if all.len() <= room {
                room -= all.len();
                val.extend(all);
            }
        }
    }
    Ok(parts(labels.len(), val))
}

/// The label that occurs most often, the lowest of several.
fn most(labels: impl Iterator<Item = u16>) -> u16 {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    labels.for_each(|l| *counts.entry(l).or_default() += 1);
    let best = counts.iter().max_by_key(|(label, count)| (**count, std::cmp::Reverse(**label)));
    best.map_or(0, |(label, _)| *label)
}

/// `count` indices with equal shares of each class (as far as it goes), sorted: evaluation,
/// calibration and golden sets. A pure function of its arguments.
pub fn stratified(labels: &[u16], classes: usize, count: usize, seed: u64) -> Vec<u32> {
    let members: Vec<Vec<u32>> = (0..classes).map(|c| class_members(labels, c, seed, "stratified")).collect();
    let deepest = members.iter().map(Vec::len).max().unwrap_or(0);
    let rounds = (0..deepest).flat_map(|r| members.iter().filter_map(move |m| m.get(r).copied()));
    let mut chosen: Vec<u32> = rounds.take(count).collect();
    chosen.sort_unstable();
    chosen
}

fn class_members(labels: &[u16], class: usize, seed: u64, stream: &str) -> Vec<u32> {
    let mut members: Vec<u32> =
        (0u32..).zip(labels).filter(|(_, l)| usize::from(**l) == class).map(|(i, _)| i).collect();
    Rng::new(seed, stream, class as u64).shuffle(&mut members);
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<u16> {
        (0..1000).map(|i| (i * 7 % 10) as u16).collect()
    }

    #[test]
    fn disjoint_complete_balanced_reproducible() {
        let s = split(&labels(), 10, 0.1, 1).unwrap();
        let mut all: Vec<u32> = s.train.iter().chain(&s.val).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        for class in 0..10 {
            assert_eq!(s.val.iter().filter(|&&i| labels()[i as usize] == class).count(), 10);
        }
        assert_eq!(s, split(&labels(), 10, 0.1, 1).unwrap());
        assert_ne!(s, split(&labels(), 10, 0.1, 2).unwrap());
        assert!(split(&labels(), 10, 0.9, 1).unwrap_err().to_string().contains("val_fraction is 0.9"));
    }

    /// Frozen: every result ever published depends on these draws.
    #[test]
    fn draws_never_change() {
        let s = split(&labels(), 10, 0.1, 1).unwrap();
        assert_eq!(s.val[..8], [5, 6, 37, 48, 51, 62, 82, 111], "split");
        assert_eq!(stratified(&labels(), 10, 8, 3), [100, 112, 151, 269, 605, 713, 908, 976], "stratified");
    }

    #[test]
    fn groups_stay_on_one_side() {
        let labels = labels();
        // Every 4 neighbours of one class are twins; and one group is of two classes.
        let mut groups: Vec<u32> = (0..1000).map(|i| i / 40 * 10 + u32::from(labels[i as usize])).collect();
        groups[7] = groups[0];
        let s = split_groups(&labels, &groups, 10, 0.25, 1).unwrap();
        let side = |part: &[u32]| {
            part.iter().map(|&i| groups[i as usize]).collect::<std::collections::BTreeSet<_>>()
        };
        assert!(side(&s.train).is_disjoint(&side(&s.val)));
        assert_eq!(s.train.len() + s.val.len(), 1000);
        for class in 0..10 {
            let n = s.val.iter().filter(|&&i| labels[i as usize] == class).count();
            assert!((20..=26).contains(&n), "class {class}: {n}");
        }
        assert_eq!(s, split_groups(&labels, &groups, 10, 0.25, 1).unwrap());
        assert_ne!(s, split_groups(&labels, &groups, 10, 0.25, 2).unwrap());
        // One group larger than val stays to be trained on.
        assert!(split_groups(&[0; 10], &[3; 10], 1, 0.5, 0).unwrap().val.is_empty());
        assert!(
            split_groups(&[0; 3], &[0; 2], 1, 0.5, 0).unwrap_err().to_string().contains("3 images have 2")
        );
    }

    #[test]
    fn without_twins_groups_change_nothing() {
        let groups: Vec<u32> = (0..1000).map(|i| i * 7 + 3).collect();
        for seed in 0..3 {
            assert_eq!(
                split_groups(&labels(), &groups, 10, 0.1, seed).unwrap(),
                split(&labels(), 10, 0.1, seed).unwrap()
            );
        }
    }

    #[test]
    fn a_label_beyond_the_classes_is_an_error() {
        assert!(split(&[0, 7], 3, 0.1, 1).unwrap_err().to_string().contains("label 1 is 7, wanted 0 to 2"));
    }

    #[test]
    fn stratified_takes_equal_shares() {
        let chosen = stratified(&labels(), 10, 25, 3);
        assert_eq!(chosen.len(), 25);
        for class in 0..10 {
            let n = chosen.iter().filter(|&&i| labels()[i as usize] == class).count();
            assert!((2..=3).contains(&n), "class {class}: {n}");
        }
        assert_eq!(stratified(&labels(), 10, 5000, 3).len(), 1000);
    }
}
