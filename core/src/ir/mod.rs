//! The one description of a network: `arch` says what it is, `lower` makes a `graph` of it (with `blocks` and `builder`), `fold` folds its batch normalisation, `cost` counts it, `eval` computes it plainly.

pub mod arch;
pub(crate) mod blocks;
pub(crate) mod builder;
pub mod cost;
pub mod eval;
pub mod fold;
pub mod graph;
mod lower;
pub mod random_weights;
pub mod weights;
