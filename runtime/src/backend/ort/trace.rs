//! Reads ONNX Runtime's profile (Chrome's trace format) into times of nodes.

use crate::backend::NodeTime;
use gtn_core::io::artifact;
use gtn_core::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
struct Event {
    cat: String,
    name: String,
    dur: f64,
    #[serde(default)]
    args: Args,
}

#[derive(Deserialize, Default)]
struct Args {
    #[serde(default)]
    op_name: String,
    #[serde(default)]
    provider: String,
    #[serde(default)]
    node_index: String,
    #[serde(default)]
    input_type_shape: Vec<BTreeMap<String, Vec<i64>>>,
    #[serde(default)]
    output_type_shape: Vec<BTreeMap<String, Vec<i64>>>,
}

/// Reads a profile and returns the nodes in order of first execution, each with the microseconds of every run.
pub fn read(path: &Path) -> Result<Vec<NodeTime>> {
    parse(&artifact::read(path)?, path)
}

fn parse(bytes: &[u8], path: &Path) -> Result<Vec<NodeTime>> {
    let events: Vec<Event> = serde_json::from_slice(bytes)
        .map_err(|e| Error::Failed(format!("{}: ONNX Runtime's profile: {e}", path.display())))?;
    let mut order: BTreeMap<String, usize> = BTreeMap::new();
    let mut nodes: Vec<NodeTime> = Vec::new();
    for event in events.into_iter().filter(|e| e.cat == "Node") {
        let Some(name) = event.name.strip_suffix("_kernel_time") else { continue };
        let key = format!("{} {name}", event.args.node_index);
        let at = *order.entry(key).or_insert_with(|| {
            nodes.push(NodeTime {
                name: name.to_owned(),
                op: event.args.op_name.clone(),
                provider: event.args.provider.clone(),
                inputs: event.args.input_type_shape.iter().filter_map(shape).collect(),
                output: event.args.output_type_shape.first().and_then(shape).unwrap_or_default(),
                us: Vec::new(),
            });
            nodes.len() - 1
        });
        if let Some(node) = nodes.get_mut(at) {
            node.us.push(event.dur);
        }
    }
    Ok(nodes)
}

fn shape(typed: &BTreeMap<String, Vec<i64>>) -> Option<Vec<usize>> {
    typed.values().next()?.iter().map(|&d| usize::try_from(d).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_gathered_over_runs() {
        let node = |name: &str, index: u32, dur: u32| {
            format!(
                r#"{{"cat":"Node","pid":1,"tid":1,"dur":{dur},"ts":1,"ph":"X","name":"{name}_kernel_time","args":{{"op_name":"Conv",
                "provider":"CPUExecutionProvider","node_index":"{index}","input_type_shape":[{{"float":[1,3,8,8]}},{{"float":[4,3,3,3]}}],
                "output_type_shape":[{{"float":[1,4,8,8]}}]}}}}"#
            )
        };
        let session =
            r#"{"cat":"Session","pid":1,"tid":1,"dur":9,"ts":1,"ph":"X","name":"model_run","args":{}}"#;
        let text = format!(
            "[{},{},{session},{},{}]",
            node("a", 1, 5),
            node("b", 2, 6),
            node("a", 1, 7),
            node("b", 2, 8)
        );
        let nodes = parse(text.as_bytes(), Path::new("p.json")).unwrap();
        assert_eq!(nodes.len(), 2);
        assert_eq!(
            (&nodes[0].name[..], &nodes[0].us[..], &nodes[1].us[..]),
            ("a", &[5.0, 7.0][..], &[6.0, 8.0][..])
        );
        assert_eq!((&nodes[0].inputs[1][..], &nodes[0].output[..]), (&[4, 3, 3, 3][..], &[1, 4, 8, 8][..]));
        assert!(parse(b"[{]", Path::new("p.json")).unwrap_err().to_string().contains("p.json"));
    }
}
