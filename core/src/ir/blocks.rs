//! How each block op lowers to nodes. One function per block, named as in its paper.

use crate::ir::arch::{Activation, Block, Padding};
use crate::ir::builder::Builder;
use crate::ir::graph::{NodeOp, ValueId};

/// Adds the basic block of He et al. 2015: conv-BN-act, conv-BN, plus shortcut, act.
pub(crate) fn basic(b: &mut Builder, prefix: &str, block: &Block, x: ValueId) -> ValueId {
    let Block { kernel, stride, activation, .. } = *block;
    let y = b.conv_norm_act(&format!("{prefix}.1"), x, block.hidden, kernel, stride, 1, Some(activation));
    let y = b.conv_norm_act(&format!("{prefix}.2"), y, block.width, kernel, 1, 1, None);
    join(b, prefix, block, x, y)
}

/// Adds the bottleneck of He et al. 2015, 1x1 - kxk - 1x1, with the stride on the k x k convolution (as
/// torchvision).
pub(crate) fn bottleneck(b: &mut Builder, prefix: &str, block: &Block, x: ValueId) -> ValueId {
    let Block { kernel, stride, activation, .. } = *block;
    let y = b.conv_norm_act(&format!("{prefix}.1"), x, block.hidden, 1, 1, 1, Some(activation));
    let y = b.conv_norm_act(&format!("{prefix}.2"), y, block.hidden, kernel, stride, 1, Some(activation));
    let y = b.conv_norm_act(&format!("{prefix}.3"), y, block.width, 1, 1, 1, None);
    join(b, prefix, block, x, y)
}

/// The shortcut (projected by 1x1 conv + BN where shapes differ), the sum, the activation.
fn join(b: &mut Builder, prefix: &str, block: &Block, x: ValueId, y: ValueId) -> ValueId {
    let shortcut = if b.shape(x) == b.shape(y) {
        x
    } else {
        b.conv_norm_act(&format!("{prefix}.shortcut"), x, block.width, 1, block.stride, 1, None)
    };
    let sum = b.push(&format!("{prefix}.add"), NodeOp::Add, &[y, shortcut]);
    b.push(&format!("{prefix}.act"), NodeOp::Activation(block.activation), &[sum])
}

/// Adds the block of Zagoruyko & Komodakis 2016: BN-act-conv, BN-act-conv, plus shortcut. Where the shape
/// changes, the shortcut is a bare 1x1 convolution of the activated input, as in their code.
pub(crate) fn pre_act_basic(b: &mut Builder, prefix: &str, block: &Block, x: ValueId) -> ValueId {
    let act = NodeOp::Activation(block.activation);
    let pre = b.norm(&format!("{prefix}.1.bn"), x);
    let pre = b.push(&format!("{prefix}.1.act"), act.clone(), &[pre]);
    let y = b.conv(&format!("{prefix}.1.conv"), pre, block.hidden, block.kernel, block.stride, 1);
    let y = b.norm(&format!("{prefix}.2.bn"), y);
    let y = b.push(&format!("{prefix}.2.act"), act, &[y]);
    let y = b.conv(&format!("{prefix}.2.conv"), y, block.width, block.kernel, 1, 1);
    let shortcut = if b.shape(x) == b.shape(y) {
        x
    } else {
        b.conv(&format!("{prefix}.shortcut.conv"), pre, block.width, 1, block.stride, 1)
    };
    b.push(&format!("{prefix}.add"), NodeOp::Add, &[y, shortcut])
}

/// Adds the block of Sandler et al. 2018: expand (absent where hidden = input width), depthwise, optional
/// squeeze-and-excitation (Howard et al. 2019: after the depthwise convolution), linear projection. It has a
/// residual only where shapes agree.
pub(crate) fn inverted_residual(b: &mut Builder, prefix: &str, block: &Block, x: ValueId) -> ValueId {
    let Block { kernel, stride, hidden, activation, .. } = *block;
    let mut y = x;
    if b.shape(x)[0] != hidden {
        y = b.conv_norm_act(&format!("{prefix}.expand"), y, hidden, 1, 1, 1, Some(activation));
    }
    y = b.conv_norm_act(&format!("{prefix}.depthwise"), y, hidden, kernel, stride, hidden, Some(activation));
    if let Some(squeeze) = block.se {
        y = squeeze_excite(b, prefix, y, hidden, squeeze);
    }
    y = b.conv_norm_act(&format!("{prefix}.project"), y, block.width, 1, 1, 1, None);
    if b.shape(x) == b.shape(y) { b.push(&format!("{prefix}.add"), NodeOp::Add, &[y, x]) } else { y }
}

/// Hu et al. 2018 with MobileNetV3's hard sigmoid.
fn squeeze_excite(b: &mut Builder, prefix: &str, x: ValueId, width: usize, squeeze: usize) -> ValueId {
    let padding = Padding::Symmetric; // of a 1x1 kernel: none
    let conv = |out| NodeOp::Conv { out, kernel: 1, stride: 1, groups: 1, bias: true, padding };
    let s = b.push(&format!("{prefix}.se.pool"), NodeOp::GlobalAvgPool, &[x]);
    let s = b.push(&format!("{prefix}.se.reduce"), conv(squeeze), &[s]);
    let s = b.push(&format!("{prefix}.se.act"), NodeOp::Activation(Activation::Relu), &[s]);
    let s = b.push(&format!("{prefix}.se.expand"), conv(width), &[s]);
    let s = b.push(&format!("{prefix}.se.gate"), NodeOp::HardSigmoid, &[s]);
    b.push(&format!("{prefix}.se.scale"), NodeOp::Scale, &[x, s])
}
