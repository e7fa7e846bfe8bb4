//! Whether two sets of logits agree, and whether they are numbers at all: one rule for every program and test.

use crate::{Error, Precision, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// This says how close is close enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// |difference| <= `relative` * max(1, max |expected|).
    pub relative: f64,
    /// The top class must agree wherever the expected margin (first minus second logit) exceeds this.
    pub margin: f64,
}

impl Tolerance {
    /// This is for two fp32 engines: they sum in another order, nothing else.
    pub const FP32: Self = Self { relative: 1e-4, margin: 1e-3 };
    /// This is for two fp16 engines: each product and sum may round at 2^-11.
    pub const FP16: Self = Self { relative: 1e-2, margin: 2e-2 };
    /// This is for two int8 engines: a value on the middle between two integers may land on either, and what
    /// reads it sees one step more or less.
    pub const INT8: Self = Self { relative: 5e-2, margin: 1e-1 };
}

impl Tolerance {
    /// Returns the bound of a precision.
    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::Fp32 => Self::FP32,
            Precision::Fp16 => Self::FP16,
            Precision::Int8 => Self::INT8,
        }
    }

    /// Returns whether it allows no more than `bound` does; one that is negative or not a number does not.
    pub fn is_within(self, bound: Self) -> bool {
        (0.0..=bound.relative).contains(&self.relative) && (0.0..=bound.margin).contains(&self.margin)
    }
}

/// Golden images for one whose top class may differ.
const IMAGES_PER_DIFFERENCE: usize = 64;

/// This is what a comparison found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parity {
    /// Samples compared.
    pub n: usize,
    /// Largest |difference| of two logits.
    pub max_abs: f64,
    /// What it was allowed to be.
    pub bound: f64,
    /// Samples whose margin was large enough for the top class to count.
    pub argmax_checked: usize,
    /// Of these, samples whose top class differs.
    pub argmax_mismatches: usize,
    /// Samples whose top class differs whatever the margin.
    pub argmax_differs: usize,
    /// Bound held, no mismatch, every value finite, same sizes.
    pub pass: bool,
}

impl Parity {
    /// Returns the same with a bound that no tolerance of a file's own moves: of golden images' top classes one
    /// in 64 may differ (of fewer images one), however small the margins.
    pub fn of_golden_images(mut self) -> Self {
        self.pass &= self.argmax_differs <= (self.n / IMAGES_PER_DIFFERENCE).max(1);
        self
    }
}

/// This is a logit that is NaN or infinite: such a network is broken, and no score of it means anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NotFinite {
    /// Of the set.
    pub image: usize,
    /// Which logit.
    pub class: usize,
    /// What it is.
    pub value: f32,
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { image, class, value } = self;
        write!(f, "the logit of class {class} for image {image} is {value}, wanted a finite number")
    }
}

/// Returns the first of `[n, classes]` logits, row-major, that is not a finite number.
pub fn not_finite(logits: &[f32], classes: usize) -> Option<NotFinite> {
    let (at, &value) = logits.iter().enumerate().find(|(_, z)| !z.is_finite())?;
    let classes = classes.max(1);
    Some(NotFinite { image: at / classes, class: at % classes, value })
}

/// Fails where [`not_finite`] finds one (exit status 1). `what` names the model; images count from `first`.
pub fn check_finite(what: &str, logits: &[f32], classes: usize, first: usize) -> Result<()> {
    match not_finite(logits, classes) {
        None => Ok(()),
        Some(odd) => {
            let odd = NotFinite { image: first + odd.image, ..odd };
            Err(Error::Failed(format!("{what}: {odd}")))
        }
    }
}

/// Compares `[n, classes]` logits, row-major. What is not finite, logits or tolerance, never passes.
pub fn compare(expected: &[f32], actual: &[f32], classes: usize, tolerance: Tolerance) -> Parity {
    let n = expected.len() / classes.max(1);
    let scale = expected.iter().fold(1.0f64, |m, &x| m.max(f64::from(x).abs()));
    let mut parity = Parity {
        n,
        max_abs: 0.0,
        bound: tolerance.relative * scale,
        argmax_checked: 0,
        argmax_mismatches: 0,
        argmax_differs: 0,
        pass: true,
    };
    let finite = expected.iter().chain(actual).all(|x| x.is_finite())
        && tolerance.margin.is_finite()
        && parity.bound.is_finite();
    if n == 0 || !finite || expected.len() != actual.len() || expected.len() != n * classes {
        parity.pass = false;
        // JSON has no infinity and no NaN.
        parity.max_abs = f64::MAX;
        parity.bound = if parity.bound.is_finite() { parity.bound } else { 0.0 };
        return parity;
    }
    for (want, got) in expected.chunks(classes).zip(actual.chunks(classes)) {
        for (a, b) in want.iter().zip(got) {
            parity.max_abs = parity.max_abs.max((f64::from(*a) - f64::from(*b)).abs());
        }
        let (top, margin) = top_and_margin(want);
        let differs = top != top_and_margin(got).0;
        parity.argmax_differs += usize::from(differs);
        if margin > tolerance.margin {
            parity.argmax_checked += 1;
            parity.argmax_mismatches += usize::from(differs);
        }
    }
    parity.pass = parity.max_abs <= parity.bound && parity.argmax_mismatches == 0;
    parity
}

