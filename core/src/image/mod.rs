//! Pictures: what training, calibration and the device share. PNG, JPEG and WebP files are read (`read`, with
//! a file for each format, `jpeg`'s markers and the camera's orientation from `exif`) and resized.

#[cfg(feature = "images")]
mod exif;
#[cfg(feature = "images")]
mod jpeg;
#[cfg(feature = "images")]
mod png;
#[cfg(feature = "images")]
mod read;
pub(crate) mod resize;
#[cfg(feature = "images")]
mod webp;
#[cfg(feature = "photos")]
mod write;

#[cfg(feature = "images")]
pub use read::{Image, check_channels};
#[cfg(feature = "photos")]
pub use write::to_png;

use std::path::Path;

/// Endings of the files that are taken from a folder (any case).
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Whether a file of a folder is taken for a picture, by its ending.
pub fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|e| ENDINGS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}
