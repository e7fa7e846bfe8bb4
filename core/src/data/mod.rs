//! Data sets: labelled u8 images in memory, read from the layouts they are published in.

pub mod augment;
#[cfg(feature = "photos")]
pub mod cache;
#[cfg(feature = "photos")]
pub mod duplicates;
pub mod feed;
mod identity;
#[cfg(feature = "photos")]
pub mod listing;
#[cfg(feature = "photos")]
pub mod photos;
mod pixels;
pub mod preprocess;
mod readers;
pub mod split;

pub use identity::{DataSha256, Part, short};
pub use pixels::Pixels;

#[cfg(feature = "photos")]
pub use readers::tar_shards::expand as tar_files;
use readers::{cifar, fashion_mini, idx};

use crate::ir::arch::Input;
use crate::program::progress::Watch;
#[cfg(feature = "photos")]
use crate::program::progress::unwatched;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// Labelled images of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    /// Channels, height, width.
    pub input: Input,
    /// How many classes there are (not only those that occur).
    pub classes: usize,
    /// `n` labels below `classes`.
    pub labels: Vec<u16>,
    /// Of `n` images.
    pixels: Pixels,
    /// What is known of them beyond their pixels; none for the published sets, and for what was chosen from a set.
    pub origin: Option<Arc<Origin>>,
}

/// What a set of photographs knows of its images beyond their pixels at one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Over each picture's name, label and stored bytes, whatever size it is looked at.
    pub sha256: String,
    /// A number for each image: those with the same number are the same picture, or nearly.
    pub groups: Vec<u32>,
    /// So many images at the end are the set's own val.
    pub val: usize,
}

/// A data set's two published parts. Val is cut from train by [`crate::data::split`].
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Without its folder: `cifar100`.
    pub name: String,
    /// One name per class.
    pub label_names: Vec<String>,
    /// Training images.
    pub train: ImageSet,
    /// Test images.
    pub test: ImageSet,
    /// See [`DataSource::resize_short`].
    pub resize_short: Option<usize>,
}

/// Where a data set comes from: what `--data` says. `NAME@SIDE:DIR` shrinks the images by averaging
/// whole pixels: `cifar100@16:DIR` is CIFAR-100 at 16 x 16.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSource {
    /// Which data set, and where.
    pub layout: Layout,
    /// Images are shrunk to this side; pictures of any size are brought to it.
    pub side: Option<usize>,
    /// Share of the pictures that may be unreadable; none: [`photos::MAX_BAD`].
    max_bad: Option<f64>,
}

/// A data set's layout on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Embedded: 10,000 and 2,000 images of Fashion-MNIST.
    FashionMnistMini,
    /// Folder with the four idx files, plain or gzip.
    FashionMnist(PathBuf),
    /// Folder with the binary or the Python version.
    Cifar10(PathBuf),
    /// Folder with the binary or the Python version.
    Cifar100(PathBuf),
    /// Pictures of any size, brought to the side that is said.
    #[cfg(feature = "photos")]
    Photos(listing::PhotoSource),
}

const KNOWN: &str = "fashion-mnist-mini, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, imagefolder@SIDE:DIR, \
                     tiny-imagenet@SIDE:DIR, tar@SIDE:FILES";

impl FromStr for DataSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (full_name, dir) = text.split_once(':').unwrap_or((text, ""));
        let (name, side) = match full_name.split_once('@') {
            Some((name, side)) => match side.parse() {
                Ok(n @ 1..=4096) => (name, Some(n)),
                _ => return Err(Error::usage(format!("data `{text}`: side is `{side}`, wanted 1 to 4096"))),
            },
            None => (full_name, None),
        };
        #[cfg(feature = "photos")]
        if let "imagefolder" | "tiny-imagenet" | "tar" = name {
            let layout = Layout::Photos(format!("{name}:{dir}").parse()?);
            if side.is_none() {
                let what =
                    format!("data `{text}` lacks its size: wanted `{name}@SIDE:{dir}`, as {name}@96:{dir}");
                return Err(Error::usage(what));
            }
            return Ok(Self { layout, side, max_bad: None });
        }
        let dir = (!dir.is_empty()).then(|| PathBuf::from(dir));
        let layout = match (name, dir) {
            ("fashion-mnist-mini", None) => Layout::FashionMnistMini,
            ("fashion-mnist", Some(dir)) => Layout::FashionMnist(dir),
            ("cifar10", Some(dir)) => Layout::Cifar10(dir),
            ("cifar100", Some(dir)) => Layout::Cifar100(dir),
            ("fashion-mnist" | "cifar10" | "cifar100", None) => {
                return Err(Error::usage(format!(
                    "data `{text}` lacks its folder: wanted `{full_name}:DIR`"
                )));
            }
            _ => return Err(Error::usage(format!("unknown data `{text}`, wanted one of: {KNOWN}"))),
        };
        Ok(Self { layout, side, max_bad: None })
    }
}

