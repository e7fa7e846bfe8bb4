//! The one description of a network: `arch` says what it is, `graph` lowers it, `fold` folds its batch normalisation, `cost` counts it, `eval` computes it plainly.

pub mod arch;
pub(crate) mod blocks;
pub mod cost;
pub mod eval;
pub mod fold;
pub mod graph;
pub mod random_weights;
pub mod weights;
