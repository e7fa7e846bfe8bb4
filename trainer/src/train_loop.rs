//! The loop that every method shares: batch, loss, backward, update, record, checkpoint.

use crate::checkpoint::{self, State};
use crate::evaluate::evaluate;
use crate::learner::{At, Learner};
use crate::loader::{Loader, Source};
use crate::recipe::Recipe;
use crate::run_dir::RunDir;
use crate::schedule;
use crate::sgd::Sgd;
use gtn_core::data::ImageSet;
use gtn_core::progress::Progress;
use gtn_core::signals::Signals;
use gtn_core::{Error, Result};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::{Device, Tensor};

/// Seconds between checkpoints: what a kill can lose.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// Steps whose losses are fetched from the device at once.
const FLUSH_EVERY: usize = 16;

/// One training run.
pub struct Training<'a> {
    /// What is trained.
    pub learner: &'a mut dyn Learner,
    /// Where batches come from.
    pub source: Arc<Source>,
    /// Evaluated now and then; may be empty.
    pub val: &'a ImageSet,
    /// All numbers.
    pub recipe: &'a Recipe,
    /// Where it computes.
    pub device: Device,
    /// For the progress bar.
    pub label: &'a str,
}

/// How a run ended.
pub struct Outcome {
    /// The state at the last step.
    pub state: State,
    /// Epochs begun (fewer than the recipe's where max_steps ended it).
    pub epochs: usize,
}

struct Pending {
    step: usize,
    lr: f64,
    names: Vec<String>,
    values: Tensor,
}

impl Training<'_> {
    /// Trains to the end; with `resume` from the latest checkpoint. SIGINT and SIGTERM save first.
    pub fn run(&mut self, dir: &mut RunDir, resume: bool, signals: &Signals) -> Result<Outcome> {
        let mut sgd = Sgd::new(self.recipe.optimizer.clone(), self.learner.params());
        let saved =
            if resume { checkpoint::load(&dir.path, self.learner.params_mut(), &mut sgd)? } else { None };
        let mut state = match saved {
            Some(state) => {
                self.learner.restore(state.learner.clone())?;
                state
            }
            None => State::start(),
        };
        dir.rewind(state.step, state.loss_bytes)?;
        let per_epoch = self.source.steps_per_epoch();
        let mut loader = Loader::start(Arc::clone(&self.source), state.step, self.device)?;
        let steps = match self.recipe.max_steps {
            0 => self.recipe.epochs * per_epoch,
            limit => limit.min(self.recipe.epochs * per_epoch),
        };
        let mut clock = Clock::start(state.seconds);
        let mut bar = Progress::new(self.label, steps as u64);
        let mut pending: Vec<Pending> = Vec::new();
        while state.step < steps {
            let lr = self.recipe.optimizer.lr
                * schedule::factor(&self.recipe.schedule, state.step, steps, per_epoch);
            let at = At { step: state.step, steps, per_epoch };
            pending.push(self.step(&mut sgd, &mut loader, at, lr)?);
            state.step += 1;
            clock.images += self.source.batch_size;
            let epoch_ends = state.step.is_multiple_of(per_epoch);
            let signal = signals.received();
            let save = epoch_ends || signal.is_some() || clock.since_save.elapsed() > CHECKPOINT_EVERY;
            if save || pending.len() == FLUSH_EVERY || state.step == steps {
                let loss = record(dir, &mut pending, per_epoch)?;
                bar.tick(state.step as u64, &clock.message(state.step, per_epoch, self.recipe.epochs, loss));
            }
            if epoch_ends {
                self.end_epoch(dir, &mut state, per_epoch, &clock)?;
            }
            if save {
                state.seconds = clock.seconds();
                state.loss_bytes = dir.loss_bytes()?;
                state.learner = self.learner.state();
                checkpoint::save(&dir.path, self.learner.params(), &sgd, &state)?;
                clock.since_save = Instant::now();
            }
            if let Some(signal) = signal {
                return Err(Error::Interrupted(signal));
            }
        }
        state.seconds = clock.seconds();
        bar.finish(&format!("{steps} steps, {:.0} s", state.seconds));
        let epochs = steps.div_ceil(per_epoch);
        Ok(Outcome { state, epochs })
    }

    fn step(&mut self, sgd: &mut Sgd, loader: &mut Loader, at: At, lr: f64) -> Result<Pending> {
        let batch = loader.next()?;
        let step = self.learner.step(&batch, at)?;
        let losses = &step.losses;
        let Some((_, total)) = losses.first() else {
            return Err(Error::Failed("no loss to minimise".into()));
        };
        total.backward();
        sgd.step(self.learner.params(), step.active.as_deref(), lr);
        let names = losses.iter().map(|(name, _)| name.clone()).collect();
        let values: Vec<Tensor> = losses.iter().map(|(_, t)| t.detach().view(-1)).collect();
        Ok(Pending { step: at.step, lr, names, values: Tensor::cat(&values, 0) })
    }

    fn end_epoch(
        &mut self,
        dir: &mut RunDir,
        state: &mut State,
        per_epoch: usize,
        clock: &Clock,
    ) -> Result<()> {
        let epoch = state.step / per_epoch;
        if !self.val.is_empty()
            && (epoch.is_multiple_of(self.recipe.eval_every) || epoch == self.recipe.epochs)
        {
            let mut line = json!({"epoch": epoch});
            let networks = self.learner.networks();
            state.best_val_top1.resize(networks.len(), 0.0);
            for (i, (runner, best)) in networks.iter().zip(&mut state.best_val_top1).enumerate() {
                let net = (*runner, self.learner.params());
                let val = evaluate(net, self.val, &self.source.preprocess, self.device)?;
                *best = best.max(val.top1);
                let key = |what: &str| if networks.len() == 1 { what.into() } else { format!("{what}.{i}") };
                line[key("val_top1")] = json!(val.top1);
                line[key("val_top5")] = json!(val.top5);
            }
            dir.loss_line(&line)?;
        }
        if let Some(mut record) = self.learner.record() {
            record["epoch"] = json!(epoch);
            dir.loss_line(&record)?;
        }
        dir.log_line(&json!({
            "epoch": epoch, "step": state.step, "seconds": clock.seconds(), "images_per_s": clock.rate(),
        }))
    }
}

