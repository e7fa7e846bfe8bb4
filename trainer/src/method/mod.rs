//! The method: the generic teacher and its baselines, the supernet that conditions it, and distillation from either.

pub mod answers;
pub mod branch;
pub mod classifiers;
pub mod distill;
pub mod generic;
pub mod sampling;
pub mod supernet;
pub mod teacher;
