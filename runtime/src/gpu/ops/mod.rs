//! The operators: one file each, found here by name. To add one: a file with `lower`, a `.wgsl` of the same
//! stem (`shader!` puts its preludes before it), a line in [`OPS`]; its node tests go into tests/onnx-node-tests.txt.

/// A shader's name and the files whose texts, one after the other, are its source: preludes first.
macro_rules! shader {
    ($name:literal: $($file:literal),+) => {
        Shader { name: $name, source: concat!($(include_str!(concat!($file, ".wgsl"))),+) }
    };
}

mod activation;
mod batch_norm;
mod binary;
mod cast;
mod concat;
mod constant;
mod conv;
mod conv4;
#[cfg(test)]
mod conv_cases;
mod conv_transpose;
mod dequantize;
mod gemm;
mod integer_conv;
#[cfg(test)]
mod integer_conv_cases;
mod node;
mod pad;
mod pool;
mod quantised;
mod quantised_sum;
mod quantize;
mod reduce_mean;
mod relayout;
mod reshape;
mod resize;
mod softmax;
mod strided;
#[cfg(test)]
mod test_model;
mod window;

pub use binary::addressing;
pub use conv::Groups;
pub use conv4::{tunable, tuned};
pub use gemm::gemv;
pub use node::Node;
pub use relayout::{from_fours, to_fours};
pub use window::Window;

/// What is known of an operator.
struct Op {
    name: &'static str,
    /// Attributes that `lower` honours; any other is an error.
    attributes: &'static [&'static str],
    /// Shapes, types, steps.
    lower: fn(&mut Node) -> Result<(), String>,
}

const fn op(
    name: &'static str,
    attributes: &'static [&'static str],
    lower: fn(&mut Node) -> Result<(), String>,
) -> Op {
    Op { name, attributes, lower }
}

const POOL: &[&str] =
    &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"];
const MAX_POOL: &[&str] =
    &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"];
const CONV: &[&str] = &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
const CONV_TRANSPOSE: &[&str] =
    &["auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"];
const RESIZE: &[&str] = &[
    "antialias",
    "axes",
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "extrapolation_value",
    "keep_aspect_ratio_policy",
    "mode",
    "nearest_mode",
];

const OPS: &[Op] = &[
    op("Add", &[], binary::lower),
    op("AveragePool", POOL, pool::average),
    op("BatchNormalization", &["epsilon", "momentum", "spatial", "training_mode"], batch_norm::lower),
    op("Cast", &["saturate", "to"], cast::lower),
    op("Clip", &["max", "min"], activation::clip),
    op("Concat", &["axis"], concat::lower),
    op("Constant", &["value", "value_float", "value_floats", "value_int", "value_ints"], constant::lower),
    op("Conv", CONV, conv::lower),
    op("ConvTranspose", CONV_TRANSPOSE, conv_transpose::lower),
    op("DequantizeLinear", &["axis"], dequantize::lower),
    op("Div", &[], binary::lower),
    op("Flatten", &["axis"], reshape::flatten),
    op("Gemm", &["alpha", "beta", "transA", "transB"], gemm::gemm),
    op("GlobalAveragePool", &[], reduce_mean::global_average_pool),
    op("HardSigmoid", &["alpha", "beta"], activation::hard_sigmoid),
    op("HardSwish", &[], activation::hard_swish),
    op("Identity", &[], reshape::identity),
    op("MatMul", &[], gemm::mat_mul),
    op("MaxPool", MAX_POOL, pool::max),
    op("Mul", &[], binary::lower),
    op("Pad", &["mode", "pads", "value"], pad::lower),
    op("QuantizeLinear", &["axis", "saturate"], quantize::lower),
    op("ReduceMean", &["axes", "keepdims", "noop_with_empty_axes"], reduce_mean::lower),
    op("Relu", &[], activation::relu),
    op("Reshape", &["allowzero"], reshape::reshape),
    op("Resize", RESIZE, resize::lower),
    op("Sigmoid", &[], activation::sigmoid),
    op("Slice", &["axes", "ends", "starts"], strided::slice),
    op("Softmax", &["axis"], softmax::lower),
    op("Squeeze", &["axes"], reshape::squeeze),
    op("Sub", &[], binary::lower),
    op("Transpose", &["perm"], strided::transpose),
    op("Unsqueeze", &["axes"], reshape::unsqueeze),
];

