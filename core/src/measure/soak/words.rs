//! A soak for people: the verdict in one sentence, then small tables.

use super::Soak;
use crate::measure::samples::Pace;
use crate::measure::steady::{Change, FEWEST, Level, Verdict};
use crate::text::format;
use crate::text::table::Table;

/// Minutes since the first inference, as people read them: `6.5`.
pub fn minutes(seconds: f64) -> String {
    format!("{:.1}", seconds / 60.0)
}

fn level(l: &Level) -> String {
    let ci = l.ci95.map(|[low, high]| format!(" (95 % CI {} to {})", number(low), format::ms(high)));
    format!("{}{}", format::ms(l.ms), ci.unwrap_or_default())
}

/// Milliseconds without their unit.
fn number(ms: f64) -> String {
    format::ms(ms).trim_end_matches(" ms").to_owned()
}

fn percent(c: &Change) -> String {
    let of = |ratio: f64| 100.0 * (ratio - 1.0);
    let ci = c.ci95.map(|[low, high]| format!(" (95 % CI {:+.1} to {:+.1} %)", of(low), of(high)));
    format!("{:+.1} %{}", of(c.ratio), ci.unwrap_or_default())
}

impl Soak {
    /// Returns the verdict as one sentence: `minute 1: 4.10 ms; steady from minute 6.5: 5.02 ms, +22.4 % (95 % CI +21.9 to
    /// +22.9 %)`.
    pub fn sentence(&self) -> String {
        let from = self.steady.from_s.map(minutes).unwrap_or_default();
        let when = match self.steady.verdict {
            Verdict::FromTheStart => "steady from the start".to_owned(),
            Verdict::Later => format!("steady from minute {from}"),
            Verdict::Cycles { period_s, range_ms: [low, high], .. } => format!(
                "steady in cycles of {} from minute {from} ({} to {})",
                format::seconds(period_s),
                number(low),
                format::ms(high)
            ),
            Verdict::Drifting { ratio } => format!(
                "not steady by the end (minute {}): the last ramp is {:+.1} % so far",
                minutes(self.seconds),
                100.0 * (ratio - 1.0)
            ),
            Verdict::TooFew { blocks } => {
                format!("too short to tell what is steady: {blocks} blocks, wanted {FEWEST}")
            }
        };
        let steady = match (&self.steady.steady, &self.change) {
            (Some(l), Some(c)) => format!("{when}: {}, {}", format::ms(l.ms), percent(c)),
            (Some(l), None) => format!("{when}: {}", level(l)),
            (None, _) => when,
        };
        let early = if self.ended_early { "ended early; " } else { "" };
        match self.seconds < 60.0 {
            true => format!("{early}{steady}"),
            false => format!("{early}minute 1: {}; {steady}", format::ms(self.first_minute.ms)),
        }
    }

    /// Returns the verdict in two or three words, for a tile.
    pub fn verdict(&self) -> String {
        let from = || self.steady.from_s.map(minutes).unwrap_or_default();
        match self.steady.verdict {
            Verdict::FromTheStart => "steady from the start".into(),
            Verdict::Later => format!("steady from minute {}", from()),
            Verdict::Cycles { .. } => format!("cycles from minute {}", from()),
            Verdict::Drifting { .. } => "not steady".into(),
            Verdict::TooFew { .. } => "too short to tell".into(),
        }
    }

    /// Returns the stretches between change points, one a row.
    pub fn stretches(&self) -> Table {
        let mut table = Table::new(["from, min", "to, min", "median, ms", "beside the first"]);
        let first = self.steady.segments.first().map_or(f64::NAN, |s| s.median_ms);
        for s in &self.steady.segments {
            table.row([
                minutes(s.from_s),
                minutes(s.to_s),
                number(s.median_ms),
                format!("{:+.1} %", 100.0 * (s.median_ms / first - 1.0)),
            ]);
        }
        table
    }

