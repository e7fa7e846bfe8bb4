//! MobileNetV2-like students: expansion is a multiple of the input width.

use super::{BlockChoice, Family, Site};
use crate::ir::arch::{Activation, Block, BlockOp, Head, HeadConv, Stem};
use crate::nets::pool::{Pool, PoolStage, Se};

pub(super) static FAMILY: Family = Family { name: "inverted residual", pools, block, se: true };

fn block(site: Site, choice: BlockChoice) -> Block {
    let hidden = site.width_in * choice.expansion;
    Block {
        op: BlockOp::InvertedResidual,
        kernel: choice.kernel,
        hidden,
        width: site.width,
        stride: site.stride,
        activation: site.activation,
        se: choice.se.then(|| make_divisible(hidden / 4, 8)),
    }
}

/// The multiple of `by` nearest to `channels`, at least `by`, and not below nine tenths of them (MobileNetV3's
/// published code: a quarter of the hidden channels is squeezed, Howard et al. 2019, section 5.3).
fn make_divisible(channels: usize, by: usize) -> usize {
    let near = ((channels + by / 2) / by * by).max(by);
    if near * 10 < channels * 9 { near + by } else { near }
}

/// For 28 to 64 pixels: three stages, the first at full size.
fn small(name: &str, widths: [usize; 3], stem: usize, head: usize) -> Pool {
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
        se: Se::Never,
        activation,
        head: Head { conv: Some(HeadConv { width: head, activation }), ..Head::default() },
    }
}

/// For 96 to 224 pixels: strides and choices of Once-for-All (Cai et al. 2020, section 4.1), which end at a 32nd of
/// the picture's side.
fn photo(name: &str, widths: [usize; 5], stem: usize, head: usize) -> Pool {
    let stage = |(&width, stride): (&usize, usize)| PoolStage { width, stride, depths: 1..=4 };
    let small = small(name, [1; 3], stem, head);
    Pool {
        stem: Stem { stride: 2, ..small.stem },
        stages: widths.iter().zip([2, 2, 2, 1, 2]).map(stage).collect(),
        kernels: vec![3, 5, 7],
        expansions: vec![3, 4, 6],
        se: Se::Choice,
        ..small
    }
}

fn pools() -> Vec<Pool> {
    vec![
        small("mbv2-cifar", [24, 48, 96], 16, 256),
        small("mbv2-mini", [12, 20, 32], 12, 96),
        photo("mbv2-photo", [24, 32, 48, 72, 112], 16, 512),
        photo("mbv2-photo-lite", [8, 16, 24, 40, 64], 8, 320),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the published Python (`_make_divisible`), run by hand.
    #[test]
    fn squeezed_channels() {
        let cases = [
            (1, 8),
            (11, 16),
            (12, 16),
            (18, 24),
            (20, 24),
            (24, 24),
            (30, 32),
            (36, 40),
            (60, 64),
            (168, 168),
        ];
        for (channels, wanted) in cases {
            assert_eq!(make_divisible(channels, 8), wanted, "{channels}");
        }
    }
}
