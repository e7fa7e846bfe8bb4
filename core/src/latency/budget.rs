//! What a student may cost on a device, and what one costs: a single place for every choice among students.

use crate::Precision;
use crate::ir::cost::Cost;
use crate::latency::Prediction;
use crate::text::format;
use serde::{Deserialize, Serialize};

/// This is what a student must keep on a device. Nothing said is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Milliseconds of one inference at batch 1, on the device at rest: the median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Milliseconds that 99 of 100 inferences stay within, on the device at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// Milliseconds of the median inference once the device is as warm as its load makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady_ms: Option<f64>,
    /// Millijoules of one inference, beyond what the idle device draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_mj: Option<f64>,
    /// MiB of weights and live activations; the runtime itself not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<f64>,
    /// MiB of weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_mib: Option<f64>,
    /// Smallest top-1 on val, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
}

/// This is what a student costs on a device in one precision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// In which precision.
    pub precision: Precision,
    /// At batch 1, on the device at rest.
    pub latency: Prediction,
    /// Weights and live activations.
    pub memory_bytes: u64,
    /// Weights.
    pub model_bytes: u64,
}

impl Price {
    /// What a network of that cost takes.
    pub fn of(cost: &Cost, precision: Precision, latency: Prediction) -> Self {
        let (memory_bytes, model_bytes) = (cost.memory_bytes(precision), cost.model_bytes(precision));
        Self { precision, latency, memory_bytes, model_bytes }
    }

    /// Whether there are numbers to judge it by.
    pub fn is_known(&self) -> bool {
        self.latency.ms.is_finite() && self.latency.to_be_within().is_finite()
    }
}

impl Budget {
    /// Whether a student of that price is within it, as far as can be known before it runs there: a predicted latency by
    /// its best estimate, a measured one by the upper end of its interval. What is NaN is not.
    pub fn fits(&self, price: &Price) -> bool {
        price.is_known() && self.excess(price) <= 1.0
    }

    /// The largest of the costs, each over its limit: 1 is just within. No inference of many is faster than the median
    /// at rest, so that one must be within every limit of time.
    pub fn excess(&self, price: &Price) -> f64 {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let latency = price.latency.to_be_within();
        [
            (latency, self.fastest()),
            (mib(price.memory_bytes), self.memory_mib),
            (mib(price.model_bytes), self.model_mib),
        ]
        .into_iter()
        .filter_map(|(found, most)| Some(found / most?))
        .fold(0.0, f64::max)
    }

    /// The least of its limits of time, ms.
    pub fn fastest(&self) -> Option<f64> {
        [self.latency_ms, self.p99_ms, self.steady_ms].into_iter().flatten().reduce(f64::min)
    }

    /// Whether a predicted latency that is within it has a band that is not: it may turn out to be over the limit.
    pub fn is_doubtful(&self, price: &Price) -> bool {
        self.fits(price) && self.fastest().is_some_and(|limit| price.latency.band[1] > limit)
    }

    /// Checks every limit; the message names the key, what was found and what was wanted.
    pub fn check(&self) -> Result<(), String> {
        let limits = [
            ("latency_ms", self.latency_ms),
            ("p99_ms", self.p99_ms),
            ("steady_ms", self.steady_ms),
            ("energy_mj", self.energy_mj),
            ("memory_mib", self.memory_mib),
            ("model_mib", self.model_mib),
        ];
        for (key, value) in limits {
            if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
                return Err(format!("budget.{key} is {value}, wanted more than 0"));
            }
        }
        match self.top1.filter(|v| !(0.0..=1.0).contains(v)) {
            Some(value) => Err(format!("budget.top1 is {value}, wanted 0 to 1")),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Budget {
    /// `4.00 ms, 8 MiB of memory, a model of 1 MiB, top-1 from 80.00 % on`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            self.latency_ms.map(format::ms),
            self.p99_ms.map(|ms| format!("p99 {}", format::ms(ms))),
            self.steady_ms.map(|ms| format!("steady {}", format::ms(ms))),
            self.energy_mj.map(|mj| format!("{mj} mJ")),
            self.memory_mib.map(|m| format!("{m} MiB of memory")),
            self.model_mib.map(|m| format!("a model of {m} MiB")),
            self.top1.map(|t| format!("top-1 from {} on", format::percent(t))),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&if parts.is_empty() { "no limit".into() } else { parts.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Basis;

    fn price(ms: f64, memory_bytes: u64) -> Price {
        let latency = Prediction { ms, band: [0.9 * ms, 1.1 * ms], basis: Basis::Table };
        Price { precision: Precision::Int8, latency, memory_bytes, model_bytes: 1 << 20 }
    }

    #[test]
    fn limits_are_inclusive_and_nan_is_within_none() {
        let budget = Budget {
            latency_ms: Some(2.0),
            memory_mib: Some(3.0),
            model_mib: Some(1.0),
            ..Budget::default()
        };
        assert!(budget.fits(&price(2.0, 3 << 20)));
        assert!(!budget.fits(&price(2.01, 3 << 20)) && !budget.fits(&price(2.0, (3 << 20) + 1)));
        assert!(!budget.fits(&price(f64::NAN, 1)) && !Budget::default().fits(&price(f64::NAN, 1)));
        assert!(!Budget { model_mib: Some(0.99), ..budget }.fits(&price(1.0, 1)));
        let mut measured = price(1.9, 1);
        measured.latency.basis = Basis::Measured;
        assert!(!budget.fits(&measured)); // the interval's upper end is 2.09
    }

    #[test]
    fn the_median_at_rest_is_within_every_limit_of_time() {
        for (budget, fits) in [
            (Budget { p99_ms: Some(1.0), ..Budget::default() }, true),
            (Budget { p99_ms: Some(0.99), ..Budget::default() }, false),
            (Budget { steady_ms: Some(0.99), ..Budget::default() }, false),
            (Budget { latency_ms: Some(2.0), steady_ms: Some(0.5), ..Budget::default() }, false),
            (Budget { energy_mj: Some(0.1), ..Budget::default() }, true),
        ] {
            assert_eq!(budget.fits(&price(1.0, 1)), fits, "{budget}");
        }
        let wide = Budget { latency_ms: Some(1.05), ..Budget::default() };
        assert!(wide.is_doubtful(&price(1.0, 1)) && !wide.is_doubtful(&price(0.9, 1)));
        assert_eq!(
            Budget { p99_ms: Some(2.0), energy_mj: Some(0.5), ..Budget::default() }.to_string(),
            "p99 2.00 ms, 0.5 mJ"
        );
    }
}
