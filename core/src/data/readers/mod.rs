//! One file a kind of data set; picture sets (feature `photos`) are listed, the others read into memory.

// A length or a number of a file that nobody vouches for is never cut to fit.
#![cfg_attr(not(test), deny(clippy::as_conversions))]

pub(super) mod cifar;
pub(super) mod fashion_mini;
pub(super) mod idx;
#[cfg(feature = "photos")]
pub(super) mod image_folder;
#[cfg(feature = "photos")]
mod labels_csv;
mod pickle;
#[cfg(feature = "photos")]
mod tar;
#[cfg(feature = "photos")]
pub(super) mod tar_shards;
#[cfg(feature = "photos")]
pub(super) mod tiny_imagenet;
#[cfg(feature = "photos")]
mod walk;
