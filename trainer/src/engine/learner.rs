//! What the training loop trains: one trait for students, vanilla teachers and generic teachers.

use crate::engine::loader::Batch;
use crate::engine::net::Runner;
use crate::engine::params::Params;
use gtn_core::Result;
use serde_json::Value;
use tch::Tensor;

/// Named losses of one step. The first is minimised, all are recorded.
pub type Losses = Vec<(String, Tensor)>;

/// What one step computes before its backward pass.
pub struct Step {
    /// At least one.
    pub losses: Losses,
    /// By place in the parameters, which had a part in this step; none: all had.
    pub active: Option<Vec<bool>>,
}

/// Where in the run a step is.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// From 0.
    pub step: usize,
    /// Of the whole run.
    pub steps: usize,
    /// Of one epoch.
    pub per_epoch: usize,
}

impl At {
    /// Epochs so far.
    pub fn epochs(self) -> f64 {
        self.step as f64 / self.per_epoch.max(1) as f64
    }
}

/// Something that trains.
pub trait Learner {
    /// All tensors: what a checkpoint holds.
    fn params(&self) -> &Params;

    /// The same, to be restored.
    fn params_mut(&mut self) -> &mut Params;

    /// The losses of one batch.
    fn step(&mut self, batch: &Batch, at: At) -> Result<Step>;

    /// The networks whose val accuracy is followed.
    fn networks(&self) -> Vec<&Runner>;

    /// Which of several networks a loss (`ce.1`) or a tensor (`1/conv.weight`) belongs to, where the others
    /// can go on without it.
    fn owner(&self, _name: &str) -> Option<usize> {
        None
    }

    /// Takes one of several networks out of the rest of the run: it is computed no more, and its tensors
    /// become zeros, so that no checkpoint holds what it had become. Returns their places; none if it had
    /// left before.
    fn drop_network(&mut self, _which: usize) -> Vec<usize> {
        Vec::new()
    }

    /// What else each epoch's record holds.
    fn record(&self) -> Option<Value> {
        None
    }

    /// What a checkpoint holds beside tensors.
    fn state(&self) -> Value {
        Value::Null
    }

    /// Restores [`Self::state`].
    fn restore(&mut self, _state: Value) -> Result<()> {
        Ok(())
    }
}
