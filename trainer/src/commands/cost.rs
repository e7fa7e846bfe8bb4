//! `gtn-train cost`: what a generic teacher costs on top of a vanilla one, before anyone pays for it. CPU
//! seconds per step of each method, measured in turn, round after round, so that whatever else the
//! machine does falls on all alike.

use crate::cli::CostArgs;
use crate::commands::set_up;
use crate::engine::learner::{At, Learner};
use crate::engine::loader::Batch;
use crate::engine::net::Net;
use crate::engine::optimizer::Optimizer;
use crate::method::classifiers::{Classifiers, Lesson};
use crate::method::generic::Generic;
use crate::method::teacher::Teacher;
use crate::recipe::Objective;
use crate::recipe::Recipe;
use gtn_core::ir::arch::Input;
use gtn_core::ir::cost::Cost;
use gtn_core::ir::fold::fold_batch_norm;
use gtn_core::ir::graph::Graph;
use gtn_core::ir::random_weights::random_weights;
use gtn_core::measure::stats::Summary;
use gtn_core::nets;
use gtn_core::nets::pool::{self, Pool, Space};
use gtn_core::program::exit;
use gtn_core::program::progress::Progress;
use gtn_core::rng::Rng;
use gtn_core::text::format;
use gtn_core::text::table::Table;
use gtn_core::{Error, Result, host};
use std::time::Instant;
use tch::{Device, Tensor};

/// One thing to be timed: a step of each of its learners.
struct Contestant {
    name: String,
    learners: Vec<(Box<dyn Learner>, Optimizer)>,
    steps_done: usize,
    seconds: Vec<f64>,
}

const APART: &str = "KD of 4 students, apart";
const TOGETHER: &str = "KD of 4 students, one teacher pass";

/// Seconds of CPU of all threads; wall where the system does not tell, or on a GPU.
fn clock(device: Device, start: Instant) -> f64 {
    match host::cpu_seconds() {
        Some(s) if device == Device::Cpu => s,
        _ => start.elapsed().as_secs_f64(),
    }
}

impl Contestant {
    fn new(name: &str, learner: impl Learner + 'static, recipe: &Recipe) -> Self {
        let none = Self { name: name.into(), learners: Vec::new(), steps_done: 0, seconds: Vec::new() };
        none.and(learner, recipe)
    }

    /// Another learner beside.
    fn and(mut self, learner: impl Learner + 'static, recipe: &Recipe) -> Self {
        let sgd = Optimizer::new(recipe.optimizer.clone(), learner.params());
        self.learners.push((Box::new(learner), sgd));
        self
    }

    fn steps(&mut self, batch: &Batch, count: usize, device: Device, start: Instant) -> Result<()> {
        let before = clock(device, start);
        for _ in 0..count {
            let at = At { step: self.steps_done, steps: 1_000_000, per_epoch: 1000 };
            for (learner, sgd) in &mut self.learners {
                let step = learner.step(batch, at)?;
                let Some((_, total)) = step.losses.first() else { continue };
                total.backward();
                sgd.step(learner.params(), step.active.as_deref(), 1e-3);
            }
            self.steps_done += 1;
        }
        if device.is_cuda() {
            // A value fetched is a stream drained.
            let first = self.learners.first().and_then(|(l, _)| l.params().tensors.first());
            let _ = first.map(|t| t.sum(tch::Kind::Float).double_value(&[]));
        }
        self.seconds.push((clock(device, start) - before) / count as f64);
        Ok(())
    }
}

