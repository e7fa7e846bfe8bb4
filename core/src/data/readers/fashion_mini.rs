//! `fashion-mnist-mini`: 10,000 training and 2,000 test images of Fashion-MNIST (Xiao, Rasul, Vollgraf
//! 2017, MIT licence), class-balanced, inside the program. Made by scripts/make-fashion-mini.py.

use super::idx;
use crate::Result;
use crate::data::ImageSet;
use std::path::Path;

macro_rules! embedded {
    ($name:literal) => {
        (
            Path::new(concat!("(embedded)/", $name)),
            &include_bytes!(concat!("../../../data/fashion-mnist-mini/", $name))[..],
        )
    };
}

pub(in crate::data) fn train() -> Result<ImageSet> {
    idx::parse(embedded!("train-images-idx3-ubyte.gz"), embedded!("train-labels-idx1-ubyte.gz"))
}

pub(in crate::data) fn test() -> Result<ImageSet> {
    idx::parse(embedded!("t10k-images-idx3-ubyte.gz"), embedded!("t10k-labels-idx1-ubyte.gz"))
}

#[cfg(test)]
mod tests {
    /// The embedded files are what the script makes: counts, balance, and Fashion-MNIST's known mean.
    #[test]
    fn counts_balance_and_mean() {
        let (train, test) = (super::train().unwrap(), super::test().unwrap());
        assert_eq!(train.class_counts(), [1000; 10]);
        assert_eq!(test.class_counts(), [200; 10]);
        let (mean, std) = train.channel_mean_std().unwrap();
        assert!((mean[0] - 0.286).abs() < 0.003 && (std[0] - 0.353).abs() < 0.003, "{mean:?} {std:?}");
    }
}
