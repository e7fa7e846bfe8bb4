//! A node of the file as its operator sees it: attributes, inputs, outputs, and the graph to add to.

use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::graph::{Graph, Node, Value, ValueId};
use crate::gpu::ir::op::Op;
use crate::onnx::proto::{AttributeProto, NodeProto};
use crate::onnx::{Constant, Numbers};
use std::collections::BTreeMap;

/// This is one node that is being lowered.
pub struct FileNode<'a> {
    /// What it adds to.
    pub graph: &'a mut Graph,
    names: &'a mut BTreeMap<String, ValueId>,
    proto: &'a NodeProto,
    /// Its place in the file, as [`Node::origin`] counts.
    origin: usize,
    uses: &'a dyn Fn(&str) -> usize,
    /// Of the default domain.
    pub opset: i64,
}

impl<'a> FileNode<'a> {
    /// Takes a node and its place in the file; `uses` tells how often a name is read.
    pub fn new(
        graph: &'a mut Graph,
        names: &'a mut BTreeMap<String, ValueId>,
        (origin, proto): (usize, &'a NodeProto),
        opset: i64,
        uses: &'a dyn Fn(&str) -> usize,
    ) -> Self {
        Self { graph, names, proto, origin, opset, uses }
    }

    /// Returns whether the operator is ONNX's own.
    pub fn domain_is_default(&self) -> bool {
        self.proto.domain.is_empty() || self.proto.domain == "ai.onnx"
    }

    /// Returns the operator.
    pub fn op(&self) -> &'a str {
        &self.proto.op_type
    }

