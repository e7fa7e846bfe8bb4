//! The weight-sharing supernet over a pool: one choice block per (position, choice), prefix
//! depth. Every student that makes the same choice at a position shares that block's tensors. A path runs
//! by looking its tensors up; no module is built, and what a path does not use costs it nothing.

use crate::engine::net::Runner;
use crate::engine::params::{Params, initial};
use gtn_core::ir::arch::Input;
use gtn_core::ir::cost::Cost;
use gtn_core::ir::graph::{Graph, ParamSpec, Part};
use gtn_core::ir::weights::Weights;
use gtn_core::nets::pool::{Path, Space};
use gtn_core::{Error, Result};
use std::collections::HashMap;
use std::rc::Rc;

/// Prefix of the supernet's tensors among others'.
pub const PREFIX: &str = "supernet/";
/// Lowered paths kept: a step draws a few, a search comes back to the best.
const KEPT: usize = 512;

/// One student, ready to run on shared tensors.
pub struct PathNet {
    /// Where its tensors are.
    pub runner: Runner,
    /// Multiply-accumulates per image.
    pub macs: u64,
}

/// The shared network's structure; its tensors are in a [`Params`].
pub struct Supernet {
    /// Its students.
    pub space: Space,
    /// What they take.
    pub input: Input,
    /// What they tell apart.
    pub classes: usize,
    lowered: HashMap<Path, Rc<PathNet>>,
}

/// The shared name of a student's tensor: `stages.0.1.conv.weight` is that of the block chosen there,
/// `stages.0.1.k3e6.conv.weight` (`k3e6s` with squeeze-and-excitation); stem and head are everyone's.
fn shared_name(path: &Path, spec: &ParamSpec) -> Result<String> {
    let Some(Part::Block { stage, block }) = spec.part else { return Ok(spec.name.clone()) };
    let prefix = format!("stages.{stage}.{block}.");
    let choice = path.0.get(stage).and_then(|blocks| blocks.get(block));
    match choice.zip(spec.name.strip_prefix(&prefix)) {
        Some((choice, rest)) => Ok(format!("{prefix}{choice}.{rest}")),
        None => Err(Error::Failed(format!("tensor `{}` is of no block of its path", spec.name))),
    }
}

impl Supernet {
    /// Structure alone.
    pub fn new(space: Space, input: Input, classes: usize) -> Self {
        Self { space, input, classes, lowered: HashMap::new() }
    }

    /// The network of a path, without tensors.
    pub fn graph(&self, path: &Path) -> Result<Graph> {
        Graph::lower(&self.space.pool.arch(path, self.input, self.classes)?)
    }

    /// Paths that together use every choice block: the deepest, with each choice in turn.
    fn cover(&self) -> Vec<Path> {
        let most = self.space.stages.iter().flat_map(|s| &s.choices).map(Vec::len).max().unwrap_or(0);
        let path = |k: usize| {
            let stage = |s: &gtn_core::nets::pool::StageSpace| {
                let depth = s.depths.iter().max().copied().unwrap_or(0);
                s.choices.iter().take(depth).map(|c| c[k % c.len()]).collect()
            };
            Path(self.space.stages.iter().map(stage).collect())
        };
        (0..most).map(path).collect()
    }

    /// All tensors with initial values, a pure function of (seed, shared name); names under [`PREFIX`].
    pub fn initial(&self, seed: u64) -> Result<(Vec<ParamSpec>, Weights)> {
        let (mut specs, mut weights) = (Vec::new(), Weights::default());
        for path in self.cover() {
            let graph = self.graph(&path)?;
            for spec in graph.params() {
                let name = format!("{PREFIX}{}", shared_name(&path, &spec)?);
                if weights.0.contains_key(&name) {
                    continue;
                }
                weights.0.insert(name.clone(), initial(&spec, seed, &name));
                specs.push(ParamSpec { name, ..spec });
            }
        }
        Ok((specs, weights))
    }

    /// A path, ready to run.
    pub fn path(&mut self, path: &Path, params: &Params) -> Result<Rc<PathNet>> {
        if let Some(known) = self.lowered.get(path) {
            return Ok(Rc::clone(known));
        }
        let graph = self.graph(path)?;
        let macs = Cost::of(&graph).macs;
        let place = |spec: &ParamSpec| params.place(&format!("{PREFIX}{}", shared_name(path, spec)?));
        let net = Rc::new(PathNet { runner: Runner::new(graph, place)?, macs });
        if self.lowered.len() >= KEPT {
            self.lowered.clear();
        }
        self.lowered.insert(path.clone(), Rc::clone(&net));
        Ok(net)
    }

