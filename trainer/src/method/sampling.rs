//! The architecture distribution p_theta over paths and its training: an exact floor, a score-function
//! estimate with a baseline per MACs bin, an entropy term, its own optimiser. No tensors here.
//!
//! p_theta(a) = prod_l p_l(a_l), p_l = (1 - eps) softmax(theta_l) + eps / K_l. The positions of a path are
//! each stage's depth, and the choice at each of the first `depth` positions.

use crate::recipe::{ArchRecipe, Objective};
use gtn_core::nets::pool::{Path, Space};
use gtn_core::rng::Rng;
use serde::{Deserialize, Serialize};

/// Adam (Kingma & Ba 2015), the usual constants.
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const ADAM_EPSILON: f64 = 1e-8;

/// One categorical choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// `stages.0.depth`, `stages.0.1`.
    pub name: String,
    /// Readable values: depths, or choices (`k3e6`).
    pub values: Vec<String>,
}

/// theta, its optimiser and baselines: all that a checkpoint must keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArchState {
    /// For each position, a logit for each value.
    pub theta: Vec<Vec<f64>>,
    mean: Vec<Vec<f64>>,
    square: Vec<Vec<f64>>,
    updates: u32,
    baselines: Vec<Option<f64>>,
}

/// p_theta over a space.
pub struct ArchDistribution {
    /// What is drawn from.
    pub space: Space,
    /// In order: stage by stage, depth before choices.
    pub positions: Vec<Position>,
    /// What is trained.
    pub state: ArchState,
    recipe: ArchRecipe,
    /// Upper MACs of each bin but the last.
    borders: Vec<u64>,
}

/// For each position, the index drawn; `None` where the path is shallower.
type Drawn = Vec<Option<usize>>;

impl ArchDistribution {
    /// Uniform. `macs` of some paths of the space decide the borders of the bins (equal shares).
    pub fn new(space: Space, recipe: ArchRecipe, macs: &[u64]) -> Self {
        let mut positions = Vec::new();
        for (s, stage) in space.stages.iter().enumerate() {
            let depths = stage.depths.iter().map(ToString::to_string).collect();
            positions.push(Position { name: format!("stages.{s}.depth"), values: depths });
            for (i, choices) in stage.choices.iter().enumerate() {
                let values = choices.iter().map(ToString::to_string).collect();
                positions.push(Position { name: format!("stages.{s}.{i}"), values });
            }
        }
        let zeros: Vec<Vec<f64>> = positions.iter().map(|p| vec![0.0; p.values.len()]).collect();
        let bins = recipe.baseline_bins.max(1);
        let mut sorted = macs.to_vec();
        sorted.sort_unstable();
        let border = |i: usize| sorted.get(i * sorted.len() / bins).copied();
        let mut borders: Vec<u64> = (1..bins).filter_map(border).collect();
        borders.dedup();
        let baselines = vec![None; borders.len() + 1];
        let state =
            ArchState { theta: zeros.clone(), mean: zeros.clone(), square: zeros, updates: 0, baselines };
        Self { space, positions, state, recipe, borders }
    }

    /// p_l of position `l`.
    pub fn probabilities(&self, l: usize) -> Vec<f64> {
        let soft = softmax(&self.state.theta[l]);
        let floor = self.recipe.floor / soft.len() as f64;
        soft.iter().map(|s| (1.0 - self.recipe.floor) * s + floor).collect()
    }

    /// A path, a pure function of theta and (seed, draw).
    pub fn sample(&self, seed: u64, draw: u64) -> Path {
        let mut rng = Rng::new(seed, "arch_distribution", draw);
        let mut l = 0;
        let mut stages = Vec::new();
        for stage in &self.space.stages {
            let depth = stage.depths[pick(&self.probabilities(l), rng.unit_f64())];
            let choices = &stage.choices;
            let one = |(i, c): (usize, &Vec<_>)| c[pick(&self.probabilities(l + 1 + i), rng.unit_f64())];
            stages.push(choices.iter().take(depth).enumerate().map(one).collect());
            l += 1 + choices.len();
        }
        Path(stages)
    }

