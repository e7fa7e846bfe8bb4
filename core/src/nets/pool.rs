//! Student pools: an architecture with choices. One choice per position is a path, a path is a
//! student, and every student has a readable id that parses back: `mbv2-cifar:d212-k35333-e63366`.

use crate::ir::arch::{Activation, ArchSpec, Head, Input, Stage, Stem};
use crate::nets::family::{BlockChoice, FAMILIES, Family, Site};
use crate::rng::Rng;
use crate::{Error, Result};
use std::ops::RangeInclusive;

/// This is one stage of a pool: fixed width, the first `depth` positions in use.
#[derive(Debug, Clone)]
pub struct PoolStage {
    /// Output channels.
    pub width: usize,
    /// Of its first block.
    pub stride: usize,
    /// How many blocks a student may have here (elastic depth).
    pub depths: RangeInclusive<usize>,
}

/// A pool is a finite set of students that share choice blocks. Every number that a choice takes is one digit.
#[derive(Clone)]
pub struct Pool {
    /// First part of each id.
    pub name: String,
    /// What a choice means.
    pub family: &'static Family,
    /// Shared by all.
    pub stem: Stem,
    /// In order.
    pub stages: Vec<PoolStage>,
    /// At every position.
    pub kernels: Vec<usize>,
    /// At every position.
    pub expansions: Vec<usize>,
    /// Of all blocks.
    pub activation: Activation,
    /// Shared by all.
    pub head: Head,
}

/// A path is one student's choices: for each stage, one per block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(pub Vec<Vec<BlockChoice>>);

/// This is what may be drawn at one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSpace {
    /// Depths, ascending.
    pub depths: Vec<usize>,
    /// For each position up to the largest depth, its choices.
    pub choices: Vec<Vec<BlockChoice>>,
}

/// These are the students that a supernet holds: a whole pool, or part of it (an SFTN teacher's pool is one
/// student).
#[derive(Clone)]
pub struct Space {
    /// Where they come from.
    pub pool: Pool,
    /// Stage by stage.
    pub stages: Vec<StageSpace>,
}

impl Space {
    /// Takes every student of the pool.
    pub fn whole(pool: Pool) -> Self {
        let all: Vec<BlockChoice> = pool
            .kernels
            .iter()
            .flat_map(|&kernel| {
                pool.expansions.iter().map(move |&expansion| BlockChoice { kernel, expansion })
            })
            .collect();
        let stage = |s: &PoolStage| StageSpace {
            depths: s.depths.clone().collect(),
            choices: vec![all.clone(); *s.depths.end()],
        };
        Self { stages: pool.stages.iter().map(stage).collect(), pool }
    }

    /// Takes one student alone.
    pub fn single(pool: Pool, path: &Path) -> Self {
        let stage = |choices: &Vec<BlockChoice>| StageSpace {
            depths: vec![choices.len()],
            choices: choices.iter().map(|&c| vec![c]).collect(),
        };
        Self { stages: path.0.iter().map(stage).collect(), pool }
    }

    /// Returns how many students there are.
    pub fn count(&self) -> u128 {
        let paths = |s: &StageSpace, depth: usize| {
            s.choices.iter().take(depth).map(|c| c.len() as u128).product::<u128>()
        };
        self.stages.iter().map(|s| s.depths.iter().map(|&d| paths(s, d)).sum::<u128>()).product()
    }

    /// Returns every student, in a fixed order; this is for small spaces.
    pub fn paths(&self) -> Vec<Path> {
        let mut paths = vec![Vec::new()];
        for stage in &self.stages {
            let mut options: Vec<Vec<BlockChoice>> = Vec::new();
            for &depth in &stage.depths {
                let mut partial = vec![Vec::new()];
                for choices in stage.choices.iter().take(depth) {
                    let extend = |p: &Vec<BlockChoice>| {
                        choices.iter().map(|&c| [p.clone(), vec![c]].concat()).collect::<Vec<_>>()
                    };
                    partial = partial.iter().flat_map(extend).collect();
                }
                options.extend(partial);
            }
            let extend = |p: &Vec<Vec<BlockChoice>>| {
                options.iter().map(|o| [p.clone(), vec![o.clone()]].concat()).collect::<Vec<_>>()
            };
            paths = paths.iter().flat_map(extend).collect();
        }
        paths.into_iter().map(Path).collect()
    }
}

/// Returns the names of all pools.
pub fn names() -> Vec<String> {
    all().into_iter().map(|p| p.name).collect()
}

