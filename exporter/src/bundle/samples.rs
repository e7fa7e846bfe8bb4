//! The pictures that a bundle carries: which, in what files, and what the shipped model answers.

use crate::cli::SamplesArg;
use gtn_core::artifacts::samples::{FOLDER, MAX_SAMPLE, Sample};
use gtn_core::data::{DataSource, ImageSet, Layout};
use gtn_core::image::{Image, check_channels, ending, made_pictures, to_png};
use gtn_core::measure::parity::{check_finite, top_and_margin};
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use gtn_run::subject::Subject;

/// As many as there are.
const PICTURES: usize = 6;
/// Draws the made pictures; fixed, so that two exports hold the same ones.
const SEED: u64 = 0;

/// These are the pictures' files and what the shipped model answers.
#[derive(Debug, Default)]
pub struct Samples {
    /// What the manifest says of each, and its file.
    pub pictures: Vec<(Sample, Vec<u8>)>,
    /// `[pictures, classes]`.
    pub logits: Vec<f32>,
}

/// Makes or takes the pictures' files. Where nothing is `asked`, only pictures that anybody may pass on are taken as they
/// are: those that are built into the program. `test` are the data's test images.
pub fn pictures(asked: Option<SamplesArg>, data: &DataSource, test: &ImageSet) -> Result<Vec<Vec<u8>>> {
    let channels = test.input.channels;
    let choice = asked.unwrap_or(match &data.layout {
        _ if check_channels(channels).is_err() => SamplesArg::None,
        Layout::FashionMnistMini => SamplesArg::Own,
        _ => SamplesArg::Made,
    });
    let files: Vec<Vec<u8>> = match choice {
        SamplesArg::None => Vec::new(),
        SamplesArg::Made => made_pictures(SEED)?,
        SamplesArg::Own => own(data, test)?,
    };
    if !files.is_empty() {
        check_channels(channels).map_err(|e| Error::usage(format!("--samples {choice}: {e}")))?;
    }
    Ok(files)
}

/// Of the test images: a photograph's file as it is, any other as a PNG of its pixels.
fn own(data: &DataSource, test: &ImageSet) -> Result<Vec<Vec<u8>>> {
    let Some(photos) = test.photos() else {
        let (height, width) = (test.input.height, test.input.width);
        let png = |i: usize| to_png(&test.image(i)?, height, width);
        return spread(&test.labels, test.classes, |_| true).into_iter().map(png).collect();
    };
    let place = |i: usize| {
        let listed = photos.places.get(i).and_then(|&at| photos.photos.listing.items.get(at as usize));
        listed.map(|item| &item.place).ok_or_else(|| Error::Failed(format!("{data}: picture {i} is gone")))
    };
    let fits = |i: usize| {
        place(i).and_then(|place| place.stamp()).is_ok_and(|stamp| (1..=MAX_SAMPLE).contains(&stamp.length))
    };
    let chosen = spread(&test.labels, test.classes, fits);
    if chosen.is_empty() {
        return Err(Error::usage(format!(
            "--samples own: {data} has no test picture of {MAX_SAMPLE} bytes or less"
        )));
    }
    exit::note(&format!(
        "warning: the bundle holds {} of your own pictures' files as they are, with all that stands in them: the place where \
         a photograph was taken, too (--samples made takes none)",
        chosen.len()
    ));
    chosen.into_iter().map(|i| place(i)?.read()).collect()
}

/// The first image of each of several classes that lie apart; where there are fewer classes than pictures, their next.
fn spread(labels: &[u16], classes: usize, fits: impl Fn(usize) -> bool) -> Vec<usize> {
    let of_class = |class: usize| {
        let is_good = |&i: &usize| labels.get(i).is_some_and(|&l| usize::from(l) == class) && fits(i);
        (0..labels.len()).filter(is_good).take(PICTURES).collect::<Vec<usize>>()
    };
    let apart = (0..PICTURES).map(|i| i * classes / PICTURES);
    let mut order: Vec<usize> = Vec::new();
    apart.chain(0..classes).for_each(|class| {
        if !order.contains(&class) {
            order.push(class);
        }
    });
    let mut found = Vec::new();
    for round in 0..PICTURES {
        for &class in &order {
            if found.len() == PICTURES {
                return found;
            }
            found.extend(of_class(class).get(round));
        }
    }
    found
}

impl Samples {
    /// Has `shipped`, the model that ships, answer the pictures as `gtn-run classify` does.
    pub fn answered_by(shipped: &mut Subject, files: Vec<Vec<u8>>) -> Result<Self> {
        if files.is_empty() {
            return Ok(Self::default());
        }
        let bad = |i: usize, why: String| Error::usage(format!("--samples: picture {} {why}", i + 1));
        let image = |(i, bytes): (usize, &Vec<u8>)| Image::from_bytes(bytes).map_err(|why| bad(i, why));
        let logits = shipped.logits_of_pictures(files.iter().enumerate().map(image))?;
        let classes = logits.len() / files.len();
        check_finite("the shipped model's answers to the samples", &logits, classes, 0)?;
        let picture = |(i, (bytes, row)): (usize, (Vec<u8>, &[f32]))| {
            let kind = ending(&bytes).ok_or_else(|| bad(i, "is of no kind that is read".into()))?;
            let sample = Sample { file: format!("{FOLDER}/{}.{kind}", i + 1), class: top_and_margin(row).0 };
            Ok((sample, bytes))
        };
        let rows = logits.chunks(classes.max(1));
        let pictures = files.into_iter().zip(rows).enumerate().map(picture).collect::<Result<_>>()?;
        Ok(Self { pictures, logits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_spread_over_the_classes() {
        let labels: Vec<u16> = (0..40).map(|i| i % 10).collect();
        assert_eq!(spread(&labels, 10, |_| true), [0, 1, 3, 5, 6, 8]);
        // What does not fit gives way to its class's next.
        assert_eq!(spread(&labels, 10, |i| i != 3), [0, 1, 13, 5, 6, 8]);
        // A class without images, and fewer classes than pictures.
        assert_eq!(spread(&[0, 0, 2, 2, 2, 0, 2], 3, |_| true), [0, 2, 1, 3, 5, 4]);
        assert_eq!(spread(&[0, 1], 2, |_| true), [0, 1]);
        assert!(spread(&labels, 10, |_| false).is_empty());
    }

    /// Only what is free to pass on is taken without being asked for.
    #[test]
    fn a_person_s_own_pictures_are_not_given_away() {
        let mini: DataSource = "fashion-mnist-mini".parse().unwrap();
        let test = mini.test().unwrap();
        let (made, own) = (pictures(Some(SamplesArg::Made), &mini, &test), pictures(None, &mini, &test));
        let (made, own) = (made.unwrap(), own.unwrap());
        assert!(made.len() == PICTURES && own.len() == PICTURES && made != own);
        assert!(own.iter().all(|file| ending(file) == Some("png")));
        for other in ["imagefolder@28:/x", "cifar10:/x", "fashion-mnist:/x", "tar@28:/x.tar"] {
            assert_eq!(pictures(None, &other.parse().unwrap(), &test).unwrap(), made, "{other}");
        }
        assert!(pictures(Some(SamplesArg::None), &mini, &test).unwrap().is_empty());
    }
}
