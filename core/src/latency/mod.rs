//! How long a network takes on a device: predicted from a table of its fused operators that gtn-run
//! measured there, else from the device profile's roofline; with a 90 % band in both cases.
//!
//! `ops` lists a network's fused operators, `tiny` builds the models that they are timed with, `table` is
//! what a device's measurement holds, `fit` predicts from it by a `line`; `roofline` predicts from `performance`, the device
//! profile's own figures. `budget` is what a network may cost, `select` chooses among those within it.

pub mod budget;
mod fit;
mod line;
mod ops;
mod roofline;
pub mod select;
mod table;
mod tiny;

pub use fit::{Fitted, MIN_NETWORKS};
pub use line::Line;
pub use ops::{FusedOp, fused_ops};
pub use roofline::Roofline;
pub use table::{LatencyTable, NetworkRow, OpRow, Runtime, SCHEMA, Time};

use crate::device::Device;
use crate::ir::graph::Graph;
use crate::{Precision, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// This says where a latency comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Measured, on this machine.
    Measured,
    /// The device's latency table.
    Table,
    /// The device profile.
    Roofline,
}

/// This is a latency at batch 1 with its band, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// The median inference on a machine at rest.
    pub ms: f64,
    /// By a table: about nine of ten networks lie within, at least eight ([`Line::interval90`]). Measured: the
    /// lower quartile of bursts lies within in nine of ten measurements. By a profile: what the profile claims,
    /// and nobody has counted.
    pub band: [f64; 2],
    /// Where it comes from.
    pub basis: Basis,
}

/// Predicts whole networks of one precision on one device.
#[derive(Debug, Clone)]
pub enum Predictor {
    /// From the device's table.
    Table(Box<Fitted>),
    /// From the device's profile.
    Roofline(Box<Roofline>),
}

/// This is what can be predicted.
#[derive(Debug)]
pub struct Known {
    /// By precision.
    pub predictors: Vec<(Precision, Predictor)>,
    /// Precisions without figures.
    pub unknown: Vec<Precision>,
}

impl Predictor {
    /// Makes a predictor from the table where one is given, else from the profile at its own number of threads.
    /// It is an error if there are no figures for the precision.
    pub fn new(device: &Device, table: Option<&Path>, precision: Precision) -> Result<Self> {
        Self::of(device, read(table)?.as_ref(), precision)
    }

    fn of(device: &Device, table: Option<&(LatencyTable, &Path)>, precision: Precision) -> Result<Self> {
        Ok(match table {
            Some((table, path)) => Self::Table(Box::new(Fitted::new(table, precision, path)?)),
            None => Self::Roofline(Box::new(Roofline::new(device, precision, device.cpu.threads.value)?)),
        })
    }

    /// Makes a predictor for each of `precisions` that the table, or else the profile, has figures for, in that
    /// order, and lists those that it has none for. It is an error if there are figures for none.
    pub fn known(device: &Device, table: Option<&Path>, precisions: &[Precision]) -> Result<Known> {
        let table = read(table)?;
        let has: Vec<Precision> = match (&table, &device.performance) {
            (Some((table, _)), _) => table.networks.iter().map(|n| n.precision).collect(),
            (None, Some(performance)) => performance.speed.keys().copied().collect(),
            (None, None) => Vec::new(),
        };
        let (mut known, unknown): (Vec<_>, Vec<_>) = precisions.iter().partition(|p| has.contains(p));
        if known.is_empty() {
            known.extend(precisions.first()); // whose error says what there is
        }
        let predictor = |p: Precision| Ok((p, Self::of(device, table.as_ref(), p)?));
        Ok(Known { predictors: known.into_iter().map(predictor).collect::<Result<_>>()?, unknown })
    }

    /// Returns the compute threads that its predictions hold for, on that device.
    pub fn threads(&self, device: &Device) -> usize {
        match self {
            Self::Table(fitted) => fitted.runtime().threads,
            Self::Roofline(_) => device.cpu.threads.value,
        }
    }

    /// Returns what the table was measured with; `None` where it is the profile that predicts.
    pub fn runtime(&self) -> Option<&Runtime> {
        match self {
            Self::Table(fitted) => Some(fitted.runtime()),
            Self::Roofline(_) => None,
        }
    }

    /// Predicts what one inference at batch 1 takes. An operator that the table lacks is an error that names
    /// it.
    pub fn predict(&self, graph: &Graph) -> Result<Prediction> {
        match self {
            Self::Table(fitted) => fitted.predict(graph),
            Self::Roofline(roofline) => Ok(roofline.predict(graph)),
        }
    }

    /// Returns where its predictions come from.
    pub fn basis(&self) -> Basis {
        match self {
            Self::Table(_) => Basis::Table,
            Self::Roofline(_) => Basis::Roofline,
        }
    }
}

fn read(table: Option<&Path>) -> Result<Option<(LatencyTable, &Path)>> {
    table.map(|path| Ok((LatencyTable::read(path)?, path))).transpose()
}

impl Prediction {
    /// Returns whether `self` is faster than `other` beyond doubt: its whole band is below the other's. It is
    /// not where a number is NaN.
    pub fn clearly_below(&self, other: &Self) -> bool {
        self.band[1] < other.band[0]
    }

    /// Returns what has to be within a limit, in ms: the upper end of a measurement's band, so that noise lets
    /// nothing pass; of a prediction its best estimate, whose band says how sure it is.
    pub fn to_be_within(&self) -> f64 {
        match self.basis {
            Basis::Measured => self.band[1],
            Basis::Table | Basis::Roofline => self.ms,
        }
    }
}

impl std::fmt::Display for Prediction {
    /// `0.41 ms (0.38 to 0.44)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use crate::text::format::ms;
        write!(f, "{} ({} to {})", ms(self.ms), ms(self.band[0]), ms(self.band[1]))
    }
}

impl std::fmt::Display for Basis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Measured => "measured on this machine",
            Self::Table => "predicted from the latency table",
            Self::Roofline => "predicted from the device profile",
        })
    }
}
