//! SGD with momentum (PyTorch's form: v = m v + g, p -= lr v; Nesterov: p -= lr (g + m v)).

use crate::net::{Net, to_vec};
use crate::recipe::Optimizer;
use gtn_core::Result;
use gtn_core::graph::Role;
use gtn_core::weights::Weights;
use tch::Tensor;

/// Velocities of a network's trained tensors, in order.
pub struct Sgd {
    recipe: Optimizer,
    velocity: Vec<Tensor>,
}

impl Sgd {
    /// Velocities at zero.
    pub fn new(recipe: Optimizer, net: &Net) -> Self {
        Self { recipe, velocity: net.trained().map(|(_, t)| t.zeros_like()).collect() }
    }

    /// One update with learning rate `lr`; gradients are consumed.
    pub fn step(&mut self, net: &Net, lr: f64) {
        let Optimizer { momentum, nesterov, weight_decay, decay_norms_and_biases, .. } = self.recipe;
        tch::no_grad(|| {
            for ((spec, tensor), v) in net.trained().zip(&mut self.velocity) {
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

    /// Velocities by tensor name.
    pub fn state(&self, net: &Net) -> Result<Weights> {
        let mut state = Weights::default();
        for ((spec, _), v) in net.trained().zip(&self.velocity) {
            state.0.insert(spec.name.clone(), to_vec(v)?);
        }
        Ok(state)
    }

    /// Restores [`Self::state`].
    pub fn restore(&mut self, net: &Net, state: &Weights) -> Result<()> {
        for ((spec, _), v) in net.trained().zip(&mut self.velocity) {
            let values = Tensor::from_slice(state.get(&spec.name)?).view_as(v);
            v.copy_(&values);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::arch::Input;
    use gtn_core::graph::Graph;
    use gtn_core::zoo;
    use tch::{Device, Kind};

    /// Three steps against the formula in f64, for each switch; the loss is the sum of all trained
    /// values times fixed factors, so every gradient is known.
    #[test]
    fn matches_the_formula() {
        let input = Input { channels: 1, height: 8, width: 8 };
        for (nesterov, norms) in [(false, false), (true, false), (false, true), (true, true)] {
            let spec = zoo::named("resnet8", input, 10).unwrap().unwrap();
            let net = Net::new(Graph::lower(&spec).unwrap(), 1, Device::Cpu).unwrap();
            let recipe = Optimizer {
                lr: 0.1,
                momentum: 0.9,
                nesterov,
                weight_decay: 0.01,
                decay_norms_and_biases: norms,
            };
            let mut sgd = Sgd::new(recipe, &net);
            let roles: Vec<Role> = net.trained().map(|(s, _)| s.role).collect();
            let mut want: Vec<(f64, f64)> =
                net.trained().map(|(_, t)| (t.reshape(-1).double_value(&[0]), 0.0)).collect();
            for step in 1..=3 {
                let factor = f64::from(step);
                let loss = net
                    .trained()
                    .map(|(_, t)| t.sum(Kind::Float) * factor)
                    .fold(Tensor::from(0f32), |a, b| a + b);
                loss.backward();
                sgd.step(&net, 0.1);
                for ((p, v), role) in want.iter_mut().zip(&roles) {
                    let decay = *role == Role::Weight || norms;
                    let g = factor + if decay { 0.01 * *p } else { 0.0 };
                    *v = 0.9 * *v + g;
                    *p -= 0.1 * if nesterov { g + 0.9 * *v } else { *v };
                }
            }
            for ((p, _), (spec, t)) in want.iter().zip(net.trained()) {
                let got = t.reshape(-1).double_value(&[0]);
                assert!((got - p).abs() < 1e-5, "{}: {got}, wanted {p}", spec.name); // f32 rounding
            }
            let mut other = Sgd::new(Optimizer::default(), &net);
            other.restore(&net, &sgd.state(&net).unwrap()).unwrap();
            assert_eq!(other.state(&net).unwrap(), sgd.state(&net).unwrap());
        }
    }
}
