//! `ArchSpec`: what a network is, in the terms a person chooses it by. [`crate::ir::graph`] lowers it.

use crate::io::artifact;
use crate::text::format;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// This is the image that a network takes: channels, height, width (pixels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// 3 for RGB, 1 for grey.
    pub channels: usize,
    /// Pixels.
    pub height: usize,
    /// Pixels.
    pub width: usize,
}

/// This is an element-wise non-linearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, x).
    Relu,
    /// min(6, max(0, x)), as MobileNetV2.
    Relu6,
    /// x * min(1, max(0, x/6 + 1/2)), as MobileNetV3 (ONNX HardSwish).
    HardSwish,
}

/// This says how many zeros stand around the input of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// `kernel / 2` on both sides, as PyTorch's networks have it.
    #[default]
    Symmetric,
    /// TensorFlow's SAME: what the last window lacks, half of it on each side, the odd one behind. It differs from
    /// `Symmetric` only where the stride is above 1.
    Same,
}

impl Padding {
    /// Returns the zeros (before, after) along a direction with `side` values, for `ceil(side / stride)` windows.
    /// Each direction is padded by itself. (tensorflow.org, `tf.nn.convolution`, "SAME".)
    pub fn around(self, side: usize, kernel: usize, stride: usize) -> (usize, usize) {
        match self {
            Self::Symmetric => (kernel / 2, kernel / 2),
            Self::Same => {
                let reach = side.div_ceil(stride).saturating_sub(1) * stride + kernel;
                let total = reach.saturating_sub(side);
                (total / 2, total - total / 2)
            }
        }
    }
}

/// This is added to the variance in batch normalisation: 1e-12 to 1, as a number in files. PyTorch's default is
/// 1e-5; networks that come from TensorFlow have 1e-3.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct NormEpsilon(f64);

/// It is never NaN.
impl Eq for NormEpsilon {}

impl NormEpsilon {
    /// This is 1e-3, as in MobileNetV3 and EfficientNet-Lite.
    pub const LARGE: Self = Self(1e-3);

    /// Returns the number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Default for NormEpsilon {
    /// 1e-5, PyTorch's.
    fn default() -> Self {
        Self(1e-5)
    }
}

impl From<NormEpsilon> for f64 {
    fn from(epsilon: NormEpsilon) -> Self {
        epsilon.0
    }
}

impl TryFrom<f64> for NormEpsilon {
    type Error = String;

    /// It is an error if the number is out of its bounds, or NaN.
    fn try_from(epsilon: f64) -> Result<Self, String> {
        let fits = (1e-12..=1.0).contains(&epsilon);
        fits.then_some(Self(epsilon)).ok_or_else(|| format!("{epsilon} is not 1e-12 to 1"))
    }
}

/// This says what a block computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockOp {
    /// Two k x k convolutions and a shortcut (He et al. 2015, fig. 5 left).
    Basic,
    /// The same with BN and ReLU before each convolution (Zagoruyko & Komodakis 2016).
    PreActBasic,
    /// 1x1, k x k, 1x1 and a shortcut (He et al. 2015, fig. 5 right).
    Bottleneck,
    /// Expand 1x1, depthwise k x k, project 1x1 (Sandler et al. 2018).
    InvertedResidual,
}

/// This is one block. Its input width is the previous block's `width`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// What it computes.
    pub op: BlockOp,
    /// Spatial kernel size, odd.
    pub kernel: usize,
    /// Channels inside the block: for an inverted residual, expansion times the input width.
    pub hidden: usize,
    /// Output channels.
    pub width: usize,
    /// 1 or 2.
    pub stride: usize,
    /// The block's non-linearity.
    pub activation: Activation,
    /// Squeeze-and-excitation: channels of the squeezed layer (inverted residual only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub se: Option<usize>,
}

/// The stem is the first convolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stem {
    /// Output channels.
    pub width: usize,
    /// Kernel size, odd.
    pub kernel: usize,
    /// 1 or 2.
    pub stride: usize,
    /// BN and activation after the convolution; none in pre-activation networks.
    pub activation: Option<Activation>,
    /// 3x3 max pooling of stride 2 after it (ImageNet ResNets).
    #[serde(default)]
    pub max_pool: bool,
}

/// A stage is the blocks at one resolution; the first may have stride 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// In order; at least one.
    pub blocks: Vec<Block>,
}

