//! SGD with momentum (PyTorch's form: v = m v + g, p -= lr v; Nesterov: p -= lr (g + m v)).

use crate::engine::params::{Params, odd_ones, to_vec};
use crate::recipe::Optimizer;
use gtn_core::Result;
use gtn_core::ir::graph::Role;
use gtn_core::ir::weights::Weights;
use tch::Tensor;

/// Velocities of the trained tensors.
pub struct Sgd {
    recipe: Optimizer,
    /// (place in the parameters, velocity).
    velocity: Vec<(usize, Tensor)>,
}

impl Sgd {
    /// Velocities at zero.
    pub fn new(recipe: Optimizer, params: &Params) -> Self {
        let velocity = params.trained().map(|i| (i, params.tensors[i].zeros_like())).collect();
        Self { recipe, velocity }
    }

    /// One update with learning rate `lr`; gradients are consumed. Tensors that are not `active` (where
    /// given, by place) had no part in this step: they get no decay and no momentum either.
    pub fn step(&mut self, params: &Params, active: Option<&[bool]>, lr: f64) {
        let Optimizer { momentum, nesterov, weight_decay, decay_norms_and_biases, .. } = self.recipe;
        tch::no_grad(|| {
            for (place, v) in &mut self.velocity {
                if active.is_some_and(|active| !active[*place]) {
                    continue;
                }
                let (spec, tensor) = (&params.specs[*place], &params.tensors[*place]);
                let mut g = tensor.grad();
                if !g.defined() {
                    continue;
                }
                let mut p = tensor.shallow_clone();
                if weight_decay > 0.0 && (spec.role == Role::Weight || decay_norms_and_biases) {
                    let _ = g.g_add_(&(&p * weight_decay));
                }
                let _ = v.g_mul_scalar_(momentum);
                let _ = v.g_add_(&g);
                if nesterov {
                    let _ = g.g_add_(&(&*v * momentum));
                    let _ = p.g_sub_(&(g * lr));
                } else {
                    let _ = p.g_sub_(&(&*v * lr));
                }
                // backward() adds to what is there.
                let mut grad = tensor.grad();
                let _ = grad.zero_();
            }
        });
    }

    /// Velocities of these places become zero.
    pub fn forget(&mut self, places: &[usize]) {
        for (place, v) in &mut self.velocity {
            if places.contains(place) {
                let _ = v.zero_();
            }
        }
    }

    /// What holds a velocity that is not finite.
    pub fn not_finite(&self, params: &Params) -> Result<Vec<String>> {
        let odd = odd_ones(self.velocity.iter().map(|(_, v)| v))?;
        let names = self.velocity.iter().zip(odd).filter(|(_, odd)| *odd);
        Ok(names.filter_map(|((place, _), _)| Some(params.specs.get(*place)?.name.clone())).collect())
    }

    /// Velocities by tensor name.
    pub fn state(&self, params: &Params) -> Result<Weights> {
        let mut state = Weights::default();
        for (place, v) in &self.velocity {
            state.0.insert(params.specs[*place].name.clone(), to_vec(v)?);
        }
        Ok(state)
    }

    /// Restores [`Self::state`].
    pub fn restore(&mut self, params: &Params, state: &Weights) -> Result<()> {
        for (place, v) in &mut self.velocity {
            let values = Tensor::from_slice(state.get(&params.specs[*place].name)?).view_as(v);
            v.copy_(&values);
        }
        Ok(())
    }
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
            let recipe = Optimizer {
                lr: 0.1,
                momentum: 0.9,
                nesterov,
                weight_decay: 0.01,
                decay_norms_and_biases: norms,
            };
            let mut sgd = Sgd::new(recipe, &params);
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
            let mut other = Sgd::new(Optimizer::default(), &params);
            other.restore(&params, &sgd.state(&params).unwrap()).unwrap();
            assert_eq!(other.state(&params).unwrap(), sgd.state(&params).unwrap());
        }
    }

    #[test]
    fn what_had_no_part_is_left_alone() {
        let input = Input { channels: 1, height: 8, width: 8 };
        let spec = zoo::named("resnet8", input, 10).unwrap().unwrap();
        let params = Net::new(Graph::lower(&spec).unwrap(), 1, Device::Cpu).unwrap().params;
        let mut sgd = Sgd::new(Optimizer::default(), &params);
        let step = |sgd: &mut Sgd, active: Option<&[bool]>| {
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
