//! A network as the list of operators that a runtime executes: convolutions with the addition and the
//! activation that ONNX Runtime fuses into them, everything else by itself.

use crate::Precision;
use crate::ir::arch::{Activation, Padding};
use crate::ir::graph::{Graph, NodeOp, Shape, ValueId};

/// This is one fused operator at one shape, at batch 1: what a latency table has a row for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FusedOp {
    /// What it computes; a convolution has its bias.
    pub op: NodeOp,
    /// Of one sample.
    pub input: Shape,
    /// Of one sample.
    pub output: Shape,
    /// A residual addition is fused into it.
    pub add: bool,
    /// The activation fused into it.
    pub activation: Option<Activation>,
}

/// Returns the operators of a BN-folded network, in execution order. Flatten moves no data and is left out.
pub fn fused_ops(graph: &Graph) -> Vec<FusedOp> {
    let mut absorbed = vec![false; graph.nodes.len()];
    let mut ops = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        if absorbed.get(i) == Some(&true) || node.op == NodeOp::Flatten {
            continue;
        }
        let input = node.inputs.first().map_or([0; 3], |&v| graph.shape(v));
        let mut fused =
            FusedOp { op: node.op.clone(), input, output: node.shape, add: false, activation: None };
        if let NodeOp::Conv { out, kernel, stride, groups, .. } = node.op {
            // Where SAME pads both sides alike, as for stride 1, the operator is the symmetric one.
            let like = |padding| NodeOp::Conv { out, kernel, stride, groups, bias: true, padding };
            let plain = like(Padding::Symmetric);
            let same = node.op.padding(input) == plain.padding(input);
            fused.op = if same { plain } else { like(Padding::Same) };
            let mut value = ValueId(i + 1);
            // The main path's convolution takes the sum: it is the Add's first input (`blocks`).
            if let Some(next) = sole_reader(graph, value)
                && graph.nodes[next].op == NodeOp::Add
                && graph.nodes[next].inputs.first() == Some(&value)
            {
                (fused.add, absorbed[next], value) = (true, true, ValueId(next + 1));
            }
            if let Some(next) = sole_reader(graph, value)
                && let NodeOp::Activation(a @ (Activation::Relu | Activation::Relu6)) = graph.nodes[next].op
            {
                (fused.activation, absorbed[next]) = (Some(a), true);
            }
        }
        ops.push(fused);
    }
    ops
}

/// The index of the node that alone reads `value`.
fn sole_reader(graph: &Graph, value: ValueId) -> Option<usize> {
    let mut readers = graph.nodes.iter().enumerate().filter(|(_, n)| n.inputs.contains(&value));
    let (first, _) = readers.next()?;
    (value != graph.output && readers.next().is_none()).then_some(first)
}

impl FusedOp {
    /// Returns the row's name in tables and kits: `conv k3 s2 g36 36x32x32>36x16x16 relu6 fp32`,
    /// `linear 96>10 fp32`. Behind `g` stands `same` where TensorFlow's SAME pads unevenly. Equal keys are equal
    /// operators.
    pub fn key(&self, precision: Precision) -> String {
        format!("{} {precision}", self.shape_key())
    }

    /// Returns [`Self::key`] without the precision.
    pub fn shape_key(&self) -> String {
        let mut parts = vec![kind(&self.op).to_owned()];
        if let NodeOp::Conv { kernel, stride, groups, padding, .. } = self.op {
            parts.push(format!("k{kernel} s{stride} g{groups}"));
            if padding == Padding::Same {
                parts.push("same".into());
            }
        }
        parts.push(match self.op {
            NodeOp::Linear { out } => format!("{}>{out}", self.input[0]),
            _ => format!("{}>{}", sides(self.input), sides(self.output)),
        });
        if self.add {
            parts.push("add".into());
        }
        if let Some(activation) = self.activation {
            parts.push(activation_name(activation).into());
        }
        parts.join(" ")
    }

    /// Returns its multiply-accumulates.
    pub fn macs(&self) -> u64 {
        let [_, h, w] = self.output;
        let macs = match self.op {
            NodeOp::Conv { out, kernel, groups, .. } => {
                out * h * w * (self.input[0] / groups.max(1)) * kernel * kernel
            }
            NodeOp::Linear { out } => out * self.input[0],
            _ => 0,
        };
        macs as u64
    }

    /// Returns how many values it reads and writes: inputs, output, weights.
    pub fn values(&self) -> u64 {
        let size = |shape: Shape| shape.iter().product::<usize>();
        let weights = match self.op {
            NodeOp::Conv { out, kernel, groups, .. } => {
                out * (self.input[0] / groups.max(1)) * kernel * kernel + out
            }
            NodeOp::Linear { out } => out * self.input[0] + out,
            NodeOp::BatchNorm { .. } => 2 * self.input[0],
            _ => 0,
        };
        let second = if self.add || self.op == NodeOp::Add { size(self.output) } else { 0 };
        (size(self.input) + size(self.output) + second + weights) as u64
    }

    /// Returns whether each channel is convolved by itself.
    pub fn is_depthwise(&self) -> bool {
        matches!(self.op, NodeOp::Conv { groups, .. } if groups > 1 && groups == self.input[0])
    }
}

fn sides([c, h, w]: Shape) -> String {
    format!("{c}x{h}x{w}")
}

fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "relu",
        Activation::Relu6 => "relu6",
        Activation::HardSwish => "hard_swish",
    }
}

fn kind(op: &NodeOp) -> &'static str {
    match op {
        NodeOp::Conv { .. } => "conv",
        NodeOp::BatchNorm { .. } => "batch_norm",
        NodeOp::Activation(a) => activation_name(*a),
        NodeOp::HardSigmoid => "hard_sigmoid",
        NodeOp::Add => "add",
        NodeOp::Scale => "scale",
        NodeOp::MaxPool => "max_pool",
        NodeOp::GlobalAvgPool => "global_avg_pool",
        NodeOp::Flatten => "flatten",
        NodeOp::Linear { .. } => "linear",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::arch::Input;
    use crate::ir::cost;
    use crate::ir::fold::fold_graph;
    use crate::nets::pool;
    use crate::nets::zoo;

    const INPUT: Input = Input { channels: 3, height: 32, width: 32 };

    fn keys(spec: &crate::ir::arch::ArchSpec) -> Vec<String> {
        let graph = fold_graph(&Graph::lower(spec).unwrap());
        fused_ops(&graph).iter().map(|op| op.key(Precision::Fp32)).collect()
    }

    /// A residual student: the sum and the last activation of each block are the second convolution's.
    #[test]
    fn a_residual_student_by_hand() {
        let spec = pool::student("res-mini:d111-k353-e121", INPUT, 10).unwrap();
        assert_eq!(
            keys(&spec),
            [
                "conv k3 s1 g1 3x32x32>12x32x32 relu fp32",
                "conv k3 s1 g1 12x32x32>12x32x32 relu fp32",
                "conv k3 s1 g1 12x32x32>12x32x32 add relu fp32",
                "conv k5 s2 g1 12x32x32>48x16x16 relu fp32",
                "conv k5 s1 g1 48x16x16>24x16x16 add relu fp32",
                "conv k1 s2 g1 12x32x32>24x16x16 fp32",
                "conv k3 s2 g1 24x16x16>48x8x8 relu fp32",
                "conv k3 s1 g1 48x8x8>48x8x8 add relu fp32",
                "conv k1 s2 g1 24x16x16>48x8x8 fp32",
                "global_avg_pool 48x8x8>48x1x1 fp32",
                "linear 48>10 fp32",
            ]
        );
    }

    #[test]
    fn a_mobile_student_by_hand() {
        let spec = pool::student("mbv2-mini:d111-k353-e363", INPUT, 10).unwrap();
        let found = keys(&spec);
        assert_eq!(
            found[1..5],
            [
                "conv k1 s1 g1 12x32x32>36x32x32 relu6 fp32",
                "conv k3 s1 g36 36x32x32>36x32x32 relu6 fp32",
                "conv k1 s1 g1 36x32x32>12x32x32 add fp32",
                "conv k1 s1 g1 12x32x32>72x32x32 relu6 fp32",
            ]
        );
    }

    /// Uneven padding is another operator, even padding is not, whatever its name.
    #[test]
    fn same_padding_is_told_where_it_is_uneven() {
        let input = Input { channels: 3, height: 66, width: 66 };
        let found = keys(&zoo::named("efficientnet-lite0", input, 10).unwrap().unwrap());
        let strided: Vec<&str> = found.iter().filter(|k| k.contains(" s2 ")).map(String::as_str).collect();
        assert_eq!(
            strided,
            [
                "conv k3 s2 g1 same 3x66x66>32x33x33 relu6 fp32",
                "conv k3 s2 g96 96x33x33>96x17x17 relu6 fp32",
                "conv k5 s2 g144 144x17x17>144x9x9 relu6 fp32",
                "conv k3 s2 g240 240x9x9>240x5x5 relu6 fp32",
                "conv k5 s2 g672 672x5x5>672x3x3 relu6 fp32",
            ]
        );
        assert!(!found.iter().any(|k| k.contains(" s1 ") && k.contains("same")), "{found:?}");
    }

    /// A kit of the coverage has a row for every operator of every student.
    #[test]
    fn coverage_holds_every_students_operators() {
        for pool in pool::all() {
            let known: std::collections::BTreeSet<String> =
                pool.coverage().iter().flat_map(|p| keys(&pool.arch(p, INPUT, 10).unwrap())).collect();
            for i in 0..100 {
                let spec = pool.arch(&pool.sample(5, i), INPUT, 10).unwrap();
                let missing: Vec<String> = keys(&spec).into_iter().filter(|k| !known.contains(k)).collect();
                assert!(missing.is_empty(), "{}: {missing:?}", spec.name);
            }
            let few = if pool.name.starts_with("mbv2-photo") { 200..230 } else { 15..60 };
            assert!(few.contains(&known.len()), "{}: {}", pool.name, known.len());
        }
    }

    /// No node is lost or counted twice, whatever the architecture.
    #[test]
    fn macs_add_up() {
        for name in
            ["resnet20", "wrn-16-2", "resnet50", "mobilenetv2", "mobilenetv3-large", "efficientnet-lite0"]
        {
            let spec = zoo::named(name, INPUT, 10).unwrap().unwrap();
            let graph = Graph::lower(&spec).unwrap();
            let ops = fused_ops(&fold_graph(&graph));
            assert_eq!(ops.iter().map(FusedOp::macs).sum::<u64>(), cost::Cost::of(&graph).macs, "{name}");
        }
    }
}
