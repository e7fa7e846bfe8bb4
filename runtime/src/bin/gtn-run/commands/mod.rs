//! What a command line asks for, one file a command (`prove`: a whole bundle, `verify`, `eval`, `bench`).

pub mod answer;
pub mod classify;
pub mod compare;
pub mod infer;
pub mod info;
pub mod inspect;
pub mod prove;
pub mod soak;
pub mod table;
pub mod tune;
