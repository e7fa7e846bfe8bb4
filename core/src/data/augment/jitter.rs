//! Colour jitter, as torchvision's `ColorJitter`: brightness, contrast, saturation and hue, each by a random amount, in
//! random order.

use super::colour;
use super::crop::{between, stream};
use crate::ir::arch::Input;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How far each may go; 0: it stays.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColourJitter {
    /// The factor is 1 - this (at least 0) to 1 + this.
    pub brightness: f64,
    /// The factor is 1 - this (at least 0) to 1 + this.
    pub contrast: f64,
    /// The factor is 1 - this (at least 0) to 1 + this.
    pub saturation: f64,
    /// Share of the colour circle, 0 to 0.5.
    pub hue: f64,
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Brightness(f64),
    Contrast(f64),
    Saturation(f64),
    Hue(f64),
}

/// What was drawn for one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter {
    /// In order.
    steps: [Step; 4],
}

impl ColourJitter {
    /// Errors name the key.
    pub fn validate(&self) -> Result<()> {
        let keys = [
            ("brightness", self.brightness, 100.0),
            ("contrast", self.contrast, 100.0),
            ("saturation", self.saturation, 100.0),
            ("hue", self.hue, 0.5),
        ];
        match keys.iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
            Some((key, value, most)) => {
                Err(Error::usage(format!("colour jitter: {key} is {value}, wanted 0 to {most}")))
            }
            None => Ok(()),
        }
    }

    /// The changes for image `index` in `epoch`.
    pub fn draw(&self, seed: u64, epoch: u64, index: u32) -> Jitter {
        let mut rng = stream(seed, "colour_jitter", epoch, index);
        let mut factor = |by: f64| between(&mut rng, ((1.0 - by).max(0.0), 1.0 + by));
        let factors = [self.brightness, self.contrast, self.saturation].map(&mut factor);
        let turn = between(&mut rng, (-self.hue, self.hue));
        let [b, c, s] = factors;
        let mut steps = [Step::Brightness(b), Step::Contrast(c), Step::Saturation(s), Step::Hue(turn)];
        rng.shuffle(&mut steps);
        Jitter { steps }
    }
}

impl Jitter {
    /// Changes a planar picture `[C, H, W]`.
    pub fn apply(&self, image: &mut [u8], input: Input) {
        for step in self.steps {
            match step {
                Step::Brightness(factor) => colour::brightness(image, factor),
                Step::Contrast(factor) => colour::contrast(image, input, factor),
                Step::Saturation(factor) => colour::saturation(image, input, factor),
                // Going to HSV and back costs levels: not without need.
                Step::Hue(turn) if turn != 0.0 => colour::hue(image, input, turn),
                Step::Hue(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: results depend on these draws.
    #[test]
    fn draws_never_change() {
        const WANTED: &str = "[Hue(0.082968), Brightness(0.718036)]";
        let jitter = ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
        let found = (0..2).map(|i| jitter.draw(1, 2, i).steps[0]).collect::<Vec<_>>();
        assert_eq!(format!("{found:.6?}"), WANTED);
    }

    #[test]
    fn ranges_order_and_nothing() {
        let input = Input { channels: 3, height: 4, width: 5 };
        let image: Vec<u8> = (0..60).map(|i| i * 4).collect();
        let mut same = image.clone();
        ColourJitter::default().draw(1, 2, 3).apply(&mut same, input);
        assert_eq!(same, image);
        let jitter = ColourJitter { brightness: 0.4, contrast: 2.0, saturation: 0.0, hue: 0.1 };
        let mut firsts = [0; 4];
        for i in 0..400 {
            let drawn = jitter.draw(1, 2, i);
            for step in drawn.steps {
                assert!(match step {
                    Step::Brightness(f) => (0.6..=1.4).contains(&f),
                    Step::Contrast(f) => (0.0..=3.0).contains(&f),
                    Step::Saturation(f) => f == 1.0,
                    Step::Hue(t) => (-0.1..=0.1).contains(&t),
                });
            }
            let first = match drawn.steps[0] {
                Step::Brightness(_) => 0,
                Step::Contrast(_) => 1,
                Step::Saturation(_) => 2,
                Step::Hue(_) => 3,
            };
            firsts[first] += 1;
        }
        assert!(firsts.iter().all(|n| (65..135).contains(n)), "{firsts:?}"); // 4 sigma
        assert_eq!(jitter.draw(1, 2, 3), jitter.draw(1, 2, 3));
        jitter.validate().unwrap();
        let error = ColourJitter { hue: 0.6, ..jitter }.validate().unwrap_err().to_string();
        assert!(error.contains("hue is 0.6, wanted 0 to 0.5"), "{error}");
    }
}