    /// A path's tensors under the standalone student's own names.
    #[cfg(test)]
    pub fn extract(&self, path: &Path, shared: &Weights) -> Result<Weights> {
        let mut own = Weights::default();
        for spec in self.graph(path)?.params() {
            own.0.insert(
                spec.name.clone(),
                shared.get(&format!("{PREFIX}{}", shared_name(path, &spec)?))?.to_vec(),
            );
        }
        Ok(own)
    }

    /// MACs of these students: the scale of the space.
    pub fn macs_sample(&self, paths: impl Iterator<Item = Path>) -> Result<Vec<u64>> {
        paths.map(|p| Ok(Cost::of(&self.graph(&p)?).macs)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::net::{Mode, Net};
    use crate::engine::params::to_vec;
    use gtn_core::ir::graph::Role;
    use gtn_core::ir::random_weights;
    use gtn_core::nets::pool;
    use gtn_core::rng::Rng;
    use tch::{Device, Tensor};

    /// 200 paths of each family: the path on shared tensors equals the standalone student with copied
    /// weights, bit for bit, from the image and from each stage on; parameters and MACs are the
    /// student's.
    #[test]
    fn a_path_equals_its_standalone_student() {
        let input = Input { channels: 3, height: 8, width: 8 };
        for name in ["mbv2-mini", "res-mini", "mbv2-photo-lite"] {
            let mut net = Supernet::new(Space::whole(pool::named(name).unwrap()), input, 10);
            let (specs, mut weights) = net.initial(1).unwrap();
            for (i, spec) in specs.iter().enumerate() {
                // Statistics away from 0 and 1, so that a mixed-up block shows.
                let mut rng = Rng::new(2, "stats", i as u64);
                if let Some(values) = weights.0.get_mut(&spec.name).filter(|_| spec.role != Role::Weight) {
                    values.iter_mut().for_each(|v| *v += 0.3 * rng.unit_f64() as f32);
                }
            }
            let params = Params::new(specs, &weights, Device::Cpu, false).unwrap();
            let pool = net.space.pool.clone();
            for i in 0..200 {
                let path = pool.sample(4, i);
                let shared = net.path(&path, &params).unwrap();
                let own = net.extract(&path, &weights).unwrap();
                let graph = Graph::lower(&pool.arch(&path, input, 10).unwrap()).unwrap();
                let cost = Cost::of(&graph);
                assert_eq!(shared.macs, cost.macs);
                let trained = |g: &Graph| {
                    g.params()
                        .iter()
                        .filter(|p| p.role.trained())
                        .map(|p| p.shape.iter().product::<usize>())
                        .sum::<usize>()
                };
                assert_eq!(trained(&shared.runner.graph) as u64, cost.params);
                let alone = Net::from_weights(graph, &own, Device::Cpu, false).unwrap();
                let image = random_weights::random_image(alone.graph(), i);
                let image = Tensor::from_slice(&image).view([1, 3, 8, 8]);
                let a = to_vec(&shared.runner.forward(&params, &image, Mode::Eval)).unwrap();
                let b = to_vec(&alone.forward(&image, Mode::Eval)).unwrap();
                assert!(a == b && a.iter().all(|x| x.is_finite()), "{}: {a:?} {b:?}", pool.id(&path));
                // Cut at each stage: what enters it is all that the rest needs.
                let (_, stages) = alone.runner.forward_stages(&alone.params, &image, Mode::Eval);
                for s in 1..stages.len() {
                    let z = shared.runner.forward_from(&params, s, &stages[s - 1], Mode::Eval).unwrap();
                    assert_eq!(to_vec(&z).unwrap(), b, "{} from stage {s}", pool.id(&path));
                }
            }
        }
    }

    #[test]
    fn a_space_of_one_holds_one_students_tensors() {
        let input = Input { channels: 1, height: 8, width: 8 };
        let pool = pool::named("mbv2-mini").unwrap();
        let path = pool.sample(1, 5);
        let net = Supernet::new(Space::single(pool.clone(), &path), input, 4);
        let (specs, _) = net.initial(0).unwrap();
        assert_eq!(specs.len(), net.graph(&path).unwrap().params().len());
    }
}
