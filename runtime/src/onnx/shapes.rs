//! How large a model's values are, found before any of them is allocated: a file of 70 bytes can ask for terabytes.
//!
//! [`walk`] goes through the nodes once, as ONNX's operator pages tell each result's shape (`rules`); small integer
//! constants are followed too, so that a shape that is computed from another is known. What only the inputs' values
//! can tell (a Range up to an input, a Loop) stays unknown, and is named.

mod moves;
mod rules;
mod windows;

use crate::onnx::proto::{GraphProto, TensorProto};
use crate::onnx::{Constant, Numbers};
use std::collections::HashMap;

/// Constants of more elements are weights, and no shape.
const FOLLOWED: u64 = 64;

/// This is what is known of a value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Its dimensions.
    pub dims: Option<Vec<u64>>,
    /// ONNX's element type; 0 where it is not known.
    pub elem_type: i32,
    /// Its numbers, if they are few and known before anything runs.
    pub numbers: Option<Numbers>,
}

/// This is what a walk found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// By value name.
    pub values: HashMap<String, Known>,
    /// The most that values other than weights take at one moment, bytes. What is unknown counts nothing.
    pub peak: u64,
    /// The node at that moment.
    pub at: Option<usize>,
    /// Nodes whose results' sizes are not known.
    pub unknown: Vec<usize>,
}

impl Known {
    /// Makes a value of these dimensions, whose numbers are not known.
    pub fn of(dims: Vec<u64>, elem_type: i32) -> Self {
        Self { dims: Some(dims), elem_type, numbers: None }
    }

    /// Returns the bytes that it takes: 0 where the shape is unknown, and as many as can be said where they are
    /// too many to count.
    pub fn bytes(&self) -> u64 {
        self.elements().unwrap_or(0).saturating_mul(element_bytes(self.elem_type))
    }

    fn elements(&self) -> Option<u64> {
        Some(self.dims.as_ref()?.iter().fold(1, |n: u64, &d| n.saturating_mul(d)))
    }

    fn constant(tensor: &TensorProto) -> Self {
        let dims: Option<Vec<u64>> = tensor.dims.iter().map(|&d| u64::try_from(d).ok()).collect();
        let known = Self { dims, elem_type: tensor.data_type, numbers: None };
        let few = known.elements().is_some_and(|n| n <= FOLLOWED);
        let numbers = if few { Constant::read(tensor).ok().map(|c| c.numbers) } else { None };
        Self { numbers, ..known }
    }

    /// Returns its integers, if they are known.
    pub fn ints(&self) -> Option<&[i64]> {
        match &self.numbers {
            Some(Numbers::I64(v)) => Some(v),
            _ => None,
        }
    }
}

/// Of an element of ONNX's type; of types we do not know as many as of the largest number.
fn element_bytes(data_type: i32) -> u64 {
    match data_type {
        2 | 3 | 9 | 17..=20 => 1,
        4 | 5 | 10 | 16 => 2,
        1 | 6 | 12 => 4,
        14 | 15 => 16,
        _ => 8,
    }
}

