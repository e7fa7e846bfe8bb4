//! What a command line can name: architectures, the pools of students with their families, weights that others trained.

pub mod family;
pub mod pool;
pub mod pretrained;
mod resolve;
pub mod zoo;

pub use resolve::{resolve, resolve_among};
