//! Running a program: the GPU (`adapter`), its memory (`buffers`), compiled kernels (`pipelines`, `cache`), the run (`executor`), and
//! its times (`timing`, `peak`).

pub mod adapter;
pub mod buffers;
pub mod cache;
pub mod executor;
pub mod peak;
pub mod pipelines;
pub mod timing;
