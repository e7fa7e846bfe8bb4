//! Named tensors in a safetensors file: weights, golden sets, evaluation sets, checkpoints.

use crate::{Error, Result, artifact};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// The values of one tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// Bytes (images).
    U8(Vec<u8>),
    /// 64-bit integers (labels, counters).
    I64(Vec<i64>),
}

/// One tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Row-major dimensions.
    pub shape: Vec<usize>,
    /// As many values as the shape says.
    pub data: Data,
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::U8(v) => v.len(),
            Self::I64(v) => v.len(),
        }
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::U8(_) => Dtype::U8,
            Self::I64(_) => Dtype::I64,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::U8(v) => v.clone(),
            Self::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }
}

impl Tensor {
    /// A float tensor; the caller's shape and data agree.
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Self {
        Self { shape: shape.to_vec(), data: Data::F32(data) }
    }

    /// A byte tensor.
    pub fn u8(shape: &[usize], data: Vec<u8>) -> Self {
        Self { shape: shape.to_vec(), data: Data::U8(data) }
    }

    /// An integer tensor.
    pub fn i64(shape: &[usize], data: Vec<i64>) -> Self {
        Self { shape: shape.to_vec(), data: Data::I64(data) }
    }
}

/// Tensors by name, in name order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TensorMap(pub BTreeMap<String, Tensor>);

impl TensorMap {
    /// Adds one.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.0.insert(name.into(), tensor);
    }

    /// Reads and checks a whole file; a damaged one is an error naming file and reason.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = artifact::read(path)?;
        Self::from_bytes(&bytes, path)
    }

    /// Reads from memory; `path` is for messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| Error::input(path, format!("not a valid safetensors file ({e})")))?;
        let mut map = Self::default();
        for (name, view) in file.iter() {
            let bytes = view.data();
            let data = match view.dtype() {
                Dtype::F32 => Data::F32(numbers(bytes, f32::from_le_bytes)),
                Dtype::I64 => Data::I64(numbers(bytes, i64::from_le_bytes)),
                Dtype::U8 => Data::U8(bytes.to_vec()),
                other => {
                    let what = format!("tensor `{name}` has dtype {other:?}, wanted F32, I64 or U8");
                    return Err(Error::input(path, what));
                }
            };
            map.insert(name, Tensor { shape: view.shape().to_vec(), data });
        }
        Ok(map)
    }

    /// The file's bytes; the same map gives the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let raw: Vec<(&str, Dtype, &[usize], Vec<u8>)> = self
            .0
            .iter()
            .map(|(name, t)| (name.as_str(), t.data.dtype(), t.shape.as_slice(), t.data.to_bytes()))
            .collect();
        let mut views = Vec::with_capacity(raw.len());
        for (name, dtype, shape, bytes) in &raw {
            let view = TensorView::new(*dtype, shape.to_vec(), bytes)
                .map_err(|e| Error::Failed(format!("tensor `{name}` {shape:?}: {e}")))?;
            views.push((*name, view));
        }
        safetensors::serialize(views, None).map_err(|e| Error::Failed(format!("safetensors: {e}")))
    }

    /// Writes atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        artifact::write_atomic(path, &self.to_bytes()?)
    }

    /// The named tensor with exactly this shape; `None` in `shape` accepts any size there.
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

    /// [`Self::get`] for floats.
    pub fn f32s(&self, path: &Path, name: &str, shape: &[Option<usize>]) -> Result<&[f32]> {
        match &self.get(path, name, shape)?.data {
            Data::F32(v) => Ok(v),
            other => Err(wrong_dtype(path, name, other, "F32")),
        }
    }

    /// [`Self::get`] for bytes.
    pub fn u8s(&self, path: &Path, name: &str, shape: &[Option<usize>]) -> Result<&[u8]> {
        match &self.get(path, name, shape)?.data {
            Data::U8(v) => Ok(v),
            other => Err(wrong_dtype(path, name, other, "U8")),
        }
    }

    /// [`Self::get`] for integers.
    pub fn i64s(&self, path: &Path, name: &str, shape: &[Option<usize>]) -> Result<&[i64]> {
        match &self.get(path, name, shape)?.data {
            Data::I64(v) => Ok(v),
            other => Err(wrong_dtype(path, name, other, "I64")),
        }
    }
}

fn wrong_dtype(path: &Path, name: &str, found: &Data, want: &str) -> Error {
    Error::input(path, format!("tensor `{name}` has dtype {:?}, wanted {want}", found.dtype()))
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
