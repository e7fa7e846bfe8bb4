//! The staircase: levels that hold for a while each.

use crate::html::plot::{Axes, TOP, bounds};
use std::fmt::Write;

/// This is a level that holds for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// Its beginning.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// The level.
    pub y: f64,
}

/// Plots stairs, a level across some of them, and marks at moments. Single stairs far above the others are cut off, so that
/// the rest can be read.
pub fn staircase(
    stairs: &[Reach],
    level: Option<Reach>,
    marks: &[f64],
    x_label: &str,
    y_label: &str,
) -> String {
    let x = bounds(stairs.iter().flat_map(|s| [s.from, s.to]));
    let (Some(x), Some([low, high])) = (x, range(stairs)) else { return String::new() };
    let pad = 0.08 * (high - low).max(1e-3 * high.abs());
    let mut axes = Axes::new(x, [low - pad, high + pad], 300.0, "medians over time");
    axes.frame(x_label, y_label);
    let base = axes.py(low - pad);
    for mark in marks {
        let px = axes.px(*mark);
        axes.line((px, TOP), (px, base), "mark");
    }
    let mut path = String::new();
    for s in stairs.iter().filter(|s| s.y.is_finite()) {
        let y = axes.py(s.y.min(high + pad));
        let _ = write!(path, "{:.1},{y:.1} {:.1},{y:.1} ", axes.px(s.from), axes.px(s.to));
    }
    let _ = write!(axes.svg, "<polyline points=\"{}\" class=\"line0\"/>", path.trim_end());
    if let Some(level) = level {
        let y = axes.py(level.y);
        axes.line((axes.px(level.from), y), (axes.px(level.to), y), "line2 level");
    }
    axes.done()
}

/// From the lowest level to the highest, or to where a hundredth of the levels lies above.
fn range(stairs: &[Reach]) -> Option<[f64; 2]> {
    let mut sorted: Vec<f64> = stairs.iter().map(|s| s.y).filter(|y| y.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let low = *sorted.first()?;
    let quantile = |q| crate::measure::stats::percentile(&sorted, q);
    let far = quantile(0.5) + 4.0 * (quantile(0.95) - quantile(0.5)).max(0.02 * quantile(0.5));
    Some([low, quantile(1.0).min(far.max(quantile(0.95)))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stairs_with_their_level_and_marks() {
        let stairs: Vec<Reach> = (0..50)
            .map(|i| Reach { from: f64::from(i), to: f64::from(i + 1), y: if i == 20 { 90.0 } else { 1.0 } })
            .collect();
        let level = Reach { from: 10.0, to: 50.0, y: 1.0 };
        let svg = staircase(&stairs, Some(level), &[10.0], "minutes", "ms");
        assert!(svg.starts_with("<svg") && !svg.contains("NaN"), "{svg}");
        assert_eq!((svg.matches("class=\"mark\"").count(), svg.matches("line2 level").count()), (1, 1));
        assert!(!svg.contains(">80<"), "one odd block does not make the axis: {svg}");
        assert_eq!(staircase(&[], None, &[], "x", "y"), "");
    }
}
