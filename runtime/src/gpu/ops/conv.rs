//! Conv of floats.

use super::activation;
use super::conv4;
use super::file_node::FileNode;
use super::window::{constants, group_constants, spatial, window};
use crate::gpu::ir::form::Form;
use crate::gpu::ir::op::{Conv, Op};
use crate::gpu::ir::window::{Groups, Window};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// Of any layout of channels and weights.
const GENERAL: Shader = shader!("conv": "float", "step", "window", "nan", "activate", "conv_sums", "conv");
/// These are all shaders of the operator but those of conv4.rs.
pub const SHADERS: &[&Shader] = &[&GENERAL];

/// Lowers ONNX Conv with one to three spatial dimensions: x `[N, C, ...]`, weights `[M, C / group, ...]`, bias
/// `[M]`.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    let (x, w) = (n.input(0)?, n.input(1)?);
    let (xs, ws) = (n.shape(x)?, n.shape(w)?);
    let kernel = spatial(&ws).map_err(|_| format!("weights are {ws:?}"))?;
    if xs.len() != ws.len() {
        return Err(format!("input {xs:?} and weights {ws:?} differ in rank"));
    }
    let window = window(n, &xs, Some(kernel))?;
    let (images, groups) = groups(n, &xs, &ws)?;
    let m = groups.outputs();
    let bias = n.optional(2)?;
    if let Some(b) = bias {
        let found = n.shape(b)?;
        if found != [m] {
            return Err(format!("bias is {found:?}, wanted [{m}]"));
        }
    }
    let dtype = n.float_type(&[Some(x), Some(w), bias])?;
    let y = n.output(0, dtype, &window.output_shape(images, m))?;
    let conv = Conv { window, groups, residual: false, activation: None };
    n.add(Op::Conv(conv), &[Some(x), Some(w), bias], y)
}

/// Images and channels.
fn groups(n: &FileNode, xs: &[usize], ws: &[usize]) -> Result<(usize, Groups), String> {
    let groups =
        usize::try_from(n.int("group", 1)?).ok().filter(|&g| g > 0).ok_or("group is not positive")?;
    let (&[images, c, ..], &[m, cg, ..]) = (xs, ws) else {
        return Err(format!("input {xs:?}, weights {ws:?}"));
    };
    if cg.checked_mul(groups) != Some(c) || m % groups != 0 {
        return Err(format!("{groups} groups do not fit input {xs:?} and weights {ws:?}"));
    }
    Ok((images, Groups { groups, cg, mg: m / groups }))
}

/// Returns the kernel: in fours one of conv4.rs, else the general one.
pub fn kernel(conv: &Conv, at: &Setting) -> Result<Kernel, String> {
    if at.laid.form != Form::Plain {
        return conv4::float_kernel(conv, at);
    }
    let mut constants = general_constants(&conv.window, &conv.groups, at);
    constants.extend(activation::constants(conv.activation));
    if conv.residual {
        constants.push(("residual", 1.0));
    }
    Ok(Kernel::new(&GENERAL, "main", constants, blocks(&conv.groups, at)?))
}

/// Returns the constants that conv_sums.wgsl and the shaders behind it have.
pub fn general_constants(window: &Window, groups: &Groups, at: &Setting) -> Vec<(&'static str, f64)> {
    let bias = at.laid.node.reads.get(2).is_some_and(Option::is_some);
    let mut all = constants(window);
    all.extend(group_constants(groups));
    all.push(("bias", f64::from(u8::from(bias))));
    all
}

/// Returns the invocations of conv_sums.wgsl: one for each four channels of a group and place.
pub fn blocks(groups: &Groups, at: &Setting) -> Result<usize, String> {
    let [images, _, places] = at.write()?.planes()?;
    Ok(images * groups.groups * groups.mg.div_ceil(4) * places)
}
