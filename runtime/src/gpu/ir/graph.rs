//! The typed graph: values with types and shapes, and the steps that compute them.

use crate::gpu::ops::{Groups, Window};
use crate::onnx::{Constant, Numbers};
use std::rc::Rc;

/// Largest tensor, in elements: one storage binding of 2 GiB.
const MAX_ELEMENTS: usize = 1 << 29;
/// Most dimensions of a tensor.
pub const MAX_RANK: usize = 6;
/// Values that a step reads, at most.
pub const READS: usize = 5;
/// Invocations of a workgroup, as a rule.
pub const GROUP: usize = 64;

/// Element types. On the GPU every element takes 4 bytes: a float, or an integer as i32 (bytes and float16 less where
/// channels are in fours: see `layout`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the types'
pub enum DType {
    F32,
    F16,
    U8,
    I8,
    U16,
    I16,
    I32,
    U32,
    /// On the host only: shapes, axes.
    I64,
}

impl DType {
    /// Of ONNX's TensorProto.DataType.
    pub fn of(elem_type: i32) -> Result<Self, String> {
        Ok(match elem_type {
            1 => Self::F32,
            10 => Self::F16,
            2 => Self::U8,
            3 => Self::I8,
            4 => Self::U16,
            5 => Self::I16,
            6 => Self::I32,
            12 => Self::U32,
            7 => Self::I64,
            other => return Err(format!("element type {other} is not supported")),
        })
    }

    /// Smallest and largest value of an integer type that i32 holds.
    pub fn range(self) -> Option<(i32, i32)> {
        Some(match self {
            Self::U8 => (0, 255),
            Self::I8 => (-128, 127),
            Self::U16 => (0, 65_535),
            Self::I16 => (-32_768, 32_767),
            Self::I32 => (i32::MIN, i32::MAX),
            Self::F32 | Self::F16 | Self::U32 | Self::I64 => return None,
        })
    }

    /// Whether it is one of the floats.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16)
    }

    /// ONNX's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float",
            Self::F16 => "float16",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::U32 => "uint32",
            Self::I64 => "int64",
        }
    }
}

/// Index of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub usize);

/// Integers and what they stand for: the input of a DequantizeLinear.
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

/// A tensor.
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
    /// The step that writes it.
    pub step: Option<usize>,
    /// The integers it was dequantised from.
    pub affine: Option<Affine>,
    /// Whether it lies among the packed weights.
    pub packed: bool,
}

impl Value {
    /// Elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Shader files, one after the other; their text is all there is (nothing is pasted into it).
#[derive(Debug, PartialEq, Eq)]
pub struct Shader {
    /// The file's stem.
    pub name: &'static str,
    /// WGSL.
    pub source: &'static str,
}

/// How a step may take in the operator behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fuse {
    /// Not at all (any more).
    No,
    /// Float products: a residual, then an activation.
    Float,
    /// Float products with their residual: an activation.
    Activation,
    /// Integer products: a quantisation.
    Integer,
}

/// A convolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// Over space.
    pub window: Window,
    /// Over channels.
    pub groups: Groups,
    /// The input's zero point, if it is of integers, as integer_conv.wgsl computes it.
    pub integer: Option<i32>,
}

/// What a step is, where it could also be computed with channels in fours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Only as it is.
    Plain,
    /// Element by element; what it reads beside the first two values is for all of them.
    Elementwise,
    /// Channel by channel; what it reads beside the first value is for all of them.
    PerTensor,
    /// With constant weights and bias.
    Conv(Box<Conv>),
    /// Products of few rows by a matrix.
    Gemv,
    /// Plane by plane.
    Pool,
    /// The mean of each plane.
    Mean,
}

/// One dispatch.
#[derive(Debug, Clone)]
pub struct Step {
    /// The node's name, or its first output's.
    pub node: String,
    /// The operators it computes (`Conv+Relu`).
    pub op: String,
    /// Its shader.
    pub shader: &'static Shader,
    /// Its shader where channels are in fours and a value it reads or writes takes less than a word for each: bytes or
    /// float16, an invocation for each four.
    pub narrow: Option<&'static Shader>,
    /// Entry point.
    pub entry: &'static str,
    /// The shader's `override` values: shapes and attributes.
    pub constants: Vec<(&'static str, f64)>,
    /// In the order of the shader's `At`.
    pub reads: Vec<Option<ValueId>>,
    /// Its result.
    pub write: ValueId,
    /// What it computes and from what, as the model has them: `layout` changes `write` and `reads` only.
    pub of: ValueId,
    /// What it computes it from.
    pub of_reads: Vec<ValueId>,
    /// Invocations wanted.
    pub invocations: usize,
    /// Invocations of a workgroup.
    pub group: usize,
    /// What the shader's `At` has behind the places of its values.
    pub params: Vec<u32>,
    /// What `layout` may make of it.
    pub form: Form,
    /// What may be added to it.
    pub fuse: Fuse,
}

impl Step {
    /// Sets one of the constants, which the shader has.
    pub fn set(&mut self, name: &'static str, value: f64) {
        self.constants.retain(|(n, _)| *n != name);
        self.constants.push((name, value));
    }

