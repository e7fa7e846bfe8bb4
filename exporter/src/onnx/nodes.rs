//! Each of our nodes as ONNX operators (onnx.ai/onnx/operators), and the file around them. The same
//! input gives the same bytes: nothing here depends on time, host or hash order.

use crate::onnx::proto::{DataType, f32_bytes, float, initializer, int, ints, node, value_info};
use gtn_core::ir::arch::Activation;
use gtn_core::ir::graph::{Graph, IMAGE, Node, NodeOp, ValueId};
use gtn_core::ir::weights::Weights;
use gtn_core::{Error, Result};
use half::f16;
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
};
use std::collections::{BTreeMap, BTreeSet};

/// protobuf's bound on one message, less room for the nodes.
const MAX_WEIGHT_BYTES: usize = 2_000_000_000;

/// This is what is written beside the network.
pub struct Describe<'a> {
    /// Graph's name.
    pub name: &'a str,
    /// Operator set, 13 to 21.
    pub opset: i64,
    /// `metadata_props`, in key order.
    pub metadata: &'a BTreeMap<String, String>,
}

/// This is an ONNX graph under construction.
pub struct Emitter<'a> {
    graph: &'a Graph,
    opset: i64,
    /// Type of its floating-point values.
    float: DataType,
    out: GraphProto,
    constants: BTreeSet<String>,
}

impl<'a> Emitter<'a> {
    /// Makes an empty graph whose floating-point values are `float` (Float or Float16).
    pub fn new(graph: &'a Graph, opset: i64, float: DataType) -> Self {
        Self { graph, opset, float, out: GraphProto::new(), constants: BTreeSet::new() }
    }

    /// Adds one of our nodes under its own name; `inputs` hold its weights too, in ONNX's order (which is our
    /// parameters').
    pub fn emit(&mut self, n: &Node, inputs: Vec<String>, output: String) {
        let name = n.name.as_str();
        match &n.op {
            NodeOp::Conv { kernel, stride, groups, .. } => {
                let (k, s) = (*kernel as i64, *stride as i64);
                let input = n.inputs.first().map_or([0; 3], |&v| self.graph.shape(v));
                let [(top, bottom), (left, right)] = n.op.padding(input);
                let pads = [top, left, bottom, right].map(|zeros| zeros as i64);
                let attributes = vec![
                    ints("dilations", &[1, 1]),
                    int("group", *groups as i64),
                    ints("kernel_shape", &[k, k]),
                    ints("pads", &pads),
                    ints("strides", &[s, s]),
                ];
                self.push("Conv", name, inputs, output, attributes);
            }
            NodeOp::BatchNorm { epsilon } => {
                let attributes = vec![float("epsilon", epsilon.get() as f32)];
                self.push("BatchNormalization", name, inputs, output, attributes);
            }
            NodeOp::Linear { .. } => self.push("Gemm", name, inputs, output, vec![int("transB", 1)]),
            NodeOp::Activation(Activation::Relu) => self.push("Relu", name, inputs, output, vec![]),
            NodeOp::Activation(Activation::Relu6) => {
                let mut inputs = inputs;
                inputs.extend([self.scalar("clip.min", 0.0), self.scalar("clip.max", 6.0)]);
                self.push("Clip", name, inputs, output, vec![]);
            }
            NodeOp::Activation(Activation::HardSwish) if self.opset >= 14 => {
                self.push("HardSwish", name, inputs, output, vec![]);
            }
            // Before opset 14 there is no HardSwish: x * HardSigmoid(x), its definition.
            NodeOp::Activation(Activation::HardSwish) => {
                let gate = format!("{name}.gate");
                self.push("HardSigmoid", &gate, inputs.clone(), gate.clone(), hard_sigmoid());
                self.push("Mul", name, [inputs, vec![gate]].concat(), output, vec![]);
            }
            NodeOp::HardSigmoid => self.push("HardSigmoid", name, inputs, output, hard_sigmoid()),
            NodeOp::Add => self.push("Add", name, inputs, output, vec![]),
            NodeOp::Scale => self.push("Mul", name, inputs, output, vec![]),
            NodeOp::MaxPool => {
                let attributes = vec![
                    ints("kernel_shape", &[3, 3]),
                    ints("pads", &[1, 1, 1, 1]),
                    ints("strides", &[2, 2]),
                ];
                self.push("MaxPool", name, inputs, output, attributes);
            }
            NodeOp::GlobalAvgPool => self.push("GlobalAveragePool", name, inputs, output, vec![]),
            NodeOp::Flatten => self.push("Flatten", name, inputs, output, vec![int("axis", 1)]),
        }
    }

