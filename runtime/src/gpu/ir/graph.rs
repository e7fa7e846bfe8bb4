//! The typed graph: values with types and shapes, and the nodes that compute them.

use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::op::Op;
use crate::onnx::{Constant, Numbers};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Largest tensor, in elements: one storage binding of 2 GiB.
const MAX_ELEMENTS: usize = 1 << 29;
/// Most dimensions of a tensor.
pub const MAX_RANK: usize = 6;

/// This is the index of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub usize);

/// These are integers and what they stand for: the input of a DequantizeLinear.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// The integers.
    pub integers: ValueId,
    /// One, or one for each index of `axis`.
    pub scales: Vec<f32>,
    /// As many as scales.
    pub zero_points: Vec<i32>,
    /// What the scales run along.
    pub axis: usize,
}

/// A value is a tensor.
#[derive(Debug, Clone)]
pub struct Value {
    /// Element type.
    pub dtype: DType,
    /// Row-major.
    pub shape: Vec<usize>,
    /// Values known at loading.
    pub constant: Option<Rc<Numbers>>,
    /// The value whose memory this is (itself, but for reshapes).
    pub root: ValueId,
    /// How often nodes and the graph's outputs read it.
    pub uses: usize,
    /// The node that writes it.
    pub node: Option<usize>,
    /// The integers it was dequantised from.
    pub affine: Option<Affine>,
    /// Whether it lies among the packed weights.
    pub packed: bool,
    /// Of a constant: the [`Node::origin`] that brought it. Constants lie in this order.
    pub origin: usize,
}

impl Value {
    /// Returns how many elements it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns its shape as `[images, channels, places]`. Fewer than two dimensions are an error.
    pub fn planes(&self) -> Result<[usize; 3], String> {
        match &self.shape[..] {
            [n, c, rest @ ..] => Ok([*n, *c, rest.iter().product()]),
            other => Err(format!("has a value {other:?}, wanted images and channels")),
        }
    }
}

/// These are the values that an operator reads, as its struct says; `None` where an operand is left out.
pub type Reads = Vec<Option<ValueId>>;

/// A node is an operator and its values.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name in the file, or its first output's.
    pub name: String,
    /// The file's operators that it computes (`Conv+Relu`).
    pub label: String,
    /// Which of the file's nodes it came from, counted from 1; 0 is the file's own inputs and initializers.
    pub origin: usize,
    /// What it computes.
    pub op: Op,
    /// Its operands.
    pub reads: Reads,
    /// Its result.
    pub write: ValueId,
}

impl Node {
    /// Returns operand `i`; it is an error if that is left out.
    pub fn read(&self, i: usize) -> Result<ValueId, String> {
        self.reads.get(i).copied().flatten().ok_or_else(|| format!("has no operand {i}"))
    }
}

/// A graph holds values, and nodes in order of execution.
#[derive(Debug)]
pub struct Graph {
    /// Bytes that constants may still take.
    budget: usize,
    /// By [`ValueId`].
    pub values: Vec<Value>,
    /// In order of execution.
    pub nodes: Vec<Node>,
}

impl Graph {
    /// Makes an empty graph, whose constants may take so many bytes: a small file cannot ask for a large
    /// memory.
    pub fn new(budget: usize) -> Self {
        Self { budget, values: Vec::new(), nodes: Vec::new() }
    }

    /// Adds a value that nothing computes yet. Fails where it has too many dimensions or elements, or none.
    pub fn add(&mut self, dtype: DType, shape: &[usize], uses: usize) -> Result<ValueId, String> {
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if shape.len() > MAX_RANK {
            return Err(format!("makes {} dimensions, at most {MAX_RANK} are supported", shape.len()));
        }
        if elements.is_none_or(|n| n == 0 || n > MAX_ELEMENTS) {
            return Err(format!("makes a tensor {shape:?}, which is empty or too large"));
        }
        let id = ValueId(self.values.len());
        self.values.push(Value {
            dtype,
            shape: shape.to_vec(),
            constant: None,
            root: id,
            uses,
            node: None,
            affine: None,
            packed: false,
            origin: 0,
        });
        Ok(id)
    }

    /// Adds known values that the node `origin` brought. Fails where they go beyond the graph's budget.
    pub fn add_constant(
        &mut self,
        constant: Constant,
        uses: usize,
        origin: usize,
    ) -> Result<ValueId, String> {
        let bytes = constant.numbers.bytes();
        self.budget =
            self.budget.checked_sub(bytes).ok_or("its constants are out of proportion to the file")?;
        let dtype = DType::of(constant.elem_type)?;
        // An empty list of axes, roi or scales is a value of its own.
        let empty = constant.numbers.len() == 0;
        let id = self.add(dtype, if empty { &[1] } else { &constant.shape }, uses)?;
        let value = self.value_mut(id)?;
        (value.constant, value.origin) = (Some(Rc::new(constant.numbers)), origin);
        if empty {
            value.shape = vec![0];
        }
        Ok(id)
    }

    /// Adds weights as a kernel wants them, which lie apart.
    pub fn add_packed(&mut self, constant: Constant, origin: usize) -> Result<ValueId, String> {
        let id = self.add_constant(constant, 1, origin)?;
        self.value_mut(id)?.packed = true;
        Ok(id)
    }

