//! The values of a tensor that a model file holds.

use super::proto::TensorProto;
use super::{MAX_ELEMENTS, check_tensor};
use gtn_core::io::element::Element;
use gtn_core::io::tensors::{Data, Tensor};
use gtn_core::io::wide;
use half::f16;

/// These are values as a program computes with them: every integer type of up to 32 bits is i32 (uint32 by its
/// bits).
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// float, float16.
    F32(Vec<f32>),
    /// int8, uint8, int16, uint16, int32, uint32.
    I32(Vec<i32>),
    /// int64.
    I64(Vec<i64>),
}

/// A constant is a tensor of a model file with its values.
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
    /// Reads `raw_data` or the typed list. Other element types and counts that do not fit are errors.
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
        if wanted.is_none_or(|n| wide(n) > MAX_ELEMENTS) || wanted != Some(constant.numbers.len()) {
            return Err(format!("has {} values, {:?} wants others", constant.numbers.len(), constant.shape));
        }
        Ok(constant)
    }
}

/// Returns a tensor as it is. A type that [`Data`] does not have and a count that does not fit are errors.
pub fn tensor(proto: &TensorProto) -> Result<Tensor, String> {
    check_tensor(proto)?;
    let other = || format!("has element type {}: not supported", proto.data_type);
    let element = Element::of_onnx(proto.data_type).ok_or_else(other)?;
    let bytes = if proto.raw_data.is_empty() { listed(proto, element)? } else { proto.raw_data.to_vec() };
    let shape: Vec<usize> = proto.dims.iter().filter_map(|&d| usize::try_from(d).ok()).collect();
    let data = Data::from_le_bytes(element, &bytes)?;
    let wanted = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if wanted != Some(data.len()) {
        return Err(format!("has {} values, {shape:?} wants others", data.len()));
    }
    Ok(Tensor { shape, data })
}

/// The bytes of a typed list: what is narrower than 32 bits is listed as int32.
fn listed(proto: &TensorProto, element: Element) -> Result<Vec<u8>, String> {
    let narrow = |least: i64, most: i64, bytes: usize| -> Result<Vec<u8>, String> {
        let one = |&v: &i32| {
            let fits = (least..=most).contains(&i64::from(v));
            fits.then(|| v.to_le_bytes().into_iter().take(bytes))
                .ok_or_else(|| format!("lists {v}, which does not fit"))
        };
        Ok(proto.int32_data.iter().map(one).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    };
    match element {
        Element::F32 => Ok(proto.float_data.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Element::I64 => Ok(proto.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Element::F64 => Ok(proto.double_data.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Element::U64 => Ok(proto.uint64_data.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Element::U32 => {
            let one = |&v: &u64| u32::try_from(v).map_err(|_| format!("lists {v}, which does not fit"));
            let all = proto.uint64_data.iter().map(one).collect::<Result<Vec<_>, _>>()?;
            Ok(all.into_iter().flat_map(u32::to_le_bytes).collect())
        }
        Element::I32 => narrow(i32::MIN.into(), i32::MAX.into(), 4),
        Element::I16 => narrow(i16::MIN.into(), i16::MAX.into(), 2),
        Element::I8 => narrow(i8::MIN.into(), i8::MAX.into(), 1),
        Element::U8 | Element::Bool => narrow(0, u8::MAX.into(), 1),
        Element::U16 | Element::F16 | Element::Bf16 => narrow(0, u16::MAX.into(), 2),
    }
}

impl Numbers {
    /// Returns the bytes that they take in memory.
    #[cfg(feature = "wgpu")]
    pub fn bytes(&self) -> usize {
        self.len() * if matches!(self, Self::I64(_)) { 8 } else { 4 }
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
        }
    }
}
