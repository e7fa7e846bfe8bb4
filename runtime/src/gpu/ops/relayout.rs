//! To channels in fours and back.

use crate::gpu::ir::graph::{DType, Form, Fuse, GROUP, Shader, Step, ValueId};
use crate::gpu::passes::layout::words;

/// relayout.wgsl
pub const SHADER: Shader = shader!("relayout": "integer", "step", "relayout");
/// relayout_halves.wgsl
pub const HALVES: Shader = shader!("relayout_halves": "integer", "step", "relayout", "relayout_halves");

/// `[images, channels, plane]` at `x` becomes `[images, channels / 4, plane, words]` at `y`.
pub fn to_fours(
    x: ValueId,
    y: ValueId,
    [images, channels, plane]: [usize; 3],
    dtype: DType,
    node: &str,
) -> Step {
    let words = words(dtype);
    let how = match words {
        1 => (&SHADER, "to_bytes"),
        2 => (&HALVES, "to_halves"),
        _ => (&SHADER, "to_fours"),
    };
    step(how, [x, y, x], images * channels.div_ceil(4) * plane * words, channels, plane, node)
}

/// And back.
pub fn from_fours(
    x: ValueId,
    y: ValueId,
    [images, channels, plane]: [usize; 3],
    dtype: DType,
    node: &str,
) -> Step {
    let how = match words(dtype) {
        1 => (&SHADER, "from_bytes"),
        2 => (&HALVES, "from_halves"),
        _ => (&SHADER, "from_fours"),
    };
    let mut step = step(how, [x, y, y], images * channels * plane, channels, plane, node);
    step.set("unsigned", f64::from(u8::from(dtype == DType::U8)));
    step
}

fn step(
    (shader, entry): (&'static Shader, &'static str),
    [x, y, model]: [ValueId; 3],
    total: usize,
    channels: usize,
    plane: usize,
    node: &str,
) -> Step {
    let mut step = Step {
        node: node.to_owned(),
        op: "Relayout".into(),
        shader,
        narrow: None,
        entry,
        constants: vec![("channels", channels as f64), ("plane", plane as f64)],
        reads: vec![Some(x)],
        write: y,
        of: model,
        of_reads: vec![model],
        invocations: 0,
        group: GROUP,
        params: Vec::new(),
        form: Form::Plain,
        fuse: Fuse::No,
    };
    step.set_total(total);
    step
}
