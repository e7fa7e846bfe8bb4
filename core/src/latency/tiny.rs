//! The tiny models that an operator is timed with. One operator timed alone says little: starting a
//! session costs more than most operators, and a runtime that lays tensors out in its own way (ONNX
//! Runtime's NCHWc) converts at the model's edges what it would not convert inside a network. So two
//! models are timed that differ in the operator alone:
//!
//! ```text
//! reference   image -> [carrier -> probe]            x COPIES, summed
//! timed       image -> [carrier -> OP -> probe]      x COPIES, summed
//! ```
//!
//! The carrier (1x1 convolution) makes the operator's input inside the model: in the runtime's own
//! layout and in the cache, as its producer would. The probe (1x1 convolution at one position) reads
//! next to nothing, but as a consumer would: where the layout must be converted for it, that is counted.
//! The difference of the two times, over COPIES, is what the operator adds to a network.

use super::ops::FusedOp;
use crate::ir::arch::{Activation, Input, Padding};
use crate::ir::builder::Builder;
use crate::ir::graph::{Graph, IMAGE, NodeOp, Shape, ValueId};

/// Times that an operator occurs in its model: the difference of two times is divided by this, and so
/// is its error.
const COPIES: usize = 4;
/// Channels of the tiny models' images and of their probes.
const CHANNELS: usize = 4;

impl FusedOp {
    /// Returns by what the difference of the two models' times is to be divided.
    pub fn copies(&self) -> usize {
        if matches!(self.op, NodeOp::Linear { .. }) { 1 } else { COPIES }
    }

    /// Builds the model that holds the operator.
    pub fn timed_model(&self) -> Graph {
        self.model(true)
    }

    /// Builds the same model without the operator.
    pub fn reference_model(&self) -> Graph {
        self.model(false)
    }

    fn model(&self, with_op: bool) -> Graph {
        let [channels, height, width] = self.input;
        let mut b = Builder::new(Input { channels: CHANNELS, height, width });
        if let NodeOp::Linear { .. } = self.op {
            let x = conv(&mut b, "carrier", IMAGE, channels, 1);
            let mut x = b.push("flatten", NodeOp::Flatten, &[x]);
            if with_op {
                x = b.push("op", self.op.clone(), &[x]);
            }
            let x = b.push("probe", NodeOp::Linear { out: 1 }, &[x]);
            return b.finish(x);
        }
        let second = self.second_input(&mut b);
        let mut sum = second.map(|z| probe(&mut b, "second.probe", z));
        for i in 0..self.copies() {
            let mut x = conv(&mut b, &format!("carrier.{i}"), IMAGE, channels, 1);
            if with_op {
                x = self.apply(&mut b, &format!("op.{i}"), x, second);
            }
            let x = probe(&mut b, &format!("probe.{i}"), x);
            sum = Some(match sum {
                Some(sum) => b.push(&format!("sum.{i}"), NodeOp::Add, &[x, sum]),
                None => x,
            });
        }
        let sum = sum.unwrap_or(IMAGE);
        let out = b.push("flatten", NodeOp::Flatten, &[sum]);
        b.finish(out)
    }

    /// The value that is added or scaled by; one for all copies, as a block's input is made long before.
    fn second_input(&self, b: &mut Builder) -> Option<ValueId> {
        let [channels, ..] = self.output;
        match self.op {
            NodeOp::Conv { stride, .. } if self.add => Some(conv(b, "second", IMAGE, channels, stride)),
            NodeOp::Add => Some(conv(b, "second", IMAGE, channels, 1)),
            NodeOp::Scale => {
                let z = conv(b, "second", IMAGE, channels, 1);
                Some(b.push("second.pool", NodeOp::GlobalAvgPool, &[z]))
            }
            _ => None,
        }
    }

    fn apply(&self, b: &mut Builder, name: &str, x: ValueId, second: Option<ValueId>) -> ValueId {
        let takes_two = matches!(self.op, NodeOp::Add | NodeOp::Scale);
        let inputs: Vec<ValueId> = [x].into_iter().chain(second.filter(|_| takes_two)).collect();
        let mut y = b.push(name, self.op.clone(), &inputs);
        if let Some(z) = second.filter(|_| self.add) {
            y = b.push(&format!("{name}.add"), NodeOp::Add, &[y, z]);
        }
        if let Some(a) = self.activation {
            y = b.push(&format!("{name}.act"), NodeOp::Activation(a), &[y]);
        }
        y
    }

