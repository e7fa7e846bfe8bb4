//! Mul of two dequantised values and the QuantizeLinear behind it: ONNX Runtime's QLinearMul.

use super::binary::broadcast_places;
use crate::gpu::ir::form::{Form, Operand};
use crate::gpu::ir::op::QuantisedProduct;
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// A word for each element.
const WORDS: Shader =
    shader!("quantised_product": "integer", "step", "scalars", "broadcast", "quantised_product");
/// Of bytes.
const BYTES: Shader =
    shader!("quantised_product_bytes": "integer", "step", "bytes", "operands_bytes", "quantised_product");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&WORDS, &BYTES];

/// Returns the kernel, which works element by element.
pub fn kernel(product: &QuantisedProduct, at: &Setting) -> Result<Kernel, String> {
    let mut constants = vec![
        ("x_zero", product.x_zero.into()),
        ("w_zero", product.w_zero.into()),
        ("lo", product.to.lo.into()),
        ("hi", product.to.hi.into()),
    ];
    match at.laid.form {
        Form::Plain => constants.extend(broadcast_places(at)?),
        Form::Fours => {}
        Form::Scaled(operand) => {
            let [_, _, plane] = at.write()?.planes()?;
            let name = if operand == Operand::First { "x_places" } else { "w_places" };
            constants.push((name, plane as f64));
        }
    }
    at.kernel([Some(&WORDS), Some(&BYTES), None], constants)
}

