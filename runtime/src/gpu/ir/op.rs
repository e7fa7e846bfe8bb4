//! The operators of a graph, each with its attributes as plain types. An ONNX operator that moves nothing and computes
//! nothing (Reshape, Identity) is no operator here; some here are several of ONNX's (`IntegerConv`).
//!
//! A struct's doc says what the node's `reads` are, in order.

use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::window::{Groups, Window};

/// This says what a node computes.
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
    QuantisedProduct(QuantisedProduct),
    QuantisedSum(QuantisedSum),
    Quantize(Scales),
    ReduceMean(ReduceMean),
    Relayout(Relayout),
    Resize(Resize),
    Softmax(Softmax),
    Strided(Strided),
}

/// This is a function of one float; of NaN it is NaN.
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

/// Clips integers: min(max(x, lo), hi). It reads x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipIntegers {
    /// Least result.
    pub lo: i32,
    /// Largest result.
    pub hi: i32,
}

/// Gives the mean of each window. It reads x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AveragePool {
    /// Over space.
    pub window: Window,
    /// Whether padding counts (`count_include_pad`).
    pub include_pad: bool,
}

/// Gives the largest of each window, of floats or bytes. It reads x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxPool {
    /// Over space.
    pub window: Window,
}

/// This is BatchNormalization in inference. It reads x, scale, bias, mean, variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f32,
}

/// This is an operator of two operands with NumPy's broadcasting. It reads both; only floats have an
/// activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Binary {
    /// Which.
    pub op: BinaryOp,
    /// Of the result.
    pub activation: Option<Activation>,
}

/// This says what is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are ONNX's
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
}

/// Casts between float, float16 and integers of up to 32 bits. It reads x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cast {
    /// x's type, as the model has it.
    pub from: DType,
    /// The result's.
    pub to: DType,
}

/// Copies one input of Concat into its place: rows of `width` elements, `stride` apart in the result, from
/// `start` on. It reads the input; the other inputs are nodes of their own that write the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concat {
    /// Elements of the input from the axis on.
    pub width: usize,
    /// Elements of the result from the axis on.
    pub stride: usize,
    /// Elements of the inputs before it.
    pub start: usize,
}

/// This is a convolution of floats. It reads x, weights, bias (or none), and the residual where there is one.
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

/// This is a convolution (or Gemm) of dequantised bytes, computed on the integers. It reads x, constant
/// weights, constant bias (or none), and as tables the scales and the weights' zero points, one for each output
/// channel.
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

/// This is a QuantizeLinear behind sums of integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requantise {
    /// The result's zero point.
    pub zero: i32,
    /// Its type's least value.
    pub lo: i32,
    /// And its largest.
    pub hi: i32,
}

/// This is ConvTranspose. It reads x, weights, bias (or none).
#[derive(Debug, Clone, PartialEq)]
pub struct ConvTranspose {
    /// Over space.
    pub window: Window,
    /// Over channels.
    pub groups: Groups,
    /// Of the result.
    pub activation: Option<Activation>,
}

/// Computes alpha A' B' + beta C of two matrices. It reads A, B, C (or none).
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

/// These are the sizes of a product of `[rows, depth]` by `[depth, columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct Product {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
}

/// Computes the products of batches of matrices, by NumPy's rules. It reads both.
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

/// This is Pad; negative pads cut off. It reads x.
#[derive(Debug, Clone, PartialEq)]
pub struct Pad {
    /// What lies outside.
    pub mode: PadMode,
    /// What is constant there.
    pub fill: Fill,
    /// Elements before, for each dimension.
    pub begin: Vec<i64>,
}

/// This says what lies outside of a padded tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are ONNX's
pub enum PadMode {
    Constant,
    Edge,
    Reflect,
    Wrap,
}

/// This is a number to pad with, of the tensor's type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// Finite.
    Float(f32),
    /// None: 0.
    Integer(Option<i32>),
}

/// This is QuantizeLinear or DequantizeLinear, which stand for (q - zero) * scale. It reads x, and as tables
/// scales and zero points.
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
    /// Returns scale and zero point where they are one for all.
    pub fn one(&self) -> Option<(f32, i32)> {
        match (&self.values[..], &self.zero_points[..]) {
            (&[scale], &[zero]) => Some((scale, zero)),
            _ => None,
        }
    }
}

/// Gives the mean of each plane of dequantised bytes, quantised: ONNX Runtime's QLinearGlobalAveragePool. It
/// reads x, of bytes.
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

/// Gives the product of two dequantised values of bytes, with NumPy's broadcasting, quantised: ONNX Runtime's
/// QLinearMul, (x - `x_zero`) * (w - `w_zero`) * `ratio` + `to.zero` before it is rounded. It reads x, w, and as a table
/// `ratio` and the result's zero point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantisedProduct {
    /// x's zero point.
    pub x_zero: i32,
    /// w's.
    pub w_zero: i32,
    /// Of a product of integers, in the result's units.
    pub ratio: f32,
    /// The result's.
    pub to: Requantise,
}

/// Gives the sum of two dequantised values of bytes, quantised: ONNX Runtime's QLinearAdd, x * `x` + (w * `w` +
/// `fixed`) before it is rounded. It reads x, w, and as a table these numbers.
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

/// Gives the mean over some dimensions. It reads x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReduceMean {
    /// Dimensions that go, counted from the first.
    pub axes: Vec<usize>,
}

impl ReduceMean {
    /// Returns whether it gives a number for each plane of images of this shape.
    pub fn of_planes(&self, x: &[usize]) -> bool {
        x.len() == 4 && self.axes == [2, 3]
    }
}

/// Copies between the layouts of [`crate::gpu::ir::form`]. It reads x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relayout {
    /// From ONNX's to channels in fours.
    ToFours,
    /// And back.
    FromFours,
}

/// Resizes by nearest neighbour or linear interpolation. It reads x, and as a table `neighbours`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resize {
    /// Whether between two neighbours; else the nearest one.
    pub linear: bool,
    /// For each index along each of six dimensions: offsets of two neighbours in x, and the second's weight (its bits).
    pub neighbours: Vec<i32>,
}

/// Computes Softmax of rows of `len` elements, `inner` apart. It reads x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Softmax {
    /// Elements of a row.
    pub len: usize,
    /// Elements between two of a row.
    pub inner: usize,
}

/// Copies from elsewhere (Transpose, Slice). It reads x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strided {
    /// Where the first element lies in x.
    pub start: usize,
    /// Elements of x between two indices of each of the result's dimensions, modulo 2^32: they may be negative.
    pub steps: Vec<usize>,
}
