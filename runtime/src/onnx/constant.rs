//! The values of a tensor that a model file holds.

use super::proto::TensorProto;
use super::{MAX_ELEMENTS, check_tensor};
use half::f16;

/// Values as a program computes with them: every integer type of up to 32 bits is i32 (uint32 by its bits).
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// float, float16.
    F32(Vec<f32>),
    /// int8, uint8, int16, uint16, int32, uint32.
    I32(Vec<i32>),
    /// int64.
    I64(Vec<i64>),
}

/// A tensor of a model file.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    /// ONNX element type (1 = float).
    pub elem_type: i32,
    /// Row-major.
    pub shape: Vec<usize>,
    /// As many as the shape says.
    pub numbers: Numbers,
}

impl Constant {
    /// Reads `raw_data` or the typed list; other element types and counts that do not fit are errors.
    pub fn read(tensor: &TensorProto) -> Result<Self, String> {
        check_tensor(tensor)?;
        let shape: Vec<usize> = tensor.dims.iter().filter_map(|&d| usize::try_from(d).ok()).collect();
        let raw = &tensor.raw_data[..];
        let listed = raw.is_empty();
        let numbers = match tensor.data_type {
            1 if listed => Numbers::F32(tensor.float_data.clone()),
            1 => Numbers::F32(raw.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
            7 if listed => Numbers::I64(tensor.int64_data.clone()),
            7 => Numbers::I64(raw.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect()),
            10 if listed => {
                let bits = |&v: &i32| u16::try_from(v).map(|b| f16::from_bits(b).to_f32());
                let all: Result<_, _> = tensor.int32_data.iter().map(bits).collect();
                Numbers::F32(all.map_err(|_| "lists a float16 of more than 16 bits")?)
            }
            10 => Numbers::F32(raw.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect()),
            2..=6 if listed => Numbers::I32(tensor.int32_data.clone()),
            2 => Numbers::I32(raw.iter().map(|&b| i32::from(b)).collect()),
            3 => Numbers::I32(raw.iter().map(|&b| i32::from(i8::from_le_bytes([b]))).collect()),
            4 => Numbers::I32(raw.as_chunks().0.iter().map(|&b| i32::from(u16::from_le_bytes(b))).collect()),
            5 => Numbers::I32(raw.as_chunks().0.iter().map(|&b| i32::from(i16::from_le_bytes(b))).collect()),
            6 | 12 if !listed => {
                Numbers::I32(raw.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b)).collect())
            }
            other => return Err(format!("has element type {other}: not supported")),
        };
        let constant = Self { elem_type: tensor.data_type, shape, numbers };
        let wanted = constant.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if wanted.is_none_or(|n| n as u64 > MAX_ELEMENTS) || wanted != Some(constant.numbers.len()) {
            return Err(format!("has {} values, {:?} wants others", constant.numbers.len(), constant.shape));
        }
        Ok(constant)
    }
}

impl Numbers {
    /// In memory.
    #[cfg(feature = "wgpu")]
    pub fn bytes(&self) -> usize {
        self.len() * if matches!(self, Self::I64(_)) { 8 } else { 4 }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
        }
    }
}