/// Writes the pending losses; a loss that is not finite ends the run. Returns the last total.
fn record(dir: &mut RunDir, pending: &mut Vec<Pending>, per_epoch: usize) -> Result<f64> {
    let mut last = 0.0;
    for p in pending.drain(..) {
        let values = crate::params::to_vec(&p.values)?;
        let mut line = json!({"step": p.step + 1, "lr": p.lr});
        for (name, value) in p.names.iter().zip(&values) {
            line[name.as_str()] = json!(value);
            if !value.is_finite() {
                return Err(Error::Failed(format!(
                    "training diverged: {name} is {value} at step {} (epoch {}, learning rate {:.4}); try a lower \
                     optimizer.lr or a longer schedule.warmup. The last checkpoint is kept",
                    p.step + 1,
                    p.step / per_epoch + 1,
                    p.lr
                )));
            }
        }
        dir.loss_line(&line)?;
        last = f64::from(values.first().copied().unwrap_or(0.0));
    }
    Ok(last)
}

/// Time and speed of this process's part of the run.
struct Clock {
    start: Instant,
    before: f64,
    images: usize,
    since_save: Instant,
}

impl Clock {
    fn start(before: f64) -> Self {
        Self { start: Instant::now(), before, images: 0, since_save: Instant::now() }
    }

    fn seconds(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }

    fn rate(&self) -> f64 {
        self.images as f64 / self.start.elapsed().as_secs_f64().max(1e-9)
    }

    fn message(&self, step: usize, per_epoch: usize, epochs: usize, loss: f64) -> String {
        let epoch = (step.max(1) - 1) / per_epoch + 1;
        format!("epoch {epoch}/{epochs}  loss {loss:.4}  {:.0} img/s", self.rate())
    }
}
