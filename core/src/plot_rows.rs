//! Horizontal plots: one row a thing, as inline SVG.

use crate::plot::{Axes, BOTTOM, RIGHT, TOP, WIDTH, bounds, tick_label, ticks};
use std::fmt::Write;

/// Horizontal bars of shares (0 to 1) with their 95 % intervals.
pub fn bars(rows: &[(String, f64, [f64; 2])], x_label: &str, title: &str) -> String {
    let longest = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0).min(24);
    let left = 16.0 + 7.0 * longest as f64;
    let row_height = 20.0;
    let height = TOP + BOTTOM + row_height * rows.len() as f64;
    let mut axes = Axes::new([0.0, 1.0], [0.0, 1.0], height, title);
    let px = |x: f64| left + x * (WIDTH - left - RIGHT - 40.0);
    let base = height - BOTTOM;
    for t in [0.0, 0.25, 0.5, 0.75, 1.0] {
        axes.line((px(t), TOP), (px(t), base), "grid");
        axes.text(px(t), base + 17.0, "tick mid", &format!("{:.0}", t * 100.0));
    }
    for (i, (name, share, [low, high])) in rows.iter().enumerate() {
        let y = TOP + row_height * i as f64;
        let short: String = name.chars().take(24).collect();
        axes.text(left - 6.0, y + 14.0, "tick end", &short);
        let (x, w) = (px(0.0), px(*share) - px(0.0));
        let _ = write!(
            axes.svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{w:.1}\" height=\"13\" class=\"fill0\"/>",
            y + 3.5
        );
        axes.line((px(*low), y + 10.0), (px(*high), y + 10.0), "interval");
        axes.text(px(high.max(*share)) + 5.0, y + 14.0, "tick", &format!("{:.1}", share * 100.0));
    }
    axes.text((left + WIDTH - RIGHT) / 2.0, height - 8.0, "label mid", x_label);
    axes.done()
}

/// A named value with a remark.
pub struct Bar {
    /// Beside the bar.
    pub name: String,
    /// Its length.
    pub value: f64,
    /// After it.
    pub note: String,
}

/// Horizontal bars from zero, in the order given.
pub fn ranked(rows: &[Bar], x_label: &str, title: &str) -> String {
    let Some([_, most]) = bounds(rows.iter().map(|b| b.value)) else { return String::new() };
    let longest = rows.iter().map(|b| b.name.chars().count()).max().unwrap_or(0).min(28);
    let notes = rows.iter().map(|b| b.note.chars().count()).max().unwrap_or(0);
    let (left, right) = (16.0 + 6.6 * longest as f64, 16.0 + 6.2 * notes as f64);
    let row_height = 19.0;
    let height = TOP + BOTTOM + row_height * rows.len() as f64;
    let mut axes = Axes::new([0.0, 1.0], [0.0, 1.0], height, title);
    let px = |x: f64| left + x / most.max(f64::MIN_POSITIVE) * (WIDTH - left - right).max(40.0);
    let base = height - BOTTOM;
    let marks = ticks(0.0, most);
    let step = if let [a, b, ..] = marks[..] { b - a } else { 1.0 };
    for t in marks {
        axes.line((px(t), TOP), (px(t), base), "grid");
        axes.text(px(t), base + 17.0, "tick mid", &tick_label(t, step));
    }
    for (i, bar) in rows.iter().enumerate() {
        let y = TOP + row_height * i as f64;
        let short: String = bar.name.chars().take(28).collect();
        axes.text(left - 6.0, y + 13.0, "tick end", &short);
        let w = (px(bar.value) - px(0.0)).max(0.5);
        let _ = write!(
            axes.svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{w:.1}\" height=\"12\" class=\"fill0\"/>",
            px(0.0),
            y + 3.0
        );
        axes.text(px(bar.value) + 5.0, y + 13.0, "tick", &bar.note);
    }
    axes.text((left + WIDTH - right) / 2.0, height - 8.0, "label mid", x_label);
    axes.done()
}

