//! Where quantisation stands: after which values a Q/DQ pair goes, and which activations its
//! saturation replaces, so that ONNX Runtime fuses every convolution, sum and product.

use crate::ir::arch::Activation;
use crate::ir::graph::{Graph, IMAGE, Node, NodeOp, ValueId};
use std::collections::BTreeSet;

/// These are a graph's units: an operator with the Relu or Relu6 behind it counts as one.
#[derive(Debug, Clone)]
pub struct Placement {
    /// By node: an activation that belongs to the operator before it.
    pub joined: Vec<bool>,
    /// By value: the unit's output, where a Q/DQ pair may stand (not inside a unit, not the logits).
    pub site: Vec<bool>,
    /// By value: nodes that read it.
    readers: Vec<Vec<usize>>,
}

/// Returns whether the operator has an int8 form that is worth it.
pub fn quantisable(op: &NodeOp) -> bool {
    matches!(
        op,
        NodeOp::Conv { .. } | NodeOp::Linear { .. } | NodeOp::Add | NodeOp::Scale | NodeOp::GlobalAvgPool
    )
}

/// Returns whether the operator passes integers through unchanged: its output has its input's scale.
pub fn passes_through(op: &NodeOp) -> bool {
    matches!(op, NodeOp::MaxPool | NodeOp::Flatten)
}

impl Placement {
    /// Finds the units of a folded graph.
    pub fn of(graph: &Graph) -> Self {
        let mut readers = vec![Vec::new(); graph.nodes.len() + 1];
        for (i, node) in graph.nodes.iter().enumerate() {
            for v in &node.inputs {
                if let Some(list) = readers.get_mut(v.0) {
                    list.push(i);
                }
            }
        }
        let joins = |node: &Node| {
            let Some(&input) = node.inputs.first() else { return false };
            let producer = producer(graph, input).map(|p| &p.op);
            matches!(node.op, NodeOp::Activation(Activation::Relu | Activation::Relu6))
                && producer.is_some_and(|op| quantisable(op) && *op != NodeOp::GlobalAvgPool)
                && readers.get(input.0).is_some_and(|r| r.len() == 1)
                && input != graph.output
        };
        let joined: Vec<bool> = graph.nodes.iter().map(joins).collect();
        let inner = |v: usize| {
            readers.get(v).is_some_and(|r| matches!(r.as_slice(), [one] if joined.get(*one) == Some(&true)))
        };
        let site = (0..=graph.nodes.len()).map(|v| !inner(v) && ValueId(v) != graph.output).collect();
        Self { joined, site, readers }
    }

    /// Returns the node that computes the unit whose output is `value`: the operator before a joined
    /// activation. For the image it is `None`.
    pub fn unit(&self, graph: &Graph, value: ValueId) -> Option<usize> {
        let node = value.0.checked_sub(1)?;
        if self.joined.get(node) == Some(&true) {
            return graph.nodes.get(node)?.inputs.first()?.0.checked_sub(1);
        }
        Some(node)
    }

    /// Returns the unit's output: the value of the joined activation behind `node`, else its own.
    pub fn output(&self, node: usize) -> ValueId {
        let own = node + 1;
        match self.readers.get(own).map(Vec::as_slice) {
            Some([one]) if self.joined.get(*one) == Some(&true) => ValueId(one + 1),
            _ => ValueId(own),
        }
    }

