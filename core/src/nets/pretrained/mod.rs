//! Weights that others trained: a file of ours, or one that names its tensors as torchvision, timm or
//! EfficientNet-PyTorch do, is read for a network of ours.
//!
//! A naming says nothing of padding, epsilon or of how pictures were scaled; those are the architecture's and the
//! recipe's. torchvision's MobileNetV3 and the ports of EfficientNet-Lite under EfficientNet-PyTorch's names compute what
//! our networks of these names do. timm has two of each under one naming: `tf_..` with TensorFlow's padding and epsilon,
//! the others with PyTorch's; where an architecture has one and the file was trained with the other, the weights are a
//! good start and not the same network.

mod mapping;
mod naming;

pub use naming::Naming;

use crate::io::artifact;
use crate::io::state_dict::{self, MAX_BYTES};
use crate::io::tensors::{Data, Tensor, TensorMap};
use crate::ir::arch::ArchSpec;
use crate::ir::graph::{Graph, NodeOp, ParamSpec, Role};
use crate::ir::weights::Weights;
use crate::{Error, Result};
use half::{bf16, f16};
use mapping::Mapping;
use naming::SCHEMES;
use std::path::Path;

/// This is how pictures were scaled for a network: (x / 255 - mean) / std, for R, G and B.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// Of x / 255.
    pub mean: [f32; 3],
    /// Of x / 255.
    pub std: [f32; 3],
}

impl Scaling {
    /// These are ImageNet's mean and standard deviation, as torchvision and most of timm scale.
    pub const IMAGE_NET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    /// This is (x - 127) / 128, as TensorFlow's EfficientNet-Lite scales (`efficientnet/lite`, MEAN_RGB, STDDEV_RGB).
    pub const EFFICIENT_NET_LITE: Self = Self { mean: [127.0 / 255.0; 3], std: [128.0 / 255.0; 3] };
}

/// These are weights that somebody trained before.
#[derive(Debug, Clone, PartialEq)]
pub struct Pretrained {
    /// All tensors of the graph, but for those of [`Self::left_out`].
    pub weights: Weights,
    /// Whose names the file has.
    pub naming: Naming,
    /// The classifier's tensors, by our names, where the file is for another number of classes: they are to be drawn.
    pub left_out: Vec<String>,
    /// How pictures were scaled for them, where the naming tells. It does not for our own files (their train.json does)
    /// nor for timm's MobileNetV3 and EfficientNet-Lite, some of which scale as ImageNet and some to -1 to 1.
    pub scaling: Option<Scaling>,
    /// The file's SHA-256, lower-case hex.
    pub sha256: String,
}

impl Pretrained {
    /// Returns whether the file is for another number of classes, so that its classifier was left out.
    pub fn head_replaced(&self) -> bool {
        !self.left_out.is_empty()
    }
}

/// Reads the weights of a file (safetensors, or a PyTorch state dict) for the network `spec`. Floats of any width become
/// f32; counters of batches are passed over. It is an error, naming tensors, if under no naming each tensor of the file
/// is one of the network's and the other way round, with equal shapes but for the classifier's number of classes; or if
/// a value is not finite or a variance negative.
pub fn read(path: &Path, spec: &ArchSpec) -> Result<Pretrained> {
    let graph = Graph::lower(spec)?;
    let bytes = artifact::read_at_most(path, MAX_BYTES)?;
    let sha256 = artifact::sha256(&bytes);
    let read = if state_dict::is_one(&bytes) { state_dict::read } else { TensorMap::from_bytes };
    let mut file = read(&bytes, path)?;
    drop(bytes);
    let (mapping, left_out) = recognise(&graph, &file)
        .map_err(|what| Error::input(path, format!("holds no weights of `{}`: {what}", spec.name)))?;
    let mut weights = Weights::default();
    for (param, name) in &mapping.pairs {
        if let Some(tensor) = file.0.remove(name).filter(|_| !left_out.contains(&param.name)) {
            let values =
                floats(tensor, param).map_err(|what| Error::input(path, format!("`{name}` {what}")))?;
            weights.0.insert(param.name.clone(), values);
        }
    }
    Ok(Pretrained {
        weights,
        naming: mapping.naming,
        left_out,
        scaling: scaling(mapping.naming, &graph),
        sha256,
    })
}

/// The naming under which the file is exactly the graph's, and the classifier's tensors if they are for other classes;
/// else what misses under the one that comes closest.
fn recognise(graph: &Graph, file: &TensorMap) -> Result<(Mapping, Vec<String>), String> {
    let others = SCHEMES.iter().map(|scheme| Mapping::of(scheme, graph, file));
    let all = std::iter::once(Mapping::own(graph)).chain(others).map(|mapping| {
        let misfits = mapping.judge(file);
        (mapping, misfits)
    });
    match all.min_by_key(|(_, misfits)| misfits.count()) {
        Some((mapping, misfits)) if misfits.count() == 0 => Ok((mapping, misfits.left_out)),
        Some((mapping, misfits)) if misfits.fitting > 0 => {
            Err(format!("under the closest naming, {}, {}", mapping.naming, misfits.tell()))
        }
        _ => {
            let known = [Naming::Own, Naming::Torchvision, Naming::Timm, Naming::EfficientNetPytorch];
            let found: Vec<String> = file.0.keys().take(3).map(|n| format!("`{n}`")).collect();
            let known = known.map(Naming::as_str).join(", ");
            Err(format!(
                "its {} tensors ({}, ..) have names of none of: {known}",
                file.0.len(),
                found.join(", ")
            ))
        }
    }
}

/// A tensor's values as f32.
fn floats(tensor: Tensor, param: &ParamSpec) -> Result<Vec<f32>, String> {
    let values = match tensor.data {
        Data::F32(values) => values,
        Data::F16(values) => values.into_iter().map(f16::to_f32).collect(),
        Data::Bf16(values) => values.into_iter().map(bf16::to_f32).collect(),
        // What is too large for f32 becomes infinite, and is refused below.
        Data::F64(values) => values.into_iter().map(|x| x as f32).collect(),
        other => return Err(format!("is of type {}, wanted floats", other.element().name())),
    };
    if let Some(odd) = values.iter().find(|x| !x.is_finite()) {
        return Err(format!("holds {odd}"));
    }
    if let Some(odd) = values.iter().find(|x| param.role == Role::RunningVar && **x < 0.0) {
        return Err(format!("holds {odd}, wanted variances of 0 and more"));
    }
    Ok(values)
}

fn scaling(naming: Naming, graph: &Graph) -> Option<Scaling> {
    let mobile_net_v2 = || {
        let depthwise =
            |op: &NodeOp| matches!(*op, NodeOp::Conv { groups, kernel, .. } if groups > 1 && kernel != 3);
        !graph.nodes.iter().any(|node| depthwise(&node.op) || node.name.contains(".se."))
    };
    match naming {
        Naming::Torchvision => Some(Scaling::IMAGE_NET),
        Naming::Timm => mobile_net_v2().then_some(Scaling::IMAGE_NET),
        Naming::EfficientNetPytorch => Some(Scaling::EFFICIENT_NET_LITE),
        Naming::Own => None,
    }
}

#[cfg(test)]
mod tests;
