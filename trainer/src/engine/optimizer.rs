//! SGD with momentum (PyTorch's form: v = m v + g, p -= lr v; Nesterov: p -= lr (g + m v)) and AdamW (Loshchilov &
//! Hutter 2019: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p -= lr (m' / (sqrt v' + eps) + decay p), m' and v'
//! without their bias towards zero).

use crate::engine::params::{Params, odd_ones, to_vec};
use crate::recipe::{Optimizer as Recipe, OptimizerKind};
use gtn_core::Result;
use gtn_core::ir::graph::{ParamSpec, Part, Role};
use gtn_core::ir::weights::Weights;
use tch::{Kind, Tensor};

/// What is kept of one trained tensor.
struct Moments {
    /// Its place in the parameters.
    place: usize,
    /// SGD's velocity, AdamW's mean of the gradient.
    first: Tensor,
    /// AdamW's mean of the gradient's square, and updates so far.
    second: Option<(Tensor, i32)>,
}

/// The update rule and its state.
pub struct Optimizer {
    recipe: Recipe,
    moments: Vec<Moments>,
}

/// Ending of a tensor's name in [`Optimizer::state`]: AdamW's second moment, its updates.
const SECOND: &str = "#second";
const UPDATES: &str = "#updates";

impl Optimizer {
    /// State at zero.
    pub fn new(recipe: Recipe, params: &Params) -> Self {
        let zeros = |place: usize| Moments {
            place,
            first: params.tensors[place].zeros_like(),
            second: match recipe.kind {
                OptimizerKind::Sgd => None,
                OptimizerKind::Adamw => Some((params.tensors[place].zeros_like(), 0)),
            },
        };
        let moments = params.trained().map(zeros).collect();
        Self { recipe, moments }
    }

    /// One update with learning rate `lr`; gradients are consumed. Tensors that are not `active` (where
    /// given, by place) had no part in this step: they get no decay and no momentum either.
    pub fn step(&mut self, params: &Params, active: Option<&[bool]>, lr: f64) {
        let takes_part = |place: usize| active.is_none_or(|active| active[place]);
        tch::no_grad(|| {
            let places = self.moments.iter().map(|m| m.place).filter(|&place| takes_part(place));
            let factor = clip_factor(params, places, self.recipe.clip_norm);
            for m in self.moments.iter_mut().filter(|m| takes_part(m.place)) {
                let (spec, tensor) = (&params.specs[m.place], &params.tensors[m.place]);
                let mut g = tensor.grad();
                if !g.defined() {
                    continue;
                }
                if let Some(factor) = &factor {
                    let _ = g.g_mul_(factor);
                }
                let slower = spec.part.is_some_and(|part| part != Part::Classifier);
                let lr = if slower { lr * self.recipe.backbone_lr } else { lr };
                let decays = spec.role == Role::Weight || self.recipe.decay_norms_and_biases;
                let decay = if decays { self.recipe.weight_decay } else { 0.0 };
                match &mut m.second {
                    None => sgd(&self.recipe, tensor, &mut g, &mut m.first, (lr, decay)),
                    Some(second) => adamw(&self.recipe, tensor, &g, (&mut m.first, second), (lr, decay)),
                }
                // backward() adds to what is there.
                let mut grad = tensor.grad();
                let _ = grad.zero_();
            }
        });
    }

    /// The state of these places becomes zero.
    pub fn forget(&mut self, places: &[usize]) {
        for m in self.moments.iter_mut().filter(|m| places.contains(&m.place)) {
            let _ = m.first.zero_();
            if let Some((second, updates)) = &mut m.second {
                let _ = second.zero_();
                *updates = 0;
            }
        }
    }

    /// What holds a state that is not finite.
    pub fn not_finite(&self, params: &Params) -> Result<Vec<String>> {
        let odd = odd_ones(self.moments.iter().map(|m| &m.first))?;
        let second = odd_ones(self.moments.iter().filter_map(|m| m.second.as_ref().map(|(s, _)| s)))?;
        let named = |odd: Vec<bool>| {
            let odd = self.moments.iter().zip(odd).filter(|(_, odd)| *odd);
            odd.filter_map(|(m, _)| Some(params.specs.get(m.place)?.name.clone())).collect::<Vec<_>>()
        };
        Ok([named(odd), named(second)].concat())
    }

    /// Names and shapes of what [`Self::state`] holds: a velocity has its tensor's name.
    pub fn specs(&self, params: &Params) -> Vec<ParamSpec> {
        let spec = |m: &Moments| params.specs[m.place].clone();
        let first = self.moments.iter().map(spec);
        let second = self.moments.iter().filter(|m| m.second.is_some()).flat_map(|m| {
            let named = |end: &str| format!("{}{end}", params.specs[m.place].name);
            let updates = ParamSpec { name: named(UPDATES), shape: vec![1], ..spec(m) };
            [ParamSpec { name: named(SECOND), ..spec(m) }, updates]
        });
        first.chain(second).collect()
    }