    /// Which index a path takes at each position.
    fn drawn(&self, path: &Path) -> Drawn {
        let mut drawn = Vec::with_capacity(self.positions.len());
        for (stage, choices) in self.space.stages.iter().zip(&path.0) {
            drawn.push(stage.depths.iter().position(|&d| d == choices.len()));
            for (i, known) in stage.choices.iter().enumerate() {
                drawn.push(choices.get(i).and_then(|c| known.iter().position(|k| k == c)));
            }
        }
        drawn
    }

    /// p_theta(path).
    #[cfg(test)]
    fn probability(&self, path: &Path) -> f64 {
        let p = |(l, k): (usize, &Option<usize>)| k.map_or(1.0, |k| self.probabilities(l)[k]);
        self.drawn(path).iter().enumerate().map(p).product()
    }

    /// d log p_theta(path) / d theta: at a position that drew k,
    /// (1 - eps) s_k ([j = k] - s_j) / p_k; zero at positions not drawn.
    pub fn score(&self, path: &Path) -> Vec<Vec<f64>> {
        let one = |(l, k): (usize, &Option<usize>)| {
            let soft = softmax(&self.state.theta[l]);
            let Some(k) = *k else { return vec![0.0; soft.len()] };
            let scale = (1.0 - self.recipe.floor) * soft[k] / self.probabilities(l)[k];
            (0..soft.len()).map(|j| scale * (f64::from(j == k) - soft[j])).collect()
        };
        self.drawn(path).iter().enumerate().map(one).collect()
    }

    /// d H / d theta, H the sum of all positions' entropies.
    fn entropy_gradient(&self) -> Vec<Vec<f64>> {
        let one = |(l, theta): (usize, &Vec<f64>)| {
            let (soft, p) = (softmax(theta), self.probabilities(l));
            let keep = 1.0 - self.recipe.floor;
            let slope: Vec<f64> = p.iter().map(|p| -(p.ln() + 1.0)).collect();
            let mean: f64 = soft.iter().zip(&slope).map(|(s, d)| s * d).sum();
            soft.iter().zip(&slope).map(|(s, d)| keep * s * (d - mean)).collect()
        };
        self.state.theta.iter().enumerate().map(one).collect()
    }

    fn bin(&self, macs: u64) -> usize {
        self.borders.iter().filter(|b| macs >= **b).count()
    }

    /// One update from the conditioning losses of paths drawn at this step. With a baseline per MACs bin
    /// the expectation descends E[L(a) - b(bin(a))]: what size explains is taken out, so that operators
    /// are ranked, not sizes.
    pub fn update(&mut self, seen: &[(Path, u64, f64)]) {
        if self.recipe.objective == Objective::None || seen.is_empty() {
            return;
        }
        let sign = if self.recipe.objective == Objective::Min { 1.0 } else { -1.0 };
        let mut gradient: Vec<Vec<f64>> = self.entropy_gradient();
        gradient.iter_mut().flatten().for_each(|g| *g *= -self.recipe.entropy);
        for (path, macs, loss) in seen {
            let bin = self.bin(*macs);
            // The first loss of a bin becomes its baseline and teaches nothing.
            let advantage = loss - self.state.baselines[bin].unwrap_or(*loss);
            let weight = sign * advantage / seen.len() as f64;
            for (g, s) in gradient.iter_mut().flatten().zip(self.score(path).iter().flatten()) {
                *g += weight * s;
            }
        }
        for (_, macs, loss) in seen {
            let bin = self.bin(*macs);
            let decay = self.recipe.baseline_decay;
            let old = self.state.baselines[bin].unwrap_or(*loss);
            self.state.baselines[bin] = Some(decay * old + (1.0 - decay) * loss);
        }
        self.adam(&gradient);
    }

    fn adam(&mut self, gradient: &[Vec<f64>]) {
        let state = &mut self.state;
        state.updates += 1;
        let t = f64::from(state.updates);
        let (bias1, bias2) = (1.0 - BETA1.powf(t), 1.0 - BETA2.powf(t));
        let moments = state.mean.iter_mut().flatten().zip(state.square.iter_mut().flatten());
        let all = state.theta.iter_mut().flatten().zip(moments).zip(gradient.iter().flatten());
        for ((theta, (m, v)), g) in all {
            *m = BETA1 * *m + (1.0 - BETA1) * g;
            *v = BETA2 * *v + (1.0 - BETA2) * g * g;
            *theta -= self.recipe.lr * (*m / bias1) / ((*v / bias2).sqrt() + ADAM_EPSILON);
        }
    }
}

