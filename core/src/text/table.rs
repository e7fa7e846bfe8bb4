//! Tables for terminals and Markdown.

use crate::text::format;

/// A table has rows of text under headings; cells that look like numbers are aligned right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Column names.
    pub headings: Vec<String>,
    /// As many cells as headings; missing ones are empty.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes an empty table.
    pub fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Self {
        Self { headings: headings.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row. What would act on a terminal (line breaks, escape codes) is shown instead.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        let shown = |cell: S| format::escape(&cell.into()).into_owned();
        let mut cells: Vec<String> = cells.into_iter().map(shown).collect();
        cells.resize(self.headings.len(), String::new());
        self.rows.push(cells);
        self
    }

    /// Returns whether column `i` holds numbers (its first cell that is neither empty nor `-` starts with a
    /// digit or sign).
    pub fn numeric(&self, i: usize) -> bool {
        let first = self.rows.iter().filter_map(|r| r.get(i)).find(|c| !c.is_empty() && *c != "-");
        first.is_some_and(|c| {
            c.trim_start_matches(['-', '+', '<', '~']).starts_with(|d: char| d.is_ascii_digit())
        })
    }

    fn widths(&self) -> Vec<usize> {
        let lines = || std::iter::once(&self.headings).chain(&self.rows);
        let width = |i: usize| {
            lines().filter_map(|r| r.get(i)).map(|c: &String| c.chars().count()).max().unwrap_or(0)
        };
        (0..self.headings.len()).map(width).collect()
    }

    fn lines(&self) -> (Vec<usize>, Vec<Vec<String>>) {
        let widths = self.widths();
        let pad = |row: &Vec<String>| {
            let cell = |(i, (text, &width)): (usize, (&String, &usize))| {
                let space = " ".repeat(width.saturating_sub(text.chars().count()));
                if self.numeric(i) { format!("{space}{text}") } else { format!("{text}{space}") }
            };
            row.iter().zip(&widths).enumerate().map(cell).collect()
        };
        let lines = std::iter::once(&self.headings).chain(&self.rows).map(pad).collect();
        (widths, lines)
    }

    /// Returns it for a terminal: headings, a rule, rows.
    pub fn render(&self) -> String {
        let (widths, lines) = self.lines();
        let mut out = String::new();
        for (i, line) in lines.iter().enumerate() {
            out.push_str(line.join("   ").trim_end());
            out.push('\n');
            if i == 0 {
                let rules: Vec<String> = widths.iter().map(|&w| "─".repeat(w)).collect();
                out.push_str(&rules.join("───"));
                out.push('\n');
            }
        }
        out
    }

    /// Returns it for a terminal of `width` columns. A table that is too wide goes on below itself, each part
    /// with the first column, and with the rows' numbers where there are several. A column wider than that
    /// stays whole.
    pub fn render_within(&self, width: usize) -> String {
        let widths = self.widths();
        let total = |columns: &[usize]| columns.iter().map(|w| w + 3).sum::<usize>().saturating_sub(3);
        if total(&widths) <= width || self.headings.len() < 3 {
            return self.render();
        }
        let numbers = if self.rows.len() > 1 { self.rows.len().to_string().len().max(3) + 3 } else { 0 };
        let first = numbers + widths.first().copied().unwrap_or(0);
        let mut parts: Vec<Vec<usize>> = Vec::new();
        let mut room = 0;
        for (i, w) in widths.iter().enumerate().skip(1) {
            match parts.last_mut() {
                Some(part) if w + 3 <= room => part.push(i),
                _ => {
                    parts.push(vec![i]);
                    room = width.saturating_sub(first);
                }
            }
            room = room.saturating_sub(w + 3);
        }
        let part = |columns: &Vec<usize>| {
            let pick = |line: &Vec<String>, number: String| {
                let number = (numbers > 0).then_some(number);
                let cell = |i: &usize| line.get(*i).cloned().unwrap_or_default();
                number.into_iter().chain(std::iter::once(cell(&0))).chain(columns.iter().map(cell)).collect()
            };
            let headings: Vec<String> = pick(&self.headings, "no.".into());
            let rows = self.rows.iter().enumerate().map(|(i, r)| pick(r, (i + 1).to_string())).collect();
            Self { headings, rows }.render()
        };
        parts.iter().map(part).collect::<Vec<_>>().join("\n")
    }

    /// Returns it for documents, as Markdown.
    pub fn to_markdown(&self) -> String {
        let (widths, lines) = self.lines();
        let mut out = String::new();
        for (i, line) in lines.iter().enumerate() {
            let cells: Vec<String> = line.iter().map(|c| format::markdown(c)).collect();
            out.push_str(&format!("| {} |\n", cells.join(" | ")));
            if i == 0 {
                let rule = |(i, &w): (usize, &usize)| {
                    if self.numeric(i) {
                        format!("{}:", "-".repeat(w.max(2) - 1))
                    } else {
                        "-".repeat(w.max(1))
                    }
                };
                let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
                out.push_str(&format!("| {} |\n", rules.join(" | ")));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_numbers_right() {
        let mut t = Table::new(["who", "n"]);
        t.row(["a", "5"]).row(["bcd", "1234"]);
        assert_eq!(t.render(), "who      n\n──────────\na        5\nbcd   1234\n");
        let mut gap = Table::new(["n", "who"]);
        gap.row(["-", "-"]).row(["1", "a"]);
        assert!(gap.numeric(0) && !gap.numeric(1));
        let mut odd = Table::new(["name"]);
        odd.row(["a\nb|<c>\x1b"]);
        assert_eq!(odd.render(), "name\n────────────\na\\nb|<c>\\x1b\n");
        assert!(odd.to_markdown().ends_with("| a\\\\nb\\|\\<c\\>\\\\x1b |\n"), "{}", odd.to_markdown());
        assert_eq!(t.to_markdown(), "| who |    n |\n| --- | ---: |\n| a   |    5 |\n| bcd | 1234 |\n");
    }

    #[test]
    fn a_wide_table_goes_on_below() {
        let mut t = Table::new(["who", "first", "second", "third"]);
        t.row(["a", "11111", "222222", "33333"]).row(["b", "1", "2", "3"]);
        assert_eq!(t.render_within(80), t.render());
        assert_eq!(
            t.render_within(25),
            "no.   who   first\n─────────────────\n  1   a     11111\n  2   b         1\n\n\
             no.   who   second\n──────────────────\n  1   a     222222\n  2   b          2\n\n\
             no.   who   third\n─────────────────\n  1   a     33333\n  2   b         3\n"
        );
        let mut one = Table::new(["who", "first", "second"]);
        one.row(["a", "11111", "222222"]);
        assert_eq!(one.render_within(12).matches("who").count(), 2);
        assert!(!one.render_within(12).contains("no."));
    }
}