    /// Returns a constant's numbers, if it is one. Where nothing else reads them, they are given up here, and
    /// their bytes with them.
    pub fn take_numbers(&mut self, id: ValueId) -> Result<Option<Rc<Numbers>>, String> {
        let value = self.value_mut(id)?;
        if value.uses > 1 {
            return Ok(value.constant.clone());
        }
        let numbers = value.constant.take();
        self.budget += numbers.as_ref().map_or(0, |n| n.bytes());
        Ok(numbers)
    }

    /// Returns the value; ids come from this graph only.
    pub fn value(&self, id: ValueId) -> Result<&Value, String> {
        self.values.get(id.0).ok_or_else(|| missing(id))
    }

    /// Returns the value, to change it.
    pub fn value_mut(&mut self, id: ValueId) -> Result<&mut Value, String> {
        self.values.get_mut(id.0).ok_or_else(|| missing(id))
    }

    /// Returns the value whose memory this is.
    pub fn root(&self, id: ValueId) -> Result<ValueId, String> {
        Ok(self.value(id)?.root)
    }

    /// Appends a node.
    pub fn push(&mut self, node: Node) -> Result<(), String> {
        let at = self.nodes.len();
        self.value_mut(node.write)?.node = Some(at);
        self.nodes.push(node);
        Ok(())
    }

    /// Takes all nodes out, to be pushed again as they are or changed.
    pub fn take_nodes(&mut self) -> Vec<Node> {
        self.values.iter_mut().for_each(|v| v.node = None);
        std::mem::take(&mut self.nodes)
    }

    /// Returns the node, to change it.
    pub fn node_mut(&mut self, at: usize) -> Result<&mut Node, String> {
        self.nodes.get_mut(at).ok_or_else(|| format!("node {at} is not there"))
    }

    /// Returns the node that writes `value`, and where it is, if nothing else reads what it writes.
    pub fn sole_node(&self, value: ValueId) -> Result<Option<(usize, &Node)>, String> {
        let value = self.value(value)?;
        let Some(at) = value.node.filter(|_| value.uses == 1) else { return Ok(None) };
        let node = self.nodes.get(at).ok_or_else(|| format!("node {at} is not there"))?;
        Ok(Some((at, node)))
    }

    /// Lets the node at `at` stand for `next` too, the node behind it: it writes what that would have written.
    pub fn absorb(&mut self, at: usize, next: &Node) -> Result<(), String> {
        let node = self.node_mut(at)?;
        node.label = format!("{}+{}", node.label, next.label);
        let old = std::mem::replace(&mut node.write, next.write);
        self.value_mut(old)?.node = None;
        self.value_mut(next.write)?.node = Some(at);
        Ok(())
    }

    /// Removes nodes whose results nobody reads; `outputs` are read by the caller.
    pub fn prune(&mut self, outputs: &[ValueId]) -> Result<(), String> {
        let mut wanted = outputs.iter().map(|&o| self.root(o)).collect::<Result<BTreeSet<_>, _>>()?;
        let mut kept = Vec::new();
        for node in self.take_nodes().into_iter().rev() {
            if wanted.contains(&node.write) {
                for &read in node.reads.iter().flatten() {
                    wanted.insert(self.root(read)?);
                }
                kept.push(node);
            }
        }
        kept.into_iter().rev().try_for_each(|node| self.push(node))
    }
}

fn missing(id: ValueId) -> String {
    format!("value {} is not there", id.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::ir::op::Activation;

    fn relu(x: ValueId, y: ValueId) -> Node {
        let op = Op::Activation(Activation::Relu);
        Node { name: "n".into(), label: "Relu".into(), origin: 1, op, reads: vec![Some(x)], write: y }
    }

    #[test]
    fn a_missing_value_is_an_error_everywhere() {
        let mut graph = Graph::new(1000);
        let there = graph.add(DType::F32, &[2], 1).unwrap();
        let gone = ValueId(7);
        let text = "value 7 is not there";
        assert_eq!(graph.value(gone).unwrap_err(), text);
        assert_eq!(graph.value_mut(gone).unwrap_err(), text);
        assert_eq!(graph.root(gone).unwrap_err(), text);
        assert_eq!(graph.take_numbers(gone).unwrap_err(), text);
        assert_eq!(graph.sole_node(gone).unwrap_err(), text);
        assert_eq!(graph.push(relu(there, gone)).unwrap_err(), text);
        graph.push(relu(gone, there)).unwrap();
        assert_eq!(graph.prune(&[there]).unwrap_err(), text);
        assert_eq!(graph.prune(&[gone]).unwrap_err(), text);
        assert_eq!(graph.absorb(3, &relu(there, there)).unwrap_err(), "node 3 is not there");
    }

    #[test]
    fn what_nobody_reads_is_pruned_and_the_rest_keeps_its_order() {
        let mut graph = Graph::new(1000);
        let [x, a, b, y] = [1, 2, 0, 1].map(|uses| graph.add(DType::F32, &[2], uses).unwrap());
        for (from, to) in [(x, a), (a, b), (a, y)] {
            graph.push(relu(from, to)).unwrap();
        }
        graph.prune(&[y]).unwrap();
        assert_eq!(graph.nodes.iter().map(|n| n.write).collect::<Vec<_>>(), [a, y]);
        assert_eq!(graph.value(y).unwrap().node, Some(1));
        assert_eq!(graph.value(b).unwrap().node, None);
    }
}