    /// Returns how it was measured, as (what, value) rows of less than 80 columns.
    pub fn details(&self) -> Table {
        let mut table = Table::new(["what", "value"]);
        let mut row = |what: &str, value: String| {
            table.row([what.to_owned(), value]);
        };
        let b = &self.backend;
        row("model", format!("{}, {}", self.model.name, format::bytes(self.model.bytes)));
        row("backend", format!("{} {} on {}", b.name, b.version, b.providers.join(", ")));
        row("threads, batch", format!("{}, {}", b.threads, b.batch));
        row("load, first inference", format!("{}, {}", format::ms(self.init_ms), format::ms(self.first_ms)));
        row("inferences", format!("{}{}", self.inferences, self.pace()));
        let long = format!("{} of {} min", minutes(self.seconds), self.settings.minutes);
        row("measured", format!("{long}, {} blocks of {:.3} s", self.blocks.len(), self.settings.block_s));
        if self.seconds >= 60.0 {
            row("minute 1", level(&self.first_minute));
        }
        row("steady", self.steady.steady.as_ref().map_or_else(|| "not by the end".into(), level));
        let blocks = || self.blocks.iter();
        row("block p99", range(blocks().map(|b| b.p99_ms), number, " ms").unwrap_or_default());
        let known = [
            ("clock", range(blocks().filter_map(|b| b.mhz), |x| format!("{x:.0}"), " MHz")),
            ("temperature", range(blocks().filter_map(|b| b.celsius), |x| format!("{x:.0}"), " °C")),
            ("power", range(blocks().filter_map(|b| b.watts), |x| format!("{x:.2}"), " W")),
        ];
        for (what, value) in known {
            value.into_iter().for_each(|v| row(what, v));
        }
        table
    }

    fn pace(&self) -> String {
        match self.settings.pace {
            Pace::Paced { interval_ms, late } => format!(", one every {interval_ms} ms ({late} late)"),
            Pace::BackToBack | Pace::SingleStream => ", back to back".into(),
        }
    }

    /// Returns what a terminal shows of it.
    pub fn terminal(&self) -> String {
        let mut out = format!("{}\n\n{}", self.sentence(), self.details().render());
        if self.steady.segments.len() > 1 {
            out.push_str(&format!("\n{}", self.stretches_shown().render()));
        }
        for warning in &self.warnings {
            out.push_str(&format!("\nwarning: {warning}"));
        }
        if !self.warnings.is_empty() {
            out.push('\n');
        }
        out
    }

    /// At most twelve rows: a sawtooth has many.
    fn stretches_shown(&self) -> Table {
        const MOST: usize = 12;
        let mut table = self.stretches();
        let more = table.rows.len().saturating_sub(MOST);
        if more > 0 {
            table.rows.truncate(MOST);
            table.row([format!("... {more} more")]);
        }
        table
    }
}

/// `4.1 to 5.3 ms`: the lowest and highest; none of none.
fn range(values: impl Iterator<Item = f64>, show: impl Fn(f64) -> String, unit: &str) -> Option<String> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
    (low <= high).then(|| format!("{} to {}{unit}", show(low), show(high)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::soak;
    use super::*;

    #[test]
    fn the_verdict_comes_first_and_lines_are_short() {
        let s = soak();
        let text = s.terminal();
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("minute 1: 5.03 ms; steady from minute 1.0: 6.03 ms, +19.9 % (95 % CI "),
            "{first}"
        );
        for line in text.lines().skip(1) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(text.contains("2000 to 2400 MHz") && text.contains("from, min"), "{text}");
    }

    #[test]
    fn every_verdict_has_its_words() {
        let say = |verdict, early| {
            let mut s = soak();
            (s.steady.verdict, s.ended_early) = (verdict, early);
            if matches!(verdict, Verdict::Drifting { .. } | Verdict::TooFew { .. }) {
                (s.steady.steady, s.change) = (None, None);
            }
            format!("{} | {}", s.sentence(), s.verdict())
        };
        for (verdict, early, wanted) in [
            (Verdict::FromTheStart, false, "steady from the start: 6.03 ms"),
            (Verdict::Later, true, "ended early; minute 1"),
            (Verdict::Cycles { period_s: 45.0, cycles: 4, range_ms: [5.0, 6.0] }, false, "cycles of 45 s"),
            (
                Verdict::Drifting { ratio: 1.12 },
                false,
                "not steady by the end (minute 3.0): the last ramp is +12.0 %",
            ),
            (Verdict::TooFew { blocks: 7 }, false, "7 blocks, wanted 20"),
        ] {
            let text = say(verdict, early);
            assert!(text.contains(wanted), "{text}");
        }
    }
}