/// Returns all pools.
pub fn all() -> Vec<Pool> {
    FAMILIES.iter().flat_map(|f| (f.pools)()).collect()
}

/// Returns the pool of that name; an unknown one is a usage error.
pub fn named(name: &str) -> Result<Pool> {
    all()
        .into_iter()
        .find(|p| p.name == name)
        .ok_or_else(|| Error::usage(format!("unknown pool `{name}`, wanted one of: {}", names().join(", "))))
}

/// Returns the student of a full id (`POOL:dD-kK-eE`). An id that is in no pool is a usage error.
pub fn student(id: &str, input: Input, classes: usize) -> Result<ArchSpec> {
    let (name, _) = id.split_once(':').ok_or_else(|| {
        Error::usage(format!("student id `{id}`: wanted POOL:dDEPTHS-kKERNELS-eEXPANSIONS"))
    })?;
    let pool = named(name)?;
    let path = pool.parse(id)?;
    pool.arch(&path, input, classes)
}

impl Pool {
    /// Returns how many students there are.
    pub fn count(&self) -> u128 {
        let choices = (self.kernels.len() * self.expansions.len()) as u128;
        let stage = |s: &PoolStage| s.depths.clone().map(|d| choices.pow(d as u32)).sum::<u128>();
        self.stages.iter().map(stage).product()
    }

    /// Returns the id of a path.
    pub fn id(&self, path: &Path) -> String {
        let digits = |f: &dyn Fn(&BlockChoice) -> usize| -> String {
            path.0.iter().flatten().map(|c| f(c).to_string()).collect()
        };
        let depths: String = path.0.iter().map(|s| s.len().to_string()).collect();
        format!("{}:d{depths}-k{}-e{}", self.name, digits(&|c| c.kernel), digits(&|c| c.expansion))
    }

