//! One file a kind of data set.

pub(super) mod cifar;
pub(super) mod fashion_mini;
pub(super) mod idx;
