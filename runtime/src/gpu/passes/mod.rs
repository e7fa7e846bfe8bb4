//! Graph to graph: operators of integers (`quantise`), operators that take in the one behind (`fuse`), what kernels read from
//! memory (`tables`); then, for an adapter, how values lie (`layout`) and where (`plan`).

pub mod fuse;
pub mod layout;
pub mod plan;
pub mod quantise;
pub mod tables;

use crate::gpu::ir::graph::{Graph, Node, ValueId};

/// Runs all passes that no adapter has a say in; `outputs` are the graph's.
pub fn simplify(graph: &mut Graph, outputs: &[ValueId]) -> Result<(), String> {
    quantise::products(graph)?;
    fuse::apply(graph)?;
    graph.prune(outputs)?;
    tables::add(graph)
}

/// An error of a node.
fn told(node: &Node) -> impl Fn(String) -> String + use<> {
    let name = node.name.clone();
    move |what| format!("node `{name}` {what} (backend wgpu)")
}
