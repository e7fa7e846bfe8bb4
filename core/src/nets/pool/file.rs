//! A pool as a file: TOML of schema [`SCHEMA`], which `docs/examples/own-pool.toml` shows. Every number is checked, so that no
//! student of a pool that was read can fail to be built.

use super::{Pool, PoolStage, Se, names};
use crate::io::artifact;
use crate::ir::arch::{Activation, Head, Stem};
use crate::nets::family::FAMILIES;
use crate::text::format;
use crate::{Error, Result};
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::Path;

/// This is the schema of a pool's file.
pub const SCHEMA: &str = "gtn.pool/1";
/// Characters of a pool's name: ids begin with it.
const MAX_NAME: usize = 40;
/// Stages of a pool.
const MAX_STAGES: usize = 12;
/// Channels inside a block, as in any architecture.
const MAX_HIDDEN: usize = 16_384;
/// Characters of an id: it names folders.
const MAX_ID: usize = 128;

/// This is what a pool's file holds, and what the train.json of a generic teacher keeps of a pool that came from
/// one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// [`SCHEMA`].
    pub schema: String,
    /// First part of each id.
    pub name: String,
    /// A family's name.
    pub family: String,
    /// Kernels that a block may choose.
    pub kernels: Vec<usize>,
    /// Expansions that a block may choose.
    pub expansions: Vec<usize>,
    /// `false`, `true` or `"choice"`.
    #[serde(default = "never", skip_serializing_if = "is_never")]
    pub se: Se,
    /// Of all blocks.
    pub activation: Activation,
    /// Shared by all.
    pub stem: Stem,
    /// In order.
    pub stages: Vec<StageDefinition>,
    /// Shared by all.
    #[serde(default = "bare", skip_serializing_if = "is_bare")]
    pub head: Head,
}

/// This is one stage of a pool's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageDefinition {
    /// Output channels.
    pub width: usize,
    /// Of its first block.
    pub stride: usize,
    /// Fewest blocks.
    pub min_depth: usize,
    /// Most blocks.
    pub max_depth: usize,
}

fn never() -> Se {
    Se::Never
}

fn is_never(se: &Se) -> bool {
    *se == Se::Never
}

fn bare() -> Head {
    Head::default()
}

fn is_bare(head: &Head) -> bool {
    *head == bare()
}

impl Serialize for Se {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => serializer.serialize_bool(false),
            Self::Always => serializer.serialize_bool(true),
            Self::Choice => serializer.serialize_str("choice"),
        }
    }
}

impl<'de> Deserialize<'de> for Se {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = Se;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("false, true or \"choice\"")
            }

            fn visit_bool<E: serde::de::Error>(self, all: bool) -> Result<Se, E> {
                Ok(if all { Se::Always } else { Se::Never })
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Se, E> {
                if word == "choice" {
                    Ok(Se::Choice)
                } else {
                    Err(E::invalid_value(Unexpected::Str(word), &self))
                }
            }
        }
        deserializer.deserialize_any(Word)
    }
}

impl Pool {
    /// Reads and checks a pool's file. What is wrong in it is an input error that names the key, what was found and
    /// what was wanted.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse_toml(&artifact::read_text(path)?, path)
    }

    /// Does what [`Self::read`] does with text in memory; `path` is for messages.
    pub fn parse_toml(text: &str, path: &Path) -> Result<Self> {
        let definition: Definition = artifact::parse_toml(text, path)?;
        definition.pool().map_err(|what| Error::input(path, what))
    }

    /// Returns the pool as TOML that [`Self::parse_toml`] reads back, but for the name, where that is a built-in
    /// pool's.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(&self.definition()).map_err(|e| Error::Failed(format!("pool `{}`: {e}", self.name)))
    }

    /// Returns what its file would hold.
    pub fn definition(&self) -> Definition {
        let stage = |s: &PoolStage| StageDefinition {
            width: s.width,
            stride: s.stride,
            min_depth: *s.depths.start(),
            max_depth: *s.depths.end(),
        };
        Definition {
            schema: SCHEMA.into(),
            name: self.name.clone(),
            family: self.family.name.into(),
            kernels: self.kernels.clone(),
            expansions: self.expansions.clone(),
            se: self.se,
            activation: self.activation,
            stem: self.stem.clone(),
            stages: self.stages.iter().map(stage).collect(),
            head: self.head.clone(),
        }
    }
}

impl Definition {
    /// Checks it and makes the pool of it. An error says which key is wrong, what was found and what was wanted.
    pub fn pool(&self) -> Result<Pool, String> {
        if names().contains(&self.name) {
            return Err(format!("name is `{}`, a built-in pool's: wanted another", self.name));
        }
        self.checked()
    }

