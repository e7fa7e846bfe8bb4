//! How much a cache will take, and how much there is.

use crate::data::listing::Listing;
use crate::image::Image;
use crate::text::format;
use crate::{Error, Result};
use std::path::Path;

/// Pictures whose sizes stand for all others'.
const SAMPLE: usize = 24;
/// What the estimate may be wrong by.
const MARGIN: f64 = 1.15;

/// Bytes that may be written to the file system of `dir`; none where the system does not say.
#[cfg(unix)]
pub(super) fn free(dir: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::CString::new(dir.as_os_str().as_bytes()).ok()?;
    let mut answer = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `name` ends with a zero byte and `answer` is a whole statvfs; both outlive the call.
    let status = unsafe { libc::statvfs(name.as_ptr(), answer.as_mut_ptr()) };
    if status != 0 {
        return None;
    }
    // SAFETY: all bytes were zeroed, which is a valid statvfs, and the call has filled it in.
    let answer = unsafe { answer.assume_init() };
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)] // their widths differ between systems
    let bytes = (answer.f_bavail as u64).checked_mul(answer.f_frsize as u64);
    bytes
}

#[cfg(not(unix))]
pub(super) fn free(_: &Path) -> Option<u64> {
    None
}

/// Bytes that the pictures from `first` on will take, from the sizes of some of them.
pub(super) fn needed(listing: &Listing, first: usize, side: usize, channels: usize) -> u64 {
    let count = listing.items.len().saturating_sub(first);
    let step = count.div_ceil(SAMPLE).max(1);
    let sizes = listing.items.iter().skip(first).step_by(step).filter_map(|item| {
        let image = Image::from_bytes(&item.place.read().ok()?).ok()?;
        let (height, width) = super::build::shrunk(image.height(), image.width(), side);
        Some((height * width * channels) as f64)
    });
    let (total, n) = sizes.fold((0.0, 0), |(total, n), bytes| (total + bytes, n + 1));
    // If not one can be read, the work itself will say so.
    (total / f64::from(n.max(1)) * count as f64 * MARGIN) as u64
}

/// An error where less is free than needed.
pub(super) fn check(dir: &Path, needed: u64, free: Option<u64>) -> Result<()> {
    match free {
        Some(free) if free < needed => {
            let what = format!("it needs about {}, {} are free", format::bytes(needed), format::bytes(free));
            let full = std::io::Error::new(std::io::ErrorKind::StorageFull, what);
            Err(Error::io(dir, "make the picture cache here", full))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_before() {
        check(Path::new("d"), 5, Some(5)).unwrap();
        check(Path::new("d"), 5, None).unwrap();
        let error = check(Path::new("d"), 3 << 30, Some(1 << 20)).unwrap_err().to_string();
        assert_eq!(
            error,
            "d: cannot make the picture cache here: it needs about 3.00 GiB, 1.00 MiB are free"
        );
    }

    #[cfg(unix)]
    #[test]
    fn the_system_says_what_is_free() {
        assert!(free(&std::env::temp_dir()).unwrap() > 0);
        assert_eq!(free(Path::new("/no/such/folder")), None);
    }
}
