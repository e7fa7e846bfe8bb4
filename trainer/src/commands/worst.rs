//! worst.json: the val images that a network gets most wrong, and how a page shows them.

use crate::engine::report::Worst as Shown;
use gtn_core::data::ImageSet;
use gtn_core::image::small_png;
use gtn_core::measure::worst::wrong;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The file's name.
pub const WORST: &str = "worst.json";
/// Of [`Worst`].
pub const WORST_SCHEMA: &str = "gtn.worst/1";
/// Images that are told: what a person looks through in a minute.
const SHOWN: usize = 24;
/// Pixels of the longer side of a picture on a page.
const SIDE: usize = 96;

/// worst.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worst {
    schema: String,
    /// Images that were judged.
    pub images: usize,
    /// How many of them were answered wrongly.
    pub wrong: usize,
    /// Those with the highest loss, the highest first; of equal ones the one with the lower index.
    pub worst: Vec<Image>,
}

/// An image that was answered wrongly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its place among the training images that val is cut from, from 0.
    pub index: u32,
    /// Of a photograph its path below the set's folder: `rose/12.jpg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What it is, as the set says.
    pub class: String,
    /// What it was taken for.
    pub answer: String,
    /// Of that answer, 0 to 1.
    pub probability: f64,
    /// Cross-entropy of its class, nats.
    pub loss: f64,
}

impl Worst {
    /// Judges val by its logits `[n, classes]`; `places` are its images' in `train`, and `names` the classes'.
    pub fn of(
        logits: &[f32],
        val: &ImageSet,
        (train, places): (&ImageSet, &[u32]),
        names: &[String],
    ) -> Result<Self> {
        let wrong = wrong(logits, &val.labels, val.classes)?;
        let name = |class: u16| names.get(usize::from(class)).cloned().unwrap_or_else(|| class.to_string());
        let image = |w: &gtn_core::measure::worst::Wrong| {
            let gone = || Error::Failed(format!("val image {} has no place in the training images", w.at));
            let index = *places.get(w.at).ok_or_else(gone)?;
            let file = train.photos().and_then(|p| p.name(index as usize)).map(str::to_owned);
            let (class, answer) = (name(w.label), name(w.answer));
            Ok(Image { index, file, class, answer, probability: w.probability, loss: w.loss })
        };
        let worst = wrong.iter().take(SHOWN).map(image).collect::<Result<_>>()?;
        Ok(Self { schema: WORST_SCHEMA.into(), images: val.len(), wrong: wrong.len(), worst })
    }

    /// What a page shows: a sentence, and each image as the network saw it, out of `train`.
    pub fn shown(&self, train: &ImageSet) -> Result<Shown> {
        let (n, input) = (self.worst.len(), train.input);
        let one = |image: &Image| {
            let index = image.index as usize;
            let png = small_png(&train.image(index)?, input.channels, (input.height, input.width), SIDE)?;
            let place = image.file.clone().unwrap_or_else(|| format!("training image {index}"));
            let (class, answer) = (&image.class, &image.answer);
            let probability = format::percent(image.probability);
            Ok((png, vec![format!("is {class}"), format!("answer {answer}, {probability}"), place]))
        };
        let text = format!(
            "{} of {} val images are answered wrongly; these {n} have the highest loss, the highest first. A picture whose \
             class is wrong is often the set's mistake and not the network's: correct it or delete it.",
            self.wrong, self.images
        );
        Ok(Shown { text, pictures: self.worst.iter().map(one).collect::<Result<_>>()? })
    }
}
