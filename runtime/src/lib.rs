//! The library under gtn-run, and what an application embeds: open a bundle, prove it, infer. What is on a photograph:
//!
//! ```no_run
//! use gtn_run::{backend::Options, subject::Subject};
//! let mut subject = Subject::open("student.gtn".as_ref(), &Options::default())?;
//! let photo = gtn_core::image::Image::open("photo.jpg".as_ref())?;
//! let best = &subject.classify(&[photo])?[0][0];
//! println!("{}: {:.1} %", best.label, 100.0 * best.probability);
//! # Ok::<(), gtn_core::Error>(())
//! ```
//!
//! The wings, ground floor first:
//!
//! - [`onnx`]: model files, read with bounds: what they declare, what their values take, what they compute in
//! - [`backend`]: the trait that every engine answers to; ONNX Runtime and rten behind it
//! - `gpu`: our own executor on any GPU (feature `wgpu`)
//! - [`auto`]: which backend runs a model here; [`subject`]: a model ready to be judged or used; [`classify`]: what it says
//!   of pictures
//! - [`judge`]: is it right, how good, how fast, how large: verify, evaluate, bench, profile, memory, and all at once
//! - [`timing`]: models timed in turn or side by side, and the fastest way to run one
//! - [`affinity`] and [`settings`]: how a model is run; [`reports`]: what was saved of it
//! - [`remote`]: any measuring command, on another machine

pub mod affinity;
pub mod auto;
pub mod backend;
pub mod classify;
#[cfg(feature = "wgpu")]
pub mod gpu;
pub mod judge;
pub mod onnx;
pub mod remote;
pub mod reports;
pub mod settings;
pub mod subject;
pub mod timing;
