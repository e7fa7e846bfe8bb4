//! A network in floating point as ONNX bytes: fp32, or fp16 inside with f32 at both ends.

pub use crate::onnx::nodes::Describe;
use crate::onnx::nodes::{Emitter, value_name};
use crate::onnx::proto::{DataType, int};
use gtn_core::Result;
use gtn_core::ir::graph::{Graph, IMAGE, ValueId};
use gtn_core::ir::weights::Weights;

/// Writes fp32: input `image` f32 `[N, C, H, W]`, output `logits` f32 `[N, classes]`. Fails where the weights
/// do not fit the graph or one ONNX file.
pub fn write(graph: &Graph, weights: &Weights, describe: &Describe) -> Result<Vec<u8>> {
    write_exposing(graph, weights, describe, &[])
}

/// Does what [`write`] does, with these inner values as further outputs, under their names.
pub fn write_exposing(
    graph: &Graph,
    weights: &Weights,
    describe: &Describe,
    expose: &[ValueId],
) -> Result<Vec<u8>> {
    let mut e = Emitter::new(graph, describe.opset, DataType::Float);
    for (i, node) in graph.nodes.iter().enumerate() {
        let value = ValueId(i + 1);
        let mut inputs: Vec<String> = node.inputs.iter().map(|&v| value_name(graph, v)).collect();
        inputs.extend(e.float_params(node, weights)?);
        e.emit(node, inputs, value_name(graph, value));
        if value != graph.output && !expose.contains(&value) {
            e.declare(value);
        }
    }
    let outputs = std::iter::once(&graph.output).chain(expose).map(|&v| (v, value_name(graph, v)));
    e.finish(describe, &outputs.collect::<Vec<_>>())
}

/// Writes fp16 weights and arithmetic; `image` and `logits` stay f32 (Cast at both ends). A weight beyond
/// fp16's range is an error naming it.
pub fn write_fp16(graph: &Graph, weights: &Weights, describe: &Describe) -> Result<Vec<u8>> {
    let mut e = Emitter::new(graph, describe.opset, DataType::Float16);
    let cast = |to: DataType| vec![int("to", to as i64)];
    e.push("Cast", "image.fp16", vec!["image".into()], "image.fp16".into(), cast(DataType::Float16));
    let name = |v: ValueId| match v {
        IMAGE => "image.fp16".to_owned(),
        v if v == graph.output => "logits.fp16".to_owned(),
        v => value_name(graph, v),
    };
    for (i, node) in graph.nodes.iter().enumerate() {
        let mut inputs: Vec<String> = node.inputs.iter().map(|&v| name(v)).collect();
        inputs.extend(e.float_params(node, weights)?);
        e.emit(node, inputs, name(ValueId(i + 1)));
    }
    e.push("Cast", "logits", vec!["logits.fp16".into()], "logits".into(), cast(DataType::Float));
    e.finish(describe, &[(graph.output, "logits".into())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtn_core::ir::arch::{Activation, Input};
    use gtn_core::ir::fold;
    use gtn_core::ir::random_weights;
    use gtn_core::nets::pool;
    use gtn_core::nets::zoo;
    use gtn_run::onnx::{Dim, OnnxFile, OnnxModel};
    use onnx_protobuf::{Message, ModelProto};
    use std::collections::BTreeMap;
    use std::path::Path;

    fn write_named(graph: &Graph, opset: i64) -> Vec<u8> {
        let weights = random_weights::random_weights(graph, 1);
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
            assert_eq!(m.initializers[&p.name].dims, shape, "{}", p.name);
        }
        assert_eq!(m.initializers.len(), params.len() + 2, "and Clip's two bounds, once");
    }

    /// Backend wgpu's plan: activations take at most 1.05 of what no plan can do without.
    #[test]
    fn a_gpu_needs_hardly_more_than_the_live_tensors() {
        let input = Input { channels: 3, height: 224, width: 224 };
        // Convolutions, the classifier, pooling, the image in another layout; activations and residuals are part of
        // convolutions.
        for (name, steps) in [("mobilenetv2", 52 + 3), ("resnet18", 20 + 4)] {
            let spec = zoo::named(name, input, 1000).unwrap().unwrap();
            let bytes = write_named(&fold::fold_graph(&Graph::lower(&spec).unwrap()), 17);
            let n = gtn_run::gpu::needs(
                &OnnxFile::parse(&bytes, Path::new("m.onnx")).unwrap(),
                &Default::default(),
            )
            .unwrap();
            assert_eq!(n.steps, steps, "{name}: {n:?}");
            assert!(n.activation_bytes <= n.least_activation_bytes * 105 / 100, "{name}: {n:?}");
            // The weights, each value padded to 16 bytes.
            assert!(
                n.constant_bytes.abs_diff(bytes.len()) * 50 < bytes.len(),
                "{name}: {n:?} of {}",
                bytes.len()
            );
            println!("{name}: {n:?}");
        }
    }

    /// Conv's pads are [top, left, bottom, right]: of 66 rows SAME pads none above, of 65 columns one on each side.
    #[test]
    fn uneven_padding_and_the_epsilon_are_written() {
        let input = Input { channels: 3, height: 66, width: 65 };
        let spec = zoo::named("efficientnet-lite0", input, 10).unwrap().unwrap();
        let bytes = write_named(&Graph::lower(&spec).unwrap(), 17);
        let model = ModelProto::parse_from_bytes(&bytes).unwrap();
        let attribute = |node: &str, name: &str| {
            let node = model.graph.node.iter().find(|n| n.name == node).unwrap();
            node.attribute.iter().find(|a| a.name == name).unwrap().clone()
        };
        assert_eq!(attribute("stem.conv", "pads").ints, [0, 1, 1, 1]);
        assert_eq!(attribute("stages.1.0.depthwise.conv", "pads").ints, [1, 1, 1, 1]); // of 33 x 33
        assert_eq!(attribute("stages.1.0.project.conv", "pads").ints, [0; 4]);
        assert_eq!(attribute("stem.bn", "epsilon").f, 1e-3);
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
