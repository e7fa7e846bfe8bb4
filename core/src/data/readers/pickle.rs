//! NumPy arrays of bytes out of pickles, as the Python version of CIFAR has them.

use crate::io::pickle::{self, Dialect, Id, Value};
use std::borrow::Cow;

const ARRAYS: Dialect = Dialect {
    names: &[
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    ],
    persistent: false,
    only: "arrays of bytes",
};

/// A two-dimensional array of bytes, row by row.
pub(super) struct Rows {
    pub rows: usize,
    pub columns: usize,
    pub bytes: Vec<u8>,
}

/// A file, read.
pub(super) struct Pickle<'a>(pickle::Pickle<'a>);

impl<'a> std::ops::Deref for Pickle<'a> {
    type Target = pickle::Pickle<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'a> Pickle<'a> {
    /// Reads the file's first pickle. The error says at which byte what was found.
    pub(super) fn read(file: &'a [u8]) -> Result<Self, String> {
        pickle::Pickle::read(file, &ARRAYS).map(Self)
    }

    /// A NumPy array of bytes with two dimensions.
    pub(super) fn rows(&self, array: Id) -> Result<Rows, String> {
        let (dtype, shape, fortran, data) =
            self.array(array).ok_or("is no NumPy array as NumPy writes it")?;
        if !matches!(dtype, "u1" | "uint8") {
            return Err(format!("is an array of type {dtype:?}, wanted u1 (bytes)"));
        }
        let bytes = self.raw(data)?;
        let [rows, columns] = shape[..] else {
            return Err(format!("has {} dimensions, wanted 2", shape.len()));
        };
        if rows.checked_mul(columns) != Some(bytes.len()) || bytes.is_empty() {
            return Err(format!("is {rows} x {columns} and has {} bytes", bytes.len()));
        }
        let bytes = if fortran {
            let column = |r: usize| bytes.iter().skip(r).step_by(rows);
            (0..rows).flat_map(column).copied().collect()
        } else {
            bytes.into_owned()
        };
        Ok(Rows { rows, columns, bytes })
    }

    /// Type, shape, whether columns stand together, and data: `numpy.core.multiarray._reconstruct(numpy.ndarray, (0,),
    /// b"b")` with the state `(1, shape, numpy.dtype("u1", ..), is_fortran, bytes)`.
    fn array(&self, id: Id) -> Option<(&str, Vec<usize>, bool, Id)> {
        let array = self.object(id).filter(|o| o.name.1 == "_reconstruct")?;
        let class = self.name(*array.arguments.first()?);
        let &[_, shape, dtype, fortran, data] = self.tuple(array.state?)? else { return None };
        let dtype = self.object(dtype).filter(|o| o.name == ("numpy", "dtype"))?;
        let shape = self.tuple(shape)?.iter().map(|side| self.size(*side)).collect::<Option<_>>()?;
        let fortran = match self.value(fortran)? {
            Value::Bool(yes) => *yes,
            Value::Int(n) => *n != 0,
            _ => return None,
        };
        let dtype = self.text(*dtype.arguments.first()?)?;
        (class == Some(("numpy", "ndarray"))).then_some((dtype, shape, fortran, data))
    }

    /// Bytes, or Python 3's way to write them under protocol 2, `_codecs.encode(text, "latin1")`.
    fn raw(&self, id: Id) -> Result<Cow<'a, [u8]>, String> {
        if let Some(bytes) = self.bytes(id) {
            return Ok(Cow::Borrowed(bytes));
        }
        let object = self.object(id).filter(|o| o.name == ("_codecs", "encode"));
        let text = object.and_then(|o| self.text(*o.arguments.first()?)).ok_or("has no bytes")?;
        let latin1 = text.chars().map(|c| u8::try_from(u32::from(c)));
        Ok(Cow::Owned(latin1.collect::<Result<_, _>>().map_err(|_| "has a text that is not Latin-1")?))
    }
}

#[cfg(test)]
pub(super) mod tests;
