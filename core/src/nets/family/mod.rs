//! Families of students: what one choice (kernel, expansion, squeeze-and-excitation) at one position means. A new
//! family is one file here and a line in [`FAMILIES`].

mod inverted_residual;
mod residual;

use crate::ir::arch::{Activation, Block};
use crate::nets::pool::Pool;

/// This is one family of students.
#[derive(Debug)]
pub struct Family {
    /// As in documentation, and in a pool's file.
    pub name: &'static str,
    /// Its named pools.
    pub pools: fn() -> Vec<Pool>,
    /// The block that a choice stands for.
    pub block: fn(Site, BlockChoice) -> Block,
    /// Whether a block of it may squeeze and excite.
    pub se: bool,
}

/// A family is its name.
impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
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
    /// Squeeze-and-excitation.
    pub se: bool,
}

/// A choice's name, as in a supernet's tensors: `k3e6`, and `k3e6s` with squeeze-and-excitation.
impl std::fmt::Display for BlockChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "k{}e{}{}", self.kernel, self.expansion, if self.se { "s" } else { "" })
    }
}

/// These are all families.
pub static FAMILIES: [&Family; 2] = [&inverted_residual::FAMILY, &residual::FAMILY];