    /// Adds a node's weights as constants of the graph's floating-point type, and returns their names. Fails
    /// where a weight has another size than the graph says, or is beyond fp16's range.
    pub fn float_params(&mut self, n: &Node, weights: &Weights) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for spec in self.graph.node_params(n) {
            let values = weights.get(&spec.name)?;
            if values.len() != spec.shape.iter().product::<usize>() {
                let what =
                    format!("weight `{}` has {} values, wanted {:?}", spec.name, values.len(), spec.shape);
                return Err(Error::Failed(what));
            }
            let bytes = self.float_bytes(values).map_err(|what| {
                Error::Failed(format!("weight `{}` {what}: it cannot be written as fp16", spec.name))
            })?;
            self.constant(initializer(&spec.name, self.float, &spec.shape, bytes));
            names.push(spec.name);
        }
        Ok(names)
    }

    /// Returns the names that [`Self::float_params`] gave.
    pub fn param_names(&self, n: &Node) -> Vec<String> {
        self.graph.node_params(n).into_iter().map(|p| p.name).collect()
    }

    fn float_bytes(&self, values: &[f32]) -> Result<Vec<u8>, String> {
        if self.float == DataType::Float {
            return Ok(f32_bytes(values));
        }
        match values.iter().find(|v| v.abs() > f16::MAX.to_f32()) {
            Some(large) => Err(format!("holds {large}, beyond {}", f16::MAX)),
            None => Ok(values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()),
        }
    }

    /// Adds a node that is none of ours.
    pub fn push(
        &mut self,
        op: &str,
        name: &str,
        inputs: Vec<String>,
        output: String,
        attributes: Vec<AttributeProto>,
    ) {
        self.out.node.push(node(op, name, inputs, output, attributes));
    }

    /// Adds a constant.
    pub fn constant(&mut self, tensor: TensorProto) {
        self.out.initializer.push(tensor);
    }

    /// Adds a constant unless one of its name is there.
    pub fn shared(&mut self, tensor: TensorProto) {
        if self.constants.insert(tensor.name.clone()) {
            self.constant(tensor);
        }
    }

    /// The name of a shared floating-point scalar.
    fn scalar(&mut self, name: &'static str, value: f32) -> String {
        let bytes = self.float_bytes(&[value]).unwrap_or_default(); // 0 and 6 fit fp16
        self.shared(initializer(name, self.float, &[], bytes));
        name.into()
    }

    /// Declares the shape of an inner value.
    pub fn declare(&mut self, value: ValueId) {
        let info = value_info(&value_name(self.graph, value), self.float, &dims(self.graph, value));
        self.out.value_info.push(info);
    }

    /// Serialises the model: input `image` and outputs are f32, `[N, ...]`; `outputs` are values and the names
    /// they go by. Fails where the weights are more than one ONNX file can hold.
    pub fn finish(self, describe: &Describe, outputs: &[(ValueId, String)]) -> Result<Vec<u8>> {
        let mut out = self.out;
        let bytes: usize = out.initializer.iter().map(|t| t.raw_data.len()).sum();
        if bytes > MAX_WEIGHT_BYTES {
            return Err(Error::Failed(format!("{bytes} bytes of weights do not fit one ONNX file (2 GiB)")));
        }
        out.name = describe.name.into();
        out.input.push(value_info("image", DataType::Float, &dims(self.graph, IMAGE)));
        for (value, name) in outputs {
            out.output.push(value_info(name, DataType::Float, &dims(self.graph, *value)));
        }
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
}

/// Returns what a value is called: its node's name, `image` or `logits`.
pub fn value_name(graph: &Graph, id: ValueId) -> String {
    if id == graph.output {
        return "logits".into();
    }
    id.0.checked_sub(1).and_then(|i| graph.nodes.get(i)).map_or_else(|| "image".into(), |n| n.name.clone())
}

/// Dimensions behind `N`: one for vectors, three for feature maps.
fn dims(graph: &Graph, value: ValueId) -> Vec<usize> {
    let shape = graph.shape(value);
    let dims = if graph.is_vector(value) { 1 } else { 3 };
    shape.iter().take(dims).copied().collect()
}

/// max(0, min(1, x/6 + 1/2)).
fn hard_sigmoid() -> Vec<AttributeProto> {
    vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)]
}