impl std::fmt::Display for DataSource {
    /// As `--data` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.layout {
            Layout::FashionMnistMini => f.write_str(&self.name()),
            Layout::FashionMnist(dir) | Layout::Cifar10(dir) | Layout::Cifar100(dir) => {
                write!(f, "{}:{}", self.name(), dir.display())
            }
            #[cfg(feature = "photos")]
            Layout::Photos(source) => write!(f, "{}:{}", self.name(), source.place()),
        }
    }
}

impl DataSource {
    /// The name without the folder: `cifar100`, `cifar100@16`.
    pub fn name(&self) -> String {
        let name = match &self.layout {
            Layout::FashionMnistMini => "fashion-mnist-mini",
            Layout::FashionMnist(_) => "fashion-mnist",
            Layout::Cifar10(_) => "cifar10",
            Layout::Cifar100(_) => "cifar100",
            #[cfg(feature = "photos")]
            Layout::Photos(source) => source.kind(),
        };
        self.side.map_or_else(|| name.to_owned(), |side| format!("{name}@{side}"))
    }

    /// Whether it is pictures of any size, and no published set.
    pub fn is_photos(&self) -> bool {
        #[cfg(feature = "photos")]
        return matches!(self.layout, Layout::Photos(_));
        #[cfg(not(feature = "photos"))]
        false
    }

    /// Share of the pictures that may be unreadable, where one was said.
    pub fn max_bad(&self) -> Option<f64> {
        self.max_bad
    }

    /// Returns the same with so large a share of the pictures allowed to be unreadable (`--max-bad`), where one is said.
    /// Fails where it is no share, and for the published sets, which are whole.
    pub fn tolerating(self, max_bad: Option<f64>) -> Result<Self> {
        match max_bad {
            None => Ok(self),
            Some(share) if !(0.0..=1.0).contains(&share) => {
                Err(Error::usage(format!("--max-bad {share}: wanted a share, 0 to 1")))
            }
            Some(_) if !self.is_photos() => {
                Err(Error::usage(format!("--max-bad is for sets of pictures; `{self}` is a published set")))
            }
            Some(_) => Ok(Self { max_bad, ..self }),
        }
    }

    /// One name per class.
    pub fn label_names(&self) -> Result<Vec<String>> {
        let own = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        match &self.layout {
            Layout::FashionMnistMini | Layout::FashionMnist(_) => Ok(own(&idx::FASHION_LABELS)),
            Layout::Cifar10(_) => Ok(own(&cifar::CIFAR10_LABELS)),
            Layout::Cifar100(dir) => cifar::cifar100_labels(dir),
            #[cfg(feature = "photos")]
            Layout::Photos(source) => Ok(source.list()?.classes),
        }
    }

    /// The training part. Apart from [`Self::test`], so that a program that never trains does not carry the embedded
    /// training images.
    pub fn train(&self) -> Result<ImageSet> {
        self.at_its_side(match &self.layout {
            Layout::FashionMnistMini => fashion_mini::train(),
            Layout::FashionMnist(dir) => idx::read_part(dir, "train"),
            Layout::Cifar10(dir) => cifar::read_cifar10(dir, true),
            Layout::Cifar100(dir) => cifar::read_cifar100(dir, true),
            #[cfg(feature = "photos")]
            Layout::Photos(_) => return self.photos(&mut unwatched)?.train(),
        }?)
    }

    /// The test part.
    pub fn test(&self) -> Result<ImageSet> {
        self.at_its_side(match &self.layout {
            Layout::FashionMnistMini => fashion_mini::test(),
            Layout::FashionMnist(dir) => idx::read_part(dir, "t10k"),
            Layout::Cifar10(dir) => cifar::read_cifar10(dir, false),
            Layout::Cifar100(dir) => cifar::read_cifar100(dir, false),
            #[cfg(feature = "photos")]
            Layout::Photos(_) => return self.photos(&mut unwatched)?.test(),
        }?)
    }