    /// Returns the names of the attributes.
    pub fn attributes(&self) -> impl Iterator<Item = &'a str> {
        self.proto.attribute.iter().map(|a| a.name.as_str())
    }

    fn attribute(&self, name: &str, kind: i32) -> Result<Option<&'a AttributeProto>, String> {
        let Some(found) = self.proto.attribute.iter().find(|a| a.name == name) else { return Ok(None) };
        if found.r#type != kind {
            return Err(format!("attribute `{name}` has type {}, wanted {kind}", found.r#type));
        }
        Ok(Some(found))
    }

    /// Returns an integer attribute; one of another type is an error.
    pub fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        Ok(self.attribute(name, 2)?.map_or(default, |a| a.i))
    }

    /// Returns a float attribute; one of another type, or that is not finite, is an error.
    pub fn float(&self, name: &str, default: f32) -> Result<f32, String> {
        let found = self.attribute(name, 1)?.map_or(default, |a| a.f);
        if found.is_finite() { Ok(found) } else { Err(format!("attribute `{name}` is {found}")) }
    }

    /// Returns a text attribute; one of another type, or that is not UTF-8, is an error.
    pub fn text(&self, name: &str, default: &'a str) -> Result<&'a str, String> {
        match self.attribute(name, 3)? {
            Some(a) => std::str::from_utf8(&a.s).map_err(|_| format!("attribute `{name}` is not text")),
            None => Ok(default),
        }
    }

    /// Returns an attribute of integers; one of another type is an error.
    pub fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, String> {
        Ok(self.attribute(name, 7)?.map(|a| &a.ints[..]))
    }

    /// Returns an attribute of floats; one of another type is an error.
    pub fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, String> {
        Ok(self.attribute(name, 6)?.map(|a| &a.floats[..]))
    }

    /// Returns a tensor attribute; one of another type, or that cannot be read, is an error.
    pub fn tensor(&self, name: &str) -> Result<Option<Constant>, String> {
        let found = self.attribute(name, 4)?.and_then(|a| a.t.as_ref());
        found.map(|t| Constant::read(t).map_err(|e| format!("attribute `{name}` {e}"))).transpose()
    }

    /// Returns an input that may be absent.
    pub fn optional(&self, i: usize) -> Result<Option<ValueId>, String> {
        let Some(name) = self.proto.input.get(i).filter(|n| !n.is_empty()) else { return Ok(None) };
        match self.names.get(name) {
            Some(&id) => Ok(Some(id)),
            None => Err(format!("input `{name}` is not known")),
        }
    }

    /// Returns an input; it is an error if it is absent.
    pub fn input(&self, i: usize) -> Result<ValueId, String> {
        self.optional(i)?.ok_or_else(|| format!("input {i} is missing"))
    }

    /// Returns how many inputs are written down.
    pub fn input_count(&self) -> usize {
        self.proto.input.len()
    }

    /// Returns how many outputs somebody may want.
    pub fn output_count(&self) -> usize {
        self.proto.output.iter().filter(|o| !o.is_empty()).count()
    }

    /// Returns the type and shape of a value.
    pub fn value(&self, id: ValueId) -> Result<&Value, String> {
        self.graph.value(id)
    }

    /// Returns the shape of a value.
    pub fn shape(&self, id: ValueId) -> Result<Vec<usize>, String> {
        Ok(self.graph.value(id)?.shape.clone())
    }

    /// Fails unless the value is of this type.
    pub fn want(&self, id: ValueId, dtype: DType) -> Result<(), String> {
        let found = self.graph.value(id)?.dtype;
        if found == dtype {
            return Ok(());
        }
        Err(format!("an input is {}, wanted {}: not supported", found.name(), dtype.name()))
    }

    /// Returns the float type that all of these have. It is an error if they differ, or are no floats.
    pub fn float_type(&self, ids: &[Option<ValueId>]) -> Result<DType, String> {
        let mut types = ids.iter().flatten().map(|&id| self.graph.value(id).map(|v| v.dtype));
        let first = types.next().ok_or("has no input")??;
        if !first.is_float() {
            return Err(format!("an input is {}, wanted float or float16: not supported", first.name()));
        }
        types.try_for_each(|t| match t? {
            t if t == first => Ok(()),
            t => Err(format!("inputs are {} and {}", first.name(), t.name())),
        })?;
        Ok(first)
    }

    /// Returns the integers of a constant int64 (or int32) input, if it is there. It is an error if it is not
    /// constant, or float.
    pub fn constant_ints(&self, i: usize) -> Result<Option<Vec<i64>>, String> {
        let Some(id) = self.optional(i)? else { return Ok(None) };
        match self.graph.value(id)?.constant.as_deref() {
            Some(Numbers::I64(v)) => Ok(Some(v.clone())),
            Some(Numbers::I32(v)) => Ok(Some(v.iter().map(|&x| i64::from(x)).collect())),
            Some(Numbers::F32(_)) => Err(format!("input {i} is float, wanted integers")),
            None => Err(format!("input {i} is not constant: shapes must be known at loading")),
        }
    }

    /// Returns the floats of a constant input, if it is there. It is an error if it is not constant, or of
    /// integers.
    pub fn constant_floats(&self, i: usize) -> Result<Option<Vec<f32>>, String> {
        let Some(id) = self.optional(i)? else { return Ok(None) };
        match self.graph.value(id)?.constant.as_deref() {
            Some(Numbers::F32(v)) => Ok(Some(v.clone())),
            Some(_) => Err(format!("input {i} holds integers, wanted floats")),
            None => Err(format!("input {i} is not constant: not supported")),
        }
    }

    fn name_output(&mut self, i: usize, id: ValueId) -> Result<(), String> {
        let name = self.proto.output.get(i).filter(|n| !n.is_empty()).ok_or("it has no output")?;
        self.names.insert(name.clone(), id);
        Ok(())
    }

    fn output_uses(&self, i: usize) -> usize {
        self.proto.output.get(i).map_or(0, |n| (self.uses)(n))
    }

    /// Makes output `i`.
    pub fn output(&mut self, i: usize, dtype: DType, shape: &[usize]) -> Result<ValueId, String> {
        let id = self.graph.add(dtype, shape, self.output_uses(i))?;
        self.name_output(i, id)?;
        Ok(id)
    }

    /// Makes output `i` of known values.
    pub fn constant(&mut self, i: usize, constant: Constant) -> Result<ValueId, String> {
        let id = self.graph.add_constant(constant, self.output_uses(i), self.origin)?;
        self.name_output(i, id)?;
        Ok(id)
    }

    /// Makes the output the same memory as `of`, in another shape.
    pub fn alias(&mut self, of: ValueId, shape: &[usize]) -> Result<(), String> {
        self.alias_as(of, shape, self.value(of)?.dtype)
    }

    /// Does what [`Self::alias`] does, with another type that memory holds alike.
    pub fn alias_as(&mut self, of: ValueId, shape: &[usize], dtype: DType) -> Result<(), String> {
        let value = self.graph.value(of)?.clone();
        if shape.iter().product::<usize>() != value.len() {
            return Err(format!("{:?} cannot become {shape:?}", value.shape));
        }
        let id = self.output(0, dtype, shape)?;
        let v = self.graph.value_mut(id)?;
        (v.root, v.constant, v.origin) = (value.root, value.constant, value.origin);
        // Per tensor only: an axis would not survive.
        v.affine = value.affine.filter(|a| a.scales.len() == 1);
        Ok(())
    }

    /// Adds what the node computes: `op`, which writes `write`.
    pub fn add(&mut self, op: Op, reads: &[Option<ValueId>], write: ValueId) -> Result<(), String> {
        let first = || self.proto.output.first().cloned().ok_or("it has no output");
        let name = if self.proto.name.is_empty() { first()? } else { self.proto.name.clone() };
        let label = self.op().to_owned();
        self.graph.push(Node { name, label, origin: self.origin, op, reads: reads.to_vec(), write })
    }
}
