//! The loop that every method shares: batch, loss, backward, update, record, checkpoint.

use crate::engine::checkpoint;
use crate::engine::checkpoint::State;
use crate::engine::evaluate::evaluate;
use crate::engine::kept::Kept;
use crate::engine::learner::{At, Learner};
use crate::engine::loader::{Loader, Source};
use crate::engine::optimizer::Optimizer;
use crate::engine::params::to_vec;
use crate::engine::run_dir::RunDir;
use crate::engine::schedule;
use crate::recipe::Recipe;
use gtn_core::data::ImageSet;
use gtn_core::program::exit;
use gtn_core::program::progress::Progress;
use gtn_core::program::signals::Signals;
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
    ///
    /// A number that is not finite (a loss, a weight, a logit on val) ends the run with an error that names
    /// it and the step, and is in no checkpoint; of several networks the one that it belongs to leaves the
    /// run, and the others go on as they would alone.
    pub fn run(&mut self, dir: &mut RunDir, resume: bool, signals: &Signals) -> Result<Outcome> {
        let params = self.learner.params();
        let mut moving = Moving {
            optimizer: Optimizer::new(self.recipe.optimizer.clone(), params),
            kept: Kept::new(self.recipe, params),
            active: None,
        };
        let mut state = self.restore(dir, resume, &mut moving)?;
        let per_epoch = self.source.steps_per_epoch();
        let mut loader = Loader::start(Arc::clone(&self.source), state.step, self.device)?;
        let steps = match self.recipe.max_steps {
            0 => self.recipe.epochs * per_epoch,
            limit => limit.min(self.recipe.epochs * per_epoch),
        };
        let mut clock = Clock::start(state.seconds);
        let mut bar = Progress::new(self.label, steps as u64);
        let mut pending: Vec<Pending> = Vec::new();
        while state.step < steps && !self.is_done(&state) {
            let lr = self.recipe.optimizer.lr
                * schedule::factor(&self.recipe.schedule, state.step, steps, per_epoch);
            let at = At { step: state.step, steps, per_epoch };
            let loss = self.step(&mut moving, &mut loader, at, lr)?;
            pending.push(loss);
            state.step += 1;
            clock.images += self.source.batch_size;
            let epoch_ends = state.step.is_multiple_of(per_epoch);
            let updates = updates(at, self.recipe.optimizer.accumulate);
            if updates {
                self.update(&mut moving, &mut state, lr);
            }
            let signal = signals.received().filter(|_| updates);
            // Gradients that are still gathered are in no checkpoint.
            let save =
                updates && (epoch_ends || signal.is_some() || clock.since_save.elapsed() > CHECKPOINT_EVERY);
            if save || pending.len() == FLUSH_EVERY || state.step == steps {
                let loss = self.record(dir, &mut pending, &mut state, per_epoch)?;
                self.judge_tensors(dir, &mut state, &mut moving)?;
                bar.tick(state.step as u64, &clock.message(state.step, per_epoch, self.recipe.epochs, loss));
            }
            if epoch_ends {
                self.end_epoch(dir, &mut state, &mut moving, (per_epoch, &clock))?;
                self.leave(&state, &mut moving);
            }
            if save {
                state.seconds = clock.seconds();
                state.loss_bytes = dir.loss_bytes()?;
                state.learner = self.learner.state();
                let Moving { optimizer, kept, .. } = &moving;
                checkpoint::save(&dir.path, self.learner.params(), optimizer, kept, &state)?;
                clock.since_save = Instant::now();
            }
            if let Some(signal) = signal {
                return Err(Error::Interrupted(signal));
            }
        }
        if !state.step.is_multiple_of(per_epoch) {
            dir.log_pace(state.step / per_epoch, state.step, (clock.seconds(), clock.rate()))?;
        }
        state.seconds = clock.seconds();
        bar.finish(&format!("{} steps, {:.0} s", state.step, state.seconds));
        moving.kept.replace(self.learner.params_mut());
        let epochs = state.step.div_ceil(per_epoch);
        Ok(Outcome { state, epochs })
    }

    /// Whether patience has run out for every network that is there.
    fn is_done(&self, state: &State) -> bool {
        let there = || state.since_best.iter().enumerate().filter(|(i, _)| !state.diverged.contains_key(i));
        self.recipe.patience > 0
            && there().next().is_some()
            && there().all(|(_, &since)| since >= self.recipe.patience)
    }

    /// The latest checkpoint's state, or the start's.
    fn restore(&mut self, dir: &mut RunDir, resume: bool, moving: &mut Moving) -> Result<State> {
        let Moving { optimizer, kept, .. } = &mut *moving;
        let saved = match resume {
            true => checkpoint::load(&dir.path, self.learner.params_mut(), optimizer, kept)?,
            false => None,
        };
        let state = match saved {
            Some(state) => {
                self.learner.restore(state.learner.clone())?;
                state
            }
            None => State::start(),
        };
        self.leave(&state, moving);
        dir.rewind(state.step, state.loss_bytes)?;
        Ok(state)
    }

    fn step(&mut self, moving: &mut Moving, loader: &mut Loader, at: At, lr: f64) -> Result<Pending> {
        let batch = loader.next()?;
        let step = self.learner.step(&batch, at)?;
        let losses = &step.losses;
        let Some((_, total)) = losses.first() else {
            return Err(Error::Failed("no loss to minimise".into()));
        };
        match self.recipe.optimizer.accumulate {
            1 => total.backward(),
            batches => (total / batches as f64).backward(),
        }
        moving.takes_part(step.active);
        let names = losses.iter().map(|(name, _)| name.clone()).collect();
        let values: Vec<Tensor> = losses.iter().map(|(_, t)| t.detach().view(-1)).collect();
        Ok(Pending { step: at.step, lr, names, values: Tensor::cat(&values, 0) })
    }

    fn update(&mut self, moving: &mut Moving, state: &mut State, lr: f64) {
        let active = moving.active.take().flatten();
        moving.optimizer.step(self.learner.params(), active.as_deref(), lr);
        moving.kept.follow(self.learner.params(), state.updates);
        state.updates += 1;
    }

    fn end_epoch(
        &mut self,
        dir: &mut RunDir,
        state: &mut State,
        moving: &mut Moving,
        (per_epoch, clock): (usize, &Clock),
    ) -> Result<()> {
        let epoch = state.step / per_epoch;
        if !self.val.is_empty()
            && (epoch.is_multiple_of(self.recipe.eval_every) || epoch == self.recipe.epochs)
        {
            let mut line = json!({"epoch": epoch});
            let networks = self.learner.networks();
            let count = networks.len();
            state.best_val_top1.resize(count, 0.0);
            if self.recipe.patience > 0 {
                state.since_best.resize(count, 0);
            }
            let mut odd = Vec::new();
            for (i, runner) in
                networks.into_iter().enumerate().filter(|(i, _)| !state.diverged.contains_key(i))
            {
                let net = (runner, moving.kept.judged(self.learner.params()));
                let val = match evaluate(net, self.val, &self.source.preprocess, self.device)? {
                    Ok(val) => val,
                    Err(e) => {
                        odd.push((i, format!("on val, {e} after step {} (epoch {epoch})", state.step)));
                        continue;
                    }
                };
                let best = state.best_val_top1.get(i).copied().unwrap_or(0.0);
                // The first evaluation is better than none. All are finite: shares of images.
                let first = best == 0.0 && state.since_best.get(i) == Some(&0);
                if let Some(since) = state.since_best.get_mut(i) {
                    *since = if val.top1 > best || first { 0 } else { *since + 1 };
                }
                if val.top1 > best || first {
                    moving.kept.best_are(self.learner.params(), &runner.index);
                }
                if let Some(slot) = state.best_val_top1.get_mut(i) {
                    *slot = best.max(val.top1);
                }
                let key = |what: &str| if count == 1 { what.into() } else { format!("{what}.{i}") };
                line[key("val_top1")] = json!(val.top1);
                line[key("val_top5")] = json!(val.top5);
            }
            for (i, why) in odd {
                self.diverged(dir, state, Some(i).filter(|_| count > 1), why)?;
            }
            dir.loss_line(&line)?;
        }
        if let Some(mut record) = self.learner.record() {
            record["epoch"] = json!(epoch);
            dir.loss_line(&record)?;
        }
        dir.log_pace(epoch, state.step, (clock.seconds(), clock.rate()))
    }

    /// Writes the pending losses and judges them. Returns the last total.
    fn record(
        &mut self,
        dir: &mut RunDir,
        pending: &mut Vec<Pending>,
        state: &mut State,
        per_epoch: usize,
    ) -> Result<f64> {
        let mut last = 0.0;
        for p in pending.drain(..) {
            let values = to_vec(&p.values)?;
            let named = || p.names.iter().zip(values.iter().copied());
            let mut stray = None;
            for (name, value) in named().filter(|(_, value)| !value.is_finite()) {
                let owner = self.learner.owner(name);
                let why = format!(
                    "{name} is {value} at step {} (epoch {}, learning rate {:.4})",
                    p.step + 1,
                    p.step / per_epoch + 1,
                    p.lr
                );
                match owner {
                    Some(i) if state.diverged.contains_key(&i) => {}
                    Some(_) => self.diverged(dir, state, owner, why)?,
                    None => stray = stray.or(Some(why)),
                }
            }
            let in_the_run =
                |name: &str| self.learner.owner(name).is_none_or(|i| !state.diverged.contains_key(&i));
            let mut line = json!({"step": p.step + 1, "lr": p.lr});
            for (name, value) in named().filter(|(name, _)| in_the_run(name)) {
                line[name.as_str()] = json!(value);
            }
            if !state.diverged.is_empty() {
                // The sum is over those that are still there.
                let theirs = named().filter(|(name, _)| name.starts_with("loss.") && in_the_run(name));
                line["loss"] = json!(theirs.map(|(_, value)| value).reduce(|a, b| a + b));
            } else if let Some(why) = stray {
                self.diverged(dir, state, None, why)?;
            }
            last = line["loss"].as_f64().unwrap_or(last);
            dir.loss_line(&line)?;
        }
        Ok(last)
    }

    /// Every tensor must be finite before a checkpoint or a result holds it.
    fn judge_tensors(&mut self, dir: &RunDir, state: &mut State, moving: &mut Moving) -> Result<()> {
        self.leave(state, moving);
        let params = self.learner.params();
        let odd = params.not_finite()?.into_iter().chain(moving.optimizer.not_finite(params)?);
        for name in odd.collect::<Vec<_>>() {
            let owner = self.learner.owner(&name);
            if owner.is_none_or(|i| !state.diverged.contains_key(&i)) {
                let why = format!("{name} is not finite after step {}", state.step);
                self.diverged(dir, state, owner, why)?;
            }
        }
        self.leave(state, moving);
        Ok(())
    }

    /// One of several networks leaves the run; where none is left, or no single one is at fault, the run
    /// is over.
    fn diverged(&self, dir: &RunDir, state: &mut State, owner: Option<usize>, why: String) -> Result<()> {
        const ADVICE: &str = "try a lower optimizer.lr or a longer schedule.warmup";
        if let Some(i) = owner {
            state.diverged.insert(i, why.clone());
            if state.diverged.len() < self.learner.networks().len() {
                exit::note(&format!(
                    "gtn-train: warning: network {i} diverged: {why}; the others go on ({ADVICE})"
                ));
                return Ok(());
            }
        }
        let kept = match checkpoint::latest(&dir.path)? {
            Some(name) => format!("checkpoint {name} is kept"),
            None => "there was no checkpoint yet".into(),
        };
        Err(Error::Failed(format!("training diverged: {why}; {ADVICE}; {kept}")))
    }

    /// Takes the networks that diverged out of the run.
    fn leave(&mut self, state: &State, moving: &mut Moving) {
        for &i in state.diverged.keys() {
            let places = self.learner.drop_network(i);
            moving.optimizer.forget(&places);
            moving.kept.forget(&places);
        }
    }
}

