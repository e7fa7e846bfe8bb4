//! Parity: does this backend, on this machine, answer the golden images as the bundle says?

use crate::subject::Subject;
use gtn_core::measure::parity::{Tolerance, compare};
use gtn_core::measure::report::ParityCheck;
use gtn_core::{Error, Precision, Result};

/// Compares the answers to the golden images with what the shipped model answered when it was made, and for
/// fp32 with the network as trained. Fails where the model is not a bundle.
pub fn verify(subject: &mut Subject) -> Result<Vec<ParityCheck>> {
    let Some(bundle) = &subject.bundle else {
        return Err(Error::input(&subject.path, "is not a bundle: it has no golden answers to verify"));
    };
    let classes = bundle.manifest.classes;
    let tolerance = bundle.manifest.tolerance;
    let (golden, shipped) = (bundle.golden.clone(), bundle.logits_shipped.clone());
    let fp32 = bundle.manifest.precision == Precision::Fp32;
    let found = subject.logits(&golden.images, |_| ())?;
    let mut checks = vec![ParityCheck {
        against: "the shipped model's answers".into(),
        parity: compare(&shipped, &found, classes, tolerance).of_golden_images(),
    }];
    if fp32 {
        checks.push(ParityCheck {
            against: "the network as trained".into(),
            parity: compare(&golden.logits, &found, classes, Tolerance::FP32).of_golden_images(),
        });
    }
    Ok(checks)
}
