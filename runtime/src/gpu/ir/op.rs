//! The operators of a graph, each with its attributes as plain types. An ONNX operator that moves nothing and computes
//! nothing (Reshape, Identity) is no operator here; some here are several of ONNX's (`IntegerConv`).
//!
//! A struct's doc says what the node's `reads` are, in order.

use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::window::{Groups, Window};

/// What a node computes.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the names are the structs'
pub enum Op {
    Activation(Activation),
    AveragePool(AveragePool),
    BatchNorm(BatchNorm),
    Binary(Binary),
    Cast(Cast),
    ClipIntegers(ClipIntegers),
    Concat(Concat),
    Conv(Conv),
    ConvTranspose(ConvTranspose),
    Dequantize(Scales),
    Gemm(Gemm),
    IntegerConv(IntegerConv),
    MatMul(MatMul),
    MaxPool(MaxPool),
    Pad(Pad),
    QuantisedMean(QuantisedMean),
    QuantisedSum(QuantisedSum),
    Quantize(Scales),
    ReduceMean(ReduceMean),
    Relayout(Relayout),
    Resize(Resize),
    Softmax(Softmax),
    Strided(Strided),
}

/// A function of one float; of NaN it is NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// min(max(x, lo), hi)
    Clip {
        /// Least result.
        lo: f32,
        /// Largest result; it wins where lo > hi.
        hi: f32,
    },
    /// x * max(0, min(1, x/6 + 1/2))
    HardSwish,
    /// max(0, min(1, alpha x + beta))
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// 1 / (1 + exp(-x))
    Sigmoid,
}

/// Clip of integers: min(max(x, lo), hi). Reads x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipIntegers {
    /// Least result.
    pub lo: i32,
    /// Largest result.
    pub hi: i32,
}

/// Mean of each window. Reads x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AveragePool {
    /// Over space.
    pub window: Window,
    /// Whether padding counts (`count_include_pad`).
    pub include_pad: bool,
}

/// Largest of each window, of floats or bytes. Reads x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxPool {
    /// Over space.
    pub window: Window,
}

/// BatchNormalization in inference. Reads x, scale, bias, mean, variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f32,
}

/// An operator of two operands with NumPy's broadcasting. Reads both; an activation only of floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Binary {
    /// Which.
    pub op: BinaryOp,
    /// Of the result.
    pub activation: Option<Activation>,
}

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are ONNX's
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
}

/// Cast between float, float16 and integers of up to 32 bits. Reads x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cast {
    /// x's type, as the model has it.
    pub from: DType,
    /// The result's.
    pub to: DType,
}

/// One input of Concat into its place: rows of `width` elements, `stride` apart in the result, from `start` on. Reads the
/// input; the other inputs are nodes of their own that write the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concat {
    /// Elements of the input from the axis on.
    pub width: usize,
    /// Elements of the result from the axis on.
    pub stride: usize,
    /// Elements of the inputs before it.
    pub start: usize,
}

/// A convolution of floats. Reads x, weights, bias (or none), and the residual where there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Over space.
    pub window: Window,
    /// Over channels.
    pub groups: Groups,
    /// Whether another value is added to the sums.
    pub residual: bool,
    /// Of the result.
    pub activation: Option<Activation>,
}

/// A convolution (or Gemm) of dequantised bytes, computed on the integers. Reads x, constant weights, constant bias
/// (or none), and as tables the scales and the weights' zero points, one for each output channel.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegerConv {
    /// Over space.
    pub window: Window,
    /// Over channels.
    pub groups: Groups,
    /// x's zero point.
    pub x_zero: i32,
    /// What one of a channel's sums is worth: of the result's units where it is quantised.
    pub scales: Vec<f32>,
    /// Of the weights.
    pub zero_points: Vec<i32>,
    /// To integers again; none: the result is float.
    pub requantise: Option<Requantise>,
}

/// A QuantizeLinear behind sums of integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requantise {
    /// The result's zero point.
    pub zero: i32,
    /// Its type's least value.
    pub lo: i32,
    /// And its largest.
    pub hi: i32,
}

/// ConvTranspose. Reads x, weights, bias (or none).
#[derive(Debug, Clone, PartialEq)]
pub struct ConvTranspose {
    /// Over space.
    pub window: Window,
    /// Over channels.
    pub groups: Groups,
    /// Of the result.
    pub activation: Option<Activation>,
}

