//! Pixels of a set of images: held in memory, or cropped from a picture cache when they are looked at.

use super::ImageSet;
#[cfg(feature = "photos")]
use super::photos::Chosen;
use crate::{Error, Result};
use std::borrow::Cow;
use std::ops::Range;

/// Bytes that are read at once at most.
const MAX_PIXELS: usize = 8 << 30;

/// Pixels of images of one size, u8, planar `[n, C, H, W]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Whatever there is no photograph of, and photographs where they are few.
    held: Option<Vec<u8>>,
    #[cfg(feature = "photos")]
    photos: Option<Chosen>,
}

impl Pixels {
    pub(super) fn held(pixels: Vec<u8>) -> Self {
        Self {
            held: Some(pixels),
            #[cfg(feature = "photos")]
            photos: None,
        }
    }

    /// Photographs, cropped now if they are to be held.
    #[cfg(feature = "photos")]
    pub(super) fn of_photos(photos: Chosen, held: bool) -> Result<Self> {
        let held = held.then(|| photos.crops(0..photos.places.len())).transpose()?;
        Ok(Self { held, photos: Some(photos) })
    }

    fn of(&self, range: Range<usize>, len: usize) -> Result<Cow<'_, [u8]>> {
        let gone = || Error::Failed(format!("images {} to {} are not in the set", range.start, range.end));
        if let Some(held) = &self.held {
            return held.get(range.start * len..range.end * len).map(Cow::Borrowed).ok_or_else(gone);
        }
        #[cfg(feature = "photos")]
        if let Some(photos) = self.photos.as_ref().filter(|p| range.end <= p.places.len()) {
            return Ok(Cow::Owned(photos.crops(range)?));
        }
        Err(gone())
    }

    fn subset(&self, indices: &[u32], len: usize) -> Self {
        let copy = |pixels: &Vec<u8>| {
            let image = |&i: &u32| pixels.get(i as usize * len..(i as usize + 1) * len);
            indices.iter().filter_map(image).flatten().copied().collect()
        };
        #[cfg(feature = "photos")]
        let places = |photos: &Chosen| {
            let place = |&i: &u32| photos.places.get(i as usize).copied();
            let photos = std::sync::Arc::clone(&photos.photos);
            (photos, indices.iter().filter_map(place).collect())
        };
        Self {
            held: self.held.as_ref().map(copy),
            #[cfg(feature = "photos")]
            photos: self.photos.as_ref().map(places).map(|(photos, places)| Chosen { photos, places }),
        }
    }
}

impl ImageSet {
    /// Returns the pixels of the images at `range`, planar `[n, C, H, W]`. Fails where the set has no such images, or
    /// its cache no longer has their pictures.
    pub fn pixels_of(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>> {
        self.pixels.of(range, self.image_len())
    }

    /// Returns image `i`, planar `[C, H, W]`. Fails as [`Self::pixels_of`] does.
    pub fn image(&self, i: usize) -> Result<Cow<'_, [u8]>> {
        self.pixels_of(i..i + 1)
    }

    /// Returns the pixels of all images, for sets that are not large: more than 8 GiB is an error.
    pub fn all_pixels(&self) -> Result<Cow<'_, [u8]>> {
        let bytes = self.len().saturating_mul(self.image_len());
        if bytes > MAX_PIXELS {
            let what = format!(
                "{} images of {} take {} GiB of memory, wanted at most {}: a smaller size",
                self.len(),
                self.input,
                bytes.div_ceil(1 << 30),
                MAX_PIXELS >> 30
            );
            return Err(Error::usage(what));
        }
        self.pixels_of(0..self.len())
    }

    /// Returns all pixels in order, of at most `n` images at a time; each may fail as [`Self::pixels_of`] does.
    pub fn chunks(&self, n: usize) -> impl Iterator<Item = Result<Cow<'_, [u8]>>> {
        let n = n.max(1);
        (0..self.len()).step_by(n).map(move |start| self.pixels_of(start..(start + n).min(self.len())))
    }

    /// Returns the images at `indices`, in that order; all of them must be there.
    pub fn subset(&self, indices: &[u32]) -> Self {
        let label = |&i: &u32| self.labels.get(i as usize).copied();
        Self {
            input: self.input,
            classes: self.classes,
            labels: indices.iter().filter_map(label).collect(),
            pixels: self.pixels.subset(indices, self.image_len()),
            origin: None,
        }
    }

    /// Returns whether the pixels are in memory.
    pub fn is_held(&self) -> bool {
        self.pixels.held.is_some()
    }

    /// Returns the photographs that the images were cropped from; none for the published sets.
    #[cfg(feature = "photos")]
    pub fn photos(&self) -> Option<&Chosen> {
        self.pixels.photos.as_ref()
    }
}
