//! Runs a core graph with libtorch's operators, node by node: whole, from a stage on, or up to the stage
//! outputs. The tensors live in a [`Params`], so that several graphs can share them.

use crate::engine::params::Params;
use gtn_core::ir::arch::{Activation, NormEpsilon};
use gtn_core::ir::graph::{Graph, Node, NodeOp, ParamSpec, Part, ValueId};
use gtn_core::ir::weights::Weights;
use gtn_core::{Error, Result};
use std::ops::Range;
use tch::{Device, Tensor};

/// Share of the new batch in BN's running statistics (PyTorch's default).
pub const BN_MOMENTUM: f64 = 0.1;

/// How BN normalises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// By running statistics.
    Eval,
    /// By the batch's, which the running ones follow.
    Train,
    /// The classifier as [`Self::Train`]; all before it as [`Self::Eval`], and without gradients.
    TrainClassifier,
    /// By the batch's, which the running ones take this share of: recalibration.
    Recalibrate(f64),
}

/// A graph and where its tensors are.
pub struct Runner {
    /// What is computed.
    pub graph: Graph,
    /// For each of the graph's parameters, its place in the [`Params`].
    pub index: Vec<usize>,
    /// For each node, its part of `index`.
    ranges: Vec<Range<usize>>,
    /// For each value, the last node that reads it.
    last_uses: Vec<Option<usize>>,
    /// For each node, whether its activation may overwrite its input.
    in_place: Vec<bool>,
}

impl Runner {
    /// `place` tells where a parameter is.
    pub fn new(graph: Graph, place: impl Fn(&ParamSpec) -> Result<usize>) -> Result<Self> {
        let index = graph.params().iter().map(place).collect::<Result<_>>()?;
        let mut start = 0;
        let range = |node: &Node| {
            let n = graph.node_params(node).len();
            start += n;
            start - n..start
        };
        let ranges = graph.nodes.iter().map(range).collect();
        let last_uses = graph.last_uses();
        let in_place = graph.nodes.iter().map(|n| overwrites_input(&graph, n)).collect();
        Ok(Self { graph, index, ranges, last_uses, in_place })
    }

    /// Logits `[n, classes]` of images `[n, C, H, W]`.
    pub fn forward(&self, params: &Params, images: &Tensor, mode: Mode) -> Tensor {
        self.run(params, ValueId(0), images, mode, &[]).0
    }

    /// Logits, and the outputs of all stages, F_1..F_N.
    pub fn forward_stages(&self, params: &Params, images: &Tensor, mode: Mode) -> (Tensor, Vec<Tensor>) {
        let stages: Vec<ValueId> = self.graph.stages.iter().map(|s| s.value).collect();
        self.run(params, ValueId(0), images, mode, &stages)
    }

    /// Logits when `x` takes the place of stage `s`'s input: nothing before it runs.
    pub fn forward_from(&self, params: &Params, s: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let entry = self.graph.stage_input(s);
        let entry = entry.ok_or_else(|| Error::Failed(format!("the network has no stage {s}")))?;
        Ok(self.run(params, entry, x, mode, &[]).0)
    }

    /// Runs the nodes after `entry`. A stage's output is all that later stages read, so nothing else of
    /// what came before is needed.
    fn run(
        &self,
        params: &Params,
        entry: ValueId,
        x: &Tensor,
        mode: Mode,
        keep: &[ValueId],
    ) -> (Tensor, Vec<Tensor>) {
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(self.graph.nodes.len() + 1);
        values.resize_with(entry.0, || None);
        values.push(Some(x.shallow_clone()));
        for (i, node) in self.graph.nodes.iter().enumerate().skip(entry.0) {
            let inputs: Vec<Tensor> = node
                .inputs
                .iter()
                .map(|v| {
                    let dies = self.last_uses[v.0] == Some(i) && !keep.contains(v);
                    let value = if dies {
                        values[v.0].take()
                    } else {
                        values[v.0].as_ref().map(Tensor::shallow_clone)
                    };
                    // Both inputs of one Add may be the same value: the first use took it.
                    value.unwrap_or_default()
                })
                .collect();
            let frozen = mode == Mode::TrainClassifier && node.part != Part::Classifier;
            values.push(Some(match (mode, frozen) {
                (_, true) => tch::no_grad(|| self.node(params, i, node, inputs, Mode::Eval)),
                (Mode::TrainClassifier, false) => self.node(params, i, node, inputs, Mode::Train),
                (mode, false) => self.node(params, i, node, inputs, mode),
            }));
        }
        let kept = keep.iter().map(|v| values[v.0].as_ref().map_or_else(Tensor::new, Tensor::shallow_clone));
        let kept = kept.collect();
        (values.swap_remove(self.graph.output.0).unwrap_or_default(), kept)
    }

