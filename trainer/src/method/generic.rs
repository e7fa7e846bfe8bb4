//! The generic teacher (Binici, Wu, Mitra, arXiv 2407.16040; its direct predecessor SFTN, Park et al.,
//! arXiv 2102.07650): a teacher trained together with branches of a whole student pool.
//!
//!     L_teacher = CE(z_T, y)
//!     L_cond    = mean_i [ w_KL tau^2 KL(z_i/tau, z_T/tau) + w_CE CE(z_i, y) ]      over branches (and paths)
//!     L_0       = CE(z_0, y) + KL(z_0, z_T detached)                                 the whole path from the image
//!     L         = L_teacher + L_cond + w_0 L_0
//!
//! SFTN is the same with a space of one student and w_0 = 0.

use crate::engine::learner::{At, Learner, Step};
use crate::engine::loader::Batch;
use crate::engine::net::{Mode, Runner};
use crate::engine::params::{Params, initial};
use crate::method::branch;
use crate::method::branch::Adapter;
use crate::method::distill::{cross_entropy, kl_divergence};
use crate::method::sampling::{ArchDistribution, ArchState};
use crate::method::supernet::{PathNet, Supernet};
use crate::recipe::Objective;
use crate::recipe::{Gtn, KlDirection, Recipe};
use gtn_core::ir::graph::{Graph, ParamSpec, Part};
use gtn_core::ir::weights::Weights;
use gtn_core::nets::pool::{Path, Space};
use gtn_core::{Error, Result};
use serde_json::{Value, json};
use std::rc::Rc;
use tch::{Device, Tensor};

/// Prefix of the teacher's tensors among others'.
pub const TEACHER: &str = "teacher/";
/// Paths that the MACs bins are cut by.
const MACS_SAMPLE: u64 = 256;

/// Teacher, adapters, supernet and architecture distribution.
pub struct Generic {
    teacher: Runner,
    /// Where a path's tensors are looked up.
    pub supernet: Supernet,
    adapters: Vec<Adapter>,
    /// p_theta.
    pub distribution: ArchDistribution,
    params: Params,
    /// Places of teacher and adapters: active at every step.
    always: Vec<usize>,
    recipe: Recipe,
}

/// One step's losses by part.
struct Parts {
    teacher: Tensor,
    cond: Tensor,
    whole: Option<Tensor>,
    /// Conditioning loss of each path.
    by_path: Vec<Tensor>,
}

impl Generic {
    /// Fresh weights, each a pure function of (seed, name); the teacher's from `init` as far as that has them.
    pub fn new(
        teacher: Graph,
        space: Space,
        init: Option<&Weights>,
        recipe: &Recipe,
        (classes, device): (usize, Device),
    ) -> Result<Self> {
        let input = teacher.input;
        let supernet = Supernet::new(space.clone(), input, classes);
        let draw = ArchDistribution::new(space.clone(), recipe.gtn.arch.clone(), &[]);
        let macs = supernet.macs_sample((0..MACS_SAMPLE).map(|i| draw.sample(0, i)))?;
        let distribution = ArchDistribution::new(space, recipe.gtn.arch.clone(), &macs);

        let (mut specs, mut weights) = (Vec::new(), Weights::default());
        for spec in teacher.params() {
            // The stream is the bare name: a vanilla teacher of this seed starts alike.
            let given = init.and_then(|init| init.0.get(&spec.name)).cloned();
            let values = given.unwrap_or_else(|| initial(&spec, recipe.seed, &spec.name));
            let name = format!("{TEACHER}{}", spec.name);
            weights.0.insert(name.clone(), values);
            specs.push(ParamSpec { name, ..spec });
        }
        let any = Graph::lower(&supernet.space.pool.arch(&distribution.sample(0, 0), input, classes)?)?;
        let sites = branch::sites(&teacher, &any)?;
        for (more, values) in [branch::initial(&sites, recipe.seed), supernet.initial(recipe.seed)?] {
            specs.extend(more);
            weights.0.extend(values.0);
        }
        let params = Params::new(specs, &weights, device, true)?;
        let teacher = Runner::new(teacher, |spec| params.place(&format!("{TEACHER}{}", spec.name)))?;
        let adapters = sites.into_iter().map(|s| Adapter::new(s, &params)).collect::<Result<Vec<_>>>()?;
        let always = teacher.index.iter().copied().chain(adapters.iter().flat_map(|a| a.index)).collect();
        Ok(Self { teacher, supernet, adapters, distribution, params, always, recipe: recipe.clone() })
    }