    /// Does what [`Self::pool`] does, and takes a built-in pool's name too.
    pub(super) fn checked(&self) -> Result<Pool, String> {
        let short = |text: &str| format::escape(&format::shorten(text, 60)).into_owned();
        if self.schema != SCHEMA {
            return Err(format!("schema is `{}`, wanted `{SCHEMA}`", short(&self.schema)));
        }
        if !artifact::is_plain(&self.name, "") || self.name.len() > MAX_NAME || self.name.ends_with(".toml") {
            let wanted = "letters, digits, `-`, `_`, `.`, no `.` before all others and no `.toml` at the end";
            return Err(format!("name is `{}`, wanted at most {MAX_NAME} {wanted}", short(&self.name)));
        }
        let Some(family) = FAMILIES.iter().find(|f| f.name == self.family) else {
            let known: Vec<&str> = FAMILIES.iter().map(|f| f.name).collect();
            return Err(format!("family is `{}`, wanted one of: {}", short(&self.family), known.join(", ")));
        };
        choices("kernels", &self.kernels, &[1, 3, 5, 7, 9])?;
        choices("expansions", &self.expansions, &[1, 2, 3, 4, 5, 6, 7, 8, 9])?;
        if self.se != Se::Never && !family.se {
            let found = if self.se == Se::Always { "true" } else { "\"choice\"" };
            return Err(format!("se is {found}, wanted false: blocks of family `{}` have none", family.name));
        }
        self.check_layers()?;
        let stage = |s: &StageDefinition| PoolStage {
            width: s.width,
            stride: s.stride,
            depths: s.min_depth..=s.max_depth,
        };
        let pool = Pool {
            name: self.name.clone(),
            family,
            stem: self.stem.clone(),
            stages: self.stages.iter().map(stage).collect(),
            kernels: self.kernels.clone(),
            expansions: self.expansions.clone(),
            se: self.se,
            activation: self.activation,
            head: self.head.clone(),
        };
        let [_, longest] = pool.ends();
        let length = pool.id(&longest).len();
        if length > MAX_ID {
            let wanted = "fewer stages, smaller max_depth or a shorter name";
            return Err(format!(
                "stages: the longest id has {length} characters, wanted at most {MAX_ID}: {wanted}"
            ));
        }
        if pool.checked_count().is_none() {
            return Err(
                "stages: there are more than 2^128 students, wanted fewer choices or smaller max_depth"
                    .into(),
            );
        }
        Ok(pool)
    }

    fn check_layers(&self) -> Result<(), String> {
        let most = self.expansions.iter().copied().max().unwrap_or(1);
        let check = |key: String, found: usize, range: std::ops::RangeInclusive<usize>| {
            if range.contains(&found) {
                return Ok(());
            }
            Err(format!("{key} is {found}, wanted {} to {}", range.start(), range.end()))
        };
        // Times the largest expansion it is still an architecture's.
        let widths = 1..=MAX_HIDDEN / most;
        check("stem.width".into(), self.stem.width, widths.clone())?;
        if !(1..=15).contains(&self.stem.kernel) || self.stem.kernel.is_multiple_of(2) {
            return Err(format!("stem.kernel is {}, wanted an odd number up to 15", self.stem.kernel));
        }
        check("stem.stride".into(), self.stem.stride, 1..=2)?;
        if let Some(conv) = &self.head.conv {
            check("head.conv.width".into(), conv.width, 1..=MAX_HIDDEN)?;
        }
        if !(1..=MAX_STAGES).contains(&self.stages.len()) {
            return Err(format!("stages has {} entries, wanted 1 to {MAX_STAGES}", self.stages.len()));
        }
        for (i, stage) in self.stages.iter().enumerate() {
            check(format!("stages[{i}].width"), stage.width, widths.clone())?;
            check(format!("stages[{i}].stride"), stage.stride, 1..=2)?;
            check(format!("stages[{i}].min_depth"), stage.min_depth, 1..=9)?;
            check(format!("stages[{i}].max_depth"), stage.max_depth, stage.min_depth..=9)?;
        }
        Ok(())
    }
}

