//! Ids of students: `mbv2-cifar:d212-k35333-e63366`, and `-s01100` behind where squeeze-and-excitation is a choice.
//! One digit for each stage's depth, then one for each block's kernel, expansion and squeeze-and-excitation.

use super::{Path, Pool, Se};
use crate::nets::family::BlockChoice;
use crate::{Error, Result};

impl Pool {
    /// Returns what its ids look like, for messages.
    fn pattern(&self) -> &'static str {
        match self.se {
            Se::Choice => "dDEPTHS-kKERNELS-eEXPANSIONS-sSE",
            Se::Never | Se::Always => "dDEPTHS-kKERNELS-eEXPANSIONS",
        }
    }

    /// Returns the id of a path.
    pub fn id(&self, path: &Path) -> String {
        let digits = |f: &dyn Fn(&BlockChoice) -> usize| -> String {
            path.0.iter().flatten().map(|c| f(c).to_string()).collect()
        };
        let depths: String = path.0.iter().map(|s| s.len().to_string()).collect();
        let (kernels, expansions) = (digits(&|c| c.kernel), digits(&|c| c.expansion));
        let id = format!("{}:d{depths}-k{kernels}-e{expansions}", self.name);
        match self.se {
            Se::Choice => format!("{id}-s{}", digits(&|c| usize::from(c.se))),
            Se::Never | Se::Always => id,
        }
    }

    /// Returns the path of an id. An id that is not in the pool is a usage error that says which part is wrong.
    pub fn parse(&self, id: &str) -> Result<Path> {
        let bad = |what: String| Error::usage(format!("student id `{id}`: {what}"));
        let rest = id
            .strip_prefix(self.name.as_str())
            .and_then(|r| r.strip_prefix(':'))
            .ok_or_else(|| bad(format!("is not of pool `{}`", self.name)))?;
        let parts: Vec<&str> = rest.split('-').collect();
        let (d, k, e, s) = match (parts.as_slice(), self.se) {
            (&[d, k, e], Se::Never | Se::Always) => (d, k, e, None),
            (&[d, k, e, s], Se::Choice) => (d, k, e, Some(s)),
            _ => {
                let (n, pattern) = (parts.len(), self.pattern());
                return Err(bad(format!("`{rest}` has {n} parts, wanted {pattern}")));
            }
        };
        let depths = digits(d, 'd', self.stages.len()).map_err(&bad)?;
        for (s, (&depth, stage)) in depths.iter().zip(&self.stages).enumerate() {
            if !stage.depths.contains(&depth) {
                let (lo, hi) = (stage.depths.start(), stage.depths.end());
                return Err(bad(format!("depth of stage {s} is {depth}, wanted {lo} to {hi}")));
            }
        }
        let blocks = depths.iter().sum();
        let kernels = digits(k, 'k', blocks).map_err(&bad)?;
        let expansions = digits(e, 'e', blocks).map_err(&bad)?;
        let se = match s {
            Some(s) => digits(s, 's', blocks).map_err(&bad)?,
            None => vec![usize::from(self.se == Se::Always); blocks],
        };
        for (what, found, known) in [
            ("kernel", &kernels, self.kernels.as_slice()),
            ("expansion", &expansions, &self.expansions),
            ("squeeze-and-excitation", &se, &[0, 1]),
        ] {
            if let Some(wrong) = found.iter().find(|x| !known.contains(x)) {
                return Err(bad(format!("{what} {wrong} is not in the pool, wanted one of {known:?}")));
            }
        }
        let mut choices = kernels
            .into_iter()
            .zip(expansions)
            .zip(se)
            .map(|((kernel, expansion), se)| BlockChoice { kernel, expansion, se: se == 1 });
        Ok(Path(depths.into_iter().map(|d| choices.by_ref().take(d).collect()).collect()))
    }
}

/// The digits after `letter`, exactly `count` of them.
fn digits(text: &str, letter: char, count: usize) -> Result<Vec<usize>, String> {
    let found: Option<Vec<usize>> = text
        .strip_prefix(letter)
        .and_then(|rest| rest.chars().map(|c| c.to_digit(10).map(|d| d as usize)).collect());
    match found {
        Some(list) if list.len() == count => Ok(list),
        _ => Err(format!("`{text}` wanted `{letter}` and {count} digits")),
    }
}
