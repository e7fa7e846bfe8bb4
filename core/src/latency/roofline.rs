//! Prediction without a table, from the device profile: each operator takes as long as its arithmetic or
//! its memory traffic, whichever is longer (Williams et al. 2009, the roofline), plus a fixed cost.

use super::ops::{FusedOp, fused_ops};
use super::{Basis, Prediction};
use crate::device::Device;
use crate::device::performance::{Performance, Speed};
use crate::ir::fold::fold_graph;
use crate::ir::graph::Graph;
use crate::{Error, Precision, Result};

/// Predicts networks of one precision on a device by its profile.
#[derive(Debug, Clone)]
pub struct Roofline {
    performance: Performance,
    speed: Speed,
    /// How many times one thread's work the device does with all threads used.
    threads: f64,
    bytes_per_value: f64,
}

impl Roofline {
    /// Makes a predictor for `threads` compute threads. A profile without figures for the precision is a usage
    /// error.
    pub fn new(device: &Device, precision: Precision, threads: usize) -> Result<Self> {
        let performance = device.performance.clone().ok_or_else(|| {
            let what =
                "has no [performance]: measure a kit on the device (gtn-run table) and give --table FILE";
            Error::usage(format!("device profile {} {what}", device.name))
        })?;
        let speed = performance.speed.get(&precision).cloned().ok_or_else(|| {
            let known: Vec<&str> = performance.speed.keys().map(|p| p.name()).collect();
            Error::usage(format!(
                "device profile {} has no performance.speed.{precision}, only {}",
                device.name,
                known.join(", ")
            ))
        })?;
        let more = (threads.clamp(1, device.cpu.cores.value) - 1) as f64;
        let threads = 1.0 + more * performance.thread_gain.value;
        let bytes_per_value = precision.bytes() as f64;
        Ok(Self { performance, speed, threads, bytes_per_value })
    }

    /// Predicts what one inference at batch 1 takes, with the profile's band, in ms.
    pub fn predict(&self, graph: &Graph) -> Prediction {
        let ops = fused_ops(&fold_graph(graph));
        let us = self.performance.overhead_us.value + ops.iter().map(|op| self.op_us(op)).sum::<f64>();
        let (ms, factor) = (us / 1e3, self.performance.band.value);
        Prediction { ms, band: [ms / factor, ms * factor], basis: Basis::Roofline }
    }

    fn op_us(&self, op: &FusedOp) -> f64 {
        let rate = if op.is_depthwise() { &self.speed.depthwise_gmac_s } else { &self.speed.dense_gmac_s };
        // 1 GMAC/s is 1000 MAC per microsecond.
        let arithmetic = op.macs() as f64 / (1e3 * rate.value * self.threads);
        let traffic = op.values() as f64 * self.bytes_per_value / (1e3 * self.performance.cache_gb_s.value);
        arithmetic.max(traffic) + self.performance.per_op_us.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;
    use crate::ir::arch::Input;
    use crate::nets::zoo;

    /// Published latencies on a Raspberry Pi 5 with 4 threads, batch 1, 224 x 224 (ExecuTorch with XNNPACK).
    #[test]
    fn public_figures_lie_within_the_band() {
        let input = Input { channels: 3, height: 224, width: 224 };
        let device = device::resolve("rpi5").unwrap();
        let mut wrong = Vec::new();
        for (name, precision, published) in [
            ("mobilenetv2", Precision::Fp32, 10.9),
            ("mobilenetv2", Precision::Int8, 4.0),
            ("resnet18", Precision::Int8, 8.75),
        ] {
            let graph = Graph::lower(&zoo::named(name, input, 1000).unwrap().unwrap()).unwrap();
            let p = Roofline::new(&device, precision, 4).unwrap().predict(&graph);
            assert!((p.band[1] / p.band[0] - 4.0).abs() < 1e-9);
            // Well inside: the profile was made from these.
            if !(0.7..1.4).contains(&(p.ms / published)) {
                wrong.push(format!("{name} {precision}: {p}, published {published} ms"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_the_profile_does_not_know_is_said() {
        let mut device = device::resolve("rpi5").unwrap();
        let error = Roofline::new(&device, Precision::Fp16, 4).unwrap_err().to_string();
        assert!(error.contains("rpi5 has no performance.speed.fp16, only fp32, int8"), "{error}");
        device.performance = None;
        let error = Roofline::new(&device, Precision::Fp32, 4).unwrap_err().to_string();
        assert!(error.contains("measure a kit on the device"), "{error}");
    }
}