/// At least one, each among `known` (one digit, as in ids), none twice.
fn choices(key: &str, found: &[usize], known: &[usize]) -> Result<(), String> {
    if found.is_empty() {
        return Err(format!("{key} is empty, wanted at least one of {known:?}"));
    }
    for (i, x) in found.iter().enumerate() {
        if !known.contains(x) {
            return Err(format!("{key} holds {x}, wanted some of {known:?}"));
        }
        if found.iter().take(i).any(|y| y == x) {
            return Err(format!("{key} holds {x} twice, wanted it once"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::arch::Input;
    use crate::ir::graph::Graph;
    use crate::nets::pool::all;
    use crate::rng::Rng;

    /// What docs/pools.md points at.
    const EXAMPLE: &str = include_str!("../../../../docs/examples/own-pool.toml");
    const INPUT: Input = Input { channels: 3, height: 96, width: 96 };

    fn parse(text: &str) -> Result<Pool> {
        Pool::parse_toml(text, Path::new("own.toml"))
    }

    #[test]
    fn the_example_is_a_pool() {
        let pool = parse(EXAMPLE).unwrap();
        let choices = 2 * 2 * 2;
        let upto = |n: u32| (1..=n).map(|d| u128::pow(choices, d)).sum::<u128>();
        assert_eq!((pool.name.as_str(), pool.count()), ("orchard", (upto(2) * upto(3)).pow(2)));
        for i in 0..20 {
            let path = pool.sample(0, i);
            let id = pool.id(&path);
            assert_eq!(pool.parse(&id).unwrap(), path, "{id}");
            Graph::lower(&pool.arch(&path, INPUT, 5).unwrap()).unwrap();
        }
        // The comment beside the name is an id of it.
        pool.parse("orchard:d1111-k3333-e3333-s0000").unwrap();
    }

    #[test]
    fn a_pool_is_what_its_file_says() {
        for built_in in all() {
            let text = built_in.to_toml().unwrap();
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains("name is `") && error.contains("a built-in pool's"), "{error}");
            let own = Pool { name: "own".into(), ..built_in };
            let text = own.to_toml().unwrap();
            assert_eq!(parse(&text).unwrap(), own, "{text}");
            // As a generic teacher's train.json keeps it.
            let json = artifact::to_json(&own.definition()).unwrap();
            let read: Definition = artifact::parse_json(&json, Path::new("train.json")).unwrap();
            assert_eq!(read.pool().unwrap(), own);
        }
        let always = parse(&EXAMPLE.replace("se = \"choice\"", "se = true")).unwrap();
        assert_eq!(parse(&always.to_toml().unwrap()).unwrap(), always);
        let path = always.sample(1, 1);
        assert!(path.0.iter().flatten().all(|c| c.se) && !always.id(&path).contains("-s"));
        assert_eq!(always.parse(&always.id(&path)).unwrap(), path);
        assert!(always.coverage().iter().all(|p| p.0.iter().flatten().all(|c| c.se)));
    }

    #[test]
    fn faults_are_named_by_their_key() {
        let cases = [
            ("gtn.pool/1", "gtn.pool/2", "schema is `gtn.pool/2`, wanted `gtn.pool/1`"),
            ("\"orchard\"", "\"mbv2-mini\"", "name is `mbv2-mini`, a built-in pool's"),
            ("\"orchard\"", "\"a:b\"", "name is `a:b`, wanted at most 40 letters"),
            ("\"orchard\"", "\"../up\"", "name is `../up`, wanted"),
            ("\"orchard\"", "\"\"", "name is ``, wanted"),
            ("\"orchard\"", "\"own.toml\"", "name is `own.toml`, wanted"),
            ("\"orchard\"", &format!("\"{}\"", "n".repeat(41)), "wanted at most 40 letters"),
            (
                "\"inverted residual\"",
                "\"vgg\"",
                "family is `vgg`, wanted one of: inverted residual, residual",
            ),
            (
                "\"inverted residual\"",
                "\"residual\"",
                "se is \"choice\", wanted false: blocks of family `residual`",
            ),
            ("kernels = [3, 5]", "kernels = []", "kernels is empty, wanted at least one of [1, 3, 5, 7, 9]"),
            ("kernels = [3, 5]", "kernels = [3, 4]", "kernels holds 4, wanted some of [1, 3, 5, 7, 9]"),
            ("kernels = [3, 5]", "kernels = [3, 11]", "kernels holds 11, wanted"),
            ("kernels = [3, 5]", "kernels = [5, 3, 5]", "kernels holds 5 twice"),
            ("kernels = [3, 5]", "kernels = [3, -5]", "`kernels`"),
            ("expansions = [3, 6]", "expansions = [0]", "expansions holds 0, wanted some of [1, 2"),
            ("expansions = [3, 6]", "expansions = [10]", "expansions holds 10, wanted"),
            (
                "se = \"choice\"",
                "se = \"maybe\"",
                "`se`: invalid value: string \"maybe\", expected false, true or",
            ),
            ("se = \"choice\"", "se = 1", "`se`: invalid type: integer `1`, expected false, true or"),
            ("\nactivation", "\nactivations", "unknown field `activations`"),
            ("activation = \"hard_swish\"", "activation = \"gelu\"", "`activation`: unknown variant `gelu`"),
            ("width = 12 ", "width = 0 ", "stem.width is 0, wanted 1 to 2730"),
            ("width = 12 ", "width = 2731 ", "stem.width is 2731, wanted 1 to 2730"),
            ("kernel = 3\n", "kernel = 4\n", "stem.kernel is 4, wanted an odd number up to 15"),
            ("kernel = 3\nstride = 2", "kernel = 3\nstride = 3", "stem.stride is 3, wanted 1 to 2"),
            ("width = 24", "width = 18446744073709551615", "stages[1].width is 18446744073709551615, wanted"),
            ("width = 24", "width = 9000000000", "stages[1].width is 9000000000, wanted 1 to 2730"),
            ("width = 24\nstride = 2", "width = 24\nstride = 0", "stages[1].stride is 0, wanted 1 to 2"),
            ("min_depth = 1", "min_depth = 0", "stages[0].min_depth is 0, wanted 1 to 9"),
            ("min_depth = 1", "min_depth = 3", "stages[0].max_depth is 2, wanted 3 to 9"),
            ("max_depth = 3", "max_depth = 10", "stages[1].max_depth is 10, wanted 1 to 9"),
            ("max_depth = 3", "depths = [1, 3]", "unknown field `depths`"),
            ("[[stages]]\nwidth = 64", "[[stage]]\nwidth = 64", "unknown field `stage`"),
            ("width = 256", "width = 0", "head.conv.width is 0, wanted 1 to 16384"),
        ];
        let mut wrong = Vec::new();
        for (from, to, wanted) in cases {
            assert!(EXAMPLE.contains(from), "{from}");
            let text = match parse(&EXAMPLE.replace(from, to)) {
                Err(error) if error.exit_code() == 2 => error.to_string(),
                other => format!("{other:?}"),
            };
            if !(text.starts_with("own.toml: ") && text.contains(wanted)) {
                wrong.push(format!("{to}: {text}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let none = EXAMPLE.split("[[stages]]").next().unwrap().replace("\n[stem]", "\nstages = []\n[stem]");
        let error = parse(&none).unwrap_err().to_string();
        assert!(error.contains("stages has 0 entries, wanted 1 to 12"), "{error}");
        let deep = EXAMPLE.replace("max_depth", "max_depth = 9 #");
        parse(&deep.replace("orchard\"", "orchards\"")).unwrap(); // 128 characters
        let error = parse(&deep.replace("orchard\"", "orchards1\"")).unwrap_err().to_string();
        assert!(error.contains("stages: the longest id has 129 characters, wanted at most 128"), "{error}");
        // 90 choices a block in four stages of up to 6 blocks: the id is short enough, the count is not.
        let many = EXAMPLE
            .replace("kernels = [3, 5]", "kernels = [1, 3, 5, 7, 9]")
            .replace("expansions = [3, 6]", "expansions = [1, 2, 3, 4, 5, 6, 7, 8, 9]")
            .replace("max_depth", "max_depth = 6 #");
        let error = parse(&many).unwrap_err().to_string();
        assert!(error.contains("more than 2^128 students"), "{error}");
    }

    /// Whatever a damaged file still says, it is refused in a line, or its students can be built.
    #[test]
    fn damage_is_refused_or_can_be_built() {
        let digits: Vec<usize> =
            EXAMPLE.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(i, _)| i).collect();
        let (mut refused, mut built) = (0, 0);
        for i in 0..3000 {
            let mut rng = Rng::new(1, "damage", i);
            let mut below = |n: usize| rng.below(n as u64) as usize;
            let mut text = EXAMPLE.to_owned().into_bytes();
            for _ in 0..=below(2) {
                match below(3) {
                    0 => text[digits[below(digits.len())]] = b"0123456789"[below(10)],
                    1 => drop(text.remove(below(EXAMPLE.len() - 4))),
                    _ => text[below(EXAMPLE.len() - 4)] = b" =[]\"-.9\n"[below(9)],
                }
            }
            match parse(&String::from_utf8_lossy(&text)) {
                Err(error) => {
                    assert!(error.exit_code() == 2 && !error.to_string().contains('\n'), "{error}");
                    refused += 1;
                }
                Ok(pool) => {
                    for path in pool.ends().into_iter().chain([pool.sample(0, i)]) {
                        assert_eq!(pool.parse(&pool.id(&path)).unwrap(), path);
                        Graph::lower(&pool.arch(&path, INPUT, 10).unwrap()).unwrap();
                    }
                    built += 1;
                }
            }
        }
        assert!(refused > 500 && built > 500, "{refused} refused, {built} built");
    }
}
