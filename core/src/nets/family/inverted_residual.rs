//! MobileNetV2-like students: expansion is a multiple of the input width.

use super::{BlockChoice, Family, Site};
use crate::ir::arch::{Activation, Block, BlockOp, Head, HeadConv, Stem};
use crate::nets::pool::{Pool, PoolStage};

pub(super) static FAMILY: Family = Family { name: "inverted residual", pools, block };

fn block(site: Site, choice: BlockChoice) -> Block {
    Block {
        op: BlockOp::InvertedResidual,
        kernel: choice.kernel,
        hidden: site.width_in * choice.expansion,
        width: site.width,
        stride: site.stride,
        activation: site.activation,
        se: None,
    }
}

fn pool(name: &str, widths: [usize; 3], stem: usize, head: usize) -> Pool {
    let activation = Activation::Relu6;
    let stage =
        |(s, &width): (usize, &usize)| PoolStage { width, stride: 1 + usize::from(s > 0), depths: 1..=3 };
    Pool {
        name: name.into(),
        family: &FAMILY,
        stem: Stem { width: stem, kernel: 3, stride: 1, activation: Some(activation), max_pool: false },
        stages: widths.iter().enumerate().map(stage).collect(),
        kernels: vec![3, 5],
        expansions: vec![3, 6],
        activation,
        head: Head { conv: Some(HeadConv { width: head, activation }), ..Head::default() },
    }
}

fn pools() -> Vec<Pool> {
    vec![pool("mbv2-cifar", [24, 48, 96], 16, 256), pool("mbv2-mini", [12, 20, 32], 12, 96)]
}
