//! Nodes put one behind the other, with their shapes worked out.

use crate::ir::arch::{Activation, Input, NormEpsilon, Padding};
use crate::ir::graph::{Graph, Node, NodeOp, Part, Shape, StageOutput, ValueId, shape_of};

/// Appends nodes and works out their shapes.
pub(crate) struct Builder {
    input: Input,
    nodes: Vec<Node>,
    /// As far as they are closed.
    pub(crate) stages: Vec<StageOutput>,
    /// Where the next nodes belong.
    pub(crate) part: Part,
    /// Of the next convolutions.
    pub(crate) padding: Padding,
    /// Of the next batch normalisations.
    pub(crate) epsilon: NormEpsilon,
}

impl Builder {
    pub(crate) fn new(input: Input) -> Self {
        let (padding, epsilon) = Default::default();
        Self { input, nodes: Vec::new(), stages: Vec::new(), part: Part::Stem, padding, epsilon }
    }

    /// Returns the graph whose output is `output`.
    pub(crate) fn finish(self, output: ValueId) -> Graph {
        Graph { input: self.input, nodes: self.nodes, stages: self.stages, output }
    }

    pub(crate) fn shape(&self, value: ValueId) -> Shape {
        shape_of(self.input, &self.nodes, value)
    }

    pub(crate) fn push(&mut self, name: &str, op: NodeOp, inputs: &[ValueId]) -> ValueId {
        let input = inputs.first().map_or([0; 3], |&v| self.shape(v));
        let shape = output_shape(&op, input);
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), shape, part: self.part });
        ValueId(self.nodes.len())
    }

    pub(crate) fn conv(
        &mut self,
        name: &str,
        x: ValueId,
        out: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> ValueId {
        let padding = self.padding;
        self.push(name, NodeOp::Conv { out, kernel, stride, groups, bias: false, padding }, &[x])
    }

    pub(crate) fn norm(&mut self, name: &str, x: ValueId) -> ValueId {
        self.push(name, NodeOp::BatchNorm { epsilon: self.epsilon }, &[x])
    }

    /// Adds a convolution, a batch normalisation and perhaps an activation: `PREFIX.conv`, `PREFIX.bn`,
    /// `PREFIX.act`.
    #[allow(clippy::too_many_arguments)] // a convolution has this many numbers
    pub(crate) fn conv_norm_act(
        &mut self,
        prefix: &str,
        x: ValueId,
        out: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
        activation: Option<Activation>,
    ) -> ValueId {
        let x = self.conv(&format!("{prefix}.conv"), x, out, kernel, stride, groups);
        let x = self.norm(&format!("{prefix}.bn"), x);
        match activation {
            Some(a) => self.push(&format!("{prefix}.act"), NodeOp::Activation(a), &[x]),
            None => x,
        }
    }
}

fn output_shape(op: &NodeOp, [c, h, w]: Shape) -> Shape {
    // With either padding and an odd kernel, a strided window gives ceil(side / stride) positions.
    match *op {
        NodeOp::Conv { out, stride, .. } => [out, h.div_ceil(stride), w.div_ceil(stride)],
        NodeOp::MaxPool => [c, h.div_ceil(2), w.div_ceil(2)],
        NodeOp::GlobalAvgPool => [c, 1, 1],
        NodeOp::Flatten => [c * h * w, 1, 1],
        NodeOp::Linear { out } => [out, 1, 1],
        NodeOp::BatchNorm { .. }
        | NodeOp::Activation(_)
        | NodeOp::HardSigmoid
        | NodeOp::Add
        | NodeOp::Scale => [c, h, w],
    }
}