/// Follows the shapes from the graph's inputs, given by name, to its outputs.
pub(crate) fn walk(graph: &GraphProto, opset: i64, inputs: HashMap<String, Known>) -> Walk {
    let mut values: HashMap<String, Known> =
        graph.initializer.iter().map(|t| (t.name.clone(), Known::constant(t))).collect();
    // Inputs stay to the end: they are the caller's.
    let mut alive = inputs.values().fold(0u64, |sum, v| sum.saturating_add(v.bytes()));
    values.extend(inputs);
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (i, node) in graph.node.iter().enumerate() {
        last.extend(node.output.iter().chain(&node.input).map(|name| (name.as_str(), i)));
    }
    last.extend(graph.output.iter().map(|o| (o.name.as_str(), usize::MAX)));
    let mut walk = Walk { peak: alive, ..Walk::default() };
    let mut dies: HashMap<usize, u64> = HashMap::new();
    for (i, node) in graph.node.iter().enumerate() {
        let results = rules::results(node, opset, &values);
        if results.iter().any(|r| r.dims.is_none()) {
            walk.unknown.push(i);
        }
        for (name, result) in node.output.iter().zip(results).filter(|(name, _)| !name.is_empty()) {
            let bytes = result.bytes();
            alive = alive.saturating_add(bytes);
            let until = last.get(name.as_str()).copied().unwrap_or(i);
            let sum = dies.entry(until).or_default();
            *sum = sum.saturating_add(bytes);
            values.insert(name.clone(), result);
        }
        if alive > walk.peak {
            (walk.peak, walk.at) = (alive, Some(i));
        }
        // Beyond what can be counted nothing is given back.
        if alive < u64::MAX {
            alive = alive.saturating_sub(dies.remove(&i).unwrap_or(0));
        }
    }
    walk.values = values;
    walk
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{AttributeProto, NodeProto, ValueInfo};

    fn node(op: &str, inputs: &[&str], output: &str, ints: &[(&str, &[i64])]) -> NodeProto {
        let attribute = |(name, v): &(&str, &[i64])| AttributeProto {
            name: (*name).into(),
            ints: v.to_vec(),
            r#type: 7,
            ..Default::default()
        };
        NodeProto {
            op_type: op.into(),
            input: inputs.iter().map(|&n| n.to_owned()).collect(),
            output: vec![output.into()],
            attribute: ints.iter().map(attribute).collect(),
            ..Default::default()
        }
    }

    fn ints(name: &str, values: &[i64]) -> TensorProto {
        TensorProto {
            name: name.into(),
            dims: vec![i64::try_from(values.len()).unwrap()],
            data_type: 7,
            int64_data: values.to_vec(),
            ..Default::default()
        }
    }

    fn floats(name: &str, dims: &[i64]) -> TensorProto {
        let n = dims.iter().product::<i64>();
        TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: 1,
            float_data: vec![1.0; usize::try_from(n).unwrap()],
            ..Default::default()
        }
    }

    /// From x [2, 3, 8, 8].
    fn walked(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Walk {
        let output = nodes.last().unwrap().output.clone();
        let output = output.into_iter().map(|name| ValueInfo { name, r#type: None }).collect();
        let graph = GraphProto { node: nodes, initializer, output, ..Default::default() };
        walk(&graph, 17, HashMap::from([("x".to_owned(), Known::of(vec![2, 3, 8, 8], 1))]))
    }

    #[test]
    fn shapes_by_hand() {
        let i = |v: &[i64]| vec![ints("i", v)];
        let cases: Vec<(NodeProto, Vec<TensorProto>, &[u64])> = vec![
            (node("Relu", &["x"], "y", &[]), vec![], &[2, 3, 8, 8]),
            (
                node("Conv", &["x", "w"], "y", &[("strides", &[2, 2])]),
                vec![floats("w", &[5, 3, 3, 3])],
                &[2, 5, 3, 3],
            ),
            (
                node("Conv", &["x", "w"], "y", &[("pads", &[1, 1, 1, 1]), ("dilations", &[2, 1])]),
                vec![floats("w", &[5, 3, 3, 3])],
                &[2, 5, 6, 8],
            ),
            (
                node("ConvTranspose", &["x", "w"], "y", &[("strides", &[2, 2])]),
                vec![floats("w", &[3, 4, 3, 3])],
                &[2, 4, 17, 17],
            ),
            (node("MaxPool", &["x"], "y", &[("kernel_shape", &[2, 2])]), vec![], &[2, 3, 7, 7]),
            (node("GlobalAveragePool", &["x"], "y", &[]), vec![], &[2, 3, 1, 1]),
            (node("Flatten", &["x"], "y", &[]), vec![], &[2, 192]),
            (node("Reshape", &["x", "i"], "y", &[]), i(&[0, -1, 16]), &[2, 12, 16]),
            (node("Transpose", &["x"], "y", &[("perm", &[0, 2, 3, 1])]), vec![], &[2, 8, 8, 3]),
            (node("Pad", &["x", "i"], "y", &[]), i(&[0, 0, 1, 0, 0, 0, 1, 4]), &[2, 3, 10, 12]),
            (node("Tile", &["x", "i"], "y", &[]), i(&[1, 2, 1, 1]), &[2, 6, 8, 8]),
            (node("Expand", &["x", "i"], "y", &[]), i(&[5, 1, 1, 1, 1]), &[5, 2, 3, 8, 8]),
            (node("ConstantOfShape", &["i"], "y", &[]), i(&[1_000_000, 1_000_000]), &[1_000_000, 1_000_000]),
            (node("Unsqueeze", &["x", "i"], "y", &[]), i(&[0, -1]), &[1, 2, 3, 8, 8, 1]),
            (node("Gather", &["x", "i"], "y", &[]), i(&[0, 0, 1]), &[3, 3, 8, 8]),
            (node("ReduceMean", &["x"], "y", &[("axes", &[2, 3])]), vec![], &[2, 3, 1, 1]),
            (node("MatMul", &["x", "w"], "y", &[]), vec![floats("w", &[8, 5])], &[2, 3, 8, 5]),
            (node("Concat", &["x", "x"], "y", &[]), vec![], &[4, 3, 8, 8]),
        ];
        for (node, initializer, wanted) in cases {
            let op = node.op_type.clone();
            let walk = walked(vec![node], initializer);
            assert_eq!(walk.values["y"].dims.as_deref(), Some(wanted), "{op}");
            assert!(walk.unknown.is_empty(), "{op}");
        }
    }

    #[test]
    fn shapes_that_are_computed_are_followed() {
        let nodes = vec![
            node("Shape", &["x"], "s", &[]),
            node("Gather", &["s", "two"], "h", &[]),
            node("Mul", &["h", "i"], "big", &[]),
            node("Concat", &["big", "big"], "shape", &[]),
            node("ConstantOfShape", &["shape"], "y", &[]),
        ];
        let walk = walked(nodes, vec![ints("two", &[2]), ints("i", &[1 << 40])]);
        assert_eq!(walk.values["y"].dims.as_deref(), Some(&[8 << 40, 8 << 40][..]));
        assert_eq!((walk.peak, walk.at), (u64::MAX, Some(4)), "too many to count is no small number");
    }

    #[test]
    fn what_is_dead_counts_no_more() {
        let x = 4 * 2 * 3 * 8 * 8;
        let chain = (0..5).map(|i| {
            let name = |i: i32| if i == 0 { "x".to_owned() } else { format!("v{i}") };
            node("Relu", &[&name(i)], &name(i + 1), &[])
        });
        assert_eq!(walked(chain.collect(), vec![]).peak, 3 * x, "the input, what is read, what is written");
        let unknown = walked(vec![node("Mystery", &["x"], "y", &[])], vec![]);
        assert_eq!((unknown.peak, unknown.unknown), (x, vec![0]));
    }
}
