//! The recipe: every number of a training run, from defaults, a TOML file and `--set key=value`.

mod method;
mod update;

pub use method::{ArchRecipe, Gtn, Kd, KlDirection, Objective};
pub use update::{Optimizer, OptimizerKind, Schedule};

use gtn_core::data::augment::Augment;
use gtn_core::data::split::SplitRule;
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
    /// Whether rare classes weigh more in the cross-entropy.
    #[serde(skip_serializing_if = "is_default")]
    pub class_weights: ClassWeights,
    /// Which images an epoch visits.
    #[serde(skip_serializing_if = "is_default")]
    pub sampling: Sampling,
    /// Evaluations on val without a better top-1 after which training ends; the best evaluation's weights are then what
    /// is saved (0: the last epoch's are, and training goes on to the end).
    #[serde(skip_serializing_if = "is_default")]
    pub patience: usize,
    /// Decay of a running average of the weights, which is what is evaluated and saved (0: the weights themselves).
    /// Young averages forget faster: step t's decay is at most (1 + t) / (10 + t).
    #[serde(skip_serializing_if = "is_default")]
    pub ema: f64,
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

/// Weights of the classes in the cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// All weigh 1.
    #[default]
    None,
    /// n / (k n_c), for n images of k classes and n_c of this one: classes weigh alike in sum. A class without images
    /// weighs 1.
    Balanced,
}

/// How often images have their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Each once an epoch.
    #[default]
    Uniform,
    /// Every class equally often.
    Balanced,
}

/// The recipes that the program brings along, by name.
const NAMED: [(&str, &str); 2] = [
    ("finetune", include_str!("../../recipes/finetune.toml")),
    ("photos", include_str!("../../recipes/photos.toml")),
];

/// What judges one number: whether it is right, its key, what it is, what is wanted.
type Check<'a> = &'a dyn Fn(bool, &str, String, &str) -> Result<()>;

fn is_default<T: Default + PartialEq>(x: &T) -> bool {
    *x == T::default()
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
            class_weights: ClassWeights::None,
            sampling: Sampling::Uniform,
            patience: 0,
            ema: 0.0,
            optimizer: Optimizer::default(),
            schedule: Schedule::OneCycle { warmup: 0.25 },
            augment: Augment::pad_and_flip(2, true),
            kd: Kd::default(),
            gtn: Gtn::default(),
        }
    }
}

impl Recipe {
    /// Defaults, then the recipe called `name`, then `config`, then each `key=value`. The layer with the mistake is
    /// named.
    pub fn resolve(name: Option<&str>, config: Option<&Path>, sets: &[String]) -> Result<Self> {
        let mut layer = match name {
            Some(name) => named(name)?,
            None => Table::new(),
        };
        let place = match config {
            Some(path) => {
                merge(&mut layer, artifact::parse_toml(&artifact::read_text(path)?, path)?);
                path.display().to_string()
            }
            None => name.unwrap_or_default().to_owned(),
        };
        Self::of_layers(layer, &place, sets)
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

    /// How val is cut from the training images.
    pub fn split_rule(&self) -> SplitRule {
        SplitRule { train_images: self.train_images, val_fraction: self.val_fraction }
    }

    /// Checks every number; the error names the key.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, key: &str, found: String, wanted: &str| {
            if ok { Ok(()) } else { Err(Error::usage(format!("recipe: {key} is {found}, wanted {wanted}"))) }
        };
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
        let alone = self.patience == 0 || self.val_fraction > 0.0;
        check(
            alone,
            "patience",
            self.patience.to_string(),
            "0 where val_fraction is 0: there is no val to judge by",
        )?;
        check((0.0..1.0).contains(&self.ema), "ema", self.ema.to_string(), "0 to below 1")?;
        self.augment.validate().map_err(|e| Error::usage(format!("recipe: {e}")))?;
        self.optimizer.validate(&check)?;
        self.schedule.validate(&check)?;
        self.kd.validate(&check)?;
        self.gtn.validate(&check)
    }
}

