//! gtn-export's library: from a trained network to a bundle that fits a target device, proved before it exists.
//!
//! ```no_run
//! use clap::Parser;
//! use gtn_export::{cli::Cli, commands::export};
//! let line = "gtn-export --target rpi5 --precision int8 runs/student --out bundles/";
//! export::run(&Cli::parse_from(line.split(' ')).export)?;
//! # Ok::<(), gtn_core::Error>(())
//! ```
//!
//! The wings, ground floor first:
//!
//! - [`onnx`]: writing ONNX files
//! - [`lanes`]: models run over many images; [`students`]: the trained networks under a folder; [`untrained`]: networks
//!   that nobody trained, for timing
//! - [`int8`]: the quantisation recipe, searched on calibration images
//! - [`plan`]: what an export is to do, every flag judged
//! - [`candidates`]: every precision's file, what is predicted and measured of it, and the choice between them
//! - [`bundle`]: the folder that ships
//! - [`commands`]: export, selection, kit, targets and check, from their arguments ([`cli`])

pub mod bundle;
pub mod candidates;
pub mod cli;
pub mod commands;
pub mod int8;
pub mod lanes;
pub mod onnx;
pub mod plan;
pub mod students;
pub mod untrained;
