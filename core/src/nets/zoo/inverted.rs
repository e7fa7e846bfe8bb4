//! Networks of inverted residuals: MobileNetV2, MobileNetV3, EfficientNet-Lite. Each has a stage for every output
//! width of its paper's table.

use super::{is_small, plain};
use crate::ir::arch::{
    Activation, ArchSpec, Block, BlockOp, Head, HeadConv, HeadHidden, Input, NormEpsilon, Padding, Stage,
    Stem,
};
use crate::{Error, Result};

/// Channels are multiples of this.
const DIVISOR: usize = 8;

/// Rounds `channels * times` to the nearest multiple of 8, but to no less than 0.9 of it (Sandler et al.'s code:
/// `make_divisible`).
fn scaled(channels: usize, times: f64) -> usize {
    let exact = channels as f64 * times;
    let rounded = ((exact + DIVISOR as f64 / 2.0) as usize / DIVISOR * DIVISOR).max(DIVISOR);
    if (rounded as f64) < 0.9 * exact { rounded + DIVISOR } else { rounded }
}

fn block(kernel: usize, hidden: usize, width: usize, stride: usize, activation: Activation) -> Block {
    Block { op: BlockOp::InvertedResidual, kernel, hidden, width, stride, activation, se: None }
}

/// A 3x3 stem of stride 2, and 1 where the image is small; there the first stride of 2 among the stages is 1 too.
fn stem(input: Input, width: usize, activation: Activation, stages: &mut [Stage]) -> Stem {
    let small = is_small(input);
    if small && let Some(first) = stages.iter_mut().flat_map(|s| &mut s.blocks).find(|b| b.stride == 2) {
        first.stride = 1;
    }
    Stem {
        width,
        kernel: 3,
        stride: if small { 1 } else { 2 },
        activation: Some(activation),
        max_pool: false,
    }
}

/// MobileNetV2 (Sandler et al. 2018, table 2), all widths times `times`; the last one does not shrink (as
/// torchvision). A factor out of 0.25 to 2 is a usage error.
pub(super) fn mobile_net_v2(name: &str, input: Input, classes: usize, times: f64) -> Result<ArchSpec> {
    if !(0.25..=2.0).contains(&times) {
        let what = format!("architecture `{name}`: width is {times}, wanted 0.25 to 2");
        return Err(Error::usage(what));
    }
    let act = Activation::Relu6;
    // expansion, width, blocks, stride
    let table = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    let first = scaled(32, times);
    let mut width_in = first;
    let mut stages = Vec::new();
    for (expansion, width, blocks, stride) in table {
        let width = scaled(width, times);
        let mut stage = Stage { blocks: Vec::new() };
        for b in 0..blocks {
            let stride = if b == 0 { stride } else { 1 };
            stage.blocks.push(block(3, width_in * expansion, width, stride, act));
            width_in = width;
        }
        stages.push(stage);
    }
    let stem = stem(input, first, act, &mut stages);
    let conv = Some(HeadConv { width: scaled(1280, times.max(1.0)), activation: act });
    Ok(plain(name, input, classes, stem, stages, Head { conv, ..Head::default() }))
}

/// A row of MobileNetV3's tables: kernel, hidden and output width, SE, HardSwish (else ReLU), stride.
type Row = (usize, usize, usize, bool, bool, usize);

/// MobileNetV3-Large (Howard et al. 2019, table 1).
pub(super) fn mobile_net_v3_large(name: &str, input: Input, classes: usize) -> ArchSpec {
    let table = [
        (3, 16, 16, false, false, 1),
        (3, 64, 24, false, false, 2),
        (3, 72, 24, false, false, 1),
        (5, 72, 40, true, false, 2),
        (5, 120, 40, true, false, 1),
        (5, 120, 40, true, false, 1),
        (3, 240, 80, false, true, 2),
        (3, 200, 80, false, true, 1),
        (3, 184, 80, false, true, 1),
        (3, 184, 80, false, true, 1),
        (3, 480, 112, true, true, 1),
        (3, 672, 112, true, true, 1),
        (5, 672, 160, true, true, 2),
        (5, 960, 160, true, true, 1),
        (5, 960, 160, true, true, 1),
    ];
    mobile_net_v3(name, input, classes, &table, 960, 1280)
}

