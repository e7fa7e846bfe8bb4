//! A trainable network: the core graph run with libtorch's operators, node by node.

use gtn_core::arch::Activation;
use gtn_core::graph::{BN_EPSILON, Graph, Node, NodeOp, ParamSpec, Role};
use gtn_core::rng::Rng;
use gtn_core::weights::Weights;
use gtn_core::{Error, Result};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Share of the new batch in BN's running statistics (PyTorch's default).
const BN_MOMENTUM: f64 = 0.1;

/// Parameters and how to run them.
pub struct Net {
    /// What is computed.
    pub graph: Graph,
    /// Names, shapes, roles; same order as `tensors`.
    pub specs: Vec<ParamSpec>,
    /// One leaf tensor for each spec.
    pub tensors: Vec<Tensor>,
    /// For each node, where its tensors are.
    ranges: Vec<Range<usize>>,
    /// For each value, the last node that reads it.
    last_uses: Vec<Option<usize>>,
    /// For each node, whether its activation may overwrite its input.
    in_place: Vec<bool>,
}

impl Net {
    /// Fresh weights, a pure function of (seed, name): He-normal by fan-out for convolutions (He et al.
    /// 2015), uniform +-1/sqrt(fan-in) for the classifier, BN at identity.
    pub fn new(graph: Graph, seed: u64, device: Device) -> Result<Self> {
        let mut weights = Weights::default();
        for spec in graph.params() {
            let mut rng = Rng::new(seed, &spec.name, 0);
            let n: usize = spec.shape.iter().product();
            let spatial: usize = spec.shape.iter().skip(2).product();
            let fan_in: usize = spec.shape.iter().skip(1).product();
            let values = match (spec.role, spec.shape.len()) {
                (Role::Weight, 4) => {
                    let fan_out = fan_out(&graph, &spec, spatial);
                    let sd = (2.0 / fan_out as f64).sqrt();
                    (0..n).map(|_| (sd * rng.normal()) as f32).collect()
                }
                (Role::Weight, _) => {
                    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
                    (0..n).map(|_| (bound * (2.0 * rng.unit_f64() - 1.0)) as f32).collect()
                }
                (Role::NormScale | Role::RunningVar, _) => vec![1.0; n],
                (Role::Bias | Role::NormShift | Role::RunningMean, _) => vec![0.0; n],
            };
            weights.0.insert(spec.name, values);
        }
        Self::from_weights(graph, &weights, device, true)
    }

    /// Given weights; `trained` ones get gradients.
    pub fn from_weights(graph: Graph, weights: &Weights, device: Device, trained: bool) -> Result<Self> {
        let specs = graph.params();
        let mut tensors = Vec::with_capacity(specs.len());
        for spec in &specs {
            let shape: Vec<i64> = spec.shape.iter().map(|&d| d as i64).collect();
            let values = Tensor::from_slice(weights.get(&spec.name)?);
            let mut tensor = values.view(shape.as_slice()).to_device(device);
            if shape.len() == 4 {
                // Channels-last strides; every convolution, BN and activation after it follows suit,
                // which spares oneDNN (and cuDNN) a reordering at each operator.
                tensor = tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
            }
            tensors.push(tensor.set_requires_grad(trained && spec.role.trained()));
        }
        let mut start = 0;
        let range = |node: &Node| {
            let n = graph.node_params(node).len();
            start += n;
            start - n..start
        };
        let ranges = graph.nodes.iter().map(range).collect();
        let last_uses = graph.last_uses();
        let in_place = graph.nodes.iter().map(|n| overwrites_input(&graph, n)).collect();
        Ok(Self { graph, specs, tensors, ranges, last_uses, in_place })
    }