/// One of the program's own recipes; an unknown name is a usage error.
fn named(name: &str) -> Result<Table> {
    let known = || NAMED.map(|(name, _)| name).join(", ");
    let (_, text) = NAMED
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| Error::usage(format!("unknown recipe `{name}`, wanted one of: {}", known())))?;
    text.parse().map_err(|e| Error::Failed(format!("recipe `{name}`: {e}")))
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
                if key != "schedule" || new.get("kind").is_none() || new.get("kind") == old.get("kind") =>
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
        let r = Recipe::resolve(None, Some(&path), &sets).unwrap();
        assert_eq!((r.epochs, r.optimizer.lr, r.optimizer.momentum), (9, 0.5, 0.9));
        assert_eq!(r.schedule, Schedule::Multistep { milestones: vec![1], gamma: 0.2 });
        let text = toml::to_string(&r).unwrap();
        assert_eq!(toml::from_str::<Recipe>(&text).unwrap(), r);
    }

    #[test]
    fn the_wrong_key_and_its_layer_are_named() {
        let error = Recipe::resolve(None, None, &["optimizer.lrr=1".into()]).unwrap_err().to_string();
        assert!(
            error.starts_with("--set optimizer.lrr=1: ") && error.contains("unknown field `lrr`"),
            "{error}"
        );
        let error = Recipe::resolve(None, None, &["epochs=many".into()]).unwrap_err().to_string();
        assert!(error.contains("--set epochs=many") && error.contains("invalid type"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.toml");
        std::fs::write(&path, "epoch = 7\n").unwrap();
        let error = Recipe::resolve(None, Some(&path), &[]).unwrap_err().to_string();
        assert!(error.contains("r.toml") && error.contains("unknown field `epoch`"), "{error}");
        let bad = Recipe { epochs: 0, ..Recipe::default() };
        assert_eq!(bad.validate().unwrap_err().to_string(), "recipe: epochs is 0, wanted 1 to 100000");
    }

    /// A run's record holds no key that was not there when the program knew fewer.
    #[test]
    fn new_keys_are_written_where_they_say_something() {
        let old = toml::to_string(&Recipe::default()).unwrap();
        for key in
            ["class_weights", "sampling", "patience", "ema", "kind = \"sgd\"", "betas", "accumulate", "crop"]
        {
            assert!(!old.contains(key), "{key}: {old}");
        }
        for (name, _) in NAMED {
            let recipe = Recipe::resolve(Some(name), None, &[]).unwrap();
            recipe.validate().unwrap();
            let text = toml::to_string(&recipe).unwrap();
            assert_eq!(toml::from_str::<Recipe>(&text).unwrap(), recipe, "{name}");
        }
        let error = Recipe::resolve(Some("nosuch"), None, &[]).unwrap_err().to_string();
        assert!(error.contains("unknown recipe `nosuch`, wanted one of: finetune, photos"), "{error}");
    }

    #[test]
    fn wrong_numbers_are_named() {
        for (set, wanted) in [
            ("patience=3 val_fraction=0", "patience is 3"),
            ("ema=1", "ema is 1, wanted 0 to below 1"),
            ("optimizer.betas=[0.9,1.0]", "optimizer.betas is (0.9, 1.0)"),
            ("optimizer.accumulate=0", "optimizer.accumulate is 0"),
            ("optimizer.clip_norm=nan", "optimizer.clip_norm is NaN"),
            ("optimizer.backbone_lr=-1", "optimizer.backbone_lr is -1"),
            ("augment.crop.scale=[0.5,0.1]", "crop scale is 0.5 to 0.1"),
            ("augment.mix.cutmix=-1", "mixup and cutmix are"),
        ] {
            let sets: Vec<String> = set.split(' ').map(str::to_owned).collect();
            let sets =
                if set.contains("crop") { [sets, vec!["augment.pad=0".into()]].concat() } else { sets };
            let error = Recipe::resolve(None, None, &sets).and_then(|r| r.validate()).unwrap_err();
            assert!(error.to_string().contains(wanted) && error.exit_code() == 2, "{set}: {error}");
        }
    }
}