    /// Returns what the reference model depends on: operators that agree in it share one.
    pub fn reference_key(&self) -> (Shape, Option<(Shape, String)>, bool) {
        let second = self.add || matches!(self.op, NodeOp::Add | NodeOp::Scale);
        let second = second.then(|| {
            let stride = if let NodeOp::Conv { stride, .. } = self.op { stride } else { 1 };
            (self.output, format!("{} {stride}", self.op == NodeOp::Scale))
        });
        (self.input, second, matches!(self.op, NodeOp::Linear { .. }))
    }
}

fn conv(b: &mut Builder, name: &str, x: ValueId, out: usize, stride: usize) -> ValueId {
    let y = b.push(name, point(out, stride), &[x]);
    // An activation, as most producers have: an int8 carrier without one would be signed.
    b.push(&format!("{name}.act"), NodeOp::Activation(Activation::Relu), &[y])
}

/// A 1x1 convolution.
fn point(out: usize, stride: usize) -> NodeOp {
    NodeOp::Conv { out, kernel: 1, stride, groups: 1, bias: true, padding: Padding::Symmetric }
}

fn probe(b: &mut Builder, name: &str, x: ValueId) -> ValueId {
    let [_, h, w] = b.shape(x);
    b.push(name, point(CHANNELS, h.max(w)), &[x])
}

#[cfg(test)]
mod tests {
    use super::super::ops::fused_ops;
    use super::*;
    use crate::ir::eval;
    use crate::ir::fold::fold_graph;
    use crate::ir::random_weights;
    use crate::nets::zoo;
    use std::collections::BTreeMap;

    /// The timed model of every operator of five architectures holds it COPIES times and otherwise what
    /// its reference holds; both compute.
    #[test]
    fn the_two_models_differ_in_the_operator_alone() {
        let input = Input { channels: 3, height: 16, width: 16 };
        let mut ops = BTreeMap::new();
        for name in ["resnet8", "wrn-10-1", "resnet50", "mobilenetv2", "efficientnet-lite0"] {
            let mut spec = zoo::named(name, input, 10).unwrap().unwrap();
            for block in spec.stages.iter_mut().flat_map(|s| &mut s.blocks).filter(|_| name == "mobilenetv2")
            {
                (block.se, block.activation) = (Some(8), Activation::HardSwish);
            }
            for op in fused_ops(&fold_graph(&Graph::lower(&spec).unwrap())) {
                ops.insert(op.key(crate::Precision::Fp32), op);
            }
        }
        let kinds: std::collections::BTreeSet<&str> =
            ops.keys().filter_map(|k| k.split_whitespace().next()).collect();
        assert_eq!(kinds.len(), 8, "{kinds:?}"); // all but unfused Add, and Flatten
        for (key, op) in &ops {
            let (timed, reference) = (op.timed_model(), op.reference_model());
            let copies = fused_ops(&timed).into_iter().filter(|f| f == op).count();
            let probes = if reference.input.height == 1 { op.copies() + 1 } else { 0 };
            assert!((op.copies()..=op.copies() + probes).contains(&copies), "{key}: {copies}");
            let (a, b) = (fused_ops(&timed).len(), fused_ops(&reference).len());
            assert_eq!(a, b + op.copies(), "{key}");
            assert_eq!(op.reference_key(), op.reference_key());
            for graph in [timed, reference].iter().filter(|g| g.params().len() < 30) {
                let weights = random_weights::random_weights(graph, 1);
                let out = eval::run(graph, &weights, &random_weights::random_image(graph, 2)).unwrap();
                assert!(out.iter().all(|x| x.is_finite()), "{key}");
            }
        }
    }

    #[test]
    fn equal_reference_keys_are_equal_references() {
        let input = Input { channels: 3, height: 32, width: 32 };
        let spec = zoo::named("mobilenetv2", input, 10).unwrap().unwrap();
        let mut seen: Vec<(FusedOp, Graph)> = Vec::new();
        let mut shared = 0;
        for op in fused_ops(&fold_graph(&Graph::lower(&spec).unwrap())) {
            let reference = op.reference_model();
            for (other, theirs) in &seen {
                let same = other.reference_key() == op.reference_key();
                assert_eq!(same, *theirs == reference, "{} / {}", other.shape_key(), op.shape_key());
                shared += usize::from(same);
            }
            seen.push((op, reference));
        }
        assert!(shared > 10);
    }
}
