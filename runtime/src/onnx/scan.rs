//! What a model would take in memory, counted on the wire before anything decodes it: two bytes of a file can become
//! hundreds, so a small file must not be able to ask for a large memory, here or in ONNX Runtime or rten behind us.

use super::wire::{Value, fields, text};
use gtn_core::io::wide;

/// Messages inside each other, at most: a subgraph is three below the one it is in.
const MAX_DEPTH: usize = 48;
/// What the messages and listed numbers of a model may take when decoded, beside `raw_data`, which stays as it is.
pub const MAX_DECODED: u64 = 256 << 20;

/// These are the messages of onnx.proto (IR version 11) that repeat or hold what does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ModelProto`
    Model,
    /// `GraphProto`
    Graph,
    /// `NodeProto`
    Node,
    /// `AttributeProto`
    Attribute,
    /// `TensorProto`
    Tensor,
    /// `SparseTensorProto`
    Sparse,
    /// `FunctionProto`
    Function,
    /// `ValueInfoProto`
    Info,
    /// That of a graph's input or output
    End,
    /// `TypeProto`
    Type,
    /// `TypeProto.Tensor` and the like
    TensorType,
    /// `TypeProto.Sequence`, `Optional`, `Map`
    Container,
    /// `TensorShapeProto`
    Shape,
    /// `TensorShapeProto.Dimension`
    Dim,
    /// `StringStringEntryProto`, `OperatorSetIdProto`
    Entry,
    /// `TensorAnnotation`
    Annotation,
    /// `TrainingInfoProto`
    Training,
    /// Any other message that can repeat.
    Other,
}

/// What a field is.
enum Part {
    Message(Kind),
    /// One of many texts.
    Text,
    /// Varints, which decode to so many bytes each.
    Varints(u64),
    /// Numbers that take on the wire what they take in memory: so many bytes.
    Fixed(u64),
    /// Known to be small, unknown, or `raw_data`.
    Skipped,
}

/// Field numbers: onnx/onnx.proto.
fn part(kind: Kind, number: u64) -> Part {
    use Part::{Fixed, Message, Skipped, Text, Varints};
    match (kind, number) {
        (Kind::Model, 7) => Message(Kind::Graph),
        (Kind::Model, 8 | 14) => Message(Kind::Entry),
        (Kind::Model, 20) => Message(Kind::Training),
        (Kind::Model, 25) => Message(Kind::Function),
        (Kind::Model, 26) => Message(Kind::Other),
        (Kind::Graph, 1) | (Kind::Function, 7) => Message(Kind::Node),
        (Kind::Graph, 5) => Message(Kind::Tensor),
        (Kind::Graph, 11 | 12) => Message(Kind::End),
        (Kind::Graph, 13) | (Kind::Function, 12) => Message(Kind::Info),
        (Kind::Graph, 14) => Message(Kind::Annotation),
        (Kind::Graph, 15) => Message(Kind::Sparse),
        (Kind::Graph, 16) => Message(Kind::Entry),
        (Kind::Node, 1 | 2) | (Kind::Function, 4..=6) => Text,
        (Kind::Node, 5) | (Kind::Function, 11) => Message(Kind::Attribute),
        (Kind::Node, 9) | (Kind::Function, 9 | 14) => Message(Kind::Entry),
        (Kind::Node, 10) => Message(Kind::Other),
        (Kind::Attribute, 5 | 10) => Message(Kind::Tensor),
        (Kind::Attribute, 6 | 11) => Message(Kind::Graph),
        (Kind::Attribute, 7) => Fixed(4),
        (Kind::Attribute, 8) => Varints(8),
        (Kind::Attribute, 9) => Text,
        (Kind::Attribute, 14 | 15) => Message(Kind::Type),
        (Kind::Attribute, 22 | 23) => Message(Kind::Sparse),
        (Kind::Tensor, 1 | 7 | 11) | (Kind::Sparse, 3) => Varints(8),
        (Kind::Tensor, 4) => Fixed(4),
        (Kind::Tensor, 5) => Varints(4),
        (Kind::Tensor, 6) => Text,
        (Kind::Tensor, 10) => Fixed(8),
        (Kind::Tensor, 13 | 16) => Message(Kind::Entry),
        (Kind::Sparse, 1 | 2) => Message(Kind::Tensor),
        (Kind::Info | Kind::End, 2) => Message(Kind::Type),
        (Kind::Info | Kind::End, 4) => Message(Kind::Entry),
        (Kind::Type, 1 | 8) => Message(Kind::TensorType),
        (Kind::Type, 4 | 5 | 9) => Message(Kind::Container),
        (Kind::Container, 1 | 2) => Message(Kind::Type),
        (Kind::TensorType, 2) => Message(Kind::Shape),
        (Kind::Shape, 1) => Message(Kind::Dim),
        (Kind::Annotation, 2) => Message(Kind::Entry),
        (Kind::Training, 1 | 2) => Message(Kind::Graph),
        (Kind::Training, 3 | 4) => Message(Kind::Entry),
        _ => Skipped,
    }
}

