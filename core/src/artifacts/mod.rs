//! What one program hands to the next: a student's folder, a bundle, a kit.

pub mod answers;
pub mod bundle;
pub mod files;
pub mod kit;
pub mod model_dir;
pub mod samples;