    /// Makes what takes long and is made once: a picture set's cache, which `watch` is told of.
    pub fn prepare(&self, watch: Watch) -> Result<()> {
        #[cfg(feature = "photos")]
        if let Layout::Photos(_) = &self.layout {
            return self.photos(watch).map(drop);
        }
        let _ = watch;
        Ok(())
    }

    /// The picture set, opened at its side; an error for the published sets.
    #[cfg(feature = "photos")]
    pub fn photos(&self, watch: Watch) -> Result<Arc<photos::Photos>> {
        match (&self.layout, self.side) {
            (Layout::Photos(source), Some(side)) => {
                photos::Photos::open(source, side, self.max_bad.unwrap_or(photos::MAX_BAD), watch)
            }
            _ => Err(Error::usage(format!("data `{self}` is no picture set"))),
        }
    }

    /// Length of the short side that pictures of any size are resized to before the middle is cut out; none for the
    /// published sets, whose images are all of one size.
    pub fn resize_short(&self) -> Option<usize> {
        #[cfg(feature = "photos")]
        if let (Layout::Photos(_), Some(side)) = (&self.layout, self.side) {
            return Some(augment::crop::short_side(side));
        }
        None
    }

    fn at_its_side(&self, set: ImageSet) -> Result<ImageSet> {
        match self.side {
            Some(side) => set.shrunk(side),
            None => Ok(set),
        }
    }
}

impl Dataset {
    /// Opens what `--data` names; `watch` is told of what takes long.
    pub fn open(source: &DataSource, watch: Watch) -> Result<Self> {
        let (name, resize_short) = (source.name(), source.resize_short());
        #[cfg(feature = "photos")]
        if let Layout::Photos(_) = &source.layout {
            let photos = source.photos(watch)?;
            let (train, test) = (photos.train()?, photos.test()?);
            let label_names = photos.listing.classes.clone();
            return Ok(Self { name, label_names, train, test, resize_short });
        }
        let _ = watch;
        let (train, test) = (source.train()?, source.test()?);
        Ok(Self { name, label_names: source.label_names()?, train, test, resize_short })
    }
}

impl ImageSet {
    /// Checks that pixels and labels fit each other.
    pub fn new(input: Input, classes: usize, pixels: Vec<u8>, labels: Vec<u16>) -> Result<Self> {
        let bytes = pixels.len();
        let set = Self { input, classes, labels, pixels: Pixels::held(pixels), origin: None };
        if bytes != set.len() * set.image_len() {
            return Err(Error::Failed(format!(
                "{bytes} bytes of pixels, {} labels of {input} images",
                set.len()
            )));
        }
        Ok(set)
    }

    /// How many images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image.
    pub fn image_len(&self) -> usize {
        self.input.channels * self.input.height * self.input.width
    }

    /// The images at `side` x `side`, each pixel the rounded mean of a block of whole pixels.
    fn shrunk(self, side: usize) -> Result<Self> {
        let Input { channels, height, width } = self.input;
        if height != width || !height.is_multiple_of(side) {
            let what = format!("images of {} cannot be shrunk to side {side} by whole pixels", self.input);
            return Err(Error::usage(what));
        }
        let block = height / side;
        let area = (block * block) as u32;
        let whole = self.all_pixels()?;
        let mut pixels = Vec::with_capacity(whole.len() / (block * block));
        for plane in whole.chunks(height * width) {
            for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
                let rows = plane.chunks(width).skip(y * block).take(block);
                let sum: u32 =
                    rows.flat_map(|r| r.iter().skip(x * block).take(block)).map(|&b| u32::from(b)).sum();
                pixels.push(((sum + area / 2) / area) as u8);
            }
        }
        drop(whole);
        Self::new(Input { channels, height: side, width: side }, self.classes, pixels, self.labels)
    }

    /// Images of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(usize::from(label)) {
                *count += 1;
            }
        }
        counts
    }

    /// Mean and standard deviation of each channel, of x / 255. Fails as [`Self::pixels_of`] does.
    pub fn channel_mean_std(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let plane = self.input.height * self.input.width;
        let mut histograms = vec![[0u64; 256]; self.input.channels];
        for some in self.chunks(256) {
            for (i, channel) in some?.chunks(plane).enumerate() {
                if let Some(histogram) = histograms.get_mut(i % self.input.channels) {
                    for &b in channel {
                        histogram[usize::from(b)] += 1;
                    }
                }
            }
        }
        let moments = |histogram: &[u64; 256]| {
            let n = histogram.iter().sum::<u64>().max(1) as f64;
            let moment = |f: &dyn Fn(f64) -> f64| {
                histogram.iter().enumerate().map(|(i, &c)| c as f64 * f(i as f64 / 255.0)).sum::<f64>() / n
            };
            let mean = moment(&|x| x);
            (mean as f32, moment(&|x| (x - mean) * (x - mean)).sqrt() as f32)
        };
        Ok(histograms.iter().map(moments).unzip())
    }
}

