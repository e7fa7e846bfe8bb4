//! The students that a supernet holds: a whole pool, or part of it.

use super::{Path, Pool, PoolStage};
use crate::nets::family::BlockChoice;

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
        let all = pool.choices();
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

    /// Returns how many students there are: never more than in their pool.
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