fn softmax(theta: &[f64]) -> Vec<f64> {
    let top = theta.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = theta.iter().map(|t| (t - top).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.into_iter().map(|x| x / sum).collect()
}

/// The index that `u` in [0, 1) falls on.
fn pick(p: &[f64], u: f64) -> usize {
    let mut sum = 0.0;
    let hit = p.iter().position(|x| {
        sum += x;
        u < sum
    });
    hit.unwrap_or(p.len().saturating_sub(1)) // rounding: the sum may end below u
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::nets::pool;

    /// 64 students: one block in stages 0 and 1 (two of the four choices), one or two in stage 2.
    fn small() -> Space {
        let mut space = Space::whole(pool::named("res-mini").unwrap());
        for (s, stage) in space.stages.iter_mut().enumerate() {
            stage.depths = if s == 2 { vec![1, 2] } else { vec![1] };
            stage.choices.truncate(if s == 2 { 2 } else { 1 });
            let keep = if s == 2 { 3 } else { 2 };
            stage.choices.iter_mut().for_each(|c| c.truncate(keep));
        }
        assert_eq!(space.count(), 2 * 2 * (3 + 9));
        space
    }

    /// A loss that every position influences, and pairs of positions too.
    fn loss(path: &Path) -> f64 {
        let digit = |c: &gtn_core::nets::family::BlockChoice| (c.kernel * 10 + c.expansion) as f64;
        let own: f64 =
            path.0.iter().flatten().enumerate().map(|(i, c)| (i as f64 + 1.0) * digit(c) / 30.0).sum();
        own + (own * own).sin() + path.0[2].len() as f64
    }

    fn skewed(recipe: ArchRecipe) -> ArchDistribution {
        let mut d = ArchDistribution::new(small(), recipe, &[]);
        let mut rng = Rng::new(5, "theta", 0);
        d.state.theta.iter_mut().flatten().for_each(|t| *t = rng.normal());
        d
    }

    #[test]
    fn probabilities_sum_to_one_over_all_paths_and_keep_their_floor() {
        let mut d = skewed(ArchRecipe { floor: 0.2, ..ArchRecipe::default() });
        let total: f64 = d.space.paths().iter().map(|p| d.probability(p)).sum();
        assert!((total - 1.0).abs() < 1e-12, "{total}");
        d.state.theta.iter_mut().for_each(|t| t[0] = 1e3); // as certain as can be
        for (l, position) in d.positions.iter().enumerate() {
            let p = d.probabilities(l);
            let floor = 0.2 / position.values.len() as f64;
            assert!(p.iter().all(|&p| p >= floor), "{}: {p:?}, floor {floor}", position.name);
        }
    }

    /// The mean of 1e5 estimates against the exact gradient, which is taken by central differences of the
    /// exact expectation over all 48 students: nothing is shared with `score`.
    #[test]
    fn the_score_function_estimate_is_unbiased() {
        let d = skewed(ArchRecipe { floor: 0.1, ..ArchRecipe::default() });
        let paths = d.space.paths();
        let expectation =
            |d: &ArchDistribution| paths.iter().map(|p| d.probability(p) * loss(p)).sum::<f64>();
        let n = 100_000;
        let size: usize = d.state.theta.iter().map(Vec::len).sum();
        let (mut sum, mut squares) = (vec![0.0; size], vec![0.0; size]);
        let baseline = expectation(&d); // any constant leaves the mean and shrinks the spread
        for i in 0..n {
            let path = d.sample(3, i);
            let weight = loss(&path) - baseline;
            for (j, s) in d.score(&path).iter().flatten().enumerate() {
                sum[j] += weight * s;
                squares[j] += (weight * s) * (weight * s);
            }
        }
        let mut j = 0;
        for l in 0..d.state.theta.len() {
            for k in 0..d.state.theta[l].len() {
                let at = |h: f64| {
                    let mut moved = skewed(d.recipe.clone());
                    moved.state.theta[l][k] += h;
                    expectation(&moved)
                };
                let exact = (at(1e-5) - at(-1e-5)) / 2e-5;
                let mean = sum[j] / n as f64;
                let se = ((squares[j] / n as f64 - mean * mean).max(0.0) / n as f64).sqrt();
                assert!(
                    (mean - exact).abs() <= 3.0 * se + 1e-9,
                    "theta[{l}][{k}]: {mean}, exact {exact}, se {se}"
                );
                j += 1;
            }
        }
    }

    #[test]
    fn the_entropy_gradient_matches_differences() {
        let d = skewed(ArchRecipe::default());
        let entropy = |d: &ArchDistribution| -> f64 {
            (0..d.positions.len()).flat_map(|l| d.probabilities(l)).map(|p| -p * p.ln()).sum()
        };
        let gradient = d.entropy_gradient();
        for (l, row) in gradient.iter().enumerate() {
            for (k, found) in row.iter().enumerate() {
                let at = |h: f64| {
                    let mut moved = skewed(d.recipe.clone());
                    moved.state.theta[l][k] += h;
                    entropy(&moved)
                };
                let exact = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((found - exact).abs() < 1e-8, "{found} wanted {exact}");
            }
        }
    }

    fn trained(objective: Objective) -> ArchDistribution {
        let recipe = ArchRecipe { objective, entropy: 0.0, baseline_bins: 1, ..ArchRecipe::default() };
        let mut d = ArchDistribution::new(small(), recipe, &[]);
        // At every position, the first choice is better than the others by 1.
        let worse = |p: &Path| d_first(p);
        for step in 0..4000 {
            let path = d.sample(1, step);
            let value = worse(&path);
            d.update(&[(path, 0, value)]);
        }
        d
    }

    fn d_first(path: &Path) -> f64 {
        let space = small();
        let bad = |(s, choices): (usize, &Vec<_>)| {
            let wrong =
                choices.iter().zip(&space.stages[s].choices).filter(|(c, known)| **c != known[0]).count();
            wrong as f64 / choices.len() as f64
        };
        path.0.iter().enumerate().map(bad).sum()
    }

    #[test]
    fn theta_moves_to_the_better_operator_and_none_stays() {
        let better = trained(Objective::Min);
        let worse = trained(Objective::Max);
        for (l, position) in better.positions.iter().enumerate() {
            if position.name.ends_with("depth") {
                continue;
            }
            let (p, q) = (better.probabilities(l), worse.probabilities(l));
            assert!(p[0] > 0.8, "{} min: {p:?}", position.name);
            assert!(q[0] < 0.2, "{} max: {q:?}", position.name);
        }
        let still = trained(Objective::None);
        assert!(still.state.theta.iter().flatten().all(|&t| t == 0.0));
    }

    /// With one bin a large path of high loss is shunned; with bins by MACs only operators are ranked.
    #[test]
    fn bins_take_size_out_of_the_ranking() {
        let run = |bins: usize| {
            let recipe = ArchRecipe { entropy: 0.0, baseline_bins: bins, ..ArchRecipe::default() };
            let mut d = ArchDistribution::new(small(), recipe, &[1, 1, 1, 1, 2, 2, 2, 2]);
            for step in 0..3000 {
                let path = d.sample(2, step);
                let depth = path.0[2].len() as u64;
                d.update(&[(path, depth, depth as f64)]); // deeper is worse, and nothing else matters
            }
            let l = d.positions.iter().position(|p| p.name == "stages.2.depth").unwrap();
            d.probabilities(l)[0]
        };
        let (blind, binned) = (run(1), run(2));
        assert!(blind > 0.8, "{blind}");
        assert!((binned - 0.5).abs() < 0.05, "{binned}");
    }

    #[test]
    fn samples_follow_the_distribution_and_resume_exactly() {
        let d = skewed(ArchRecipe::default());
        let n = 20_000;
        let mut counts = std::collections::HashMap::new();
        for i in 0..n {
            *counts.entry(d.sample(9, i)).or_insert(0u32) += 1;
        }
        for path in d.space.paths() {
            let p = d.probability(&path);
            let seen = f64::from(counts.get(&path).copied().unwrap_or(0)) / n as f64;
            let sd = (p * (1.0 - p) / n as f64).sqrt();
            assert!((seen - p).abs() < 5.0 * sd + 1e-4, "{seen}, wanted {p}");
        }
        let state: ArchState = serde_json::from_str(&serde_json::to_string(&d.state).unwrap()).unwrap();
        assert_eq!(state, d.state, "JSON keeps every bit");
    }
}