/// The one class that all labels name, where that is so: no accuracy on such images says anything.
pub fn only_class(labels: &[u16]) -> Option<u16> {
    let first = *labels.first()?;
    labels.iter().all(|&label| label == first).then_some(first)
}

/// The first of `names` that is a file in `dir`; otherwise an error listing them.
fn find_file(dir: &Path, names: &[String]) -> Result<PathBuf> {
    if !dir.is_dir() {
        return Err(Error::input(dir, "no such folder (the data set's)"));
    }
    let found = names.iter().map(|n| dir.join(n)).find(|p| p.is_file());
    found.ok_or_else(|| Error::input(dir, format!("lacks the data file (looked for: {})", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_parse_and_mistakes_are_named() {
        let source: DataSource = "cifar10:/a:b".parse().unwrap();
        assert_eq!(source, DataSource { layout: Layout::Cifar10("/a:b".into()), side: None, max_bad: None });
        let source: DataSource = "cifar100@16:/a".parse().unwrap();
        assert_eq!((source.side, source.name().as_str()), (Some(16), "cifar100@16"));
        for (text, wanted) in [
            ("cifar10", "wanted `cifar10:DIR`"),
            ("cifar10:", "wanted `cifar10:DIR`"),
            ("cifar10@0:/a", "side is `0`"),
            ("mnist", "unknown data `mnist`, wanted one of: fashion-mnist-mini"),
        ] {
            let error = text.parse::<DataSource>().unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[cfg(feature = "photos")]
    #[test]
    fn a_share_of_broken_pictures_is_for_pictures() {
        let tolerating = |text: &str, share| text.parse::<DataSource>().unwrap().tolerating(share);
        let told = |text: &str, share| tolerating(text, Some(share)).unwrap_err().to_string();
        assert_eq!(tolerating("imagefolder@8:/a", Some(0.5)).unwrap().max_bad(), Some(0.5));
        assert_eq!(tolerating("cifar10:/a", None).unwrap().max_bad(), None);
        assert!(told("imagefolder@8:/a", 1.5).contains("--max-bad 1.5: wanted a share, 0 to 1"));
        assert!(told("imagefolder@8:/a", f64::NAN).contains("wanted a share"));
        assert!(told("cifar10:/a", 0.5).contains("`cifar10:/a` is a published set"));
    }

    #[test]
    fn shrinking_averages_whole_pixels() {
        let input = Input { channels: 1, height: 4, width: 4 };
        let set = ImageSet::new(input, 2, (0..16).collect(), vec![1]).unwrap();
        // Top left: (0 + 1 + 4 + 5 + 2) / 4 = 3.
        assert_eq!(set.clone().shrunk(2).unwrap().all_pixels().unwrap()[..], [3, 5, 11, 13]);
        assert_eq!(set.clone().shrunk(4).unwrap(), set);
        assert!(set.shrunk(3).unwrap_err().to_string().contains("side 3"));
    }

    #[test]
    fn moments_by_hand() {
        let input = Input { channels: 2, height: 1, width: 2 };
        let set = ImageSet::new(input, 3, vec![0, 255, 51, 51, 0, 255, 51, 51], vec![2, 0]).unwrap();
        assert_eq!(set.channel_mean_std().unwrap(), (vec![0.5, 0.2], vec![0.5, 0.0]));
        assert_eq!(set.class_counts(), [1, 0, 1]);
        assert_eq!(set.subset(&[1]).labels, [0]);
        assert_eq!((only_class(&set.labels), only_class(&[2, 2]), only_class(&[])), (None, Some(2), None));
    }
}
