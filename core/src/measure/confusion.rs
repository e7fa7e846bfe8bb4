//! Which classes are taken for which: a mean may hide a class that died.

use crate::text::format;
use crate::text::table::Table;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// This is how often each class was answered for images of each class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// Of the network.
    pub classes: usize,
    /// Class of the image, answer, how often; only what occurred, ascending.
    pub counts: Vec<(u16, u16, u32)>,
}

impl Confusion {
    /// Counts the answers of logits `[n, classes]`, all finite: the largest is the answer, and of equal ones one that is
    /// not the label, as top-1 counts them. Fails where there are not as many rows as labels.
    pub fn of(logits: &[f32], labels: &[u16], classes: usize) -> Result<Self> {
        if classes == 0 || logits.len() != labels.len() * classes {
            let what = format!("{} logits of {} images with {classes} classes", logits.len(), labels.len());
            return Err(Error::Failed(what));
        }
        let pair = |(row, &label): (&[f32], &u16)| (label, answer(row, label));
        let mut pairs: Vec<(u16, u16)> = logits.chunks(classes).zip(labels).map(pair).collect();
        pairs.sort_unstable();
        let mut counts: Vec<(u16, u16, u32)> = Vec::new();
        for (label, answer) in pairs {
            match counts.last_mut() {
                Some((l, a, n)) if (*l, *a) == (label, answer) => *n += 1,
                _ => counts.push((label, answer, 1)),
            }
        }
        Ok(Self { classes, counts })
    }

    /// Returns for each class how many images it has, how many of them were answered right, and how often it was the
    /// answer.
    pub fn of_classes(&self) -> Vec<[u32; 3]> {
        let mut of = vec![[0; 3]; self.classes];
        for &(label, answer, n) in &self.counts {
            if let Some([images, right, _]) = of.get_mut(usize::from(label)) {
                *images += n;
                *right += if label == answer { n } else { 0 };
            }
            if let Some([.., answered]) = of.get_mut(usize::from(answer)) {
                *answered += n;
            }
        }
        of
    }

    /// Returns macro-F1: the mean over the classes with images of 2 right / (images + answers). None without images.
    pub fn macro_f1(&self) -> Option<f64> {
        let there: Vec<f64> = self.of_classes().into_iter().filter(|[n, ..]| *n > 0).map(f1).collect();
        (!there.is_empty()).then(|| there.iter().sum::<f64>() / there.len() as f64)
    }

    /// Returns a row for each class with images, the worst first and at most `most`: name, images, recall, precision,
    /// F1, and what it is taken for most often. `names` are the classes'.
    pub fn table(&self, names: &[String], most: usize) -> Table {
        let mut table = Table::new(["class", "images", "recall", "precision", "F1", "taken most often for"]);
        let name = |class: usize| names.get(class).map_or("?", String::as_str);
        let of = self.of_classes();
        let mut order: Vec<usize> =
            (0..of.len()).filter(|&c| of.get(c).is_some_and(|[n, ..]| *n > 0)).collect();
        order.sort_by(|a, b| {
            let f1_of = |class: &usize| of.get(*class).map_or(0.0, |&counts| f1(counts));
            f1_of(a).total_cmp(&f1_of(b)).then(a.cmp(b))
        });
        for class in order.into_iter().take(most) {
            let Some(&[images, right, answered]) = of.get(class) else { continue };
            let wrong = self.counts.iter().filter(|(l, a, _)| usize::from(*l) == class && l != a);
            let worst = wrong.max_by_key(|(_, a, n)| (*n, u16::MAX - a));
            let share = |part: u32, of: u32| {
                if of == 0 { "-".into() } else { format::percent(f64::from(part) / f64::from(of)) }
            };
            table.row([
                name(class).to_owned(),
                images.to_string(),
                share(right, images),
                share(right, answered),
                format!("{:.3}", f1([images, right, answered])),
                worst.map_or("-".into(), |(_, a, n)| format!("{} ({n})", name(usize::from(*a)))),
            ]);
        }
        table
    }
}

/// Returns the class of the largest logit; of equal ones one that is not `label`, as top-1 counts them.
pub(super) fn answer(row: &[f32], label: u16) -> u16 {
    let better = |best: Option<(u16, f32)>, (class, &x): (u16, &f32)| match best {
        Some((held, most)) if x < most || (x == most && held != label) => Some((held, most)),
        _ => Some((class, x)),
    };
    (0u16..).zip(row).fold(None, better).map_or(label, |(class, _)| class)
}

/// Of a class: images, right answers, all answers.
fn f1([images, right, answered]: [u32; 3]) -> f64 {
    2.0 * f64::from(right) / f64::from((images + answered).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::parity::correct_in_top;

    /// Six images of three classes, one of which has none; by hand.
    #[test]
    fn counted_by_hand() {
        let logits = [
            [2.0, 1.0, 0.0, 0.0], // a as a
            [0.0, 1.0, 0.0, 0.0], // a as b
            [3.0, 1.0, 0.0, 0.0], // a as a
            [0.0, 1.0, 0.0, 0.0], // b as b
            [0.0, 0.0, 0.0, 0.0], // b, a tie: as a, the first other
            [0.0, 5.0, 0.0, 0.0], // d as b
        ];
        let labels = [0, 0, 0, 1, 1, 3];
        let c = Confusion::of(&logits.concat(), &labels, 4).unwrap();
        assert_eq!(c.counts, [(0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 1, 1), (3, 1, 1)]);
        assert_eq!(c.of_classes(), [[3, 2, 3], [2, 1, 3], [0, 0, 0], [1, 0, 0]]);
        // F1: 4/6, 2/5, 0; class c has no images.
        let wanted = (4.0 / 6.0 + 2.0 / 5.0) / 3.0;
        assert!((c.macro_f1().unwrap() - wanted).abs() < 1e-12);
        let right: u32 = c.of_classes().iter().map(|[_, right, _]| right).sum();
        assert_eq!(right as usize, correct_in_top(&logits.concat(), &labels, 4, 1));
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let told = c.table(&names, 2).render();
        let rows: Vec<&str> = told.lines().skip(2).collect();
        assert!(rows.len() == 2 && rows[0].starts_with('d') && rows[1].starts_with('b'), "{told}");
        assert!(rows[0].contains("b (1)") && rows[0].contains("0.000"), "{told}");
        assert!(Confusion::of(&[1.0], &[0], 2).is_err());
        assert_eq!(Confusion::of(&[], &[], 2).unwrap().macro_f1(), None);
    }

    /// A tie never counts for the label, wherever the label stands, as in top-1.
    #[test]
    fn ties_are_counted_as_top_1_counts_them() {
        for label in 0..3u16 {
            let c = Confusion::of(&[1.0; 3], &[label], 3).unwrap();
            assert_ne!(c.counts[0].1, label);
        }
    }
}
