//! How weights are updated: optimizer, learning rate, what is frozen, the average that is kept.

use super::{Check, is_default};
use gtn_core::Result;
use serde::{Deserialize, Serialize};

/// The optimizer. Keys that are not there are at their defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimizer {
    /// Which one.
    #[serde(skip_serializing_if = "is_default")]
    pub kind: OptimizerKind,
    /// Peak (one-cycle, cosine) or initial (multistep) learning rate.
    pub lr: f64,
    /// Of SGD's velocity.
    pub momentum: f64,
    /// Nesterov's look-ahead (SGD).
    pub nesterov: bool,
    /// SGD: L2 penalty's gradient factor. AdamW: share of a weight that a step of learning rate 1 takes off.
    pub weight_decay: f64,
    /// Whether batch normalisation's scale and shift, and biases, decay too.
    pub decay_norms_and_biases: bool,
    /// Of AdamW's running means of the gradient and of its square.
    #[serde(skip_serializing_if = "are_betas")]
    pub betas: (f64, f64),
    /// Added to AdamW's root.
    #[serde(skip_serializing_if = "is_epsilon")]
    pub epsilon: f64,
    /// Largest norm of all gradients together; longer ones are shortened to it (0: they are not).
    #[serde(skip_serializing_if = "is_default")]
    pub clip_norm: f64,
    /// Batches whose gradients are averaged for one update.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Factor on the learning rate of all that stands before the classifier.
    #[serde(skip_serializing_if = "is_one_f64")]
    pub backbone_lr: f64,
    /// Epochs at the start in which only the classifier learns; the rest is frozen, batch normalisation's statistics too.
    #[serde(skip_serializing_if = "is_default")]
    pub freeze_epochs: usize,
}

/// A kind of optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// With momentum (PyTorch's form).
    #[default]
    Sgd,
    /// Loshchilov & Hutter 2019: Adam whose decay is apart from the gradient.
    Adamw,
}

const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

fn are_betas(betas: &(f64, f64)) -> bool {
    *betas == BETAS
}

fn is_epsilon(x: &f64) -> bool {
    *x == EPSILON
}

fn is_one(x: &usize) -> bool {
    *x == 1
}

fn is_one_f64(x: &f64) -> bool {
    *x == 1.0
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Sgd,
            lr: 0.2,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 5e-4,
            decay_norms_and_biases: false,
            betas: BETAS,
            epsilon: EPSILON,
            clip_norm: 0.0,
            accumulate: 1,
            backbone_lr: 1.0,
            freeze_epochs: 0,
        }
    }
}

impl Optimizer {
    pub(super) fn validate(&self, check: Check) -> Result<()> {
        let below_one = |x: f64| (0.0..1.0).contains(&x);
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let at_least_0 = |x: f64| x.is_finite() && x >= 0.0;
        let key = |name: &str| format!("optimizer.{name}");
        check(positive(self.lr), &key("lr"), self.lr.to_string(), "more than 0")?;
        check(below_one(self.momentum), &key("momentum"), self.momentum.to_string(), "0 to below 1")?;
        let decay = (0.0..=1.0).contains(&self.weight_decay);
        check(decay, &key("weight_decay"), self.weight_decay.to_string(), "0 to 1")?;
        let betas = below_one(self.betas.0) && below_one(self.betas.1);
        check(betas, &key("betas"), format!("{:?}", self.betas), "two numbers of 0 to below 1")?;
        check(positive(self.epsilon), &key("epsilon"), self.epsilon.to_string(), "more than 0")?;
        check(at_least_0(self.clip_norm), &key("clip_norm"), self.clip_norm.to_string(), "0 or more")?;
        let batches = (1..=1024).contains(&self.accumulate);
        check(batches, &key("accumulate"), self.accumulate.to_string(), "1 to 1024")?;
        check(at_least_0(self.backbone_lr), &key("backbone_lr"), self.backbone_lr.to_string(), "0 or more")
    }

    /// Returns whether a step of `epoch` (from 0) trains the classifier alone.
    pub fn classifier_alone(&self, epoch: usize) -> bool {
        epoch < self.freeze_epochs || self.backbone_lr == 0.0
    }
}

/// Learning-rate schedule, per step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Linear warm-up from `lr / 25` to `lr`, then a cosine down to zero (after Smith & Topin 2017).
    OneCycle {
        /// Share of the steps spent warming up.
        warmup: f64,
    },
    /// Times `gamma` at each milestone.
    Multistep {
        /// Epochs.
        milestones: Vec<usize>,
        /// Factor.
        gamma: f64,
    },
    /// Linear warm-up from nothing, then a cosine (Loshchilov & Hutter 2017) down to `end` times `lr`.
    Cosine {
        /// Epochs spent warming up.
        warmup_epochs: f64,
        /// Share of the learning rate at the end.
        end: f64,
    },
}

impl Schedule {
    pub(super) fn validate(&self, check: Check) -> Result<()> {
        match self {
            Self::OneCycle { warmup } => {
                check((0.0..1.0).contains(warmup), "schedule.warmup", warmup.to_string(), "0 to below 1")
            }
            Self::Multistep { milestones, gamma } => {
                let share = (0.0..=1.0).contains(gamma);
                check(share, "schedule.gamma", gamma.to_string(), "0 to 1")?;
                let rising = milestones.is_sorted();
                check(rising, "schedule.milestones", format!("{milestones:?}"), "rising epochs")
            }
            Self::Cosine { warmup_epochs, end } => {
                let epochs = (0.0..=100_000.0).contains(warmup_epochs);
                check(epochs, "schedule.warmup_epochs", warmup_epochs.to_string(), "0 to 100000")?;
                check((0.0..=1.0).contains(end), "schedule.end", end.to_string(), "0 to 1")
            }
        }
    }
}
