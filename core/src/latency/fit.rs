//! A table made into a predictor: the sum of the operators' times, an overhead per inference and a scale,
//! fitted on the kit's whole networks, and a band from how far those are off.

use super::line::Line;
use super::ops::fused_ops;
use super::table::{LatencyTable, NetworkRow, Runtime};
use super::{Basis, Prediction};
use crate::ir::fold::fold_graph;
use crate::ir::graph::Graph;
use crate::measure::robust::median;
use crate::{Error, Precision, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Fewest networks that a 90 % band can be taken from: with n errors, the largest bounds the next one in
/// n of n + 1 cases.
pub const MIN_NETWORKS: usize = 9;
/// The band's ends lie further out, at least, by this share: two sessions on one machine at rest differ by up
/// to 5 % (clocks, placement in memory), which one session cannot see.
const SESSIONS: f64 = 0.05;
/// A scale outside this says that operators and networks were measured in different states.
const SCALE: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// Predicts networks of one precision on the table's device.
#[derive(Debug, Clone)]
pub struct Fitted {
    times: BTreeMap<String, f64>,
    precision: Precision,
    runtime: Runtime,
    line: Line,
    /// What the machine and its sessions widen a band by: its ends are divided and multiplied by it.
    beyond: f64,
    /// Half of the widest band among the kit's own networks: a prediction p stands for at most p / (1 + band)
    /// to p (1 + band) there.
    pub band: f64,
}

impl Fitted {
    /// Fits a table's times of one precision; `path` is for messages. It is an error if the table has fewer
    /// than nine whole networks of it, or their times do not lie on a line of a plausible scale.
    pub fn new(table: &LatencyTable, precision: Precision, path: &Path) -> Result<Self> {
        let times = table.ops.iter().map(|r| (r.op.clone(), r.time.rest_us.max(0.0))).collect();
        let networks: Vec<&NetworkRow> = table.networks.iter().filter(|n| n.precision == precision).collect();
        if networks.len() < MIN_NETWORKS {
            let what = format!(
                "holds {} whole networks of precision {precision}, wanted at least {MIN_NETWORKS} for a 90 % band",
                networks.len()
            );
            return Err(Error::input(path, what));
        }
        let mut points = Vec::with_capacity(networks.len());
        for network in &networks {
            let graph = Graph::lower(&network.arch)?;
            let sum = sum(&times, precision, &graph).map_err(|e| Error::input(path, e.to_string()))?;
            points.push((sum, network.time.rest_us));
        }
        let line = Line::fit(&points).ok_or_else(|| {
            Error::input(
                path,
                "the times of its whole networks do not rise with the sums of their operators: other work disturbed the \
                 measuring; measure again",
            )
        })?;
        if !SCALE.contains(&line.scale) {
            let what = format!(
                "whole networks take {:.2} times the sum of their operators, wanted 0.5 to 2: measured in different \
                 states of the machine; measure again",
                line.scale
            );
            return Err(Error::input(path, what));
        }
        let drift: Vec<f64> = networks.iter().map(|n| n.drift.ln()).collect();
        let beyond = (1.0 + SESSIONS) * median(&drift).abs().exp();
        let runtime = table.backend.clone();
        let mut fitted = Self { times, precision, runtime, line, beyond, band: 0.0 };
        let half = |&(x, _): &(f64, f64)| {
            let (ms, [low, high]) = fitted.at(x);
            (ms / low).max(high / ms) - 1.0
        };
        fitted.band = points.iter().map(half).fold(0.0, f64::max);
        Ok(fitted)
    }

    /// Returns what computed when the table was measured.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Returns the microseconds per inference that belong to no operator, and what the sum of the operators is
    /// multiplied by.
    pub fn line(&self) -> [f64; 2] {
        [self.line.overhead, self.line.scale]
    }

    /// Returns the leave-one-out errors of the kit's networks, (predicted - measured) / measured.
    pub fn errors(&self) -> Vec<f64> {
        self.line.errors()
    }

    /// Predicts what one inference at batch 1 takes on a machine at rest, in ms. It is an error if the table
    /// lacks an operator.
    pub fn predict(&self, graph: &Graph) -> Result<Prediction> {
        let (ms, band) = self.at(sum(&self.times, self.precision, graph)?);
        Ok(Prediction { ms, band, basis: Basis::Table })
    }

    /// Milliseconds and their band for operators that sum to `x` microseconds.
    fn at(&self, x: f64) -> (f64, [f64; 2]) {
        let [low, high] = self.line.interval90(x);
        (self.line.at(x) / 1e3, [low / self.beyond / 1e3, high * self.beyond / 1e3])
    }
}

/// The sum of a network's operators, microseconds.
fn sum(times: &BTreeMap<String, f64>, precision: Precision, graph: &Graph) -> Result<f64> {
    let mut missing = BTreeSet::new();
    let mut sum = 0.0;
    for op in fused_ops(&fold_graph(graph)) {
        let key = op.key(precision);
        match times.get(&key) {
            Some(us) => sum += us,
            None => drop(missing.insert(key)),
        }
    }
    let Some(first) = missing.first() else { return Ok(sum) };
    Err(Error::usage(format!(
        "the latency table lacks {} of the network's operators, such as `{first}`: measure a kit of its pool, input \
         size and classes (gtn-export kit --pool P --input CxHxW --classes N)",
        missing.len()
    )))
}
