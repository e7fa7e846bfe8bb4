//! Parity: does this backend, on this machine, answer the golden images and the samples as the bundle says?

use crate::classify::open_sample;
use crate::subject::Subject;
use gtn_core::artifacts::samples::SamplePicture;
use gtn_core::measure::parity::{Parity, Tolerance, compare};
use gtn_core::measure::report::ParityCheck;
use gtn_core::measure::warning::Warning;
use gtn_core::{Error, Precision, Result};

/// This is what was compared.
#[derive(Debug, Default)]
pub struct Verified {
    /// Each comparison.
    pub checks: Vec<ParityCheck>,
    /// Which samples differ, where some do.
    pub warnings: Vec<Warning>,
}

/// Compares the answers to the golden images with what the shipped model answered when it was made, and for
/// fp32 with the network as trained; then those to the bundle's samples, from their files on. Fails where the model is not
/// a bundle, and where a sample is no readable picture.
pub fn verify(subject: &mut Subject) -> Result<Verified> {
    let Some(bundle) = &subject.bundle else {
        return Err(Error::input(&subject.path, "is not a bundle: it has no golden answers to verify"));
    };
    let classes = bundle.manifest.classes;
    let tolerance = bundle.manifest.tolerance;
    let (golden, shipped) = (bundle.golden.clone(), bundle.logits_shipped.clone());
    let samples = bundle.samples.clone();
    let fp32 = bundle.manifest.precision == Precision::Fp32;
    let found = subject.logits(&golden.images, |_| ())?;
    let mut verified = Verified::default();
    verified.checks.push(ParityCheck {
        against: "the shipped model's answers".into(),
        parity: compare(&shipped, &found, classes, tolerance).of_golden_images(),
    });
    if fp32 {
        verified.checks.push(ParityCheck {
            against: "the network as trained".into(),
            parity: compare(&golden.logits, &found, classes, Tolerance::FP32).of_golden_images(),
        });
    }
    if !samples.is_empty() {
        let found = subject.logits_of_pictures(samples.iter().map(open_sample))?;
        verified.add_samples(&samples, &found, tolerance);
    }
    Ok(verified)
}

impl Verified {
    /// `found` is `[samples, classes]`.
    fn add_samples(&mut self, samples: &[SamplePicture], found: &[f32], tolerance: Tolerance) {
        let classes = samples.first().map_or(0, |sample| sample.logits.len());
        let expected: Vec<f32> = samples.iter().flat_map(|sample| sample.logits.iter().copied()).collect();
        let parity = compare(&expected, found, classes, tolerance).of_golden_images();
        let each = |(sample, row): (&SamplePicture, &[f32])| {
            (sample.file.clone(), compare(&sample.logits, row, classes, tolerance))
        };
        let each: Vec<(String, Parity)> =
            samples.iter().zip(found.chunks(classes.max(1))).map(each).collect();
        let files = |differs: &dyn Fn(&Parity) -> bool| -> Vec<String> {
            each.iter().filter(|(_, p)| differs(p)).map(|(file, _)| file.clone()).collect()
        };
        if !parity.pass {
            let mut differing = files(&|p| p.max_abs > parity.bound || p.argmax_mismatches > 0);
            if differing.is_empty() {
                differing = files(&|p| p.argmax_differs > 0); // near ties, and too many of them
            }
            self.warnings.push(Warning::SamplesDiffer { files: differing });
        }
        self.checks
            .push(ParityCheck { against: "the shipped model's answers to its samples".into(), parity });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::artifacts::files::FileEntry;

    fn sample(i: usize, logits: &[f32]) -> SamplePicture {
        let file = format!("samples/{i}.png");
        let entry = FileEntry { size: 0, sha256: String::new() };
        SamplePicture { path: file.clone().into(), file, entry, class: 0, logits: logits.to_vec() }
    }

    /// Of several samples those that fail are named, also where only their number fails.
    #[test]
    fn the_sample_that_differs_is_named() {
        let far = [sample(1, &[1.0, 0.0]), sample(2, &[1.0, 0.0]), sample(3, &[100.0, 0.0])];
        let near = [sample(1, &[1.0, 0.99999]), sample(2, &[1.0, 0.99999]), sample(3, &[9.0, 0.0])];
        for (samples, found, wanted) in [
            (&far, [1.0, 0.0, 1.0, 0.0, 100.0, 0.0], &[][..]),
            (&far, [1.0, 0.0, 1.0, 0.1, 100.0, 0.0], &["samples/2.png"][..]),
            (&far, [1.0, 0.0, 0.0, 1.0, 100.0, f32::NAN], &["samples/2.png", "samples/3.png"]),
            (&near, [0.99999, 1.0, 1.0, 0.99999, 9.0, 0.0], &[]),
            (&near, [0.99999, 1.0, 0.99999, 1.0, 9.0, 0.0], &["samples/1.png", "samples/2.png"]),
        ] {
            let mut verified = Verified::default();
            verified.add_samples(samples, &found, Tolerance::FP32);
            assert_eq!(verified.checks[0].parity.pass, wanted.is_empty(), "{found:?}");
            let named: Vec<Warning> = (!wanted.is_empty())
                .then(|| Warning::SamplesDiffer { files: wanted.iter().map(|f| (*f).to_owned()).collect() })
                .into_iter()
                .collect();
            assert_eq!(verified.warnings, named, "{found:?}");
        }
    }
}
