//! Conv, of floats or of dequantised integers.

use super::integer_conv;
use super::node::Node;
use super::window::{Window, spatial};
use crate::gpu::ir::graph::{Conv, Form, Fuse, Shader, ValueId};

/// conv.wgsl
pub const SHADER: Shader = shader!("conv": "float", "step", "window", "nan", "activate", "conv_sums", "conv");

/// Channels by group, as constants of a shader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// `group`.
    pub groups: usize,
    /// Input channels of each.
    pub cg: usize,
    /// Output channels of each.
    pub mg: usize,
}

/// ONNX Conv with one to three spatial dimensions.
pub fn lower(n: &mut Node) -> Result<(), String> {
    let (x, w) = (n.input(0)?, n.input(1)?);
    let (xs, ws) = (n.shape(x)?, n.shape(w)?);
    let kernel = spatial(&ws).map_err(|_| format!("weights are {ws:?}"))?;
    if xs.len() != ws.len() {
        return Err(format!("input {xs:?} and weights {ws:?} differ in rank"));
    }
    let window = Window::read(n, &xs, Some(kernel))?;
    let groups = groups(n, &xs, &ws)?;
    let m = groups.groups * groups.mg;
    let bias = n.optional(2)?;
    if let Some(b) = bias {
        let found = n.shape(b)?;
        if found != [m] {
            return Err(format!("bias is {found:?}, wanted [{m}]"));
        }
    }
    let shape = window.output_shape(xs.first().copied().unwrap_or(1), m);
    let dtype = n.float_type(&[Some(x), Some(w), bias])?;
    let y = n.output(0, dtype, &shape)?;
    if integer_conv::push(n, [Some(x), Some(w), bias], y, &window, &groups)? {
        return Ok(());
    }
    let mut constants = window.constants();
    constants.extend(groups.constants());
    constants.push(("bias", f64::from(u8::from(bias.is_some()))));
    let mut step = n.step(&SHADER, "main", &[Some(x), Some(w), bias], y, constants)?;
    groups.four_channels_each(&mut step, &shape);
    step.fuse = Fuse::Float;
    let known = |id: Option<ValueId>| match id {
        Some(id) => n.value(id).map(|v| v.constant.is_some()),
        None => Ok(true),
    };
    if known(Some(w))? && known(bias)? {
        step.form = Form::Conv(Box::new(Conv { window, groups, integer: None }));
    }
    n.graph.push(step);
    Ok(())
}

fn groups(n: &Node, xs: &[usize], ws: &[usize]) -> Result<Groups, String> {
    let groups =
        usize::try_from(n.int("group", 1)?).ok().filter(|&g| g > 0).ok_or("group is not positive")?;
    let (&[_, c, ..], &[m, cg, ..]) = (xs, ws) else { return Err(format!("input {xs:?}, weights {ws:?}")) };
    if cg.checked_mul(groups) != Some(c) || m % groups != 0 {
        return Err(format!("{groups} groups do not fit input {xs:?} and weights {ws:?}"));
    }
    Ok(Groups { groups, cg, mg: m / groups })
}

impl Groups {
    /// `groups`, `cg`, `mg`.
    pub fn constants(&self) -> [(&'static str, f64); 3] {
        [("groups", self.groups as f64), ("cg", self.cg as f64), ("mg", self.mg as f64)]
    }

    /// One invocation for each four channels of a group and place.
    pub fn four_channels_each(&self, step: &mut crate::gpu::ir::graph::Step, shape: &[usize]) {
        let places: usize = shape.iter().skip(2).product();
        let images = shape.first().copied().unwrap_or(1);
        let total = images * self.groups * self.mg.div_ceil(4) * places;
        step.set_total(total);
    }
}