/// Whether the weights are updated after a step: after every so many of an epoch, and at its end.
fn updates(at: At, accumulate: usize) -> bool {
    let done = at.step % at.per_epoch + 1;
    done.is_multiple_of(accumulate) || done == at.per_epoch || at.step + 1 == at.steps
}

/// What moves with the weights.
struct Moving {
    optimizer: Optimizer,
    kept: Kept,
    /// Who took part since the last update; none: nothing yet, and inside it, all did.
    active: Option<Option<Vec<bool>>>,
}

impl Moving {
    fn takes_part(&mut self, active: Option<Vec<bool>>) {
        self.active = Some(match (self.active.take(), active) {
            (None, active) => active,
            (Some(Some(mut before)), Some(now)) => {
                before.iter_mut().zip(now).for_each(|(before, now)| *before |= now);
                Some(before)
            }
            _ => None,
        });
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::run_dir::{Config, NUMERICS_VERSION};
    use crate::method::classifiers::{Classifiers, Lesson};
    use gtn_core::data::DataSha256;
    use gtn_core::data::augment::Augment;
    use gtn_core::data::feed::Feed;
    use gtn_core::data::preprocess::Preprocess;
    use gtn_core::ir::arch::Input;
    use gtn_core::ir::graph::Graph;
    use gtn_core::nets::pool;
    use std::path::Path;

    const IDS: [&str; 2] = ["res-mini:d111-k333-e111", "mbv2-mini:d111-k353-e333"];

    fn data() -> (Preprocess, ImageSet) {
        let pixels = (0..24 * 64).map(|i| (i * 37 % 251) as u8).collect();
        let labels = (0..24).map(|i| (i % 4) as u16).collect();
        let input = Input { channels: 1, height: 8, width: 8 };
        let (mean, std) = (vec![0.5], vec![0.3]);
        let p = Preprocess { channels: 1, height: 8, width: 8, resize_short: None, resize: None, mean, std };
        (p, ImageSet::new(input, 4, pixels, labels).unwrap())
    }

    fn learner(ids: &[&str], recipe: &Recipe) -> Classifiers {
        let input = Input { channels: 1, height: 8, width: 8 };
        let graphs = ids.iter().map(|id| Graph::lower(&pool::student(id, input, 4).unwrap()).unwrap());
        Classifiers::new(graphs.collect(), None, Lesson::Labels, recipe, Device::Cpu).unwrap()
    }

    fn train(learner: &mut Classifiers, recipe: &Recipe, out: &Path) -> Result<Outcome> {
        let (preprocess, set) = data();
        let augment = Augment::pad_and_flip(1, true);
        let fill = preprocess.fill();
        let feed = Feed { set: set.clone(), augment, seed: recipe.seed, balanced: false, fill };
        let source = Source { feed, preprocess, teacher: None, batch_size: 8 };
        let data_sha256 = DataSha256 { train: String::new(), test: String::new() };
        let config = Config {
            command: "student",
            method: "none",
            numerics: NUMERICS_VERSION,
            data: "d",
            arch: "a",
            space: None,
            teacher_sha256: None,
            init_sha256: None,
            device: "cpu".into(),
            threads: 1,
            data_sha256: &data_sha256,
            recipe,
        };
        let mut dir = RunDir::open(out, &config, false)?;
        let (source, device) = (Arc::new(source), Device::Cpu);
        let mut training = Training { learner, source, val: &set, recipe, device, label: "test" };
        training.run(&mut dir, false, &Signals::watch()?)
    }

    fn poison(learner: &mut Classifiers, name: &str, value: f32) {
        let mut weights = learner.params().weights().unwrap();
        let (_, values) = weights.0.iter_mut().find(|(key, _)| key.starts_with(name)).unwrap();
        values[0] = value;
        learner.params_mut().set_weights(&weights).unwrap();
    }

    /// A network that breaks leaves the run; what the other learns, and what is on disk, is as if it had
    /// never been there.
    #[test]
    fn one_network_diverges_alone() {
        let recipe = Recipe { epochs: 2, seed: 3, batch_size: 8, ..Recipe::default() };
        let temp = tempfile::tempdir().unwrap();
        // An infinite shift before a ReLU6 shows in no loss: the tensors are judged as well.
        for (value, which, wanted) in [
            (f32::NAN, 0, "loss.0 is NaN at step 1 (epoch 1"),
            (f32::INFINITY, 1, "1/head.bn.bias is not finite after step 3"),
        ] {
            let other = 1 - which;
            let mut alone = learner(&IDS[other..=other], &recipe);
            train(&mut alone, &recipe, &temp.path().join(format!("alone{which}"))).unwrap();
            let mut both = learner(&IDS, &recipe);
            poison(&mut both, &format!("{which}/"), value);
            let out = temp.path().join(format!("both{which}"));
            let outcome = train(&mut both, &recipe, &out).unwrap();
            let (&i, why) = outcome.state.diverged.first_key_value().unwrap();
            assert!(i == which && why.contains(wanted), "{i}: {why}");
            let kept = both.params().weights_under(&format!("{other}/")).unwrap();
            assert!(kept == alone.params().weights().unwrap(), "the other one learns as alone");

            // Reading refuses what is not finite.
            let mut fresh = learner(&IDS, &recipe);
            let mut optimizer = Optimizer::new(recipe.optimizer.clone(), fresh.params());
            let mut kept = Kept::new(&recipe, fresh.params());
            let state =
                checkpoint::load(&out, fresh.params_mut(), &mut optimizer, &mut kept).unwrap().unwrap();
            assert_eq!(state.diverged, outcome.state.diverged);
            let lines = std::fs::read_to_string(out.join("loss.jsonl")).unwrap();
            assert!(!lines.contains("null"), "{lines}");
        }
    }

    #[test]
    fn a_network_alone_ends_the_run() {
        let recipe = Recipe { epochs: 2, batch_size: 8, ..Recipe::default() };
        let temp = tempfile::tempdir().unwrap();
        let mut one = learner(&IDS[..1], &recipe);
        poison(&mut one, "", f32::NAN);
        assert_eq!(one.params().not_finite().unwrap().len(), 1);
        let error = train(&mut one, &recipe, temp.path()).map(|_| ()).unwrap_err();
        let text = error.to_string();
        let wanted = ["training diverged: loss is NaN at step 1 (epoch 1", "there was no checkpoint yet"];
        assert!(error.exit_code() == 1 && wanted.iter().all(|w| text.contains(w)), "{text}");
        assert!(!temp.path().join("ckpt").exists());
    }
}
