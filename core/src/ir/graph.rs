//! A network as ordered nodes with shapes (`lower` makes it of an `ArchSpec`). Trainer, exporter, cost model and
//! reference evaluator all read this and nothing else describes a network.

use crate::ir::arch::{Activation, Input, NormEpsilon, Padding};

/// This is a value of the graph: 0 is the image, `i + 1` is node `i`'s output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// This is the image that the network takes.
pub const IMAGE: ValueId = ValueId(0);

/// These are channels, height, width of one sample; a vector is `[C, 1, 1]`.
pub type Shape = [usize; 3];

/// This says what a node computes (ONNX operator in parentheses). Shapes are per sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeOp {
    /// 2-D convolution (Conv). Weight `[out, in/groups, k, k]`.
    Conv {
        /// Output channels.
        out: usize,
        /// Kernel side, odd.
        kernel: usize,
        /// Both directions.
        stride: usize,
        /// 1, or the channel count for depthwise.
        groups: usize,
        /// Has a bias `[out]`.
        bias: bool,
        /// Which [`NodeOp::padding`] makes numbers of.
        padding: Padding,
    },
    /// Batch normalisation over channels (BatchNormalization).
    BatchNorm {
        /// Added to the variance.
        epsilon: NormEpsilon,
    },
    /// Element-wise (Relu, Clip, HardSwish).
    Activation(Activation),
    /// max(0, min(1, x/6 + 1/2)), the gate of squeeze-and-excitation (HardSigmoid, alpha 1/6, beta 1/2).
    HardSigmoid,
    /// Element-wise sum of two equal shapes (Add).
    Add,
    /// First input times second, the second `[C,1,1]` broadcast (Mul).
    Scale,
    /// 3x3 window, stride 2, padding 1 (MaxPool).
    MaxPool,
    /// Mean over height and width (GlobalAveragePool).
    GlobalAvgPool,
    /// `[C,1,1]` to a vector (Flatten).
    Flatten,
    /// Fully connected, weight `[out, in]`, bias `[out]` (Gemm, transB = 1).
    Linear {
        /// Output features.
        out: usize,
    },
}

impl NodeOp {
    /// Returns the zeros (before, after) that a convolution of an input `[C, H, W]` has around its rows, then around
    /// its columns; none for any other operator.
    pub fn padding(&self, [_, height, width]: Shape) -> [(usize, usize); 2] {
        match *self {
            Self::Conv { kernel, stride, padding, .. } => {
                [height, width].map(|side| padding.around(side, kernel, stride))
            }
            _ => [(0, 0); 2],
        }
    }
}

/// This says which part of a network a node belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Before the first stage.
    Stem,
    /// A block of a stage; both count from 0.
    Block {
        /// Of the network.
        stage: usize,
        /// Of the stage.
        block: usize,
    },
    /// Behind the last stage, as far as the classifier.
    Head,
    /// The last layer: all that knows the classes.
    Classifier,
}

/// A node is one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Unique, dotted: `stages.0.1.conv1`. Its tensors are `NAME.weight`, ...
    pub name: String,
    /// What it computes.
    pub op: NodeOp,
    /// One or two values, each earlier than this node.
    pub inputs: Vec<ValueId>,
    /// Output shape of one sample.
    pub shape: Shape,
    /// Where it belongs.
    pub part: Part,
}

/// This says what a weight tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Convolution or classifier weight.
    Weight,
    /// Convolution or classifier bias.
    Bias,
    /// Batch normalisation's gamma.
    NormScale,
    /// Batch normalisation's beta.
    NormShift,
    /// Batch normalisation's running mean (not trained).
    RunningMean,
    /// Batch normalisation's running variance (not trained).
    RunningVar,
}

impl Role {
    /// Returns whether gradient descent changes it.
    pub fn trained(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVar)
    }
}

/// This is a tensor that a graph needs: name, shape, role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamSpec {
    /// `NODE.weight`, `NODE.bias`, `NODE.running_mean`, `NODE.running_var`.
    pub name: String,
    /// Row-major.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// Of its convolution; 1 for all else.
    pub groups: usize,
    /// Where its node belongs; none: it is of no network's node.
    pub part: Option<Part>,
}

