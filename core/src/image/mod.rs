//! Pictures: what training, calibration and the device share. PNG, JPEG and WebP files are read (`read`, with
//! a file for each format, `jpeg`'s markers, its colours from `chroma` and the camera's orientation from `exif`) and
//! resized; some are made (`made`); `detail` tells how many pixels one needs.

#[cfg(feature = "images")]
mod chroma;
#[cfg(feature = "photos")]
mod detail;
#[cfg(feature = "images")]
mod exif;
#[cfg(feature = "images")]
mod jpeg;
#[cfg(feature = "photos")]
mod made;
#[cfg(feature = "photos")]
mod made_jpeg;
#[cfg(feature = "images")]
mod png;
#[cfg(feature = "images")]
mod read;
pub(crate) mod resize;
#[cfg(feature = "images")]
mod webp;
#[cfg(feature = "photos")]
mod write;

#[cfg(feature = "photos")]
pub use detail::detail_side;
#[cfg(feature = "photos")]
pub use made::made_pictures;
#[cfg(feature = "images")]
pub use read::{Image, check_channels};
#[cfg(feature = "photos")]
pub use write::{ending, small_png, to_png};

use std::path::Path;

/// Endings of the files that are taken from a folder (any case).
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Whether a file of a folder is taken for a picture, by its ending.
pub fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|e| ENDINGS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// The luma of ITU-R BT.601 in 16-bit weights, rounded: as PIL's `convert("L")`.
pub(crate) fn luma(r: u8, g: u8, b: u8) -> u8 {
    let sum = u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000;
    u8::try_from(sum >> 16).unwrap_or(u8::MAX)
}
