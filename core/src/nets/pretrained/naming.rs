//! How others name the layers of the networks that we know, as tables. A new naming is one more [`Scheme`].

/// This says whose names a file of weights has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Ours, as in a trained folder's weights.safetensors.
    Own,
    /// torchvision's; timm's ResNets have the same.
    Torchvision,
    /// timm's.
    Timm,
    /// EfficientNet-PyTorch's, which ports of EfficientNet-Lite have.
    EfficientNetPytorch,
}

impl Naming {
    /// Returns its name: `torchvision`, `timm`, `EfficientNet-PyTorch`, or `own` for ours.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
            Self::EfficientNetPytorch => "EfficientNet-PyTorch",
        }
    }
}

impl std::fmt::Display for Naming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One way to name a family's layers.
pub(super) struct Scheme {
    pub naming: Naming,
    /// Our layer (a block's without `stages.S.B.`), and its name there. Of a block (for the head: of the block that would
    /// come next), `{s}` and `{b}` are its numbers where blocks come in groups, `{n}` is its number where they do not;
    /// `{i}` is how many of [`Self::parts`] the block has before the layer's, `{j}` is one more; `{l}` is `l` if the
    /// block has an `expand`, else nothing.
    pub layers: &'static [(&'static str, &'static str)],
    /// What stands before the first of a block's two numbers, where blocks come in groups. How they are grouped, the
    /// file says: groups there need not be our stages.
    pub groups: Option<&'static str>,
    /// The first block's `{n}`.
    pub first: usize,
    /// What a block's layers are numbered by, in order.
    pub parts: &'static [&'static str],
}

/// All but our own, which needs no table.
pub(super) const SCHEMES: [Scheme; 6] = [
    Scheme {
        naming: Naming::Torchvision, // ResNet
        layers: &[
            ("stem.conv", "conv1"),
            ("stem.bn", "bn1"),
            ("1.conv", "layer{s}.{b}.conv1"),
            ("1.bn", "layer{s}.{b}.bn1"),
            ("2.conv", "layer{s}.{b}.conv2"),
            ("2.bn", "layer{s}.{b}.bn2"),
            ("3.conv", "layer{s}.{b}.conv3"),
            ("3.bn", "layer{s}.{b}.bn3"),
            ("shortcut.conv", "layer{s}.{b}.downsample.0"),
            ("shortcut.bn", "layer{s}.{b}.downsample.1"),
            ("head.classifier", "fc"),
        ],
        groups: Some("layer"),
        first: 0,
        parts: &[],
    },
    Scheme {
        naming: Naming::Torchvision, // MobileNetV2
        layers: &[
            ("stem.conv", "features.0.0"),
            ("stem.bn", "features.0.1"),
            ("expand.conv", "features.{n}.conv.{i}.0"),
            ("expand.bn", "features.{n}.conv.{i}.1"),
            ("depthwise.conv", "features.{n}.conv.{i}.0"),
            ("depthwise.bn", "features.{n}.conv.{i}.1"),
            ("project.conv", "features.{n}.conv.{i}"),
            ("project.bn", "features.{n}.conv.{j}"),
            ("head.conv", "features.{n}.0"),
            ("head.bn", "features.{n}.1"),
            ("head.classifier", "classifier.1"),
        ],
        groups: None,
        first: 1,
        parts: &["expand", "depthwise", "project"],
    },
    Scheme {
        naming: Naming::Torchvision, // MobileNetV3
        layers: &[
            ("stem.conv", "features.0.0"),
            ("stem.bn", "features.0.1"),
            ("expand.conv", "features.{n}.block.{i}.0"),
            ("expand.bn", "features.{n}.block.{i}.1"),
            ("depthwise.conv", "features.{n}.block.{i}.0"),
            ("depthwise.bn", "features.{n}.block.{i}.1"),
            ("se.reduce", "features.{n}.block.{i}.fc1"),
            ("se.expand", "features.{n}.block.{i}.fc2"),
            ("project.conv", "features.{n}.block.{i}.0"),
            ("project.bn", "features.{n}.block.{i}.1"),
            ("head.conv", "features.{n}.0"),
            ("head.bn", "features.{n}.1"),
            ("head.hidden", "classifier.0"),
            ("head.classifier", "classifier.3"),
        ],
        groups: None,
        first: 1,
        parts: &["expand", "depthwise", "se", "project"],
    },
    Scheme {
        naming: Naming::Timm, // MobileNetV2, EfficientNet-Lite
        layers: &[
            ("stem.conv", "conv_stem"),
            ("stem.bn", "bn1"),
            ("expand.conv", "blocks.{s}.{b}.conv_pw"),
            ("expand.bn", "blocks.{s}.{b}.bn{j}"),
            ("depthwise.conv", "blocks.{s}.{b}.conv_dw"),
            ("depthwise.bn", "blocks.{s}.{b}.bn{j}"),
            ("se.reduce", "blocks.{s}.{b}.se.conv_reduce"),
            ("se.expand", "blocks.{s}.{b}.se.conv_expand"),
            ("project.conv", "blocks.{s}.{b}.conv_pw{l}"),
            ("project.bn", "blocks.{s}.{b}.bn{j}"),
            ("head.conv", "conv_head"),
            ("head.bn", "bn2"),
            ("head.classifier", "classifier"),
        ],
        groups: Some("blocks."),
        first: 0,
        parts: &["expand", "depthwise", "project"],
    },
    Scheme {
        naming: Naming::Timm, // MobileNetV3
        layers: &[
            ("stem.conv", "conv_stem"),
            ("stem.bn", "bn1"),
            ("expand.conv", "blocks.{s}.{b}.conv_pw"),
            ("expand.bn", "blocks.{s}.{b}.bn{j}"),
            ("depthwise.conv", "blocks.{s}.{b}.conv_dw"),
            ("depthwise.bn", "blocks.{s}.{b}.bn{j}"),
            ("se.reduce", "blocks.{s}.{b}.se.conv_reduce"),
            ("se.expand", "blocks.{s}.{b}.se.conv_expand"),
            ("project.conv", "blocks.{s}.{b}.conv_pw{l}"),
            ("project.bn", "blocks.{s}.{b}.bn{j}"),
            ("head.conv", "blocks.{s}.{b}.conv"),
            ("head.bn", "blocks.{s}.{b}.bn1"),
            ("head.hidden", "conv_head"),
            ("head.classifier", "classifier"),
        ],
        groups: Some("blocks."),
        first: 0,
        parts: &["expand", "depthwise", "project"],
    },
    Scheme {
        naming: Naming::EfficientNetPytorch,
        layers: &[
            ("stem.conv", "_conv_stem"),
            ("stem.bn", "_bn0"),
            ("expand.conv", "_blocks.{n}._expand_conv"),
            ("expand.bn", "_blocks.{n}._bn0"),
            ("depthwise.conv", "_blocks.{n}._depthwise_conv"),
            ("depthwise.bn", "_blocks.{n}._bn1"),
            ("se.reduce", "_blocks.{n}._se_reduce"),
            ("se.expand", "_blocks.{n}._se_expand"),
            ("project.conv", "_blocks.{n}._project_conv"),
            ("project.bn", "_blocks.{n}._bn2"),
            ("head.conv", "_conv_head"),
            ("head.bn", "_bn1"),
            ("head.classifier", "_fc"),
        ],
        groups: None,
        first: 0,
        parts: &[],
    },
];