    fn node(&self, params: &Params, i: usize, node: &Node, inputs: Vec<Tensor>, mode: Mode) -> Tensor {
        let w: Vec<&Tensor> =
            self.index[self.ranges[i].clone()].iter().map(|&p| &params.tensors[p]).collect();
        let mut x = inputs[0].shallow_clone();
        match node.op {
            NodeOp::Conv { stride, groups, .. } => {
                let (stride, groups) = (stride as i64, groups as i64);
                let around = node.op.padding(self.graph.shape(node.inputs[0]));
                let [(top, bottom), (left, right)] = around.map(|(a, b)| (a as i64, b as i64));
                let mut pads = [top, left];
                if top != bottom || left != right {
                    // libtorch's convolution pads both sides alike.
                    (x, pads) = (x.constant_pad_nd([left, right, top, bottom]), [0, 0]);
                }
                convolve(&x, w[0], w.get(1).copied(), stride, pads, groups)
            }
            NodeOp::BatchNorm { epsilon } => batch_norm(&x, &w, mode, epsilon),
            NodeOp::Activation(Activation::Relu) if self.in_place[i] => x.relu_(),
            NodeOp::Activation(Activation::Relu6) if self.in_place[i] => x.relu6_(),
            NodeOp::Activation(Activation::Relu) => x.relu(),
            NodeOp::Activation(Activation::Relu6) => x.clamp(0.0, 6.0),
            NodeOp::Activation(Activation::HardSwish) => x.hardswish(),
            NodeOp::HardSigmoid => x.hardsigmoid(),
            NodeOp::Add => x + &inputs[1],
            NodeOp::Scale => x * &inputs[1],
            NodeOp::MaxPool => x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false),
            NodeOp::GlobalAvgPool => x.mean_dim([2i64, 3].as_slice(), true, x.kind()),
            NodeOp::Flatten => x.flatten(1, -1),
            NodeOp::Linear { .. } => x.linear(w[0], w.get(1).copied()),
        }
    }
}

/// Channels of a block in oneDNN's widest kernels.
const BLOCK: i64 = 16;

/// A convolution, padded alike on both sides.
///
/// The gradient of a strided 1x1 convolution's weights is wrong in the oneDNN of libtorch 2.11 where its channels-last
/// input has fewer channels than a block: it writes beyond its work space, and the process dies or goes on with damaged
/// memory (oneDNN issue 6035; 16 channels with AVX-512, 8 with AVX2). The pixels that such a convolution reads are picked
/// first, then: the same function, and less to read. It is so on every processor, so that a run's bytes do not tell
/// which one it was.
fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: i64,
    pads: [i64; 2],
    groups: i64,
) -> Tensor {
    let narrow = stride > 1
        && pads == [0, 0]
        && weight.size().get(1..).is_some_and(|s| matches!(s, [c, 1, 1] if *c < BLOCK));
    if narrow && x.device() == Device::Cpu {
        let picked = x.slice(2, None, None, stride).slice(3, None, None, stride);
        return picked.conv2d(weight, bias, [1, 1], pads, [1, 1], groups);
    }
    x.conv2d(weight, bias, [stride; 2], pads, [1, 1], groups)
}

/// Batch normalisation by gamma, beta, running mean and variance.
pub fn batch_norm(x: &Tensor, w: &[&Tensor], mode: Mode, epsilon: NormEpsilon) -> Tensor {
    let (train, momentum) = match mode {
        Mode::Eval => (false, 0.0),
        Mode::Train | Mode::TrainClassifier => (true, BN_MOMENTUM),
        Mode::Recalibrate(share) => (true, share),
    };
    x.batch_norm(Some(w[0]), Some(w[1]), Some(w[2]), Some(w[3]), train, momentum, epsilon.get(), true)
}

/// A network with tensors of its own.
pub struct Net {
    /// How it runs.
    pub runner: Runner,
    /// What it runs with.
    pub params: Params,
}

impl Net {
    /// Fresh weights, a pure function of (seed, name).
    #[cfg(test)]
    pub fn new(graph: Graph, seed: u64, device: Device) -> Result<Self> {
        let mut weights = Weights::default();
        for spec in graph.params() {
            let values = crate::engine::params::initial(&spec, seed, &spec.name);
            weights.0.insert(spec.name, values);
        }
        Self::from_weights(graph, &weights, device, true)
    }

    /// Given weights; `trained` ones get gradients.
    pub fn from_weights(graph: Graph, weights: &Weights, device: Device, trained: bool) -> Result<Self> {
        let params = Params::new(graph.params(), weights, device, trained)?;
        let runner = Runner::new(graph, |spec| params.place(&spec.name))?;
        Ok(Self { runner, params })
    }

    /// What it computes.
    #[cfg(test)]
    pub fn graph(&self) -> &Graph {
        &self.runner.graph
    }

    /// Logits `[n, classes]` of images `[n, C, H, W]`.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Tensor {
        self.runner.forward(&self.params, images, mode)
    }
}

