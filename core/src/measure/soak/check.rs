//! Reading a soak back: nothing of it is believed before it is checked.

use super::{SCHEMA, Soak};
use crate::io::artifact;
use crate::measure::steady::Level;
use crate::{Error, Result};
use std::path::Path;

/// Blocks of a soak, at most: the rule makes no more than 300.
const MOST: usize = 10_000;

impl Soak {
    /// Reads a file that `gtn-run soak --json` wrote. An error names the file, the key, what was found and wanted.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&artifact::read_text(path)?, path)
    }

    /// Does what [`Self::read`] does, for text that is there; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let soak: Self = artifact::parse_schema(text, path, SCHEMA)?;
        soak.wrong().map_or(Ok(soak), |what| Err(Error::input(path, what)))
    }

    /// What in it cannot be: the key, what was found and wanted.
    fn wrong(&self) -> Option<String> {
        if !(1..=MOST).contains(&self.blocks.len()) {
            return Some(format!("blocks has {} entries, wanted 1 to {MOST}", self.blocks.len()));
        }
        self.wrong_block().or_else(|| self.wrong_steady()).or_else(|| {
            let numbers = [
                ("settings.minutes", self.settings.minutes),
                ("settings.block_s", self.settings.block_s),
                ("seconds", self.seconds),
                ("init_ms", self.init_ms),
                ("first_ms", self.first_ms),
            ];
            let odd = numbers.iter().find(|(_, x)| !(x.is_finite() && *x >= 0.0));
            odd.map(|(key, x)| format!("{key} is {x}, wanted a number from 0"))
        })
    }

    fn wrong_block(&self) -> Option<String> {
        let (mut sum, mut end) = (0usize, 0.0);
        for (i, b) in self.blocks.iter().enumerate() {
            if !(b.from_s.is_finite() && b.to_s.is_finite() && b.from_s >= end && b.to_s > b.from_s) {
                return Some(format!(
                    "blocks[{i}] is from {} to {} s, wanted a time after {end} s",
                    b.from_s, b.to_s
                ));
            }
            end = b.to_s;
            let times = [b.min_ms, b.median_ms, b.p90_ms, b.p99_ms];
            let ascend = times.iter().zip(times.iter().skip(1)).all(|(a, b)| a <= b);
            if !(b.min_ms > 0.0 && b.p99_ms.is_finite() && ascend) {
                return Some(format!(
                    "blocks[{i}] has min, median, p90, p99 {times:?} ms, wanted times above 0 in ascending order"
                ));
            }
            if b.inferences == 0 || b.late > b.inferences {
                let (n, late) = (b.inferences, b.late);
                return Some(format!(
                    "blocks[{i}] has {n} inferences, {late} late; wanted 1 or more, no more late"
                ));
            }
            sum = sum.saturating_add(b.inferences);
        }
        let found = self.inferences;
        (sum != found).then(|| format!("inferences is {found}, wanted the blocks' sum of {sum}"))
    }

    fn wrong_steady(&self) -> Option<String> {
        let sound = |l: &Level| {
            let [low, high] = l.ci95.unwrap_or([l.ms, l.ms]);
            low > 0.0 && low <= high && high.is_finite() && l.ms > 0.0 && l.ms.is_finite()
        };
        let levels =
            [("first_minute", Some(&self.first_minute)), ("steady.steady", self.steady.steady.as_ref())];
        if let Some((key, level)) = levels.iter().find(|(_, l)| l.is_some_and(|l| !sound(l))) {
            return Some(format!("{key} is {level:?}, wanted times above 0"));
        }
        let s = &self.steady;
        let n = self.blocks.len();
        if let Some(block) = s.from_block.filter(|b| *b >= n) {
            return Some(format!("steady.from_block is {block}, wanted less than {n}"));
        }
        let whole = [s.from_block.is_some(), s.from_s.is_some(), s.steady.is_some()];
        if whole != [whole[0]; 3] {
            return Some("steady has one of from_block, from_s, steady: wanted all or none".into());
        }
        let odd = |t: f64| !(t.is_finite() && t >= 0.0);
        let segments = &s.segments;
        if let Some(i) = segments.iter().position(|g| odd(g.from_s) || odd(g.to_s) || odd(g.median_ms)) {
            return Some(format!("steady.segments[{i}] is {:?}, wanted numbers from 0", segments.get(i)));
        }
        if segments.len() > n || s.from_s.is_some_and(odd) {
            return Some(format!(
                "steady has {} segments from {:?} s, wanted at most {n}",
                segments.len(),
                s.from_s
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::soak;
    use super::*;

    #[test]
    fn a_soak_round_trips() {
        let s = soak();
        let text = artifact::to_json(&s).unwrap();
        assert_eq!(Soak::parse(&text, Path::new("s.json")).unwrap(), s);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let check = |edit: fn(&mut Soak), wanted: &[&str]| {
            let mut s = soak();
            edit(&mut s);
            let error = Soak::parse(&artifact::to_json(&s).unwrap(), Path::new("s.json")).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.exit_code(), 2, "{text}");
            assert!(["s.json"].iter().chain(wanted).all(|w| text.contains(w)), "{text}");
        };
        check(|s| s.schema = "gtn.soak/2".into(), &["gtn.soak/2", "gtn.soak/1"]);
        check(|s| s.blocks.clear(), &["blocks", "0"]);
        check(|s| s.blocks[3].from_s = 1.0, &["blocks[3]", "1 to 4", "after 3"]);
        check(|s| s.blocks[4].median_ms = 0.0, &["blocks[4]", "ascending"]);
        check(|s| s.blocks[5].inferences = 0, &["blocks[5]", "0 inferences"]);
        check(|s| s.inferences += 1, &["inferences is 1801", "1800"]);
        check(|s| s.steady.from_block = Some(180), &["steady.from_block is 180", "less than 180"]);
        check(|s| s.steady.from_s = None, &["all or none"]);
        check(|s| s.first_minute.ms = -1.0, &["first_minute", "-1"]);
        check(|s| s.seconds = -2.0, &["seconds is -2"]);
    }
}
