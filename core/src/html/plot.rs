//! Plots as inline SVG: no script, no external file, colours from the page's style sheet.

pub use crate::html::plot_rows::{Bar, Dots, Span, bars, dots, ranked, spans};
use std::fmt::Write;

pub(crate) const WIDTH: f64 = 640.0;
const LEFT: f64 = 56.0;
pub(crate) const RIGHT: f64 = 16.0;
pub(crate) const TOP: f64 = 12.0;
pub(crate) const BOTTOM: f64 = 44.0;

/// This is one line of a [`lines`] plot.
pub struct Series {
    /// For the legend.
    pub name: String,
    /// (x, y), ascending x.
    pub points: Vec<(f64, f64)>,
}

/// This is a labelled point with an optional vertical interval.
pub struct Point {
    /// Beside the point.
    pub label: String,
    /// Where.
    pub x: f64,
    /// Where.
    pub y: f64,
    /// Interval of y.
    pub interval: Option<[f64; 2]>,
}

/// Returns text made safe for HTML and SVG; control characters and the like are shown, as on a terminal.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in crate::text::format::escape(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Returns round positions that cover `low..=high`: steps of 1, 2 or 5 times a power of ten.
pub(crate) fn ticks(low: f64, high: f64) -> Vec<f64> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return vec![low];
    }
    let raw = span / 5.0;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * power).find(|s| *s >= raw).unwrap_or(raw);
    let first = (low / step).ceil();
    (0..12).map(|i| (first + f64::from(i)) * step).take_while(|t| *t <= high + 1e-9 * span).collect()
}

pub(crate) fn tick_label(value: f64, step: f64) -> String {
    let digits = (-step.abs().max(1e-9).log10().floor()).clamp(0.0, 6.0) as usize;
    let value = if value == 0.0 { 0.0 } else { value }; // no -0
    format!("{value:.digits$}")
}

/// These are linear axes over a frame of fixed width.
pub(crate) struct Axes {
    x: [f64; 2],
    y: [f64; 2],
    height: f64,
    /// The legend's height, above the rest.
    above: f64,
    title: String,
    /// What is drawn so far.
    pub(crate) svg: String,
}

impl Axes {
    pub(crate) fn new(x: [f64; 2], y: [f64; 2], height: f64, title: &str) -> Self {
        let widen = |[low, high]: [f64; 2]| if high > low { [low, high] } else { [low - 0.5, low + 0.5] };
        Self { x: widen(x), y: widen(y), height, above: 0.0, title: escape(title), svg: String::new() }
    }

    pub(crate) fn px(&self, x: f64) -> f64 {
        LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)
    }

    pub(crate) fn py(&self, y: f64) -> f64 {
        self.height - BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - BOTTOM - TOP)
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let _ = write!(self.svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{}</text>", escape(text));
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = write!(
            self.svg,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        );
    }

    /// The lines' names, in rows above the frame.
    fn legend(&mut self, series: &[Series]) {
        const ROW: f64 = 18.0;
        let width = |s: &Series| 40.0 + 7.0 * s.name.chars().count() as f64;
        let (mut x, mut row, mut places) = (LEFT, 0.0, Vec::new());
        for s in series {
            if x > LEFT && x + width(s) > WIDTH {
                (x, row) = (LEFT, row + 1.0);
            }
            places.push((x, row));
            x += width(s);
        }
        self.above = ROW * (row + 1.0);
        for (i, (s, (x, row))) in series.iter().zip(places).enumerate() {
            let y = TOP + ROW * row - self.above;
            self.line((x, y - 4.0), (x + 20.0, y - 4.0), &format!("line{}", i % 5));
            self.text(x + 26.0, y, "tick", &s.name);
        }
    }

    pub(crate) fn frame(&mut self, x_label: &str, y_label: &str) {
        let (xs, ys) = (ticks(self.x[0], self.x[1]), ticks(self.y[0], self.y[1]));
        let step = |t: &[f64]| if let [a, b, ..] = t { b - a } else { 1.0 };
        let (x_step, y_step) = (step(&xs), step(&ys));
        for y in ys {
            let py = self.py(y);
            self.line((LEFT, py), (WIDTH - RIGHT, py), "grid");
            self.text(LEFT - 6.0, py + 4.0, "tick end", &tick_label(y, y_step));
        }
        let base = self.height - BOTTOM;
        for x in xs {
            let px = self.px(x);
            self.line((px, base), (px, base + 4.0), "axis");
            self.text(px, base + 17.0, "tick mid", &tick_label(x, x_step));
        }
        self.line((LEFT, base), (WIDTH - RIGHT, base), "axis");
        self.text((LEFT + WIDTH - RIGHT) / 2.0, self.height - 8.0, "label mid", x_label);
        let (x, y) = (13.0, (TOP + base) / 2.0);
        let _ = write!(
            self.svg,
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" class=\"label mid\">{}</text>",
            escape(y_label)
        );
    }

    pub(crate) fn done(self) -> String {
        let Self { height, above, title, svg, .. } = self;
        format!(
            "<svg viewBox=\"0 {:.0} {WIDTH} {:.0}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>{svg}</svg>",
            0.0 - above,
            height + above
        )
    }
}

