//! What a command line asks for: arguments are judged, then the work is called.

pub mod check;
pub mod export;
pub mod fleet;
pub mod kit;
pub mod select;
pub mod targets;