/// Returns the numbers as quantised_product.wgsl reads them.
pub fn table(product: &QuantisedProduct) -> Vec<f32> {
    vec![product.ratio, product.to.zero as f32, 0.0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, Named, Options, WgpuOptions};
    use crate::gpu::WgpuBackend;
    use crate::gpu::ir::dtype::DType;
    use crate::gpu::ir::quantised::Quantised;
    use crate::gpu::ops::test_model::{encode, node, raw, value};
    use crate::onnx::OnnxFile;
    use crate::onnx::proto::{GraphProto, NodeProto, TensorProto};
    use gtn_core::io::tensors::{Data, Tensor};
    use gtn_core::rng::Rng;
    use std::path::Path;

    /// What MLAS computes, rounded twice.
    fn fused(p: &QuantisedProduct, x: i32, w: i32) -> i32 {
        let scaled = ((x - p.x_zero) * (w - p.w_zero)) as f32 * p.ratio;
        (scaled + p.to.zero as f32).clamp(p.to.lo as f32, p.to.hi as f32).round_ties_even() as i32
    }

    /// What QuantizeLinear makes of the product of floats.
    fn defined([a, b, to]: [Quantised; 3], x: i32, w: i32) -> i32 {
        let product = real(a, x) * real(b, w) / to.scale;
        (product.round_ties_even() as i32 + to.zero).clamp(to.lo, to.hi)
    }

    fn real(q: Quantised, v: i32) -> f32 {
        (v - q.zero) as f32 * q.scale
    }

    /// Of both types; results that span their range. Every other one has its zeros at the least value, as behind a Relu.
    fn products(count: u64) -> Vec<[Quantised; 3]> {
        let mut rng = Rng::new(1, "products", 0);
        let mut one = |i: u64| {
            let dtype = if i.is_multiple_of(2) { DType::U8 } else { DType::I8 };
            let (lo, _) = dtype.range().unwrap();
            let mut any = |scale: f32| {
                let zero = if i % 4 < 2 { lo } else { rng.below(256) as i32 + lo };
                Quantised::new(dtype, (0.2 + 0.8 * rng.unit_f64() as f32) * scale, zero).unwrap()
            };
            let [a, b] = [any(0.1), any(0.004)];
            [a, b, any(a.scale * b.scale * 255.0)]
        };
        (0..count).map(&mut one).collect()
    }

    /// A scale, a zero point and both nodes.
    fn pair(name: &str, q: Quantised) -> ([TensorProto; 2], [NodeProto; 2]) {
        let [scale, zero, of, back] = ["s", "z", "q", "dq"].map(|part| format!("{name}.{part}"));
        let (elem_type, byte) = (if q.lo == 0 { 2 } else { 3 }, q.zero.to_le_bytes()[0]);
        let constants =
            [raw(&scale, &[], 1, q.scale.to_le_bytes().to_vec()), raw(&zero, &[], elem_type, vec![byte])];
        let nodes = [
            node("QuantizeLinear", &[name, &scale, &zero], &of),
            node("DequantizeLinear", &[&of, &scale, &zero], &back),
        ];
        (constants, nodes)
    }

    /// x and w through their pairs, x also through a convolution that gives the same bytes, so that it lies in fours; their
    /// product through its pair.
    fn model([a, b, to]: [Quantised; 3], shapes: [&[usize]; 2], in_fours: bool) -> Vec<u8> {
        let one = raw("one", &[], 1, 1f32.to_le_bytes().to_vec());
        let eye = (0..16).map(|i| u8::from(i % 5 == 0)).collect();
        let (mut initializer, mut nodes) = (vec![one, raw("eye", &[4, 4, 1, 1], 3, eye)], Vec::new());
        let mut add = |name: &str, q: Quantised| {
            let (constants, both) = pair(name, q);
            initializer.extend(constants);
            nodes.extend(both);
        };
        add("a", a);
        add("c", a);
        add("b", b);
        add("y", to);
        let (of_c, of_y) = (nodes.drain(2..4).collect::<Vec<_>>(), nodes.drain(4..).collect::<Vec<_>>());
        if in_fours {
            nodes.push(node("DequantizeLinear", &["eye", "one"], "weights"));
            nodes.push(node("Conv", &["a.dq", "weights"], "c"));
            nodes.extend(of_c);
        }
        nodes.push(node("Mul", &[if in_fours { "c.dq" } else { "a.dq" }, "b.dq"], "y"));
        nodes.extend(of_y);
        encode(GraphProto {
            node: nodes,
            initializer,
            input: vec![value("a", shapes[0]), value("b", shapes[1])],
            output: vec![value("y.dq", shapes[0])],
            ..Default::default()
        })
    }

    /// All pairs of bytes: each image's channel has one of w's.
    fn bad(of: [Quantised; 3], in_fours: bool) -> usize {
        let [a, b, to] = of;
        let (large, small) = ([64, 4, 16, 16], [64, 4, 1, 1]);
        let every = |q: Quantised| (q.lo..=q.hi).map(move |v| real(q, v)).collect::<Vec<_>>();
        let inputs = [("a", &large, every(a).repeat(256)), ("b", &small, every(b))];
        let inputs =
            inputs.map(|(name, shape, v)| Named { name: name.into(), tensor: Tensor::f32(shape, v) });
        let options = Options { wgpu: WgpuOptions::any_adapter(), ..Options::default() };
        let file = model(of, [&large, &small], in_fours);
        let file = OnnxFile::parse(&file, Path::new("m.onnx")).unwrap();
        let found = WgpuBackend::load(&file, &options, "test").unwrap().run(&inputs).unwrap();
        let Data::F32(found) = &found[0].tensor.data else { panic!("no floats") };
        let product = QuantisedProduct::of([a, b], to);
        let pairs = (b.lo..=b.hi).flat_map(|w| (a.lo..=a.hi).map(move |x| (x, w)));
        assert_eq!(found.len(), 65_536);
        pairs.zip(found).filter(|&((x, w), &found)| found != real(to, fused(&product, x, w))).count()
    }

    /// As words and as bytes; and the float product is another one, seldom, so that this can fail.
    #[test]
    fn a_product_is_what_onnx_runtime_computes() {
        let mut differ = 0;
        for (i, of) in products(40).into_iter().enumerate() {
            let [a, b, to] = of;
            assert_eq!(bad(of, i % 8 < 4), 0, "{of:?}");
            let product = QuantisedProduct::of([a, b], to);
            let pairs = (a.lo..=a.hi).flat_map(|x| (b.lo..=b.hi).map(move |w| (x, w)));
            differ += pairs.filter(|&(x, w)| fused(&product, x, w) != defined(of, x, w)).count();
        }
        assert!(differ > 0, "of 2,621,440 products");
    }
}
