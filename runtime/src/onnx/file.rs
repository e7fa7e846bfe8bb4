//! A model file, checked and decoded once: the budget, every backend and what describes it read the same.

use super::proto::{GraphProto, ModelProto};
use super::{OnnxModel, check_ends, check_tensor, check_wires, external, scanned, self_contained};
use gtn_core::io::artifact;
use gtn_core::{Error, Result};
use prost::Message;
use prost::bytes::Bytes;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// This is a model file in memory, checked. What it decodes to shares its bytes.
#[derive(Debug, Clone)]
pub struct OnnxFile {
    path: PathBuf,
    bytes: Bytes,
    /// Without its graph.
    proto: ModelProto,
    graph: GraphProto,
    opset: i64,
}

impl OnnxFile {
    /// Reads a file, with the data in it that it keeps in other files, from its folder or below. Fails where it
    /// cannot be read, is no ONNX model, or is beyond a bound; the error names the file.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of(read(path)?.into(), path)
    }

    /// Reads a model's bytes, which are copied; `path` is for messages. Fails as [`Self::read`] does, and where
    /// data are in another file.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::of(Bytes::copy_from_slice(bytes), path)
    }

    fn of(bytes: Bytes, path: &Path) -> Result<Self> {
        let bad = |what: String| Error::input(path, what);
        self_contained(&bytes, path)?;
        let mut proto =
            ModelProto::decode(bytes.clone()).map_err(|e| bad(format!("not a valid ONNX file ({e})")))?;
        let graph =
            proto.graph.take().ok_or_else(|| bad("not a valid ONNX file (it has no graph)".into()))?;
        if graph.node.is_empty() {
            return Err(bad("has no nodes".into()));
        }
        let opset = proto.opset_import.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx");
        let opset = opset.ok_or_else(|| bad("names no operator set (opset_import)".into()))?.version;
        let mut initializers = BTreeSet::new();
        let sparse = graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref());
        for tensor in graph.initializer.iter().chain(sparse) {
            check_tensor(tensor).map_err(|what| bad(format!("initializer `{}` {what}", tensor.name)))?;
            if !initializers.insert(tensor.name.as_str()) {
                return Err(bad(format!("initializer `{}` is there twice", tensor.name)));
            }
        }
        check_ends(&graph.input).and_then(|()| check_ends(&graph.output)).map_err(bad)?;
        check_wires(&graph, &initializers).map_err(bad)?;
        Ok(Self { path: path.to_owned(), bytes, proto, graph, opset })
    }

    /// Returns where it is from, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file's bytes, with all its data inside.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns what it says about itself.
    pub fn model(&self) -> OnnxModel {
        OnnxModel::of(&self.proto, &self.graph, self.opset)
    }

    /// Returns the message without its graph.
    pub(crate) fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// Returns the graph, which is checked: wires lead somewhere, tensors have the bytes that their shapes
    /// want.
    pub(crate) fn graph(&self) -> &GraphProto {
        &self.graph
    }

    /// Returns the version of the default domain's operators.
    pub(crate) fn opset(&self) -> i64 {
        self.opset
    }
}

/// Reads a model's bytes, with the data in them that it keeps in other files, from its folder or below.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = artifact::read(path)?;
    match scanned(&bytes, path)?.external {
        Some(_) => external::inline(&bytes, path),
        None => Ok(bytes),
    }
}
