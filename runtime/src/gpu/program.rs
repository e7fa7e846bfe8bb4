//! What the executor runs: constants with their places, kernels with the places of their values, and the model's ends.

use crate::backend::{Kernels, Named, Options, Slot};
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::form::Laid;
use crate::gpu::ir::graph::{Graph, ValueId};
use crate::gpu::kernel::{Abilities, Kernel, READS, Setting};
use crate::gpu::kernels::kernel;
use crate::gpu::load::{self, Loaded};
use crate::gpu::passes::plan::{Plan, plan};
use crate::gpu::passes::{layout, simplify};
use crate::onnx::{Numbers, OnnxFile};
use gtn_core::{Error, Result};
use std::rc::Rc;

/// A step is one dispatch.
#[derive(Debug)]
pub struct Step {
    /// What is dispatched.
    pub kernel: Kernel,
    /// The shader's `At`: where its values lie, in words, and the kernel's own parameters.
    pub at: Vec<u32>,
    /// What it is in the model.
    pub label: Label,
}

/// This is a step by the names and shapes of the model.
#[derive(Debug)]
pub struct Label {
    /// The node's name.
    pub node: String,
    /// Its operators.
    pub op: String,
    /// Of what it reads.
    pub inputs: Vec<Vec<usize>>,
    /// Of its result.
    pub output: Vec<usize>,
}

/// This is a constant and where it lies, in words, of the buffer of packed weights or of the one of all else.
#[derive(Debug)]
pub struct Placed {
    /// Floats or 32-bit integers.
    pub numbers: Rc<Numbers>,
    /// Whether among the packed weights.
    pub packed: bool,
    /// Its first word.
    pub offset: usize,
}

/// This is an input or output and where it lies.
#[derive(Debug)]
pub struct End {
    /// As the host sees it.
    pub slot: Slot,
    /// float or uint8.
    pub dtype: DType,
    /// Row-major.
    pub shape: Vec<usize>,
    /// Its first word.
    pub offset: usize,
}

impl End {
    /// Returns how many elements it has, of a word each.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// These are words of memory, 4 bytes each.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Of constants.
    pub constants: usize,
    /// Of packed weights, in a buffer of their own.
    pub packed: usize,
    /// Of activations, behind the constants.
    pub activations: usize,
    /// No plan of these activations takes less.
    pub least_activations: usize,
}

/// This is a model compiled for kernels and abilities.
#[derive(Debug)]
pub struct Program {
    /// Of the model, by its order.
    pub inputs: Vec<End>,
    /// Of the model, by its order.
    pub outputs: Vec<End>,
    /// To be there before the first step.
    pub constants: Vec<Placed>,
    /// In order.
    pub steps: Vec<Step>,
    /// What all of it takes.
    pub memory: Memory,
    /// Images in an inference.
    pub images: usize,
}

/// Reads the model's graph as far as no adapter has a say in it; see [`load::load`].
pub fn read(file: &OnnxFile, options: &Options, bound: &[Named]) -> Result<Loaded> {
    let mut loaded = load::load(file, options, bound)?;
    let outputs: Vec<ValueId> = loaded.outputs.iter().map(|o| o.1).collect();
    simplify(&mut loaded.graph, &outputs).map_err(|what| Error::input(file.path(), what))?;
    Ok(loaded)
}

/// Compiles what was read for an adapter: decides layouts and places, and makes the kernels. Errors name the
/// node.
pub fn compile(loaded: Loaded, kernels: Kernels, abilities: Abilities) -> Result<Program, String> {
    let Loaded { mut graph, inputs, outputs, images } = loaded;
    let names: Vec<(&str, ValueId)> = outputs.iter().map(|(slot, id)| (&slot.name[..], *id)).collect();
    let laid = layout::apply(&mut graph, &names, kernels, abilities)?;
    let ids = |ends: &[(Slot, ValueId)]| ends.iter().map(|e| e.1).collect::<Vec<_>>();
    let plan = plan(&graph, &laid, &ids(&inputs), &ids(&outputs))?;
    let told = |laid: &Laid, what| format!("node `{}` {what} (backend wgpu)", laid.node.name);
    let step = |laid: &Laid| {
        let setting = Setting { graph: &graph, laid, kernels, abilities };
        step(&setting, &plan).map_err(|what| told(laid, what))
    };
    let steps = laid.iter().map(step).collect::<Result<_, _>>()?;
    let end = |(slot, id): (Slot, ValueId)| {
        let value = graph.value(id)?;
        let offset = plan.place(&graph, id)?;
        Ok(End { slot, dtype: value.dtype, shape: value.shape.clone(), offset })
    };
    Ok(Program {
        inputs: inputs.into_iter().map(end).collect::<Result<_, String>>()?,
        outputs: outputs.into_iter().map(end).collect::<Result<_, String>>()?,
        constants: constants(&graph, &plan)?,
        steps,
        memory: Memory {
            constants: plan.constants,
            packed: plan.packed,
            activations: plan.activations,
            least_activations: plan.lower_bound,
        },
        images,
    })
}

