//! `--init`: the weights that a network starts from.

use gtn_core::artifacts::model_dir::ArchFile;
use gtn_core::data::Dataset;
use gtn_core::ir::arch::ArchSpec;
use gtn_core::ir::weights::Weights;
use gtn_core::nets::pretrained;
use gtn_core::program::exit;
use gtn_core::{Error, Result};
use std::path::{Path, PathBuf};

/// Weights to start from, and how pictures are scaled for them.
pub struct Init {
    /// Those that there are: the classifier's are missing where the file is for other classes.
    pub weights: Weights,
    /// Mean and standard deviation of x / 255; none: the data's own.
    pub scaling: Option<(Vec<f32>, Vec<f32>)>,
    /// Of the file.
    pub sha256: String,
}

impl Init {
    /// Reads safetensors, a PyTorch state dict, or a trained folder of ours, for the network `spec`.
    pub fn read(path: &Path, spec: &ArchSpec, data: &Dataset) -> Result<Self> {
        let file = if path.is_dir() { path.join("weights.safetensors") } else { path.to_owned() };
        let found = pretrained::read(&file, spec)?;
        let scaling = match (found.scaling, folder(path)) {
            (Some(scaling), _) => Some((scaling.mean.to_vec(), scaling.std.to_vec())),
            (None, Some(arch)) => {
                let p = ArchFile::read(&arch)?.preprocess;
                Some((p.mean, p.std))
            }
            (None, None) => None,
        };
        let scaling = match scaling {
            Some((mean, _)) if mean.len() != data.train.input.channels => {
                let (found, wanted) = (mean.len(), data.train.input.channels);
                let what = format!("is for {found} channels, `{}` has {wanted}", data.name);
                return Err(Error::input(path, what));
            }
            other => other,
        };
        let head = if found.head_replaced() {
            format!("; its classifier is for other classes and drawn anew ({})", found.left_out.join(", "))
        } else {
            String::new()
        };
        let scale = match &scaling {
            Some((mean, std)) => format!("mean {mean:.3?}, std {std:.3?}"),
            None => "the data's own mean and std".into(),
        };
        exit::note(&format!(
            "gtn-train: {}: weights as {} names them, {scale}{head}",
            path.display(),
            found.naming.as_str()
        ));
        Ok(Self { weights: found.weights, scaling, sha256: found.sha256 })
    }
}

/// The arch.json of a trained folder that is given whole. (A file alone says nothing of how pictures were scaled.)
fn folder(path: &Path) -> Option<PathBuf> {
    path.is_dir().then(|| path.join("arch.json"))
}
