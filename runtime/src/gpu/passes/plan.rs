//! Where each value lives in the one buffer: constants first, then activations, which share memory when
//! their lives do not meet. Packed weights have a buffer of their own.

use crate::gpu::ir::graph::{Graph, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// Every value starts at a multiple of so many elements, so that it can be read four at a time.
const ALIGN: usize = 4;

/// Offsets and sizes in elements (4 bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// By root value.
    pub offsets: BTreeMap<ValueId, usize>,
    /// Of the constants.
    pub constants: usize,
    /// Of the packed weights, whose offsets are within a buffer of their own.
    pub packed: usize,
    /// Of the activations at their peak.
    pub activations: usize,
    /// No plan can do with less: the largest sum of what is alive during one step.
    pub lower_bound: usize,
}

/// From the step that writes it to the last that reads it, both included.
#[derive(Debug, Clone, Copy)]
struct Life {
    id: ValueId,
    size: usize,
    from: usize,
    to: usize,
}

/// Places every value that a step reads or writes. Inputs are there before the first step, outputs after
/// the last. Largest first, or in order of birth where that takes less.
pub fn plan(graph: &Graph, inputs: &[ValueId], outputs: &[ValueId]) -> Plan {
    let (constants, lives) = lives(graph, inputs, outputs);
    let mut offsets = BTreeMap::new();
    let (mut end, mut packed_end) = (0, 0);
    for (id, size) in constants {
        let packed = graph.values.get(id.0).is_some_and(|v| v.packed);
        let end = if packed { &mut packed_end } else { &mut end };
        offsets.insert(id, *end);
        *end += size;
    }
    let lower_bound = lower_bound(&lives, graph.steps.len());
    let mut order: Vec<&Life> = lives.iter().collect();
    order.sort_by_key(|l| (std::cmp::Reverse(l.size), l.from));
    let (mut places, mut activations) = place(&order);
    if activations > lower_bound {
        order.sort_by_key(|l| (l.from, std::cmp::Reverse(l.size)));
        let (by_birth, needed) = place(&order);
        if needed < activations {
            (places, activations) = (by_birth, needed);
        }
    }
    offsets.extend(places.into_iter().map(|(id, at)| (id, end + at)));
    Plan { offsets, constants: end, packed: packed_end, activations, lower_bound }
}

/// One after the other, each at the lowest place that is free for its whole life; and what they take in all.
fn place(order: &[&Life]) -> (Vec<(ValueId, usize)>, usize) {
    let mut placed: Vec<(usize, &Life)> = Vec::new(); // by offset
    let mut end = 0;
    for life in order {
        let mut at = 0;
        for (offset, other) in &placed {
            let meet = life.from <= other.to && other.from <= life.to;
            if meet && at + life.size > *offset {
                at = at.max(offset + other.size);
            }
        }
        let index = placed.partition_point(|(offset, _)| *offset < at);
        placed.insert(index, (at, life));
        end = end.max(at + life.size);
    }
    (placed.into_iter().map(|(at, life)| (life.id, at)).collect(), end)
}

fn lower_bound(lives: &[Life], steps: usize) -> usize {
    let mut change = vec![0i64; steps + 3];
    for l in lives {
        let size = i64::try_from(l.size).unwrap_or(i64::MAX);
        change.get_mut(l.from).into_iter().for_each(|c| *c += size);
        change.get_mut(l.to + 1).into_iter().for_each(|c| *c -= size);
    }
    let mut alive = 0;
    let peak = change.into_iter().map(|c| {
        alive += c;
        alive
    });
    usize::try_from(peak.max().unwrap_or(0)).unwrap_or(0)
}

/// Constants with their sizes, and the lives of everything else. Step `i` is moment `i + 1`.
fn lives(graph: &Graph, inputs: &[ValueId], outputs: &[ValueId]) -> (Vec<(ValueId, usize)>, Vec<Life>) {
    let root = |id: ValueId| graph.values.get(id.0).map_or(id, |v| v.root);
    let mut found: BTreeMap<ValueId, (usize, usize)> = BTreeMap::new();
    let mut at = |id: ValueId, moment: usize| {
        let life = found.entry(root(id)).or_insert((moment, moment));
        *life = (life.0.min(moment), life.1.max(moment));
    };
    inputs.iter().for_each(|&i| at(i, 0));
    for (i, step) in graph.steps.iter().enumerate() {
        step.reads.iter().flatten().chain([&step.write]).for_each(|&v| at(v, i + 1));
    }
    outputs.iter().for_each(|&o| at(o, graph.steps.len() + 1));
    let mut constants = BTreeSet::new();
    let mut lives = Vec::new();
    for (id, (from, to)) in found {
        let Some(value) = graph.values.get(id.0) else { continue };
        let size = value.len().next_multiple_of(ALIGN);
        match value.constant {
            Some(_) => drop(constants.insert((id, size))),
            None => lives.push(Life { id, size, from, to }),
        }
    }
    (constants.into_iter().collect(), lives)
}
