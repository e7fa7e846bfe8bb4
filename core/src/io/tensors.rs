//! Named tensors in a safetensors file: weights, golden sets, evaluation sets, checkpoints.

use crate::io::artifact;
use crate::io::element::Element;
use crate::{Error, Result};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// These are the values of one tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the names are the types'
pub enum Data {
    F32(Vec<f32>),
    /// Images, among others.
    U8(Vec<u8>),
    /// Labels, counters, among others.
    I64(Vec<i64>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    Bool(Vec<bool>),
    F16(Vec<f16>),
    F64(Vec<f64>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    Bf16(Vec<bf16>),
}

/// One expression for whatever the elements are.
macro_rules! each {
    ($data:expr, $values:ident => $does:expr) => {
        match $data {
            Data::F32($values) => $does,
            Data::U8($values) => $does,
            Data::I64($values) => $does,
            Data::I8($values) => $does,
            Data::U16($values) => $does,
            Data::I16($values) => $does,
            Data::I32($values) => $does,
            Data::Bool($values) => $does,
            Data::F16($values) => $does,
            Data::F64($values) => $does,
            Data::U32($values) => $does,
            Data::U64($values) => $does,
            Data::Bf16($values) => $does,
        }
    };
}

/// This is one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Row-major dimensions.
    pub shape: Vec<usize>,
    /// As many values as the shape says.
    pub data: Data,
}

impl Data {
    /// Returns how many values there are.
    pub fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns their type.
    pub fn element(&self) -> Element {
        match self {
            Self::F32(_) => Element::F32,
            Self::U8(_) => Element::U8,
            Self::I64(_) => Element::I64,
            Self::I8(_) => Element::I8,
            Self::U16(_) => Element::U16,
            Self::I16(_) => Element::I16,
            Self::I32(_) => Element::I32,
            Self::Bool(_) => Element::Bool,
            Self::F16(_) => Element::F16,
            Self::F64(_) => Element::F64,
            Self::U32(_) => Element::U32,
            Self::U64(_) => Element::U64,
            Self::Bf16(_) => Element::Bf16,
        }
    }

    /// Returns them little-endian, one value after the other; a bool is a byte 0 or 1.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        match self {
            Self::U8(v) => v.clone(),
            Self::Bool(v) => v.iter().map(|&b| u8::from(b)).collect(),
            Self::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::I8(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::U16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::I16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::U32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::U64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::Bf16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    /// Reads what [`Self::to_le_bytes`] wrote. Bytes beyond the last whole value are ignored: callers check the
    /// count. A bool that is neither 0 nor 1 is an error.
    pub fn from_le_bytes(element: Element, bytes: &[u8]) -> Result<Self, String> {
        Ok(match element {
            Element::F32 => Self::F32(numbers(bytes, f32::from_le_bytes)),
            Element::U8 => Self::U8(bytes.to_vec()),
            Element::I64 => Self::I64(numbers(bytes, i64::from_le_bytes)),
            Element::I8 => Self::I8(numbers(bytes, i8::from_le_bytes)),
            Element::U16 => Self::U16(numbers(bytes, u16::from_le_bytes)),
            Element::I16 => Self::I16(numbers(bytes, i16::from_le_bytes)),
            Element::I32 => Self::I32(numbers(bytes, i32::from_le_bytes)),
            Element::Bool => match bytes.iter().find(|&&b| b > 1) {
                Some(odd) => return Err(format!("holds {odd} as a bool, wanted 0 or 1")),
                None => Self::Bool(bytes.iter().map(|&b| b == 1).collect()),
            },
            Element::F16 => Self::F16(numbers(bytes, f16::from_le_bytes)),
            Element::F64 => Self::F64(numbers(bytes, f64::from_le_bytes)),
            Element::U32 => Self::U32(numbers(bytes, u32::from_le_bytes)),
            Element::U64 => Self::U64(numbers(bytes, u64::from_le_bytes)),
            Element::Bf16 => Self::Bf16(numbers(bytes, bf16::from_le_bytes)),
        })
    }
}

/// safetensors' name, in the order of [`Element`].
const DTYPES: [(Dtype, Element); 13] = [
    (Dtype::F32, Element::F32),
    (Dtype::U8, Element::U8),
    (Dtype::I8, Element::I8),
    (Dtype::U16, Element::U16),
    (Dtype::I16, Element::I16),
    (Dtype::I32, Element::I32),
    (Dtype::I64, Element::I64),
    (Dtype::BOOL, Element::Bool),
    (Dtype::F16, Element::F16),
    (Dtype::F64, Element::F64),
    (Dtype::U32, Element::U32),
    (Dtype::U64, Element::U64),
    (Dtype::BF16, Element::Bf16),
];

fn dtype(element: Element) -> Result<Dtype> {
    let row = DTYPES.iter().find(|row| row.1 == element);
    row.map(|row| row.0).ok_or_else(|| Error::Failed(format!("safetensors has no {}", element.name())))
}

impl Tensor {
    /// Makes a float tensor; the caller's shape and data agree.
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Self {
        Self { shape: shape.to_vec(), data: Data::F32(data) }
    }

