//! Cast between float, float16 and the integer types of up to 32 bits.

use super::file_node::FileNode;
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::op::{Cast, Op};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// cast.wgsl
const SHADER: Shader = shader!("cast": "integer", "step", "cast");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&SHADER];

/// Lowers ONNX Cast; `saturate` is for 8-bit floats, which are not supported.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    n.int("saturate", 1)?;
    let to = i32::try_from(n.int("to", 0)?).map_err(|_| "attribute `to` is no element type")?;
    let to = DType::of(to)?;
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    // A float16 is kept in an f32.
    if value.dtype == to || value.dtype == DType::F16 && to == DType::F32 {
        return n.alias_as(x, &value.shape, to);
    }
    let fits = match (value.dtype.range(), to.range()) {
        (None, Some(_)) => value.dtype.is_float(),
        (Some(_), None) => to.is_float(),
        (None, None) => value.dtype == DType::F32 && to == DType::F16,
        (Some(_), Some(_)) => true,
    };
    if !fits {
        return Err(format!("from {} to {}: not supported", value.dtype.name(), to.name()));
    }
    let y = n.output(0, to, &value.shape)?;
    n.add(Op::Cast(Cast { from: value.dtype, to }), &[Some(x)], y)
}

/// Returns the kernel, which works element by element.
pub fn kernel(cast: Cast, at: &Setting) -> Result<Kernel, String> {
    let (entry, constants) = match (cast.from.range(), cast.to.range()) {
        // The largest float below 2^31 is 2^31 - 128.
        (None, Some((lo, hi))) => {
            let hi = f64::from(hi).min(2_147_483_520.0);
            ("main_integer", vec![("lo", f64::from(lo)), ("hi", hi)])
        }
        (Some(_), None) => ("main_float", vec![("half", f64::from(u8::from(cast.to == DType::F16)))]),
        (None, None) => ("main_half", vec![]),
        (Some(_), Some((lo, _))) => {
            let bits = match cast.to {
                DType::U8 | DType::I8 => 8,
                DType::U16 | DType::I16 => 16,
                _ => 32,
            };
            ("main_wrap", vec![("bits", f64::from(bits)), ("unsigned", f64::from(u8::from(lo == 0)))])
        }
    };
    Ok(Kernel::new(&SHADER, entry, constants, at.total()?))
}

#[cfg(test)]
mod tests {
    use crate::backend::{Backend, Named, Options, WgpuOptions};
    use crate::gpu::WgpuBackend;
    use crate::gpu::ops::test_model::{cast, encode, value};
    use crate::onnx::OnnxFile;
    use crate::onnx::proto::GraphProto;
    use gtn_core::io::tensors::{Data, Tensor};
    use half::f16;
    use std::path::Path;

    #[test]
    fn float16_is_the_nearest_and_the_middle_goes_to_even() {
        let mut x: Vec<f32> = Vec::new();
        for bits in 0..=u16::MAX {
            let (h, next) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits.saturating_add(1)).to_f32());
            let middle = (h + next) / 2.0;
            x.extend([h, middle, middle.next_up(), middle.next_down()]);
        }
        x.extend([65519.99, 65520.0, 1e30, -1e30, 1e-10, -1e-10, f32::MIN_POSITIVE / 4.0]);
        x.retain(|v| !v.is_nan());
        let graph = GraphProto {
            node: vec![cast("x", "h", 10), cast("h", "y", 1)],
            input: vec![value("x", &[x.len()])],
            output: vec![value("y", &[x.len()])],
            ..Default::default()
        };
        let options = Options { wgpu: WgpuOptions::any_adapter(), ..Options::default() };
        let mut backend = WgpuBackend::load(
            &OnnxFile::parse(&encode(graph), Path::new("m.onnx")).unwrap(),
            &options,
            "test",
        )
        .unwrap();
        let input = Named { name: "x".into(), tensor: Tensor::f32(&[x.len()], x.clone()) };
        let found = backend.run(&[input]).unwrap();
        let Data::F32(found) = &found[0].tensor.data else { panic!("no floats") };
        assert_eq!(found.len(), x.len());
        for (x, y) in x.iter().zip(found) {
            assert_eq!(y.to_bits(), f16::from_f32(*x).to_f32().to_bits(), "{x:e} became {y:e}");
        }
    }
}
