//! `Graph` and weights to ONNX bytes. The same input gives the same bytes: nothing here depends on
//! time, host or hash order. ONNX operators: onnx.ai/onnx/operators.

use gtn_core::arch::Activation;
use gtn_core::graph::{BN_EPSILON, Graph, Node, NodeOp, ValueId};
use gtn_core::weights::Weights;
use gtn_core::{Error, Result};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use std::collections::{BTreeMap, BTreeSet};

const FLOAT: i32 = 1; // TensorProto.DataType.FLOAT
/// protobuf's bound on one message, less room for the nodes.
const MAX_WEIGHT_BYTES: usize = 2_000_000_000;

/// What is written beside the network.
pub struct Describe<'a> {
    /// Graph's name.
    pub name: &'a str,
    /// Operator set, 13 to 21.
    pub opset: i64,
    /// `metadata_props`, in key order.
    pub metadata: &'a BTreeMap<String, String>,
}

/// Serialises a network: input `image` f32 `[N, C, H, W]`, output `logits` f32 `[N, classes]`.
pub fn write(graph: &Graph, weights: &Weights, describe: &Describe) -> Result<Vec<u8>> {
    let bytes: usize = weights.0.values().map(|w| 4 * w.len()).sum();
    if bytes > MAX_WEIGHT_BYTES {
        return Err(Error::Failed(format!("{bytes} bytes of weights do not fit one ONNX file (2 GiB)")));
    }
    let mut writer =
        Writer { graph, weights, opset: describe.opset, out: GraphProto::new(), constants: BTreeSet::new() };
    for (i, node) in graph.nodes.iter().enumerate() {
        writer.node(node, ValueId(i + 1))?;
    }
    let mut out = writer.out;
    out.name = describe.name.into();
    let input = graph.input;
    out.input.push(value_info("image", &[input.channels, input.height, input.width]));
    let [classes, ..] = graph.shape(graph.output);
    out.output.push(value_info("logits", &[classes]));

    let mut model = ModelProto::new();
    model.ir_version = match describe.opset {
        ..=18 => 8,
        19..=20 => 9,
        _ => 10,
    };
    model.producer_name = "gtn-export".into();
    model.producer_version = env!("CARGO_PKG_VERSION").into();
    let mut opset = OperatorSetIdProto::new();
    opset.version = describe.opset;
    model.opset_import.push(opset);
    model.graph = Some(out).into();
    for (key, value) in describe.metadata {
        let mut entry = StringStringEntryProto::new();
        (entry.key, entry.value) = (key.clone(), value.clone());
        model.metadata_props.push(entry);
    }
    model.write_to_bytes().map_err(|e| Error::Failed(format!("ONNX: {e}")))
}

struct Writer<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    opset: i64,
    out: GraphProto,
    constants: BTreeSet<&'static str>,
}