    /// Returns, for each value, whether a Q/DQ pair stands after it, if the units in `fp32` (node names) stay
    /// in fp32: every site next to an int8 unit has one.
    pub fn quantised(&self, graph: &Graph, fp32: &BTreeSet<String>) -> Vec<bool> {
        let int8 =
            |i: usize| graph.nodes.get(i).is_some_and(|n| quantisable(&n.op) && !fp32.contains(&n.name));
        let mut quantised = vec![false; graph.nodes.len() + 1];
        for v in 0..=graph.nodes.len() {
            let made = self.unit(graph, ValueId(v)).is_some_and(int8);
            let read = self.readers.get(v).is_some_and(|r| r.iter().any(|&i| int8(i)));
            let passed = producer(graph, ValueId(v)).is_some_and(|n| {
                passes_through(&n.op) && n.inputs.iter().any(|i| quantised.get(i.0) == Some(&true))
            });
            let stands = self.site.get(v) == Some(&true) && (made || read || passed);
            if let Some(slot) = quantised.get_mut(v) {
                *slot = stands;
            }
        }
        // What passes through into an int8 unit must come in as integers.
        for (i, node) in graph.nodes.iter().enumerate().rev() {
            if passes_through(&node.op) && quantised.get(i + 1) == Some(&true) {
                for v in &node.inputs {
                    if let Some(slot) = quantised.get_mut(v.0) {
                        *slot = self.site.get(v.0) == Some(&true);
                    }
                }
            }
        }
        quantised
    }

    /// Returns the values whose range calibration must find.
    pub fn sites(&self) -> Vec<ValueId> {
        let all = self.site.iter().enumerate();
        all.filter(|(_, site)| **site).map(|(v, _)| ValueId(v)).collect()
    }
}

/// Returns the node that makes a value; `None` for the image.
pub fn producer(graph: &Graph, value: ValueId) -> Option<&Node> {
    if value == IMAGE { None } else { graph.nodes.get(value.0 - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::arch::Input;
    use crate::ir::fold;
    use crate::nets::pool;
    use crate::nets::zoo;

    fn names(graph: &Graph, flags: &[bool]) -> Vec<String> {
        let name = |v: usize| producer(graph, ValueId(v)).map_or("image", |n| &n.name).to_owned();
        flags.iter().enumerate().filter(|(_, f)| **f).map(|(v, _)| name(v)).collect()
    }

    #[test]
    fn a_bottleneck_is_quantised_after_each_unit() {
        let input = Input { channels: 1, height: 28, width: 28 };
        let spec = pool::student("mbv2-mini:d111-k333-e333", input, 10).unwrap();
        let graph = fold::fold_graph(&Graph::lower(&spec).unwrap());
        let placement = Placement::of(&graph);
        let all = names(&graph, &placement.quantised(&graph, &BTreeSet::new()));
        assert_eq!(all[..3], ["image", "stem.act", "stages.0.0.expand.act"], "{all:?}");
        assert!(
            all.contains(&"stages.0.0.project.conv".to_owned()) && !all.contains(&"stem.conv".to_owned())
        );
        assert_eq!(all.last().unwrap(), "head.flatten", "logits stay f32");

        // One layer in fp32: its neighbours still read and write integers.
        let one = BTreeSet::from(["stages.0.0.depthwise.conv".to_owned()]);
        assert_eq!(names(&graph, &placement.quantised(&graph, &one)), all);
        // Two in a row: the value between them is free.
        let two =
            BTreeSet::from(["stages.0.0.depthwise.conv".to_owned(), "stages.0.0.project.conv".to_owned()]);
        let left = names(&graph, &placement.quantised(&graph, &two));
        assert!(!left.contains(&"stages.0.0.depthwise.act".to_owned()) && left.len() == all.len() - 1);
    }

    #[test]
    fn a_residual_sum_takes_its_relu_along() {
        let input = Input { channels: 3, height: 32, width: 32 };
        for (name, sum) in [("resnet8", "stages.0.0.act"), ("resnet18", "stem.pool")] {
            let spec = zoo::named(name, input, 10).unwrap().unwrap();
            let mut spec = spec;
            spec.stem.max_pool = name == "resnet18";
            let graph = fold::fold_graph(&Graph::lower(&spec).unwrap());
            let placement = Placement::of(&graph);
            let all = names(&graph, &placement.quantised(&graph, &BTreeSet::new()));
            assert!(all.contains(&sum.to_owned()), "{name}: {all:?}");
            assert!(!all.iter().any(|n| n.ends_with(".add")), "{name}: {all:?}");
        }
    }
}
