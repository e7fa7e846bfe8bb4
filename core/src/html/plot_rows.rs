//! Horizontal plots: one row a thing, as inline SVG.

use crate::html::plot::{Axes, BOTTOM, RIGHT, TOP, WIDTH, bounds, tick_label, ticks};
use std::fmt::Write;

/// Characters of a row's name that are shown.
const NAME: usize = 28;

/// Room for a character: on a phone they are larger, beside the plot (html.css).
const CHARACTER: f64 = 7.6;

/// Rows below each other over a common axis: names, grid and ticks.
struct Rows {
    axes: Axes,
    left: f64,
    right: f64,
    low: f64,
    high: f64,
    row_height: f64,
    base: f64,
}

impl Rows {
    /// The axis goes from `low` to `high`; `right` is left free for remarks.
    fn new<'a>(
        names: impl Iterator<Item = &'a str> + Clone,
        [low, high]: [f64; 2],
        right: f64,
        row_height: f64,
        title: &str,
    ) -> Self {
        let longest = names.clone().map(|n| n.chars().count()).max().unwrap_or(0).min(NAME);
        let left = 16.0 + CHARACTER * longest as f64;
        let height = TOP + BOTTOM + row_height * names.clone().count() as f64;
        let axes = Axes::new([0.0, 1.0], [0.0, 1.0], height, title);
        let high = high.max(low + f64::MIN_POSITIVE);
        let mut rows = Self { axes, left, right, low, high, row_height, base: height - BOTTOM };
        let marks = ticks(low, high);
        let step = if let [a, b, ..] = marks[..] { b - a } else { 1.0 };
        for t in marks {
            let x = rows.x(t);
            rows.axes.line((x, TOP), (x, rows.base), "grid");
            rows.axes.text(x, rows.base + 17.0, "tick mid", &tick_label(t, step));
        }
        for (i, name) in names.enumerate() {
            let short: String = name.chars().take(NAME).collect();
            rows.axes.text(left - 6.0, rows.y(i) + 4.0, "tick end", &short);
        }
        rows
    }

    fn x(&self, value: f64) -> f64 {
        let width = (WIDTH - self.left - self.right).max(40.0);
        self.left + (value - self.low) / (self.high - self.low) * width
    }

    /// The middle of row `i`.
    fn y(&self, i: usize) -> f64 {
        TOP + self.row_height * (i as f64 + 0.5)
    }

    fn bar(&mut self, i: usize, [from, to]: [f64; 2], height: f64) {
        let (x, y) = (self.x(from), self.y(i) - height / 2.0);
        let w = (self.x(to) - x).max(0.5);
        let _ = write!(
            self.axes.svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{height}\" class=\"fill0\"/>"
        );
    }

    /// Along row `i`.
    fn line(&mut self, i: usize, [from, to]: [f64; 2], class: &str) {
        self.axes.line((self.x(from), self.y(i)), (self.x(to), self.y(i)), class);
    }

    /// Across row `i`.
    fn mark(&mut self, i: usize, value: f64) {
        let (x, y) = (self.x(value), self.y(i));
        self.axes.line((x, y - 8.0), (x, y + 8.0), "interval");
    }

    /// Behind a value of row `i`.
    fn note(&mut self, i: usize, value: f64, text: &str) {
        self.axes.text(self.x(value) + 5.0, self.y(i) + 4.0, "tick", text);
    }

    fn done(mut self, x_label: &str) -> String {
        self.axes.text(
            (self.left + WIDTH - self.right) / 2.0,
            self.base + BOTTOM - 8.0,
            "label mid",
            x_label,
        );
        self.axes.done()
    }
}

/// Plots horizontal bars of shares (0 to 1) with their 95 % intervals, in percent.
pub fn bars(rows: &[(String, f64, [f64; 2])], x_label: &str, title: &str) -> String {
    let names = rows.iter().map(|(name, ..)| name.as_str());
    let mut plot = Rows::new(names, [0.0, 100.0], RIGHT + 40.0, 20.0, title);
    for (i, (_, share, interval)) in rows.iter().enumerate() {
        let [share, low, high] = [*share, interval[0], interval[1]].map(|v| 100.0 * v);
        plot.bar(i, [0.0, share], 13.0);
        plot.line(i, [low, high], "interval");
        plot.note(i, high.max(share), &format!("{share:.1}"));
    }
    plot.done(x_label)
}

