//! How values lie in memory: as ONNX has them, a word (of 4 bytes) for each element; or with channels in fours,
//! `[N, C/4, places]` of four channels each: four words of floats, two of float16, one of bytes.

use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::graph::{Node, Reads, ValueId};

/// Returns how many words four channels of a place take in fours.
pub fn words(dtype: DType) -> usize {
    match dtype {
        DType::U8 | DType::I8 => 1,
        DType::F16 => 2,
        DType::F32 | DType::U16 | DType::I16 | DType::I32 | DType::U32 | DType::I64 => 4,
    }
}

/// This says how an operator's values lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As ONNX has them.
    Plain,
    /// With channels in fours.
    Fours,
    /// With channels in fours, and one of two operands has one number for each plane.
    Scaled(Operand),
}

/// This says which of two operands is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// `reads[0]`.
    First,
    /// `reads[1]`.
    Second,
}

/// This is a node with the layout of its values decided.
#[derive(Debug, Clone)]
pub struct Laid {
    /// As the model has it.
    pub node: Node,
    /// How its values lie.
    pub form: Form,
    /// What is read, in the order of the shaders' `At`: the node's reads in their layout.
    pub reads: Reads,
    /// What is written.
    pub write: ValueId,
}