    /// Computes so many invocations, whose number the shader knows as `total`.
    pub fn set_total(&mut self, total: usize) {
        self.set("total", total as f64);
        self.invocations = total;
    }
}

/// Values and steps in order.
#[derive(Debug)]
pub struct Graph {
    /// Bytes that constants may still take.
    budget: usize,
    /// By [`ValueId`].
    pub values: Vec<Value>,
    /// In order of execution.
    pub steps: Vec<Step>,
}

impl Graph {
    /// An empty graph, whose constants may take so many bytes: a small file cannot ask for a large memory.
    pub fn new(budget: usize) -> Self {
        Self { budget, values: Vec::new(), steps: Vec::new() }
    }

    /// Adds a value that nothing computes yet.
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
            step: None,
            affine: None,
            packed: false,
        });
        Ok(id)
    }

    /// Adds known values.
    pub fn add_constant(&mut self, constant: Constant, uses: usize) -> Result<ValueId, String> {
        let bytes = constant.numbers.bytes();
        self.budget =
            self.budget.checked_sub(bytes).ok_or("its constants are out of proportion to the file")?;
        let dtype = DType::of(constant.elem_type)?;
        // An empty list of axes, roi or scales is a value of its own.
        if constant.numbers.len() == 0 {
            let id = self.add(dtype, &[1], uses)?;
            if let Some(value) = self.values.get_mut(id.0) {
                (value.shape, value.constant) = (vec![0], Some(Rc::new(constant.numbers)));
            }
            return Ok(id);
        }
        let id = self.add(dtype, &constant.shape, uses)?;
        if let Some(value) = self.values.get_mut(id.0) {
            value.constant = Some(Rc::new(constant.numbers));
        }
        Ok(id)
    }

    /// Adds weights as a kernel wants them, which lie apart.
    pub fn add_packed(&mut self, constant: Constant) -> Result<ValueId, String> {
        let id = self.add_constant(constant, 1)?;
        if let Some(value) = self.values.get_mut(id.0) {
            value.packed = true;
        }
        Ok(id)
    }

    /// A constant's numbers, if it is one; what nothing else reads is given up here, and its bytes with it.
    pub fn take_numbers(&mut self, id: ValueId) -> Result<Option<Rc<Numbers>>, String> {
        let value = self.values.get_mut(id.0).ok_or_else(|| format!("value {} is not there", id.0))?;
        if value.uses > 1 {
            return Ok(value.constant.clone());
        }
        let numbers = value.constant.take();
        self.budget += numbers.as_ref().map_or(0, |n| n.bytes());
        Ok(numbers)
    }

    /// The value; ids come from this graph only.
    pub fn value(&self, id: ValueId) -> Result<&Value, String> {
        self.values.get(id.0).ok_or_else(|| format!("value {} is not there", id.0))
    }

    /// Appends a step that writes `step.write`.
    pub fn push(&mut self, step: Step) {
        if let Some(value) = self.values.get_mut(step.write.0) {
            value.step = Some(self.steps.len());
        }
        self.steps.push(step);
    }

    /// The step behind `value`, if nothing else reads what it writes.
    pub fn sole_step(&mut self, value: ValueId) -> Option<(usize, &mut Step)> {
        let v = self.values.get(value.0)?;
        let at = v.step.filter(|_| v.uses == 1)?;
        Some((at, self.steps.get_mut(at)?))
    }

    /// Lets a step write another value, which then stands for what an operator made of the old one.
    pub fn retarget(&mut self, step: usize, op: &str, write: ValueId) {
        if let Some(s) = self.steps.get_mut(step) {
            s.op = format!("{}+{op}", s.op);
            let old = std::mem::replace(&mut s.write, write);
            if let Some(v) = self.values.get_mut(old.0) {
                v.step = None;
            }
        }
        if let Some(v) = self.values.get_mut(write.0) {
            v.step = Some(step);
        }
    }

    /// Removes steps whose results nobody reads; `outputs` are read by the caller.
    pub fn prune(&mut self, outputs: &[ValueId]) {
        let root = |values: &[Value], id: ValueId| values.get(id.0).map_or(id, |v| v.root);
        let mut wanted: std::collections::BTreeSet<ValueId> =
            outputs.iter().map(|&o| root(&self.values, o)).collect();
        let mut keep = vec![false; self.steps.len()];
        for (step, keep) in self.steps.iter().zip(&mut keep).rev() {
            if wanted.contains(&step.write) {
                *keep = true;
                wanted.extend(step.reads.iter().flatten().map(|&r| root(&self.values, r)));
            }
        }
        let mut keep = keep.into_iter();
        self.steps.retain(|_| keep.next().unwrap_or(false));
    }
}
