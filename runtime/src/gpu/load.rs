//! From a checked file to a graph: constants, the inputs' shapes, one operator after another.

use crate::backend::sizes::{Sizes, still_open};
use crate::backend::{Named, Options, Slot};
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::graph::{Graph, ValueId};
use crate::gpu::ops;
use crate::gpu::ops::file_node::FileNode;
use crate::onnx::{Constant, Dim, Numbers, OnnxFile, Value, value};
use gtn_core::io::tensors::Data;
use gtn_core::{Error, Result};
use std::collections::{BTreeMap, HashMap};

/// More than any network here has; what is done per pair of values stays quick.
const MAX_NODES: usize = 10_000;

/// What a model's constants may take beyond four times its file (int8 weights take four bytes each).
const SPARE_BYTES: usize = 64 << 20;

/// This is a graph and its ends.
#[derive(Debug)]
pub struct Loaded {
    /// Values and nodes.
    pub graph: Graph,
    /// Name, value; every size is filled in.
    pub inputs: Vec<(Slot, ValueId)>,
    /// Name, value.
    pub outputs: Vec<(Slot, ValueId)>,
    /// Images in an inference, as the inputs have it.
    pub images: usize,
}

/// Reads a model and adds what its nodes compute, as they have it. Open dimensions become what `options` say,
/// and inputs named in `bound` become constants (a shape must be known at loading). Errors name the file, and
/// the node, input or output.
pub fn load(file: &OnnxFile, options: &Options, bound: &[Named]) -> Result<Loaded> {
    let (path, proto, opset) = (file.path(), file.graph(), file.opset());
    let bad = |what: String| Error::input(path, what);
    if proto.node.len() > MAX_NODES {
        return Err(bad(format!("has {} nodes, backend wgpu takes at most {MAX_NODES}", proto.node.len())));
    }
    let mut uses: HashMap<&str, usize> = HashMap::new();
    let read = proto.node.iter().flat_map(|n| &n.input).chain(proto.output.iter().map(|o| &o.name));
    read.for_each(|name| *uses.entry(name.as_str()).or_default() += 1);
    let used = |name: &str| uses.get(name).copied().unwrap_or(0);

    let mut graph = Graph::new(SPARE_BYTES + 4 * file.bytes().len());
    let mut names: BTreeMap<String, ValueId> = BTreeMap::new();
    for tensor in &proto.initializer {
        let add = || graph.add_constant(Constant::read(tensor)?, used(&tensor.name), 0);
        let id = { add }().map_err(|what| bad(format!("initializer `{}` {what}", tensor.name)))?;
        names.insert(tensor.name.clone(), id);
    }
    let mut inputs = Vec::new();
    if let Some(sparse) = proto.sparse_initializer.iter().find_map(|s| s.values.as_ref()) {
        return Err(bad(format!("sparse_initializer `{}`: not supported by backend wgpu", sparse.name)));
    }
    let declared: Vec<Value> =
        proto.input.iter().filter(|i| !names.contains_key(&i.name)).map(value).collect();
    let sizes = Sizes::of(&declared, options).map_err(bad)?;
    for info in &sizes.inputs {
        let bad = |what: String| bad(format!("input `{}`: {what}", info.name));
        let id = match bound.iter().find(|b| b.name == info.name) {
            Some(b) => graph.add_constant(constant(b).map_err(bad)?, used(&info.name), 0).map_err(bad)?,
            None => {
                let (slot, dtype, shape) = slot(info).map_err(bad)?;
                let id = graph.add(dtype, &shape, used(&info.name)).map_err(bad)?;
                inputs.push((slot, id));
                id
            }
        };
        names.insert(info.name.clone(), id);
    }
    for (i, node) in proto.node.iter().enumerate() {
        let mut n = FileNode::new(&mut graph, &mut names, (i + 1, node), opset, &used);
        ops::lower(&mut n).map_err(|what| Error::Node {
            path: path.to_owned(),
            node: Box::new(node.at(i)),
            what: format!("{what} (backend wgpu)"),
        })?;
    }
    let mut outputs = Vec::new();
    for info in &proto.output {
        let bad = |what: &str| bad(format!("output `{}` {what}", info.name));
        let id = *names.get(&info.name).ok_or_else(|| bad("is made by no node"))?;
        let v = graph.value(id).map_err(|e| bad(&e))?;
        let root = graph.value(v.root).map_err(|e| bad(&e))?;
        if root.constant.is_some() && v.dtype == DType::I64 {
            return Err(bad("is a constant of int64: not supported by backend wgpu"));
        }
        if !matches!(v.dtype, DType::F32 | DType::U8) {
            return Err(bad(&format!("is {}, wanted float or uint8", v.dtype.name())));
        }
        outputs.push((out_slot(&info.name, v.dtype, &v.shape).map_err(|e| bad(&e))?, id));
    }
    let slots: Vec<Slot> = inputs.iter().map(|i: &(Slot, ValueId)| i.0.clone()).collect();
    // Inputs that are known already are no images.
    let images = if bound.is_empty() { sizes.images(&slots, options.batch).map_err(bad)? } else { 1 };
    Ok(Loaded { graph, inputs, outputs, images })
}

fn constant(named: &Named) -> Result<Constant, String> {
    let numbers = match &named.tensor.data {
        Data::F32(v) => Numbers::F32(v.clone()),
        Data::F16(v) => Numbers::F32(v.iter().map(|x| x.to_f32()).collect()),
        Data::U8(v) => Numbers::I32(v.iter().map(|&x| i32::from(x)).collect()),
        Data::I8(v) => Numbers::I32(v.iter().map(|&x| i32::from(x)).collect()),
        Data::U16(v) => Numbers::I32(v.iter().map(|&x| i32::from(x)).collect()),
        Data::I16(v) => Numbers::I32(v.iter().map(|&x| i32::from(x)).collect()),
        Data::I32(v) => Numbers::I32(v.clone()),
        Data::U32(v) => Numbers::I32(v.iter().map(|&x| x.cast_signed()).collect()),
        Data::I64(v) => Numbers::I64(v.clone()),
        other => return Err(format!("is {}, not supported by backend wgpu", other.element().name())),
    };
    let elem_type = named.tensor.data.element().onnx();
    Ok(Constant { elem_type, shape: named.tensor.shape.clone(), numbers })
}

fn slot(v: &Value) -> Result<(Slot, DType, Vec<usize>), String> {
    let dtype = DType::of(v.elem_type)?;
    if !matches!(dtype, DType::F32 | DType::U8) {
        return Err(format!("is {}, backend wgpu takes float and uint8", dtype.name()));
    }
    if let Some(what) = still_open(&v.name, &v.dims) {
        return Err(what);
    }
    let size = |d: &Dim| match d {
        Dim::Size(n) => usize::try_from(*n).map_err(|_| format!("has a dimension {n}")),
        Dim::Open(name) => Err(format!("dimension `{name}` is open")),
    };
    let shape = v.dims.iter().map(size).collect::<Result<Vec<usize>, String>>()?;
    Ok((out_slot(&v.name, dtype, &shape)?, dtype, shape))
}

fn out_slot(name: &str, dtype: DType, shape: &[usize]) -> Result<Slot, String> {
    let size = |&d: &usize| i64::try_from(d).map_err(|_| format!("has a dimension {d}"));
    let shape = shape.iter().map(size).collect::<Result<_, _>>()?;
    Ok(Slot { name: name.into(), dtype: dtype.name().into(), shape })
}
