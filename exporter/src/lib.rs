//! gtn-export's library: from a trained network to a bundle that fits a target device, proved before it
//! exists.
//!
//! `export` is the whole way; `flags` are judged first; `contest` makes every precision's `candidate` and picks
//! one (`choose` measures two in turn, `outlook` is what is predicted for the target), `int8` searches
//! the quantisation recipe on the images of `calibration` (`fallback` says which layers stay in fp32,
//! `sqnr` what each loses), `onnx_writer` and `qdq_writer` write files from the pieces in `onnx_nodes` and
//! `onnx_proto`, `bundle_writer` and `model_card` the folder. `selection` finds the student that fits a
//! budget by what `timing` knows, `kit` writes what a device measures, `check` judges any ONNX model.

pub mod bundle_writer;
pub mod calibration;
pub mod candidate;
pub mod check;
pub mod choose;
pub mod cli;
pub mod contest;
pub mod export;
pub mod fallback;
pub mod flags;
pub mod int8;
pub mod kit;
pub mod lanes;
pub mod model_card;
pub mod onnx_nodes;
pub mod onnx_proto;
pub mod onnx_writer;
pub mod outlook;
pub mod qdq_writer;
pub mod selection;
pub mod sqnr;
pub mod students;
pub mod targets;
pub mod timing;
pub mod untrained;
