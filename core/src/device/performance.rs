//! How fast a device computes: the `[performance]` table of its profile, each number with its source.

use crate::device::Sourced;
use crate::{Error, Precision, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// This is what latency is predicted from where there is no table ([`crate::latency::Roofline`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Performance {
    /// Microseconds per inference beside the operators.
    pub overhead_us: Sourced<f64>,
    /// Microseconds per operator beside its arithmetic.
    pub per_op_us: Sourced<f64>,
    /// What each thread after the first adds, as a share of the first.
    pub thread_gain: Sourced<f64>,
    /// Bandwidth of the caches that activations and weights lie in, GB/s.
    pub cache_gb_s: Sourced<f64>,
    /// Half the 90 % band, as a factor: a prediction p stands for p / band to p * band.
    pub band: Sourced<f64>,
    /// By precision.
    pub speed: BTreeMap<Precision, Speed>,
}

/// These are the multiply-accumulates a second that one thread reaches in convolutions, in 10^9.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// All but depthwise.
    pub dense_gmac_s: Sourced<f64>,
    /// Depthwise.
    pub depthwise_gmac_s: Sourced<f64>,
}

impl Performance {
    /// Returns rows for people: name, value and who says so.
    pub fn rows(&self) -> Vec<[String; 3]> {
        let row = |what: &str, number: &Sourced<f64>, unit: &str| {
            [what.to_owned(), format!("{} {unit}", number.value).trim_end().to_owned(), number.source.clone()]
        };
        let mut rows = vec![
            row("each inference", &self.overhead_us, "us"),
            row("each operator", &self.per_op_us, "us"),
            row("each further thread", &self.thread_gain, "of the first"),
            row("cache bandwidth", &self.cache_gb_s, "GB/s"),
            row("90 % band, factor", &self.band, ""),
        ];
        for (precision, speed) in &self.speed {
            rows.push(row(&format!("{precision}, dense"), &speed.dense_gmac_s, "GMAC/s a thread"));
            rows.push(row(&format!("{precision}, depthwise"), &speed.depthwise_gmac_s, "GMAC/s a thread"));
        }
        rows
    }

    /// Checks that every number is within its bounds; an error names the key.
    pub fn check(&self, path: &Path) -> Result<()> {
        let mut numbers = vec![
            ("overhead_us".to_owned(), self.overhead_us.value, [0.0, 1e6]),
            ("per_op_us".to_owned(), self.per_op_us.value, [0.0, 1e5]),
            ("thread_gain".to_owned(), self.thread_gain.value, [0.0, 1.0]),
            ("cache_gb_s".to_owned(), self.cache_gb_s.value, [0.01, 1e5]),
            ("band".to_owned(), self.band.value, [1.0, 10.0]),
        ];
        for (precision, speed) in &self.speed {
            let rates = [("dense", &speed.dense_gmac_s), ("depthwise", &speed.depthwise_gmac_s)];
            let key = |kind: &str| format!("speed.{precision}.{kind}_gmac_s");
            numbers.extend(rates.map(|(kind, rate)| (key(kind), rate.value, [0.001, 1e6])));
        }
        match numbers.into_iter().find(|(_, value, [low, high])| !(*low..=*high).contains(value)) {
            Some((key, value, [low, high])) => {
                Err(Error::input(path, format!("performance.{key} is {value}, wanted {low} to {high}")))
            }
            None => Ok(()),
        }
    }
}