/// A named distribution.
pub struct Span {
    /// Beside it.
    pub name: String,
    /// Smallest, p50, p90, p99.
    pub marks: [f64; 4],
}

/// One distribution a row over a common axis from zero.
pub fn spans(rows: &[Span], x_label: &str, title: &str) -> String {
    let Some([_, most]) = bounds(rows.iter().flat_map(|r| r.marks)) else { return String::new() };
    let longest = rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0).min(28);
    let left = 16.0 + 6.6 * longest as f64;
    let row_height = 24.0;
    let height = TOP + BOTTOM + row_height * rows.len() as f64;
    let mut axes = Axes::new([0.0, 1.0], [0.0, 1.0], height, title);
    let px = |x: f64| left + x / most.max(f64::MIN_POSITIVE) * (WIDTH - left - RIGHT);
    let base = height - BOTTOM;
    let marks = ticks(0.0, most);
    let step = if let [a, b, ..] = marks[..] { b - a } else { 1.0 };
    for t in marks {
        axes.line((px(t), TOP), (px(t), base), "grid");
        axes.text(px(t), base + 17.0, "tick mid", &tick_label(t, step));
    }
    for (i, row) in rows.iter().enumerate() {
        let y = TOP + row_height * (i as f64 + 0.5);
        let short: String = row.name.chars().take(28).collect();
        axes.text(left - 6.0, y + 4.0, "tick end", &short);
        let [min, p50, p90, p99] = row.marks;
        axes.line((px(min), y), (px(p99), y), "axis");
        let (x, w) = (px(min), (px(p90) - px(min)).max(1.0));
        let _ = write!(
            axes.svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{w:.1}\" height=\"8\" class=\"fill0\"/>",
            y - 4.0
        );
        axes.line((px(p50), y - 8.0), (px(p50), y + 8.0), "interval");
    }
    axes.text((left + WIDTH - RIGHT) / 2.0, height - 8.0, "label mid", x_label);
    axes.done()
}

/// Named values.
pub struct Dots {
    /// Beside them.
    pub name: String,
    /// Each a dot.
    pub values: Vec<f64>,
    /// Mean and its interval, where there is one.
    pub mean: Option<[f64; 3]>,
}

/// A dot for every value, one group a row, with the mean and its interval over them.
pub fn dots(rows: &[Dots], x_label: &str, title: &str) -> String {
    let all = rows.iter().flat_map(|r| r.values.iter().copied().chain(r.mean.into_iter().flatten()));
    let Some([low, high]) = bounds(all) else { return String::new() };
    let pad = (0.05 * (high - low)).max(1e-6);
    let (low, high) = (low - pad, high + pad);
    let longest = rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0).min(28);
    let left = 16.0 + 6.6 * longest as f64;
    let row_height = 24.0;
    let height = TOP + BOTTOM + row_height * rows.len() as f64;
    let mut axes = Axes::new([0.0, 1.0], [0.0, 1.0], height, title);
    let px = |x: f64| left + (x - low) / (high - low) * (WIDTH - left - RIGHT);
    let base = height - BOTTOM;
    let marks = ticks(low, high);
    let step = if let [a, b, ..] = marks[..] { b - a } else { 1.0 };
    for t in marks {
        axes.line((px(t), TOP), (px(t), base), "grid");
        axes.text(px(t), base + 17.0, "tick mid", &tick_label(t, step));
    }
    for (i, row) in rows.iter().enumerate() {
        let y = TOP + row_height * (i as f64 + 0.5);
        let short: String = row.name.chars().take(28).collect();
        axes.text(left - 6.0, y + 4.0, "tick end", &short);
        if let Some([mean, from, to]) = row.mean {
            axes.line((px(from), y), (px(to), y), "interval");
            axes.line((px(mean), y - 8.0), (px(mean), y + 8.0), "interval");
        }
        for x in row.values.iter().filter(|x| x.is_finite()) {
            let _ =
                write!(axes.svg, "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.5\" class=\"fill0\"/>", px(*x));
        }
    }
    axes.text((left + WIDTH - RIGHT) / 2.0, height - 8.0, "label mid", x_label);
    axes.done()
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
