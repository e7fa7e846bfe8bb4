//! Cast between float and the integer types of up to 32 bits.

use super::Node;
use crate::gpu::graph::{DType, Shader};

/// cast.wgsl
pub const SHADER: Shader = shader!("cast": "integer", "step", "cast");

/// ONNX Cast; `saturate` is for 8-bit floats, which are not supported.
pub fn lower(n: &mut Node) -> Result<(), String> {
    n.int("saturate", 1)?;
    let to = i32::try_from(n.int("to", 0)?).map_err(|_| "attribute `to` is no element type")?;
    let to = DType::of(to)?;
    let x = n.input(0)?;
    let value = n.value(x)?.clone();
    if value.dtype == to {
        return n.alias(x, &value.shape);
    }
    let unsupported = || format!("from {} to {}: not supported", value.dtype.name(), to.name());
    let (entry, constants) = match (value.dtype.range(), to.range()) {
        // The largest float below 2^31 is 2^31 - 128.
        (None, Some((lo, hi))) if value.dtype == DType::F32 => {
            let hi = f64::from(hi).min(2_147_483_520.0);
            ("main_integer", vec![("lo", f64::from(lo)), ("hi", hi)])
        }
        (Some(_), None) if to == DType::F32 => ("main_float", vec![]),
        (Some(_), Some((lo, _))) => {
            let bits = match to {
                DType::U8 | DType::I8 => 8,
                DType::U16 | DType::I16 => 16,
                _ => 32,
            };
            ("main_wrap", vec![("bits", f64::from(bits)), ("unsigned", f64::from(u8::from(lo == 0)))])
        }
        _ => return Err(unsupported()),
    };
    let y = n.output(0, to, &value.shape)?;
    n.push(&SHADER, entry, &[Some(x)], y, constants)
}
