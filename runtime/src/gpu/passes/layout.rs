//! Layout of a network: convolutions of floats and of integers read and write channels in fours (`[N, C/4, H, W, 4]`;
//! float16 packed into two words, bytes into one), and so does what lies between them; values change their layout where
//! another step needs them as ONNX has them.

use crate::backend::Kernels;
use crate::gpu::exec::adapter::Abilities;
use crate::gpu::ir::graph::{Conv, DType, Form, Graph, Step, ValueId};
use crate::gpu::load::Loaded;
use crate::gpu::ops::{addressing, from_fours, gemv, to_fours, tunable, tuned};
use std::collections::{BTreeMap, BTreeSet};

/// Words (of 4 bytes) that four channels of a place take in fours. As ONNX has it, every value takes a word.
pub fn words(dtype: DType) -> usize {
    match dtype {
        DType::U8 | DType::I8 => 1,
        DType::F16 => 2,
        DType::F32 | DType::U16 | DType::I16 | DType::I32 | DType::U32 | DType::I64 => 4,
    }
}

/// What elementwise_halves.wgsl has of the constants of activation.wgsl and binary.wgsl.
const ELEMENTWISE_HALVES: [&str; 4] = ["op", "act", "act_a", "act_b"];

/// Which steps were changed into what.
struct Layout<'a> {
    graph: &'a mut Graph,
    kernels: Kernels,
    abilities: Abilities,
    /// Values in fours, by the root of what they stand for.
    fours: BTreeMap<ValueId, ValueId>,
    /// Roots that exist in fours only, so far.
    missing: BTreeSet<ValueId>,
    steps: Vec<Step>,
}

/// Rewrites the steps for `kernels`; the general ones need nothing. Where shaders cannot pack float16 its
/// values are f32.
pub fn apply(loaded: &mut Loaded, kernels: Kernels, abilities: Abilities) -> Result<(), String> {
    if !abilities.halves {
        let values = loaded.graph.values.iter_mut();
        values.filter(|v| v.dtype == DType::F16).for_each(|v| v.dtype = DType::F32);
    }
    let old = std::mem::take(&mut loaded.graph.steps);
    let mut layout = Layout {
        graph: &mut loaded.graph,
        kernels,
        abilities,
        fours: BTreeMap::new(),
        missing: BTreeSet::new(),
        steps: Vec::with_capacity(old.len()),
    };
    for mut step in old {
        step.of = step.write;
        step.of_reads = step.reads.iter().flatten().copied().collect();
        let name = step.node.clone();
        layout.step(step).map_err(|what| format!("node `{name}` {what} (backend wgpu)"))?;
    }
    for (slot, id) in &loaded.outputs {
        layout.plain(*id, &slot.name)?;
    }
    let steps = layout.steps;
    loaded.graph.steps = steps;
    Ok(())
}