/// This is a stage's output, where a teacher's branches attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageOutput {
    /// `stages.N`.
    pub name: String,
    /// F_{N+1}.
    pub value: ValueId,
}

/// This is a lowered network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// What it takes.
    pub input: Input,
    /// In execution order.
    pub nodes: Vec<Node>,
    /// F_1..F_N.
    pub stages: Vec<StageOutput>,
    /// The logits.
    pub output: ValueId,
}

impl Graph {
    /// Returns the shape of one sample of `value`.
    pub fn shape(&self, value: ValueId) -> Shape {
        shape_of(self.input, &self.nodes, value)
    }

    /// Returns whether `value` is a vector `[N, C]`, as behind Flatten, and no feature map `[N, C, H, W]`.
    pub fn is_vector(&self, value: ValueId) -> bool {
        let mut at = value;
        while let Some(node) = at.0.checked_sub(1).and_then(|i| self.nodes.get(i)) {
            match (&node.op, node.inputs.first()) {
                (NodeOp::Flatten | NodeOp::Linear { .. }, _) => return true,
                (NodeOp::Conv { .. } | NodeOp::MaxPool | NodeOp::GlobalAvgPool, _) | (_, None) => {
                    return false;
                }
                // Element by element: as its input, which is an earlier value.
                (_, Some(&input)) => at = input,
            }
        }
        false
    }

    /// Returns what enters stage `s`: the stem's output for the first, else the output of the stage before.
    pub fn stage_input(&self, s: usize) -> Option<ValueId> {
        match s.checked_sub(1) {
            Some(before) if s < self.stages.len() => self.stages.get(before).map(|stage| stage.value),
            Some(_) => None,
            // A node's index is the id of the value made just before it.
            None => {
                self.nodes.iter().position(|n| matches!(n.part, Part::Block { stage: 0, .. })).map(ValueId)
            }
        }
    }

    /// Returns the tensors of one node, in a fixed order.
    pub fn node_params(&self, node: &Node) -> Vec<ParamSpec> {
        let input = node.inputs.first().map_or([0; 3], |&v| self.shape(v));
        let param = |suffix: &str, shape: Vec<usize>, role| ParamSpec {
            name: format!("{}.{suffix}", node.name),
            shape,
            role,
            groups: if let NodeOp::Conv { groups, .. } = node.op { groups } else { 1 },
            part: Some(node.part),
        };
        match node.op {
            NodeOp::Conv { out, kernel, groups, bias, .. } => {
                let weight = param("weight", vec![out, input[0] / groups, kernel, kernel], Role::Weight);
                if bias { vec![weight, param("bias", vec![out], Role::Bias)] } else { vec![weight] }
            }
            NodeOp::BatchNorm { .. } => vec![
                param("weight", vec![input[0]], Role::NormScale),
                param("bias", vec![input[0]], Role::NormShift),
                param("running_mean", vec![input[0]], Role::RunningMean),
                param("running_var", vec![input[0]], Role::RunningVar),
            ],
            NodeOp::Linear { out } => {
                vec![param("weight", vec![out, input[0]], Role::Weight), param("bias", vec![out], Role::Bias)]
            }
            _ => Vec::new(),
        }
    }

    /// Returns all tensors, in node order.
    pub fn params(&self) -> Vec<ParamSpec> {
        self.nodes.iter().flat_map(|n| self.node_params(n)).collect()
    }

    /// Returns, for each value, the index of the last node that reads it (`None`: it is never read, or is the
    /// output).
    pub fn last_uses(&self) -> Vec<Option<usize>> {
        let mut last = vec![None; self.nodes.len() + 1];
        for (i, node) in self.nodes.iter().enumerate() {
            for v in &node.inputs {
                if let Some(slot) = last.get_mut(v.0) {
                    *slot = Some(i);
                }
            }
        }
        last
    }
}

pub(super) fn shape_of(input: Input, nodes: &[Node], value: ValueId) -> Shape {
    match value.0.checked_sub(1).and_then(|i| nodes.get(i)) {
        Some(node) => node.shape,
        None => [input.channels, input.height, input.width],
    }
}
