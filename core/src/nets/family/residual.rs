//! CIFAR-ResNet-like students: expansion multiplies the width between a block's two convolutions.

use super::{BlockChoice, Family, Site};
use crate::ir::arch::{Activation, Block, BlockOp, Head, Stem};
use crate::nets::pool::{Pool, PoolStage, Se};

pub(super) static FAMILY: Family = Family { name: "residual", pools, block, se: false };

fn block(site: Site, choice: BlockChoice) -> Block {
    Block {
        op: BlockOp::Basic,
        kernel: choice.kernel,
        hidden: site.width * choice.expansion,
        width: site.width,
        stride: site.stride,
        activation: site.activation,
        se: None,
    }
}

/// For 28 to 64 pixels: three stages, the first at full size.
fn small(name: &str, widths: [usize; 3]) -> Pool {
    let activation = Activation::Relu;
    let stage =
        |(s, &width): (usize, &usize)| PoolStage { width, stride: 1 + usize::from(s > 0), depths: 1..=3 };
    Pool {
        name: name.into(),
        family: &FAMILY,
        stem: Stem { width: widths[0], kernel: 3, stride: 1, activation: Some(activation), max_pool: false },
        stages: widths.iter().enumerate().map(stage).collect(),
        kernels: vec![3, 5],
        expansions: vec![1, 2],
        se: Se::Never,
        activation,
        head: Head::default(),
    }
}

/// For 96 to 224 pixels: a strided stem and pooling, as ResNet-18. Four stages end at a 32nd of the picture's side (7 x 7
/// positions of 224, 3 x 3 of 96), where a basic block's two dense kernels already see all of it. A fifth would halve
/// that once more, so that kernels work on padding, or repeat a resolution, which depth does too. And each of a
/// ResNet teacher's four stages has its counterpart. The stem's kernel is 3: with ResNet's 7 it would be 30 of the
/// smallest student's 64 million multiply-accumulates at 224 pixels.
fn photo(name: &str, widths: [usize; 4]) -> Pool {
    let stage = |(&width, stride): (&usize, usize)| PoolStage { width, stride, depths: 1..=4 };
    let small = small(name, [widths[0]; 3]);
    Pool {
        stem: Stem { stride: 2, max_pool: true, ..small.stem },
        stages: widths.iter().zip([1, 2, 2, 2]).map(stage).collect(),
        ..small
    }
}

fn pools() -> Vec<Pool> {
    // For the smallest devices, and for studies on a CPU: dense 3x3 convolutions train several times
    // faster there than depthwise ones.
    let tiny = Pool { kernels: vec![3], ..small("res-tiny", [8, 16, 32]) };
    let photo = photo("res-photo", [16, 24, 48, 96]);
    vec![small("res-cifar", [16, 32, 64]), small("res-mini", [12, 24, 48]), tiny, photo]
}
