//! Running: the GPU (`adapter`), compiled kernels (`pipelines`, `cache`), the run (`executor`), and its times (`timing`, `peak`).

pub mod adapter;
pub mod cache;
pub mod executor;
pub mod peak;
pub mod pipelines;
pub mod timing;