pub(crate) fn bounds(values: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    values.filter(|v| v.is_finite()).fold(None, |b: Option<[f64; 2]>, v| {
        let [low, high] = b.unwrap_or([v, v]);
        Some([low.min(v), high.max(v)])
    })
}

/// Plots counts of samples in equal bins from the smallest to the 99.5th percentile, but at most to four times
/// the median (else one outlier makes everything one bar); the last bin takes the rest. `marks` are named
/// vertical lines; one beyond the end gets an arrow.
pub fn histogram(samples: &[f64], marks: &[(&str, f64)], x_label: &str, title: &str) -> String {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(&low) = sorted.first() else { return String::new() };
    let quantile = |q| crate::measure::stats::percentile(&sorted, q);
    let furthest = quantile(0.995).min(4.0 * quantile(0.5));
    let high = if furthest > low { furthest } else { low + 1e-3 };
    const BINS: usize = 48;
    let mut counts = [0usize; BINS];
    for s in &sorted {
        let bin = ((s - low) / (high - low) * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or(1) as f64;
    let mut axes = Axes::new([low, high], [0.0, most * 1.12], 240.0, title);
    axes.frame(x_label, "inferences");
    let base = axes.py(0.0);
    for (i, &count) in counts.iter().enumerate().filter(|(_, c)| **c > 0) {
        let at = |i: usize| axes.px(low + (high - low) * i as f64 / BINS as f64);
        let (x, y) = (at(i), axes.py(count as f64));
        let (w, h) = ((at(i + 1) - x - 0.8).max(0.5), base - y);
        let _ = write!(
            axes.svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" class=\"fill0\"/>"
        );
    }
    for (i, (name, x)) in marks.iter().enumerate() {
        let px = axes.px(x.min(high));
        axes.line((px, TOP), (px, base), "mark");
        let y = TOP + 10.0 + 14.0 * (i % 3) as f64;
        match (*x > high, px > WIDTH - RIGHT - 30.0) {
            (true, _) => axes.text(px - 4.0, y, "tick end", &format!("{name} {x:.3} →")),
            (_, true) => axes.text(px - 4.0, y, "tick end", name),
            _ => axes.text(px + 4.0, y, "tick", name),
        }
    }
    axes.done()
}

/// Plots lines over a common x; several have a legend, of one the caption tells.
pub fn lines(series: &[Series], x_label: &str, y_label: &str, title: &str) -> String {
    let all = || series.iter().flat_map(|s| &s.points);
    let (Some(x), Some([low, high])) = (bounds(all().map(|p| p.0)), bounds(all().map(|p| p.1))) else {
        return String::new();
    };
    let pad = 0.04 * (high - low);
    let mut axes = Axes::new(x, [low - pad, high + pad], 260.0, title);
    axes.frame(x_label, y_label);
    for (i, s) in series.iter().enumerate() {
        let mut path = String::new();
        for (x, y) in s.points.iter().filter(|p| p.1.is_finite()) {
            let _ = write!(path, "{:.1},{:.1} ", axes.px(*x), axes.py(*y));
        }
        let class = i % 5;
        let _ = write!(axes.svg, "<polyline points=\"{}\" class=\"line{class}\"/>", path.trim_end());
    }
    if series.len() > 1 {
        axes.legend(series);
    }
    axes.done()
}

/// Returns the indices of the points that no other beats in both (smaller x, larger y), by ascending x.
pub fn pareto(points: &[Point]) -> Vec<usize> {
    let mut order: Vec<usize> =
        (0..points.len()).filter(|&i| points[i].x.is_finite() && points[i].y.is_finite()).collect();
    order.sort_by(|&a, &b| points[a].x.total_cmp(&points[b].x).then(points[b].y.total_cmp(&points[a].y)));
    let mut best = f64::NEG_INFINITY;
    order.retain(|&i| {
        let better = points[i].y > best;
        best = best.max(points[i].y);
        better
    });
    order
}

/// Plots labelled points with intervals, and the line of those that none beats.
pub fn scatter(points: &[Point], x_label: &str, y_label: &str, title: &str) -> String {
    let ys = points.iter().flat_map(|p| [p.y].into_iter().chain(p.interval.into_iter().flatten()));
    let (Some(x), Some([low, high])) = (bounds(points.iter().map(|p| p.x)), bounds(ys)) else {
        return String::new();
    };
    // Points of one height are no reason for ticks of a millionth.
    let pad = (0.1 * (high - low)).max(0.005 * high.abs()).max(1e-6);
    // From zero: that one model is twice as fast as another must show as twice the distance.
    let mut axes = Axes::new([0.0, x[1] * 1.25], [low - pad, high + pad], 280.0, title);
    axes.frame(x_label, y_label);
    let mut front = String::new();
    for i in pareto(points) {
        let _ = write!(front, "{:.1},{:.1} ", axes.px(points[i].x), axes.py(points[i].y));
    }
    let _ = write!(axes.svg, "<polyline points=\"{}\" class=\"line1\"/>", front.trim_end());
    let mut taken: Vec<[f64; 3]> = Vec::new(); // labels: left, right, y
    for p in points {
        let (x, y) = (axes.px(p.x), axes.py(p.y));
        if let Some([a, b]) = p.interval {
            let (a, b) = (axes.py(a), axes.py(b));
            axes.line((x, a), (x, b), "interval");
        }
        let _ = write!(axes.svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" class=\"fill0\"/>");
        let after = x < 0.6 * WIDTH;
        let (at, width) = (if after { x + 8.0 } else { x - 8.0 }, 7.0 * p.label.chars().count() as f64);
        let (from, to) = if after { (at, at + width) } else { (at - width, at) };
        // Above the point, else the first free line below or above it.
        let free = |y: &f64| !taken.iter().any(|l| from < l[1] && l[0] < to && (y - l[2]).abs() < 13.0);
        let label_y = [-7.0, 17.0, -21.0, 31.0].iter().map(|d| y + d).find(free).unwrap_or(y - 7.0);
        if !p.label.is_empty() {
            taken.push([from, to, label_y]);
        }
        axes.text(at, label_y, if after { "tick" } else { "tick end" }, &p.label);
    }
    axes.done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let near = |got: Vec<f64>, want: &[f64]| {
            assert!(
                got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9),
                "{got:?}"
            );
        };
        near(ticks(0.0, 10.0), &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        near(ticks(0.13, 0.58), &[0.2, 0.3, 0.4, 0.5]);
        near(ticks(3.0, 3.0), &[3.0]);
        assert_eq!([tick_label(0.30000000000000004, 0.1), tick_label(-0.0, 2.0)], ["0.3", "0"]);
    }

    #[test]
    fn hostile_text_and_odd_numbers_stay_harmless() {
        let p = |y| Point { label: "<script>".into(), x: 1.0, y, interval: None };
        let svg = scatter(&[p(f64::NAN), p(0.5)], "x", "y & z", "t");
        assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;") && svg.contains("y &amp; z"));
        assert_eq!(histogram(&[], &[], "x", "t"), "");
        assert_eq!(lines(&[], "x", "y", "t"), "");
        for svg in [histogram(&[1.0; 5], &[("p50", 1.0)], "ms", "t"), bars(&[], "x", "t")] {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn the_front_holds_what_none_beats() {
        let p = |x, y| Point { label: String::new(), x, y, interval: None };
        let points =
            [p(3.0, 90.0), p(1.0, 80.0), p(2.0, 70.0), p(1.0, 75.0), p(f64::NAN, 99.0), p(4.0, 95.0)];
        assert_eq!(pareto(&points), [1, 0, 5]);
    }

    #[test]
    fn every_sample_is_in_a_bin() {
        let mut samples: Vec<f64> = (0..480).map(f64::from).collect();
        samples.push(1e6); // slower than the axis: in the last bin
        assert_eq!(histogram(&samples, &[], "ms", "t").matches("<rect").count(), 48);
    }
}
