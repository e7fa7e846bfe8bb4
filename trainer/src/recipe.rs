//! The recipe: every number of a training run, from defaults, a TOML file and `--set key=value`.

use gtn_core::data::augment::Augment;
use gtn_core::io::artifact;
use gtn_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Table, Value};

/// All of it. `config.toml` in a run's folder holds the resolved one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// Seed of initial weights, order, augmentation and paths (the val split has a fixed one of its own).
    pub seed: u64,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step; the last, smaller batch of an epoch is dropped.
    pub batch_size: usize,
    /// Training images taken before val is cut, equally many of each class (0: all).
    pub train_images: usize,
    /// Share of train that becomes val.
    pub val_fraction: f64,
    /// Of the cross-entropy's targets.
    pub label_smoothing: f64,
    /// Epochs between evaluations on val.
    pub eval_every: usize,
    /// Stop after this many steps (0: no limit); for trials.
    pub max_steps: usize,
    /// How weights are updated.
    pub optimizer: Optimizer,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// What is done to training images.
    pub augment: Augment,
    /// Knowledge distillation's weights.
    pub kd: Kd,
    /// The generic teacher's.
    pub gtn: Gtn,
}

/// SGD.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimizer {
    /// Peak (one-cycle) or initial (multistep) learning rate.
    pub lr: f64,
    /// Of the velocity.
    pub momentum: f64,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
    /// L2 penalty's gradient factor.
    pub weight_decay: f64,
    /// Whether batch normalisation's scale and shift, and biases, decay too.
    pub decay_norms_and_biases: bool,
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
}

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

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 20,
            batch_size: 128,
            train_images: 0,
            val_fraction: 0.1,
            label_smoothing: 0.0,
            eval_every: 1,
            max_steps: 0,
            optimizer: Optimizer::default(),
            schedule: Schedule::OneCycle { warmup: 0.25 },
            augment: Augment { pad: 2, flip: true },
            kd: Kd::default(),
            gtn: Gtn::default(),
        }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Self { lr: 0.2, momentum: 0.9, nesterov: true, weight_decay: 5e-4, decay_norms_and_biases: false }
    }
}

impl Default for Kd {
    fn default() -> Self {
        Self { alpha: 0.9, temperature: 4.0, dkd_alpha: 1.0, dkd_beta: 8.0, dkd_warmup: 20.0 }
    }
}

impl Recipe {
    /// Defaults, then `config`, then each `key=value`. The layer with the mistake is named.
    pub fn resolve(config: Option<&Path>, sets: &[String]) -> Result<Self> {
        let Some(path) = config else { return Self::of_layers(Table::new(), "", sets) };
        let layer = artifact::parse_toml(&artifact::read_text(path)?, path)?;
        Self::of_layers(layer, &path.display().to_string(), sets)
    }

    /// Defaults, then `layer` (`place` is what it is called in messages), then each `key=value`.
    pub fn of_layers(layer: Table, place: &str, sets: &[String]) -> Result<Self> {
        let mut table = to_table(&Self::default())?;
        merge(&mut table, layer);
        let mut recipe = from_table(&table).map_err(|e| Error::usage(format!("{place}: {e}")))?;
        for set in sets {
            let layer = parse_set(set)?;
            merge(&mut table, layer);
            recipe = from_table(&table).map_err(|e| Error::usage(format!("--set {set}: {e}")))?;
        }
        Ok(recipe)
    }

