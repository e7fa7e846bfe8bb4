//! What a model means: values (`graph`) of types (`dtype`), operators (`op`), their windows (`window`), bytes and what they stand
//! for (`quantised`), and how values lie (`form`). No shader is known here.

pub mod dtype;
pub mod form;
pub mod graph;
pub mod op;
pub mod quantised;
pub mod window;
