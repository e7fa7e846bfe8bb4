//! A picture set at one size, as training, calibration and evaluation take it: listed, decoded once into the cache,
//! parted by a stated rule, and cropped to the network's size exactly as a device crops an original file.
//!
//! Parts are the set's own where it has them. A set without test pictures gives up a fifth of what it has
//! ([`TEST_FRACTION`]), drawn by class with seed 0 and by whole groups of equal and near pictures
//! ([`crate::data::duplicates`]): no picture to train on has a twin to be judged by. Val is cut by the same rule
//! ([`crate::data::split::SplitRule`]), unless the set has its own.

use crate::data::augment::crop;
use crate::data::cache::{self, Broken, Pictures, Settings};
use crate::data::duplicates::{self, Groups, Print};
use crate::data::listing::{Listing, Part, PhotoSource};
use crate::data::preprocess::{Preprocess, Resize};
use crate::data::split::split_groups;
use crate::data::{ImageSet, Origin, Pixels};
use crate::ir::arch::Input;
use crate::program::progress::Watch;
use crate::text::format;
use crate::{Error, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Share of the pictures that becomes test where the set has none of its own.
pub const TEST_FRACTION: f64 = 0.2;
/// Every run of one set sees the same test pictures, whatever its own seed.
const TEST_SEED: u64 = 0;
/// Share of the pictures that may be unreadable, unless `--max-bad` says another.
pub const MAX_BAD: f64 = 0.01;
/// Things about a set's files that are told one by one where they are not what was asked for.
const NAMED: usize = 10;
/// Photographs are colour; a grey file has three equal channels.
const CHANNELS: usize = 3;
/// Bytes of one part's pixels that are held in memory; a larger part is cropped from the cache when it is looked at.
const HELD_AT_MOST: u64 = 256 << 20;

/// A picture set, opened.
#[derive(Debug)]
pub struct Photos {
    /// What there is.
    pub listing: Listing,
    /// Its pixels.
    pub pictures: Pictures,
    /// Which of them are the same picture: by place in the listing; a broken picture is alone.
    pub groups: Groups,
    size: usize,
    parts: [Vec<u32>; 3],
}

/// Where caches of picture sets are kept: `$XDG_CACHE_HOME/gtn/photos`, else `~/.cache/gtn/photos`. Any folder in it may
/// be deleted: it is made again.
pub fn cache_dir() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let dir = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let dir =
        dir.ok_or_else(|| Error::usage("neither XDG_CACHE_HOME nor HOME says where to keep pictures"))?;
    Ok(dir.join("gtn/photos"))
}

impl Photos {
    /// Opens a set for networks that see `size` x `size` pixels. The first time, every picture is decoded, which
    /// `watch` is told of. Errors: the listing's, the cache's (no room, more than `max_bad` of the pictures broken).
    pub fn open(source: &PhotoSource, size: usize, max_bad: f64, watch: Watch) -> Result<Arc<Self>> {
        Self::open_in(&cache_dir()?, source, size, max_bad, watch)
    }

    /// [`Self::open`] with the caches elsewhere.
    pub fn open_in(
        caches: &Path,
        source: &PhotoSource,
        size: usize,
        max_bad: f64,
        watch: Watch,
    ) -> Result<Arc<Self>> {
        let listing = source.list()?;
        let settings = Settings { max_bad, ..Settings::for_size(size, CHANNELS) };
        let mut told = |p: cache::Progress| {
            watch("decoding pictures", p.done, p.total);
            Ok(())
        };
        let pictures = cache::build(&listing, caches, &settings, &mut told)?;
        let groups = grouped(&pictures);
        let parts = parted(&listing, &pictures, &groups)?;
        Ok(Arc::new(Self { listing, pictures, groups, size, parts }))
    }

    /// The side of what networks see, pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns a sentence about the pictures that cannot be read, with the first of them; none where all can be.
    pub fn left_out(&self) -> Option<String> {
        let broken = self.pictures.broken();
        let told = || {
            let some = format::counted(broken.len(), "picture");
            format!("{some} left out, cannot be read ({})", Broken::told(broken))
        };
        (!broken.is_empty()).then(told)
    }

