//! Times of nodes joined with the work they do.

use crate::backend::ort;
use crate::backend::{NodeTime, Options};
use crate::judge::bench::inputs;
use crate::onnx::{Node, OnnxModel};
use crate::subject::Subject;
use gtn_core::measure::op_profile::{OpProfile, OpTime};
use gtn_core::measure::robust::{median, midmean};
use gtn_core::{Error, Result};
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

/// Inferences before those that count.
const WARM_UP: usize = 20;

/// Loads `path` twice, without and with timing of the nodes, and runs each `runs` times. Fails where the
/// backend cannot time nodes.
pub fn profile(path: &Path, options: &Options, runs: usize) -> Result<(Subject, OpProfile)> {
    let mut untimed = Subject::open(path, &Options { profile: false, ..options.clone() })?;
    if untimed.backend.info().name == "ort" {
        drop(ort::profile_folder()?); // before the work, not after half of it
    }
    let untimed_ms = run(&mut untimed, runs)?;
    drop(untimed);
    let mut subject = Subject::open(path, &Options { profile: true, ..options.clone() })?;
    let timed_ms = run(&mut subject, runs)?;
    let ops = join(&subject.onnx, &subject.backend.node_times()?)?;
    Ok((subject, OpProfile { runs, timed_ms, untimed_ms, ops }))
}

/// The median of `runs` inferences in ms.
fn run(subject: &mut Subject, runs: usize) -> Result<f64> {
    let inputs = inputs(subject)?;
    subject.backend.bind(&inputs)?;
    let mut times = Vec::with_capacity(runs);
    for i in 0..WARM_UP + runs {
        let start = Instant::now();
        subject.backend.run_bound()?;
        if i >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(median(&times))
}

/// Adds multiply-accumulates to times.
fn join(model: &OnnxModel, times: &[NodeTime]) -> Result<Vec<OpTime>> {
    let graph = Producers::new(model);
    let op = |t: &NodeTime| {
        let counted: Vec<f64> = t.us.iter().skip(WARM_UP).copied().collect();
        if counted.is_empty() {
            return Err(Error::Failed(format!("node `{}` has no times beyond the warm-up", t.name)));
        }
        Ok(OpTime {
            name: t.name.clone(),
            op: t.op.clone(),
            provider: t.provider.clone(),
            shape: t.output.clone(),
            macs: macs(&graph, t),
            us: midmean(&counted),
        })
    };
    times.iter().map(op).collect()
}

/// The model's nodes by name and by what they make.
struct Producers<'a> {
    model: &'a OnnxModel,
    by_name: HashMap<&'a str, usize>,
    by_output: HashMap<&'a str, usize>,
}

impl<'a> Producers<'a> {
    fn new(model: &'a OnnxModel) -> Self {
        let nodes = || model.nodes.iter().enumerate();
        Self {
            model,
            by_name: nodes().filter(|(_, n)| !n.name.is_empty()).map(|(i, n)| (n.name.as_str(), i)).collect(),
            by_output: nodes().flat_map(|(i, n)| n.outputs.iter().map(move |o| (o.as_str(), i))).collect(),
        }
    }

    /// The Conv, Gemm or MatMul inside a fused node that makes the value `name`, or that has that name:
    /// back through what a runtime fuses into it. Of two (a residual addition) the later one: it is the
    /// one that the addition was fused into.
    fn heart(&self, name: &str) -> Option<&'a Node> {
        let plain = plain(name);
        let start = self.by_name.get(plain).or_else(|| self.by_output.get(plain))?;
        let mut best: Option<usize> = None;
        let mut open = vec![*start];
        while let Some(i) = open.pop() {
            let Some(node) = self.model.nodes.get(i) else { continue };
            if is_product(&node.op_type) {
                best = best.max(Some(i));
            } else if is_fused_after(&node.op_type) {
                open.extend(node.inputs.iter().filter_map(|input| self.by_output.get(input.as_str())));
            }
        }
        self.model.nodes.get(best?)
    }

    fn weight(&self, node: &Node) -> Option<Vec<usize>> {
        let name = node.inputs.get(1)?;
        let weight = self.model.initializers.get(name).or_else(|| {
            // Through a DequantizeLinear: its first input is the weight.
            let maker = self.model.nodes.get(*self.by_output.get(name.as_str())?)?;
            (maker.op_type == "DequantizeLinear").then_some(())?;
            self.model.initializers.get(maker.inputs.first()?)
        })?;
        weight.dims.iter().map(|&d| usize::try_from(d).ok()).collect()
    }
}

/// A node's name without what ONNX Runtime adds to it when it changes layouts or fuses.
fn plain(name: &str) -> &str {
    let name = match name.rsplit_once("_token_") {
        Some((before, number)) if number.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => name,
    };
    let name = name.strip_suffix("_nchwc").unwrap_or(name);
    name.strip_prefix("fused ").unwrap_or(name)
}

fn is_product(op: &str) -> bool {
    ["Conv", "Gemm", "MatMul"].contains(&op)
}

fn is_fused_after(op: &str) -> bool {
    [
        "Relu",
        "Clip",
        "Add",
        "Mul",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "QuantizeLinear",
        "DequantizeLinear",
    ]
    .contains(&op)
}

/// Multiply-accumulates of one run. A convolution's weight is taken from the model where the node is
/// found there, since runtimes pad channels to their vector width.
fn macs(graph: &Producers, t: &NodeTime) -> u64 {
    let heart = graph.heart(&t.name);
    let product = |dims: &[usize]| dims.iter().map(|&d| d as u64).product::<u64>();
    if t.op.contains("Conv") {
        let weight = heart.filter(|n| n.op_type == "Conv").and_then(|n| graph.weight(n));
        let weight = weight.or_else(|| t.inputs.iter().skip(1).find(|s| s.len() == 4).cloned());
        let (Some(weight), [batch, rest @ ..]) = (weight, t.output.as_slice()) else { return 0 };
        // int8 convolutions are run channels last; the others with the channels (padded) before the rest.
        let last = t.op == "QLinearConv" && rest.last() == weight.first();
        let spatial = if last { rest.split_last().map(|s| s.1) } else { rest.split_first().map(|s| s.1) };
        return *batch as u64 * product(spatial.unwrap_or_default()) * product(&weight);
    }
    if t.op.contains("Gemm") || t.op.contains("MatMul") {
        let inner = t.inputs.first().and_then(|s| s.last()).copied().unwrap_or(0);
        return product(&t.output) * inner as u64;
    }
    0
}
