//! To channels in fours and back.

use crate::gpu::graph::{Form, Fuse, GROUP, Shader, Step, ValueId};

/// relayout.wgsl
pub const SHADER: Shader = shader!("relayout": "integer", "step", "relayout");

/// `[images, channels, plane]` at `x` becomes `[images, channels / 4, plane, 4]` at `y`.
pub fn to_fours(x: ValueId, y: ValueId, [images, channels, plane]: [usize; 3], node: &str) -> Step {
    step("to_fours", [x, y, x], images * channels.next_multiple_of(4) * plane, channels, plane, node)
}

/// And back.
pub fn from_fours(x: ValueId, y: ValueId, [images, channels, plane]: [usize; 3], node: &str) -> Step {
    step("from_fours", [x, y, y], images * channels * plane, channels, plane, node)
}

fn step(
    entry: &'static str,
    [x, y, model]: [ValueId; 3],
    total: usize,
    channels: usize,
    plane: usize,
    node: &str,
) -> Step {
    let mut step = Step {
        node: node.to_owned(),
        op: "Relayout".into(),
        shader: &SHADER,
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