    /// Returns what somebody who trains on the set should know of its files, a line each: of problems and of pictures that
    /// cannot be read the first ten, and how many more there are.
    pub fn warnings(&self) -> Vec<String> {
        let problems = &self.listing.problems;
        let mut told: Vec<String> = problems.iter().take(NAMED).cloned().collect();
        if let more @ 1.. = problems.len().saturating_sub(NAMED) {
            told.push(format!("{more} more things about the set's files: gtn-train data names them"));
        }
        let broken = self.pictures.broken();
        if !broken.is_empty() {
            told.push(format!("{} left out, cannot be read", format::counted(broken.len(), "picture")));
            told.extend(broken.iter().take(NAMED).map(|b| format!("{}: {}", b.name, b.why)));
        }
        if let more @ 1.. = broken.len().saturating_sub(NAMED) {
            told.push(format!("{more} more that cannot be read: gtn-train data --json names them"));
        }
        told
    }

    /// Places in the listing of a part's readable pictures: train, val (empty where it is yet to be cut), test.
    pub fn part(&self, part: Part) -> &[u32] {
        match part {
            Part::Train => &self.parts[0],
            Part::Val => &self.parts[1],
            Part::Test => &self.parts[2],
        }
    }

    /// The pictures to train on, the set's own val at the end of them.
    pub fn train(self: &Arc<Self>) -> Result<ImageSet> {
        let [train, val, _] = &self.parts;
        self.images([train.as_slice(), val].concat(), val.len())
    }

    /// The test pictures.
    pub fn test(self: &Arc<Self>) -> Result<ImageSet> {
        self.images(self.parts[2].clone(), 0)
    }

    /// Cropped as a device crops an original file: short side to 8/7 of the size, the middle of it.
    fn images(self: &Arc<Self>, chosen: Vec<u32>, val: usize) -> Result<ImageSet> {
        let input = Input { channels: CHANNELS, height: self.size, width: self.size };
        let label = |&i: &u32| self.pictures.label(i as usize).unwrap_or(u16::MAX);
        let group = |&i: &u32| self.groups.of.get(i as usize).copied().unwrap_or(i);
        let origin = Origin {
            sha256: self.pictures.data_sha256(&self.listing, &chosen),
            groups: chosen.iter().map(group).collect(),
            val,
        };
        let labels: Vec<u16> = chosen.iter().map(label).collect();
        let held = (CHANNELS * self.size * self.size) as u64 * chosen.len() as u64 <= HELD_AT_MOST;
        let pixels = Pixels::of_photos(Chosen { photos: Arc::clone(self), places: chosen }, held)?;
        let classes = self.listing.classes.len();
        Ok(ImageSet { input, classes, labels, pixels, origin: Some(Arc::new(origin)) })
    }
}

/// Some pictures of a set, in an order.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The set.
    pub photos: Arc<Photos>,
    /// Places in its listing.
    pub places: Vec<u32>,
}

impl Chosen {
    /// Returns picture `i` as the cache keeps it: pixels, planar `[3, height, width]`, height and width. Fails where
    /// there is none.
    pub fn picture(&self, i: usize) -> Result<(&[u8], usize, usize)> {
        let found = self.places.get(i).and_then(|&place| self.photos.pictures.get(place as usize));
        let (pixels, width, height) = found.ok_or_else(|| {
            Error::Failed(format!("{}: picture {i} is gone", self.photos.pictures.dir().display()))
        })?;
        Ok((pixels, height, width))
    }

    /// Returns the name of picture `i` in its set, `rose/12.jpg`; none where there is no such picture.
    pub fn name(&self, i: usize) -> Option<&str> {
        let place = *self.places.get(i)?;
        self.photos.listing.items.get(place as usize).map(|item| item.name.as_str())
    }

