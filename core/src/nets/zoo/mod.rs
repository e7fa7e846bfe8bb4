//! Networks known by name: the teachers of the literature, and mobile networks as published.

mod inverted;
mod residual;

use crate::Result;
use crate::ir::arch::{ArchSpec, BlockOp, Head, Input, Stage, Stem};

/// These are the names that [`named`] understands, for messages.
pub const PATTERNS: &str = "resnetD or resnetDxK with D = 6n+2 (CIFAR: resnet20, resnet8x4), wrn-D-K with D = 6n+4, \
                            resnet18, resnet34, resnet50, mobilenetv2, mobilenetv2-W with W = 0.25 to 2, \
                            mobilenetv3-small, mobilenetv3-large, efficientnet-lite0 to -lite4 (made for 224, 240, \
                            260, 280, 300 pixels)";

/// Returns the network of that name, or `None` if no pattern matches. An impossible depth or width is a usage error.
///
/// Those made for ImageNet (224 pixels and more) keep too little of a small image: where neither side is above 64
/// pixels, the first two strides of 2 are 1. In a ResNet these are the stem's convolution, 3x3 then, and its
/// pooling, left out then; in the others the stem's and the first one behind it.
pub fn named(name: &str, input: Input, classes: usize) -> Result<Option<ArchSpec>> {
    let spec = match name {
        "resnet18" => residual::image_net(name, input, classes, BlockOp::Basic, [2, 2, 2, 2]),
        "resnet34" => residual::image_net(name, input, classes, BlockOp::Basic, [3, 4, 6, 3]),
        "resnet50" => residual::image_net(name, input, classes, BlockOp::Bottleneck, [3, 4, 6, 3]),
        "mobilenetv2" => inverted::mobile_net_v2(name, input, classes, 1.0)?,
        "mobilenetv3-small" => inverted::mobile_net_v3_small(name, input, classes),
        "mobilenetv3-large" => inverted::mobile_net_v3_large(name, input, classes),
        "efficientnet-lite0" => inverted::efficient_net_lite(name, input, classes, 1.0, 1.0),
        "efficientnet-lite1" => inverted::efficient_net_lite(name, input, classes, 1.0, 1.1),
        "efficientnet-lite2" => inverted::efficient_net_lite(name, input, classes, 1.1, 1.2),
        "efficientnet-lite3" => inverted::efficient_net_lite(name, input, classes, 1.2, 1.4),
        "efficientnet-lite4" => inverted::efficient_net_lite(name, input, classes, 1.4, 1.8),
        _ => match (wrn_numbers(name), resnet_numbers(name), mobile_net_width(name)) {
            (Some((depth, k)), ..) => residual::wide_resnet(name, input, classes, depth, k)?,
            (_, Some((depth, k)), _) => residual::cifar_resnet(name, input, classes, depth, k)?,
            (.., Some(width)) => inverted::mobile_net_v2(name, input, classes, width)?,
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

/// Digits and a point alone: no sign, no exponent, no `inf`.
fn mobile_net_width(name: &str) -> Option<f64> {
    let width = name.strip_prefix("mobilenetv2-")?;
    width.chars().all(|c| c.is_ascii_digit() || c == '.').then(|| width.parse().ok())?
}

fn is_small(input: Input) -> bool {
    input.height.max(input.width) <= 64
}

/// Symmetric padding and PyTorch's epsilon.
fn plain(name: &str, input: Input, classes: usize, stem: Stem, stages: Vec<Stage>, head: Head) -> ArchSpec {
    let (padding, norm_epsilon) = Default::default();
    ArchSpec { name: name.into(), input, classes, padding, norm_epsilon, stem, stages, head }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::cost::Cost;
    use crate::ir::graph::{Graph, ValueId};

    fn square(side: usize) -> Input {
        Input { channels: 3, height: side, width: side }
    }

    /// Parameter counts as published (torchvision; RepDistiller's README and model files; for EfficientNet-Lite timm,
    /// efficientnet_lite_pytorch) and MACs as commonly cited or counted there: an error in any block's lowering shows
    /// here.
    #[test]
    fn published_sizes() {
        let (cifar, imagenet) = (square(32), square(224));
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
            ("mobilenetv2-0.25", imagenet, 1000, 1_519_112, 37.2),
            ("mobilenetv2-0.35", imagenet, 1000, 1_677_128, 59.3),
            ("mobilenetv2-0.5", imagenet, 1000, 1_968_680, 97.1),
            ("mobilenetv2-0.75", imagenet, 1000, 2_636_424, 209.1),
            ("mobilenetv2-1.25", imagenet, 1000, 5_050_376, 486.6),
            ("mobilenetv2-1.4", imagenet, 1000, 6_108_776, 582.2),
            ("mobilenetv2-1.5", imagenet, 1000, 6_858_152, 672.8),
            ("mobilenetv2-2", imagenet, 1000, 11_258_088, 1137.4),
            ("mobilenetv3-small", imagenet, 1000, 2_542_856, 56.5),
            ("mobilenetv3-large", imagenet, 1000, 5_483_032, 216.6),
            ("efficientnet-lite0", imagenet, 1000, 4_652_008, 385.2),
            ("efficientnet-lite1", square(240), 1000, 5_416_680, 600.2),
            ("efficientnet-lite2", square(260), 1000, 6_092_072, 859.7),
            ("efficientnet-lite3", square(280), 1000, 8_197_096, 1383.3),
            ("efficientnet-lite4", square(300), 1000, 13_006_568, 2553.0),
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

    /// What entered each stage, and the last one's output: below 65 pixels an eighth remains of a side, else 1/32.
    #[test]
    fn small_images_keep_their_pixels() {
        let cases = [
            ("mobilenetv3-small", 64, vec![64, 64, 32, 16, 16, 8]),
            ("mobilenetv3-small", 65, vec![33, 17, 9, 5, 5, 3]),
            ("mobilenetv3-large", 32, vec![32, 32, 32, 16, 8, 8, 4]),
            ("mobilenetv3-large", 224, vec![112, 112, 56, 28, 14, 14, 7]),
            ("mobilenetv2-0.5", 32, vec![32, 32, 32, 16, 8, 8, 4, 4]),
            ("efficientnet-lite0", 32, vec![32, 32, 32, 16, 8, 8, 4, 4]),
            ("efficientnet-lite2", 260, vec![130, 130, 65, 33, 17, 17, 9, 9]),
        ];
        for (name, side, wanted) in cases {
            let graph = Graph::lower(&named(name, square(side), 10).unwrap().unwrap()).unwrap();
            let inputs = (0..graph.stages.len()).map(|s| graph.stage_input(s).unwrap());
            let sides: Vec<usize> =
                inputs.chain(graph.stages.last().map(|s| s.value)).map(|v| graph.shape(v)[1]).collect();
            assert_eq!(sides, wanted, "{name} {side}");
        }
    }

    #[test]
    fn mobile_net_v3_ends_in_a_hidden_layer() {
        let spec = named("mobilenetv3-small", square(224), 7).unwrap().unwrap();
        assert_eq!(spec.stages[0].blocks[0].se, Some(8)); // 16 / 4 is 4, a multiple of 8 is 8
        assert_eq!(spec.stages[4].blocks[0].se, Some(72));
        let graph = Graph::lower(&spec).unwrap();
        let tail: Vec<_> = graph.nodes.iter().rev().take(8).map(|n| (n.name.as_str(), n.shape[0])).collect();
        let wanted = ["classifier", "hidden_act", "hidden", "flatten", "pool", "act", "bn", "conv"];
        let widths = [7, 1024, 1024, 576, 576, 576, 576, 576];
        let wanted: Vec<_> = wanted.iter().map(|n| format!("head.{n}")).collect();
        assert_eq!(tail, wanted.iter().map(String::as_str).zip(widths).collect::<Vec<_>>());
        // A vector from Flatten on; the 1x1 maps of squeeze-and-excitation are none.
        let values = (0..=graph.nodes.len()).map(ValueId);
        let maps = values.take_while(|&v| !graph.is_vector(v)).count();
        assert_eq!(graph.nodes[maps - 1].name, "head.flatten");
        assert!((maps..=graph.nodes.len()).all(|v| graph.is_vector(ValueId(v))));
    }

    #[test]
    fn impossible_width_is_named() {
        for name in
            ["mobilenetv2-0.2", "mobilenetv2-2.1", "mobilenetv2-0", "mobilenetv2-999999999999999999999"]
        {
            let error = named(name, square(32), 10).unwrap_err().to_string();
            assert!(error.contains("width is ") && error.contains("wanted 0.25 to 2"), "{error}");
        }
        for name in ["mobilenetv2-", "mobilenetv2-x", "mobilenetv2-1e0", "mobilenetv2--1", "mobilenetv2-nan"]
        {
            assert!(named(name, square(32), 10).unwrap().is_none(), "{name}");
        }
        for name in
            ["mobilenetv2-+1", "mobilenetv2-inf", "mobilenetv2-1.0.0", "efficientnet-lite5", "mobilenetv3"]
        {
            assert!(named(name, square(32), 10).unwrap().is_none(), "{name}");
        }
    }

    #[test]
    fn impossible_depth_is_named() {
        let input = square(32);
        let error = named("resnet21", input, 10).unwrap_err().to_string();
        assert!(error.contains("depth is 21") && error.contains("6n+2"), "{error}");
        assert!(named("vgg16", input, 10).unwrap().is_none());
    }
}
