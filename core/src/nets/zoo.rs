//! Networks known by name: the teachers of the literature, and MobileNetV2 as published.

use crate::ir::arch::{
    Activation, ArchSpec, Block, BlockOp, Head, HeadConv, Input, NormEpsilon, Padding, Stage, Stem,
};
use crate::{Error, Result};

/// These are the names that [`named`] understands, for messages.
pub const PATTERNS: &str = "resnetD or resnetDxK with D = 6n+2 (CIFAR: resnet20, resnet8x4), wrn-D-K with D = 6n+4, \
                            resnet18, resnet34, resnet50, mobilenetv2";

/// Returns the network of that name, or `None` if no pattern matches. An impossible depth is a usage error.
pub fn named(name: &str, input: Input, classes: usize) -> Result<Option<ArchSpec>> {
    let spec = match name {
        "resnet18" => image_net(name, input, classes, BlockOp::Basic, [2, 2, 2, 2]),
        "resnet34" => image_net(name, input, classes, BlockOp::Basic, [3, 4, 6, 3]),
        "resnet50" => image_net(name, input, classes, BlockOp::Bottleneck, [3, 4, 6, 3]),
        "mobilenetv2" => mobile_net_v2(name, input, classes),
        _ => match (wrn_numbers(name), resnet_numbers(name)) {
            (Some((depth, k)), _) => wide_resnet(name, input, classes, depth, k)?,
            (_, Some((depth, k))) => cifar_resnet(name, input, classes, depth, k)?,
            _ => return Ok(None),
        },
    };
    spec.validate()?;
    Ok(Some(spec))
}

fn resnet_numbers(name: &str) -> Option<(usize, Option<usize>)> {
    let rest = name.strip_prefix("resnet")?;
    match rest.split_once('x') {
        Some((d, k)) => Some((d.parse().ok()?, Some(k.parse().ok()?))),
        None => Some((rest.parse().ok()?, None)),
    }
}

fn wrn_numbers(name: &str) -> Option<(usize, usize)> {
    let (d, k) = name.strip_prefix("wrn-")?.split_once('-')?;
    Some((d.parse().ok()?, k.parse().ok()?))
}

fn depth_per_stage(name: &str, depth: usize, extra: usize) -> Result<usize> {
    if depth > extra && (depth - extra).is_multiple_of(6) && depth < 1000 {
        return Ok((depth - extra) / 6);
    }
    Err(Error::usage(format!("architecture `{name}`: depth is {depth}, wanted 6n+{extra}, below 1000")))
}

/// CIFAR ResNet (He et al. 2015, section 4.2): three stages of n basic blocks, D = 6n+2. `xK` is the
/// wide form of the distillation literature (Tian et al. 2020): stem 32, stages 16K, 32K, 64K.
fn cifar_resnet(
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
    Ok(ArchSpec {
        name: name.into(),
        input,
        classes,
        padding: Padding::Symmetric,
        norm_epsilon: NormEpsilon::default(),
        stem,
        stages,
        head: Head::default(),
    })
}

/// WRN-D-K (Zagoruyko & Komodakis 2016): pre-activation blocks, D = 6n+4.
fn wide_resnet(name: &str, input: Input, classes: usize, depth: usize, k: usize) -> Result<ArchSpec> {
    let n = depth_per_stage(name, depth, 4)?;
    let relu = Activation::Relu;
    let stages = residual_stages(BlockOp::PreActBasic, &[16 * k, 32 * k, 64 * k], &[n; 3], 1, relu);
    let stem = Stem { width: 16, kernel: 3, stride: 1, activation: None, max_pool: false };
    let head = Head { norm: Some(relu), ..Head::default() };
    Ok(ArchSpec {
        name: name.into(),
        input,
        classes,
        padding: Padding::Symmetric,
        norm_epsilon: NormEpsilon::default(),
        stem,
        stages,
        head,
    })
}

