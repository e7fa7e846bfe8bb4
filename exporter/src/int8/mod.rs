//! The int8 recipe: `find` tries what the user left open, `search` makes and judges a recipe on the images of `calibration`, `fallback` says which layers stay
//! in fp32, `sqnr` what each loses.

pub mod calibration;
pub mod fallback;
pub mod find;
pub mod search;
pub mod sqnr;
