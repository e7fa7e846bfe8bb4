//! The images that a classifier gets most wrong: what a person should look at first, since a wrong label shows there.

use super::confusion::answer;
use crate::{Error, Result};

/// An image that is answered wrongly.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrong {
    /// Its place among those judged.
    pub at: usize,
    /// Its class.
    pub label: u16,
    /// What it is taken for.
    pub answer: u16,
    /// Of that answer, 0 to 1.
    pub probability: f64,
    /// Cross-entropy of its class, nats.
    pub loss: f64,
}

/// Returns the wrongly answered of the images with logits `[n, classes]`, the one with the highest loss first; of equal
/// losses the earlier image is first. An image is wrong where top-1 counts it so. Fails where there are not as many rows as
/// labels, or a label is none of the classes.
pub fn wrong(logits: &[f32], labels: &[u16], classes: usize) -> Result<Vec<Wrong>> {
    if classes == 0 || logits.len() != labels.len() * classes {
        let what = format!("{} logits of {} images with {classes} classes", logits.len(), labels.len());
        return Err(Error::Failed(what));
    }
    let mut found = Vec::new();
    for (at, (row, &label)) in logits.chunks(classes).zip(labels).enumerate() {
        let answer = answer(row, label);
        if answer == label {
            continue;
        }
        let loss = |class: u16| {
            row.get(usize::from(class))
                .map(|&z| log_sum_exp(row) - f64::from(z))
                .ok_or_else(|| Error::Failed(format!("image {at} has label {class}, wanted below {classes}")))
        };
        let (of_label, of_answer) = (loss(label)?, loss(answer)?);
        found.push(Wrong { at, label, answer, probability: (-of_answer).exp(), loss: of_label });
    }
    found.sort_by(|a, b| b.loss.total_cmp(&a.loss).then(a.at.cmp(&b.at)));
    Ok(found)
}

fn log_sum_exp(row: &[f32]) -> f64 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(max) + row.iter().map(|&z| f64::from(z - max).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five images of three classes: two right, and three wrong, two of which are equally so.
    #[test]
    fn the_highest_loss_is_first_and_the_earlier_of_equals() {
        let logits = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0], [0.0, 2.0, 0.0f32]];
        let found = wrong(&logits.concat(), &[0, 0, 0, 2, 2], 3).unwrap();
        let told: Vec<_> = found.iter().map(|w| (w.at, w.label, w.answer)).collect();
        assert_eq!(told, [(2, 0, 1), (1, 0, 1), (4, 2, 1)]);
        // By hand: softmax of (0, 3, 0), and -ln of its first.
        let all = 2.0 + 3f64.exp();
        assert!((found[0].probability - 3f64.exp() / all).abs() < 1e-12, "{found:?}");
        assert!((found[0].loss - all.ln()).abs() < 1e-12, "{found:?}");
    }

    /// A tie is wrong, as top-1 has it; large logits are no trouble; and mistakes are named.
    #[test]
    fn ties_extremes_and_mistakes() {
        let tie = wrong(&[1.0, 1.0], &[0], 2).unwrap();
        assert!(tie.len() == 1 && (tie[0].probability - 0.5).abs() < 1e-12, "{tie:?}");
        let far = wrong(&[-3e38, 3e38], &[0], 2).unwrap();
        assert!(far[0].probability == 1.0 && far[0].loss.is_finite(), "{far:?}");
        assert!(wrong(&[1.0, 0.0], &[7], 2).unwrap_err().to_string().contains("label 7, wanted below 2"));
        assert!(wrong(&[1.0], &[0], 2).is_err());
    }
}
