//! Student pools: an architecture with choices. One choice per position is a path, a path is a
//! student, and every student has a readable id that parses back: `mbv2-cifar:d212-k35333-e63366`.
//!
//! `id` writes and reads ids, `space` is what a supernet holds of a pool, `file` is a pool as TOML, `known` finds the pool
//! that a command names.

mod file;
mod id;
mod known;
mod space;
#[cfg(test)]
mod tests;

pub use file::{Definition, SCHEMA, StageDefinition};
pub use known::{GenericRecord, Pools, resolve};
pub use space::{Space, StageSpace};

use crate::Result;
use crate::ir::arch::{Activation, ArchSpec, Head, Input, Stage, Stem};
use crate::ir::cost::Cost;
use crate::ir::graph::Graph;
use crate::nets::family::{BlockChoice, FAMILIES, Family, Site};
use crate::rng::Rng;
use std::ops::RangeInclusive;

/// This is one stage of a pool: fixed width, the first `depth` positions in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStage {
    /// Output channels.
    pub width: usize,
    /// Of its first block.
    pub stride: usize,
    /// How many blocks a student may have here (elastic depth).
    pub depths: RangeInclusive<usize>,
}

/// This says which blocks squeeze and excite (Hu et al. 2018).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Se {
    /// None.
    Never,
    /// All.
    Always,
    /// Each block chooses.
    Choice,
}

impl Se {
    /// Returns what a block may choose.
    pub fn choices(self) -> &'static [bool] {
        match self {
            Self::Never => &[false],
            Self::Always => &[true],
            Self::Choice => &[false, true],
        }
    }
}

/// A pool is a finite set of students that share choice blocks. Every number that a choice takes is one digit.
#[derive(Debug, Clone, PartialEq)]
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
    /// At every position.
    pub se: Se,
    /// Of all blocks.
    pub activation: Activation,
    /// Shared by all.
    pub head: Head,
}

/// A path is one student's choices: for each stage, one per block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(pub Vec<Vec<BlockChoice>>);

/// Returns the names of all built-in pools.
pub fn names() -> Vec<String> {
    all().into_iter().map(|p| p.name).collect()
}

/// Returns all built-in pools.
pub fn all() -> Vec<Pool> {
    FAMILIES.iter().flat_map(|f| (f.pools)()).collect()
}

/// Returns the built-in pool of that name; an unknown one is a usage error.
pub fn named(name: &str) -> Result<Pool> {
    Pools::default().named(name)
}

/// Returns the student of a full id (`POOL:dD-kK-eE`) of a built-in pool. An id that is in none is a usage error.
pub fn student(id: &str, input: Input, classes: usize) -> Result<ArchSpec> {
    Pools::default().student(id, input, classes)
}

impl Pool {
    /// Returns how many students there are, or the largest number where there are more.
    pub fn count(&self) -> u128 {
        self.checked_count().unwrap_or(u128::MAX)
    }

    fn checked_count(&self) -> Option<u128> {
        let choices = self.choices().len() as u128;
        let mut product: u128 = 1;
        for stage in &self.stages {
            let mut sum: u128 = 0;
            for depth in stage.depths.clone() {
                sum = sum.checked_add(choices.checked_pow(u32::try_from(depth).ok()?)?)?;
            }
            product = product.checked_mul(sum)?;
        }
        Some(product)
    }

    /// Returns what a block may choose, in a fixed order.
    pub fn choices(&self) -> Vec<BlockChoice> {
        let mut all = Vec::new();
        for &kernel in &self.kernels {
            for &expansion in &self.expansions {
                all.extend(self.se.choices().iter().map(|&se| BlockChoice { kernel, expansion, se }));
            }
        }
        all
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
            let mut one = || {
                let (kernel, expansion) = (pick(&self.kernels), pick(&self.expansions));
                // Drawn only where it is a choice: pools without it keep their students.
                let se = if self.se == Se::Choice { pick(&[0, 1]) == 1 } else { self.se == Se::Always };
                BlockChoice { kernel, expansion, se }
            };
            (0..depth).map(|_| one()).collect()
        };
        Path(self.stages.iter().map(stage).collect())
    }

    /// The same choice at every position of stages of these depths.
    fn everywhere(&self, choice: BlockChoice, depth: impl Fn(&PoolStage) -> usize) -> Path {
        Path(self.stages.iter().map(|s| vec![choice; depth(s)]).collect())
    }

    /// Returns full-depth paths that together hold every block of the pool: one for each choice, made
    /// everywhere. (A block depends on its choice and its place, not on the choices before it.)
    pub fn coverage(&self) -> Vec<Path> {
        self.choices().into_iter().map(|choice| self.everywhere(choice, |s| *s.depths.end())).collect()
    }

    /// Returns the paths of the fewest and of the most multiply-accumulates: these grow with depth, kernel and
    /// expansion, and with squeeze-and-excitation.
    pub fn ends(&self) -> [Path; 2] {
        let least = BlockChoice {
            kernel: self.kernels.iter().copied().min().unwrap_or(1),
            expansion: self.expansions.iter().copied().min().unwrap_or(1),
            se: self.se == Se::Always,
        };
        let most = BlockChoice {
            kernel: self.kernels.iter().copied().max().unwrap_or(1),
            expansion: self.expansions.iter().copied().max().unwrap_or(1),
            se: self.se != Se::Never,
        };
        [self.everywhere(least, |s| *s.depths.start()), self.everywhere(most, |s| *s.depths.end())]
    }

    /// Returns the students that show how far the pool reaches: the one of the fewest multiply-accumulates, those
    /// at 5, 50 and 95 % of `n` drawn with seed 0, and the one of the most.
    pub fn spread(&self, input: Input, classes: usize, n: u64) -> Result<[ArchSpec; 5]> {
        let mut drawn = Vec::new();
        for i in 0..n.max(1) {
            let path = self.sample(0, i);
            drawn.push((Cost::of(&Graph::lower(&self.arch(&path, input, classes)?)?).macs, path));
        }
        drawn.sort_by_key(|(macs, _)| *macs);
        let last = drawn.len() - 1;
        let [least, most] = self.ends();
        let arch = |path: &Path| self.arch(path, input, classes);
        let at = |percent: usize| arch(&drawn[last * percent / 100].1);
        Ok([arch(&least)?, at(5)?, at(50)?, at(95)?, arch(&most)?])
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
