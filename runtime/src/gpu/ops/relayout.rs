//! Between ONNX's layout and channels in fours.

use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::form::words;
use crate::gpu::ir::op::Relayout;
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// relayout.wgsl
const SHADER: Shader = shader!("relayout": "integer", "step", "relayout");
/// relayout_halves.wgsl
const HALVES: Shader = shader!("relayout_halves": "integer", "step", "relayout", "relayout_halves");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&SHADER, &HALVES];

/// Returns the kernel of `[images, channels, places]`, with an invocation for each word that is written.
pub fn kernel(relayout: Relayout, at: &Setting) -> Result<Kernel, String> {
    let value = at.write()?;
    let [images, channels, plane] = value.planes()?;
    let words = words(value.dtype);
    let (shader, to, from) = match words {
        1 => (&SHADER, "to_bytes", "from_bytes"),
        2 => (&HALVES, "to_halves", "from_halves"),
        _ => (&SHADER, "to_fours", "from_fours"),
    };
    let mut constants = vec![("channels", channels as f64), ("plane", plane as f64)];
    let (entry, total) = match relayout {
        Relayout::ToFours => (to, images * channels.div_ceil(4) * plane * words),
        Relayout::FromFours => {
            constants.push(("unsigned", f64::from(u8::from(value.dtype == DType::U8))));
            (from, images * channels * plane)
        }
    };
    Ok(Kernel::new(shader, entry, constants, total))
}