    /// How strongly the branches pull the teacher at this point of the run: 0 during the warm-up, then
    /// rising to 1 over the same time again.
    fn pull(&self, at: At) -> f64 {
        let warmup = self.recipe.gtn.cond_warmup * at.steps as f64;
        if warmup <= 0.0 { 1.0 } else { (at.step as f64 / warmup - 1.0).clamp(0.0, 1.0) }
    }

    fn losses(&self, batch: &Batch, paths: &[Rc<PathNet>], pull: f64) -> Result<Parts> {
        let (params, gtn) = (&self.params, &self.recipe.gtn);
        let (z_t, stages) = self.teacher.forward_stages(params, &batch.images, Mode::Train);
        let teacher = cross_entropy(&z_t, &batch.labels, self.recipe.label_smoothing);
        let target = if gtn.kl_detach_teacher { z_t.detach() } else { pulled(&z_t, pull) };
        // The adapters do not depend on the path: once per batch.
        let entered: Vec<Tensor> = self
            .adapters
            .iter()
            .map(|a| a.forward(params, &pulled(&stages[a.site.teacher_stage], pull), Mode::Train))
            .collect();
        let mut by_path = Vec::new();
        let mut whole: Option<Tensor> = None;
        for path in paths {
            let mut sum: Option<Tensor> = None;
            for (adapter, x) in self.adapters.iter().zip(&entered) {
                let z = path.runner.forward_from(params, adapter.site.student_stage, x, Mode::Train)?;
                let loss = branch_loss(&z, &target, &batch.labels, gtn);
                sum = Some(sum.map_or_else(|| loss.shallow_clone(), |s| s + &loss));
            }
            let sum = sum.ok_or_else(|| Error::Failed("no branch".into()))?;
            by_path.push(sum / self.adapters.len() as f64);
            if gtn.w_0 > 0.0 {
                let z = path.runner.forward(params, &batch.images, Mode::Train);
                let ce = cross_entropy(&z, &batch.labels, 0.0);
                let loss = ce + kl_of(&z, &z_t.detach(), gtn);
                whole = Some(whole.map_or_else(|| loss.shallow_clone(), |s| s + &loss));
            }
        }
        let count = paths.len().max(1) as f64;
        let cond = by_path.iter().map(Tensor::shallow_clone).reduce(|a, b| a + b);
        let cond = cond.ok_or_else(|| Error::Failed("no path".into()))? / count;
        Ok(Parts { teacher, cond, whole: whole.map(|w| w / count), by_path })
    }

    fn draw(&mut self, step: usize) -> Result<Vec<(Path, Rc<PathNet>)>> {
        let count = self.recipe.gtn.paths;
        let paths = (0..count).map(|i| self.distribution.sample(self.recipe.seed, (step * count + i) as u64));
        let paths: Vec<Path> = paths.collect();
        paths.into_iter().map(|p| self.supernet.path(&p, &self.params).map(|net| (p, net))).collect()
    }

    /// The tensors that a step with these paths updates.
    fn active(&self, paths: &[Rc<PathNet>]) -> Vec<bool> {
        let mut active = vec![false; self.params.specs.len()];
        self.always.iter().for_each(|&i| active[i] = true);
        let first = self.adapters.iter().map(|a| a.site.student_stage).min().unwrap_or(0);
        let whole = self.recipe.gtn.w_0 > 0.0;
        for path in paths {
            for (spec, &place) in path.runner.graph.params().iter().zip(&path.runner.index) {
                // What lies before the first branch's entry runs in branch 0 only.
                active[place] |= whole || reached(spec, first);
            }
        }
        active
    }
}

/// Whether a student's tensor lies behind the entry of stage `first`.
fn reached(spec: &ParamSpec, first: usize) -> bool {
    match spec.part {
        Some(Part::Block { stage, .. }) => stage >= first,
        Some(Part::Head | Part::Classifier) => true,
        Some(Part::Stem) | None => false,
    }
}