    /// Checks every number; the error names the key.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, key: &str, found: String, wanted: &str| {
            if ok { Ok(()) } else { Err(Error::usage(format!("recipe: {key} is {found}, wanted {wanted}"))) }
        };
        let o = &self.optimizer;
        let share = |x: f64| (0.0..=1.0).contains(&x);
        check((1..=100_000).contains(&self.epochs), "epochs", self.epochs.to_string(), "1 to 100000")?;
        check(
            (2..=65_536).contains(&self.batch_size),
            "batch_size",
            self.batch_size.to_string(),
            "2 to 65536",
        )?;
        check(
            (0.0..=0.5).contains(&self.val_fraction),
            "val_fraction",
            self.val_fraction.to_string(),
            "0 to 0.5",
        )?;
        check(share(self.label_smoothing), "label_smoothing", self.label_smoothing.to_string(), "0 to 1")?;
        check(self.eval_every > 0, "eval_every", self.eval_every.to_string(), "1 or more")?;
        check(self.augment.pad <= 64, "augment.pad", self.augment.pad.to_string(), "0 to 64")?;
        check(o.lr.is_finite() && o.lr > 0.0, "optimizer.lr", o.lr.to_string(), "more than 0")?;
        check(
            (0.0..1.0).contains(&o.momentum),
            "optimizer.momentum",
            o.momentum.to_string(),
            "0 to below 1",
        )?;
        check(share(o.weight_decay), "optimizer.weight_decay", o.weight_decay.to_string(), "0 to 1")?;
        check(share(self.kd.alpha), "kd.alpha", self.kd.alpha.to_string(), "0 to 1")?;
        let t = self.kd.temperature;
        check((0.01..=1000.0).contains(&t), "kd.temperature", t.to_string(), "0.01 to 1000")?;
        let positive = |x: f64| x.is_finite() && x >= 0.0;
        for (key, x) in [
            ("dkd_alpha", self.kd.dkd_alpha),
            ("dkd_beta", self.kd.dkd_beta),
            ("dkd_warmup", self.kd.dkd_warmup),
        ] {
            check(positive(x), &format!("kd.{key}"), x.to_string(), "0 or more")?;
        }
        self.gtn.validate(&check)?;
        match &self.schedule {
            Schedule::OneCycle { warmup } => {
                check((0.0..1.0).contains(warmup), "schedule.warmup", warmup.to_string(), "0 to below 1")
            }
            Schedule::Multistep { milestones, gamma } => {
                check(share(*gamma), "schedule.gamma", gamma.to_string(), "0 to 1")?;
                let rising = milestones.is_sorted();
                check(rising, "schedule.milestones", format!("{milestones:?}"), "rising epochs")
            }
        }
    }
}

impl Gtn {
    fn validate(&self, check: &dyn Fn(bool, &str, String, &str) -> Result<()>) -> Result<()> {
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

fn to_table(recipe: &Recipe) -> Result<Table> {
    Table::try_from(recipe).map_err(|e| Error::Failed(format!("recipe: {e}")))
}

fn from_table(table: &Table) -> std::result::Result<Recipe, String> {
    table.clone().try_into::<Recipe>().map_err(|e| e.to_string().trim_end().replace('\n', " "))
}

/// Tables merge key by key; anything else replaces. A schedule of another kind replaces whole, since
/// its keys differ.
pub fn merge(base: &mut Table, layer: Table) {
    for (key, value) in layer {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new))
                if new.get("kind").is_none() || new.get("kind") == old.get("kind") =>
            {
                merge(old, new);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// `a.b=value` to a nested table; a value that is not TOML is taken as text.
fn parse_set(set: &str) -> Result<Table> {
    let (key, value) = set
        .split_once('=')
        .filter(|(k, _)| !k.trim().is_empty())
        .ok_or_else(|| Error::usage(format!("--set {set}: wanted key=value")))?;
    let value = format!("x = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut t| t.remove("x"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    let nested = key
        .trim()
        .rsplit('.')
        .fold(value, |inner, part| Value::Table(Table::from_iter([(part.to_owned(), inner)])));
    match nested {
        Value::Table(table) => Ok(table),
        _ => Err(Error::usage(format!("--set {set}: wanted key=value"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_override_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.toml");
        std::fs::write(
            &path,
            "epochs = 7\n[schedule]\nkind = \"multistep\"\nmilestones = [1]\ngamma = 0.1\n",
        )
        .unwrap();
        let sets = ["optimizer.lr=0.5".to_owned(), "epochs=9".to_owned(), "schedule.gamma=0.2".to_owned()];
        let r = Recipe::resolve(Some(&path), &sets).unwrap();
        assert_eq!((r.epochs, r.optimizer.lr, r.optimizer.momentum), (9, 0.5, 0.9));
        assert_eq!(r.schedule, Schedule::Multistep { milestones: vec![1], gamma: 0.2 });
        let text = toml::to_string(&r).unwrap();
        assert_eq!(toml::from_str::<Recipe>(&text).unwrap(), r);
    }

    #[test]
    fn the_wrong_key_and_its_layer_are_named() {
        let error = Recipe::resolve(None, &["optimizer.lrr=1".into()]).unwrap_err().to_string();
        assert!(
            error.starts_with("--set optimizer.lrr=1: ") && error.contains("unknown field `lrr`"),
            "{error}"
        );
        let error = Recipe::resolve(None, &["epochs=many".into()]).unwrap_err().to_string();
        assert!(error.contains("--set epochs=many") && error.contains("invalid type"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.toml");
        std::fs::write(&path, "epoch = 7\n").unwrap();
        let error = Recipe::resolve(Some(&path), &[]).unwrap_err().to_string();
        assert!(error.contains("r.toml") && error.contains("unknown field `epoch`"), "{error}");
        let bad = Recipe { epochs: 0, ..Recipe::default() };
        assert_eq!(bad.validate().unwrap_err().to_string(), "recipe: epochs is 0, wanted 1 to 100000");
    }
}
