//! A network's f32 weights: names, shapes and dtypes are compared as exact sets with what the graph
//! needs, so that nothing is silently dropped, added or reshaped.

use crate::io::tensors::{Data, Tensor, TensorMap};
use crate::ir::graph::{Graph, ParamSpec};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// These are row-major f32 values by parameter name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights(pub BTreeMap<String, Vec<f32>>);

impl Weights {
    /// Reads `path` for `graph`. Missing, extra, misshaped, wrongly typed or non-finite tensors are
    /// errors that name the tensor.
    pub fn read(path: &Path, graph: &Graph) -> Result<Self> {
        Self::from_map(TensorMap::read(path)?, &graph.params(), path)
    }

    /// Checks a map against the exact set `specs`; `path` is for messages.
    pub fn from_map(map: TensorMap, specs: &[ParamSpec], path: &Path) -> Result<Self> {
        let wanted: BTreeSet<&str> = specs.iter().map(|p| p.name.as_str()).collect();
        if let Some(extra) = map.0.keys().find(|name| !wanted.contains(name.as_str())) {
            let what =
                format!("tensor `{extra}` does not belong to this architecture ({} tensors)", wanted.len());
            return Err(Error::input(path, what));
        }
        let mut weights = Self::default();
        for spec in specs {
            let shape: Vec<Option<usize>> = spec.shape.iter().map(|&d| Some(d)).collect();
            let values = map.f32s(path, &spec.name, &shape)?;
            if let Some(bad) = values.iter().find(|x| !x.is_finite()) {
                return Err(Error::input(path, format!("tensor `{}` holds {bad}", spec.name)));
            }
            weights.0.insert(spec.name.clone(), values.to_vec());
        }
        Ok(weights)
    }

    /// Returns them as named tensors with the graph's shapes. It is an error if the sets differ.
    pub fn to_map(&self, graph: &Graph) -> Result<TensorMap> {
        let mut map = TensorMap::default();
        for spec in graph.params() {
            let values = self.get(&spec.name)?;
            map.insert(&spec.name, Tensor { shape: spec.shape.clone(), data: Data::F32(values.to_vec()) });
        }
        if let Some(extra) = self.0.keys().find(|k| !map.0.contains_key(*k)) {
            return Err(Error::Failed(format!("weight `{extra}` does not belong to this architecture")));
        }
        Ok(map)
    }

    /// Writes them to a file, atomically. It is an error if they are not exactly the graph's.
    pub fn write(&self, path: &Path, graph: &Graph) -> Result<()> {
        self.to_map(graph)?.write(path)
    }

    /// Returns one tensor's values; a missing one is an error that names it.
    pub fn get(&self, name: &str) -> Result<&[f32]> {
        match self.0.get(name) {
            Some(values) => Ok(values),
            None => Err(Error::Failed(format!("weight `{name}` is missing"))),
        }
    }
}
