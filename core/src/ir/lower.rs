//! The single lowering: `ArchSpec` -> [`Graph`].

use crate::Result;
use crate::ir::arch::{ArchSpec, Block, BlockOp};
use crate::ir::blocks;
use crate::ir::builder::Builder;
use crate::ir::graph::{Graph, IMAGE, NodeOp, Part, StageOutput, ValueId};

impl Graph {
    /// Lowers a validated architecture; an invalid one is an error naming the key.
    pub fn lower(spec: &ArchSpec) -> Result<Self> {
        spec.validate()?;
        let mut b = Builder::new(spec.input);
        (b.padding, b.epsilon) = (spec.padding, spec.norm_epsilon);
        let stem = &spec.stem;
        let mut x = b.conv("stem.conv", IMAGE, stem.width, stem.kernel, stem.stride, 1);
        if let Some(activation) = stem.activation {
            x = b.norm("stem.bn", x);
            x = b.push("stem.act", NodeOp::Activation(activation), &[x]);
        }
        if stem.max_pool {
            x = b.push("stem.pool", NodeOp::MaxPool, &[x]);
        }
        for (s, stage) in spec.stages.iter().enumerate() {
            for (i, block) in stage.blocks.iter().enumerate() {
                b.part = Part::Block { stage: s, block: i };
                x = lower_block(&mut b, &format!("stages.{s}.{i}"), block, x);
            }
            b.stages.push(StageOutput { name: format!("stages.{s}"), value: x });
        }
        b.part = Part::Head;
        if let Some(activation) = spec.head.norm {
            x = b.norm("head.bn", x);
            x = b.push("head.act", NodeOp::Activation(activation), &[x]);
        }
        if let Some(conv) = &spec.head.conv {
            x = b.conv_norm_act("head", x, conv.width, 1, 1, 1, Some(conv.activation));
        }
        x = b.push("head.pool", NodeOp::GlobalAvgPool, &[x]);
        x = b.push("head.flatten", NodeOp::Flatten, &[x]);
        if let Some(hidden) = &spec.head.hidden {
            x = b.push("head.hidden", NodeOp::Linear { out: hidden.width }, &[x]);
            x = b.push("head.hidden_act", NodeOp::Activation(hidden.activation), &[x]);
        }
        b.part = Part::Classifier;
        x = b.push("head.classifier", NodeOp::Linear { out: spec.classes }, &[x]);
        Ok(b.finish(x))
    }
}

fn lower_block(b: &mut Builder, prefix: &str, block: &Block, x: ValueId) -> ValueId {
    match block.op {
        BlockOp::Basic => blocks::basic(b, prefix, block, x),
        BlockOp::PreActBasic => blocks::pre_act_basic(b, prefix, block, x),
        BlockOp::Bottleneck => blocks::bottleneck(b, prefix, block, x),
        BlockOp::InvertedResidual => blocks::inverted_residual(b, prefix, block, x),
    }
}