/// alpha A' B' + beta C of two matrices. Reads A, B, C (or none).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gemm {
    /// Sizes of the product.
    pub size: Product,
    /// Whether A is transposed.
    pub trans_a: bool,
    /// Whether B is transposed.
    pub trans_b: bool,
    /// Of the product.
    pub alpha: f32,
    /// Of C.
    pub beta: f32,
    /// Strides of C along rows and columns, 0 along what is repeated; none: there is no C.
    pub c_strides: Option<[usize; 2]>,
    /// Of the result.
    pub activation: Option<Activation>,
}

/// `[rows, depth]` by `[depth, columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct Product {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
}

/// Products of batches of matrices, NumPy's rules. Reads both.
#[derive(Debug, Clone, PartialEq)]
pub struct MatMul {
    /// Sizes of each product.
    pub size: Product,
    /// The result's batch dimensions.
    pub batch: Vec<usize>,
    /// Both operands' strides along their own batch dimensions, the last ones of `batch`; 0 along what is repeated.
    pub strides: [Vec<usize>; 2],
    /// Of the result.
    pub activation: Option<Activation>,
}

/// Pad; negative pads cut off. Reads x.
#[derive(Debug, Clone, PartialEq)]
pub struct Pad {
    /// What lies outside.
    pub mode: PadMode,
    /// What is constant there.
    pub fill: Fill,
    /// Elements before, for each dimension.
    pub begin: Vec<i64>,
}

/// What lies outside of a padded tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are ONNX's
pub enum PadMode {
    Constant,
    Edge,
    Reflect,
    Wrap,
}

/// A number to pad with, of the tensor's type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// Finite.
    Float(f32),
    /// None: 0.
    Integer(Option<i32>),
}

/// QuantizeLinear or DequantizeLinear: (q - zero) * scale. Reads x, and as tables scales and zero points.
#[derive(Debug, Clone, PartialEq)]
pub struct Scales {
    /// Positive and finite: one, or one for each index of `axis`.
    pub values: Vec<f32>,
    /// As many.
    pub zero_points: Vec<i32>,
    /// What they run along.
    pub axis: usize,
    /// Elements between two indices of `axis`.
    pub plane: usize,
}

impl Scales {
    /// Scale and zero point where they are one for all.
    pub fn one(&self) -> Option<(f32, i32)> {
        match (&self.values[..], &self.zero_points[..]) {
            (&[scale], &[zero]) => Some((scale, zero)),
            _ => None,
        }
    }
}

/// The mean of each plane of dequantised bytes, quantised: ONNX Runtime's QLinearGlobalAveragePool. Reads x, of bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantisedMean {
    /// Places of a plane.
    pub count: usize,
    /// x's zero point.
    pub x_zero: i32,
    /// Of a plane's sum, in the result's units.
    pub scale: f32,
    /// The result's.
    pub to: Requantise,
}

/// The sum of two dequantised values of bytes, quantised: ONNX Runtime's QLinearAdd, x * `x` + (w * `w` + `fixed`) before it
/// is rounded. Reads x, w, and as a table these numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantisedSum {
    /// x's scale by the result's.
    pub x: f32,
    /// w's.
    pub w: f32,
    /// The result's zero point less the scaled ones of x and w.
    pub fixed: f32,
    /// The result's least value.
    pub lo: i32,
    /// And its largest.
    pub hi: i32,
}

/// The mean over some dimensions. Reads x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReduceMean {
    /// Dimensions that go, counted from the first.
    pub axes: Vec<usize>,
}

impl ReduceMean {
    /// Whether it gives a number for each plane of images of this shape.
    pub fn of_planes(&self, x: &[usize]) -> bool {
        x.len() == 4 && self.axes == [2, 3]
    }
}

/// Between the layouts of [`crate::gpu::ir::form`]. Reads x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relayout {
    /// From ONNX's to channels in fours.
    ToFours,
    /// And back.
    FromFours,
}

/// Resize by nearest neighbour or linear interpolation. Reads x, and as a table `neighbours`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resize {
    /// Whether between two neighbours; else the nearest one.
    pub linear: bool,
    /// For each index along each of six dimensions: offsets of two neighbours in x, and the second's weight (its bits).
    pub neighbours: Vec<i32>,
}

/// Softmax of rows of `len` elements, `inner` apart. Reads x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Softmax {
    /// Elements of a row.
    pub len: usize,
    /// Elements between two of a row.
    pub inner: usize,
}

/// A copy from elsewhere (Transpose, Slice). Reads x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strided {
    /// Where the first element lies in x.
    pub start: usize,
    /// Elements of x between two indices of each of the result's dimensions, modulo 2^32: they may be negative.
    pub steps: Vec<usize>,
}
