//! What is predicted for the target, and what was measured here: two numbers that are never mixed.

use gtn_core::device::Device;
use gtn_core::host::Host;
use gtn_core::ir::graph::Graph;
use gtn_core::latency::{Prediction, Predictor};
use gtn_core::measure::report::Report;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Precision, Result};
use serde_json::{Value, json};
use std::path::Path;

/// This is a network's latency on the target, by precision.
#[derive(Debug, Default)]
pub struct Outlook {
    predicted: Vec<(Precision, Prediction)>,
    threads: usize,
}

impl Outlook {
    /// Predicts from the table where one is given, else from the profile. A precision that it has no figures
    /// for has no prediction, and where nothing is known there is none at all. `host` is measured instead,
    /// unless there is a table. A table that cannot be read, or lacks one of the network's operators, is an
    /// error.
    pub fn of(
        device: &Device,
        table: Option<&Path>,
        precisions: &[Precision],
        graph: &Graph,
    ) -> Result<Self> {
        let silent = table.is_none() && (device.performance.is_none() || device.is_host());
        if silent {
            return Ok(Self::default());
        }
        // None of the precisions known is an error of `known`; here it is what there is to say.
        let has = |p: &&Precision| device.performance.as_ref().is_some_and(|f| f.speed.contains_key(*p));
        if table.is_none() && !precisions.iter().any(|p| has(&p)) {
            return Ok(Self::default());
        }
        let known = Predictor::known(device, table, precisions)?.predictors;
        let threads = known.first().map_or(1, |(_, p)| p.threads(device));
        let predict = |(precision, p): &(Precision, Predictor)| Ok((*precision, p.predict(graph)?));
        Ok(Self { predicted: known.iter().map(predict).collect::<Result<_>>()?, threads })
    }

    /// Returns the prediction for one precision, where there are figures.
    pub fn of_precision(&self, precision: Precision) -> Option<Prediction> {
        self.predicted.iter().find(|(p, _)| *p == precision).map(|(_, prediction)| *prediction)
    }

    /// Returns a table of both latencies side by side, each under its device's name.
    pub fn table(&self, device: &Device, precision: Precision, measured: &Report) -> Table {
        let mut rows = vec![("device", device.title.clone(), machine(&measured.host))];
        let here = measured.latency.as_ref();
        let p50 = here.map_or_else(|| "-".into(), |l| format::ms(l.summary.p50));
        let interval = here.and_then(|l| l.robust.as_ref()?.p50_ci95);
        let interval = interval.map_or_else(|| "-".into(), |[low, high]| span(low, high));
        let threads = measured.backend.threads.to_string();
        let predicted = self.of_precision(precision);
        match predicted {
            Some(p) => {
                rows.push(("p50, batch 1", format::ms(p.ms), p50));
                rows.push(("band; 95 % interval", span(p.band[0], p.band[1]), interval));
                rows.push(("threads", self.threads.to_string(), threads));
                rows.push(("how", p.basis.to_string(), "measured just now".into()));
            }
            None => {
                let why = "no figures: gtn-run table".to_owned();
                rows.push(("p50, batch 1", why, p50));
                rows.push(("95 % interval", "-".into(), interval));
                rows.push(("threads", "-".into(), threads));
            }
        }
        if device.is_host() && predicted.is_none() {
            let mut table = Table::new(["latency", "measured on this machine"]);
            for (what, _, here) in rows {
                table.row([what.to_owned(), here]);
            }
            return table;
        }
        let on_target = format!("predicted for {}", device.name);
        let mut table = Table::new(["latency", on_target.as_str(), "measured on this machine"]);
        for (what, there, here) in rows {
            table.row([what.to_owned(), there, here]);
        }
        table
    }

    /// Returns both latencies for export-report.json, in ms.
    pub fn json(&self, device: &Device, precision: Precision, measured: &Report) -> Value {
        let predicted = self.of_precision(precision).map(|p| {
            json!({"target": device.name, "threads": self.threads, "p50_ms": p.ms, "band_ms": p.band, "basis": p.basis})
        });
        let here = measured.latency.as_ref().map(|l| {
            json!({
                "host": measured.host.kind(),
                "threads": measured.backend.threads,
                "p50_ms": l.summary.p50,
                "p50_ci95_ms": l.robust.as_ref().and_then(|r| r.p50_ci95),
            })
        });
        json!({"predicted_for_target": predicted, "measured_on_this_machine": here})
    }
}

/// What a person calls the machine, short enough for a column.
fn machine(host: &Host) -> String {
    let name = host.board.as_ref().or(host.cpu.as_ref()).unwrap_or(&host.arch);
    name.chars().take(28).collect::<String>().trim_end().to_owned()
}

fn span(low: f64, high: f64) -> String {
    format!("{} to {}", format::ms(low), format::ms(high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::device;
    use gtn_core::ir::arch::Input;
    use gtn_core::nets::pool;

    fn student() -> Graph {
        let input = Input { channels: 3, height: 32, width: 32 };
        Graph::lower(&pool::student("res-mini:d111-k333-e111", input, 10).unwrap()).unwrap()
    }

    #[test]
    fn what_has_no_figures_is_not_made_up() {
        let (rpi5, host) = (device::resolve("rpi5").unwrap(), device::resolve("host").unwrap());
        let all = Outlook::of(&rpi5, None, &[Precision::Int8, Precision::Fp32], &student()).unwrap();
        assert!(
            all.of_precision(Precision::Int8).unwrap().ms < all.of_precision(Precision::Fp32).unwrap().ms
        );
        let fp16 = Outlook::of(&rpi5, None, &[Precision::Fp16], &student()).unwrap();
        assert!(fp16.of_precision(Precision::Fp16).is_none());
        assert!(
            Outlook::of(&host, None, &[Precision::Fp32], &student())
                .unwrap()
                .of_precision(Precision::Fp32)
                .is_none()
        );
        let missing =
            Outlook::of(&host, Some(Path::new("/no/t.json")), &[Precision::Fp32], &student()).unwrap_err();
        assert!(missing.to_string().contains("/no/t.json"), "{missing}");
    }
}