/// This is a named value with a remark.
pub struct Bar {
    /// Beside the bar.
    pub name: String,
    /// Its length.
    pub value: f64,
    /// After it.
    pub note: String,
}

/// Plots horizontal bars from zero, in the order given.
pub fn ranked(rows: &[Bar], x_label: &str, title: &str) -> String {
    let Some([_, most]) = bounds(rows.iter().map(|b| b.value)) else { return String::new() };
    let notes = rows.iter().map(|b| b.note.chars().count()).max().unwrap_or(0);
    let names = rows.iter().map(|b| b.name.as_str());
    let mut plot = Rows::new(names, [0.0, most], 16.0 + CHARACTER * notes as f64, 19.0, title);
    for (i, bar) in rows.iter().enumerate() {
        plot.bar(i, [0.0, bar.value], 12.0);
        plot.note(i, bar.value, &bar.note);
    }
    plot.done(x_label)
}

/// This is a named distribution.
pub struct Span {
    /// Beside it.
    pub name: String,
    /// Smallest, p50, p90, p99.
    pub marks: [f64; 4],
}

/// Plots one distribution a row over a common axis from zero.
pub fn spans(rows: &[Span], x_label: &str, title: &str) -> String {
    let Some([_, most]) = bounds(rows.iter().flat_map(|r| r.marks)) else { return String::new() };
    let mut plot = Rows::new(rows.iter().map(|r| r.name.as_str()), [0.0, most], RIGHT, 24.0, title);
    for (i, row) in rows.iter().enumerate() {
        let [min, p50, p90, p99] = row.marks;
        plot.line(i, [min, p99], "axis");
        plot.bar(i, [min, p90], 8.0);
        plot.mark(i, p50);
    }
    plot.done(x_label)
}

/// These are named values.
pub struct Dots {
    /// Beside them.
    pub name: String,
    /// Each a dot.
    pub values: Vec<f64>,
    /// Mean and its interval, where there is one.
    pub mean: Option<[f64; 3]>,
}

/// Plots a dot for every value, one group a row, with the mean and its interval over them.
pub fn dots(rows: &[Dots], x_label: &str, title: &str) -> String {
    let all = rows.iter().flat_map(|r| r.values.iter().copied().chain(r.mean.into_iter().flatten()));
    let Some([low, high]) = bounds(all) else { return String::new() };
    let pad = (0.05 * (high - low)).max(1e-6);
    let names = rows.iter().map(|r| r.name.as_str());
    let mut plot = Rows::new(names, [low - pad, high + pad], RIGHT, 24.0, title);
    for (i, row) in rows.iter().enumerate() {
        if let Some([mean, from, to]) = row.mean {
            plot.line(i, [from, to], "interval");
            plot.mark(i, mean);
        }
        for &value in row.values.iter().filter(|x| x.is_finite()) {
            let (x, y) = (plot.x(value), plot.y(i));
            let _ = write!(plot.axes.svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" class=\"fill0\"/>");
        }
    }
    plot.done(x_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_drawn_and_nothing_is_not() {
        let bar = |name: &str, value| Bar { name: name.into(), value, note: "n".into() };
        let svgs = [
            bars(&[("a".into(), 0.5, [0.4, 0.6])], "x", "t"),
            ranked(&[bar("<b>", 2.0), bar("c", 0.0)], "us", "t"),
            ranked(&[bar("", 0.0)], "us", "t"),
            spans(&[Span { name: "a".into(), marks: [1.0, 2.0, 3.0, 9.0] }], "ms", "t"),
        ];
        for svg in svgs {
            let whole = svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("NaN");
            assert!(whole && svg.contains("<rect") && !svg.contains("<b>"), "{svg}");
        }
        assert!(ranked(&[], "us", "t").is_empty() && spans(&[], "ms", "t").is_empty());
        let row = |values: &[f64], mean| Dots { name: "<b>".into(), values: values.to_vec(), mean };
        let svg = dots(&[row(&[1.0, 2.0, f64::NAN], Some([1.5, 0.5, 2.5])), row(&[1.0], None)], "%", "t");
        assert!(svg.ends_with("</svg>") && !svg.contains("NaN") && !svg.contains("<b>"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(dots(&[row(&[], None)], "%", "t").is_empty());
    }
}
