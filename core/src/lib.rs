//! The ground the three GTN programs stand on: data sets, the one architecture description and its
//! lowering, cost counting, a plain reference evaluator, artifacts and reports.
//!
//! Nothing here links to libtorch, ONNX Runtime or wgpu, and nothing opens a network connection.
//!
//! From idea to file: `arch` and `pool` say what a network is, `graph` lowers it, `cost` counts it,
//! `fold` folds its batch normalisation, `quant` makes it int8, `eval` computes it plainly; `data`, `split`, `preprocess` (by `resize`) and
//! `augment` feed it; `latency` predicts how long it takes and `select` chooses by that; `model_dir`, `bundle`
//! and `kit` are the artifacts, written through `artifact`.

pub mod arch;
pub mod artifact;
pub mod augment;
mod blocks;
pub mod bundle;
pub mod compare;
pub mod compare_html;
pub mod cost;
pub mod data;
pub mod device;
pub mod distributions;
pub mod element;
pub mod error;
pub mod eval;
pub mod exit;
pub mod family;
pub mod fold;
pub mod format;
pub mod graph;
pub mod host;
pub mod html;
pub mod kit;
pub mod latency;
pub mod latency_samples;
pub mod model_dir;
pub mod norm_to_depthwise;
pub mod npy;
pub mod op_profile;
pub mod overview;
pub mod parity;
pub mod plot;
mod plot_rows;
pub mod pool;
pub mod preprocess;
pub mod progress;
pub mod quant;
pub mod quantiles;
pub mod report;
pub mod report_html;
mod resize;
pub mod rng;
pub mod robust;
pub mod select;
pub mod shares;
pub mod signals;
pub mod split;
#[cfg(test)]
mod statistics_peer;
pub mod stats;
pub mod table;
pub mod tensors;
pub mod testing;
pub mod training_report;
pub mod warning;
pub mod weights;
pub mod zoo;

pub use error::{Error, Result};
