//! A page about soaks: the staircase, with the steady level and the change points; clock and temperature below it.

use crate::html::page::Page;
use crate::html::plot::{self, Series};
use crate::html::plot_time::{self, Reach};
use crate::measure::soak::{Block, Soak};
use crate::measure::steady::Verdict;
use crate::text::format;

/// Makes one page about all `soaks` (at least one).
pub fn page(soaks: &[Soak]) -> String {
    let title = match soaks {
        [one] => format!("{} under load", one.model.name),
        _ => format!("{} soaks", soaks.len()),
    };
    let subtitle = soaks.first().map_or_else(String::new, |s| {
        format!("{} on {}, {}", s.program, s.host.kind(), format::date(s.unix_time))
    });
    let mut page = Page::new(&title, &subtitle);
    for s in soaks {
        if soaks.len() > 1 {
            page.heading(&format!("{} on {}", s.model.name, s.host.kind()));
        }
        section(&mut page, s);
    }
    page.finish()
}

fn section(page: &mut Page, s: &Soak) {
    page.tiles(&tiles(s));
    page.text(&s.sentence());
    page.warnings(&s.warnings.iter().map(ToString::to_string).collect::<Vec<_>>());
    let caption = format!(
        "The median of each block of {:.3} s. The level line is the steady state, dashed lines are changes of state.",
        s.settings.block_s
    );
    page.plot(&staircase(s), &caption);
    let lines = [("p99", (|b| Some(b.p99_ms)) as Value), ("fastest", |b| Some(b.min_ms))];
    let series = lines.map(|(name, of)| Series { name: name.into(), points: points(s, of) });
    page.plot(
        &plot::lines(&series, "minutes", "ms", "tail and fastest"),
        "p99 and the fastest inference of each block.",
    );
    let known: [(&str, &str, Value); 3] =
        [("clock", "MHz", |b| b.mhz), ("temperature", "°C", |b| b.celsius), ("power", "W", |b| b.watts)];
    for (what, unit, of) in known {
        let points = points(s, of);
        if points.len() > 1 {
            let series = [Series { name: what.into(), points }];
            page.plot(
                &plot::lines(&series, "minutes", unit, what),
                &format!("The {what} of each block: {unit}."),
            );
        }
    }
    page.heading("States").table(&s.stretches());
    page.heading("How it was measured").table(&s.details());
}

/// What is plotted of a block.
type Value = fn(&Block) -> Option<f64>;

fn tiles(s: &Soak) -> Vec<(String, String)> {
    let mut tiles = vec![(s.verdict(), "verdict".to_owned())];
    if s.seconds >= crate::measure::soak::FIRST_S {
        tiles.push((format::ms(s.first_minute.ms), "minute 1, median".into()));
    }
    if let Some(level) = &s.steady.steady {
        let what = match s.steady.verdict {
            Verdict::Cycles { range_ms: [low, high], .. } => {
                format!("mean over whole cycles, {} to {}", format::ms(low), format::ms(high))
            }
            _ => "steady, median of block medians".into(),
        };
        tiles.push((format::ms(level.ms), what));
    }
    if let Some(c) = &s.change {
        tiles.push((format!("{:+.1} %", 100.0 * (c.ratio - 1.0)), "steady beside minute 1".into()));
    }
    tiles
}

fn staircase(s: &Soak) -> String {
    let minute = |seconds: f64| seconds / 60.0;
    let reach = |b: &Block| Reach { from: minute(b.from_s), to: minute(b.to_s), y: b.median_ms };
    let blocks: Vec<Reach> = s.blocks.iter().map(reach).collect();
    let end = s.blocks.last().map_or(0.0, |b| minute(b.to_s));
    let steady = s.steady.from_s.zip(s.steady.steady);
    let level = steady.map(|(from, level)| Reach { from: minute(from), to: end, y: level.ms });
    // A sawtooth's changes would be a fence.
    let is_cycling = matches!(s.steady.verdict, Verdict::Cycles { .. });
    let marks: Vec<f64> = match is_cycling {
        true => s.steady.from_s.into_iter().map(minute).collect(),
        false => s.steady.segments.iter().skip(1).map(|g| minute(g.from_s)).collect(),
    };
    plot_time::staircase(&blocks, level, &marks, "minutes", "median, ms")
}

/// One a block, at its middle.
fn points(s: &Soak, of: fn(&Block) -> Option<f64>) -> Vec<(f64, f64)> {
    let point = |b: &Block| Some(((b.from_s + b.to_s) / 120.0, of(b)?));
    s.blocks.iter().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::soak::tests::soak;

    #[test]
    fn the_page_tells_the_verdict_and_shows_the_stairs() {
        let s = soak();
        let one = page(std::slice::from_ref(&s));
        for wanted in
            ["steady from minute 1.0", "+19.9 %", "steady beside minute 1", "MHz", "°C", "class=\"mark\""]
        {
            assert!(one.contains(wanted), "{wanted}");
        }
        assert_eq!(one.matches("<svg").count(), 4, "stairs, tails, clock, temperature");
        assert!(!one.contains("<script") && !one.contains("NaN"));
        assert_eq!(page(&[s.clone(), s]).matches("<svg").count(), 8);
    }
}