/// ResNet-18/34/50; below 65 pixels the stem is 3x3 without pooling, as is usual on CIFAR.
fn image_net(name: &str, input: Input, classes: usize, op: BlockOp, depths: [usize; 4]) -> ArchSpec {
    let relu = Activation::Relu;
    let times = if op == BlockOp::Bottleneck { 4 } else { 1 };
    let widths = [64, 128, 256, 512].map(|w| w * times);
    let stages = residual_stages(op, &widths, &depths, times, relu);
    let small = input.height.max(input.width) <= 64;
    let (kernel, stride) = if small { (3, 1) } else { (7, 2) };
    let stem = Stem { width: 64, kernel, stride, activation: Some(relu), max_pool: !small };
    ArchSpec {
        name: name.into(),
        input,
        classes,
        padding: Padding::Symmetric,
        norm_epsilon: NormEpsilon::default(),
        stem,
        stages,
        head: Head::default(),
    }
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

/// MobileNetV2 1.0 (Sandler et al. 2018, table 2). Below 65 pixels the first two strides are 1.
fn mobile_net_v2(name: &str, input: Input, classes: usize) -> ArchSpec {
    let act = Activation::Relu6;
    let small = input.height.max(input.width) <= 64;
    // expansion, width, blocks, stride
    let table = [
        (1, 16, 1, 1),
        (6, 24, 2, if small { 1 } else { 2 }),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    let mut width_in = 32;
    let mut stages = Vec::new();
    for (expansion, width, blocks, stride) in table {
        let mut stage = Stage { blocks: Vec::new() };
        for b in 0..blocks {
            let stride = if b == 0 { stride } else { 1 };
            let op = BlockOp::InvertedResidual;
            let hidden = width_in * expansion;
            stage.blocks.push(Block { op, kernel: 3, hidden, width, stride, activation: act, se: None });
            width_in = width;
        }
        stages.push(stage);
    }
    let stem = Stem {
        width: 32,
        kernel: 3,
        stride: if small { 1 } else { 2 },
        activation: Some(act),
        max_pool: false,
    };
    let head = Head { conv: Some(HeadConv { width: 1280, activation: act }), ..Head::default() };
    ArchSpec {
        name: name.into(),
        input,
        classes,
        padding: Padding::Symmetric,
        norm_epsilon: NormEpsilon::default(),
        stem,
        stages,
        head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::cost::Cost;
    use crate::ir::graph::Graph;

    /// Parameter counts as published (torchvision; RepDistiller's README and model files) and MACs as
    /// commonly cited: an error in any block's lowering shows here.
    #[test]
    fn published_sizes() {
        let cifar = Input { channels: 3, height: 32, width: 32 };
        let imagenet = Input { channels: 3, height: 224, width: 224 };
        let cases = [
            ("resnet20", cifar, 100, 278_324, 41.0),
            ("resnet56", cifar, 100, 861_620, 126.0),
            ("resnet8x4", cifar, 100, 1_233_540, 177.0),
            ("resnet32x4", cifar, 100, 7_433_860, 1083.0),
            ("wrn-16-2", cifar, 100, 703_284, 101.0),
            ("wrn-40-2", cifar, 100, 2_255_156, 329.0),
            ("resnet18", imagenet, 1000, 11_689_512, 1814.0),
            ("resnet34", imagenet, 1000, 21_797_672, 3664.0),
            ("resnet50", imagenet, 1000, 25_557_032, 4089.0),
            ("mobilenetv2", imagenet, 1000, 3_504_872, 300.8),
        ];
        let mut wrong = Vec::new();
        for (name, input, classes, params, mmacs) in cases {
            let spec = named(name, input, classes).unwrap().unwrap();
            let cost = Cost::of(&Graph::lower(&spec).unwrap());
            let found = cost.macs as f64 / 1e6;
            if cost.params != params || (found - mmacs).abs() > 0.02 * mmacs {
                wrong.push(format!("{name}: {} params (wanted {params}), {found} MMACs", cost.params));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn impossible_depth_is_named() {
        let input = Input { channels: 3, height: 32, width: 32 };
        let error = named("resnet21", input, 10).unwrap_err().to_string();
        assert!(error.contains("depth is 21") && error.contains("6n+2"), "{error}");
        assert!(named("vgg16", input, 10).unwrap().is_none());
    }
}
