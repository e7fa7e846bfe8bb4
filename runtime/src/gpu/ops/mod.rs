//! The operators: one file each, found here by ONNX's name. A file has `lower` (attributes, shapes, the typed operator of
//! [`crate::gpu::ir::op`]) and `kernel` (that operator's shader, constants and invocations where it stands), and its shaders'
//! `.wgsl` of the same stem beside it; its node tests are in tests/onnx-node-tests.txt. To add one: such a file, a struct in
//! ir/op.rs, a line in [`OPS`], an arm in [`crate::gpu::kernels::kernel`]. Operators that only passes make have no `lower`
//! and a line in [`MADE`].

/// A shader's name and the files whose texts, one after the other, are its source: preludes first.
macro_rules! shader {
    ($name:literal: $($file:literal),+) => {
        Shader { name: $name, source: concat!($(include_str!(concat!($file, ".wgsl"))),+) }
    };
}

pub mod activation;
pub mod average_pool;
pub mod batch_norm;
pub mod binary;
pub mod cast;
pub mod clip;
pub mod concat;
mod constant;
pub mod conv;
pub mod conv4;
pub mod conv4_weights;
#[cfg(test)]
mod conv_cases;
pub mod conv_transpose;
pub mod dequantize;
pub mod file_node;
pub mod gemm;
pub mod integer_conv;
#[cfg(test)]
mod integer_conv_cases;
pub mod mat_mul;
pub mod max_pool;
pub mod pad;
pub mod quantised_mean;
pub mod quantised_product;
pub mod quantised_sum;
pub mod quantize;
pub mod reduce_mean;
pub mod relayout;
mod reshape;
pub mod resize;
mod shape;
pub mod softmax;
pub mod strided;
#[cfg(test)]
pub mod test_model;
mod window;

use crate::gpu::kernel::Shader;
use file_node::FileNode;

/// What is known of an ONNX operator.
struct Operator {
    name: &'static str,
    /// Attributes that `lower` honours; any other is an error.
    attributes: &'static [&'static str],
    /// Shapes, types, nodes.
    lower: fn(&mut FileNode) -> Result<(), String>,
    /// What may compute it.
    #[allow(dead_code)] // the tests read it: every shader is valid
    shaders: Shaders,
}

type Shaders = &'static [&'static Shader];

const fn op(
    name: &'static str,
    attributes: &'static [&'static str],
    lower: fn(&mut FileNode) -> Result<(), String>,
    shaders: Shaders,
) -> Operator {
    Operator { name, attributes, lower, shaders }
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

const OPS: &[Operator] = &[
    op("Add", &[], binary::add, binary::SHADERS),
    op("AveragePool", POOL, average_pool::lower, average_pool::SHADERS),
    op(
        "BatchNormalization",
        &["epsilon", "momentum", "spatial", "training_mode"],
        batch_norm::lower,
        batch_norm::SHADERS,
    ),
    op("Cast", &["saturate", "to"], cast::lower, cast::SHADERS),
    op("Clip", &["max", "min"], clip::lower, clip::SHADERS),
    op("Concat", &["axis"], concat::lower, concat::SHADERS),
    op(
        "Constant",
        &["value", "value_float", "value_floats", "value_int", "value_ints"],
        constant::lower,
        &[],
    ),
    op("Conv", CONV, conv::lower, conv::SHADERS),
    op("ConvTranspose", CONV_TRANSPOSE, conv_transpose::lower, conv_transpose::SHADERS),
    op("DequantizeLinear", &["axis"], dequantize::lower, dequantize::SHADERS),
    op("Div", &[], binary::div, binary::SHADERS),
    op("Flatten", &["axis"], reshape::flatten, &[]),
    op("Gemm", &["alpha", "beta", "transA", "transB"], gemm::lower, gemm::SHADERS),
    op("GlobalAveragePool", &[], reduce_mean::global_average_pool, reduce_mean::SHADERS),
    op("HardSigmoid", &["alpha", "beta"], activation::hard_sigmoid, activation::SHADERS),
    op("HardSwish", &[], activation::hard_swish, activation::SHADERS),
    op("Identity", &[], reshape::identity, &[]),
    op("MatMul", &[], mat_mul::lower, gemm::SHADERS),
    op("MaxPool", MAX_POOL, max_pool::lower, max_pool::SHADERS),
    op("Mul", &[], binary::mul, binary::SHADERS),
    op("Pad", &["mode", "pads", "value"], pad::lower, pad::SHADERS),
    op("QuantizeLinear", &["axis", "saturate"], quantize::lower, quantize::SHADERS),
    op("ReduceMean", &["axes", "keepdims", "noop_with_empty_axes"], reduce_mean::lower, reduce_mean::SHADERS),
    op("Relu", &[], activation::relu, activation::SHADERS),
    op("Reshape", &["allowzero"], reshape::reshape, &[]),
    op("Resize", RESIZE, resize::lower, resize::SHADERS),
    op("Sigmoid", &[], activation::sigmoid, activation::SHADERS),
    op("Slice", &["axes", "ends", "starts"], strided::slice, strided::SHADERS),
    op("Softmax", &["axis"], softmax::lower, softmax::SHADERS),
    op("Squeeze", &["axes"], reshape::squeeze, &[]),
    op("Sub", &[], binary::sub, binary::SHADERS),
    op("Transpose", &["perm"], strided::transpose, strided::SHADERS),
    op("Unsqueeze", &["axes"], reshape::unsqueeze, &[]),
];

/// The shaders of operators that only passes make, and of convolutions with channels in fours.
#[allow(dead_code)] // the tests read it: every shader is valid
const MADE: &[Shaders] = &[
    conv4::SHADERS,
    integer_conv::SHADERS,
    quantised_mean::SHADERS,
    quantised_product::SHADERS,
    quantised_sum::SHADERS,
    relayout::SHADERS,
];

/// Adds a node's values and operators to the graph. It is an error if the operator or one of its attributes is
/// not supported.
pub fn lower(node: &mut FileNode) -> Result<(), String> {
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
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    /// Of all operators, by name.
    fn shaders() -> BTreeMap<&'static str, &'static Shader> {
        let of_operators = OPS.iter().map(|o| o.shaders).chain(MADE.iter().copied());
        let all = of_operators.chain([&[&crate::gpu::exec::peak::SHADER][..]]);
        all.flatten().map(|s| (s.name, *s)).collect()
    }

    /// Without a GPU: WGSL, types, uniform control flow, and nothing beyond what small adapters have.
    #[test]
    fn every_shader_is_valid() {
        use naga::valid::{Capabilities, ValidationFlags, Validator};
        for shader in shaders().into_values() {
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

    /// Every `shader!` of this folder is among those of the registry.
    #[test]
    fn no_shader_is_missing_from_the_registry() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gpu/ops");
        let mut written = BTreeSet::from(["peak".to_owned()]);
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("mod.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let names = text.split("shader!(\"").skip(1).filter_map(|rest| rest.split('"').next());
                written.extend(names.map(str::to_owned));
            }
        }
        assert!(written.len() > 40, "{written:?}");
        assert_eq!(shaders().into_keys().map(str::to_owned).collect::<BTreeSet<_>>(), written);
    }

    #[test]
    fn operators_are_in_order_and_once() {
        assert!(OPS.is_sorted_by_key(|o| o.name));
        assert!(OPS.windows(2).all(|w| w[0].name != w[1].name));
    }
}