/// The same values; gradients through it are multiplied by `share`.
fn pulled(x: &Tensor, share: f64) -> Tensor {
    match share {
        s if s >= 1.0 => x.shallow_clone(),
        s if s <= 0.0 => x.detach(),
        s => x * s + x.detach() * (1.0 - s),
    }
}

/// tau^2 KL in the recipe's direction.
fn kl_of(z: &Tensor, target: &Tensor, gtn: &Gtn) -> Tensor {
    let (z, t) = (z / gtn.tau, target / gtn.tau);
    let kl = match gtn.kl_direction {
        KlDirection::BranchTeacher => kl_divergence(&z, &t),
        KlDirection::TeacherBranch => kl_divergence(&t, &z),
    };
    kl * (gtn.tau * gtn.tau)
}

fn branch_loss(z: &Tensor, target: &Tensor, labels: &Tensor, gtn: &Gtn) -> Tensor {
    kl_of(z, target, gtn) * gtn.w_kl + cross_entropy(z, labels, 0.0) * gtn.w_ce
}

impl Learner for Generic {
    fn params(&self) -> &Params {
        &self.params
    }

    fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }

    fn step(&mut self, batch: &Batch, at: At) -> Result<Step> {
        let drawn = self.draw(at.step)?;
        let nets: Vec<Rc<PathNet>> = drawn.iter().map(|(_, net)| Rc::clone(net)).collect();
        let parts = self.losses(batch, &nets, self.pull(at))?;
        let mut total = &parts.teacher + &parts.cond;
        if let Some(whole) = &parts.whole {
            total += whole * self.recipe.gtn.w_0;
        }
        let mut losses = vec![
            ("loss".to_owned(), total),
            ("teacher".to_owned(), parts.teacher.detach()),
            ("cond".to_owned(), parts.cond.detach()),
        ];
        losses.extend(parts.whole.map(|w| ("whole".to_owned(), w.detach())));
        if self.recipe.gtn.arch.objective != Objective::None {
            let seen = drawn.into_iter().zip(&parts.by_path);
            let seen = seen.map(|((path, net), loss)| (path, net.macs, loss.double_value(&[])));
            self.distribution.update(&seen.collect::<Vec<_>>());
        }
        Ok(Step { losses, active: Some(self.active(&nets)) })
    }

    fn networks(&self) -> Vec<&Runner> {
        vec![&self.teacher]
    }

    fn record(&self) -> Option<Value> {
        let row = |l: usize| {
            let position = &self.distribution.positions[l];
            let p: serde_json::Map<String, Value> = position
                .values
                .iter()
                .cloned()
                .zip(self.distribution.probabilities(l).into_iter().map(|p| json!(p)))
                .collect();
            (position.name.clone(), Value::Object(p))
        };
        let rows: serde_json::Map<String, Value> = (0..self.distribution.positions.len()).map(row).collect();
        Some(json!({ "arch": rows }))
    }

    fn state(&self) -> Value {
        json!(self.distribution.state)
    }

    fn restore(&mut self, state: Value) -> Result<()> {
        let state: ArchState =
            serde_json::from_value(state).map_err(|e| Error::Failed(format!("checkpoint's theta: {e}")))?;
        self.distribution.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::ir::arch::Input;
    use gtn_core::nets::pool;
    use gtn_core::nets::zoo;
    use tch::Kind;

    const INPUT: Input = Input { channels: 1, height: 8, width: 8 };
    const MIDWAY: At = At { step: 50, steps: 100, per_epoch: 10 };

    /// A resnet8 teacher (stages at 8x8, 4x4, 2x2) over res-mini, in f64.
    fn tiny(gtn: Gtn) -> Generic {
        let teacher = Graph::lower(&zoo::named("resnet8", INPUT, 4).unwrap().unwrap()).unwrap();
        let space = Space::whole(pool::named("res-mini").unwrap());
        let recipe = Recipe { gtn, seed: 2, ..Recipe::default() };
        let mut generic = Generic::new(teacher, space, None, &recipe, (4, Device::Cpu)).unwrap();
        for t in &mut generic.params.tensors {
            let wide = t.detach().to_kind(Kind::Double).copy();
            *t = wide.set_requires_grad(t.requires_grad());
        }
        generic
    }

    fn batch() -> Batch {
        let pixels: Vec<f64> = (0..6 * 64).map(|i| f64::from(i * 37 % 101 - 50) / 30.0).collect();
        let labels = Tensor::from_slice(&[0i64, 1, 2, 3, 1, 2]);
        let images = Tensor::from_slice(&pixels).view([6, 1, 8, 8]);
        Batch { images, labels, teacher_images: None, mixed: None, turns: Vec::new() }
    }

    fn drawn(generic: &mut Generic) -> Vec<Rc<PathNet>> {
        generic.draw(0).unwrap().into_iter().map(|(_, net)| net).collect()
    }

    fn total(generic: &Generic, nets: &[Rc<PathNet>]) -> Tensor {
        let parts = generic.losses(&batch(), nets, 1.0).unwrap();
        parts.teacher + parts.cond + parts.whole.unwrap() * generic.recipe.gtn.w_0
    }

    /// The whole loss against central differences in f64, in several entries of every tensor that a step
    /// has a part for: teacher, adapters, blocks, stem and head.
    #[test]
    fn the_loss_matches_finite_differences() {
        for kl_direction in [KlDirection::BranchTeacher, KlDirection::TeacherBranch] {
            let gtn =
                Gtn { w_kl: 3.0, w_ce: 0.7, tau: 2.0, w_0: 0.5, paths: 2, kl_direction, ..Gtn::default() };
            let mut generic = tiny(gtn);
            let nets = drawn(&mut generic);
            total(&generic, &nets).backward();
            let active = generic.active(&nets);
            let mut checked = [0usize; 3];
            for place in generic.params.trained().filter(|&p| active[p]).collect::<Vec<_>>() {
                let name = generic.params.specs[place].name.clone();
                let tensor = generic.params.tensors[place].shallow_clone();
                let grad = tensor.grad().contiguous().view(-1);
                let n = grad.size()[0];
                for i in [n / 3, n - 1] {
                    let flat = |h: f64| {
                        tch::no_grad(|| {
                            let index = unravel(&tensor.size(), i);
                            let mut at = tensor.shallow_clone();
                            for j in index {
                                at = at.get(j);
                            }
                            let _ = at.g_add_scalar_(h);
                        });
                    };
                    // Small: a ReLU that changes sides within h spoils the difference.
                    let h = 1e-8;
                    flat(h);
                    let up = loss_of(&name, &generic, &nets);
                    flat(-2.0 * h);
                    let down = loss_of(&name, &generic, &nets);
                    flat(h);
                    let exact = (up - down) / (2.0 * h);
                    let found = grad.double_value(&[i]);
                    // f64 rounding of the loss (a few 1e-15) over 2h.
                    assert!(
                        (found - exact).abs() <= 2e-6 * (1.0 + exact.abs()),
                        "{name}[{i}]: {found}, differences {exact}"
                    );
                }
                checked[["teacher/", "adapters/", "supernet/"]
                    .iter()
                    .position(|p| name.starts_with(p))
                    .unwrap()] += 1;
            }
            assert!(checked.iter().all(|&c| c > 5), "{checked:?}");
        }
    }

    /// The loss as a function of the named tensor. Branch 0 takes z_T as a constant, so for the teacher's
    /// tensors, which move z_T, it is left out.
    fn loss_of(name: &str, generic: &Generic, nets: &[Rc<PathNet>]) -> f64 {
        tch::no_grad(|| {
            let parts = generic.losses(&batch(), nets, 1.0).unwrap();
            let whole = parts.whole.filter(|_| !name.starts_with(TEACHER));
            let whole = whole.map_or(0.0, |w| w.double_value(&[]) * generic.recipe.gtn.w_0);
            parts.teacher.double_value(&[]) + parts.cond.double_value(&[]) + whole
        })
    }

    fn unravel(shape: &[i64], mut i: i64) -> Vec<i64> {
        let mut index: Vec<i64> = shape
            .iter()
            .rev()
            .map(|d| {
                let at = i % d;
                i /= d;
                at
            })
            .collect();
        index.reverse();
        index
    }

    /// Which teacher stages the conditioning loss pulls, for every setting of the KL's fields: through
    /// F_i the stages up to the last branch's; through z_T all of them, unless it is detached or not
    /// weighed; none during the warm-up.
    #[test]
    fn conditioning_reaches_the_stages_it_should() {
        // res-mini takes 8x8 (stages 0 and 1) and 4x4 (stage 2): F_1 and F_2 have branches, F_3 has not.
        for direction in [KlDirection::BranchTeacher, KlDirection::TeacherBranch] {
            for (detach, w_kl, pull, through_f, through_z) in [
                (false, 1.0, 1.0, true, true),
                (true, 1.0, 1.0, true, false),
                (false, 0.0, 1.0, true, false),
                (false, 1.0, 0.5, true, true),
                (false, 1.0, 0.0, false, false),
            ] {
                let gtn = Gtn {
                    w_kl,
                    kl_detach_teacher: detach,
                    kl_direction: direction,
                    w_0: 1.0,
                    ..Gtn::default()
                };
                let mut generic = tiny(gtn);
                let nets = drawn(&mut generic);
                generic.losses(&batch(), &nets, pull).unwrap().cond.backward();
                let active = generic.active(&nets);
                for (place, spec) in generic.params.specs.iter().enumerate().filter(|(_, s)| s.role.trained())
                {
                    let grad = generic.params.tensors[place].grad();
                    let reached = grad.defined() && grad.abs().max().double_value(&[]) > 0.0;
                    let wanted = match spec.name.strip_prefix(TEACHER) {
                        Some(name)
                            if name.starts_with("stem")
                                || name.starts_with("stages.0")
                                || name.starts_with("stages.1") =>
                        {
                            through_f || through_z
                        }
                        Some(_) => through_z,
                        // The conditioning loss alone does not run the students' stem.
                        None if spec.name.starts_with("supernet/stem") => false,
                        None => active[place],
                    };
                    // A bias before BN's batch statistics has no gradient; such are the only zeros allowed.
                    assert_eq!(
                        reached, wanted,
                        "{} with detach {detach}, w_KL {w_kl}, pull {pull}",
                        spec.name
                    );
                }
            }
        }
    }

    #[test]
    fn the_pull_waits_and_then_rises() {
        let generic = tiny(Gtn { cond_warmup: 0.25, ..Gtn::default() });
        let pull = |step| generic.pull(At { step, ..MIDWAY });
        assert_eq!([pull(0), pull(25), pull(50), pull(99)], [0.0, 0.0, 1.0, 1.0]);
        assert!((pull(30) - 0.2).abs() < 1e-12);
        assert_eq!(tiny(Gtn::default()).pull(At { step: 0, ..MIDWAY }), 1.0);
    }

    /// A run that is cut and restored goes on with the same theta, and blocks not drawn keep their bits.
    #[test]
    fn blocks_not_drawn_do_not_move() {
        let mut generic = tiny(Gtn { w_0: 1.0, ..Gtn::default() });
        let mut sgd =
            crate::engine::optimizer::Optimizer::new(generic.recipe.optimizer.clone(), &generic.params);
        let mut ever = vec![false; generic.params.specs.len()];
        let start = generic.params.weights().unwrap();
        for step in 0..6 {
            let before = generic.params.weights().unwrap();
            let s = generic.step(&batch(), At { step, ..MIDWAY }).unwrap();
            s.losses[0].1.backward();
            let active = s.active.unwrap();
            sgd.step(&generic.params, Some(&active), 0.1);
            let after = generic.params.weights().unwrap();
            for (i, spec) in generic.params.specs.iter().enumerate() {
                assert!(active[i] || before.0[&spec.name] == after.0[&spec.name], "{}", spec.name);
                ever[i] |= active[i];
            }
        }
        let end = generic.params.weights().unwrap();
        let still = generic.params.specs.iter().zip(&ever).filter(|(_, e)| !**e).count();
        assert!(still > 20, "the pool is larger than six paths");
        assert!(
            generic.params.specs.iter().zip(&ever).all(|(s, e)| *e || start.0[&s.name] == end.0[&s.name])
        );
        assert!(generic.distribution.state.theta.iter().flatten().any(|&t| t != 0.0));
        let state = generic.state();
        let mut other = tiny(Gtn::default());
        other.restore(state).unwrap();
        assert_eq!(other.distribution.state, generic.distribution.state);
    }
}
