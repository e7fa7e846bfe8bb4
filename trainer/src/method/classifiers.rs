//! One network or several, trained by cross-entropy alone or distilled from one teacher. Several share
//! the batches and the teacher's forward pass (its cost); nothing else: each learns as it would alone.

use crate::engine::learner::{At, Learner, Losses, Step};
use crate::engine::loader::Batch;
use crate::engine::net::{Mode, Runner};
use crate::engine::params::{Params, initial};
use crate::method::distill::{Labelled, StudentLoss, balanced_weights, dkd_loss, kd_loss};
use crate::method::teacher::Teacher;
use crate::recipe::{ClassWeights, Recipe};
use gtn_core::Result;
use gtn_core::ir::graph::{Graph, ParamSpec, Part};
use gtn_core::ir::weights::Weights;
use tch::{Device, Tensor};

/// What the networks learn from.
pub enum Lesson {
    /// Labels alone.
    Labels,
    /// Labels and a frozen teacher's softened answers.
    Kd(Teacher),
    /// The same, decoupled.
    Dkd(Teacher),
}

/// Networks that learn side by side.
pub struct Classifiers {
    runners: Vec<Runner>,
    /// Of each network, whether it has left the run.
    left: Vec<bool>,
    params: Params,
    lesson: Lesson,
    /// Of the classes in the cross-entropy.
    weights: Option<Tensor>,
    recipe: Recipe,
}

/// A tensor's name among several networks'.
fn placed(i: usize, count: usize, name: &str) -> String {
    if count == 1 { name.to_owned() } else { format!("{i}/{name}") }
}

impl Classifiers {
    /// Fresh weights (each a function of seed and name, so that a network starts alike alone and in
    /// company), or `init` for a single network; what `init` lacks is fresh.
    pub fn new(
        graphs: Vec<Graph>,
        init: Option<&Weights>,
        lesson: Lesson,
        recipe: &Recipe,
        device: Device,
    ) -> Result<Self> {
        let count = graphs.len();
        let mut specs = Vec::new();
        let mut weights = Weights::default();
        for (i, graph) in graphs.iter().enumerate() {
            for spec in graph.params() {
                let values = match init {
                    Some(init) if init.0.contains_key(&spec.name) => init.get(&spec.name)?.to_vec(),
                    _ => initial(&spec, recipe.seed, &spec.name),
                };
                let name = placed(i, count, &spec.name);
                weights.0.insert(name.clone(), values);
                specs.push(ParamSpec { name, ..spec });
            }
        }
        let params = Params::new(specs, &weights, device, true)?;
        let runner = |(i, graph)| Runner::new(graph, |spec| params.place(&placed(i, count, &spec.name)));
        let runners = graphs.into_iter().enumerate().map(runner).collect::<Result<_>>()?;
        let (left, weights) = (vec![false; count], None);
        Ok(Self { runners, left, params, lesson, weights, recipe: recipe.clone() })
    }

    /// Classes weigh as the recipe says, for images of these labels.
    pub fn weigh(&mut self, labels: &[u16], classes: usize) {
        if self.recipe.class_weights == ClassWeights::Balanced {
            let weights = Tensor::from_slice(&balanced_weights(labels, classes));
            let device = self.params.tensors.first().map_or(Device::Cpu, Tensor::device);
            self.weights = Some(weights.to_device(device));
        }
    }

    /// Who takes part in a step; none where all do.
    fn active(&self, classifier_alone: bool) -> Option<Vec<bool>> {
        if !self.left.contains(&true) && !classifier_alone {
            return None;
        }
        let mut active: Vec<bool> =
            self.params.specs.iter().map(|s| !classifier_alone || s.part == Some(Part::Classifier)).collect();
        let gone = self.runners.iter().zip(&self.left).filter(|(_, left)| **left);
        for &place in gone.flat_map(|(runner, _)| &runner.index) {
            active[place] = false;
        }
        Some(active)
    }

    fn loss(&self, logits: &Tensor, answers: Option<&Tensor>, batch: &Batch, at: At) -> StudentLoss {
        let labelled = Labelled {
            labels: &batch.labels,
            mixed: batch.mixed.as_ref(),
            weights: self.weights.as_ref(),
            smoothing: self.recipe.label_smoothing,
        };
        match (&self.lesson, answers) {
            (Lesson::Kd(_), Some(answers)) => kd_loss(logits, answers, &labelled, &self.recipe.kd),
            (Lesson::Dkd(_), Some(answers)) => {
                dkd_loss(logits, answers, &labelled, at.epochs(), &self.recipe.kd)
            }
            _ => StudentLoss { total: labelled.cross_entropy(logits), parts: Vec::new() },
        }
    }
}

impl Learner for Classifiers {
    fn params(&self) -> &Params {
        &self.params
    }

    fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }

    /// Teacher and students see the same part of the same picture.
    fn step(&mut self, batch: &Batch, at: At) -> Result<Step> {
        let answers = match &mut self.lesson {
            Lesson::Labels => None,
            Lesson::Kd(teacher) | Lesson::Dkd(teacher) => Some(teacher.answer(batch)?),
        };
        let classifier_alone = self.recipe.optimizer.classifier_alone(at.step / at.per_epoch.max(1));
        let mode = if classifier_alone { Mode::TrainClassifier } else { Mode::Train };
        let there = self.runners.iter().enumerate().filter(|(i, _)| self.left.get(*i) == Some(&false));
        let each: Vec<(usize, StudentLoss)> = there
            .map(|(i, runner)| {
                let logits = runner.forward(&self.params, &batch.images, mode);
                (i, self.loss(&logits, answers.as_ref(), batch, at))
            })
            .collect();
        let several = self.runners.len() > 1;
        let name = |what: &str, i: usize| if several { format!("{what}.{i}") } else { what.to_owned() };
        let mut losses: Losses = Vec::new();
        if several {
            let sum = each.iter().map(|(_, l)| l.total.shallow_clone()).reduce(|a, b| a + b);
            losses.extend(sum.map(|sum| ("loss".to_owned(), sum)));
        }
        for (i, l) in &each {
            losses.push((name("loss", *i), l.total.shallow_clone()));
            losses.extend(l.parts.iter().map(|(part, value)| (name(part, *i), value.shallow_clone())));
        }
        Ok(Step { losses, active: self.active(classifier_alone) })
    }

    fn networks(&self) -> Vec<&Runner> {
        self.runners.iter().collect()
    }

    fn owner(&self, name: &str) -> Option<usize> {
        let known = |i: &usize| self.runners.len() > 1 && *i < self.runners.len();
        let tensor = name.split_once('/').and_then(|(i, _)| i.parse().ok());
        tensor.or_else(|| name.rsplit_once('.').and_then(|(_, i)| i.parse().ok())).filter(known)
    }

    fn drop_network(&mut self, which: usize) -> Vec<usize> {
        match (self.left.get_mut(which), self.runners.get(which)) {
            (Some(left), Some(runner)) if !*left => {
                *left = true;
                tch::no_grad(|| {
                    for &place in &runner.index {
                        let _ = self.params.tensors[place].zero_();
                    }
                });
                runner.index.clone()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::net::Net;
    use gtn_core::ir::arch::Input;
    use gtn_core::ir::random_weights;
    use gtn_core::nets::pool;
    use gtn_core::nets::zoo;

    /// Three steps in company leave each student where three steps alone leave it, bit for bit.
    #[test]
    fn company_changes_nothing() {
        let input = Input { channels: 1, height: 8, width: 8 };
        let graph = |id: &str| Graph::lower(&pool::student(id, input, 4).unwrap()).unwrap();
        let ids = ["res-mini:d111-k333-e111", "mbv2-mini:d111-k353-e333", "res-mini:d211-k3533-e1211"];
        let teach = || {
            let spec = zoo::named("resnet8", input, 4).unwrap().unwrap();
            let graph = Graph::lower(&spec).unwrap();
            let weights = random_weights::random_weights(&graph, 1);
            Lesson::Kd(Teacher::net(Net::from_weights(graph, &weights, Device::Cpu, false).unwrap()))
        };
        let recipe = Recipe { seed: 3, ..Recipe::default() };
        let pixels: Vec<f32> = (0..8 * 64).map(|i| ((i * 37 % 101) as f32 - 50.0) / 30.0).collect();
        let batch = Batch {
            images: Tensor::from_slice(&pixels).view([8, 1, 8, 8]),
            labels: Tensor::from_slice(&[0i64, 1, 2, 3, 3, 2, 1, 0]),
            teacher_images: None,
            mixed: None,
            turns: Vec::new(),
        };
        let train = |graphs: Vec<Graph>| {
            let mut learner = Classifiers::new(graphs, None, teach(), &recipe, Device::Cpu).unwrap();
            let mut sgd =
                crate::engine::optimizer::Optimizer::new(recipe.optimizer.clone(), learner.params());
            for step in 0..3 {
                let s = learner.step(&batch, At { step, steps: 3, per_epoch: 3 }).unwrap();
                s.losses[0].1.backward();
                sgd.step(learner.params(), s.active.as_deref(), 0.05);
            }
            learner
        };
        let together = train(ids.iter().map(|id| graph(id)).collect());
        for (i, id) in ids.iter().enumerate() {
            let alone = train(vec![graph(id)]).params.weights().unwrap();
            assert!(together.params.weights_under(&format!("{i}/")).unwrap() == alone, "{id}");
        }
    }
}
