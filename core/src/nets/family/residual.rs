//! CIFAR-ResNet-like students: expansion multiplies the width between a block's two convolutions.

use super::{BlockChoice, Family, Site};
use crate::ir::arch::{Activation, Block, BlockOp, Head, Stem};
use crate::nets::pool::{Pool, PoolStage};

pub(super) static FAMILY: Family = Family { name: "residual", pools, block };

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

fn pool(name: &str, widths: [usize; 3]) -> Pool {
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
        activation,
        head: Head::default(),
    }
}

fn pools() -> Vec<Pool> {
    // For the smallest devices, and for studies on a CPU: dense 3x3 convolutions train several times
    // faster there than depthwise ones.
    let tiny = Pool { kernels: vec![3], ..pool("res-tiny", [8, 16, 32]) };
    vec![pool("res-cifar", [16, 32, 64]), pool("res-mini", [12, 24, 48]), tiny]
}
