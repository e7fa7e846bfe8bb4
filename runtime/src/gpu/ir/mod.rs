//! What a model is on a GPU: typed values and the steps between them.

pub mod graph;
