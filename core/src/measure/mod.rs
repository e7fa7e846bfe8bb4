//! What was measured and what may be said of it: samples, statistics, parity, warnings, comparisons, reports.

pub mod compare;
pub mod confusion;
pub mod distributions;
pub mod energy;
pub mod op_profile;
pub mod overview;
pub mod parity;
pub mod quantiles;
pub mod report;
pub mod robust;
#[cfg(test)]
pub(crate) mod sample_report;
pub mod samples;
pub mod shares;
pub mod soak;
#[cfg(test)]
pub(crate) mod statistics_peer;
pub mod stats;
pub mod steady;
pub mod warning;
pub mod worst;
