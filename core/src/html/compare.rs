//! A page about one comparison.

use crate::html::page::Page;
use crate::html::plot;
use crate::measure::compare::{Comparison, How, Verdict};
use crate::measure::robust;
use crate::text::format;

/// Makes the page: the verdict, both sides, and every round.
pub fn page(c: &Comparison) -> String {
    let title = format!("{} against {}", c.b.model.name, c.a.model.name);
    let mut page = Page::new(&title, &format!("{}, measured {}, on {}", c.program, c.how, c.host.kind()));
    let verdict = match c.result.verdict {
        Verdict::Faster => "B is faster",
        Verdict::Slower => "B is slower",
        Verdict::CannotTell => "cannot tell",
    };
    page.tiles(&[
        (verdict.to_owned(), format!("B's time is {:.3} of A's", c.result.ratio)),
        (format::ms(robust::median(&c.a.p50_ms)), format!("A: {}", c.a.model.name)),
        (format::ms(robust::median(&c.b.p50_ms)), format!("B: {}", c.b.model.name)),
    ]);
    page.text(&c.result.sentence());
    page.warnings(&c.warnings.iter().map(ToString::to_string).collect::<Vec<_>>());
    page.table(&c.table());
    let series = |name: &str, y: &[f64]| plot::Series {
        name: name.into(),
        points: y.iter().enumerate().map(|(i, y)| (i as f64 + 1.0, *y)).collect(),
    };
    let unit = if c.how == How::Reports { "report" } else { "round" };
    let lines = [series("A", &c.a.p50_ms), series("B", &c.b.p50_ms)];
    page.plot(&plot::lines(&lines, unit, "median, ms", "medians"), &format!("The median of each {unit}."));
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::measure::compare::{Ratio, SCHEMA, Side};
    use crate::measure::report::{BackendInfo, Model};

    #[test]
    fn the_page_tells_the_verdict() {
        let side = |name: &str, p50_ms: Vec<f64>| Side {
            model: Model {
                name: name.into(),
                sha256: "00".into(),
                bytes: 1,
                target: None,
                precision: None,
                arch: None,
                macs: None,
                params: None,
            },
            backend: BackendInfo::default(),
            p50_ms,
        };
        let c = Comparison {
            schema: SCHEMA.into(),
            program: "gtn-run 0".into(),
            unix_time: 0,
            host: Host::default(),
            how: How::InTurn,
            a: side("<a>", vec![1.0; 6]),
            b: side("b", vec![2.0; 6]),
            result: Ratio::of_rounds(&[2f64.ln(); 6], 0.01).unwrap(),
            warnings: vec![],
        };
        let page = page(&c);
        assert!(
            page.contains("B is 100.0 % slower than A")
                && page.contains("&lt;a&gt;")
                && !page.contains("<a>")
        );
        assert!(c.terminal().contains("6 rounds"));
    }
}
