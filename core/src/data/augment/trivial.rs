//! TrivialAugment, wide (Müller and Hutter 2021), as torchvision's `TrivialAugmentWide` has it: one operation, drawn
//! evenly, with a strength, drawn evenly.

use super::crop::stream;
use super::{colour, geometry};
use crate::ir::arch::Input;

/// Strengths of each operation.
const BINS: u64 = 31;

/// What is done to a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// Nothing.
    Identity,
    /// Columns for each row, -0.99 to 0.99.
    ShearX(f64),
    /// Rows for each column, -0.99 to 0.99.
    ShearY(f64),
    /// Pixels, -32 to 32.
    TranslateX(f64),
    /// Pixels, -32 to 32.
    TranslateY(f64),
    /// Degrees, -135 to 135.
    Rotate(f64),
    /// Factor, 0.01 to 1.99.
    Brightness(f64),
    /// Factor, 0.01 to 1.99.
    Saturation(f64),
    /// Factor, 0.01 to 1.99.
    Contrast(f64),
    /// Factor, 0.01 to 1.99.
    Sharpness(f64),
    /// Bits that are kept, 8 to 2.
    Posterize(u32),
    /// Threshold, 255 to 0.
    Solarize(f64),
    /// Levels stretched.
    AutoContrast,
    /// Levels made equally frequent.
    Equalize,
}

impl Operation {
    /// The operation for image `index` in `epoch`.
    pub fn draw(seed: u64, epoch: u64, index: u32) -> Self {
        let mut rng = stream(seed, "trivial_augment", epoch, index);
        let (which, bin, negative) = (rng.below(14), rng.below(BINS) as f64, rng.below(2) == 1);
        let up_to = |most: f64| most * bin / (BINS - 1) as f64;
        let signed = |most: f64| if negative { -up_to(most) } else { up_to(most) };
        match which {
            0 => Self::Identity,
            1 => Self::ShearX(signed(0.99)),
            2 => Self::ShearY(signed(0.99)),
            3 => Self::TranslateX(signed(32.0)),
            4 => Self::TranslateY(signed(32.0)),
            5 => Self::Rotate(signed(135.0)),
            6 => Self::Brightness(1.0 + signed(0.99)),
            7 => Self::Saturation(1.0 + signed(0.99)),
            8 => Self::Contrast(1.0 + signed(0.99)),
            9 => Self::Sharpness(1.0 + signed(0.99)),
            10 => Self::Posterize(8 - up_to(6.0).round() as u32),
            11 => Self::Solarize(255.0 - up_to(255.0)),
            12 => Self::AutoContrast,
            _ => Self::Equalize,
        }
    }