impl Layout<'_> {
    fn step(&mut self, step: Step) -> Result<(), String> {
        let done = match &step.form {
            Form::Plain => false,
            Form::Conv(conv) => self.conv(&step, conv)?,
            Form::Gemv => self.gemv(&step)?,
            Form::Elementwise => self.elementwise(&step)?,
            Form::PerTensor => self.per_tensor(&step)?,
            Form::Pool => self.pool(&step)?,
            Form::Mean => self.mean(&step)?,
        };
        if done {
            return Ok(());
        }
        for &id in step.reads.iter().flatten() {
            self.plain(id, &step.node)?;
        }
        self.steps.push(step);
        Ok(())
    }

    fn root(&self, id: ValueId) -> Result<ValueId, String> {
        Ok(self.graph.value(id)?.root)
    }

    /// `[images, channels, places]`.
    fn sizes(&self, id: ValueId) -> Result<[usize; 3], String> {
        match &self.graph.value(id)?.shape[..] {
            [n, c, rest @ ..] => Ok([*n, *c, rest.iter().product()]),
            other => Err(format!("has a value {other:?}, wanted images and channels")),
        }
    }

    /// Makes sure that a value is there as ONNX has it.
    fn plain(&mut self, id: ValueId, node: &str) -> Result<(), String> {
        let root = self.root(id)?;
        if !self.missing.remove(&root) {
            return Ok(());
        }
        let four = self.fours.get(&root).copied().ok_or("reads a value that is nowhere")?;
        let dtype = self.graph.value(root)?.dtype;
        let step = from_fours(four, root, self.sizes(root)?, dtype, node);
        self.steps.push(step);
        Ok(())
    }

    /// A value in fours.
    fn four(&mut self, id: ValueId, node: &str) -> Result<ValueId, String> {
        let root = self.root(id)?;
        let sizes = self.sizes(id)?;
        // The same memory in another shape has its channels elsewhere.
        let same_type = self.graph.value(root)?.dtype == self.graph.value(id)?.dtype;
        if let Some(&four) = self.fours.get(&root)
            && self.sizes(root)? == sizes
            && same_type
        {
            return Ok(four);
        }
        self.plain(id, node)?;
        let (four, same) = self.new_four(id)?;
        if !same {
            let dtype = self.graph.value(id)?.dtype;
            self.steps.push(to_fours(id, four, sizes, dtype, node));
        }
        if root == id {
            self.fours.insert(root, four);
        }
        Ok(four)
    }

    /// Memory for a value in fours: its own where both layouts are one.
    fn new_four(&mut self, id: ValueId) -> Result<(ValueId, bool), String> {
        let [n, c, plane] = self.sizes(id)?;
        let dtype = self.graph.value(id)?.dtype;
        let words = words(dtype);
        if plane == 1 && c.is_multiple_of(4) && words == 4 {
            return Ok((id, true));
        }
        Ok((self.graph.add(dtype, &[n, c.div_ceil(4), plane, words], 1)?, false))
    }

    /// Memory for a step's result in fours.
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
        Ok(self.fours.contains_key(&id) && self.root(id)? == id)
    }

    fn conv(&mut self, step: &Step, conv: &Conv) -> Result<bool, String> {
        if !tunable(conv, self.kernels) {
            return Ok(false);
        }
        let read = |i: usize| step.reads.get(i).copied().flatten();
        let x = read(0).map(|x| self.four(x, &step.node)).transpose()?;
        // Of integers it is something else.
        let r = read(3).filter(|_| conv.integer.is_none()).map(|r| self.four(r, &step.node)).transpose()?;
        let [images, ..] = self.sizes(step.write)?;
        let y = self.result(step.write)?;
        let made = tuned(self.graph, step, conv, self.kernels, images, [x, r, Some(y)])?;
        self.steps.extend(made);
        Ok(true)
    }

    /// For large GPUs, as what it reads and writes is anyway.
    fn gemv(&mut self, step: &Step) -> Result<bool, String> {
        if self.kernels != Kernels::Tile {
            return Ok(false);
        }
        for &id in step.reads.iter().flatten() {
            self.plain(id, &step.node)?;
        }
        self.steps.push(gemv(step, self.abilities.subgroups));
        Ok(true)
    }

    /// All operands of the result's size, one of them in fours.
    fn elementwise(&mut self, step: &Step) -> Result<bool, String> {
        let shape = self.graph.value(step.write)?.shape.clone();
        let reads: Vec<ValueId> = step.reads.iter().take(2).flatten().copied().collect();
        let mut any = false;
        for &id in &reads {
            any |= self.is_four(id)?;
            if self.graph.value(id)?.shape != shape {
                return self.scaled(step, &reads);
            }
        }
        let narrow = self.narrow(step)?;
        if !any || narrow && step.narrow.is_none() {
            return Ok(false);
        }
        let fours = reads.iter().map(|&id| self.four(id, &step.node)).collect::<Result<Vec<_>, _>>()?;
        let mut new = step.clone();
        new.reads.iter_mut().zip(fours).for_each(|(read, four)| *read = Some(four));
        if narrow {
            if self.graph.value(step.write)?.dtype == DType::F16 {
                new.constants.retain(|(name, _)| ELEMENTWISE_HALVES.contains(name));
            }
        } else if reads.len() == 2 {
            let total = self.four_len(step.write)?;
            addressing(&[total], [&[1], &[1]]).into_iter().for_each(|(name, v)| new.set(name, v));
        }
        self.emit_each(new)?;
        Ok(true)
    }

    fn per_tensor(&mut self, step: &Step) -> Result<bool, String> {
        let Some(&Some(x)) = step.reads.first() else { return Ok(false) };
        if !self.is_four(x)? {
            return Ok(false);
        }
        let mut new = step.clone();
        let four = self.four(x, &step.node)?;
        new.reads.iter_mut().take(1).for_each(|r| *r = Some(four));
        if self.narrow(step)? {
            new.constants.retain(|(name, _)| !["channels", "plane"].contains(name));
        }
        self.emit_each(new)?;
        Ok(true)
    }

    /// A value in fours and one number for each of its planes.
    fn scaled(&mut self, step: &Step, reads: &[ValueId]) -> Result<bool, String> {
        let &[a, b] = reads else { return Ok(false) };
        let [n, c, plane] = self.sizes(step.write)?;
        let mut is = [false; 2];
        for (is, id) in is.iter_mut().zip([a, b]) {
            let shape = &self.graph.value(id)?.shape;
            *is = shape.len() == 4 && self.sizes(id)? == [n, c, plane];
        }
        let other = if is[0] { b } else { a };
        let scales = self.graph.value(other)?.shape == [n, c, 1, 1];
        if is[0] == is[1] || !scales || !c.is_multiple_of(4) || !self.is_four(if is[0] { a } else { b })? {
            return Ok(false);
        }
        let fours = [self.four(a, &step.node)?, self.four(b, &step.node)?];
        let mut new = Step { reads: fours.map(Some).to_vec(), ..step.clone() };
        if self.narrow(step)? {
            new.constants.retain(|(name, _)| ELEMENTWISE_HALVES.contains(name));
            new.set(if is[0] { "w_places" } else { "x_places" }, plane as f64);
            self.emit_each(new)?;
            return Ok(true);
        }
        let (whole, each) = ([4 * plane, 4, 1], [4, 0, 1]);
        let operands = if is[0] { [&whole[..], &each] } else { [&each[..], &whole] };
        addressing(&[n * c / 4, plane, 4], operands).into_iter().for_each(|(name, v)| new.set(name, v));
        let total = self.four_len(step.write)?;
        self.emit(new, total)?;
        Ok(true)
    }

    fn four_len(&self, id: ValueId) -> Result<usize, String> {
        let [n, c, plane] = self.sizes(id)?;
        Ok(n * c.next_multiple_of(4) * plane)
    }

    /// Whether a value that the step reads first or writes takes less than a word for each channel.
    fn narrow(&self, step: &Step) -> Result<bool, String> {
        let mut ends = step.reads.iter().flatten().take(1).chain([&step.write]);
        ends.try_fold(false, |any, &id| Ok(any || words(self.graph.value(id)?.dtype) < 4))
    }

    /// [`Self::emit`] of a step with an invocation for each channel, or of its narrow form with one for each four.
    fn emit_each(&mut self, mut step: Step) -> Result<(), String> {
        let mut total = self.four_len(step.write)?;
        if self.narrow(&step)? {
            step.shader = step.narrow.ok_or("has no narrow form")?;
            total /= 4;
            let ends = [Some(step.write), step.reads.first().copied().flatten()];
            let types = ends.into_iter().flatten().map(|id| Ok(self.graph.value(id)?.dtype));
            let types = types.collect::<Result<Vec<_>, String>>()?;
            if !types.contains(&DType::F16) {
                step.set("unsigned", f64::from(u8::from(types.contains(&DType::U8))));
            }
        }
        self.emit(step, total)
    }

    /// A step whose result is in fours.
    fn emit(&mut self, mut step: Step, total: usize) -> Result<(), String> {
        step.write = self.result(step.write)?;
        step.set_total(total);
        self.steps.push(step);
        Ok(())
    }

    fn pool(&mut self, step: &Step) -> Result<bool, String> {
        let Some(&Some(x)) = step.reads.first() else { return Ok(false) };
        if !self.is_four(x)? {
            return Ok(false);
        }
        let mut new = Step { reads: vec![Some(self.four(x, &step.node)?)], ..step.clone() };
        new.set("inner", if self.narrow(step)? { 1.0 } else { 4.0 });
        self.emit_each(new)?;
        Ok(true)
    }

    /// Its result has one number for each channel, and is as ONNX has it.
    fn mean(&mut self, step: &Step) -> Result<bool, String> {
        let Some(&Some(x)) = step.reads.first() else { return Ok(false) };
        let [_, c, plane] = self.sizes(x)?;
        if !self.is_four(x)? || !c.is_multiple_of(4) {
            return Ok(false);
        }
        let mut new = Step { reads: vec![Some(self.four(x, &step.node)?)], ..step.clone() };
        new.constants.retain(|(name, _)| ["total", "count"].contains(name));
        if self.narrow(step)? {
            new.shader = step.narrow.ok_or("has no narrow form")?;
            new.set_total(step.invocations / 4);
            self.steps.push(new);
            return Ok(true);
        }
        for (name, v) in [("k5", 4), ("ks4", 4 * plane), ("ks5", 1), ("r5", plane), ("rs5", 4)] {
            new.set(name, v as f64);
        }
        let images_and_fours = step.invocations / 4;
        new.set("k4", images_and_fours as f64);
        self.steps.push(new);
        Ok(true)
    }
}