    /// Makes a byte tensor; the caller's shape and data agree.
    pub fn u8(shape: &[usize], data: Vec<u8>) -> Self {
        Self { shape: shape.to_vec(), data: Data::U8(data) }
    }

    /// Makes an integer tensor; the caller's shape and data agree.
    pub fn i64(shape: &[usize], data: Vec<i64>) -> Self {
        Self { shape: shape.to_vec(), data: Data::I64(data) }
    }
}

/// These are tensors by name, in name order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TensorMap(pub BTreeMap<String, Tensor>);

impl TensorMap {
    /// Adds a tensor, in place of one that has its name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.0.insert(name.into(), tensor);
    }

    /// Reads and checks a whole file; a damaged one is an error naming file and reason.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = artifact::read(path)?;
        Self::from_bytes(&bytes, path)
    }

    /// Reads a file's bytes from memory; `path` is for messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| Error::input(path, format!("not a valid safetensors file ({e})")))?;
        let mut map = Self::default();
        for (name, view) in file.iter() {
            let bad = |what: String| Error::input(path, format!("tensor `{name}` {what}"));
            let element = DTYPES.iter().find(|row| row.0 == view.dtype()).map(|row| row.1);
            let element =
                element.ok_or_else(|| bad(format!("has dtype {:?}: not read here", view.dtype())))?;
            let data = Data::from_le_bytes(element, view.data()).map_err(bad)?;
            map.insert(name, Tensor { shape: view.shape().to_vec(), data });
        }
        Ok(map)
    }

    /// Returns the file's bytes; the same map gives the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let one = |(name, t): (&'_ String, &'_ Tensor)| {
            Ok((name.clone(), dtype(t.data.element())?, t.shape.clone(), t.data.to_le_bytes()))
        };
        let raw = self.0.iter().map(one).collect::<Result<Vec<_>>>()?;
        let mut views = Vec::with_capacity(raw.len());
        for (name, dtype, shape, bytes) in &raw {
            let view = TensorView::new(*dtype, shape.to_vec(), bytes)
                .map_err(|e| Error::Failed(format!("tensor `{name}` {shape:?}: {e}")))?;
            views.push((name.as_str(), view));
        }
        safetensors::serialize(views, None).map_err(|e| Error::Failed(format!("safetensors: {e}")))
    }

    /// Writes the map to a file, atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        artifact::write_atomic(path, &self.to_bytes()?)
    }

    /// Returns the named tensor with exactly this shape; `None` in `shape` accepts any size there. A missing or
    /// misshaped one is an error that names it.
    pub fn get(&self, path: &Path, name: &str, shape: &[Option<usize>]) -> Result<&Tensor> {
        let Some(tensor) = self.0.get(name) else {
            let have: Vec<&str> = self.0.keys().map(String::as_str).collect();
            return Err(Error::input(
                path,
                format!("tensor `{name}` is missing (found: {})", have.join(", ")),
            ));
        };
        let fits = tensor.shape.len() == shape.len()
            && tensor.shape.iter().zip(shape).all(|(&found, want)| want.is_none_or(|w| w == found));
        if !fits || tensor.data.len() != tensor.shape.iter().product::<usize>() {
            let want: Vec<String> =
                shape.iter().map(|d| d.map_or("any".to_owned(), |d| d.to_string())).collect();
            let what = format!("tensor `{name}` has shape {:?}, wanted [{}]", tensor.shape, want.join(", "));
            return Err(Error::input(path, what));
        }
        Ok(tensor)
    }

    /// Does what [`Self::get`] does for floats; another type is an error.
    pub fn f32s(&self, path: &Path, name: &str, shape: &[Option<usize>]) -> Result<&[f32]> {
        match &self.get(path, name, shape)?.data {
            Data::F32(v) => Ok(v),
            other => Err(wrong_dtype(path, name, other, "F32")),
        }
    }

    /// Does what [`Self::get`] does for bytes; another type is an error.
    pub fn u8s(&self, path: &Path, name: &str, shape: &[Option<usize>]) -> Result<&[u8]> {
        match &self.get(path, name, shape)?.data {
            Data::U8(v) => Ok(v),
            other => Err(wrong_dtype(path, name, other, "U8")),
        }
    }

    /// Does what [`Self::get`] does for integers (i64); another type is an error.
    pub fn i64s(&self, path: &Path, name: &str, shape: &[Option<usize>]) -> Result<&[i64]> {
        match &self.get(path, name, shape)?.data {
            Data::I64(v) => Ok(v),
            other => Err(wrong_dtype(path, name, other, "I64")),
        }
    }
}

