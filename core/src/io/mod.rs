//! Bytes on disk, bounded and atomic: files of ours, arrays, tensors. It knows no network.

pub mod artifact;
pub mod element;
pub mod npy;
pub mod tensors;
