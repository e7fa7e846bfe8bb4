//! The residual networks of the literature: CIFAR's, wide ones, ImageNet's.

use super::{is_small, plain};
use crate::ir::arch::{Activation, ArchSpec, Block, BlockOp, Head, Input, Stage, Stem};
use crate::{Error, Result};

fn depth_per_stage(name: &str, depth: usize, extra: usize) -> Result<usize> {
    if depth > extra && (depth - extra).is_multiple_of(6) && depth < 1000 {
        return Ok((depth - extra) / 6);
    }
    Err(Error::usage(format!("architecture `{name}`: depth is {depth}, wanted 6n+{extra}, below 1000")))
}

/// CIFAR ResNet (He et al. 2015, section 4.2): three stages of n basic blocks, D = 6n+2. `xK` is the
/// wide form of the distillation literature (Tian et al. 2020): stem 32, stages 16K, 32K, 64K.
pub(super) fn cifar_resnet(
    name: &str,
    input: Input,
    classes: usize,
    depth: usize,
    k: Option<usize>,
) -> Result<ArchSpec> {
    let n = depth_per_stage(name, depth, 2)?;
    let (stem, k) = k.map_or((16, 1), |k| (32, k));
    let relu = Activation::Relu;
    let stages = residual_stages(BlockOp::Basic, &[16 * k, 32 * k, 64 * k], &[n; 3], 1, relu);
    let stem = Stem { width: stem, kernel: 3, stride: 1, activation: Some(relu), max_pool: false };
    Ok(plain(name, input, classes, stem, stages, Head::default()))
}

/// WRN-D-K (Zagoruyko & Komodakis 2016): pre-activation blocks, D = 6n+4.
pub(super) fn wide_resnet(
    name: &str,
    input: Input,
    classes: usize,
    depth: usize,
    k: usize,
) -> Result<ArchSpec> {
    let n = depth_per_stage(name, depth, 4)?;
    let relu = Activation::Relu;
    let stages = residual_stages(BlockOp::PreActBasic, &[16 * k, 32 * k, 64 * k], &[n; 3], 1, relu);
    let stem = Stem { width: 16, kernel: 3, stride: 1, activation: None, max_pool: false };
    let head = Head { norm: Some(relu), ..Head::default() };
    Ok(plain(name, input, classes, stem, stages, head))
}

/// ResNet-18/34/50; below 65 pixels the stem is 3x3 without pooling, as is usual on CIFAR.
pub(super) fn image_net(
    name: &str,
    input: Input,
    classes: usize,
    op: BlockOp,
    depths: [usize; 4],
) -> ArchSpec {
    let relu = Activation::Relu;
    let times = if op == BlockOp::Bottleneck { 4 } else { 1 };
    let widths = [64, 128, 256, 512].map(|w| w * times);
    let stages = residual_stages(op, &widths, &depths, times, relu);
    let small = is_small(input);
    let (kernel, stride) = if small { (3, 1) } else { (7, 2) };
    let stem = Stem { width: 64, kernel, stride, activation: Some(relu), max_pool: !small };
    plain(name, input, classes, stem, stages, Head::default())
}

fn residual_stages(
    op: BlockOp,
    widths: &[usize],
    depths: &[usize],
    times: usize,
    activation: Activation,
) -> Vec<Stage> {
    let stage = |(s, (&width, &depth)): (usize, (&usize, &usize))| Stage {
        blocks: (0..depth)
            .map(|b| Block {
                op,
                kernel: 3,
                hidden: width / times,
                width,
                stride: if b == 0 && s > 0 { 2 } else { 1 },
                activation,
                se: None,
            })
            .collect(),
    };
    widths.iter().zip(depths).enumerate().map(stage).collect()
}
