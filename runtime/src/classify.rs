//! Pictures to classes: the bundle's preprocessing, one inference, softmax, the bundle's labels.

use crate::subject::Subject;
use gtn_core::artifacts::samples::SamplePicture;
use gtn_core::image::{Image, check_channels};
use gtn_core::text::format;
use gtn_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// A guess is one class of an answer, with its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guess {
    /// The class's name.
    pub label: String,
    /// Its index in the labels.
    pub class: usize,
    /// Softmax of the logits, 0 to 1. Not calibrated: how sure the network is, not how often it is right.
    pub probability: f64,
}

/// Reads a bundle's sample as it was hashed. A file that is another now, or no readable picture, is an error that names it.
pub fn open_sample(sample: &SamplePicture) -> Result<Image> {
    Image::from_bytes(&sample.read()?).map_err(|why| Error::input(&sample.path, why))
}

impl Subject {
    /// Returns every class of each picture (of any size), the most probable first, and runs a batch at a time.
    ///
    /// Fails where the model tells no preprocessing or labels, or takes neither 1 nor 3 channels, and where
    /// logits are not finite or not one per label. [`Self::classify_each`] lets no picture end the others'.
    pub fn classify(&mut self, images: &[Image]) -> Result<Vec<Vec<Guess>>> {
        let mut answers = Vec::with_capacity(images.len());
        for batch in images.chunks(self.batch()?) {
            let inputs = batch.iter().map(|image| self.prepare(image)).collect::<Result<Vec<_>>>()?;
            answers.extend(self.classify_each(&inputs)?.into_iter().collect::<Result<Vec<_>>>()?);
        }
        Ok(answers)
    }

    /// Returns one picture as the network takes it, `[C, H, W]`: much smaller, so that a batch need not hold
    /// its pictures.
    pub fn prepare(&self, image: &Image) -> Result<Vec<f32>> {
        let preprocess = self.preprocess()?;
        let channels = preprocess.channels;
        check_channels(channels)?;
        preprocess.apply_rows(image.height(), image.width(), |y, out| image.row(y, channels, out))
    }

    /// Does what [`Self::classify`] does with what [`Self::prepare`] made, and gives each an answer or an error
    /// of its own: where a batch fails, its pictures are tried one by one.
    pub fn classify_each(&mut self, inputs: &[Vec<f32>]) -> Result<Vec<Result<Vec<Guess>>>> {
        let labels = self.labels()?.to_vec();
        let mut answers = Vec::with_capacity(inputs.len());
        for batch in inputs.chunks(self.batch()?) {
            match self.one_batch(batch, &labels) {
                Ok(found) => answers.extend(found),
                Err(_) if batch.len() > 1 => {
                    answers.extend(batch.chunks(1).map(|one| self.one_batch(one, &labels)?.remove(0)));
                }
                Err(e) => answers.push(Err(e)),
            }
        }
        Ok(answers)
    }

    /// Returns the logits `[n, labels]` of pictures, each made ready as [`Self::classify`] does it and let go before the next
    /// is asked for. Fails where [`Self::classify`] does, but for logits that are not finite, and with the first picture's
    /// error.
    pub fn logits_of_pictures(
        &mut self,
        pictures: impl IntoIterator<Item = Result<Image>>,
    ) -> Result<Vec<f32>> {
        let (labels, batch) = (self.labels()?.to_vec(), self.batch()?);
        let mut pictures = pictures.into_iter();
        let mut logits = Vec::new();
        loop {
            let some = pictures.by_ref().take(batch);
            let inputs = some.map(|image| self.prepare(&image?)).collect::<Result<Vec<_>>>()?;
            if inputs.is_empty() {
                return Ok(logits);
            }
            logits.extend(self.batch_logits(&inputs, &labels)?);
        }
    }

    fn one_batch(&mut self, inputs: &[Vec<f32>], labels: &[String]) -> Result<Vec<Result<Vec<Guess>>>> {
        let logits = self.batch_logits(inputs, labels)?;
        Ok(logits.chunks(labels.len()).map(|row| rank(row, labels)).collect())
    }

    /// Returns one for each input and label; any other number is an error.
    fn batch_logits(&mut self, inputs: &[Vec<f32>], labels: &[String]) -> Result<Vec<f32>> {
        let logits = self.forward(inputs.concat(), inputs.len())?;
        if logits.is_empty() || logits.len() != inputs.len() * labels.len() {
            let found = logits.len() / inputs.len().max(1);
            let what = format!("{}: {found} logits for {} labels", format::path(&self.path), labels.len());
            return Err(Error::Failed(what));
        }
        Ok(logits)
    }
}

/// Softmax, ordered; of equals the first class first.
fn rank(logits: &[f32], labels: &[String]) -> Result<Vec<Guess>> {
    if let Some(odd) = logits.iter().find(|l| !l.is_finite()) {
        return Err(Error::Failed(format!("a logit is {odd}")));
    }
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l - highest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let guess = |(class, (w, label)): (usize, (&f64, &String))| Guess {
        label: label.clone(),
        class,
        probability: w / sum,
    };
    let mut guesses: Vec<Guess> = weights.iter().zip(labels).enumerate().map(guess).collect();
    guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability)); // stable
    Ok(guesses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_by_hand() {
        let labels: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let ranked = rank(&[0.0, 3.0_f32.ln(), 0.0], &labels).unwrap();
        let found: Vec<_> =
            ranked.iter().map(|g| (g.class, &g.label[..], (g.probability * 1e6).round())).collect();
        assert_eq!(found, [(1, "b", 600_000.0), (0, "a", 200_000.0), (2, "c", 200_000.0)]);
        let far = rank(&[1000.0, -1000.0, 0.0], &labels).unwrap();
        assert_eq!(far[0].probability, 1.0, "no overflow");
        assert!(rank(&[f32::NAN, 0.0, 0.0], &labels).unwrap_err().to_string().contains("NaN"));
    }
}
