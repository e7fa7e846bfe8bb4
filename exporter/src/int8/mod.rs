//! The int8 recipe: `search` tries what the user left open on the images of `calibration`, `fallback` says which layers stay
//! in fp32, `sqnr` what each loses.

pub mod calibration;
pub mod fallback;
pub mod search;
pub mod sqnr;
