//! A table made into a predictor: the sum of the operators' times, an overhead per inference and a scale,
//! fitted on the kit's whole networks, and a band from how far those are off.

use super::ops::fused_ops;
use super::table::{NetworkRow, Runtime, Table};
use super::{Basis, Prediction};
use crate::fold::fold_graph;
use crate::graph::Graph;
use crate::stats::percentile;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Fewest networks that a 90 % band can be taken from: with n errors, the largest bounds the next one in
/// n of n + 1 cases.
const MIN_NETWORKS: usize = 9;
/// Half the band, at least, as a share: two sessions on one machine at rest differ by up to 5 % (clocks,
/// placement in memory), which one session cannot see.
const SESSIONS: f64 = 0.05;
/// Huber's constant: 95 % efficient for normal errors.
const HUBER: f64 = 1.345;
/// A scale outside this says that operators and networks were measured in different states.
const SCALE: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// Predicts networks of one precision on the table's device.
#[derive(Debug, Clone)]
pub struct Fitted {
    times: BTreeMap<String, f64>,
    precision: String,
    runtime: Runtime,
    /// Microseconds per inference that belong to no operator.
    pub overhead_us: f64,
    /// What the sum of the operators is multiplied by.
    pub scale: f64,
    /// Half the 90 % band: a prediction p stands for p / (1 + band) to p (1 + band).
    pub band: f64,
    /// Leave-one-out errors of the kit's networks, (predicted - measured) / measured.
    pub errors: Vec<f64>,
}

impl Fitted {
    /// Fits; `path` is for messages.
    pub fn new(table: &Table, precision: &str, path: &Path) -> Result<Self> {
        let times = table.ops.iter().map(|r| (r.op.clone(), r.time.rest_us.max(0.0))).collect();
        let networks: Vec<&NetworkRow> = table.networks.iter().filter(|n| n.precision == precision).collect();
        if networks.len() < MIN_NETWORKS {
            let what = format!(
                "holds {} whole networks of precision {precision}, wanted at least {MIN_NETWORKS} for a 90 % band",
                networks.len()
            );
            return Err(Error::input(path, what));
        }
        let mut fitted = Self {
            times,
            precision: precision.into(),
            runtime: table.backend.clone(),
            overhead_us: 0.0,
            scale: 1.0,
            band: 0.0,
            errors: Vec::new(),
        };
        let mut points = Vec::with_capacity(networks.len());
        for network in &networks {
            let sum =
                fitted.sum(&Graph::lower(&network.arch)?).map_err(|e| Error::input(path, e.to_string()))?;
            points.push((sum, network.time.rest_us));
        }
        (fitted.overhead_us, fitted.scale) = line(&points);
        if !SCALE.contains(&fitted.scale) {
            let what = format!(
                "whole networks take {:.2} times the sum of their operators, wanted 0.5 to 2: measured in different \
                 states of the machine; measure again",
                fitted.scale
            );
            return Err(Error::input(path, what));
        }
        fitted.errors = leave_one_out(&points);
        let drift: Vec<f64> = networks.iter().map(|n| n.drift).collect();
        fitted.band = band(&fitted.errors, &drift);
        Ok(fitted)
    }

    /// What computed when the table was measured.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What one inference at batch 1 takes on a machine at rest.
    pub fn predict(&self, graph: &Graph) -> Result<Prediction> {
        let ms = (self.overhead_us + self.scale * self.sum(graph)?) / 1e3;
        Ok(Prediction { ms, band: [ms / (1.0 + self.band), ms * (1.0 + self.band)], basis: Basis::Table })
    }

