//! What a program does at its edge: exit status and messages, progress, signals.

pub mod exit;
pub mod progress;
pub mod signals;