    /// Returns those at `range`, cropped to the set's size, `[n, 3, size, size]`; all cores work.
    pub(super) fn crops(&self, range: Range<usize>) -> Result<Vec<u8>> {
        let size = self.photos.size;
        let crop = Preprocess {
            channels: CHANNELS,
            height: size,
            width: size,
            resize_short: Some(crop::short_side(size)),
            resize: Some(Resize::PIL),
            mean: vec![0.0; CHANNELS],
            std: vec![1.0; CHANNELS],
        };
        let one = CHANNELS * size * size;
        let mut pixels = vec![0; one * range.len()];
        let fill = |(out, i): (&mut [u8], usize)| -> Result<()> {
            let (planes, height, width) = self.picture(i)?;
            out.copy_from_slice(&crop.crop(planes, height, width)?);
            Ok(())
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = range.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let starts = range.step_by(share);
            let work: Vec<_> = pixels
                .chunks_mut(one * share)
                .zip(starts)
                .map(|(out, start)| scope.spawn(move || out.chunks_mut(one).zip(start..).try_for_each(fill)))
                .collect();
            let joined = |w: std::thread::ScopedJoinHandle<'_, Result<()>>| {
                w.join().map_err(|_| Error::Failed("a thread that crops pictures panicked".into()))?
            };
            work.into_iter().try_for_each(joined)
        })?;
        Ok(pixels)
    }
}

impl PartialEq for Chosen {
    /// The same pictures of the same cache.
    fn eq(&self, other: &Self) -> bool {
        self.places == other.places
            && self.photos.size == other.photos.size
            && self.photos.pictures.dir() == other.photos.pictures.dir()
    }
}

impl Eq for Chosen {}

/// By place in the listing.
fn grouped(pictures: &Pictures) -> Groups {
    let mut prints = Vec::with_capacity(pictures.len());
    let mut places = Vec::with_capacity(pictures.len());
    for i in pictures.good() {
        let (look, sha256) = (pictures.look(i as usize), pictures.file_sha256(i as usize));
        let Some((look, sha256)) = look.zip(sha256) else { continue };
        prints.push(Print::new(sha256, look));
        places.push(i);
    }
    let found = duplicates::groups(&prints);
    let place = |i: u32| places.get(i as usize).copied().unwrap_or(i);
    let pair = |&(a, b): &(u32, u32)| (place(a), place(b));
    let mut of: Vec<u32> = (0u32..).take(pictures.len()).collect();
    for (&i, &first) in places.iter().zip(&found.of) {
        if let Some(slot) = of.get_mut(i as usize) {
            *slot = place(first);
        }
    }
    Groups { of, equal: found.equal.iter().map(pair).collect(), near: found.near.iter().map(pair).collect() }
}

/// Train, val and test: places in the listing of readable pictures, ascending. What no part is said of is to train on,
/// or, where the set has no test pictures, is parted too.
fn parted(listing: &Listing, pictures: &Pictures, groups: &Groups) -> Result<[Vec<u32>; 3]> {
    let good = pictures.good();
    let of = |part: Option<Part>| {
        let is = |&i: &u32| listing.items.get(i as usize).is_some_and(|item| item.part == part);
        good.iter().copied().filter(is).collect::<Vec<u32>>()
    };
    let mut train = [of(Some(Part::Train)), of(None)].concat();
    train.sort_unstable();
    let (val, test) = (of(Some(Part::Val)), of(Some(Part::Test)));
    if !test.is_empty() {
        return Ok([train, val, test]);
    }
    let labels: Vec<u16> = train.iter().filter_map(|&i| pictures.label(i as usize)).collect();
    let group: Vec<u32> = train.iter().filter_map(|&i| groups.of.get(i as usize).copied()).collect();
    let cut = split_groups(&labels, &group, listing.classes.len(), TEST_FRACTION, TEST_SEED)?;
    let place = |at: Vec<u32>| at.iter().filter_map(|&i| train.get(i as usize).copied()).collect::<Vec<_>>();
    let test = place(cut.val);
    if test.is_empty() {
        let what = format!(
            "it has {}, too few for test: {TEST_FRACTION} of a class is none",
            format::counted(train.len(), "picture")
        );
        return Err(Error::input(&listing.root, what));
    }
    Ok([place(cut.train), val, test])
}

#[cfg(test)]
mod tests;