/// Returns the index of the largest logit (the first of equals) and its distance to the second. NaN is no
/// logit: see [`check_finite`].
pub fn top_and_margin(logits: &[f32]) -> (usize, f64) {
    let mut top = 0;
    let (mut first, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    for (i, &x) in logits.iter().enumerate() {
        if x > first {
            (second, first, top) = (first, x, i);
        } else if x > second {
            second = x;
        }
    }
    (top, f64::from(first) - f64::from(second))
}

/// Counts how many of the `[n, classes]` rows have their label among the `k` largest logits. Ties count against
/// the label, so that constant logits score nothing; nor does a row that holds NaN or an infinity.
pub fn correct_in_top(logits: &[f32], labels: &[u16], classes: usize, k: usize) -> usize {
    let hit = |(row, &label): (&[f32], &u16)| {
        let Some(&mine) = row.get(usize::from(label)) else { return false };
        if !row.iter().all(|x| x.is_finite()) {
            return false;
        }
        let above = row.iter().enumerate().filter(|&(i, &x)| i != usize::from(label) && x >= mine).count();
        above < k
    };
    logits.chunks(classes.max(1)).zip(labels).filter(|&pair| hit(pair)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margin_decides_what_counts() {
        let close = compare(&[1.0, 1.0005], &[1.0005, 1.0], 2, Tolerance { relative: 1e-2, margin: 1e-3 });
        assert!(close.pass && close.argmax_differs == 1 && close.argmax_checked == 0, "{close:?}");
        let clear = compare(&[1.0, 1.01], &[1.01, 1.0], 2, Tolerance { relative: 1e-1, margin: 1e-3 });
        assert!(!clear.pass && clear.argmax_mismatches == 1, "{clear:?}");
    }

    #[test]
    fn the_bound_grows_with_the_logits_and_nan_never_passes() {
        assert!(compare(&[100.0, 0.0], &[100.009, 0.0], 2, Tolerance::FP32).pass);
        assert!(!compare(&[1.0, 0.0], &[1.009, 0.0], 2, Tolerance::FP32).pass);
        assert!(!compare(&[1.0, 0.0], &[1.0, f32::NAN], 2, Tolerance::FP32).pass);
        assert!(!compare(&[], &[], 2, Tolerance::FP32).pass);
        // Nor does a tolerance that is no number: nothing would be checked.
        for odd in [f64::NAN, f64::INFINITY] {
            let (margin, relative) =
                (Tolerance { margin: odd, ..Tolerance::FP32 }, Tolerance { relative: odd, margin: 1e-3 });
            for tolerance in [margin, relative] {
                let parity = compare(&[1.0, 0.0], &[1.0, 0.0], 2, tolerance);
                assert!(!parity.pass && parity.bound.is_finite(), "{tolerance:?}: {parity:?}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_named_and_scores_nothing() {
        check_finite("m", &[1.0, 0.0], 2, 0).unwrap();
        let error = check_finite("m.onnx", &[1.0, 0.0, 2.0, f32::NAN], 2, 100).unwrap_err().to_string();
        assert_eq!(error, "m.onnx: the logit of class 1 for image 101 is NaN, wanted a finite number");
        assert!(check_finite("m", &[f32::NEG_INFINITY], 1, 0).unwrap_err().to_string().contains("is -inf"));
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for k in 1..=2 {
                assert_eq!(correct_in_top(&[odd, odd], &[0], 2, k), 0, "{odd}");
                assert_eq!(correct_in_top(&[1.0, odd], &[0], 2, k), 0, "{odd}");
                assert_eq!(correct_in_top(&[odd, 1.0], &[0], 2, k), 0, "{odd}");
            }
        }
    }

    #[test]
    fn a_tolerance_is_at_most_its_precision_s() {
        let with = |relative: f64, margin: f64| Tolerance { relative, margin }.is_within(Tolerance::INT8);
        assert!(with(0.05, 0.1) && with(0.0, 0.0));
        for (relative, margin) in
            [(0.0501, 0.1), (0.05, 0.11), (f64::NAN, 0.1), (0.05, f64::NAN), (-1.0, 0.1), (1e300, 1e300)]
        {
            assert!(!with(relative, margin), "{relative} {margin}");
        }
        assert_eq!(Tolerance::of(Precision::Fp32), Tolerance::FP32);
    }

    /// Near ties that turn: the margin lets each pass, their number does not.
    #[test]
    fn few_golden_top_classes_may_differ() {
        let (want, got) = ([1.0, 1.00005].repeat(64), [1.00005, 1.0].repeat(64));
        let turned = |n: usize| {
            let actual = [&got[..2 * n], &want[2 * n..]].concat();
            compare(&want, &actual, 2, Tolerance::FP32)
        };
        for n in [0, 1, 2, 64] {
            assert!(turned(n).pass && turned(n).argmax_differs == n);
            assert_eq!(turned(n).of_golden_images().pass, n <= 1, "{n}");
        }
    }

    #[test]
    fn top_k_counts_ties_against() {
        let logits = [1.0, 1.0, 0.0, /**/ 0.0, 3.0, 2.0];
        assert_eq!(correct_in_top(&logits, &[0, 2], 3, 1), 0);
        assert_eq!(correct_in_top(&logits, &[0, 2], 3, 2), 2);
    }
}