    /// Changes a planar picture `[C, H, W]`; what comes from outside takes `fill`, one byte for each channel
    /// (torchvision: 0).
    pub fn apply(self, image: &mut [u8], input: Input, fill: &[u8]) {
        match self {
            Self::Identity => {}
            Self::ShearX(by) => geometry::shear_x(image, input, by, fill),
            Self::ShearY(by) => geometry::shear_y(image, input, by, fill),
            Self::TranslateX(by) => geometry::translate_x(image, input, by, fill),
            Self::TranslateY(by) => geometry::translate_y(image, input, by, fill),
            Self::Rotate(degrees) => geometry::rotate(image, input, degrees, fill),
            Self::Brightness(factor) => colour::brightness(image, factor),
            Self::Saturation(factor) => colour::saturation(image, input, factor),
            Self::Contrast(factor) => colour::contrast(image, input, factor),
            Self::Sharpness(factor) => colour::sharpness(image, input, factor),
            Self::Posterize(bits) => colour::posterize(image, bits),
            Self::Solarize(threshold) => colour::solarize(image, threshold),
            Self::AutoContrast => colour::autocontrast(image, input),
            Self::Equalize => colour::equalize(image, input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pictures of scripts/make-photo-fixtures.py.
    fn picture(which: &str) -> (Input, Vec<u8>) {
        let input = |height, width| Input { channels: 3, height, width };
        if which == "soft" {
            let places = (0..3).flat_map(|c| (0..7).flat_map(move |y| (0..13).map(move |x| (c, y, x))));
            return (input(7, 13), places.map(|(c, y, x)| (30 + 9 * x + 5 * y + 11 * c) as u8).collect());
        }
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        match which {
            "large" => (input(20, 40), (0..3 * 20 * 40).map(|_| next() / 3 + 50).collect()),
            _ => (input(7, 13), (0..3 * 7 * 13).map(|_| next()).collect()),
        }
    }

    fn apply(name: &str, number: f64, image: &mut [u8], input: Input) {
        let operation = match name {
            "hue" => return colour::hue(image, input, number),
            "shear_x" => Operation::ShearX(number),
            "shear_y" => Operation::ShearY(number),
            "translate_x" => Operation::TranslateX(number),
            "translate_y" => Operation::TranslateY(number),
            "rotate" => Operation::Rotate(number),
            "brightness" => Operation::Brightness(number),
            "saturation" => Operation::Saturation(number),
            "contrast" => Operation::Contrast(number),
            "sharpness" => Operation::Sharpness(number),
            "posterize" => Operation::Posterize(number as u32),
            "solarize" => Operation::Solarize(number),
            "autocontrast" => Operation::AutoContrast,
            "equalize" => Operation::Equalize,
            other => panic!("{other}"),
        };
        operation.apply(image, input, &[9, 8, 7]);
    }

    /// Every byte of Pillow's answers (fixtures/pil.txt, made by scripts/make-photo-fixtures.py).
    #[test]
    fn equals_pillow() {
        let (mut cases, mut complaints) = (0, Vec::new());
        for line in include_str!("fixtures/pil.txt").lines().filter(|l| !l.starts_with('#')) {
            let (what, answer) = line.split_once(": ").unwrap();
            let [which, name, number] = what.split(' ').collect::<Vec<_>>()[..] else { panic!("{what}") };
            let (input, mut image) = picture(which);
            apply(name, number.parse().unwrap(), &mut image, input);
            let byte = |i: usize| u8::from_str_radix(&answer[2 * i..2 * i + 2], 16).unwrap();
            let apart = |(i, found): (usize, &u8)| found.abs_diff(byte(i));
            let differ: Vec<u8> = image.iter().enumerate().map(apart).filter(|d| *d > 0).collect();
            if !differ.is_empty() {
                complaints.push(format!(
                    "{what}: {} bytes, by up to {:?}",
                    differ.len(),
                    differ.iter().max()
                ));
            }
            cases += 1;
        }
        assert!(cases >= 80 && complaints.is_empty(), "{cases} cases\n{}", complaints.join("\n"));
    }

    /// Frozen: results depend on these draws.
    #[test]
    fn draws_never_change() {
        const WANTED: &str = "[Solarize(170.000000), Identity, Identity]";
        let found: Vec<Operation> = (0..3).map(|i| Operation::draw(1, 2, i)).collect();
        assert_eq!(format!("{found:.6?}"), WANTED);
    }

    #[test]
    fn every_operation_is_drawn_with_every_strength() {
        let all: Vec<Operation> = (0..14_000).map(|i| Operation::draw(1, 2, i)).collect();
        let count = |f: &dyn Fn(&Operation) -> bool| all.iter().filter(|o| f(o)).count();
        assert!(count(&|o| *o == Operation::Equalize).abs_diff(1000) < 130); // 4 sigma
        let rotated: Vec<f64> =
            all.iter().filter_map(|o| if let Operation::Rotate(d) = o { Some(*d) } else { None }).collect();
        assert!(rotated.contains(&135.0) && rotated.contains(&-135.0));
        for bits in 2..=8 {
            assert!(count(&|o| *o == Operation::Posterize(bits)) > 20, "{bits}");
        }
        assert_eq!(Operation::draw(1, 2, 3), Operation::draw(1, 2, 3));
    }

    /// A grey picture is changed where grey can be; nothing needs three channels.
    #[test]
    fn grey_pictures_are_taken() {
        let input = Input { channels: 1, height: 5, width: 4 };
        for i in 0..2000 {
            let mut image: Vec<u8> = (0..20).map(|b| b * 12).collect();
            Operation::draw(0, 0, i).apply(&mut image, input, &[0]);
        }
        let mut image: Vec<u8> = (0..20).collect();
        colour::saturation(&mut image, input, 0.0);
        colour::hue(&mut image, input, 0.3);
        assert_eq!(image, (0..20).collect::<Vec<u8>>());
    }
}