/// The head is what follows the last stage: optional norm, optional 1x1 convolution, pooling, optional hidden layer,
/// classifier.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// BN and this activation on the last stage's output (pre-activation networks).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<Activation>,
    /// 1x1 convolution + BN + activation to this many channels before pooling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conv: Option<HeadConv>,
    /// A fully connected layer + activation between pooling and classifier (MobileNetV3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<HeadHidden>,
}

/// This is the head's 1x1 convolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadConv {
    /// Output channels.
    pub width: usize,
    /// After its BN.
    pub activation: Activation,
}

/// This is the head's hidden layer, a fully connected one with a bias and no BN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadHidden {
    /// Output features.
    pub width: usize,
    /// Behind it.
    pub activation: Activation,
}

/// This is a whole network. `arch.json` holds one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchSpec {
    /// What people call it: `resnet8x4`, or a pool id.
    pub name: String,
    /// What it takes.
    pub input: Input,
    /// How many logits it gives.
    pub classes: usize,
    /// Of all convolutions (max pooling is padded by 1 always).
    #[serde(default, skip_serializing_if = "is_default")]
    pub padding: Padding,
    /// Of all batch normalisations.
    #[serde(default, skip_serializing_if = "is_default")]
    pub norm_epsilon: NormEpsilon,
    /// First convolution.
    pub stem: Stem,
    /// In order; their outputs are the stage outputs F_1..F_N.
    pub stages: Vec<Stage>,
    /// After the last stage.
    pub head: Head,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Bounds that keep a hostile arch.json from asking for absurd amounts of memory.
const MAX_WIDTH: usize = 16_384;
const MAX_BLOCKS: usize = 1_024;
const MAX_SIDE: usize = 4_096;

impl ArchSpec {
    /// Checks every number, so that lowering cannot fail. A number out of its bounds is a usage error that
    /// names the key.
    pub fn validate(&self) -> Result<()> {
        // It names folders.
        if !artifact::is_plain(&self.name, ":+@") {
            let name = format::shorten(&self.name, 60);
            let what = "wanted letters, digits, `-`, `_`, `.`, `:`, `+` or `@`, and no `.` before all others";
            return Err(Error::usage(format!("architecture: name is `{name}`, {what}")));
        }
        let bad = |key: String, found: usize, wanted: &str| -> Result<()> {
            Err(Error::usage(format!("architecture `{}`: {key} is {found}, wanted {wanted}", self.name)))
        };
        let Input { channels, height, width } = self.input;
        if !(1..=4).contains(&channels) {
            return bad("input.channels".into(), channels, "1 to 4");
        }
        for (key, side) in [("input.height", height), ("input.width", width)] {
            if !(1..=MAX_SIDE).contains(&side) {
                return bad(key.into(), side, "1 to 4096");
            }
        }
        if !(2..=65_536).contains(&self.classes) {
            return bad("classes".into(), self.classes, "2 to 65536");
        }
        let blocks: usize = self.stages.iter().map(|s| s.blocks.len()).sum();
        if self.stages.is_empty() || blocks > MAX_BLOCKS || self.stages.iter().any(|s| s.blocks.is_empty()) {
            return bad("blocks".into(), blocks, "1 to 1024, at least one in each stage");
        }
        check_conv("stem", self.stem.width, self.stem.kernel, self.stem.stride, &bad)?;
        if let Some(conv) = &self.head.conv {
            check_conv("head.conv", conv.width, 1, 1, &bad)?;
        }
        if let Some(hidden) = &self.head.hidden {
            check_conv("head.hidden", hidden.width, 1, 1, &bad)?;
        }
        for (s, stage) in self.stages.iter().enumerate() {
            for (b, block) in stage.blocks.iter().enumerate() {
                let key = format!("stages[{s}].blocks[{b}]");
                check_conv(&key, block.width, block.kernel, block.stride, &bad)?;
                if !(1..=MAX_WIDTH).contains(&block.hidden) {
                    return bad(format!("{key}.hidden"), block.hidden, "1 to 16384");
                }
                if let Some(se) = block.se
                    && (!(1..=MAX_WIDTH).contains(&se) || block.op != BlockOp::InvertedResidual)
                {
                    return bad(format!("{key}.se"), se, "1 to 16384, in an inverted residual");
                }
            }
        }
        Ok(())
    }
}