impl Writer<'_> {
    /// One of our nodes; its value is named for it.
    fn node(&mut self, node: &Node, id: ValueId) -> Result<()> {
        let inputs: Vec<String> = node.inputs.iter().map(|&v| value_name(self.graph, v)).collect();
        let output = value_name(self.graph, id);
        match &node.op {
            NodeOp::Conv { kernel, stride, groups, .. } => {
                let (k, s, p) = (*kernel as i64, *stride as i64, (*kernel / 2) as i64);
                let attributes = vec![
                    ints("dilations", &[1, 1]),
                    int("group", *groups as i64),
                    ints("kernel_shape", &[k, k]),
                    ints("pads", &[p, p, p, p]),
                    ints("strides", &[s, s]),
                ];
                self.with_params(node, "Conv", inputs, output, attributes)?;
            }
            NodeOp::BatchNorm => {
                let attributes = vec![float("epsilon", BN_EPSILON as f32)];
                self.with_params(node, "BatchNormalization", inputs, output, attributes)?;
            }
            NodeOp::Linear { .. } => {
                self.with_params(node, "Gemm", inputs, output, vec![int("transB", 1)])?;
            }
            NodeOp::Activation(Activation::Relu) => self.push("Relu", &node.name, inputs, output, vec![]),
            NodeOp::Activation(Activation::Relu6) => {
                let mut inputs = inputs;
                inputs.extend([self.scalar("clip.min", 0.0), self.scalar("clip.max", 6.0)]);
                self.push("Clip", &node.name, inputs, output, vec![]);
            }
            NodeOp::Activation(Activation::HardSwish) if self.opset >= 14 => {
                self.push("HardSwish", &node.name, inputs, output, vec![]);
            }
            // Before opset 14 there is no HardSwish: x * HardSigmoid(x), its definition.
            NodeOp::Activation(Activation::HardSwish) => {
                let gate = format!("{}.gate", node.name);
                self.push("HardSigmoid", &gate, inputs.clone(), gate.clone(), hard_sigmoid());
                self.push("Mul", &node.name, [inputs, vec![gate]].concat(), output, vec![]);
            }
            NodeOp::HardSigmoid => self.push("HardSigmoid", &node.name, inputs, output, hard_sigmoid()),
            NodeOp::Add => self.push("Add", &node.name, inputs, output, vec![]),
            NodeOp::Scale => self.push("Mul", &node.name, inputs, output, vec![]),
            NodeOp::MaxPool => {
                let attributes = vec![
                    ints("kernel_shape", &[3, 3]),
                    ints("pads", &[1, 1, 1, 1]),
                    ints("strides", &[2, 2]),
                ];
                self.push("MaxPool", &node.name, inputs, output, attributes);
            }
            NodeOp::GlobalAvgPool => self.push("GlobalAveragePool", &node.name, inputs, output, vec![]),
            NodeOp::Flatten => self.push("Flatten", &node.name, inputs, output, vec![int("axis", 1)]),
        }
        if id != self.graph.output {
            let dims: &[usize] = match (&node.op, &node.shape) {
                (NodeOp::Flatten | NodeOp::Linear { .. }, [c, ..]) => &[*c],
                (_, shape) => shape,
            };
            self.out.value_info.push(value_info(&node.name, dims));
        }
        Ok(())
    }

    /// A node with its weight tensors as further inputs, in ONNX's order (which is our parameters').
    fn with_params(
        &mut self,
        node: &Node,
        op: &str,
        mut inputs: Vec<String>,
        output: String,
        attributes: Vec<AttributeProto>,
    ) -> Result<()> {
        for spec in self.graph.node_params(node) {
            let values = self.weights.get(&spec.name)?;
            if values.len() != spec.shape.iter().product::<usize>() {
                let what =
                    format!("weight `{}` has {} values, wanted {:?}", spec.name, values.len(), spec.shape);
                return Err(Error::Failed(what));
            }
            self.out.initializer.push(initializer(&spec.name, &spec.shape, values));
            inputs.push(spec.name);
        }
        self.push(op, &node.name, inputs, output, attributes);
        Ok(())
    }

    fn push(
        &mut self,
        op: &str,
        name: &str,
        inputs: Vec<String>,
        output: String,
        attributes: Vec<AttributeProto>,
    ) {
        let mut node = NodeProto::new();
        (node.op_type, node.name) = (op.into(), name.into());
        (node.input, node.output, node.attribute) = (inputs, vec![output], attributes);
        self.out.node.push(node);
    }

    /// The name of a shared scalar initializer.
    fn scalar(&mut self, name: &'static str, value: f32) -> String {
        if self.constants.insert(name) {
            self.out.initializer.push(initializer(name, &[], &[value]));
        }
        name.into()
    }
}

fn value_name(graph: &Graph, id: ValueId) -> String {
    if id == graph.output {
        return "logits".into();
    }
    id.0.checked_sub(1).and_then(|i| graph.nodes.get(i)).map_or_else(|| "image".into(), |n| n.name.clone())
}

