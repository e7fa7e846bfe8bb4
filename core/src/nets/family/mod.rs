//! Families of students: what one choice (kernel, expansion) at one position means. A new family is
//! one file here and a line in [`FAMILIES`].

mod inverted_residual;
mod residual;

use crate::ir::arch::{Activation, Block};
use crate::nets::pool::Pool;

/// This is one family of students.
pub struct Family {
    /// As in documentation.
    pub name: &'static str,
    /// Its named pools.
    pub pools: fn() -> Vec<Pool>,
    /// The block that a choice stands for.
    pub block: fn(Site, BlockChoice) -> Block,
}

/// This says where in a network a block stands.
#[derive(Debug, Clone, Copy)]
pub struct Site {
    /// Channels in.
    pub width_in: usize,
    /// Channels out.
    pub width: usize,
    /// 1 or 2.
    pub stride: usize,
    /// The pool's activation.
    pub activation: Activation,
}

/// This is what is chosen there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockChoice {
    /// Kernel side.
    pub kernel: usize,
    /// Expansion.
    pub expansion: usize,
}

/// These are all families.
pub static FAMILIES: [&Family; 2] = [&inverted_residual::FAMILY, &residual::FAMILY];
