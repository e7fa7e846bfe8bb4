//! A node's attributes by name, as far as they have the type that is asked for.

use super::proto::{AttributeProto, NodeProto};
use gtn_core::error::NodeAt;

impl NodeProto {
    /// Returns what an error says of the node; `index` counts the graph's nodes from 0.
    pub fn at(&self, index: usize) -> NodeAt {
        NodeAt { index, name: self.name.clone(), operator: self.op_type.clone() }
    }

    /// Returns whether the operator is ONNX's own.
    pub fn is_onnx(&self) -> bool {
        self.domain.is_empty() || self.domain == "ai.onnx"
    }

    /// Returns the attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|a| a.name == name)
    }

    /// Returns the integer of that name, if the attribute is one.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name).filter(|a| a.r#type == 2).map(|a| a.i)
    }

    /// Returns the list of integers of that name, if the attribute is one.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).filter(|a| a.r#type == 7).map(|a| &a.ints[..])
    }

    /// Returns the text of that name, if the attribute is one in UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name).filter(|a| a.r#type == 3).and_then(|a| std::str::from_utf8(&a.s).ok())
    }

    /// Returns the name of input `i`, if it is given.
    pub fn given(&self, i: usize) -> Option<&str> {
        self.input.get(i).map(String::as_str).filter(|n| !n.is_empty())
    }
}