/// A kind of thing that a file may hold many of: how many at most, and the bytes that one takes in memory (the larger
/// of ours and ONNX Runtime's, roughly).
struct Limit {
    what: &'static str,
    most: u64,
    bytes: u64,
}

const fn limit(what: &'static str, most: u64, bytes: u64) -> Limit {
    Limit { what, most, bytes }
}

/// In subgraphs and functions too.
const NODES: Limit = limit("nodes", 100_000, 256);
const ATTRIBUTES: Limit = limit("attributes", 400_000, 384);
const TENSORS: Limit = limit("tensors", 200_000, 256);
/// Initializers that are inputs too among them: ONNX Runtime's time grows with the square of these.
const ENDS: Limit = limit("inputs and outputs", 16_384, 128);
/// `value_info`.
const INFOS: Limit = limit("declared values", 400_000, 128);
const DIMS: Limit = limit("dimensions", 2_000_000, 64);
const TEXTS: Limit = limit("names", 2_000_000, 48);
/// Metadata and where external data lie.
const ENTRIES: Limit = limit("key-value pairs", 1_000_000, 80);
const FUNCTIONS: Limit = limit("functions", 10_000, 384);
const GRAPHS: Limit = limit("subgraphs", 10_000, 384);
const OTHERS: Limit = limit("messages of other kinds", 400_000, 80);
/// One by one instead of in `raw_data`.
const NUMBERS: Limit = limit("listed numbers", 64 << 20, 0);

/// How many of each [`Limit`], in the order of [`LIMITS`].
const LIMITS: [&Limit; 12] = [
    &NODES,
    &ATTRIBUTES,
    &TENSORS,
    &INFOS,
    &DIMS,
    &TEXTS,
    &ENTRIES,
    &FUNCTIONS,
    &GRAPHS,
    &OTHERS,
    &NUMBERS,
    &ENDS,
];

const LISTED: usize = 10;
const NAMES: usize = 5;

fn class(kind: Kind) -> usize {
    match kind {
        Kind::Node => 0,
        Kind::Attribute => 1,
        Kind::Tensor | Kind::Sparse => 2,
        Kind::Info => 3,
        Kind::Dim => 4,
        Kind::Entry => 6,
        Kind::Function => 7,
        Kind::Graph => 8,
        Kind::End => 11,
        _ => 9,
    }
}

/// This is what a walk over a model found.
#[derive(Debug, Default)]
pub struct Scan {
    counts: [u64; LIMITS.len()],
    decoded: u64,
    /// The first tensor that keeps its data in another file.
    pub external: Option<String>,
}

/// Counts what `model` holds. What is beyond the limits, too deep or not protobuf is an error.
pub fn scan(model: &[u8]) -> Result<Scan, String> {
    let mut found = Scan::default();
    found.walk(Kind::Model, model, 0)?;
    Ok(found)
}

impl Scan {
    fn count(&mut self, class: usize, n: u64, bytes: u64) -> Result<(), String> {
        let (Some(count), Some(limit)) = (self.counts.get_mut(class), LIMITS.get(class)) else {
            return Ok(());
        };
        *count = count.saturating_add(n);
        if *count > limit.most {
            return Err(format!("has more than {} {}", limit.most, limit.what));
        }
        self.decoded = self.decoded.saturating_add(bytes);
        if self.decoded > MAX_DECODED {
            let counts = LIMITS.iter().zip(self.counts).filter(|(_, n)| *n > 0);
            let held: Vec<String> = counts.map(|(limit, n)| format!("{n} {}", limit.what)).collect();
            let most = MAX_DECODED >> 20;
            return Err(format!(
                "would take more than {most} MiB when decoded, beside raw data: {}",
                held.join(", ")
            ));
        }
        Ok(())
    }

