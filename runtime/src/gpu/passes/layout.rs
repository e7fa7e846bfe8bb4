//! Layout of a network: convolutions of floats and of integers read and write channels in fours ([`crate::gpu::ir::form`]),
//! with packed weights, and so does what lies between them; values change their layout where another operator needs them as
//! ONNX has them.

use crate::backend::Kernels;
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::form::{Form, Laid, Operand, words};
use crate::gpu::ir::graph::{Graph, Node, Reads, ValueId};
use crate::gpu::ir::op::{Conv, IntegerConv, Op, Relayout};
use crate::gpu::kernel::Abilities;
use crate::gpu::ops::conv4::Kind;
use crate::gpu::ops::conv4_weights::{pack_floats, pack_integers};
use crate::gpu::passes::told;
use crate::onnx::Numbers;
use std::collections::{BTreeMap, BTreeSet};

/// Which nodes were changed into what.
struct Layout<'a> {
    graph: &'a mut Graph,
    kernels: Kernels,
    /// Values in fours, by the root of what they stand for.
    fours: BTreeMap<ValueId, ValueId>,
    /// Roots that exist in fours only, so far.
    missing: BTreeSet<ValueId>,
    laid: Vec<Laid>,
}

/// Lays the nodes out for `kernels`; the general ones need nothing. `outputs`, with their names, are left as
/// ONNX has them. Where shaders cannot pack float16, its values are f32.
pub fn apply(
    graph: &mut Graph,
    outputs: &[(&str, ValueId)],
    kernels: Kernels,
    abilities: Abilities,
) -> Result<Vec<Laid>, String> {
    if !abilities.halves {
        let values = graph.values.iter_mut();
        values.filter(|v| v.dtype == DType::F16).for_each(|v| v.dtype = DType::F32);
    }
    let nodes = graph.take_nodes();
    let (fours, missing, laid) = (BTreeMap::new(), BTreeSet::new(), Vec::with_capacity(nodes.len()));
    let mut layout = Layout { graph, kernels, fours, missing, laid };
    for node in nodes {
        let told = told(&node);
        layout.node(node).map_err(told)?;
    }
    for &(name, id) in outputs {
        layout.plain(id, name)?;
    }
    Ok(layout.laid)
}

/// How a node's values lie: in which form, what it reads, what it writes.
type Lying = (Form, Reads, ValueId);