fn step(setting: &Setting, plan: &Plan) -> Result<Step, String> {
    let (graph, laid) = (setting.graph, setting.laid);
    let kernel = kernel(setting)?;
    let word = |id: ValueId| {
        u32::try_from(plan.place(graph, id)?).map_err(|_| "lies beyond what 32 bits count".to_owned())
    };
    if laid.reads.len() > READS {
        return Err(format!("reads {} values at once", laid.reads.len()));
    }
    let mut at = Vec::with_capacity(READS + 1 + kernel.params.len());
    for read in &laid.reads {
        at.push(read.map_or(Ok(0), word)?);
    }
    at.resize(READS, 0);
    at.push(word(laid.write)?);
    at.extend(&kernel.params);
    let shape = |id: ValueId| graph.value(id).map(|v| v.shape.clone());
    let node = &laid.node;
    let label = Label {
        node: node.name.clone(),
        op: node.label.clone(),
        inputs: node.reads.iter().flatten().map(|&id| shape(id)).collect::<Result<_, _>>()?,
        output: shape(node.write)?,
    };
    Ok(Step { kernel, at, label })
}

/// All that have a place.
fn constants(graph: &Graph, plan: &Plan) -> Result<Vec<Placed>, String> {
    let mut all = Vec::new();
    for (&id, &offset) in &plan.offsets {
        let value = graph.value(id)?;
        if let Some(numbers) = &value.constant {
            all.push(Placed { numbers: numbers.clone(), packed: value.packed, offset });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::ops::test_model::{encode, ints, node, tensor, value};
    use crate::onnx::proto::{GraphProto, NodeProto};
    use std::path::Path;

    /// Two convolutions with a pool between them.
    fn model() -> Vec<u8> {
        let pool = node("MaxPool", &["c"], "p");
        let pool = NodeProto { attribute: vec![ints("kernel_shape", &[2, 2])], ..pool };
        encode(GraphProto {
            node: vec![node("Conv", &["x", "w"], "c"), pool, node("Conv", &["p", "v"], "y")],
            initializer: vec![
                tensor("w", &[4, 3, 1, 1], &[1.0; 12], false),
                tensor("v", &[5, 4, 1, 1], &[1.0; 20], false),
            ],
            input: vec![value("x", &[1, 3, 4, 4])],
            output: vec![value("y", &[1, 5, 3, 3])],
            ..Default::default()
        })
    }

    fn compiled(kernels: Kernels) -> Program {
        let loaded =
            read(&OnnxFile::parse(&model(), Path::new("m.onnx")).unwrap(), &Options::default(), &[]).unwrap();
        compile(loaded, kernels, Abilities::ALL).unwrap()
    }

    #[test]
    fn channels_are_in_fours_from_the_first_convolution_to_the_last() {
        let shaders = |p: &Program| p.steps.iter().map(|s| s.kernel.shader.name).collect::<Vec<_>>();
        let general = compiled(Kernels::General);
        assert_eq!(shaders(&general), ["conv", "max_pool", "conv"]);
        assert_eq!(general.memory.packed, 0);
        let block = compiled(Kernels::Block);
        assert_eq!(shaders(&block), ["relayout", "conv_block", "max_pool", "conv_block", "relayout"]);
        assert_eq!(block.memory.constants, 0);
        // Of eight output channels each the biases, and for each four of input channels 4 x 8 weights.
        assert_eq!(block.memory.packed, 2 * (8 + 32));
        let labels: Vec<_> = block.steps.iter().map(|s| (&s.label.op[..], &s.label.output[..])).collect();
        assert_eq!(labels[0], ("Relayout", &[1, 3, 4, 4][..]));
        assert_eq!(labels[1], ("Conv", &[1, 4, 4, 4][..]));
    }
}
