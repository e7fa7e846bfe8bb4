//! The evolution: students are drawn, and bred from the fittest, for each of those who need one in turn; what one is
//! judged for serves all.

use crate::commands::search::judge::{DRAWS, Judge, Need};
use gtn_core::Result;
use gtn_core::nets::family::BlockChoice;
use gtn_core::nets::pool::{Path, StageSpace};
use gtn_core::program::progress::Progress;
use gtn_core::rng::Rng;
use gtn_core::text::format;

/// Chance that a mutation redraws one position.
const MUTATION: f64 = 0.15;
/// Children bred to find one within the limits; then a random student takes its place.
const TRIES: u64 = 500;

/// How long it goes on.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Students at the start, half of which survive each generation; all needs together.
    pub population: usize,
    /// Rounds of crossover and mutation.
    pub generations: usize,
    /// Of all draws.
    pub seed: u64,
}

/// Students within one need, with their accuracies.
type Population = Vec<(Path, f64)>;

struct Evolution<'a> {
    judge: &'a mut Judge,
    needs: &'a [Need],
    seed: u64,
    /// Of each need.
    populations: Vec<Population>,
    /// Of each need: the first of the drawn students that was not offered to it yet.
    offered: Vec<usize>,
    bar: Progress,
    done: u64,
}

/// Judges students for all `needs`; what the judge has seen is the result. Says of each need whether a student within it
/// was found.
pub fn evolve(judge: &mut Judge, needs: &[Need], effort: Effort) -> Result<Vec<bool>> {
    let Effort { population, generations, seed } = effort;
    let half = population / 2;
    let bar = Progress::new("search", (population + generations * half) as u64);
    let (populations, offered) = (vec![Population::new(); needs.len()], vec![0; needs.len()]);
    let mut evolution = Evolution { judge, needs, seed, populations, offered, bar, done: 0 };
    for i in 0..population {
        evolution.draw(i % needs.len().max(1))?;
        evolution.tick();
    }
    // A need that came late, or whose turn did not come.
    for need in 0..needs.len() {
        if evolution.populations[need].is_empty() {
            evolution.draw(need)?;
        }
    }
    for generation in 0..generations {
        for fittest in &mut evolution.populations {
            fittest.sort_by(|a, b| b.1.total_cmp(&a.1));
            fittest.truncate(half.max(2));
        }
        for i in 0..half {
            let need = (generation * half + i) % needs.len().max(1);
            evolution.child(need, (generation * population + i) as u64)?;
            evolution.tick();
        }
    }
    let told =
        format!("{} students judged on {} val images", evolution.judge.seen.len(), evolution.judge.val.len());
    evolution.bar.finish(&told);
    Ok(evolution.populations.iter().map(|p| !p.is_empty()).collect())
}

impl Evolution<'_> {
    /// The next random student for that need.
    fn draw(&mut self, need: usize) -> Result<()> {
        let found = self.judge.draw(&self.needs[need], self.seed, self.offered[need])?;
        self.offered[need] = found.as_ref().map_or(DRAWS, |(place, _)| place + 1);
        found.map_or(Ok(()), |(_, path)| self.judge(path))
    }

    /// Crossover of two of the fittest of that need, mutated, within its limits.
    fn child(&mut self, need: usize, at: u64) -> Result<()> {
        let fittest = &self.populations[need];
        if fittest.is_empty() {
            return Ok(());
        }
        for i in 0..TRIES {
            let mut rng = Rng::new(self.seed, "search", at * TRIES + i);
            let parent = |rng: &mut Rng| &fittest[rng.below(fittest.len() as u64) as usize].0;
            let (a, b) = (parent(&mut rng).clone(), parent(&mut rng).clone());
            let stages = self.judge.supernet.space.stages.iter().zip(a.0.iter().zip(&b.0));
            let path = Path(stages.map(|(s, (a, b))| cross(s, a, b, &mut rng)).collect());
            if self.needs[need].fits(&self.judge.price(&path)?) {
                return self.judge(path);
            }
        }
        self.draw(need)
    }

    /// Judges it, for all whose limits it is within.
    fn judge(&mut self, path: Path) -> Result<()> {
        let Some(judged) = self.judge.judge(&path)? else { return Ok(()) };
        for (need, population) in self.needs.iter().zip(&mut self.populations) {
            if need.fits(&judged.priced) {
                population.push((path.clone(), judged.top1));
            }
        }
        Ok(())
    }

    fn tick(&mut self) {
        self.done += 1;
        let best = self.populations.iter().flatten().map(|p| p.1).fold(0.0, f64::max);
        self.bar.tick(self.done, &format!("best val top-1 {}", format::percent(best)));
    }
}

/// One stage of a child: depth and choices from either parent, some redrawn.
fn cross(stage: &StageSpace, a: &[BlockChoice], b: &[BlockChoice], rng: &mut Rng) -> Vec<BlockChoice> {
    let pick = |rng: &mut Rng, n: usize| rng.below(n as u64) as usize;
    let mut depth = if pick(rng, 2) == 0 { a.len() } else { b.len() };
    if rng.unit_f64() < MUTATION {
        depth = stage.depths[pick(rng, stage.depths.len())];
    }
    let choice = |(i, known): (usize, &Vec<BlockChoice>)| {
        let (first, second) = if pick(rng, 2) == 0 { (a, b) } else { (b, a) };
        let inherited = first.get(i).or_else(|| second.get(i)).copied();
        match inherited {
            Some(c) if rng.unit_f64() >= MUTATION => c,
            _ => known[pick(rng, known.len())],
        }
    };
    stage.choices.iter().take(depth).enumerate().map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::nets::pool::{Space, named};

    #[test]
    fn children_stay_in_the_space() {
        let space = Space::whole(named("mbv2-mini").unwrap());
        let mut rng = Rng::new(1, "t", 0);
        for i in 0..300 {
            let (a, b) = (space.pool.sample(1, i), space.pool.sample(2, i));
            for ((stage, a), b) in space.stages.iter().zip(&a.0).zip(&b.0) {
                let child = cross(stage, a, b, &mut rng);
                assert!(stage.depths.contains(&child.len()));
                assert!(child.iter().zip(&stage.choices).all(|(c, known)| known.contains(c)));
            }
        }
    }
}
