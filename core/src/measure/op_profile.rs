//! Where an inference's time goes, node by node.

use crate::text::format;
use crate::text::table::Table;
use serde::{Deserialize, Serialize};

/// This is one node of the graph that the backend ran (after its own fusions).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpTime {
    /// Its name in the model, or what the backend calls it.
    pub name: String,
    /// `Conv`, ...
    pub op: String,
    /// Provider or device it ran on.
    pub provider: String,
    /// Output shape.
    pub shape: Vec<usize>,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Mean of the middle half of the inferences, microseconds.
    pub us: f64,
}

/// These are all nodes, in order of execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpProfile {
    /// Inferences averaged over.
    pub runs: usize,
    /// Median of a whole inference while the nodes were timed, milliseconds.
    pub timed_ms: f64,
    /// The same without timing the nodes: the difference is what the timing costs.
    pub untimed_ms: f64,
    /// The nodes.
    pub ops: Vec<OpTime>,
}

impl OpTime {
    /// Returns 10^9 multiply-accumulates a second; `None` where there are none.
    pub fn gmac_s(&self) -> Option<f64> {
        (self.macs > 0 && self.us > 0.0).then(|| self.macs as f64 / self.us / 1000.0)
    }
}

impl OpProfile {
    /// Returns the sum over the nodes, in microseconds.
    pub fn total_us(&self) -> f64 {
        self.ops.iter().map(|o| o.us).sum()
    }

    /// Returns how it was measured, in a sentence.
    pub fn about(&self) -> String {
        let timing = 100.0 * (self.timed_ms / self.untimed_ms - 1.0);
        format!(
            "means of the middle half of {} inferences; a whole one took {} with each node timed, {} without ({timing:+.0} %), the nodes \
             together {}",
            self.runs,
            format::ms(self.timed_ms),
            format::ms(self.untimed_ms),
            format::ms(self.total_us() / 1000.0)
        )
    }

    /// Returns the nodes that take longest first, with their share of the sum.
    pub fn ranked(&self) -> Vec<(&OpTime, f64)> {
        let total = self.total_us().max(f64::MIN_POSITIVE);
        let mut ops: Vec<_> = self.ops.iter().map(|o| (o, o.us / total)).collect();
        ops.sort_by(|a, b| b.1.total_cmp(&a.1));
        ops
    }

    /// Returns a table with one row a node in order of execution, and the sum.
    pub fn table(&self) -> Table {
        let mut table = Table::new(["node", "operator", "output", "MACs", "us", "share", "GMAC/s", "on"]);
        let total = self.total_us().max(f64::MIN_POSITIVE);
        let rate = |o: &OpTime| o.gmac_s().map_or_else(|| "-".into(), |g| format!("{g:.2}"));
        let macs = |n: u64| if n == 0 { "-".into() } else { format::count(n) };
        for o in &self.ops {
            let shape: Vec<String> = o.shape.iter().map(ToString::to_string).collect();
            table.row([
                o.name.clone(),
                o.op.clone(),
                shape.join("x"),
                macs(o.macs),
                format!("{:.1}", o.us),
                format!("{:.1} %", 100.0 * o.us / total),
                rate(o),
                o.provider.clone(),
            ]);
        }
        let sum = OpTime {
            name: format!("{} nodes", self.ops.len()),
            op: String::new(),
            provider: String::new(),
            shape: Vec::new(),
            macs: self.ops.iter().map(|o| o.macs).sum(),
            us: self.total_us(),
        };
        table.row([
            sum.name.clone(),
            String::new(),
            String::new(),
            macs(sum.macs),
            format!("{:.1}", sum.us),
            "100 %".into(),
            rate(&sum),
        ]);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_rates_and_sums() {
        let op = |name: &str, macs, us| OpTime {
            name: name.into(),
            op: "Conv".into(),
            provider: "CPU".into(),
            shape: vec![1, 2],
            macs,
            us,
        };
        let p = OpProfile {
            runs: 1,
            timed_ms: 1.0,
            untimed_ms: 0.9,
            ops: vec![op("a", 2000, 1.0), op("b", 0, 3.0)],
        };
        assert_eq!((p.ops[0].gmac_s(), p.ops[1].gmac_s()), (Some(2.0), None));
        assert_eq!(
            p.ranked().iter().map(|(o, s)| (&o.name[..], *s)).collect::<Vec<_>>(),
            [("b", 0.75), ("a", 0.25)]
        );
        let text = p.table().render();
        assert!(text.contains("2 nodes") && text.contains("4.0") && text.contains("75.0 %"), "{text}");
    }
}