/// MobileNetV3-Small (Howard et al. 2019, table 2).
pub(super) fn mobile_net_v3_small(name: &str, input: Input, classes: usize) -> ArchSpec {
    let table = [
        (3, 16, 16, true, false, 2),
        (3, 72, 24, false, false, 2),
        (3, 88, 24, false, false, 1),
        (5, 96, 40, true, true, 2),
        (5, 240, 40, true, true, 1),
        (5, 240, 40, true, true, 1),
        (5, 120, 48, true, true, 1),
        (5, 144, 48, true, true, 1),
        (5, 288, 96, true, true, 2),
        (5, 576, 96, true, true, 1),
        (5, 576, 96, true, true, 1),
    ];
    mobile_net_v3(name, input, classes, &table, 576, 1024)
}

/// As torchvision: SE squeezes to a quarter of the hidden width, rounded to a multiple of 8; the paper's 1x1
/// convolution behind the pooling is a fully connected layer.
fn mobile_net_v3(
    name: &str,
    input: Input,
    classes: usize,
    table: &[Row],
    conv: usize,
    hidden: usize,
) -> ArchSpec {
    let swish = Activation::HardSwish;
    let row = |&(kernel, hidden, width, se, swishes, stride): &Row| {
        let act = if swishes { swish } else { Activation::Relu };
        let se = se.then(|| scaled(hidden / 4, 1.0));
        Block { se, ..block(kernel, hidden, width, stride, act) }
    };
    let rows: Vec<Block> = table.iter().map(row).collect();
    let same_width = rows.chunk_by(|a, b| a.width == b.width);
    let mut stages: Vec<Stage> = same_width.map(|blocks| Stage { blocks: blocks.to_vec() }).collect();
    let stem = stem(input, 16, swish, &mut stages);
    let conv = Some(HeadConv { width: conv, activation: swish });
    let hidden = Some(HeadHidden { width: hidden, activation: swish });
    let head = Head { conv, hidden, ..Head::default() };
    ArchSpec { norm_epsilon: NormEpsilon::LARGE, ..plain(name, input, classes, stem, stages, head) }
}

/// EfficientNet-Lite (Tan & Le 2019's table 1 without squeeze-and-excitation, with ReLU6; TensorFlow's
/// `efficientnet/lite`): widths times `width`, blocks times `depth` rounded up. Stem and head keep their widths,
/// the first and the last stage their depths. TensorFlow's padding and epsilon. Made for 224, 240, 260, 280 and 300
/// pixels (Lite0 to Lite4).
pub(super) fn efficient_net_lite(
    name: &str,
    input: Input,
    classes: usize,
    width: f64,
    depth: f64,
) -> ArchSpec {
    let act = Activation::Relu6;
    // kernel, expansion, width, blocks, stride
    let table = [
        (3, 1, 16, 1, 1),
        (3, 6, 24, 2, 2),
        (5, 6, 40, 2, 2),
        (3, 6, 80, 3, 2),
        (5, 6, 112, 3, 1),
        (5, 6, 192, 4, 2),
        (3, 6, 320, 1, 1),
    ];
    let mut width_in = 32;
    let mut stages = Vec::new();
    for (s, (kernel, expansion, channels, blocks, stride)) in table.into_iter().enumerate() {
        let channels = scaled(channels, width);
        let kept = s == 0 || s + 1 == table.len();
        let blocks = if kept { blocks } else { (blocks as f64 * depth).ceil() as usize };
        let mut stage = Stage { blocks: Vec::new() };
        for b in 0..blocks {
            let stride = if b == 0 { stride } else { 1 };
            stage.blocks.push(block(kernel, width_in * expansion, channels, stride, act));
            width_in = channels;
        }
        stages.push(stage);
    }
    let stem = stem(input, 32, act, &mut stages);
    let head = Head { conv: Some(HeadConv { width: 1280, activation: act }), ..Head::default() };
    let (padding, norm_epsilon) = (Padding::Same, NormEpsilon::LARGE);
    ArchSpec { padding, norm_epsilon, ..plain(name, input, classes, stem, stages, head) }
}
