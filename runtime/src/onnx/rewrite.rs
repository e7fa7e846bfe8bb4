//! A model's bytes with some messages replaced and all others kept as they are: pieces first, then one copy.

use super::proto::{DimProto, ShapeProto, TensorType, TypeProto, ValueInfo};
use super::scan::Kind;
use super::wire::{Value, fields, head, text};
use super::{Dim, Value as Declared};
use gtn_core::io::wide;
use prost::Message;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::rc::Rc;

/// A piece is part of what is written.
#[derive(Debug)]
pub enum Piece<'a> {
    /// As in the original.
    Kept(&'a [u8]),
    /// New.
    Made(Vec<u8>),
    /// So many bytes of another file, from there on.
    File(Rc<File>, u64, u64),
}

/// This is a message in pieces.
#[derive(Debug, Default)]
pub struct Pieces<'a> {
    all: Vec<Piece<'a>>,
    len: u64,
}

impl<'a> Pieces<'a> {
    /// Appends a piece.
    pub fn push(&mut self, piece: Piece<'a>) {
        self.len += match &piece {
            Piece::Kept(bytes) => wide(bytes.len()),
            Piece::Made(bytes) => wide(bytes.len()),
            Piece::File(_, _, len) => *len,
        };
        self.all.push(piece);
    }

    /// Appends a field that holds `inner`.
    pub fn nest(&mut self, number: u64, inner: Self) {
        self.push(Piece::Made(head(number, inner.len)));
        self.len += inner.len;
        self.all.extend(inner.all);
    }

    /// Returns how many bytes all pieces have.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Writes the pieces one after the other. Fails where a file that one is in cannot be read or is too short.
    pub fn write(self) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(usize::try_from(self.len).map_err(std::io::Error::other)?);
        for piece in self.all {
            match piece {
                Piece::Kept(bytes) => out.extend_from_slice(bytes),
                Piece::Made(bytes) => out.extend_from_slice(&bytes),
                Piece::File(file, offset, len) => {
                    let mut file = file.as_ref();
                    file.seek(SeekFrom::Start(offset))?;
                    if wide(file.take(len).read_to_end(&mut out)?) != len {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
        Ok(out)
    }
}

/// Returns the model with its graph's inputs declared as those of `inputs` that have their names.
pub fn with_inputs(model: &[u8], inputs: &[Declared]) -> Result<Vec<u8>, String> {
    let graph = |bytes| {
        replaced(bytes, |number, info| {
            let declared = (number == 11).then(|| text(info, 1));
            let declared = declared.and_then(|name| inputs.iter().find(|v| v.name == name));
            Ok(declared.map(|v| {
                let mut made = Pieces::default();
                made.push(Piece::Made(declare(v).encode_to_vec()));
                made
            }))
        })
    };
    let model = replaced(model, |number, bytes| if number == 7 { graph(bytes).map(Some) } else { Ok(None) })?;
    model.write().map_err(|e| e.to_string())
}

/// Returns a message with what `change` gives in place of the fields that hold bytes.
pub fn replaced<'a>(
    message: &'a [u8],
    mut change: impl FnMut(u64, &'a [u8]) -> Result<Option<Pieces<'a>>, String>,
) -> Result<Pieces<'a>, String> {
    let mut all = Pieces::default();
    for field in fields(message) {
        let field = field?;
        let new = match field.value {
            Value::Bytes(bytes) => change(field.number, bytes)?,
            _ => None,
        };
        match new {
            Some(new) => all.nest(field.number, new),
            None => all.push(Piece::Kept(field.whole)),
        }
    }
    Ok(all)
}

fn declare(value: &Declared) -> ValueInfo {
    let dim = |d: &Dim| match d {
        Dim::Size(n) => DimProto { dim_value: Some(*n), dim_param: None },
        Dim::Open(name) => DimProto { dim_value: None, dim_param: Some(name.clone()) },
    };
    let shape = ShapeProto { dim: value.dims.iter().map(dim).collect() };
    let tensor_type = Some(TensorType { elem_type: value.elem_type, shape: Some(shape) });
    ValueInfo { name: value.name.clone(), r#type: Some(TypeProto { tensor_type }) }
}

/// Which messages of a model `replaced` must go through to come to every tensor.
pub use super::scan::holds_tensors;

/// Walks through all messages that may hold tensors and lets `change` replace each. Returns `None` where
/// nothing below is changed.
pub fn tensors<'a>(
    kind: Kind,
    message: &'a [u8],
    change: &mut impl FnMut(&'a [u8]) -> Result<Option<Pieces<'a>>, String>,
) -> Result<Option<Pieces<'a>>, String> {
    if kind == Kind::Tensor {
        return change(message);
    }
    let mut changed = false;
    let pieces = replaced(message, |number, bytes| {
        let Some(inner) = holds_tensors(kind, number) else { return Ok(None) };
        let new = tensors(inner, bytes, change)?;
        changed |= new.is_some();
        Ok(new)
    })?;
    Ok(changed.then_some(pieces))
}
