//! Weights that are kept beside those that learn: their running average, and those of the best evaluation.

use crate::engine::params::Params;
use crate::recipe::Recipe;
use tch::Tensor;

/// What is kept; which of them, the recipe says.
pub struct Kept {
    decay: f64,
    average: Option<Params>,
    best: Option<Params>,
}

impl Kept {
    /// Copies of `params` for what the recipe asks for.
    pub fn new(recipe: &Recipe, params: &Params) -> Self {
        Self {
            decay: recipe.ema,
            average: (recipe.ema > 0.0).then(|| params.copy()),
            best: (recipe.patience > 0).then(|| params.copy()),
        }
    }

    /// The average follows; `updates` of the weights were made before this one.
    pub fn follow(&mut self, params: &Params, updates: usize) {
        let Some(average) = &mut self.average else { return };
        let t = updates as f64;
        let decay = self.decay.min((1.0 + t) / (10.0 + t));
        tch::no_grad(|| {
            for (kept, now) in average.tensors.iter_mut().zip(&params.tensors) {
                let _ = kept.g_mul_scalar_(decay);
                let _ = kept.g_add_(&(now * (1.0 - decay)));
            }
        });
    }

    /// What is evaluated: the average, where there is one.
    pub fn judged<'a>(&'a self, params: &'a Params) -> &'a Params {
        self.average.as_ref().unwrap_or(params)
    }

    /// The weights that are judged now, at these places, are the best so far.
    pub fn best_are(&mut self, params: &Params, places: &[usize]) {
        let Some(best) = &mut self.best else { return };
        let judged = self.average.as_ref().unwrap_or(params);
        tch::no_grad(|| {
            for &place in places {
                if let (Some(to), Some(from)) = (best.tensors.get_mut(place), judged.tensors.get(place)) {
                    to.copy_(from);
                }
            }
        });
    }

    /// These places become zero: their network left the run.
    pub fn forget(&mut self, places: &[usize]) {
        tch::no_grad(|| {
            for kept in [&mut self.average, &mut self.best].into_iter().flatten() {
                for &place in places {
                    let _ = kept.tensors.get_mut(place).map(Tensor::zero_);
                }
            }
        });
    }

    /// Training has ended: what is saved takes the place of what learnt.
    pub fn replace(&self, params: &mut Params) {
        let Some(chosen) = self.best.as_ref().or(self.average.as_ref()) else { return };
        tch::no_grad(|| {
            for (to, from) in params.tensors.iter_mut().zip(&chosen.tensors) {
                to.copy_(from);
            }
        });
    }

    /// With the names of their files.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Params)> {
        [("average", &self.average), ("best", &self.best)]
            .into_iter()
            .filter_map(|(n, p)| Some((n, p.as_ref()?)))
    }

    /// The same, to be restored.
    pub fn named_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Params)> {
        let all = [("average", &mut self.average), ("best", &mut self.best)];
        all.into_iter().filter_map(|(n, p)| Some((n, p.as_mut()?)))
    }
}