    /// The state by tensor name.
    pub fn state(&self, params: &Params) -> Result<Weights> {
        let mut state = Weights::default();
        for m in &self.moments {
            let name = &params.specs[m.place].name;
            state.0.insert(name.clone(), to_vec(&m.first)?);
            if let Some((second, updates)) = &m.second {
                state.0.insert(format!("{name}{SECOND}"), to_vec(second)?);
                // Whole numbers below 2^24 are exact; beyond it the correction they make is 1.
                state.0.insert(format!("{name}{UPDATES}"), vec![*updates as f32]);
            }
        }
        Ok(state)
    }

    /// Restores [`Self::state`].
    pub fn restore(&mut self, params: &Params, state: &Weights) -> Result<()> {
        for m in &mut self.moments {
            let name = &params.specs[m.place].name;
            let values = |name: &str, like: &Tensor| -> Result<Tensor> {
                Ok(Tensor::from_slice(state.get(name)?).view_as(like))
            };
            let first = values(name, &m.first)?;
            m.first.copy_(&first);
            if let Some((second, updates)) = &mut m.second {
                let found = values(&format!("{name}{SECOND}"), second)?;
                second.copy_(&found);
                *updates =
                    state.get(&format!("{name}{UPDATES}"))?.first().copied().unwrap_or(f32::NAN) as i32;
            }
        }
        Ok(())
    }
}

/// What all gradients are multiplied by so that their norm together is at most `most`; none: they stay. As PyTorch's
/// `clip_grad_norm_`. It stays on the device.
fn clip_factor(params: &Params, places: impl Iterator<Item = usize>, most: f64) -> Option<Tensor> {
    if most <= 0.0 {
        return None;
    }
    let square = |place: usize| {
        let g = params.tensors[place].grad();
        g.defined().then(|| g.square().sum(Kind::Float).view(1))
    };
    let squares: Vec<Tensor> = places.filter_map(square).collect();
    if squares.is_empty() {
        return None;
    }
    let norm = Tensor::cat(&squares, 0).sum(Kind::Float).sqrt();
    Some(((norm + 1e-6).reciprocal() * most).clamp_max(1.0))
}

fn sgd(recipe: &Recipe, tensor: &Tensor, g: &mut Tensor, v: &mut Tensor, (lr, decay): (f64, f64)) {
    let mut p = tensor.shallow_clone();
    if decay > 0.0 {
        let _ = g.g_add_(&(&p * decay));
    }
    let _ = v.g_mul_scalar_(recipe.momentum);
    let _ = v.g_add_(&*g);
    if recipe.nesterov {
        let _ = g.g_add_(&(&*v * recipe.momentum));
        let _ = p.g_sub_(&(&*g * lr));
    } else {
        let _ = p.g_sub_(&(&*v * lr));
    }
}

