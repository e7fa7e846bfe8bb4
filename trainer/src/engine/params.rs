//! The tensors that train together: names, shapes and roles, and a leaf tensor for each.

use gtn_core::ir::graph::{ParamSpec, Role};
use gtn_core::ir::weights::Weights;
use gtn_core::rng::Rng;
use gtn_core::{Error, Result};
use std::collections::HashMap;
use tch::{Device, Kind, Tensor};

/// Specs and tensors, in one order.
pub struct Params {
    /// Names, shapes, roles.
    pub specs: Vec<ParamSpec>,
    /// One leaf tensor for each spec.
    pub tensors: Vec<Tensor>,
    places: HashMap<String, usize>,
}

impl Params {
    /// Given weights (exactly these specs'); `trained` ones get gradients.
    pub fn new(specs: Vec<ParamSpec>, weights: &Weights, device: Device, trained: bool) -> Result<Self> {
        let mut tensors = Vec::with_capacity(specs.len());
        for spec in &specs {
            let shape: Vec<i64> = spec.shape.iter().map(|&d| d as i64).collect();
            let values = Tensor::from_slice(weights.get(&spec.name)?);
            let mut tensor = values.view(shape.as_slice()).to_device(device);
            if shape.len() == 4 {
                // Channels-last strides; every convolution, BN and activation after it follows suit,
                // which spares oneDNN (and cuDNN) a reordering at each operator.
                tensor = tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
            }
            tensors.push(tensor.set_requires_grad(trained && spec.role.trained()));
        }
        let places = specs.iter().enumerate().map(|(i, s)| (s.name.clone(), i)).collect();
        Ok(Self { specs, tensors, places })
    }

    /// A copy that does not learn.
    pub fn copy(&self) -> Self {
        let tensors = tch::no_grad(|| self.tensors.iter().map(|t| t.detach().copy()).collect());
        Self { specs: self.specs.clone(), tensors, places: self.places.clone() }
    }

    /// Where a named tensor is.
    pub fn place(&self, name: &str) -> Result<usize> {
        self.places.get(name).copied().ok_or_else(|| Error::Failed(format!("parameter `{name}` is missing")))
    }

    /// A copy of all tensors on the host.
    pub fn weights(&self) -> Result<Weights> {
        let mut weights = Weights::default();
        for (spec, tensor) in self.specs.iter().zip(&self.tensors) {
            weights.0.insert(spec.name.clone(), to_vec(tensor)?);
        }
        Ok(weights)
    }

    #[cfg(test)]
    /// Those whose names begin with `prefix`, without it.
    pub fn weights_under(&self, prefix: &str) -> Result<Weights> {
        let mut weights = Weights::default();
        for (spec, tensor) in self.specs.iter().zip(&self.tensors) {
            if let Some(name) = spec.name.strip_prefix(prefix) {
                weights.0.insert(name.to_owned(), to_vec(tensor)?);
            }
        }
        Ok(weights)
    }

    /// Overwrites all tensors in place.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        tch::no_grad(|| {
            for (spec, tensor) in self.specs.iter().zip(&mut self.tensors) {
                let values = Tensor::from_slice(weights.get(&spec.name)?).view_as(tensor);
                tensor.copy_(&values);
            }
            Ok(())
        })
    }

    /// Names of the tensors that hold a value which is not finite.
    pub fn not_finite(&self) -> Result<Vec<String>> {
        let odd = odd_ones(self.tensors.iter())?;
        Ok(self.specs.iter().zip(odd).filter(|(_, odd)| *odd).map(|(s, _)| s.name.clone()).collect())
    }

    /// Places of the trained tensors.
    pub fn trained(&self) -> impl Iterator<Item = usize> {
        self.specs.iter().enumerate().filter(|(_, s)| s.role.trained()).map(|(i, _)| i)
    }
}

/// Of each tensor, whether a value of it is not finite; one transfer from the device for all.
pub fn odd_ones<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<Vec<bool>> {
    let flags: Vec<Tensor> = tch::no_grad(|| {
        tensors.map(|t| t.isfinite().all().logical_not().to_kind(Kind::Float).view(1)).collect()
    });
    if flags.is_empty() {
        return Ok(Vec::new());
    }
    Ok(to_vec(&Tensor::cat(&flags, 0))?.into_iter().map(|flag| flag != 0.0).collect())
}

/// Initial values of one tensor of a graph, a pure function of (seed, stream): He-normal by fan-out for
/// convolutions (He et al. 2015), uniform +-1/sqrt(fan-in) for the classifier, BN at identity.
pub fn initial(spec: &ParamSpec, seed: u64, stream: &str) -> Vec<f32> {
    let mut rng = Rng::new(seed, stream, 0);
    let n: usize = spec.shape.iter().product();
    let spatial: usize = spec.shape.iter().skip(2).product();
    let fan_in: usize = spec.shape.iter().skip(1).product();
    match (spec.role, spec.shape.len()) {
        (Role::Weight, 4) => {
            let sd = (2.0 / fan_out(spec, spatial) as f64).sqrt();
            (0..n).map(|_| (sd * rng.normal()) as f32).collect()
        }
        (Role::Weight, _) => {
            let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
            (0..n).map(|_| (bound * (2.0 * rng.unit_f64() - 1.0)) as f32).collect()
        }
        (Role::NormScale | Role::RunningVar, _) => vec![1.0; n],
        (Role::Bias | Role::NormShift | Role::RunningMean, _) => vec![0.0; n],
    }
}

/// Output channels per group times the kernel's area.
fn fan_out(spec: &ParamSpec, spatial: usize) -> usize {
    (spec.shape.first().copied().unwrap_or(1) * spatial / spec.groups).max(1)
}

/// A tensor's values on the host, row-major.
pub fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1);
    Vec::<f32>::try_from(&flat).map_err(|e| Error::Failed(format!("libtorch: {e}")))
}