fn check_conv(
    key: &str,
    width: usize,
    kernel: usize,
    stride: usize,
    bad: &dyn Fn(String, usize, &str) -> Result<()>,
) -> Result<()> {
    if !(1..=MAX_WIDTH).contains(&width) {
        return bad(format!("{key}.width"), width, "1 to 16384");
    }
    if kernel.is_multiple_of(2) || kernel > 15 {
        return bad(format!("{key}.kernel"), kernel, "an odd number up to 15");
    }
    if !(1..=2).contains(&stride) {
        return bad(format!("{key}.stride"), stride, "1 or 2");
    }
    Ok(())
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

impl std::str::FromStr for Input {
    type Err = Error;

    /// `3x32x32`.
    fn from_str(text: &str) -> Result<Self> {
        let sides: Vec<Option<usize>> = text.split('x').map(|s| s.parse().ok()).collect();
        match sides.as_slice() {
            [Some(channels), Some(height), Some(width)] => {
                Ok(Self { channels: *channels, height: *height, width: *width })
            }
            _ => Err(Error::usage(format!("--input {text}: wanted CxHxW, such as 3x32x32"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TensorFlow's rule worked out by hand: (side, kernel, stride), zeros before and after.
    #[test]
    fn zeros_by_hand() {
        let cases = [
            ((224, 3, 2), (0, 1)),
            ((112, 5, 2), (1, 2)),
            ((65, 3, 2), (1, 1)),
            ((65, 5, 2), (2, 2)),
            ((14, 5, 1), (2, 2)),
            ((14, 1, 2), (0, 0)),
            ((7, 1, 1), (0, 0)),
            ((2, 7, 2), (2, 3)),
            ((1, 5, 2), (2, 2)),
            ((1, 3, 1), (1, 1)),
        ];
        for ((side, kernel, stride), wanted) in cases {
            assert_eq!(Padding::Same.around(side, kernel, stride), wanted, "{side} {kernel} {stride}");
            assert_eq!(Padding::Symmetric.around(side, kernel, stride), (kernel / 2, kernel / 2));
        }
    }

    #[test]
    fn only_what_differs_is_written() {
        let json = r#"{"name":"n","input":{"channels":3,"height":8,"width":8},"classes":2,"stem":{"width":4,"kernel":3,"stride":1,"activation":"relu","max_pool":false},"stages":[{"blocks":[{"op":"basic","kernel":3,"hidden":4,"width":4,"stride":1,"activation":"relu"}]}],"head":{}}"#;
        let mut spec: ArchSpec = serde_json::from_str(json).unwrap();
        assert_eq!((spec.padding, spec.norm_epsilon.get()), (Padding::Symmetric, 1e-5));
        assert_eq!(serde_json::to_string(&spec).unwrap(), json, "as it was written before these keys");
        (spec.padding, spec.norm_epsilon) = (Padding::Same, NormEpsilon::LARGE);
        spec.head.hidden = Some(HeadHidden { width: 5, activation: Activation::HardSwish });
        let text = serde_json::to_string(&spec).unwrap();
        assert!(text.contains(r#""classes":2,"padding":"same","norm_epsilon":0.001,"stem""#), "{text}");
        assert!(text.ends_with(r#""head":{"hidden":{"width":5,"activation":"hard_swish"}}}"#), "{text}");
        assert_eq!(serde_json::from_str::<ArchSpec>(&text).unwrap(), spec);
    }

    #[test]
    fn impossible_numbers_are_named() {
        for odd in ["0", "-0.001", "2", "1e-13", "1e400"] {
            assert!(serde_json::from_str::<NormEpsilon>(odd).is_err(), "{odd}");
        }
        assert!(NormEpsilon::try_from(f64::NAN).unwrap_err().contains("NaN is not 1e-12 to 1"));
        assert_eq!(serde_json::from_str::<NormEpsilon>("1").unwrap().get(), 1.0);
        let input = Input { channels: 3, height: 32, width: 32 };
        let mut spec = crate::nets::zoo::named("mobilenetv3-small", input, 10).unwrap().unwrap();
        for width in [0, MAX_WIDTH + 1] {
            spec.head.hidden = Some(HeadHidden { width, activation: Activation::Relu });
            let error = spec.validate().unwrap_err().to_string();
            assert!(error.contains(&format!("head.hidden.width is {width}, wanted 1 to 16384")), "{error}");
        }
    }
}