/// max(0, min(1, x/6 + 1/2)).
fn hard_sigmoid() -> Vec<AttributeProto> {
    vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)]
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    let mut a = AttributeProto::new();
    a.name = name.into();
    a.type_ = kind.into();
    a
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::INT) }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::INTS) }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::FLOAT) }
}

fn initializer(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    let mut t = TensorProto::new();
    t.name = name.into();
    t.data_type = FLOAT;
    t.dims = shape.iter().map(|&d| d as i64).collect();
    t.raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    t
}

/// A float tensor of `[N, dims...]`, `N` named.
fn value_info(name: &str, dims: &[usize]) -> ValueInfoProto {
    let mut shape = TensorShapeProto::new();
    let mut batch = tensor_shape_proto::Dimension::new();
    batch.set_dim_param("N".into());
    shape.dim.push(batch);
    for &d in dims {
        let mut dim = tensor_shape_proto::Dimension::new();
        dim.set_dim_value(d as i64);
        shape.dim.push(dim);
    }
    let mut tensor = type_proto::Tensor::new();
    tensor.elem_type = FLOAT;
    tensor.shape = Some(shape).into();
    let mut kind = TypeProto::new();
    kind.set_tensor_type(tensor);
    let mut info = ValueInfoProto::new();
    info.name = name.into();
    info.type_ = Some(kind).into();
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::arch::Input;
    use gtn_core::{fold, pool, testing, zoo};
    use gtn_run::onnx::{Dim, OnnxModel};
    use std::path::Path;

    fn write_named(graph: &Graph, opset: i64) -> Vec<u8> {
        let weights = testing::random_weights(graph, 1);
        let metadata = BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]);
        write(graph, &weights, &Describe { name: "net", opset, metadata: &metadata }).unwrap()
    }

    /// The reader shares no code with the writer.
    #[test]
    fn the_reader_finds_what_was_written() {
        let input = Input { channels: 3, height: 32, width: 32 };
        let spec = zoo::named("mobilenetv2", input, 10).unwrap().unwrap();
        let graph = fold::fold_graph(&Graph::lower(&spec).unwrap());
        let bytes = write_named(&graph, 17);
        assert_eq!(bytes, write_named(&graph, 17), "the same input gives the same bytes");
        let m = OnnxModel::parse(&bytes, Path::new("m.onnx")).unwrap();
        assert_eq!((m.opset, m.ir_version, &m.metadata["a"][..]), (17, 8, "1"));
        let counts = m.op_counts();
        assert_eq!((counts["Conv"], counts["Gemm"], counts.get("BatchNormalization")), (52, 1, None));
        let dims = [Dim::Open("N".into()), Dim::Size(3), Dim::Size(32), Dim::Size(32)];
        assert_eq!((&m.inputs[0].name[..], &m.inputs[0].dims[..]), ("image", &dims[..]));
        let params = graph.params();
        for p in &params {
            let shape: Vec<i64> = p.shape.iter().map(|&d| d as i64).collect();
            assert_eq!(m.initializers[&p.name], shape, "{}", p.name);
        }
        assert_eq!(m.initializers.len(), params.len() + 2, "and Clip's two bounds, once");
    }

    #[test]
    fn opset_13_spells_hard_swish_out() {
        let input = Input { channels: 1, height: 28, width: 28 };
        let pools = pool::all();
        let mut spec = pools[0].arch(&pools[0].sample(1, 1), input, 10).unwrap();
        for block in spec.stages.iter_mut().flat_map(|s| &mut s.blocks) {
            block.activation = Activation::HardSwish;
        }
        let graph = fold::fold_graph(&Graph::lower(&spec).unwrap());
        let count = |opset: i64, op: &str| {
            let m = OnnxModel::parse(&write_named(&graph, opset), Path::new("m.onnx")).unwrap();
            m.op_counts().get(op).copied().unwrap_or(0)
        };
        assert!(count(14, "HardSwish") > 0);
        assert_eq!((count(13, "HardSwish"), count(13, "HardSigmoid")), (0, count(14, "HardSwish")));
    }
}