/// `gtn-train cost`
pub fn run(args: &CostArgs, cuda: bool) -> Result<()> {
    let (device, threads) = set_up(&args.device, cuda)?;
    let input: Input = args.input.parse()?;
    let pool = pool::resolve(&args.pool)?;
    let teacher = Graph::lower(&nets::resolve(&args.teacher, input, args.classes)?)?;
    let mut all = Vec::new();
    let base = Recipe::default();
    let plain = |graphs: Vec<Graph>| Classifiers::new(graphs, None, Lesson::Labels, &base, device);
    all.push(Contestant::new("vanilla teacher", plain(vec![teacher.clone()])?, &base));
    let sample: Vec<_> = (0..8).map(|i| pool.sample(0, i)).collect();
    for (space, name) in
        [(Space::single(pool.clone(), &sample[0]), "sftn"), (Space::whole(pool.clone()), "gtn")]
    {
        for (paths, w_0) in [(1, 0.0), (1, 1.0), (2, 0.0), (2, 1.0)] {
            if name == "sftn" && (paths, w_0) != (1, 0.0) {
                continue;
            }
            let mut recipe = base.clone();
            (recipe.gtn.paths, recipe.gtn.w_0) = (paths, w_0);
            if name == "sftn" {
                recipe.gtn.arch.objective = Objective::None;
            }
            let generic =
                Generic::new(teacher.clone(), space.clone(), None, &recipe, (args.classes, device))?;
            let label = format!("{name}, {paths} path{}, w_0 = {w_0}", if paths == 1 { "" } else { "s" });
            all.push(Contestant::new(&label, generic, &recipe));
        }
    }
    for (name, space) in same_size_spaces(&pool, input, args.classes)? {
        let mut recipe = base.clone();
        recipe.gtn.w_0 = 0.0;
        all.push(Contestant::new(
            &name,
            Generic::new(teacher.clone(), space, None, &recipe, (args.classes, device))?,
            &recipe,
        ));
    }
    let frozen = || {
        let (graph, weights) = fold_batch_norm(&teacher, &random_weights(&teacher, 1))?;
        Ok(Lesson::Kd(Teacher::net(Net::from_weights(graph, &weights, device, false)?)))
    };
    let students = sample
        .iter()
        .map(|p| Graph::lower(&pool.arch(p, input, args.classes)?))
        .collect::<Result<Vec<_>>>()?;
    let distilled = |graphs: Vec<Graph>| Classifiers::new(graphs, None, frozen()?, &base, device);
    let four = students.iter().take(4).cloned().collect::<Vec<_>>();
    let mut apart = Contestant::new(APART, distilled(vec![four[0].clone()])?, &base);
    for graph in &four[1..] {
        apart = apart.and(distilled(vec![graph.clone()])?, &base);
    }
    all.push(apart);
    all.push(Contestant::new(TOGETHER, distilled(four)?, &base));
    let count = students.len() as f64;
    all.push(Contestant::new("students alone, mean of 8", plain(students)?, &base));

    let batch = batch(input, args, device);
    let start = Instant::now();
    let mut bar = Progress::new("cost", args.rounds as u64);
    for round in 0..=args.rounds {
        for c in &mut all {
            c.steps(&batch, args.steps, device, start)?;
            if round == 0 {
                c.seconds.clear(); // warm-up
            }
        }
        bar.tick(round as u64, "rounds");
    }
    bar.finish(&format!(
        "{} rounds of {} steps, batch {}, {threads} threads",
        args.rounds, args.steps, args.batch_size
    ));
    if let Some(c) = all.last_mut() {
        c.seconds.iter_mut().for_each(|s| *s /= count);
    }
    print(&all)
}

fn batch(input: Input, args: &CostArgs, device: Device) -> Batch {
    let n = args.batch_size;
    let mut rng = Rng::new(0, "cost", 0);
    let pixels: Vec<f32> =
        (0..n * input.channels * input.height * input.width).map(|_| rng.normal() as f32).collect();
    let labels: Vec<i64> = (0..n).map(|_| rng.below(args.classes as u64) as i64).collect();
    let shape = [n as i64, input.channels as i64, input.height as i64, input.width as i64];
    Batch {
        images: Tensor::from_slice(&pixels).view(shape).to_device(device),
        labels: Tensor::from_slice(&labels).to_device(device),
        teacher_images: None,
        mixed: None,
        turns: Vec::new(),
    }
}