    /// Logits `[n, classes]` of images `[n, C, H, W]`. `train`: BN uses and updates batch statistics.
    pub fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        let mut values: Vec<Option<Tensor>> = vec![Some(images.shallow_clone())];
        for (i, node) in self.graph.nodes.iter().enumerate() {
            let inputs: Vec<Tensor> = node
                .inputs
                .iter()
                .map(|v| {
                    let dies = self.last_uses[v.0] == Some(i);
                    let value = if dies {
                        values[v.0].take()
                    } else {
                        values[v.0].as_ref().map(Tensor::shallow_clone)
                    };
                    // Both inputs of one Add may be the same value: the first use took it.
                    value.unwrap_or_default()
                })
                .collect();
            values.push(Some(self.node(i, node, inputs, train)));
        }
        values.swap_remove(self.graph.output.0).unwrap_or_default()
    }

    fn node(&self, i: usize, node: &Node, inputs: Vec<Tensor>, train: bool) -> Tensor {
        let w = &self.tensors[self.ranges[i].clone()];
        let mut x = inputs[0].shallow_clone();
        match node.op {
            NodeOp::Conv { kernel, stride, groups, .. } => {
                let (pad, stride, groups) = ((kernel / 2) as i64, stride as i64, groups as i64);
                x.conv2d(&w[0], w.get(1), [stride; 2], [pad; 2], [1, 1], groups)
            }
            NodeOp::BatchNorm => x.batch_norm(
                Some(&w[0]),
                Some(&w[1]),
                Some(&w[2]),
                Some(&w[3]),
                train,
                BN_MOMENTUM,
                BN_EPSILON,
                true,
            ),
            NodeOp::Activation(Activation::Relu) if self.in_place[i] => x.relu_(),
            NodeOp::Activation(Activation::Relu6) if self.in_place[i] => x.relu6_(),
            NodeOp::Activation(Activation::Relu) => x.relu(),
            NodeOp::Activation(Activation::Relu6) => x.clamp(0.0, 6.0),
            NodeOp::Activation(Activation::HardSwish) => x.hardswish(),
            NodeOp::HardSigmoid => x.hardsigmoid(),
            NodeOp::Add => x + &inputs[1],
            NodeOp::Scale => x * &inputs[1],
            NodeOp::MaxPool => x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false),
            NodeOp::GlobalAvgPool => x.mean_dim([2i64, 3].as_slice(), true, Kind::Float),
            NodeOp::Flatten => x.flatten(1, -1),
            NodeOp::Linear { .. } => x.linear(&w[0], w.get(1)),
        }
    }

    /// A copy of all tensors on the host.
    pub fn weights(&self) -> Result<Weights> {
        let mut weights = Weights::default();
        for (spec, tensor) in self.specs.iter().zip(&self.tensors) {
            weights.0.insert(spec.name.clone(), to_vec(tensor)?);
        }
        Ok(weights)
    }

    /// Overwrites all tensors in place.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        tch::no_grad(|| {
            for (spec, tensor) in self.specs.iter().zip(&mut self.tensors) {
                let values = Tensor::from_slice(weights.get(&spec.name)?).view_as(tensor);
                tensor.copy_(&values);
            }
            Ok(())
        })
    }

    /// Trained tensors with their specs.
    pub fn trained(&self) -> impl Iterator<Item = (&ParamSpec, &Tensor)> {
        self.specs.iter().zip(&self.tensors).filter(|(s, _)| s.role.trained())
    }
}

/// Output channels per group times the kernel's area.
fn fan_out(graph: &Graph, spec: &ParamSpec, spatial: usize) -> usize {
    let owner = graph.nodes.iter().find(|n| spec.name.strip_suffix(".weight") == Some(n.name.as_str()));
    let groups = match owner.map(|n| &n.op) {
        Some(NodeOp::Conv { groups, .. }) => *groups,
        _ => 1,
    };
    (spec.shape.first().copied().unwrap_or(1) * spatial / groups).max(1)
}

/// ReLU may work in place where its input is read by nothing else and its producer does not need its
/// own output for the backward pass (BN, convolution and sum do not).
fn overwrites_input(graph: &Graph, node: &Node) -> bool {
    let Some(&input) = node.inputs.first() else { return false };
    let readers = graph.nodes.iter().flat_map(|n| &n.inputs).filter(|&&v| v == input).count();
    let producer = input.0.checked_sub(1).and_then(|i| graph.nodes.get(i));
    let safe =
        producer.is_some_and(|p| matches!(p.op, NodeOp::BatchNorm | NodeOp::Conv { .. } | NodeOp::Add));
    readers == 1 && safe && !graph.stages.iter().any(|s| s.value == input)
}

/// A tensor's values on the host, row-major.
pub fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1);
    Vec::<f32>::try_from(&flat).map_err(|e| Error::Failed(format!("libtorch: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::arch::Input;
    use gtn_core::parity::{Tolerance, compare};
    use gtn_core::{eval, fold, pool, testing, zoo};

    /// Eval mode against core's reference evaluator, for the zoo and for students of every pool, plain
    /// and BN-folded: the modules are built right and weights round-trip.
    #[test]
    fn agrees_with_the_reference() {
        let input = Input { channels: 3, height: 16, width: 16 };
        let zoo = ["resnet8", "resnet8x2", "wrn-10-2", "resnet18", "resnet50", "mobilenetv2"];
        let mut specs: Vec<_> = zoo.iter().map(|n| zoo::named(n, input, 10).unwrap().unwrap()).collect();
        for pool in pool::all() {
            specs.extend((0..3).map(|i| pool.arch(&pool.sample(5, i), input, 10).unwrap()));
        }
        let mut wrong = Vec::new();
        for spec in specs {
            let graph = Graph::lower(&spec).unwrap();
            let weights = testing::random_weights(&graph, 3);
            let image = testing::random_image(&graph, 4);
            let want = eval::run(&graph, &weights, &image).unwrap();
            let (folded, folded_weights) = fold::fold_batch_norm(&graph, &weights).unwrap();
            for (graph, weights) in [(graph, weights), (folded, folded_weights)] {
                let net = Net::from_weights(graph, &weights, Device::Cpu, false).unwrap();
                assert_eq!(net.weights().unwrap(), weights);
                let got =
                    to_vec(&net.forward(&Tensor::from_slice(&image).view([1, 3, 16, 16]), false)).unwrap();
                let parity = compare(&want, &got, 10, Tolerance::FP32);
                if !parity.pass {
                    wrong.push(format!("{}: {parity:?}", spec.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn initial_weights_depend_on_the_seed_only() {
        let input = Input { channels: 1, height: 8, width: 8 };
        let make = |seed| {
            let spec = zoo::named("resnet8", input, 10).unwrap().unwrap();
            Net::new(Graph::lower(&spec).unwrap(), seed, Device::Cpu).unwrap().weights().unwrap()
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
