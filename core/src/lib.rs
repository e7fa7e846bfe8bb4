//! The ground that the three GTN programs stand on: data sets, the one architecture description and its lowering, cost
//! counting, a plain reference evaluator, artifacts and reports.
//!
//! Nothing here links to libtorch, ONNX Runtime or wgpu, and nothing opens a network connection. A student's network,
//! what it costs and how long a Raspberry Pi 5 would take for it:
//!
//! ```
//! use gtn_core::{device, ir::arch::Input, ir::cost::Cost, ir::graph::Graph, latency::Predictor, nets::pool};
//! use gtn_core::Precision;
//! let input = Input { channels: 1, height: 28, width: 28 };
//! let graph = Graph::lower(&pool::student("res-mini:d111-k333-e111", input, 10)?)?;
//! let predicted = Predictor::new(&device::resolve("rpi5")?, None, Precision::Fp32)?.predict(&graph)?;
//! println!("{} MACs, {:.2} ms", Cost::of(&graph).macs, predicted.ms);
//! # Ok::<(), gtn_core::Error>(())
//! ```
//!
//! The wings, ground floor first:
//!
//! - [`text`]: plain words and tables; the escaping of untrusted text
//! - [`host`]: the machine a measurement was made on, read from /proc and /sys
//! - [`program`]: what a program does at its edge: exit status and messages, progress, signals
//! - [`io`]: bytes on disk, bounded and atomic: files of ours, arrays, tensors, PyTorch's state dicts
//! - [`image`]: pictures: PNG, JPEG and WebP files, and the resizing that training, calibration and the device share
//! - [`measure`]: what was measured and what may be said of it: samples, statistics, parity, warnings, comparisons, reports
//! - [`ir`]: the one description of a network: `arch` says what it is, `graph` lowers it, `fold` folds its batch normalisation, `cost` counts it, `eval` computes it plainly
//! - [`device`]: device profiles (`gtn.device/1`): what a target is and how a bundle for it should look
//! - [`html`]: pages for people: plots, and the pages of reports, comparisons and training runs
//! - [`data`]: data sets: labelled u8 images in memory, read from the layouts they are published in, and sets of picture files: listed, cached, parted with their copies together; augmentation
//! - [`quant`]: static int8 quantisation: what is quantised, and with which scale
//! - [`latency`]: how long a network takes on a device: predicted from a table of its fused operators that gtn-run measured there, else from the device profile's roofline; with a 90 % band in both cases
//! - [`fleet`]: the devices that a pool is to serve (`gtn.fleet/1`), and who serves whom
//! - [`artifacts`]: what one program hands to the next: a student's folder, a bundle, a kit
//! - [`nets`]: what a command line can name: architectures, the pools of students with their families; weights that others trained

pub mod artifacts;
pub mod data;
pub mod device;
pub mod error;
pub mod fleet;
pub mod host;
pub mod html;
pub mod image;
pub mod io;
pub mod ir;
pub mod latency;
pub mod measure;
pub mod nets;
mod precision;
pub mod program;
pub mod quant;
pub mod rng;
pub mod text;

pub use error::{Error, Result};
pub use precision::Precision;