/// Adds a node's values and steps to the graph.
pub fn lower(node: &mut Node) -> Result<(), String> {
    if !node.domain_is_default() {
        return Err("its operator set is not ONNX's own: not supported".into());
    }
    let op = OPS.iter().find(|o| o.name == node.op()).ok_or("the operator is not supported")?;
    if let Some(odd) = node.attributes().find(|a| !op.attributes.contains(a)) {
        return Err(format!("attribute `{odd}` is not supported"));
    }
    (op.lower)(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::ir::graph::Shader;

    const SHADERS: &[&Shader] = &[
        &activation::FLOAT,
        &activation::HALVES,
        &activation::INTEGER,
        &batch_norm::SHADER,
        &binary::FLOAT,
        &binary::INTEGER,
        &cast::SHADER,
        &concat::SHADER,
        &conv::SHADER,
        &conv4::BLOCK[0],
        &conv4::BLOCK[1],
        &conv4::BLOCK[2],
        &conv4::DEPTHWISE[0],
        &conv4::DEPTHWISE[1],
        &conv4::DEPTHWISE[2],
        &conv4::TILE[0],
        &conv4::TILE[1],
        &conv4::TILE[2],
        &conv_transpose::SHADER,
        &dequantize::SHADER,
        &dequantize::BYTES,
        &gemm::GEMV,
        &gemm::GEMV_SUBGROUPS,
        &gemm::SHADER,
        &integer_conv::SHADER,
        &pad::SHADER,
        &crate::gpu::exec::peak::SHADER,
        &pool::AVERAGE,
        &pool::AVERAGE_HALVES,
        &pool::MAX,
        &pool::MAX_BYTES,
        &pool::MAX_HALVES,
        &pool::MAX_INTEGER,
        &quantised::MEAN,
        &quantised::MEAN_BYTES,
        &quantised_sum::SHADER,
        &quantised_sum::BYTES,
        &quantize::SHADER,
        &quantize::BYTES,
        &reduce_mean::HALVES,
        &reduce_mean::SHADER,
        &relayout::HALVES,
        &relayout::SHADER,
        &resize::SHADER,
        &softmax::SHADER,
        &strided::SHADER,
    ];

    /// Without a GPU: WGSL, types, uniform control flow, and nothing beyond what small adapters have.
    #[test]
    fn every_shader_is_valid() {
        use naga::valid::{Capabilities, ValidationFlags, Validator};
        for shader in SHADERS {
            let module = naga::front::wgsl::parse_str(shader.source)
                .unwrap_or_else(|e| panic!("{}: {}", shader.name, e.emit_to_string(shader.source)));
            let needs = match shader.name {
                name if name.ends_with("_halves") => Capabilities::SHADER_FLOAT16_IN_FLOAT32,
                name if name.ends_with("_subgroups") => Capabilities::SUBGROUP,
                _ => Capabilities::empty(),
            };
            let found = Validator::new(ValidationFlags::all(), needs).validate(&module);
            found.unwrap_or_else(|e| panic!("{}: {}", shader.name, e.emit_to_string(shader.source)));
            assert!(!module.entry_points.is_empty(), "{}", shader.name);
            for entry in &module.entry_points {
                assert!([[64, 1, 1], [256, 1, 1]].contains(&entry.workgroup_size), "{}", shader.name);
            }
            let bindings = module.global_variables.iter().filter(|(_, v)| v.binding.is_some()).count();
            assert!((1..=3).contains(&bindings), "{}", shader.name);
        }
    }

    #[test]
    fn operators_are_in_order_and_once() {
        assert!(OPS.is_sorted_by_key(|o| o.name));
        assert!(OPS.windows(2).all(|w| w[0].name != w[1].name));
    }
}