impl Layout<'_> {
    fn node(&mut self, node: Node) -> Result<(), String> {
        let in_fours = match &node.op {
            Op::Conv(conv) => self.conv(&node, conv)?,
            Op::IntegerConv(conv) => self.integer_conv(&node, conv)?,
            Op::Activation(_) | Op::ClipIntegers(_) | Op::QuantisedProduct(_) | Op::QuantisedSum(_) => {
                self.elementwise(&node)?
            }
            Op::Binary(_) if self.graph.value(node.write)?.dtype.is_float() => self.elementwise(&node)?,
            Op::Quantize(scales) | Op::Dequantize(scales) if scales.one().is_some() => self.first(&node)?,
            Op::AveragePool(_) | Op::MaxPool(_) | Op::QuantisedMean(_) => self.first(&node)?,
            Op::ReduceMean(mean) if mean.of_planes(&self.graph.value(node.read(0)?)?.shape) => {
                self.mean(&node)?
            }
            _ => None,
        };
        let (form, reads, write) = match in_fours {
            Some(lying) => lying,
            None => {
                for &id in node.reads.iter().flatten() {
                    self.plain(id, &node.name)?;
                }
                (Form::Plain, node.reads.clone(), node.write)
            }
        };
        self.laid.push(Laid { node, form, reads, write });
        Ok(())
    }

    fn planes(&self, id: ValueId) -> Result<[usize; 3], String> {
        self.graph.value(id)?.planes()
    }

    /// Makes sure that a value is there as ONNX has it.
    fn plain(&mut self, id: ValueId, name: &str) -> Result<(), String> {
        let root = self.graph.root(id)?;
        if !self.missing.remove(&root) {
            return Ok(());
        }
        let four = self.fours.get(&root).copied().ok_or("reads a value that is nowhere")?;
        self.relayout(Relayout::FromFours, root, [four, root], name);
        Ok(())
    }

    /// Copies a value of the model from one place to another in another layout.
    fn relayout(&mut self, op: Relayout, value: ValueId, [from, to]: [ValueId; 2], name: &str) {
        let (name, label) = (name.to_owned(), "Relayout".to_owned());
        let (op, reads) = (Op::Relayout(op), vec![Some(value)]);
        let node = Node { name, label, origin: 0, op, reads, write: value };
        self.laid.push(Laid { node, form: Form::Fours, reads: vec![Some(from)], write: to });
    }

    /// A value in fours.
    fn four(&mut self, id: ValueId, name: &str) -> Result<ValueId, String> {
        let root = self.graph.root(id)?;
        // The same memory in another shape has its channels elsewhere.
        let same_type = self.graph.value(root)?.dtype == self.graph.value(id)?.dtype;
        if let Some(&four) = self.fours.get(&root)
            && self.planes(root)? == self.planes(id)?
            && same_type
        {
            return Ok(four);
        }
        self.plain(id, name)?;
        let (four, same) = self.new_four(id)?;
        if !same {
            self.relayout(Relayout::ToFours, id, [id, four], name);
        }
        if root == id {
            self.fours.insert(root, four);
        }
        Ok(four)
    }

    /// Memory for a value in fours: its own where both layouts are one.
    fn new_four(&mut self, id: ValueId) -> Result<(ValueId, bool), String> {
        let [n, c, plane] = self.planes(id)?;
        let dtype = self.graph.value(id)?.dtype;
        let words = words(dtype);
        if plane == 1 && c.is_multiple_of(4) && words == 4 {
            return Ok((id, true));
        }
        Ok((self.graph.add(dtype, &[n, c.div_ceil(4), plane, words], 1)?, false))
    }

    /// Memory for a node's result in fours.
    fn result(&mut self, id: ValueId) -> Result<ValueId, String> {
        let (four, same) = self.new_four(id)?;
        self.fours.insert(id, four);
        if !same {
            self.missing.insert(id);
        }
        Ok(four)
    }

    /// Whether a value is in fours already.
    fn is_four(&self, id: ValueId) -> Result<bool, String> {
        Ok(self.fours.contains_key(&id) && self.graph.root(id)? == id)
    }

    /// Whether one of these takes less than a word for each channel in fours.
    fn narrow(&self, ids: [ValueId; 2]) -> Result<bool, String> {
        let [a, b] = ids.map(|id| self.graph.value(id).map(|v| words(v.dtype) < 4));
        Ok(a? || b?)
    }

    /// With constant weights and bias, and a kernel of that kind.
    fn conv(&mut self, node: &Node, conv: &Conv) -> Result<Option<Lying>, String> {
        let Some(kind) = Kind::of(&conv.window, &conv.groups, self.kernels) else { return Ok(None) };
        for &id in node.reads.iter().skip(1).take(2).flatten() {
            if self.graph.value(id)?.constant.is_none() {
                return Ok(None);
            }
        }
        let x = self.four(node.read(0)?, &node.name)?;
        let residual = node.reads.get(3).copied().flatten();
        let residual = residual.map(|r| self.four(r, &node.name)).transpose()?;
        let write = self.result(node.write)?;
        let packed = pack_floats(self.graph, node, conv, kind)?;
        let reads = vec![Some(x), Some(packed), None, residual];
        Ok(Some((Form::Fours, reads, write)))
    }

    /// With weights that are bytes without their zero points, and a kernel of that kind.
    fn integer_conv(&mut self, node: &Node, conv: &IntegerConv) -> Result<Option<Lying>, String> {
        let Some(kind) = Kind::of(&conv.window, &conv.groups, self.kernels) else { return Ok(None) };
        let m = conv.groups.outputs().max(1);
        let bytes = match self.graph.value(node.read(1)?)?.constant.as_deref() {
            Some(Numbers::I32(all)) => {
                let mut rows = all.chunks((all.len() / m).max(1)).zip(&conv.zero_points);
                rows.all(|(row, zero)| row.iter().all(|w| i8::try_from(w.wrapping_sub(*zero)).is_ok()))
            }
            _ => false,
        };
        if !bytes {
            return Ok(None);
        }
        let x = self.four(node.read(0)?, &node.name)?;
        let write = self.result(node.write)?;
        let packed = pack_integers(self.graph, node, conv, kind)?;
        let reads = vec![Some(x), Some(packed), None, None];
        Ok(Some((Form::Fours, reads, write)))
    }

    /// All operands of the result's size, one of them in fours; what it reads beside the first two is for all of them.
    fn elementwise(&mut self, node: &Node) -> Result<Option<Lying>, String> {
        let shape = self.graph.value(node.write)?.shape.clone();
        let operands: Vec<ValueId> = node.reads.iter().take(2).flatten().copied().collect();
        let mut any = false;
        for &id in &operands {
            any |= self.is_four(id)?;
            if self.graph.value(id)?.shape != shape {
                return self.scaled(node, &operands);
            }
        }
        let words_only = matches!(node.op, Op::ClipIntegers(_));
        if !any || words_only && self.narrow([node.read(0)?, node.write])? {
            return Ok(None);
        }
        let mut reads = node.reads.clone();
        for (read, id) in reads.iter_mut().zip(operands) {
            *read = Some(self.four(id, &node.name)?);
        }
        Ok(Some((Form::Fours, reads, self.result(node.write)?)))
    }

    /// A value in fours and one number for each of its planes.
    fn scaled(&mut self, node: &Node, operands: &[ValueId]) -> Result<Option<Lying>, String> {
        let &[a, b] = operands else { return Ok(None) };
        let shape = &self.graph.value(node.write)?.shape;
        let &[n, c, _, _] = &shape[..] else { return Ok(None) };
        let whole = [a, b].map(|id| self.graph.value(id).map(|v| v.shape == *shape));
        let (large, small, operand) = match whole {
            [Ok(true), Ok(false)] => (a, b, Operand::Second),
            [Ok(false), Ok(true)] => (b, a, Operand::First),
            [Err(what), _] | [_, Err(what)] => return Err(what),
            _ => return Ok(None),
        };
        let scales = self.graph.value(small)?.shape == [n, c, 1, 1];
        if !scales || !c.is_multiple_of(4) || !self.is_four(large)? {
            return Ok(None);
        }
        let mut reads = vec![Some(self.four(a, &node.name)?), Some(self.four(b, &node.name)?)];
        reads.extend(node.reads.iter().skip(2));
        Ok(Some((Form::Scaled(operand), reads, self.result(node.write)?)))
    }

    /// Channel by channel: what it reads beside the first value is for all of them.
    fn first(&mut self, node: &Node) -> Result<Option<Lying>, String> {
        let x = node.read(0)?;
        if !self.is_four(x)? {
            return Ok(None);
        }
        let mut reads = vec![Some(self.four(x, &node.name)?)];
        reads.extend(node.reads.iter().skip(1));
        Ok(Some((Form::Fours, reads, self.result(node.write)?)))
    }

    /// Its result has one number for each channel, and is as ONNX has it.
    fn mean(&mut self, node: &Node) -> Result<Option<Lying>, String> {
        let x = node.read(0)?;
        let [_, c, _] = self.planes(x)?;
        if !self.is_four(x)? || !c.is_multiple_of(4) {
            return Ok(None);
        }
        let reads = vec![Some(self.four(x, &node.name)?)];
        Ok(Some((Form::Fours, reads, node.write)))
    }
}