    /// The sum of the operators, microseconds.
    fn sum(&self, graph: &Graph) -> Result<f64> {
        let mut missing = BTreeSet::new();
        let mut sum = 0.0;
        for op in fused_ops(&fold_graph(graph)) {
            let key = op.key(&self.precision);
            match self.times.get(&key) {
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
}

/// Overhead (not negative) and scale of measured = overhead + scale * sum, by relative errors, robust
/// (Huber 1964, by reweighting).
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let mut weights = vec![1.0; points.len()];
    let mut fit = (0.0, 1.0);
    for _ in 0..20 {
        fit = weighted_line(points, &weights);
        let errors: Vec<f64> = points.iter().map(|&(x, y)| (fit.0 + fit.1 * x) / y - 1.0).collect();
        let mut sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        // 1.4826: the median absolute deviation of a normal distribution is sd / 1.4826.
        let cut = HUBER * (1.4826 * percentile(&sizes, 0.5)).max(1e-9);
        weights = errors.iter().map(|e| (cut / e.abs().max(1e-12)).min(1.0)).collect();
    }
    fit
}

fn weighted_line(points: &[(f64, f64)], weights: &[f64]) -> (f64, f64) {
    // Relative errors: each point weighs 1 / y^2.
    let (mut w0, mut wx, mut wxx, mut wy, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (&(x, y), &robust) in points.iter().zip(weights) {
        let w = robust / (y * y);
        w0 += w;
        wx += w * x;
        wxx += w * x * x;
        wy += w * y;
        wxy += w * x * y;
    }
    let determinant = w0 * wxx - wx * wx;
    let overhead = (wy * wxx - wxy * wx) / determinant;
    if overhead.is_finite() && overhead >= 0.0 {
        return (overhead, (w0 * wxy - wx * wy) / determinant);
    }
    (0.0, wxy / wxx.max(f64::MIN_POSITIVE))
}

/// (predicted - measured) / measured of each point by the line through the others.
fn leave_one_out(points: &[(f64, f64)]) -> Vec<f64> {
    let error = |i: usize| {
        let others: Vec<_> = points.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, p)| *p).collect();
        let (overhead, scale) = line(&others);
        points.get(i).map_or(0.0, |&(x, y)| (overhead + scale * x) / y - 1.0)
    };
    (0..points.len()).map(error).collect()
}

/// Half of a 90 % band. Of n leave-one-out errors the ceil(0.9 (n + 1))-th smallest covers the next
/// network with probability 0.9, whatever their distribution (the jackknife, Barber et al. 2021); what
/// the machine drifted while it was measured and what sessions differ by are added.
fn band(errors: &[f64], drift: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let rank = (0.9 * (sizes.len() + 1) as f64).ceil() as usize;
    let error = sizes.get(rank.clamp(1, sizes.len()) - 1).copied().unwrap_or(0.0);
    let mut logs: Vec<f64> = drift.iter().map(|d| d.ln()).collect();
    logs.sort_by(f64::total_cmp);
    error + percentile(&logs, 0.5).abs().exp_m1() + SESSIONS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_line_is_found_among_outliers_and_never_negative() {
        let mut rng = Rng::new(1, "fit", 0);
        let mut points: Vec<(f64, f64)> = (1..20)
            .map(|i| {
                let x = 50.0 * f64::from(i);
                (x, (7.0 + 1.1 * x) * (1.0 + 0.005 * rng.normal()))
            })
            .collect();
        points[4].1 *= 3.0; // a network measured while something else ran
        let (overhead, scale) = line(&points);
        assert!((overhead - 7.0).abs() < 2.0 && (scale - 1.1).abs() < 0.01, "{overhead} {scale}");
        let below: Vec<(f64, f64)> =
            (1..20).map(|i| (50.0 * f64::from(i), 50.0 * f64::from(i) - 30.0)).collect();
        let (overhead, scale) = line(&below);
        assert!(overhead == 0.0 && scale < 1.0, "{overhead} {scale}");
    }

    /// The band's promise, on the model it makes: errors of unseen networks stay inside in 85 to 100 % of
    /// cases when the session's own 5 % is left out of it.
    #[test]
    fn the_band_covers_the_next_network() {
        let (mut inside, mut trials) = (0, 0);
        for seed in 0..400 {
            let mut rng = Rng::new(seed, "band", 0);
            let mut draw = || (0..13).map(|_| 0.03 * rng.normal()).collect::<Vec<f64>>();
            let errors = draw();
            let half = band(&errors[..12], &[1.0; 12]) - SESSIONS;
            inside += usize::from(errors[12].abs() <= half);
            trials += 1;
        }
        let share = f64::from(u32::try_from(inside).unwrap()) / f64::from(trials);
        assert!((0.87..1.0).contains(&share), "{share}");
    }
}