    /// Returns the path of an id. An id that is not in the pool is a usage error that says which part is wrong.
    pub fn parse(&self, id: &str) -> Result<Path> {
        let bad = |what: String| Error::usage(format!("student id `{id}`: {what}"));
        let rest = id
            .strip_prefix(self.name.as_str())
            .and_then(|r| r.strip_prefix(':'))
            .ok_or_else(|| bad(format!("is not of pool `{}`", self.name)))?;
        let parts: Vec<&str> = rest.split('-').collect();
        let [d, k, e] = parts.as_slice() else {
            return Err(bad(format!(
                "`{rest}` has {} parts, wanted dDEPTHS-kKERNELS-eEXPANSIONS",
                parts.len()
            )));
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
        for (what, found, known) in
            [("kernel", &kernels, &self.kernels), ("expansion", &expansions, &self.expansions)]
        {
            if let Some(wrong) = found.iter().find(|x| !known.contains(x)) {
                return Err(bad(format!("{what} {wrong} is not in the pool, wanted one of {known:?}")));
            }
        }
        let mut choices =
            kernels.into_iter().zip(expansions).map(|(kernel, expansion)| BlockChoice { kernel, expansion });
        Ok(Path(depths.into_iter().map(|d| choices.by_ref().take(d).collect()).collect()))
    }

    /// Draws a path uniformly over depths, then over choices: it is a pure function of (seed, index).
    pub fn sample(&self, seed: u64, index: u64) -> Path {
        let mut rng = Rng::new(seed, "pool.sample", index);
        let mut pick = |from: &[usize]| {
            let i = rng.below(from.len() as u64) as usize;
            from[i]
        };
        let stage = |s: &PoolStage| {
            let depths: Vec<usize> = s.depths.clone().collect();
            let depth = pick(&depths);
            let mut one = || BlockChoice { kernel: pick(&self.kernels), expansion: pick(&self.expansions) };
            (0..depth).map(|_| one()).collect()
        };
        Path(self.stages.iter().map(stage).collect())
    }

    /// Returns full-depth paths that together hold every block of the pool: one for each choice, made
    /// everywhere. (A block depends on its choice and its place, not on the choices before it.)
    pub fn coverage(&self) -> Vec<Path> {
        let everywhere = |kernel: usize, expansion: usize| {
            let stage = |s: &PoolStage| vec![BlockChoice { kernel, expansion }; *s.depths.end()];
            Path(self.stages.iter().map(stage).collect())
        };
        self.kernels.iter().flat_map(|&k| self.expansions.iter().map(move |&e| everywhere(k, e))).collect()
    }

    /// Builds the network that a path stands for. It is a usage error if a number is out of its bounds.
    pub fn arch(&self, path: &Path, input: Input, classes: usize) -> Result<ArchSpec> {
        let mut width_in = self.stem.width;
        let mut stages = Vec::with_capacity(self.stages.len());
        for (stage, choices) in self.stages.iter().zip(&path.0) {
            let mut blocks = Vec::with_capacity(choices.len());
            for (i, &choice) in choices.iter().enumerate() {
                let stride = if i == 0 { stage.stride } else { 1 };
                let site = Site { width_in, width: stage.width, stride, activation: self.activation };
                blocks.push((self.family.block)(site, choice));
                width_in = stage.width;
            }
            stages.push(Stage { blocks });
        }
        let (stem, head) = (self.stem.clone(), self.head.clone());
        let (padding, norm_epsilon) = Default::default();
        let name = self.id(path);
        let spec = ArchSpec { name, input, classes, padding, norm_epsilon, stem, stages, head };
        spec.validate()?;
        Ok(spec)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::cost::Cost;
    use crate::ir::graph::Graph;
    use std::collections::HashSet;

    const INPUT: Input = Input { channels: 3, height: 32, width: 32 };

    #[test]
    fn ids_parse_back_and_samples_cover_the_pool() {
        for pool in all() {
            let choices = (pool.kernels.len() * pool.expansions.len()) as u128;
            let wanted = (choices + choices.pow(2) + choices.pow(3)).pow(3); // 592,704 of four choices
            assert_eq!(pool.count(), wanted, "{}", pool.name);
            let mut seen = HashSet::new();
            for i in 0..200 {
                let path = pool.sample(7, i);
                let id = pool.id(&path);
                assert_eq!(pool.parse(&id).unwrap(), path);
                assert_eq!(pool.arch(&path, INPUT, 10).unwrap().name, id);
                seen.insert(id);
            }
            let fewest = if pool.count() > 100_000 { 190 } else { 180 };
            assert!(seen.len() > fewest, "{}: {} distinct", pool.name, seen.len());
        }
    }

    #[test]
    fn spaces_count_and_list_their_students() {
        for pool in all() {
            assert_eq!(Space::whole(pool.clone()).count(), pool.count());
            let path = pool.sample(1, 1);
            let one = Space::single(pool.clone(), &path);
            assert_eq!((one.count(), one.paths()), (1, vec![path]));
        }
        let mut small = Space::whole(named("res-mini").unwrap());
        for stage in &mut small.stages {
            stage.depths = vec![1, 2];
            stage.choices.iter_mut().for_each(|c| c.truncate(1));
        }
        let paths = small.paths();
        assert_eq!((small.count(), paths.len()), (8, 8));
        assert_eq!(paths.iter().collect::<HashSet<_>>().len(), 8);
    }

    #[test]
    fn the_id_says_what_is_built() {
        let spec = student("mbv2-cifar:d212-k35333-e63366", INPUT, 100).unwrap();
        let depths: Vec<usize> = spec.stages.iter().map(|s| s.blocks.len()).collect();
        assert_eq!(depths, [2, 1, 2]);
        let blocks: Vec<(usize, usize)> =
            spec.stages.iter().flat_map(|s| &s.blocks).map(|b| (b.kernel, b.hidden)).collect();
        assert_eq!(blocks, [(3, 96), (5, 72), (3, 72), (3, 288), (3, 576)]);
        let cost = Cost::of(&Graph::lower(&spec).unwrap());
        assert!(cost.macs > 1_000_000 && cost.params > 10_000, "{cost:?}");
    }

    #[test]
    fn wrong_ids_name_the_wrong_part() {
        let cases = [
            ("mbv2-cifar", "wanted POOL:"),
            ("nosuch:d1-k3-e3", "unknown pool `nosuch`"),
            ("mbv2-cifar:d212-k35333", "has 2 parts"),
            ("mbv2-cifar:d412-k3533333-e6336666", "depth of stage 0 is 4, wanted 1 to 3"),
            ("mbv2-cifar:d212-k3533-e63366", "`k3533` wanted `k` and 5 digits"),
            ("mbv2-cifar:d212-k35373-e63366", "kernel 7 is not in the pool"),
            ("mbv2-cifar:d212-k35333-e6336x", "`e6336x` wanted `e` and 5 digits"),
        ];
        for (id, wanted) in cases {
            let error = student(id, INPUT, 10).unwrap_err();
            assert!(error.to_string().contains(wanted), "{id}: {error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