/// Parts of the pool of about 10, 10^3 and all its students, of nearly equal mean MACs: depths fixed at
/// two, then fewer and fewer positions left open; of those closed, every other takes the cheap choice.
fn same_size_spaces(pool: &Pool, input: Input, classes: usize) -> Result<Vec<(String, Space)>> {
    let whole = Space::whole(pool.clone());
    let mean = |space: &Space| -> Result<f64> {
        let draw =
            crate::method::sampling::ArchDistribution::new(space.clone(), Recipe::default().gtn.arch, &[]);
        let macs =
            |i| Ok(Cost::of(&Graph::lower(&pool.arch(&draw.sample(1, i), input, classes)?)?).macs as f64);
        let all = (0..400).map(macs).collect::<Result<Vec<f64>>>()?;
        Ok(all.iter().sum::<f64>() / all.len() as f64)
    };
    let target = mean(&whole)?;
    let mut spaces = vec![(whole, target)];
    for wanted in [1000u128, 10] {
        let mut best: Option<(Space, f64)> = None;
        // Seeded random restrictions; the one of the right count and nearest mean is kept.
        for i in 0..400 {
            let mut rng = Rng::new(7, "spaces", i);
            let mut space = Space::whole(pool.clone());
            for stage in &mut space.stages {
                let keep = rng.below(stage.depths.len() as u64) as usize;
                stage.depths = vec![stage.depths[keep]];
                stage.choices.truncate(stage.depths[0]);
            }
            let mut positions: Vec<(usize, usize)> = space
                .stages
                .iter()
                .enumerate()
                .flat_map(|(s, st)| (0..st.choices.len()).map(move |p| (s, p)))
                .collect();
            rng.shuffle(&mut positions);
            for (s, p) in positions {
                let others = space.count();
                if others <= wanted {
                    break;
                }
                let choices = &mut space.stages[s].choices[p];
                let rest = others / choices.len() as u128;
                rng.shuffle(choices);
                let left = if rest >= wanted { 1 } else { (wanted / rest).max(1) as usize };
                choices.truncate(left);
            }
            let near = space.count() as f64 / wanted as f64;
            if !(0.7..=1.4).contains(&near) {
                continue;
            }
            let gap = mean(&space)?;
            if best.as_ref().is_none_or(|(_, b)| (gap - target).abs() < (b - target).abs()) {
                best = Some((space, gap));
            }
        }
        spaces.push(
            best.ok_or_else(|| {
                Error::Failed(format!("no part of {} has about {wanted} students", pool.name))
            })?,
        );
    }
    let name = |(space, macs): (Space, f64)| {
        let label = format!(
            "gtn, 1 path, w_0 = 0, of {} students ({} MACs)",
            space.count(),
            format::count(macs as u64)
        );
        (label, space)
    };
    Ok(spaces.into_iter().map(name).collect())
}

fn print(all: &[Contestant]) -> Result<()> {
    let first: &[f64] = all.first().map_or(&[], |c| &c.seconds);
    let mut table =
        Table::new(["what", "ms per step, median", "p10 to p90", "times vanilla, median of rounds"]);
    for c in all {
        let Some(s) = Summary::of(&c.seconds) else { continue };
        let mut sorted = c.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let low = gtn_core::measure::stats::percentile(&sorted, 0.1);
        let ratios: Vec<f64> = c.seconds.iter().zip(first).map(|(a, b)| a / b).collect();
        let ratio = Summary::of(&ratios).map_or("-".into(), |r| format!("{:.2}", r.p50));
        table.row([
            c.name.clone(),
            format!("{:.1}", s.p50 * 1e3),
            format!("{:.1} to {:.1}", low * 1e3, s.p90 * 1e3),
            ratio,
        ]);
    }
    let seconds = |name: &str| {
        let found = all.iter().find(|c| c.name == name).map(|c| c.seconds.as_slice());
        found.ok_or_else(|| Error::Failed(format!("{name} was not measured")))
    };
    let shares: Vec<f64> = seconds(TOGETHER)?.iter().zip(seconds(APART)?).map(|(a, b)| a / b).collect();
    let share = Summary::of(&shares).map_or("-".into(), |s| format!("{:.2}", s.p50));
    exit::print(&format!("{}\n4 students in one teacher pass: {share} times 4 apart\n", table.render()))
}
