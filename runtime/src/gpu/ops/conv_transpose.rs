//! ConvTranspose.

use super::activation;
use super::file_node::FileNode;
use super::window::{constants, group_constants, pads, per_dimension, spatial};
use crate::gpu::ir::op::{ConvTranspose, Op};
use crate::gpu::ir::window::{Groups, Window};
use crate::gpu::kernel::{Kernel, Setting, Shader};

/// conv_transpose.wgsl
const SHADER: Shader =
    shader!("conv_transpose": "float", "step", "window", "nan", "activate", "conv_transpose");
/// These are all shaders of the operator.
pub const SHADERS: &[&Shader] = &[&SHADER];

/// Lowers ONNX ConvTranspose with one to three spatial dimensions.
pub fn lower(n: &mut FileNode) -> Result<(), String> {
    let (x, w, bias) = (n.input(0)?, n.input(1)?, n.optional(2)?);
    let dtype = n.float_type(&[Some(x), Some(w), bias])?;
    let (xs, ws) = (n.shape(x)?, n.shape(w)?);
    let groups =
        usize::try_from(n.int("group", 1)?).ok().filter(|&g| g > 0).ok_or("group is not positive")?;
    let (&[images, c, ..], &[wc, mg, ..]) = (&xs[..], &ws[..]) else {
        return Err(format!("input {xs:?}, weights {ws:?}"));
    };
    if wc != c || c % groups != 0 || xs.len() != ws.len() {
        return Err(format!("{groups} groups do not fit input {xs:?} and weights {ws:?}"));
    }
    let m = mg.checked_mul(groups).ok_or("too many channels")?;
    if let Some(b) = bias {
        let found = n.shape(b)?;
        if found != [m] {
            return Err(format!("bias is {found:?}, wanted [{m}]"));
        }
    }
    let window = window(n, &xs, spatial(&ws)?)?;
    let y = n.output(0, dtype, &window.output_shape(images, m))?;
    let groups = Groups { groups, cg: c / groups, mg };
    let op = Op::ConvTranspose(ConvTranspose { window, groups, activation: None });
    n.add(op, &[Some(x), Some(w), bias], y)
}

/// Returns the kernel, with an invocation for each element of the result.
pub fn kernel(conv: &ConvTranspose, at: &Setting) -> Result<Kernel, String> {
    let bias = at.laid.node.reads.get(2).is_some_and(Option::is_some);
    let mut all = constants(&conv.window);
    all.extend(group_constants(&conv.groups));
    all.push(("bias", f64::from(u8::from(bias))));
    all.extend(activation::constants(conv.activation));
    Ok(Kernel::new(&SHADER, "main", all, at.total()?))
}

/// output = stride * (input - 1) + output_padding + extent - begin - end; `output_shape` or auto_pad give
/// the padding instead. (ONNX ConvTranspose's page.)
fn window(n: &FileNode, xs: &[usize], kernel: [usize; 3]) -> Result<Window, String> {
    let input = spatial(xs)?;
    let rank = xs.len() - 2;
    if let Some(k) = n.ints("kernel_shape")?
        && per_dimension(Some(k), rank, 1, 1)? != kernel
    {
        return Err(format!("kernel_shape {k:?} is not the weights' {kernel:?}"));
    }
    let stride = per_dimension(n.ints("strides")?, rank, 1, 1)?;
    let dilation = per_dimension(n.ints("dilations")?, rank, 1, 1)?;
    let extra = per_dimension(n.ints("output_padding")?, rank, 0, 0)?;
    let mut w = Window { rank, input, kernel, stride, dilation, begin: [0; 3], end: [0; 3], output: [1; 3] };
    let auto = n.text("auto_pad", "NOTSET")?;
    let asked = n.ints("output_shape")?.map(|s| per_dimension(Some(s), rank, 1, 1)).transpose()?;
    if asked.is_none() && auto == "NOTSET" {
        (w.begin, w.end) = pads(n, rank)?;
    }
    for i in 0..3 {
        let whole = stride[i] * (input[i] - 1) + extra[i] + w.extent(i);
        let wanted = match (asked, auto) {
            (Some(size), _) => Some(size[i]),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some(input[i] * stride[i]),
            (None, "NOTSET" | "VALID") => None,
            (None, other) => return Err(format!("auto_pad `{other}` is not known")),
        };
        if let Some(size) = wanted {
            // What is wanted beyond the last window is bias alone.
            let all = whole.saturating_sub(size);
            let less = all / 2;
            (w.begin[i], w.end[i]) =
                if auto == "SAME_UPPER" { (less, all - less) } else { (all - less, less) };
        }
        let cut = w.begin[i] + w.end[i];
        let left = whole.checked_sub(cut).filter(|&o| o > 0).ok_or("padding leaves nothing")?;
        w.output[i] = wanted.unwrap_or(left);
    }
    Ok(w)
}