    fn walk(&mut self, kind: Kind, message: &[u8], depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("has messages more than {MAX_DEPTH} deep (subgraphs in subgraphs)"));
        }
        for field in fields(message) {
            let field = field?;
            match (part(kind, field.number), field.value) {
                (Part::Message(inner), Value::Bytes(bytes)) => {
                    let class = class(inner);
                    self.count(class, 1, LIMITS.get(class).map_or(0, |l| l.bytes))?;
                    if kind == Kind::Tensor && field.number == 13 && self.external.is_none() {
                        self.external = Some(text(message, 8));
                    }
                    self.walk(inner, bytes, depth + 1)?;
                }
                (Part::Text, Value::Bytes(_)) => self.count(NAMES, 1, TEXTS.bytes)?,
                (Part::Varints(each), Value::Bytes(packed)) => {
                    let n = wide(packed.iter().filter(|&&b| b < 0x80).count());
                    self.count(LISTED, n, n * each)?;
                }
                (Part::Fixed(each), Value::Bytes(packed)) => {
                    self.count(LISTED, wide(packed.len()) / each, wide(packed.len()))?;
                }
                (Part::Varints(each) | Part::Fixed(each), _) => self.count(LISTED, 1, each)?,
                _ if kind == Kind::Tensor && field.number == 14 && field.value != Value::Varint(0) => {
                    self.external.get_or_insert_with(|| text(message, 8));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns the kind of the message in field `number` of a message of this kind, if it may hold tensors.
pub fn holds_tensors(kind: Kind, number: u64) -> Option<Kind> {
    match part(kind, number) {
        Part::Message(
            inner @ (Kind::Graph
            | Kind::Node
            | Kind::Attribute
            | Kind::Tensor
            | Kind::Sparse
            | Kind::Function
            | Kind::Training),
        ) => Some(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::head;
    use super::*;

    fn inside(number: u64, inner: &[u8]) -> Vec<u8> {
        [head(number, inner.len() as u64), inner.to_vec()].concat()
    }

    /// Two bytes each, as many as fit `bytes`, in a graph; with `levels` numbers around them.
    fn empty(levels: &[u64], number: u64, bytes: usize) -> Vec<u8> {
        let one = head(number, 0);
        let many = one.repeat(bytes / one.len());
        levels.iter().rev().fold(many, |inner, &level| inside(level, &inner))
    }

    #[test]
    fn what_grows_when_decoded_is_refused_before_it_is() {
        let cases: &[(&[u64], u64, usize, &str)] = &[
            (&[7], 1, 20 << 20, "more than 100000 nodes"),
            (&[7, 1], 5, 4 << 20, "more than 400000 attributes"),
            (&[7], 5, 4 << 20, "more than 200000 tensors"),
            (&[7], 11, 4 << 20, "more than 16384 inputs and outputs"),
            (&[7], 12, 4 << 20, "more than 16384 inputs and outputs"),
            (&[7], 13, 4 << 20, "more than 400000 declared values"),
            (&[7, 1], 1, 8 << 20, "more than 2000000 names"),
            (&[7, 11, 2, 1, 2], 1, 8 << 20, "more than 2000000 dimensions"),
            (&[], 14, 4 << 20, "more than 1000000 key-value pairs"),
            (&[], 25, 1 << 20, "more than 10000 functions"),
            (&[25], 7, 1 << 20, "more than 100000 nodes"),
            (&[7, 1, 5], 11, 1 << 20, "more than 10000 subgraphs"),
            (&[7, 1, 5, 6], 1, 1 << 20, "more than 100000 nodes"),
            (&[7], 15, 1 << 20, "more than 200000 tensors"),
        ];
        for (levels, number, bytes, wanted) in cases {
            let error = scan(&empty(levels, *number, *bytes)).unwrap_err();
            assert!(error.contains(wanted), "{levels:?} {number}: {error}");
        }
        // Ones of an int64_data, packed: a byte on the wire, eight in memory.
        let packed = inside(7, &inside(5, &inside(7, &vec![1; 40 << 20])));
        let error = scan(&packed).unwrap_err();
        assert!(error.contains("more than 256 MiB when decoded") && error.contains("1 tensors"), "{error}");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| (0..n).fold(Vec::new(), |inner, _| inside(1, &inside(5, &inside(6, &inner))));
        assert!(scan(&inside(7, &nested(15))).is_ok());
        let error = scan(&inside(7, &nested(16))).unwrap_err();
        assert!(error.contains("more than 48 deep"), "{error}");
        assert!(scan(&inside(7, &nested(2000))).is_err());
    }

    #[test]
    fn external_data_are_seen_wherever_they_are() {
        let tensor = |entry: &[u8]| [inside(8, b"w"), entry.to_vec()].concat();
        let external = tensor(&inside(13, &inside(1, b"location")));
        let flagged = tensor(&[0x70, 1]);
        for tensor in [external, flagged] {
            for levels in
                [&[7, 5][..], &[7, 15, 1], &[7, 1, 5, 5], &[7, 1, 5, 6, 5], &[25, 7, 5, 5], &[20, 1, 5]]
            {
                let model = levels.iter().rev().fold(tensor.clone(), |inner, &n| inside(n, &inner));
                assert_eq!(scan(&model).unwrap().external.as_deref(), Some("w"), "{levels:?}");
            }
        }
        assert_eq!(scan(&inside(7, &inside(5, &tensor(&[0x70, 0])))).unwrap().external, None);
    }
}
