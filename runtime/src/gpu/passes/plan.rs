//! Where each value lives in the one buffer: constants first, then activations, which share memory when
//! their lives do not meet. Packed weights have a buffer of their own.

use crate::gpu::ir::form::Laid;
use crate::gpu::ir::graph::{Graph, ValueId};
use std::collections::BTreeMap;

/// Every value starts at a multiple of so many elements, so that it can be read four at a time.
const ALIGN: usize = 4;

/// A plan holds offsets and sizes in elements (4 bytes).
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

impl Plan {
    /// Returns where a value lies.
    pub fn place(&self, graph: &Graph, id: ValueId) -> Result<usize, String> {
        let root = graph.root(id)?;
        self.offsets.get(&root).copied().ok_or_else(|| format!("value {} has no place", id.0))
    }
}

/// Places every value that is read or written. Inputs are there before the first step, outputs after the last.
/// The largest go first, or they go in order of birth where that takes less.
pub fn plan(graph: &Graph, laid: &[Laid], inputs: &[ValueId], outputs: &[ValueId]) -> Result<Plan, String> {
    let mut constants = Vec::new();
    let mut lives = Vec::new();
    for (id, (from, to)) in moments(graph, laid, inputs, outputs)? {
        let value = graph.value(id)?;
        let size = value.len().next_multiple_of(ALIGN);
        match value.constant {
            Some(_) => constants.push((value, id, size)),
            None => lives.push(Life { id, size, from, to }),
        }
    }
    // As the file's nodes brought them.
    constants.sort_by_key(|(value, id, _)| (value.origin, *id));
    let mut offsets = BTreeMap::new();
    let (mut end, mut packed_end) = (0, 0);
    for (value, id, size) in constants {
        let end = if value.packed { &mut packed_end } else { &mut end };
        offsets.insert(id, *end);
        *end += size;
    }
    let lower_bound = lower_bound(&lives, laid.len())?;
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
    Ok(Plan { offsets, constants: end, packed: packed_end, activations, lower_bound })
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

/// The largest sum of what is alive at a moment.
fn lower_bound(lives: &[Life], steps: usize) -> Result<usize, String> {
    let (mut born, mut gone) = (vec![0; steps + 2], vec![0; steps + 2]);
    for l in lives {
        *born.get_mut(l.from).ok_or("lives before the first step")? += l.size;
        *gone.get_mut(l.to).ok_or("lives behind the last step")? += l.size;
    }
    let (mut alive, mut most) = (0, 0);
    for (born, gone) in born.into_iter().zip(gone) {
        alive += born;
        most = most.max(alive);
        alive -= gone;
    }
    Ok(most)
}

/// The first and the last moment of every root. Step `i` is moment `i + 1`.
fn moments(
    graph: &Graph,
    laid: &[Laid],
    inputs: &[ValueId],
    outputs: &[ValueId],
) -> Result<BTreeMap<ValueId, (usize, usize)>, String> {
    let mut found = BTreeMap::new();
    let mut at = |id: ValueId, moment: usize| {
        let life = found.entry(graph.root(id)?).or_insert((moment, moment));
        *life = (life.0.min(moment), life.1.max(moment));
        Ok::<_, String>(())
    };
    inputs.iter().try_for_each(|&i| at(i, 0))?;
    for (i, step) in laid.iter().enumerate() {
        step.reads.iter().flatten().chain([&step.write]).try_for_each(|&v| at(v, i + 1))?;
    }
    outputs.iter().try_for_each(|&o| at(o, laid.len() + 1))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::ir::dtype::DType;

    #[test]
    fn a_missing_value_is_an_error_and_no_place() {
        let mut graph = Graph::new(0);
        let x = graph.add(DType::F32, &[3], 1).unwrap();
        let gone = ValueId(5);
        assert_eq!(plan(&graph, &[], &[gone], &[]).unwrap_err(), "value 5 is not there");
        let found = plan(&graph, &[], &[x], &[]).unwrap();
        assert_eq!(found.place(&graph, x), Ok(0));
        assert_eq!(found.place(&graph, gone).unwrap_err(), "value 5 is not there");
        let unplaced = graph.add(DType::F32, &[1], 1).unwrap();
        assert_eq!(found.place(&graph, unplaced).unwrap_err(), "value 1 has no place");
    }
}