/// ReLU may work in place where its input is read by nothing else and its producer does not need its
/// own output for the backward pass (BN, convolution and sum do not).
fn overwrites_input(graph: &Graph, node: &Node) -> bool {
    let Some(&input) = node.inputs.first() else { return false };
    let readers = graph.nodes.iter().flat_map(|n| &n.inputs).filter(|&&v| v == input).count();
    let producer = input.0.checked_sub(1).and_then(|i| graph.nodes.get(i));
    let safe = producer
        .is_some_and(|p| matches!(p.op, NodeOp::BatchNorm { .. } | NodeOp::Conv { .. } | NodeOp::Add));
    readers == 1 && safe && !graph.stages.iter().any(|s| s.value == input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::params::to_vec;
    use gtn_core::ir::arch::Input;
    use gtn_core::ir::eval;
    use gtn_core::ir::fold;
    use gtn_core::ir::random_weights;
    use gtn_core::measure::parity::{Tolerance, compare};
    use gtn_core::nets::pool;
    use gtn_core::nets::zoo;

    /// Eval mode against core's reference evaluator, for the zoo and for students of every pool, plain
    /// and BN-folded: the modules are built right and weights round-trip.
    #[test]
    fn agrees_with_the_reference() {
        let input = Input { channels: 3, height: 16, width: 16 };
        let mut zoo = vec!["resnet8", "resnet8x2", "wrn-10-2", "resnet18", "resnet50", "mobilenetv2"];
        // SAME is uneven at 16, 8 and 4 pixels; squeeze-and-excitation, hard swish, a hidden layer.
        zoo.extend(["efficientnet-lite0", "mobilenetv3-small"]);
        let mut specs: Vec<_> = zoo.iter().map(|n| zoo::named(n, input, 10).unwrap().unwrap()).collect();
        for pool in pool::all() {
            specs.extend((0..3).map(|i| pool.arch(&pool.sample(5, i), input, 10).unwrap()));
        }
        let mut wrong = Vec::new();
        for spec in specs {
            let graph = Graph::lower(&spec).unwrap();
            let weights = random_weights::random_weights(&graph, 3);
            let image = random_weights::random_image(&graph, 4);
            let want = eval::run(&graph, &weights, &image).unwrap();
            let (folded, folded_weights) = fold::fold_batch_norm(&graph, &weights).unwrap();
            for (graph, weights) in [(graph, weights), (folded, folded_weights)] {
                let net = Net::from_weights(graph, &weights, Device::Cpu, false).unwrap();
                assert_eq!(net.params.weights().unwrap(), weights);
                let got = to_vec(&net.forward(&Tensor::from_slice(&image).view([1, 3, 16, 16]), Mode::Eval))
                    .unwrap();
                let parity = compare(&want, &got, 10, Tolerance::FP32);
                if !parity.pass {
                    wrong.push(format!("{}: {parity:?}", spec.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// oneDNN's own gradient of a strided 1x1 convolution of 8 or 12 channels destroys the heap at these sizes.
    #[test]
    fn narrow_strided_convolutions_have_the_right_gradient() {
        for (narrow, wide, side) in [(12, 24, 112), (8, 16, 112), (12, 24, 97), (4, 8, 128), (24, 48, 56)] {
            let options = (tch::Kind::Float, Device::Cpu);
            let channels_last = |t: Tensor| t.permute([0, 3, 1, 2]);
            let x = channels_last(Tensor::randn([16, side, side, narrow], options));
            let weight = Tensor::randn([wide, narrow, 1, 1], options).set_requires_grad(true);
            let read = x.slice(2, None, None, 2).slice(3, None, None, 2).to_kind(tch::Kind::Double);
            for _ in 0..3 {
                let _ = weight.grad().defined().then(|| weight.grad().zero_());
                let y = convolve(&x, &weight, None, 2, [0, 0], 1);
                let dy = y.randn_like();
                (&y * &dy).sum(tch::Kind::Float).backward();
                let dy = dy.to_kind(tch::Kind::Double);
                let wanted = Tensor::einsum("nohw,nihw->oi", &[&dy, &read], None::<i64>);
                let off = (weight.grad().view([wide, narrow]) - &wanted).abs().max().double_value(&[]);
                let most = wanted.abs().max().double_value(&[]);
                assert!(
                    off < 1e-5 * most,
                    "{narrow} to {wide} channels, {side} pixels: off by {off} of {most}"
                );
            }
        }
    }

    #[test]
    fn initial_weights_depend_on_the_seed_only() {
        let input = Input { channels: 1, height: 8, width: 8 };
        let make = |seed| {
            let spec = zoo::named("resnet8", input, 10).unwrap().unwrap();
            Net::new(Graph::lower(&spec).unwrap(), seed, Device::Cpu).unwrap().params.weights().unwrap()
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
        let w = make(1);
        let conv = w.get("stages.0.0.1.conv.weight").unwrap();
        let var = conv.iter().map(|x| x * x).sum::<f32>() / conv.len() as f32;
        let want = 2.0 / (16.0 * 9.0);
        assert!((var / want - 1.0).abs() < 0.15, "variance {var}, wanted {want}"); // 2304 values: 3% sd
    }
}
