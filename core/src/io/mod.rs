//! Bytes on disk, bounded and atomic: files of ours, arrays, tensors, PyTorch's state dicts. It knows no network.

// A length or a number of a file that nobody vouches for is never cut to fit.
#![cfg_attr(not(test), deny(clippy::as_conversions))]

pub mod artifact;
pub mod element;
pub mod npy;
pub(crate) mod pickle;
pub mod state_dict;
pub mod tensors;

/// Returns a length as files have it: nothing is lost, for no system has lengths of more than 64 bits.
#[allow(clippy::as_conversions)]
pub const fn wide(length: usize) -> u64 {
    length as u64
}