fn adamw(
    recipe: &Recipe,
    tensor: &Tensor,
    g: &Tensor,
    (m, (v, updates)): (&mut Tensor, &mut (Tensor, i32)),
    (lr, decay): (f64, f64),
) {
    let (b1, b2) = recipe.betas;
    let mut p = tensor.shallow_clone();
    *updates = updates.saturating_add(1);
    let _ = p.g_mul_scalar_(1.0 - lr * decay);
    let _ = m.g_mul_scalar_(b1);
    let _ = m.g_add_(&(g * (1.0 - b1)));
    let _ = v.g_mul_scalar_(b2);
    let _ = v.g_add_(&(g.square() * (1.0 - b2)));
    let unbias = |b: f64| 1.0 - b.powi(*updates);
    let root = v.sqrt() / unbias(b2).sqrt() + recipe.epsilon;
    let _ = p.g_sub_(&(&*m / root * (lr / unbias(b1))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::net::Net;
    use gtn_core::ir::arch::Input;
    use gtn_core::ir::graph::Graph;
    use gtn_core::nets::zoo;
    use tch::{Device, Kind};

    /// Three steps against the formula in f64, for each switch; the loss is the sum of all trained
    /// values times fixed factors, so every gradient is known.
    #[test]
    fn matches_the_formula() {
        let input = Input { channels: 1, height: 8, width: 8 };
        for (nesterov, norms) in [(false, false), (true, false), (false, true), (true, true)] {
            let spec = zoo::named("resnet8", input, 10).unwrap().unwrap();
            let params = Net::new(Graph::lower(&spec).unwrap(), 1, Device::Cpu).unwrap().params;
            let trained = || params.trained().map(|i| (&params.specs[i], &params.tensors[i]));
            let decay_norms_and_biases = norms;
            let recipe =
                Recipe { lr: 0.1, nesterov, weight_decay: 0.01, decay_norms_and_biases, ..Recipe::default() };
            let mut sgd = Optimizer::new(recipe, &params);
            let roles: Vec<Role> = trained().map(|(s, _)| s.role).collect();
            let mut want: Vec<(f64, f64)> =
                trained().map(|(_, t)| (t.reshape(-1).double_value(&[0]), 0.0)).collect();
            for step in 1..=3 {
                let factor = f64::from(step);
                let loss = trained()
                    .map(|(_, t)| t.sum(Kind::Float) * factor)
                    .fold(Tensor::from(0f32), |a, b| a + b);
                loss.backward();
                sgd.step(&params, None, 0.1);
                for ((p, v), role) in want.iter_mut().zip(&roles) {
                    let decay = *role == Role::Weight || norms;
                    let g = factor + if decay { 0.01 * *p } else { 0.0 };
                    *v = 0.9 * *v + g;
                    *p -= 0.1 * if nesterov { g + 0.9 * *v } else { *v };
                }
            }
            for ((p, _), (spec, t)) in want.iter().zip(trained()) {
                let got = t.reshape(-1).double_value(&[0]);
                assert!((got - p).abs() < 1e-5, "{}: {got}, wanted {p}", spec.name); // f32 rounding
            }
            let mut other = Optimizer::new(Recipe::default(), &params);
            other.restore(&params, &sgd.state(&params).unwrap()).unwrap();
            assert_eq!(other.state(&params).unwrap(), sgd.state(&params).unwrap());
        }
    }

    /// AdamW, clipped, with a slower backbone, against the formula in f64; the state goes there and back.
    #[test]
    fn adamw_matches_the_formula() {
        let input = Input { channels: 1, height: 8, width: 8 };
        let spec = zoo::named("resnet8", input, 10).unwrap().unwrap();
        let params = Net::new(Graph::lower(&spec).unwrap(), 1, Device::Cpu).unwrap().params;
        let trained = || params.trained().map(|i| (&params.specs[i], &params.tensors[i]));
        let count: i64 = trained().map(|(_, t)| t.numel() as i64).sum();
        let recipe = Recipe {
            kind: OptimizerKind::Adamw,
            weight_decay: 0.1,
            clip_norm: 0.5,
            backbone_lr: 0.25,
            ..Recipe::default()
        };
        let mut adamw = Optimizer::new(recipe.clone(), &params);
        let first = |t: &Tensor| t.reshape(-1).double_value(&[0]);
        let mut want: Vec<[f64; 3]> = trained().map(|(_, t)| [first(t), 0.0, 0.0]).collect();
        for step in 1..=4 {
            // Every gradient is the same number; the sign turns, so that the moments differ from it.
            let g: f64 = if step == 3 { -2.0 } else { f64::from(step) };
            let loss = trained().map(|(_, t)| t.sum(Kind::Float) * g).fold(Tensor::from(0f32), |a, b| a + b);
            loss.backward();
            adamw.step(&params, None, 0.01);
            let clipped = g * (0.5 / ((count as f64).sqrt() * g.abs())).min(1.0);
            for ([p, m, v], (spec, _)) in want.iter_mut().zip(trained()) {
                let lr = if spec.part == Some(Part::Classifier) { 0.01 } else { 0.0025 };
                *p *= 1.0 - lr * if spec.role == Role::Weight { 0.1 } else { 0.0 };
                *m = 0.9 * *m + 0.1 * clipped;
                *v = 0.999 * *v + 0.001 * clipped * clipped;
                let (m, v) = (*m / (1.0 - 0.9f64.powi(step)), *v / (1.0 - 0.999f64.powi(step)));
                *p -= lr * m / (v.sqrt() + 1e-8);
            }
        }
        for ([p, ..], (spec, t)) in want.iter().zip(trained()) {
            assert!((first(t) - p).abs() < 2e-5, "{}: {}, wanted {p}", spec.name, first(t));
        }
        let state = adamw.state(&params).unwrap();
        let names: Vec<String> = adamw.specs(&params).into_iter().map(|s| s.name).collect();
        assert!(names.len() == state.0.len() && names.iter().all(|n| state.0.contains_key(n)));
        let mut other = Optimizer::new(recipe, &params);
        other.restore(&params, &state).unwrap();
        assert_eq!(other.state(&params).unwrap(), state);
    }

    #[test]
    fn what_had_no_part_is_left_alone() {
        let input = Input { channels: 1, height: 8, width: 8 };
        let spec = zoo::named("resnet8", input, 10).unwrap().unwrap();
        let params = Net::new(Graph::lower(&spec).unwrap(), 1, Device::Cpu).unwrap().params;
        let mut sgd = Optimizer::new(Recipe::default(), &params);
        let step = |sgd: &mut Optimizer, active: Option<&[bool]>| {
            let sum = params.trained().map(|i| params.tensors[i].sum(Kind::Float));
            sum.fold(Tensor::from(0f32), |a, b| a + b).backward();
            sgd.step(&params, active, 0.1);
        };
        step(&mut sgd, None); // every velocity is moving
        let (before, velocity) = (params.weights().unwrap(), sgd.state(&params).unwrap());
        let active: Vec<bool> = (0..params.specs.len()).map(|i| i == 0).collect();
        step(&mut sgd, Some(&active));
        let (after, moved) = (params.weights().unwrap(), sgd.state(&params).unwrap());
        for (i, spec) in params.specs.iter().enumerate() {
            assert_eq!(before.0[&spec.name] == after.0[&spec.name], i != 0 || !spec.role.trained());
        }
        let name = &params.specs[1].name;
        assert_eq!(velocity.0[name], moved.0[name]);
    }
}
