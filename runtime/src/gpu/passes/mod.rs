//! Graph to graph: the kernels that suit an adapter (`layout`), and where each value lies (`plan`).

pub mod layout;
pub mod plan;
