//! Numbers of the methods: distillation, the generic teacher, its architecture distribution.

use super::Check;
use gtn_core::Result;
use serde::{Deserialize, Serialize};

/// L = (1 - alpha) CE + alpha T^2 KL(teacher || student) (Hinton et al. 2015).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kd {
    /// Weight of the teacher.
    pub alpha: f64,
    /// T.
    pub temperature: f64,
    /// DKD: weight of TCKD.
    pub dkd_alpha: f64,
    /// DKD: weight of NCKD (8 for CIFAR-100's resnet32x4 -> resnet8x4 in the paper).
    pub dkd_beta: f64,
    /// DKD: epochs over which its weight rises to 1.
    pub dkd_warmup: f64,
}

/// The generic teacher's losses (DESIGN: the form follows SFTN, Park et al. 2021).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gtn {
    /// Weight of a branch's KL.
    pub w_kl: f64,
    /// Weight of a branch's cross-entropy.
    pub w_ce: f64,
    /// Temperature of a branch's KL.
    pub tau: f64,
    /// w_0, weight of branch 0: the whole path from the image. 0 is the SFTN form.
    pub w_0: f64,
    /// Paths drawn for each batch.
    pub paths: usize,
    /// Which way the branches' KL is taken.
    pub kl_direction: KlDirection,
    /// Whether z_T is a constant in the branches' KL.
    pub kl_detach_teacher: bool,
    /// Share of the steps in which the branches learn and the teacher is not pulled; over the same share
    /// again the pull rises from 0 to 1.
    pub cond_warmup: f64,
    /// The architecture distribution.
    pub arch: ArchRecipe,
}

/// Direction of the branches' KL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlDirection {
    /// KL(branch || teacher), as SFTN prints it.
    BranchTeacher,
    /// KL(teacher || branch), as distillation takes it.
    TeacherBranch,
}

impl Default for Gtn {
    fn default() -> Self {
        Self {
            w_kl: 3.0,
            w_ce: 1.0,
            tau: 1.0,
            w_0: 1.0,
            paths: 1,
            kl_direction: KlDirection::BranchTeacher,
            kl_detach_teacher: false,
            cond_warmup: 0.0,
            arch: ArchRecipe::default(),
        }
    }
}

/// What theta is trained towards (ours: the paper's text beyond its abstract was not at hand).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Paths of low conditioning loss: the students that follow the teacher best.
    Min,
    /// Paths of high conditioning loss: the students that the teacher serves worst.
    Max,
    /// Theta stays at zero: uniform over depths, then over choices.
    None,
}

/// Numbers of the distribution and its training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchRecipe {
    /// min, max or none.
    pub objective: Objective,
    /// eps: every choice keeps at least eps / K.
    pub floor: f64,
    /// Adam's learning rate.
    pub lr: f64,
    /// w_H, weight of the entropy.
    pub entropy: f64,
    /// MACs bins with a baseline each.
    pub baseline_bins: usize,
    /// Share of the old baseline that each new loss leaves.
    pub baseline_decay: f64,
}

impl Default for ArchRecipe {
    fn default() -> Self {
        Self {
            objective: Objective::Min,
            floor: 0.1,
            lr: 0.01,
            entropy: 0.01,
            baseline_bins: 8,
            baseline_decay: 0.95,
        }
    }
}

impl Default for Kd {
    fn default() -> Self {
        Self { alpha: 0.9, temperature: 4.0, dkd_alpha: 1.0, dkd_beta: 8.0, dkd_warmup: 20.0 }
    }
}

impl Gtn {
    pub(super) fn validate(&self, check: Check) -> Result<()> {
        for (key, x) in
            [("w_kl", self.w_kl), ("w_ce", self.w_ce), ("w_0", self.w_0), ("arch.entropy", self.arch.entropy)]
        {
            check(x.is_finite() && x >= 0.0, &format!("gtn.{key}"), x.to_string(), "0 or more")?;
        }
        check((0.01..=1000.0).contains(&self.tau), "gtn.tau", self.tau.to_string(), "0.01 to 1000")?;
        check((1..=64).contains(&self.paths), "gtn.paths", self.paths.to_string(), "1 to 64")?;
        let half = (0.0..=0.5).contains(&self.cond_warmup);
        check(half, "gtn.cond_warmup", self.cond_warmup.to_string(), "0 to 0.5")?;
        let a = &self.arch;
        check((0.0..=1.0).contains(&a.floor), "gtn.arch.floor", a.floor.to_string(), "0 to 1")?;
        check(a.lr.is_finite() && a.lr > 0.0, "gtn.arch.lr", a.lr.to_string(), "more than 0")?;
        check(
            (1..=64).contains(&a.baseline_bins),
            "gtn.arch.baseline_bins",
            a.baseline_bins.to_string(),
            "1 to 64",
        )?;
        let decay = (0.0..1.0).contains(&a.baseline_decay);
        check(decay, "gtn.arch.baseline_decay", a.baseline_decay.to_string(), "0 to below 1")
    }
}

impl Kd {
    pub(super) fn validate(&self, check: Check) -> Result<()> {
        check((0.0..=1.0).contains(&self.alpha), "kd.alpha", self.alpha.to_string(), "0 to 1")?;
        let t = self.temperature;
        check((0.01..=1000.0).contains(&t), "kd.temperature", t.to_string(), "0.01 to 1000")?;
        let positive = |x: f64| x.is_finite() && x >= 0.0;
        for (key, x) in
            [("dkd_alpha", self.dkd_alpha), ("dkd_beta", self.dkd_beta), ("dkd_warmup", self.dkd_warmup)]
        {
            check(positive(x), &format!("kd.{key}"), x.to_string(), "0 or more")?;
        }
        Ok(())
    }
}
