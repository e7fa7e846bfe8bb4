//! Picture sets that are larger than memory: every picture is decoded once, made small, and kept as plain bytes in one
//! file, which training maps into memory.
//!
//! A cache is a folder `photos-HASH`, named for what is in it: the settings, and of every picture its name, label, size
//! and time of change. So a set that changed has another folder, and nothing is ever out of date. In it:
//!
//! - `pixels.u8`: the pictures one after another, upright, planar `[channels, height, width]`, short side at most the
//!   setting's, shape kept, never enlarged, shrunk as Pillow's BILINEAR shrinks;
//! - `index.bin`: a record for each picture (see `index`), also for those that cannot be read;
//! - `broken.jsonl`: a line for each of those, with the reason;
//! - `finished.json`: written last. Without it the folder is a half-made one, which [`build`] goes on with.

mod build;
mod index;
mod journal;
mod pictures;
mod space;

pub use build::{Progress, build, folder};
pub use pictures::Pictures;

use crate::data::augment::crop::short_side;
use crate::text::format;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a cache is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Of the short side, pixels: larger pictures are shrunk to it.
    pub side: usize,
    /// 3 (RGB) or 1 (grey).
    pub channels: usize,
    /// Share of the pictures, 0 to 1, that may be unreadable; more is an error. Not a part of the cache's name.
    pub max_bad: f64,
    /// Threads that decode; 0: one for each core. Not a part of the cache's name.
    pub threads: usize,
}

impl Settings {
    /// For networks that see `size` x `size` pixels: room for a crop of 7/8.
    pub fn for_size(size: usize, channels: usize) -> Self {
        Self { side: short_side(size), channels, max_bad: 0.01, threads: 0 }
    }

    fn check(&self) -> Result<()> {
        crate::image::check_channels(self.channels)?;
        if !(1..=8192).contains(&self.side) {
            return Err(Error::usage(format!("the cache's side is {}, wanted 1 to 8192 pixels", self.side)));
        }
        if !(0.0..=1.0).contains(&self.max_bad) {
            return Err(Error::usage(format!("--max-bad {}: wanted a share, 0 to 1", self.max_bad)));
        }
        Ok(())
    }

    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        if self.threads == 0 { cores() } else { self.threads }
    }
}

const PIXELS: &str = "pixels.u8";
const INDEX: &str = "index.bin";
const BROKEN: &str = "broken.jsonl";
const FINISHED: &str = "finished.json";
const LOCK: &str = "lock";

/// `finished.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Finished {
    schema: String,
    /// One name per class.
    classes: Vec<String>,
    pictures: u64,
    broken: u64,
    pixel_bytes: u64,
    /// Of index.bin, which holds a hash of every picture.
    index_sha256: String,
}

const SCHEMA: &str = "gtn.photos/2";

/// A picture that cannot be read: a line of `broken.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    /// Its place in the listing.
    pub index: u32,
    /// Its name there.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Broken pictures that a message names before it counts the rest.
const NAMED: usize = 10;

impl Broken {
    /// Returns the first ten with their reasons, and how many more there are.
    pub fn told(all: &[Self]) -> String {
        format::some(all.iter().map(|b| format!("{}: {}", b.name, b.why)), "; ", NAMED)
    }
}

#[cfg(test)]
mod tests;
