//! Checkpoints: `ckpt/step-N/` (weights, velocities, state) and `ckpt/LATEST`, which is written last,
//! so that a kill at any moment leaves the previous one in force.

use crate::engine::kept::Kept;
use crate::engine::optimizer::Optimizer;
use crate::engine::params::Params;
use gtn_core::io::artifact;
use gtn_core::io::tensors::{Tensor, TensorMap};
use gtn_core::ir::graph::ParamSpec;
use gtn_core::ir::weights::Weights;
use gtn_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SCHEMA: &str = "gtn.checkpoint/1";

/// Everything but tensors. Randomness is a function of (seed, step), so no generator is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// [`SCHEMA`].
    pub schema: String,
    /// Steps done.
    pub step: usize,
    /// Length of loss.jsonl at that moment; resuming cuts it back to this.
    pub loss_bytes: u64,
    /// Best val top-1 of any epoch so far, of each network that is followed.
    pub best_val_top1: Vec<f64>,
    /// What the learner keeps beside its tensors.
    pub learner: serde_json::Value,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Updates of the weights (fewer than steps where gradients are accumulated).
    #[serde(default)]
    pub updates: usize,
    /// Evaluations since the best, of each network that is followed; empty without `patience`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub since_best: Vec<usize>,
    /// Of several networks those that have left the run, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub diverged: BTreeMap<usize, String>,
}

impl State {
    /// At the start of a run.
    pub fn start() -> Self {
        Self {
            schema: SCHEMA.into(),
            step: 0,
            loss_bytes: 0,
            best_val_top1: Vec::new(),
            learner: serde_json::Value::Null,
            seconds: 0.0,
            updates: 0,
            since_best: Vec::new(),
            diverged: BTreeMap::new(),
        }
    }
}

fn folder(run: &Path) -> PathBuf {
    run.join("ckpt")
}

/// Saves and makes it the latest; older ones are removed.
pub fn save(run: &Path, params: &Params, optimizer: &Optimizer, kept: &Kept, state: &State) -> Result<()> {
    let dir = folder(run);
    let name = format!("step-{}", state.step);
    let target = dir.join(&name);
    let temp = dir.join(format!(".{name}.tmp"));
    if temp.exists() {
        std::fs::remove_dir_all(&temp).map_err(|e| Error::io(&temp, "remove", e))?;
    }
    artifact::create_dir(&dir)?;
    artifact::create_new_dir(&temp)?;
    write(&temp.join("weights.safetensors"), &params.specs, &params.weights()?)?;
    write(&temp.join("velocity.safetensors"), &optimizer.specs(params), &optimizer.state(params)?)?;
    for (name, weights) in kept.named() {
        write(&temp.join(format!("{name}.safetensors")), &weights.specs, &weights.weights()?)?;
    }
    artifact::write_json(&temp.join("state.json"), state)?;
    artifact::publish_dir(&temp, &target)?;
    artifact::write_atomic(&dir.join("LATEST"), name.as_bytes())?;
    for entry in std::fs::read_dir(&dir).map_err(|e| Error::io(&dir, "read", e))? {
        let path = entry.map_err(|e| Error::io(&dir, "read", e))?.path();
        if path.is_dir() && path != target {
            std::fs::remove_dir_all(&path).map_err(|e| Error::io(&path, "remove", e))?;
        }
    }
    Ok(())
}

fn write(path: &Path, specs: &[ParamSpec], weights: &Weights) -> Result<()> {
    let mut map = TensorMap::default();
    for spec in specs {
        let values = weights.get(&spec.name)?;
        if let Some(odd) = values.iter().find(|x| !x.is_finite()) {
            return Err(Error::Failed(format!(
                "{}: not written: `{}` holds {odd}",
                path.display(),
                spec.name
            )));
        }
        map.insert(&spec.name, Tensor::f32(&spec.shape, values.to_vec()));
    }
    map.write(path)
}

/// The latest checkpoint's name (`step-N`), if there is one.
pub fn latest(run: &Path) -> Result<Option<String>> {
    let latest = folder(run).join("LATEST");
    if !latest.exists() {
        return Ok(None);
    }
    let name = artifact::read_text(&latest)?;
    if name.contains(['/', '\\']) || !name.starts_with("step-") {
        return Err(Error::input(&latest, format!("holds `{name}`, wanted step-N")));
    }
    Ok(Some(name))
}

/// Restores the latest checkpoint into `params`, `optimizer` and `kept`; `None` if the run has none yet.
pub fn load(
    run: &Path,
    params: &mut Params,
    optimizer: &mut Optimizer,
    kept: &mut Kept,
) -> Result<Option<State>> {
    let Some(name) = latest(run)? else { return Ok(None) };
    let dir = folder(run).join(name);
    let state: State = artifact::read_schema(&dir.join("state.json"), SCHEMA)?;
    let path = dir.join("weights.safetensors");
    params.set_weights(&Weights::from_map(TensorMap::read(&path)?, &params.specs, &path)?)?;
    let path = dir.join("velocity.safetensors");
    let moments = Weights::from_map(TensorMap::read(&path)?, &optimizer.specs(params), &path)?;
    optimizer.restore(params, &moments)?;
    for (name, weights) in kept.named_mut() {
        let path = dir.join(format!("{name}.safetensors"));
        weights.set_weights(&Weights::from_map(TensorMap::read(&path)?, &params.specs, &path)?)?;
    }
    Ok(Some(state))
}

/// Removes all checkpoints (the run is finished and its weights are saved).
pub fn clear(run: &Path) -> Result<()> {
    let dir = folder(run);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(|e| Error::io(&dir, "remove", e))?;
    }
    Ok(())
}
