//! The library under gtn-run, and what an application embeds: open a bundle, prove it, infer.
//!
//! `ort_library` finds ONNX Runtime, `ort_backend` runs models with it (and its execution `providers`) behind the
//! [`backend::Backend`] trait, `rten_backend` runs them in pure Rust, and `gpu` on any GPU by itself; `auto` says
//! which. `onnx` reads model files with bounds, `sizes` says how large what they leave open is, `arithmetic` what they
//! compute in; `subject` is a model ready to be judged or used; `image` (with
//! `jpeg`, `exif`) reads pictures, `classify` answers them. `verify`, `evaluate`, `bench` judge it; `prove` does all three
//! and writes one report. `affinity` and `settings` say how a model is run, `tune` finds out; `profile` and
//! `memory` look inside; `interleave` measures two models in turn, `bursts` many side by side, `reports` reads
//! saved ones.

pub mod affinity;
pub mod arithmetic;
pub mod auto;
pub mod backend;
pub mod bench;
pub mod budget;
pub mod bursts;
pub mod classify;
pub mod evaluate;
mod exif;
#[cfg(feature = "wgpu")]
pub mod gpu;
mod guard;
pub mod image;
pub mod interleave;
mod jpeg;
pub mod located;
pub mod memory;
pub mod onnx;
pub mod ort_backend;
pub mod ort_library;
pub mod profile;
pub mod prove;
pub mod providers;
pub mod reports;
#[cfg(feature = "rust")]
pub mod rten_backend;
#[cfg(feature = "rust")]
mod rten_ops;
pub mod settings;
mod shapes;
pub mod sizes;
pub mod subject;
mod trace;
pub mod tune;
pub mod verify;
