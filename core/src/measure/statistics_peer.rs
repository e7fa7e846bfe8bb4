//! SciPy's values of our statistics, for tests: made by `scripts/statistics-peer.py`.

use std::collections::BTreeMap;

/// The rows of one table: arguments, then results.
pub fn rows(table: &str) -> Vec<Vec<f64>> {
    let all: BTreeMap<String, Vec<Vec<f64>>> =
        serde_json::from_str(include_str!("fixtures/statistics.json")).unwrap();
    all[table].clone()
}

/// What differs by more than its tolerance, absolute for results below 1 and relative above.
#[derive(Default)]
pub struct Differences(Vec<String>);

impl Differences {
    /// Compares one value with SciPy's.
    pub fn check(&mut self, what: &str, found: f64, wanted: f64, tolerance: f64) {
        let near = (found - wanted).abs() <= tolerance * wanted.abs().max(1.0);
        if !near {
            self.0.push(format!("{what}: {found}, SciPy {wanted}"));
        }
    }

    /// Fails with every difference.
    pub fn none(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}