fn wrong_dtype(path: &Path, name: &str, found: &Data, want: &str) -> Error {
    Error::input(path, format!("tensor `{name}` has dtype {:?}, wanted {want}", found.element()))
}

fn numbers<T, const N: usize>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| from(chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> TensorMap {
        let mut map = TensorMap::default();
        map.insert("b", Tensor::f32(&[2, 1], vec![1.5, -0.0]));
        map.insert("a", Tensor::u8(&[3], vec![1, 2, 3]));
        map.insert("c", Tensor::i64(&[1], vec![-7]));
        map
    }

    #[test]
    fn round_trip_is_exact_and_reproducible() {
        let map = sample();
        let bytes = map.to_bytes().unwrap();
        assert_eq!(bytes, map.to_bytes().unwrap());
        assert_eq!(TensorMap::from_bytes(&bytes, Path::new("x")).unwrap(), map);
    }

    #[test]
    fn every_element_type_keeps_its_bits() {
        let bits: Vec<u8> = (0..=255).collect();
        for (i, (_, element)) in DTYPES.into_iter().enumerate() {
            let bytes: Vec<u8> = match element {
                Element::Bool => bits.iter().map(|b| b % 2).collect(),
                _ => bits.clone(),
            };
            let data = Data::from_le_bytes(element, &bytes).unwrap();
            assert_eq!((data.element(), data.len()), (element, 256 / element.bytes()), "row {i}");
            assert_eq!(data.to_le_bytes(), bytes, "{element:?}");
            let mut map = TensorMap::default();
            map.insert("t", Tensor { shape: vec![data.len()], data });
            let again = TensorMap::from_bytes(&map.to_bytes().unwrap(), Path::new("x")).unwrap();
            assert_eq!(again.0["t"].data.to_le_bytes(), bytes, "{element:?}"); // NaN is not equal to itself
        }
        assert!(Data::from_le_bytes(Element::Bool, &[0, 2]).unwrap_err().contains("holds 2 as a bool"));
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = sample().to_bytes().unwrap();
        for n in 0..bytes.len() {
            let error = TensorMap::from_bytes(&bytes[..n], Path::new("cut.safetensors")).unwrap_err();
            assert!(error.to_string().starts_with("cut.safetensors: "), "{error}");
        }
    }

    #[test]
    fn messages_name_tensor_found_and_wanted() {
        let (map, path) = (sample(), Path::new("w.safetensors"));
        let shape = map.f32s(path, "b", &[Some(2), Some(2)]).unwrap_err().to_string();
        assert_eq!(shape, "w.safetensors: tensor `b` has shape [2, 1], wanted [2, 2]");
        let dtype = map.f32s(path, "a", &[None]).unwrap_err().to_string();
        assert_eq!(dtype, "w.safetensors: tensor `a` has dtype U8, wanted F32");
        let missing = map.u8s(path, "z", &[None]).unwrap_err().to_string();
        assert_eq!(missing, "w.safetensors: tensor `z` is missing (found: a, b, c)");
    }
}
