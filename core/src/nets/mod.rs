//! What a command line can name: architectures, and the pools of students with their families.

pub mod family;
pub mod pool;
pub mod pretrained;
mod resolve;
pub mod zoo;

pub use resolve::resolve;
