//! What a network costs: multiply-accumulates, parameters, bytes. Per node, so that tables and
//! predictions can be made from the same numbers.

use crate::ir::graph::{Graph, Node, NodeOp};
use crate::precision::Precision;

/// These are sums over a whole network, per sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Multiply-accumulates of convolutions and linear layers (the field's usual count).
    pub macs: u64,
    /// Trained parameters, batch normalisation's scale and shift included.
    pub params: u64,
    /// Bytes of all weights as f32 after BN folding.
    pub weight_bytes: u64,
    /// Largest sum of f32 activations alive at once, in bytes: what inference cannot do without.
    pub peak_activation_bytes: u64,
}

impl Cost {
    /// Counts a lowered network.
    pub fn of(graph: &Graph) -> Self {
        let folded = crate::ir::fold::fold_graph(graph);
        let size = |shape: &[usize]| shape.iter().product::<usize>() as u64;
        Self {
            macs: graph.nodes.iter().map(|n| node_macs(graph, n)).sum(),
            params: graph.params().iter().filter(|p| p.role.trained()).map(|p| size(&p.shape)).sum(),
            weight_bytes: folded.params().iter().map(|p| 4 * size(&p.shape)).sum(),
            peak_activation_bytes: peak_activation_bytes(&folded),
        }
    }

    /// Returns the bytes of weights and of live activations in a precision; the runtime itself is not counted.
    pub fn memory_bytes(&self, precision: Precision) -> u64 {
        (self.weight_bytes + self.peak_activation_bytes) / 4 * precision.bytes()
    }

    /// Returns the bytes of all weights in a precision.
    pub fn model_bytes(&self, precision: Precision) -> u64 {
        self.weight_bytes / 4 * precision.bytes()
    }
}

/// Returns the multiply-accumulates of one node for one sample; they are zero for what is not a matrix product.
pub fn node_macs(graph: &Graph, node: &Node) -> u64 {
    let input = node.inputs.first().map_or([0; 3], |&v| graph.shape(v));
    let [_, h, w] = node.shape;
    let macs = match node.op {
        NodeOp::Conv { out, kernel, groups, .. } => out * h * w * (input[0] / groups) * kernel * kernel,
        NodeOp::Linear { out } => out * input[0],
        _ => 0,
    };
    macs as u64
}

/// The live-tensor lower bound: activations (f32) that must coexist at the worst node, in-place
/// element-wise operators aside.
fn peak_activation_bytes(graph: &Graph) -> u64 {
    let last = graph.last_uses();
    let bytes = |v: usize| 4 * graph.shape(crate::ir::graph::ValueId(v)).iter().product::<usize>() as u64;
    let mut live = bytes(0);
    let mut peak = live;
    for (i, node) in graph.nodes.iter().enumerate() {
        live += bytes(i + 1);
        peak = peak.max(live);
        let mut freed: Vec<usize> =
            node.inputs.iter().map(|v| v.0).filter(|&v| last.get(v) == Some(&Some(i))).collect();
        freed.dedup();
        live -= freed.into_iter().map(bytes).sum::<u64>();
    }
    peak
}
